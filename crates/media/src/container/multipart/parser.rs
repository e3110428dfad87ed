//! Parses a multipart stream in whatever variant a camera sends.
//!
//! The parser ends a part as soon as its end is certain, because in a live stream the next bytes arrive a frame later.
//! A part with a `Content-Length` ends at that length, before the next bytes arrive. The parser then checks the length
//! against the next boundary, and ignores the lengths of a camera that sends wrong lengths. If the parts are known to
//! be pictures, the end of the picture overrides the length. All other parts end at the boundary. The result does not
//! depend on how the stream is divided into pushes: each decision depends on the bytes only.

mod body;
mod head;
mod picture;

use bytes::BufMut;

use super::delimiter::{BoundaryDetector, Delimiter, Match};
use super::{Headers, Part, Problem};
use crate::Error;
use crate::codec::jpeg::Header;
use crate::container::DEFAULT_MAX_PICTURE_BYTES;
use crate::container::stream_buffer::StreamBuffer;
use picture::{PictureSearch, Tail};

/// The memory limits of a parser. A part that exceeds a limit is an error, after which the parser goes on at the next
/// boundary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The maximum size of a body in bytes, and also the maximum number of bytes before the first boundary.
    pub max_body_bytes: usize,
    /// The maximum size of a part's header block in bytes, line ends included.
    pub max_header_bytes: usize,
    /// The maximum number of headers in a part.
    pub max_headers: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_body_bytes: DEFAULT_MAX_PICTURE_BYTES, max_header_bytes: 8 << 10, max_headers: 64 }
    }
}

/// The rule for where a part ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PartEnd {
    /// At the part's `Content-Length` if the length is correct, otherwise at the boundary. This rule is right for every
    /// content type.
    #[default]
    AtBoundary,
    /// At the end of the JPEG image in the part, whatever its `Content-Length` says. A part without a JPEG image ends
    /// as in [`PartEnd::AtBoundary`]. Many cameras send the boundary only before the next picture; for these cameras,
    /// this rule yields each picture a whole frame earlier. CR and LF before the picture are skipped; other bytes
    /// before the picture stay in the body.
    AtJpegEoi,
}

/// What the parser found in the stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ParserEvent {
    /// A complete part.
    Part(Part),
    /// The closing boundary, after which no part should follow. Because some cameras send more parts after it, the
    /// parser can yield parts after this event.
    End,
}

/// Parses a multipart stream, whose bytes arrive in pieces, into parts.
///
/// After each [`push`](Self::push), or write into the [`room`](Self::room), call [`next_event`](Self::next_event) until
/// it yields `None`; the parser then holds at most one incomplete part. The part that the parser returns takes over the
/// memory of the parser's buffer. It is copied only if it is much smaller than that memory.
#[derive(Debug)]
pub struct Parser {
    limits: Limits,
    part_end: PartEnd,
    buf: StreamBuffer,
    /// The offset of the start of `buf`, in bytes from the start of the stream.
    offset: u64,
    /// The offset in `buf` before which the parser has searched in its current state and found nothing.
    scanned: usize,
    state: State,
    boundary_detector: BoundaryDetector,
    delimiter: Option<Delimiter>,
    /// The headers of the current part.
    headers: Headers,
    length_trust: LengthTrust,
    /// The search for the picture in the current body.
    picture_search: PictureSearch,
    /// Whether this camera sends pictures without EOI. This is known as soon as a picture ended without EOI at its
    /// declared length, and a boundary followed.
    lacks_eoi: bool,
    trailing_junk_count: u64,
    /// The size of the previous body, as an estimate of the size of the next body.
    last_body_bytes: usize,
}

