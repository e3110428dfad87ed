//! Parses what precedes a body: the preamble of the stream, the boundary line and the headers of the part.

use bytes::Bytes;

use super::{Parser, ParserEvent, PartEnd, State, Step, trim_line};
use crate::Error;
use crate::codec::jpeg::PICTURE_START;
use crate::container::multipart::delimiter::{HEADER_START, Match, PreambleLine};
use crate::container::multipart::{Headers, Part, Problem};
use crate::container::stream_buffer::StreamBuffer;

/// The maximum length in bytes of a header line before the first boundary. A longer header line is dropped.
const MAX_PREAMBLE_HEADER_BYTES: usize = 1024;

/// The maximum number of false SOI markers before the first boundary. A false SOI marker is one that no whole picture
/// follows. For each, the parser reads to the end of the supposed picture.
const MAX_FALSE_PICTURES: u8 = 8;

impl Parser {
    pub(super) fn preamble(&mut self, read_bytes: usize, false_pictures: u8) -> Result<Step, Error> {
        if self.part_end == PartEnd::AtJpegEoi && false_pictures < MAX_FALSE_PICTURES {
            match starts_with(&self.buf, PICTURE_START) {
                Some(true) => {
                    self.picture_search.begin(0);
                    self.state = State::PreamblePicture { read_bytes, false_pictures };
                    return Ok(Step::Continue);
                }
                None if !self.buf.is_empty() => return Ok(Step::NeedBytes),
                _ => {}
            }
        }
        let line_len = self.find_line();
        let read_bytes = read_bytes + line_len.unwrap_or(self.buf.len());
        if read_bytes > self.limits.max_body_bytes {
            self.state = State::Failed;
            self.buf = StreamBuffer::default();
            return Err(self.no_boundary());
        }
        let Some(line_len) = line_len else {
            return Ok(Step::NeedBytes);
        };
        let line = trim_line(&self.buf[..line_len]);
        match self.boundary_detector.classify_line(line) {
            PreambleLine::Other => {
                if line.len() <= MAX_PREAMBLE_HEADER_BYTES && self.headers.len() < self.limits.max_headers {
                    self.headers.add_line(line);
                }
                self.consume(line_len);
                self.state = State::Preamble { read_bytes, false_pictures };
            }
            PreambleLine::Boundary(delimiter) => {
                self.headers = Headers::default();
                self.consume(delimiter.text().len());
                self.delimiter = Some(delimiter);
                self.state = State::AfterBoundary { has_empty_part: false };
            }
            PreambleLine::Header(delimiter) => {
                self.headers = Headers::default();
                self.scanned = 0;
                self.delimiter = Some(delimiter);
                self.state = State::Headers { read_bytes: 0, is_boundary_line: false };
            }
        }
        Ok(Step::Continue)
    }

    /// Reads a picture before the first boundary. Some cameras send the first part without a boundary before it.
    pub(super) fn preamble_picture(&mut self, read_bytes: usize, false_pictures: u8) -> Step {
        let within = self.buf.len().min(self.limits.max_body_bytes);
        match self.picture_search.finder.advance(&self.buf[..within]) {
            Ok(Some(len)) => {
                let is_complete = self.headers.declared_len() == Some(len);
                self.state = State::Preamble { read_bytes: 0, false_pictures: 0 };
                let header = self.picture_search.finder.header();
                Step::Event(ParserEvent::Part(self.take_part(len, is_complete, header)))
            }
            Ok(None) if self.buf.len() <= self.limits.max_body_bytes => Step::NeedBytes,
            // Searches the supposed picture for the boundary.
            _ => {
                self.consume(2);
                let (read_bytes, false_pictures) = (read_bytes + 2, false_pictures + 1);
                self.state = State::Preamble { read_bytes, false_pictures };
                Step::Continue
            }
        }
    }

    pub(super) fn after_boundary(&mut self, has_empty_part: bool) -> Step {
        if self.buf.is_empty() || self.buf[..] == *b"-" {
            return Step::NeedBytes;
        }
        if self.buf.starts_with(b"--") {
            self.consume(2);
            self.headers = Headers::default();
            self.state = State::AfterEnd;
            return Step::Event(ParserEvent::End);
        }
        self.state = State::Headers { read_bytes: 0, is_boundary_line: true };
        let headers = std::mem::take(&mut self.headers);
        if has_empty_part && !headers.is_empty() {
            let offset = self.offset;
            let part = Part { headers, body: Bytes::new(), offset, is_complete: true, jpeg_header: None };
            return Step::Event(ParserEvent::Part(part));
        }
        Step::Continue
    }

