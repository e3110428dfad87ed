//! Finds the end of a part that should be a picture.
//!
//! The picture's own end overrides the length that its part declares. The parser walks the picture marker by marker as
//! it arrives, and returns what the markers say with the part, so that nobody has to walk the picture again. If the
//! walk fails in a body that begins with a picture and has a declared length, the parser searches for the two bytes of
//! EOI up to that length. If they end there, so does the part.

use memchr::memmem;

use super::{Parser, ParserEvent, State, Step, count_line_ends, len_without_line_end};
use crate::Error;
use crate::codec::jpeg::{EndFinder, PICTURE_END, PICTURE_START};
use crate::container::multipart::delimiter::Match;

/// The marker SOI, with which a body should begin. If the body begins with other bytes, these two bytes can occur among
/// them by chance, so the search for a later SOI also requires the first byte of the next marker.
const SOI: &[u8] = &[0xFF, 0xD8];

/// What follows a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tail {
    /// Nothing but blanks and zeros so far; the next boundary is expected. If other bytes arrive,
    /// [`Parser::trailing_junk_count`] goes up by one.
    Clean,
    /// Nothing but blanks and zeros so far, after a picture that ended without EOI at its declared length. The next
    /// boundary is expected.
    WithoutEoi,
    /// Any bytes up to the next boundary. They are skipped, and do not change [`Parser::trailing_junk_count`].
    Skipped,
}

/// Finds the picture in a body and walks it to its end.
#[derive(Debug, Default)]
pub(super) struct PictureSearch {
    /// The offset of the picture in the buffer; `None` while the parser searches for the picture's start.
    start: Option<usize>,
    /// The offset in the buffer before which no picture starts.
    searched: usize,
    /// Walks the picture, beginning at its start.
    pub(super) finder: EndFinder,
}

impl PictureSearch {
    /// Begins to walk a picture at the offset `start`.
    pub(super) fn begin(&mut self, start: usize) {
        *self = Self { start: Some(start), searched: start, finder: EndFinder::new() };
    }

    /// Continues the search for the picture's end in `body`, which begins with the same bytes as in earlier calls.
    /// `body` can have grown since, or be shorter if the part ends there. Returns the offset where the first whole
    /// picture ends; `None` if there is none yet.
    fn advance(&mut self, body: &[u8]) -> Option<usize> {
        loop {
            let Some(start) = self.start else {
                let unsearched = body.get(self.searched..).unwrap_or_default();
                let Some(at) = memmem::find(unsearched, PICTURE_START) else {
                    // The last bytes can be the first bytes of a picture start.
                    self.searched = self.searched.max(body.len().saturating_sub(PICTURE_START.len() - 1));
                    return None;
                };
                self.begin(self.searched + at);
                continue;
            };
            match self.finder.advance(body.get(start..).unwrap_or_default()) {
                Ok(len) => return len.map(|len| start + len),
                // Another picture might begin where this picture breaks off.
                Err(Error::Jpeg { offset, .. }) => self.search_from(start + offset.max(1)),
                Err(_) => self.search_from(start + 1),
            }
        }
    }

    fn search_from(&mut self, searched: usize) {
        *self = Self { start: None, searched, finder: EndFinder::new() };
    }
}

impl Parser {
    /// Skips extra blank lines, which some cameras send, and checks how the body begins.
    pub(super) fn picture_start(&mut self, declared: Option<usize>) -> Step {
        let blanks = count_line_ends(&self.buf);
        self.consume(blanks);
        let declared = declared.map(|len| len.saturating_sub(blanks));
        self.state = State::PictureStart { declared };
        match self.delimiter().match_text(&self.buf) {
            Match::Incomplete => return Step::NeedBytes,
            Match::Yes(len) => return self.end_at_boundary(0, len, false),
            Match::No if self.buf[..] == SOI[..1] => return Step::NeedBytes,
            Match::No => {}
        }
        match declared {
            Some(len @ 1..) if self.buf.starts_with(SOI) && len <= self.limits.max_body_bytes => {
                self.picture_search.begin(0);
                self.state = State::SizedPicture { len };
            }
            _ => self.begin_unsized_picture(declared),
        }
        Step::Continue
    }

