//! Where the body of a part ends: at its length, at the boundary, or at the end of the picture in it.

use super::{Event, LengthTrust, Parser, PartEnd, State, Step, without_line_end};
use crate::Error;
use crate::codec::jpeg::Finder;
use crate::container::multipart::delimiter::Match;

impl Parser {
    pub(super) fn begin_body(&mut self) -> Result<Step, Error> {
        self.scanned = 0;
        let len = self.headers.get("content-length").and_then(|text| text.parse::<usize>().ok());
        let expected_bytes = match len {
            Some(len) if self.length_trust != LengthTrust::Refuted => {
                if len > self.limits.max_body_bytes {
                    return Err(self.skip_too_large());
                }
                self.state = State::SizedBody { len };
                len
            }
            _ => {
                self.state = State::OpenBody;
                self.last_body_bytes
            }
        };
        // Room for the body and the next headers, so that nothing is moved while it grows. A header alone, which may
        // lie, does not get more than a megabyte.
        let room = expected_bytes.min(1 << 20) + 512;
        self.buf.reserve(room.saturating_sub(self.buf.len()));
        Ok(Step::Again)
    }

    pub(super) fn sized_body(&mut self, len: usize) -> Step {
        if self.buf.len() < len {
            return Step::NeedBytes;
        }
        if self.length_trust == LengthTrust::Unknown && !self.is_plausible_body(len) {
            self.state = State::SuspectBody { len };
            return Step::Again;
        }
        self.state = State::Gap { expects_boundary: true, is_after_sized: true };
        Step::Event(Event::Part(self.take_part(len)))
    }

    /// Whether the first `len` bytes of the buffer look like one whole body.
    fn is_plausible_body(&self, len: usize) -> bool {
        let body = &self.buf[..len];
        let body = &body[line_ends(body)..];
        if body.starts_with(&[0xFF, 0xD8]) {
            // Some cameras fill the picture up behind its end.
            let padding = body.iter().rev().take_while(|b| matches!(b, 0 | b' ' | b'\r' | b'\n')).count();
            return body[..body.len() - padding].ends_with(&[0xFF, 0xD9]);
        }
        self.delimiter().find(body, 0).is_none()
            && !matches!(self.delimiter().match_text(body), Match::Yes(_))
    }

    pub(super) fn suspect_body(&mut self, len: usize) -> Step {
        match self.delimiter().match_after_line_end(&self.buf[len..]) {
            Match::Open => Step::NeedBytes,
            Match::Yes(_) => {
                self.state = State::Gap { expects_boundary: true, is_after_sized: true };
                Step::Event(Event::Part(self.take_part(len)))
            }
            Match::No => {
                self.length_trust = LengthTrust::Refuted;
                self.state = State::OpenBody;
                Step::Again
            }
        }
    }

    pub(super) fn open_body(&mut self) -> Result<Step, Error> {
        if self.scanned == 0 {
            if self.part_end == PartEnd::AtJpegEoi {
                // Some cameras send one blank line more than they should.
                self.consume(line_ends(&self.buf));
            }
            match self.delimiter().match_text(&self.buf) {
                Match::Open => return Ok(Step::NeedBytes),
                Match::Yes(len) => return Ok(self.end_at_boundary(0, len)),
                Match::No => self.finder = Finder::new(),
            }
        }
        let needle_len = self.delimiter().needle_len();
        let from = self.scanned.saturating_sub(needle_len - 1);
        let boundary = self.delimiter().find(&self.buf, from);
        let picture_bytes = self.picture_len(boundary.unwrap_or(self.buf.len()));
        let body_bytes = match (picture_bytes, boundary) {
            (Some(picture_bytes), _) => picture_bytes,
            (None, Some(line_feed)) => without_line_end(&self.buf[..=line_feed]),
            // At least so many bytes belong to the body, wherever it ends.
            (None, None) => self.buf.len().saturating_sub(needle_len),
        };
        if body_bytes > self.limits.max_body_bytes {
            return Err(self.skip_too_large());
        }
        match (picture_bytes, boundary) {
            (Some(_), _) => {
                self.state = State::Gap { expects_boundary: true, is_after_sized: false };
                Ok(Step::Event(Event::Part(self.take_part(body_bytes))))
            }
            (None, Some(line_feed)) => Ok(self.end_at_boundary(body_bytes, line_feed + needle_len)),
            (None, None) => {
                self.scanned = self.buf.len();
                Ok(Step::NeedBytes)
            }
        }
    }

    /// Length of the picture at the start of the buffer, if it ends within the first `len` bytes and that is asked for.
    /// A broken picture has no end but the boundary; whether it is any good is for others to say.
    fn picture_len(&mut self, len: usize) -> Option<usize> {
        match self.part_end {
            PartEnd::AtBoundary => None,
            PartEnd::AtJpegEoi => self.finder.advance(&self.buf[..len]).ok().flatten(),
        }
    }

    /// Ends the part after `body_bytes`, where the boundary is that reaches to `boundary_end`.
    fn end_at_boundary(&mut self, body_bytes: usize, boundary_end: usize) -> Step {
        if body_bytes == 0 {
            self.consume(boundary_end);
            self.state = State::AfterBoundary { has_empty_part: true };
            return Step::Again;
        }
        let part = self.take_part(body_bytes);
        self.consume(boundary_end - body_bytes);
        self.state = State::AfterBoundary { has_empty_part: false };
        Step::Event(Event::Part(part))
    }
}

/// How many bytes at the start are line ends.
fn line_ends(bytes: &[u8]) -> usize {
    bytes.iter().take_while(|b| matches!(b, b'\r' | b'\n')).count()
}
