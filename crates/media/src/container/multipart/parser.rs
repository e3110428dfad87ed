//! Reads a multipart stream in whatever variant a camera sends it.
//!
//! A part with a `Content-Length` ends when it is complete, without a look at what follows, because in a live stream
//! what follows is a frame away. The length is checked against the boundary behind it, and a camera that counts wrong
//! is not believed again. All other parts end at the boundary. How the stream is cut into pushes never
//! changes what is found in it: each decision looks at the bytes alone.

mod body;

use bytes::{Buf, Bytes, BytesMut};

use super::delimiter::{Delimiter, Line, Match, Search};
use super::{Headers, Part, Problem};
use crate::Error;
use crate::codec::jpeg::Finder;
use crate::container::DEFAULT_MAX_PICTURE_BYTES;

/// What a stream may ask of memory. More than that is an error; the parser goes on at the next boundary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The largest body, in bytes; also the most that may come before the first boundary.
    pub max_body_bytes: usize,
    /// The largest header block of a part, line ends included, in bytes.
    pub max_header_bytes: usize,
    /// The most headers in a part.
    pub max_headers: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_body_bytes: DEFAULT_MAX_PICTURE_BYTES, max_header_bytes: 8 << 10, max_headers: 64 }
    }
}

/// Where a part without a (true) `Content-Length` ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PartEnd {
    /// At the boundary: right for every content type.
    #[default]
    AtBoundary,
    /// Where the JPEG image in it ends, or at the boundary if there is none in it. Many cameras send the boundary only in
    /// front of the next picture; this shows a picture a whole frame earlier. Line ends before the picture are skipped.
    AtJpegEoi,
}

/// What the parser found next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A part is complete.
    Part(Part),
    /// The boundary says that no part follows. Some cameras go on, and so does the parser.
    End,
}

/// Takes the bytes of a stream as they come and yields its parts.
///
/// After each [`push`](Self::push) call [`next_event`](Self::next_event) until it yields `None`; the parser then holds
/// no more than one part that is not complete. A body is copied once, into the parser's buffer, and handed out
/// from there.
#[derive(Debug)]
pub struct Parser {
    limits: Limits,
    part_end: PartEnd,
    buf: BytesMut,
    /// Where `buf` begins, in bytes from the start of the stream.
    offset: u64,
    /// How far `buf` was searched in vain for what the state looks for.
    scanned: usize,
    state: State,
    search: Search,
    delimiter: Option<Delimiter>,
    /// Of the part that is being read.
    headers: Headers,
    length_trust: LengthTrust,
    /// Walks the picture in a body that has no known length.
    finder: Finder,
    /// The size of the body before, as a guess at the next.
    last_body_bytes: usize,
}

#[derive(Debug, Clone, Copy)]
enum State {
    /// Before the first boundary.
    Preamble { read_bytes: usize },
    /// Right behind a boundary. `has_empty_part`: a part without a body ended there, which may have been the sender's
    /// way to end a stream whose next headers were out already.
    AfterBoundary { has_empty_part: bool },
    /// The boundary's line is the first of the block.
    Headers { read_bytes: usize, is_boundary_line: bool },
    /// A body of this length, if the header is right.
    SizedBody { len: usize },
    /// A body that does not look as if it had this length: the next bytes will tell.
    SuspectBody { len: usize },
    /// A body that ends at the boundary.
    OpenBody,
    /// Bytes that belong to no part, up to the next boundary.
    Gap { expects_boundary: bool, is_after_sized: bool },
    /// No boundary was found.
    Failed,
}

/// What is known of the `Content-Length` headers of this stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LengthTrust {
    Unknown,
    /// A boundary stood where the length said.
    Proven,
    /// Something else stood there.
    Refuted,
}

/// How a step of the parser ended.
enum Step {
    Again,
    NeedBytes,
    Event(Event),
}

