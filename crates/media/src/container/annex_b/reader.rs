//! Cuts a byte stream into NAL units.

use bytes::BufMut;

use super::access_unit::{AccessUnit, Assembly};
use super::pauses::Pauses;
use crate::codec::nal::UnitKind;
use crate::container::stream_buffer::StreamBuffer;
use crate::{Codec, Dependency, Error};

/// What stands before each NAL unit. One more zero may stand before it.
const START_CODE: &[u8] = &[0, 0, 1];

/// The bytes of a NAL unit that tell whether it begins an access unit.
const HEAD_BYTES: usize = 3;

/// Reads access units from a byte stream that arrives in pieces.
///
/// After each [`push`](Self::push), or write into the [`room`](Self::room), call
/// [`next_access_unit`](Self::next_access_unit) until it yields `None`. The reader then holds at most one incomplete
/// access unit, and one incomplete NAL unit. An access unit is complete when the next one has begun: a stream does not
/// tell earlier, unless it is live and [pauses](Self::pause). Each field of a frame that is coded as two fields is an
/// access unit.
///
/// The first access unit is a keyframe: what comes before is skipped, and so is what needs an access unit that had to
/// be dropped.
#[derive(Debug)]
pub struct AnnexBReader {
    max_access_unit_bytes: usize,
    /// Begins with a NAL unit if `is_in_unit`, and otherwise with what is no unit.
    buf: StreamBuffer,
    /// Where `buf` begins, in bytes from the start of the stream.
    offset: u64,
    /// How many bytes of `buf` were searched for a start code.
    searched_bytes: usize,
    is_in_unit: bool,
    /// Whether the beginning of the unit was looked at: the access unit before it is out.
    is_head_read: bool,
    has_ended: bool,
    pauses: Pauses,
    /// The position in the stream of a pause that ends an access unit.
    cut_at: Option<u64>,
    assembly: Assembly,
}

impl AnnexBReader {
    /// Creates a reader for access units of at most `max_access_unit_bytes`. Without a `codec`, the stream's first
    /// parameter set, delimiter or SEI tells which of the two it is.
    pub fn new(codec: Option<Codec>, max_access_unit_bytes: usize) -> Self {
        Self {
            max_access_unit_bytes,
            buf: StreamBuffer::default(),
            offset: 0,
            searched_bytes: 0,
            is_in_unit: false,
            is_head_read: false,
            has_ended: false,
            pauses: Pauses::default(),
            cut_at: None,
            assembly: Assembly::new(codec, max_access_unit_bytes),
        }
    }

