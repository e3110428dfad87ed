//! The structure of a payload: one NAL unit, several of them, or a fragment of one (RFC 6184, section 5; RFC 7798,
//! section 4.4).

use super::nal::Syntax;
use super::problem::Problem;

/// The payload of one packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Payload<'a> {
    /// One NAL unit, or several with start codes between them.
    Unit(&'a [u8]),
    /// Several NAL units.
    Aggregate(Aggregate<'a>),
    /// A fragment of a NAL unit.
    UnitFragment(UnitFragment<'a>),
}

/// A fragment of a NAL unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct UnitFragment<'a> {
    /// The header of the NAL unit: one byte in H.264, two in H.265.
    pub(super) header: [u8; 2],
    pub(super) is_start: bool,
    pub(super) is_end: bool,
    /// Part of what follows the header.
    pub(super) data: &'a [u8],
}

/// Several NAL units, each behind its length as two bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Aggregate<'a> {
    payload: &'a [u8],
    offset: usize,
}

/// A fault and its offset in bytes from the start of the payload.
pub(super) type Fault = (usize, Problem);

impl<'a> Payload<'a> {
    /// Finds out the structure of `payload`, which must not be empty.
    pub(super) fn parse(syntax: Syntax, payload: &'a [u8]) -> Result<Self, Fault> {
        if payload.starts_with(&[0, 0, 1]) || payload.starts_with(&[0, 0, 0, 1]) {
            return Ok(Self::Unit(payload));
        }
        if payload[0] & 0x80 != 0 {
            return Err((0, Problem::MarkedAsBroken));
        }
        match syntax {
            Syntax::H264 => parse_h264(payload),
            Syntax::H265 => parse_h265(payload),
        }
    }
}

fn parse_h264(payload: &[u8]) -> Result<Payload<'_>, Fault> {
    let structure = |name| Err((0, Problem::Structure { name }));
    match payload[0] & 0x1F {
        24 => Ok(Payload::Aggregate(Aggregate { payload, offset: 1 })),
        25 => structure("STAP-B"),
        26 => structure("MTAP16"),
        27 => structure("MTAP24"),
        28 => {
            let &[indicator, fragment_header, ref data @ ..] = payload else {
                return Err(short(payload, 2, "the header of a fragment"));
            };
            let header = [indicator & 0xE0 | fragment_header & 0x1F, 0];
            Ok(Payload::UnitFragment(fragment(header, fragment_header, data)))
        }
        29 => structure("FU-B"),
        _ => Ok(Payload::Unit(payload)),
    }
}

fn parse_h265(payload: &[u8]) -> Result<Payload<'_>, Fault> {
    match payload[0] >> 1 & 0x3F {
        48 => Ok(Payload::Aggregate(Aggregate { payload, offset: 2 })),
        49 => {
            let &[first, second, fragment_header, ref data @ ..] = payload else {
                return Err(short(payload, 3, "the header of a fragment"));
            };
            let header = [first & 0x81 | (fragment_header & 0x3F) << 1, second];
            Ok(Payload::UnitFragment(fragment(header, fragment_header, data)))
        }
        50 => Err((0, Problem::Structure { name: "PACI" })),
        _ if payload.len() < 2 => Err(short(payload, 2, "the header of a NAL unit")),
        _ => Ok(Payload::Unit(payload)),
    }
}

const fn fragment(header: [u8; 2], fragment_header: u8, data: &[u8]) -> UnitFragment<'_> {
    let (is_start, is_end) = (fragment_header & 0x80 != 0, fragment_header & 0x40 != 0);
    UnitFragment { header, is_start, is_end, data }
}

const fn short(payload: &[u8], needed: usize, what: &'static str) -> Fault {
    (payload.len(), Problem::Truncated { what, missing_bytes: needed - payload.len() })
}

impl<'a> Iterator for Aggregate<'a> {
    type Item = Result<&'a [u8], Fault>;

    /// Returns the next NAL unit that is not empty. A fault is the last item.
    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let payload = self.payload;
            if self.offset >= payload.len() {
                return None;
            }
            let start = self.offset + 2;
            let &[high, low] = payload.get(self.offset..start).unwrap_or_default() else {
                self.offset = payload.len();
                return Some(Err(short(payload, start, "the length of a NAL unit")));
            };
            let end = start + usize::from(u16::from_be_bytes([high, low]));
            self.offset = end;
            if end > payload.len() {
                return Some(Err(short(payload, end, "a NAL unit of an aggregation packet")));
            }
            if end > start {
                return Some(Ok(&payload[start..end]));
            }
        }
    }
}