#[derive(Debug, Clone, Copy)]
enum State {
    /// Before the first boundary. `false_pictures` is the number of SOI markers so far from which no whole picture
    /// followed.
    Preamble { read_bytes: usize, false_pictures: u8 },
    /// In a picture before the first boundary.
    PreamblePicture { read_bytes: usize, false_pictures: u8 },
    /// Right after a boundary. `has_empty_part` says that the part before this boundary has no body. A sender that
    /// sends the headers of each part before the part's body is ready ends the stream with such a part.
    AfterBoundary { has_empty_part: bool },
    /// After the two dashes of the closing boundary, which say that no part follows.
    AfterEnd,
    /// In a header block. `is_boundary_line` says that the next line to read is what remains of the boundary's line.
    Headers { read_bytes: usize, is_boundary_line: bool },
    /// In a body that has `len` bytes according to its `Content-Length`. That header can be wrong. So as long as the
    /// parser trusts no length of this stream, it checks whether these bytes look like a whole body.
    SizedBody { len: usize },
    /// After the first `len` bytes of a body that has this length according to its `Content-Length`, but does not look
    /// like a whole body. The next bytes decide whether the length is right.
    SuspectBody { len: usize },
    /// In a body that ends at the boundary.
    UnsizedBody,
    /// In bytes that belong to no part, up to the next boundary. `expects_boundary` says that the boundary should come
    /// at once. `is_after_sized` says that the part before these bytes ended at its `Content-Length`.
    Gap { expects_boundary: bool, is_after_sized: bool },
    /// At the start of a body that should be a picture. `declared` is its `Content-Length`, if the part has one.
    PictureStart { declared: Option<usize> },
    /// In a picture whose declared length is `len` bytes, but which can end earlier.
    SizedPicture { len: usize },
    /// At the declared length of a picture that has no EOI there. The next bytes decide where the picture ends.
    SuspectPicture { len: usize },
    /// In a body that might contain a picture. The body ends at the picture's end or at the boundary. `declared` is its
    /// `Content-Length`, if the part has one.
    UnsizedPicture { declared: Option<usize> },
    /// In the bytes between the end of a picture and the next boundary.
    Tail(Tail),
    /// The parser has given up, because it found no boundary.
    Failed,
}

/// Whether the `Content-Length` headers of this stream are correct, as far as the parser has seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LengthTrust {
    Unknown,
    /// A boundary followed a body at the length that the `Content-Length` declared.
    Proven,
    /// No boundary followed a body at the length that the `Content-Length` declared.
    Refuted,
}

/// The result of one step of the parser.
enum Step {
    Continue,
    NeedBytes,
    Event(ParserEvent),
}

impl Parser {
    /// Creates a parser for a stream whose header declares `boundary`, with or without leading dashes. If `boundary` is
    /// `None`, the first line that begins with two dashes is the boundary.
    pub fn new(boundary: Option<&str>) -> Self {
        Self {
            limits: Limits::default(),
            part_end: PartEnd::default(),
            buf: StreamBuffer::default(),
            offset: 0,
            scanned: 0,
            state: State::Preamble { read_bytes: 0, false_pictures: 0 },
            boundary_detector: BoundaryDetector::new(boundary),
            delimiter: None,
            headers: Headers::default(),
            length_trust: LengthTrust::Unknown,
            picture_search: PictureSearch::default(),
            lacks_eoi: false,
            trailing_junk_count: 0,
            last_body_bytes: 0,
        }
    }

    /// Replaces the parser's memory limits, and returns the parser.
    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Replaces the rule for where parts end, and returns the parser.
    #[must_use]
    pub fn with_part_end(mut self, part_end: PartEnd) -> Self {
        self.part_end = part_end;
        self
    }

    /// Appends a copy of the next bytes of the stream.
    pub fn push(&mut self, bytes: &[u8]) {
        if !matches!(self.state, State::Failed) {
            self.buf.push(bytes);
        }
    }

    /// Returns the place for the next bytes of the stream, which is never empty: what is written there counts as
    /// [pushed](Self::push), without a copy.
    pub fn room(&mut self) -> impl BufMut {
        if matches!(self.state, State::Failed) {
            self.buf = StreamBuffer::default();
        }
        self.buf.room()
    }

    /// Returns the next event in the bytes pushed so far, or `None` if more bytes are needed.
    ///
    /// # Errors
    /// [`Error::TooLarge`] and [`Error::Multipart`] if the stream exceeds the [`Limits`]. A part that exceeds the
    /// limits is skipped, and the next call goes on after the part. Only [`Problem::NoBoundary`] is fatal.
    pub fn next_event(&mut self) -> Result<Option<ParserEvent>, Error> {
        loop {
            let step = match self.state {
                State::Preamble { read_bytes, false_pictures } => {
                    self.preamble(read_bytes, false_pictures)?
                }
                State::PreamblePicture { read_bytes, false_pictures } => {
                    self.preamble_picture(read_bytes, false_pictures)
                }
                State::AfterBoundary { has_empty_part } => self.after_boundary(has_empty_part),
                State::AfterEnd => self.after_end(),
                State::Headers { read_bytes, is_boundary_line } => {
                    self.header_line(read_bytes, is_boundary_line)?
                }
                State::SizedBody { len } => self.sized_body(len),
                State::SuspectBody { len } => self.suspect_body(len),
                State::UnsizedBody => self.unsized_body()?,
                State::Gap { expects_boundary: true, is_after_sized } => {
                    self.expected_boundary(is_after_sized)
                }
                State::Gap { .. } => self.gap(),
                State::PictureStart { declared } => self.picture_start(declared),
                State::SizedPicture { len } => self.sized_picture(len),
                State::SuspectPicture { len } => self.suspect_picture(len),
                State::UnsizedPicture { declared } => self.unsized_picture(declared)?,
                State::Tail(tail) => self.tail(tail),
                State::Failed => return Err(self.no_boundary()),
            };
            match step {
                Step::Continue => {}
                Step::NeedBytes => return Ok(None),
                Step::Event(event) => return Ok(Some(event)),
            }
        }
    }