    /// Continues after a closing boundary, which has two dashes at its end. Some cameras put these dashes after every
    /// boundary; headers or a picture then follow on the next line.
    pub(super) fn after_end(&mut self) -> Step {
        let line_len = match self.find_line() {
            Some(line_len) => line_len,
            None if self.buf.len() <= self.limits.max_header_bytes => return Step::NeedBytes,
            None => self.buf.len(),
        };
        let (line, next) = self.buf.split_at(line_len);
        let begins_part = match self.part_end {
            _ if line_len > self.limits.max_header_bytes || !line.trim_ascii().is_empty() => Some(false),
            PartEnd::AtJpegEoi => match starts_with(next, PICTURE_START) {
                Some(false) => starts_with(next, HEADER_START),
                other => other,
            },
            PartEnd::AtBoundary => starts_with(next, HEADER_START),
        };
        match begins_part {
            None => {
                // The next call searches for the line end again.
                self.scanned = 0;
                return Step::NeedBytes;
            }
            Some(true) => {
                self.consume(line_len);
                self.state = State::Headers { read_bytes: 0, is_boundary_line: false };
            }
            Some(false) => self.skip_to_boundary(false),
        }
        Step::Continue
    }

    pub(super) fn header_line(&mut self, read_bytes: usize, is_boundary_line: bool) -> Result<Step, Error> {
        if !is_boundary_line && self.buf.starts_with(&[0xFF]) {
            // A picture without a blank line before it, or other bytes that are not a header.
            return if self.buf.len() < 2 { Ok(Step::NeedBytes) } else { self.begin_body() };
        }
        if self.begins_picture(read_bytes) {
            return self.begin_body();
        }
        let line_len = self.find_line();
        let read_bytes = read_bytes + line_len.unwrap_or(self.buf.len());
        if read_bytes > self.limits.max_header_bytes {
            let limit_bytes = self.limits.max_header_bytes;
            return Err(self.skip_part(Problem::HeaderTooLong { limit_bytes }));
        }
        let Some(line_len) = line_len else {
            return Ok(Step::NeedBytes);
        };
        let line = trim_line(&self.buf[..line_len]);
        if is_boundary_line {
            // Some cameras write the first header right after the boundary.
            self.headers.add_line(line);
            self.consume(line_len);
        } else if line.is_empty() {
            self.consume(line_len);
            return self.begin_body();
        } else if line.starts_with(b"--")
            && self.delimiter().match_text(line) == Match::Yes(self.delimiter().text().len())
        {
            self.consume(self.delimiter().text().len());
            self.headers = Headers::default();
            self.state = State::AfterBoundary { has_empty_part: false };
            return Ok(Step::Continue);
        } else if self.headers.len() == self.limits.max_headers {
            let limit = self.limits.max_headers;
            return Err(self.skip_part(Problem::TooManyHeaders { limit }));
        } else {
            self.headers.add_line(line);
            self.consume(line_len);
        }
        self.state = State::Headers { read_bytes, is_boundary_line: false };
        Ok(Step::Continue)
    }

    /// Returns whether a picture begins within the line at the start of the buffer. If so, the camera left out the
    /// blank line before the body.
    fn begins_picture(&self, read_bytes: usize) -> bool {
        if self.part_end != PartEnd::AtJpegEoi {
            return false;
        }
        let from = self.scanned.saturating_sub(PICTURE_START.len() - 1);
        let room = self.limits.max_header_bytes.saturating_sub(read_bytes).min(self.buf.len());
        let line = self.buf.get(from..room).unwrap_or_default();
        let line = &line[..memchr::memchr(b'\n', line).unwrap_or(line.len())];
        memchr::memmem::find(line, PICTURE_START).is_some()
    }
}

/// Returns whether `bytes` begin with `start`. The case of letters does not matter. Returns `None` if `bytes` are too
/// short to decide.
fn starts_with(bytes: &[u8], start: &[u8]) -> Option<bool> {
    let len = bytes.len().min(start.len());
    let is_equal = bytes[..len].eq_ignore_ascii_case(&start[..len]);
    if is_equal && len < start.len() { None } else { Some(is_equal) }
}
