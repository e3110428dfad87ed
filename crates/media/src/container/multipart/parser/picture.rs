//! The end of a part that should be a picture.
//!
//! The picture's own end overrides the length that its part declares. If a picture begins where it should, the parser
//! only searches for the two bytes of EOI up to its length, which costs next to nothing. It walks the picture marker by
//! marker if these come too early or not at all, if there is no length, or if bytes precede the picture.

use memchr::memmem;

use super::{Parser, ParserEvent, State, Step, count_line_ends, len_without_line_end};
use crate::Error;
use crate::codec::jpeg::{EndFinder, PICTURE_END, PICTURE_START};
use crate::container::multipart::delimiter::Match;

/// The marker that should begin a body. After other bytes, these two may mean nothing, so a marker must follow.
const SOI: &[u8] = &[0xFF, 0xD8];

/// What follows a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tail {
    /// The next boundary, after blanks or zeros at most; other bytes are still to be counted.
    Clean,
    /// The same after a picture that ended without EOI at its declared length.
    WithoutEoi,
    /// Bytes that are counted already or need not be.
    Skipped,
}

/// Finds the picture in a body and walks it to its end.
#[derive(Debug, Default)]
pub(super) struct PictureSearch {
    /// The offset of the picture in the buffer; `None` while the parser searches for its start.
    start: Option<usize>,
    /// How far the search for the start got without a match.
    searched: usize,
    /// Walks the picture from its start on.
    pub(super) finder: EndFinder,
}

impl PictureSearch {
    /// A picture begins at `start`.
    pub(super) fn begin(&mut self, start: usize) {
        *self = Self { start: Some(start), searched: start, finder: EndFinder::new() };
    }

    /// Continues in `body`, which has the same content as before, perhaps longer, or shorter if the part ends there.
    /// Returns where the first whole picture ends, if it does.
    fn advance(&mut self, body: &[u8]) -> Option<usize> {
        loop {
            let Some(start) = self.start else {
                let unsearched = body.get(self.searched..).unwrap_or_default();
                let Some(at) = memmem::find(unsearched, PICTURE_START) else {
                    // The last bytes may be the beginning of a start.
                    self.searched = self.searched.max(body.len().saturating_sub(PICTURE_START.len() - 1));
                    return None;
                };
                self.begin(self.searched + at);
                continue;
            };
            match self.finder.advance(body.get(start..).unwrap_or_default()) {
                Ok(len) => return len.map(|len| start + len),
                // Another picture may begin where this one breaks off.
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
        // The last byte may be the first of EOI.
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
            // At least these bytes belong to the body, wherever it ends.
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
        // Bytes before the picture are in the body, and are counted there; counting once is enough.
        let tail = if self.picture_search.start == Some(0) { Tail::Clean } else { Tail::Skipped };
        self.state = State::Tail(tail);
        Step::Event(ParserEvent::Part(self.take_part(end, is_complete)))
    }

    fn end_at_length(&mut self, len: usize) -> Step {
        self.state = State::Tail(Tail::WithoutEoi);
        Step::Event(ParserEvent::Part(self.take_part(len, true)))
    }

    /// Searches for the next boundary, which need not stand at the start of a line.
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
