//! RTCP, as far as a receiver needs it: sender reports and goodbyes come in, receiver reports go out (RFC 3550,
//! section 6).

use super::problem::Problem;
use crate::Error;

/// One packet of a compound RTCP packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RtcpPacket<'a> {
    /// The sender's clocks at one moment.
    SenderReport(SenderReport),
    /// Sources leave: their SSRCs in big endian.
    Goodbye(&'a [[u8; 4]]),
    /// Anything else.
    Other,
}

/// The sender's clocks at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SenderReport {
    /// The sender's identifier of the stream.
    pub ssrc: u32,
    /// The time of day that the sender believes in: seconds since 1900 in the upper half, the fraction in the lower.
    pub ntp_time: u64,
    /// The same moment as an RTP timestamp.
    pub rtp_timestamp: u32,
}

impl RtcpPacket<'_> {
    /// Returns whether the source `ssrc` leaves with this packet.
    pub fn is_goodbye_of(&self, ssrc: u32) -> bool {
        matches!(self, Self::Goodbye(sources) if sources.contains(&ssrc.to_be_bytes()))
    }
}

/// The packets of a compound RTCP packet: see [`rtcp_packets`].
#[derive(Debug, Clone)]
pub struct RtcpPackets<'a> {
    compound: &'a [u8],
    offset: usize,
}

/// Returns the packets of `compound`. A fault is the last item.
pub const fn rtcp_packets(compound: &[u8]) -> RtcpPackets<'_> {
    RtcpPackets { compound, offset: 0 }
}

impl<'a> Iterator for RtcpPackets<'a> {
    type Item = Result<RtcpPacket<'a>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.compound.get(self.offset..).filter(|rest| !rest.is_empty())?;
        let (offset, parsed) = match parse(rest) {
            Ok((packet, len_bytes)) => (self.offset + len_bytes, Ok(packet)),
            Err((at, problem)) => {
                (self.compound.len(), Err(Error::Rtp { offset: self.offset + at, problem }))
            }
        };
        self.offset = offset;
        Some(parsed)
    }
}

/// Parses the packet with which `bytes` begin, and returns its length too.
fn parse(bytes: &[u8]) -> Result<(RtcpPacket<'_>, usize), (usize, Problem)> {
    let truncated = |what, needed: usize| {
        (bytes.len(), Problem::Truncated { what, missing_bytes: needed.saturating_sub(bytes.len()) })
    };
    let &[first, packet_type, high, low, ..] = bytes else { return Err(truncated("its header", 4)) };
    if first >> 6 != 2 {
        return Err((0, Problem::Version { version: first >> 6 }));
    }
    let len_bytes = 4 + 4 * usize::from(u16::from_be_bytes([high, low]));
    let Some(body) = bytes.get(4..len_bytes) else { return Err(truncated("its content", len_bytes)) };
    let (words, _) = body.as_chunks::<4>();
    let too_short = (2, Problem::RtcpLength { packet_type, len_bytes });
    let packet = match packet_type {
        200 => {
            let &[ssrc, seconds, fraction, rtp_timestamp, ..] = words else { return Err(too_short) };
            let ntp_time =
                u64::from(u32::from_be_bytes(seconds)) << 32 | u64::from(u32::from_be_bytes(fraction));
            let (ssrc, rtp_timestamp) = (u32::from_be_bytes(ssrc), u32::from_be_bytes(rtp_timestamp));
            RtcpPacket::SenderReport(SenderReport { ssrc, ntp_time, rtp_timestamp })
        }
        203 => RtcpPacket::Goodbye(words.get(..usize::from(first & 0x1F)).ok_or(too_short)?),
        192..=223 => RtcpPacket::Other,
        _ => return Err((1, Problem::RtcpType { packet_type })),
    };
    Ok((packet, len_bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SENDER_REPORT: &[u8] = &[
        0x80, 200, 0, 6, 1, 2, 3, 4, 0xE0, 1, 2, 3, 0x80, 0, 0, 0, 0, 1, 0x5F, 0x90, 0, 0, 0, 9, 0, 0, 9, 9,
    ];
    const DESCRIPTION: &[u8] = &[0x81, 202, 0, 2, 1, 2, 3, 4, 1, 1, b'c', 0];
    const GOODBYE: &[u8] = &[0x82, 203, 0, 2, 9, 9, 9, 9, 1, 2, 3, 4];

    #[test]
    fn a_compound_packet_is_read() {
        let compound = [SENDER_REPORT, DESCRIPTION, GOODBYE].concat();
        let packets: Vec<_> = rtcp_packets(&compound).collect::<Result<_, _>>().expect("valid");
        let report =
            SenderReport { ssrc: 0x0102_0304, ntp_time: 0xE001_0203_8000_0000, rtp_timestamp: 90_000 };
        assert_eq!(packets[..2], [RtcpPacket::SenderReport(report), RtcpPacket::Other]);
        assert_eq!(packets.len(), 3);
        assert!(packets[2].is_goodbye_of(0x0102_0304) && !packets[2].is_goodbye_of(1));
        assert!(!packets[0].is_goodbye_of(0x0102_0304));
    }

    #[test]
    fn a_fault_is_named_with_its_byte_and_ends_the_packets() {
        let faults = |bytes: &[&[u8]]| {
            let compound = [SENDER_REPORT, &bytes.concat()].concat();
            let faults: Vec<_> =
                rtcp_packets(&compound).skip(1).map(|packet| packet.map_err(|e| e.to_string())).collect();
            let [Err(fault)] = &faults[..] else { panic!("{faults:?}") };
            fault.clone()
        };
        for (bytes, expected) in [
            (&SENDER_REPORT[..3], "byte 31 of the packet: the packet ends 1 bytes too early for its header"),
            (
                &SENDER_REPORT[..8],
                "byte 36 of the packet: the packet ends 20 bytes too early for its content",
            ),
            (
                &[0x80, 200, 0, 1, 0, 0, 0, 0],
                "byte 30 of the packet: an RTCP packet of type 200 cannot have 8 bytes",
            ),
            (
                &[0x82, 203, 0, 1, 0, 0, 0, 0],
                "byte 30 of the packet: an RTCP packet of type 203 cannot have 8 bytes",
            ),
            (&[0x40, 200, 0, 0], "byte 28 of the packet: RTP version 1; only version 2 is in use"),
            (&[0x80, 96, 0, 0], "byte 29 of the packet: RTCP packet type 96 is not known"),
        ] {
            assert_eq!(faults(&[bytes]), expected);
        }
    }
}