    pub(super) fn sized_picture(&mut self, len: usize) -> Step {
        let within = self.buf.len().min(len);
        let walked = self.picture_search.finder.advance(&self.buf[..within]);
        if let Ok(Some(end)) = walked {
            return self.end_at_eoi(end, end == len);
        }
        if walked.is_ok() && within < len {
            return Step::NeedBytes;
        }
        while let Some(at) = memmem::find(&self.buf[self.scanned.min(within)..within], PICTURE_END) {
            let end = self.scanned + at + PICTURE_END.len();
            if end == len {
                return self.end_at_eoi(end, true);
            }
            match self.picture_search.finder.advance(&self.buf[..end]) {
                Ok(Some(end)) => return self.end_at_eoi(end, false),
                // Inside a segment: this is the end of a thumbnail.
                Ok(None) => self.scanned = end,
                Err(_) => {
                    self.begin_unsized_picture(Some(len));
                    return Step::Continue;
                }
            }
        }
        // The last byte can be the first byte of EOI.
        self.scanned = self.scanned.max(within.saturating_sub(1));
        if self.buf.len() < len {
            return Step::NeedBytes;
        }
        if self.lacks_eoi {
            return self.end_at_length(len);
        }
        self.state = State::SuspectPicture { len };
        Step::Continue
    }

    pub(super) fn suspect_picture(&mut self, len: usize) -> Step {
        match self.delimiter().match_after_line_end(&self.buf[len..]) {
            Match::Incomplete => return Step::NeedBytes,
            Match::Yes(_) => {
                self.lacks_eoi = true;
                return self.end_at_length(len);
            }
            Match::No => self.begin_unsized_picture(Some(len)),
        }
        Step::Continue
    }

    fn begin_unsized_picture(&mut self, declared: Option<usize>) {
        self.scanned = 0;
        self.picture_search = PictureSearch::default();
        if self.buf.starts_with(SOI) {
            self.picture_search.begin(0);
        }
        self.state = State::UnsizedPicture { declared };
    }

    pub(super) fn unsized_picture(&mut self, declared: Option<usize>) -> Result<Step, Error> {
        let needle_len = self.delimiter().needle_len();
        let from = self.scanned.saturating_sub(needle_len - 1);
        let boundary = self.delimiter().find(&self.buf, from);
        let picture_end = self.picture_search.advance(&self.buf[..boundary.unwrap_or(self.buf.len())]);
        let body_bytes = match (picture_end, boundary) {
            (Some(end), _) => end,
            (None, Some(line_feed)) => len_without_line_end(&self.buf[..=line_feed]),
            // At least these bytes belong to the body, wherever the body ends.
            (None, None) => self.buf.len().saturating_sub(needle_len),
        };
        if body_bytes > self.limits.max_body_bytes {
            return Err(self.skip_too_large());
        }
        let is_complete = declared == Some(body_bytes);
        match (picture_end, boundary) {
            (Some(end), _) => Ok(self.end_at_eoi(end, is_complete)),
            (None, Some(line_feed)) => {
                Ok(self.end_at_boundary(body_bytes, line_feed + needle_len, is_complete))
            }
            (None, None) => {
                self.scanned = self.buf.len();
                Ok(Step::NeedBytes)
            }
        }
    }

    fn end_at_eoi(&mut self, end: usize, is_complete: bool) -> Step {
        // Stray bytes before the picture stay in the body, where the caller counts the picture as repaired. Stray bytes
        // after the picture are not counted again.
        let tail = if self.picture_search.start == Some(0) { Tail::Clean } else { Tail::Skipped };
        self.state = State::Tail(tail);
        let header = self.picture_search.finder.header().filter(|_| self.picture_search.start == Some(0));
        Step::Event(ParserEvent::Part(self.take_part(end, is_complete, header)))
    }

    fn end_at_length(&mut self, len: usize) -> Step {
        self.state = State::Tail(Tail::WithoutEoi);
        Step::Event(ParserEvent::Part(self.take_part(len, true, None)))
    }

    /// Searches for the next boundary, which is not required to be at the start of a line.
    pub(super) fn tail(&mut self, tail: Tail) -> Step {
        let text_len = self.delimiter().text().len();
        let found = self.delimiter().find_text(&self.buf);
        let end = found.unwrap_or(self.buf.len().saturating_sub(text_len - 1));
        let is_padding = |byte: &u8| *byte == 0 || byte.is_ascii_whitespace();
        if tail != Tail::Skipped && !self.buf[..end].iter().all(is_padding) {
            match tail {
                Tail::WithoutEoi => self.lacks_eoi = false,
                _ => self.trailing_junk_count += 1,
            }
            self.state = State::Tail(Tail::Skipped);
        }
        self.consume(end);
        if found.is_none() {
            return Step::NeedBytes;
        }
        self.consume(text_len);
        self.state = State::AfterBoundary { has_empty_part: false };
        Step::Continue
    }
}