    /// Appends a copy of the next bytes of the stream.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buf.push(bytes);
    }

    /// Returns the place for the next bytes of the stream, which is never empty: what is written there counts as
    /// [pushed](Self::push), without a copy.
    pub fn room(&mut self) -> impl BufMut {
        self.buf.room()
    }

    /// Ends the stream: [`next_access_unit`](Self::next_access_unit) then yields what is left.
    pub fn end(&mut self) {
        self.has_ended = true;
    }

    /// Tells that nothing has come for some milliseconds since the last [`push`](Self::push), although the stream has
    /// not ended. Call it after `next_access_unit` has yielded `None`, and then call that again: it yields the access
    /// unit before the pause if pauses have proved to be the ends of access units.
    ///
    /// If the rest of the access unit comes after all, what was yielded of it is damaged. The next access unit is then
    /// a keyframe, and no later pause ends an access unit.
    pub fn pause(&mut self) {
        let at = self.offset + self.buf.len() as u64;
        if at == self.pauses.at() {
            return;
        }
        match self.assembly.kind(&self.buf) {
            UnitKind::Slice { dependency, .. } if self.is_head_read => {
                let is_keyframe = dependency == Dependency::Keyframe;
                if self.pauses.begin(at, self.buf.len(), is_keyframe) {
                    self.cut_at = Some(at);
                }
            }
            _ => self.pauses.pass(at),
        }
    }

    /// Returns the codec, once it is known.
    pub fn codec(&self) -> Option<Codec> {
        self.assembly.codec
    }

    /// Returns how many access units were skipped, because their decoder would have lacked a picture or parameter sets,
    /// or because they were too large.
    pub fn skipped_access_units(&self) -> u64 {
        self.assembly.skipped_access_units
    }

    /// Returns the next access unit in the bytes so far, or `None` if more bytes are needed.
    ///
    /// # Errors
    /// [`Error::TooLarge`] for an access unit over the limit, and the errors of
    /// [`VideoParameters::parse`](crate::codec::VideoParameters::parse) for parameter sets. The next call goes on; the
    /// next access unit is then a keyframe.
    pub fn next_access_unit(&mut self) -> Result<Option<AccessUnit>, Error> {
        loop {
            let found = self.find_unit();
            if let Some(access_unit) = self.read_head(found.as_ref())? {
                return Ok(Some(access_unit));
            }
            let Some(found) = found else {
                let is_at_end = self.has_ended || self.is_cut();
                return if is_at_end { self.assembly.finish() } else { Ok(None) };
            };
            let unit = without_trailing_zeros(&self.buf[..found.len_bytes]);
            self.pauses.end_slice(unit.len());
            let added = match found.next_bytes {
                _ if unit.is_empty() => Ok(()),
                None => Err(self.assembly.drop_too_large(unit, self.offset)),
                Some(_) => self.assembly.add(unit, self.offset),
            };
            self.is_in_unit = found.next_bytes.is_some() && !found.is_cut;
            self.advance(found.next_bytes.unwrap_or(found.len_bytes));
            added?;
        }
    }

    /// Looks at the beginning of the unit at the start of the buffer, once it is there, and returns the access unit
    /// that ends before it. The unit stays in the buffer.
    fn read_head(&mut self, found: Option<&FoundUnit>) -> Result<Option<AccessUnit>, Error> {
        let len_bytes = found.map_or(self.buf.len(), |found| found.len_bytes);
        if self.is_head_read || !self.is_in_unit || found.is_none() && len_bytes < HEAD_BYTES {
            return Ok(None);
        }
        let head = without_trailing_zeros(&self.buf[..len_bytes.min(HEAD_BYTES)]);
        if head.is_empty() {
            return Ok(None);
        }
        self.is_head_read = true;
        let is_complete = self.assembly.is_complete_before(head);
        self.pauses.judge(self.assembly.kind(head).starts_access_unit());
        if is_complete { self.assembly.finish() } else { Ok(None) }
    }

    /// Returns whether the buffer ends where a pause ends an access unit.
    fn is_cut(&self) -> bool {
        self.cut_at == Some(self.offset + self.buf.len() as u64)
    }

    /// Finds the end of the NAL unit at the start of the buffer. Returns `None` if more bytes are needed, or if the
    /// stream is at its end.
    fn find_unit(&mut self) -> Option<FoundUnit> {
        if !self.is_in_unit && !self.find_start() {
            return None;
        }
        let from = self.searched_bytes;
        let end = memchr::memmem::find(&self.buf[from..], START_CODE).map(|at| from + at);
        // What may be the beginning of a start code.
        let searched_bytes = self.buf.len().saturating_sub(START_CODE.len() - 1);
        self.searched_bytes = end.unwrap_or(searched_bytes);
        if self.searched_bytes > self.max_access_unit_bytes {
            return Some(FoundUnit { len_bytes: self.searched_bytes, next_bytes: None, is_cut: false });
        }
        let whole = |len_bytes: usize, next_bytes, is_cut| {
            Some(FoundUnit { len_bytes, next_bytes: Some(next_bytes), is_cut })
        };
        match end {
            Some(at) => whole(at, at + START_CODE.len(), false),
            None if self.buf.is_empty() => None,
            None if self.has_ended => whole(self.buf.len(), self.buf.len(), false),
            None if self.is_cut() => {
                // Zeros can be the beginning of the next start code.
                let len_bytes = without_trailing_zeros(&self.buf).len();
                whole(len_bytes, len_bytes, true)
            }
            None => None,
        }
    }

    /// Skips what is no unit. Returns whether the buffer begins with a unit now.
    fn find_start(&mut self) -> bool {
        let found = memchr::memmem::find(&self.buf, START_CODE);
        // The last bytes can be the beginning of a start code.
        let no_start_bytes = self.buf.len().saturating_sub(START_CODE.len() - 1);
        let skipped_bytes = found.unwrap_or(no_start_bytes);
        if self.pauses.is_last_taken() && self.buf[..skipped_bytes].iter().any(|&byte| byte != 0) {
            self.pauses.judge(false);
            self.assembly.lose_picture();
        }
        self.advance(found.map_or(no_start_bytes, |at| at + START_CODE.len()));
        self.is_in_unit = found.is_some();
        self.is_in_unit
    }

    fn advance(&mut self, len_bytes: usize) {
        self.buf.advance(len_bytes);
        self.offset += len_bytes as u64;
        self.searched_bytes = 0;
        self.is_head_read = false;
    }
}

/// A NAL unit at the start of the buffer.
struct FoundUnit {
    /// The length of the unit, with zeros after it.
    len_bytes: usize,
    /// Where the next unit begins. `None` if the unit is over the limit, so that only its beginning is here.
    next_bytes: Option<usize>,
    /// Whether the unit ends at a pause, and no start code was there.
    is_cut: bool,
}

/// Zeros after a unit belong to the stream: a unit ends with a byte that is not zero (7.4.1).
fn without_trailing_zeros(unit: &[u8]) -> &[u8] {
    let len_bytes = unit.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
    &unit[..len_bytes]
}
