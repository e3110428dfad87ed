//! Finds the end of a part of any content type: at the declared length or at the boundary.

use super::{LengthTrust, Parser, ParserEvent, PartEnd, State, Step, count_line_ends, len_without_line_end};
use crate::Error;
use crate::container::multipart::delimiter::Match;
use crate::container::stream_buffer::expected_picture_bytes;

impl Parser {
    pub(super) fn begin_body(&mut self) -> Result<Step, Error> {
        self.scanned = 0;
        let declared = self.headers.declared_len();
        self.state = match (self.part_end, declared) {
            (PartEnd::AtJpegEoi, declared) => State::PictureStart { declared },
            (PartEnd::AtBoundary, Some(len)) if self.length_trust != LengthTrust::Refuted => {
                if len > self.limits.max_body_bytes {
                    return Err(self.skip_too_large());
                }
                State::SizedBody { len }
            }
            (PartEnd::AtBoundary, _) => State::UnsizedBody,
        };
        let declared = declared.filter(|_| !matches!(self.state, State::UnsizedBody));
        self.buf.reserve_picture(declared.unwrap_or_else(|| expected_picture_bytes(self.last_body_bytes)));
        Ok(Step::Continue)
    }

    pub(super) fn sized_body(&mut self, len: usize) -> Step {
        if self.buf.len() < len {
            return Step::NeedBytes;
        }
        if self.length_trust == LengthTrust::Unknown && !self.is_plausible_body(len) {
            self.state = State::SuspectBody { len };
            return Step::Continue;
        }
        self.state = State::Gap { expects_boundary: true, is_after_sized: true };
        Step::Event(ParserEvent::Part(self.take_part(len, true, None)))
    }

    /// Returns whether the first `len` bytes of the buffer look like one whole body.
    fn is_plausible_body(&self, len: usize) -> bool {
        let body = &self.buf[..len];
        let body = &body[count_line_ends(body)..];
        if body.starts_with(&[0xFF, 0xD8]) {
            // Some cameras add padding after the end of the picture.
            let padding = body.iter().rev().take_while(|b| matches!(b, 0 | b' ' | b'\r' | b'\n')).count();
            return body[..body.len() - padding].ends_with(&[0xFF, 0xD9]);
        }
        self.delimiter().find(body, 0).is_none()
            && !matches!(self.delimiter().match_text(body), Match::Yes(_))
    }

    pub(super) fn suspect_body(&mut self, len: usize) -> Step {
        match self.delimiter().match_after_line_end(&self.buf[len..]) {
            Match::Incomplete => Step::NeedBytes,
            Match::Yes(_) => {
                self.state = State::Gap { expects_boundary: true, is_after_sized: true };
                Step::Event(ParserEvent::Part(self.take_part(len, true, None)))
            }
            Match::No => {
                self.length_trust = LengthTrust::Refuted;
                self.state = State::UnsizedBody;
                Step::Continue
            }
        }
    }

    pub(super) fn unsized_body(&mut self) -> Result<Step, Error> {
        if self.scanned == 0 {
            match self.delimiter().match_text(&self.buf) {
                Match::Incomplete => return Ok(Step::NeedBytes),
                Match::Yes(len) => return Ok(self.end_at_boundary(0, len, false)),
                Match::No => {}
            }
        }
        let needle_len = self.delimiter().needle_len();
        let from = self.scanned.saturating_sub(needle_len - 1);
        let boundary = self.delimiter().find(&self.buf, from);
        let body_bytes = match boundary {
            Some(line_feed) => len_without_line_end(&self.buf[..=line_feed]),
            // At least these bytes belong to the body, wherever the body ends.
            None => self.buf.len().saturating_sub(needle_len),
        };
        if body_bytes > self.limits.max_body_bytes {
            return Err(self.skip_too_large());
        }
        match boundary {
            Some(line_feed) => Ok(self.end_at_boundary(body_bytes, line_feed + needle_len, false)),
            None => {
                self.scanned = self.buf.len();
                Ok(Step::NeedBytes)
            }
        }
    }

    /// Ends the part, whose body is the first `body_bytes` of the buffer. The boundary after the body ends at the
    /// offset `boundary_end`.
    pub(super) fn end_at_boundary(
        &mut self,
        body_bytes: usize,
        boundary_end: usize,
        is_complete: bool,
    ) -> Step {
        if body_bytes == 0 {
            self.consume(boundary_end);
            self.state = State::AfterBoundary { has_empty_part: true };
            return Step::Continue;
        }
        let part = self.take_part(body_bytes, is_complete, None);
        self.consume(boundary_end - body_bytes);
        self.state = State::AfterBoundary { has_empty_part: false };
        Step::Event(ParserEvent::Part(part))
    }
}