impl Parser {
    /// A parser for a stream whose header declares `boundary`, with or without leading dashes; with `None` the first
    /// line that begins with two dashes is the boundary.
    pub fn new(boundary: Option<&str>) -> Self {
        Self {
            limits: Limits::default(),
            part_end: PartEnd::default(),
            buf: BytesMut::new(),
            offset: 0,
            scanned: 0,
            state: State::Preamble { read_bytes: 0 },
            search: Search::new(boundary),
            delimiter: None,
            headers: Headers::default(),
            length_trust: LengthTrust::Unknown,
            finder: Finder::new(),
            last_body_bytes: 0,
        }
    }

    /// The same parser with other bounds.
    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// The same parser with another rule for the end of parts without a length.
    #[must_use]
    pub fn with_part_end(mut self, part_end: PartEnd) -> Self {
        self.part_end = part_end;
        self
    }

    /// Takes the next bytes of the stream.
    pub fn push(&mut self, bytes: &[u8]) {
        if !matches!(self.state, State::Failed) {
            self.buf.extend_from_slice(bytes);
        }
    }

    /// What is in the bytes pushed so far; `None` when more are needed.
    ///
    /// # Errors
    /// [`Error::TooLarge`] and [`Error::Multipart`] if the stream goes over the [`Limits`]. A part that does is left
    /// out: the next call goes on behind it. Only [`Problem::NoBoundary`] is final.
    pub fn next_event(&mut self) -> Result<Option<Event>, Error> {
        loop {
            let step = match self.state {
                State::Preamble { read_bytes } => self.preamble(read_bytes)?,
                State::AfterBoundary { has_empty_part } => self.after_boundary(has_empty_part),
                State::Headers { read_bytes, is_boundary_line } => {
                    self.header_line(read_bytes, is_boundary_line)?
                }
                State::SizedBody { len } => self.sized_body(len),
                State::SuspectBody { len } => self.suspect_body(len),
                State::OpenBody => self.open_body()?,
                State::Gap { expects_boundary: true, is_after_sized } => {
                    self.expected_boundary(is_after_sized)
                }
                State::Gap { .. } => self.gap(),
                State::Failed => return Err(self.no_boundary()),
            };
            match step {
                Step::Again => {}
                Step::NeedBytes => return Ok(None),
                Step::Event(event) => return Ok(Some(event)),
            }
        }
    }

    /// Ends the stream: the last part, if only its boundary was missing. One that is shorter than its
    /// `Content-Length` is dropped. Call it when [`next_event`](Self::next_event) yields `None`.
    pub fn finish(mut self) -> Option<Part> {
        let len = match self.state {
            State::SizedBody { len } | State::SuspectBody { len } if self.buf.len() >= len => len,
            State::OpenBody => without_line_end(&self.buf).min(self.limits.max_body_bytes),
            _ => 0,
        };
        (len > 0).then(|| self.take_part(len))
    }

    fn preamble(&mut self, read_bytes: usize) -> Result<Step, Error> {
        let line_len = self.find_line();
        let read_bytes = read_bytes + line_len.unwrap_or(self.buf.len());
        if read_bytes > self.limits.max_body_bytes {
            self.state = State::Failed;
            self.buf = BytesMut::new();
            return Err(self.no_boundary());
        }
        let Some(line_len) = line_len else {
            return Ok(Step::NeedBytes);
        };
        match self.search.line(trim_line(&self.buf[..line_len])) {
            Line::Preamble => {
                self.consume(line_len);
                self.state = State::Preamble { read_bytes };
            }
            Line::Boundary(delimiter) => {
                self.consume(delimiter.text().len());
                self.delimiter = Some(delimiter);
                self.state = State::AfterBoundary { has_empty_part: false };
            }
            Line::Header(delimiter) => {
                self.scanned = 0;
                self.delimiter = Some(delimiter);
                self.state = State::Headers { read_bytes: 0, is_boundary_line: false };
            }
        }
        Ok(Step::Again)
    }

    fn after_boundary(&mut self, has_empty_part: bool) -> Step {
        if self.buf.is_empty() || self.buf[..] == *b"-" {
            return Step::NeedBytes;
        }
        if self.buf.starts_with(b"--") {
            self.consume(2);
            self.headers = Headers::default();
            self.state = State::Gap { expects_boundary: false, is_after_sized: false };
            return Step::Event(Event::End);
        }
        self.state = State::Headers { read_bytes: 0, is_boundary_line: true };
        let headers = std::mem::take(&mut self.headers);
        if has_empty_part && !headers.is_empty() {
            return Step::Event(Event::Part(Part { headers, body: Bytes::new(), offset: self.offset }));
        }
        Step::Again
    }