    /// Returns how many pictures so far were followed by stray bytes other than blanks and zeros. These stray bytes do
    /// not belong to any part. The number goes up when the stray bytes arrive. It is always 0 without
    /// [`PartEnd::AtJpegEoi`].
    pub fn trailing_junk_count(&self) -> u64 {
        self.trailing_junk_count
    }

    /// Ends the stream and returns the last part if only the boundary after it is missing. A part that is shorter than
    /// its `Content-Length` is dropped. Call this method when [`next_event`](Self::next_event) yields `None`.
    pub fn finish(mut self) -> Option<Part> {
        let (len, is_complete) = match self.state {
            State::SizedBody { len } | State::SuspectBody { len } if self.buf.len() >= len => (len, true),
            State::SuspectPicture { len } => (len, true),
            State::UnsizedBody | State::UnsizedPicture { .. } => {
                (len_without_line_end(&self.buf).min(self.limits.max_body_bytes), false)
            }
            _ => (0, false),
        };
        (len > 0).then(|| self.take_part(len, is_complete, None))
    }

    fn expected_boundary(&mut self, is_after_sized: bool) -> Step {
        match self.delimiter().match_after_line_end(&self.buf) {
            Match::Incomplete => return Step::NeedBytes,
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
        Step::Continue
    }

    fn gap(&mut self) -> Step {
        let needle_len = self.delimiter().needle_len();
        match self.delimiter().find(&self.buf, 0) {
            Some(line_feed) => {
                self.consume(line_feed + needle_len);
                self.state = State::AfterBoundary { has_empty_part: false };
                Step::Continue
            }
            None => {
                self.consume(self.buf.len().saturating_sub(needle_len - 1));
                Step::NeedBytes
            }
        }
    }

    fn take_part(&mut self, body_bytes: usize, is_complete: bool, jpeg_header: Option<Header>) -> Part {
        let part = Part {
            headers: std::mem::take(&mut self.headers),
            body: self.buf.take(body_bytes),
            offset: self.offset,
            is_complete,
            jpeg_header,
        };
        self.offset += body_bytes as u64;
        self.scanned = 0;
        self.last_body_bytes = body_bytes;
        part
    }

    /// Returns the length of the line at the start of the buffer, line end included; `None` if the line is incomplete.
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

    /// Drops the current part, so that the parser goes on after the next boundary. `expects_boundary` says that the
    /// boundary can come at once.
    fn skip_to_boundary(&mut self, expects_boundary: bool) {
        self.headers = Headers::default();
        self.scanned = 0;
        self.state = match self.part_end {
            PartEnd::AtBoundary => State::Gap { expects_boundary, is_after_sized: false },
            PartEnd::AtJpegEoi => State::Tail(Tail::Skipped),
        };
    }

    fn skip_part(&mut self, problem: Problem) -> Error {
        self.skip_to_boundary(false);
        Error::Multipart { offset: self.offset, problem }
    }

    fn skip_too_large(&mut self) -> Error {
        self.skip_to_boundary(true);
        Error::TooLarge { offset: self.offset, limit_bytes: self.limits.max_body_bytes }
    }

    fn no_boundary(&self) -> Error {
        Error::Multipart {
            offset: self.offset,
            problem: Problem::NoBoundary { limit_bytes: self.limits.max_body_bytes },
        }
    }
}

/// Returns `line` without the CR LF or LF at its end.
fn trim_line(line: &[u8]) -> &[u8] {
    &line[..len_without_line_end(line)]
}

/// Returns the length of `bytes` without the line end at their end, if there is one.
fn len_without_line_end(bytes: &[u8]) -> usize {
    let trimmed = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    trimmed.strip_suffix(b"\r").unwrap_or(trimmed).len()
}

/// Counts the CR and LF bytes at the start of `bytes`.
fn count_line_ends(bytes: &[u8]) -> usize {
    bytes.iter().take_while(|b| matches!(b, b'\r' | b'\n')).count()
}