    fn header_line(&mut self, read_bytes: usize, is_boundary_line: bool) -> Result<Step, Error> {
        if !is_boundary_line && self.buf.starts_with(&[0xFF]) {
            // A picture without a blank line before it, or nonsense that is no header either.
            return if self.buf.len() < 2 { Ok(Step::NeedBytes) } else { self.begin_body() };
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
            return Ok(Step::Again);
        } else if self.headers.len() == self.limits.max_headers {
            let limit = self.limits.max_headers;
            return Err(self.skip_part(Problem::TooManyHeaders { limit }));
        } else {
            self.headers.add_line(line);
            self.consume(line_len);
        }
        self.state = State::Headers { read_bytes, is_boundary_line: false };
        Ok(Step::Again)
    }

    fn expected_boundary(&mut self, is_after_sized: bool) -> Step {
        match self.delimiter().match_after_line_end(&self.buf) {
            Match::Open => return Step::NeedBytes,
            Match::Yes(len) => {
                if is_after_sized {
                    self.length_trust = LengthTrust::Proven;
                }
                self.consume(len);
                self.state = State::AfterBoundary { has_empty_part: false };
            }
            Match::No => {
                if is_after_sized {
                    self.length_trust = LengthTrust::Refuted;
                }
                self.state = State::Gap { expects_boundary: false, is_after_sized };
            }
        }
        Step::Again
    }

    fn gap(&mut self) -> Step {
        let needle_len = self.delimiter().needle_len();
        match self.delimiter().find(&self.buf, 0) {
            Some(line_feed) => {
                self.consume(line_feed + needle_len);
                self.state = State::AfterBoundary { has_empty_part: false };
                Step::Again
            }
            None => {
                self.consume(self.buf.len().saturating_sub(needle_len - 1));
                Step::NeedBytes
            }
        }
    }

    fn take_part(&mut self, body_bytes: usize) -> Part {
        let part = Part {
            headers: std::mem::take(&mut self.headers),
            body: self.buf.split_to(body_bytes).freeze(),
            offset: self.offset,
        };
        self.offset += body_bytes as u64;
        self.scanned = 0;
        self.last_body_bytes = body_bytes;
        part
    }

    /// Length of the line at the start of the buffer, with its end.
    fn find_line(&mut self) -> Option<usize> {
        let found = memchr::memchr(b'\n', &self.buf[self.scanned..]).map(|at| self.scanned + at + 1);
        self.scanned = self.buf.len();
        found
    }

    fn consume(&mut self, len: usize) {
        self.buf.advance(len);
        self.offset += len as u64;
        self.scanned = 0;
    }

    fn delimiter(&self) -> &Delimiter {
        self.delimiter.as_ref().expect("the preamble ends when the delimiter is known")
    }

    fn skip_part(&mut self, problem: Problem) -> Error {
        self.headers = Headers::default();
        self.scanned = 0;
        self.state = State::Gap { expects_boundary: false, is_after_sized: false };
        Error::Multipart { offset: self.offset, problem }
    }

    fn skip_too_large(&mut self) -> Error {
        self.headers = Headers::default();
        self.scanned = 0;
        self.state = State::Gap { expects_boundary: true, is_after_sized: false };
        Error::TooLarge { offset: self.offset, limit_bytes: self.limits.max_body_bytes }
    }

    fn no_boundary(&self) -> Error {
        Error::Multipart {
            offset: self.offset,
            problem: Problem::NoBoundary { limit_bytes: self.limits.max_body_bytes },
        }
    }
}

/// A line without CR LF or LF.
fn trim_line(line: &[u8]) -> &[u8] {
    &line[..without_line_end(line)]
}

/// Length of `bytes` without the one line end at their end.
fn without_line_end(bytes: &[u8]) -> usize {
    let trimmed = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    trimmed.strip_suffix(b"\r").unwrap_or(trimmed).len()
}
