//! Reads an endless HTTP response picture by picture.

use std::sync::Arc;
use std::time::Duration;

use framecast_media::Frame;
use framecast_media::container::Picture;
use framecast_media::container::jpeg_stream::Splitter;
use framecast_media::container::multipart::{Limits, Parser, ParserEvent, PartEnd, Problem};
use tokio::time::{Instant, timeout_at};

use super::client::{Piece, RequestError, Response};
use super::session::source_error;
use super::target::HttpTarget;
use crate::arrival::capture_time;
use crate::{BoxFuture, Error, FrameBuilder, OpenContext, Source};

/// The header with which another Framecast server marks slates: the pictures that this other server draws itself when
/// its camera delivers none.
const SLATE_HEADER: &str = "x-framecast-notice";

/// The number of slates (pictures that another Framecast server draws itself) that must arrive in a row before the
/// source is considered lost. Slates come once a second.
const MAX_SLATES: u32 = 4;

/// A parser for the pictures of a stream. Each variant is for one way of separating pictures.
pub(super) enum Reader {
    /// Pictures that are the parts of a multipart body. `has_last_boundary` means that the closing boundary has
    /// arrived, after which no part should follow.
    Multipart {
        parser: Box<Parser>,
        has_last_boundary: bool,
    },
    ConcatenatedJpeg(Box<Splitter>),
}

impl Reader {
    /// Creates a reader of the parts of a multipart body. `boundary` is the boundary that the content type declares, if
    /// any; `head` is the part of the body that was already read.
    pub(super) fn multipart(target: &HttpTarget, boundary: Option<&str>, head: &[u8]) -> Self {
        let limits = Limits { max_body_bytes: target.max_picture_bytes, ..Limits::default() };
        let mut parser = Parser::new(boundary).with_limits(limits).with_part_end(PartEnd::AtJpegEoi);
        parser.push(head);
        Self::Multipart { parser: Box::new(parser), has_last_boundary: false }
    }

    /// Creates a reader of concatenated pictures. `head` is the part of the body that was already read.
    pub(super) fn concatenated_jpeg(target: &HttpTarget, head: &[u8]) -> Self {
        let mut splitter = Splitter::new(target.max_picture_bytes);
        splitter.push(head);
        Self::ConcatenatedJpeg(Box::new(splitter))
    }

    fn push(&mut self, bytes: &[u8]) {
        match self {
            Self::Multipart { parser, .. } => parser.push(bytes),
            Self::ConcatenatedJpeg(splitter) => splitter.push(bytes),
        }
    }

    /// Takes the next bytes of the stream from `response`: reads them to where the picture stays if possible. Returns
    /// false at the end of the body. Cancel safe.
    async fn read(&mut self, response: &mut Response) -> Result<bool, RequestError> {
        let piece = match self {
            Self::Multipart { parser, .. } => response.read(parser.room()).await?,
            Self::ConcatenatedJpeg(splitter) => response.read(splitter.room()).await?,
        };
        match piece {
            Piece::Written => {}
            Piece::Bytes(bytes) => self.push(&bytes),
            Piece::End => return Ok(false),
        }
        Ok(true)
    }

    fn next_picture(&mut self) -> Result<Option<Picture>, framecast_media::Error> {
        let (parser, has_last_boundary) = match self {
            Self::Multipart { parser, has_last_boundary } => (parser, has_last_boundary),
            Self::ConcatenatedJpeg(splitter) => return splitter.next_picture(),
        };
        loop {
            match parser.next_event()? {
                Some(ParserEvent::Part(part)) => {
                    *has_last_boundary = false;
                    let picture = Picture::from(part);
                    if is_picture(&picture) {
                        return Ok(Some(picture));
                    }
                    tracing::debug!("skipping a part that is not a picture");
                }
                // Some cameras go on after the closing boundary. A server that does not go on closes the connection, or
                // has reached its declared length.
                Some(ParserEvent::End) => *has_last_boundary = true,
                None => return Ok(None),
            }
        }
    }

    /// Returns the number of pictures that had stray bytes after them.
    fn trailing_junk_count(&self) -> u64 {
        match self {
            Self::Multipart { parser, .. } => parser.trailing_junk_count(),
            Self::ConcatenatedJpeg(_) => 0,
        }
    }

    /// Returns whether the stream's closing boundary has arrived.
    fn has_last_boundary(&self) -> bool {
        matches!(self, Self::Multipart { has_last_boundary: true, .. })
    }

    /// Ends parsing at the end of the stream. Returns the last picture if only this end shows that the picture is
    /// complete; otherwise `None`.
    fn finish(self) -> Option<Picture> {
        match self {
            Self::Multipart { parser, .. } => parser.finish().map(Picture::from).filter(is_picture),
            Self::ConcatenatedJpeg(_) => None,
        }
    }
}

/// An open stream. Dropping it closes the connection.
pub(super) struct HttpStream {
    target: Arc<HttpTarget>,
    response: Response,
    /// The parser of the pictures; `None` after the stream's end.
    reader: Option<Reader>,
    builder: FrameBuilder,
    pictures: u64,
    /// The number of slates (pictures that another Framecast server draws itself) that have arrived since the camera's
    /// last picture.
    slates: u32,
    /// When the wait for the next picture began; `None` if it has not begun yet. The value is kept when a caller
    /// cancels its wait and calls again.
    waiting_since: Option<Instant>,
}

impl HttpStream {
    /// Creates a stream whose body continues in `response`.
    pub(super) fn new(
        context: &OpenContext,
        target: Arc<HttpTarget>,
        response: Response,
        reader: Reader,
    ) -> Self {
        Self::resume(target, response, reader, FrameBuilder::new(context), 0)
    }

    /// Creates a stream from a response that did not look like a stream at first. `pictures` is the number of pictures
    /// from this response and earlier ones that `builder` has already turned into frames.
    pub(super) fn resume(
        target: Arc<HttpTarget>,
        response: Response,
        reader: Reader,
        builder: FrameBuilder,
        pictures: u64,
    ) -> Self {
        Self { target, response, reader: Some(reader), builder, pictures, slates: 0, waiting_since: None }
    }

    /// Returns the next picture as a frame; `None` when the server has ended the stream after at least one picture.
    pub(super) async fn read(&mut self) -> Result<Option<Frame>, Error> {
        loop {
            let Some(reader) = &mut self.reader else { return self.ended() };
            match reader.next_picture() {
                Ok(Some(picture)) if is_slate(&picture) => {
                    self.count_slate()?;
                    continue;
                }
                Ok(Some(picture)) => return self.build_frame(picture).map(Some),
                Ok(None) => {}
                Err(error) => return Err(self.parse_error(error)),
            }
            if reader.has_last_boundary() && self.response.is_at_declared_end() {
                return self.finish();
            }
            let (awaited, limit) = if self.pictures == 0 {
                ("the first picture", Some(self.target.picture_timeout()))
            } else {
                ("the next picture", self.target.silence)
            };
            let since = *self.waiting_since.get_or_insert_with(Instant::now);
            let read = reader.read(&mut self.response);
            let read = match limit {
                Some(limit) => match timeout_at(since + limit, read).await {
                    Ok(read) => read,
                    Err(_) => return Err(self.target.timeout_error(awaited, limit)),
                },
                // The supervisor decides how long a stream can be silent.
                None => read.await,
            };
            match read {
                Ok(true) => {}
                Ok(false) | Err(RequestError::CutOff) => return self.finish(),
                // Some servers reset the connection after they have sent everything.
                Err(RequestError::Io(error)) if self.pictures > 0 => {
                    tracing::debug!(%error, "the connection broke");
                    return self.finish();
                }
                Err(fault) => return Err(source_error(&self.target, fault)),
            }
        }
    }

    /// Ends the stream. Returns the last picture if only the end of the stream shows that the picture is complete;
    /// otherwise returns what [`ended`](Self::ended) returns.
    fn finish(&mut self) -> Result<Option<Frame>, Error> {
        match self.reader.take().and_then(Reader::finish) {
            Some(picture) if !is_slate(&picture) => self.build_frame(picture).map(Some),
            _ => self.ended(),
        }
    }

    /// Returns the result of a read at the end of the stream: `None`, because a server can end a stream at any time, or
    /// an error if the stream has ended before its first picture.
    fn ended(&self) -> Result<Option<Frame>, Error> {
        if self.pictures > 0 {
            return Ok(None);
        }
        Err(self.target.ended_early_error("the server ended the stream before its first picture"))
    }

    /// Records that a slate (a picture that another Framecast server draws itself) has arrived. Viewers do not get the
    /// slate. Returns an error after [`MAX_SLATES`] slates in a row.
    fn count_slate(&mut self) -> Result<(), Error> {
        self.slates += 1;
        if self.slates < MAX_SLATES {
            return Ok(());
        }
        Err(self
            .target
            .connection_error("the source is another Framecast server, which has no picture of the camera"))
    }

    fn build_frame(&mut self, picture: Picture) -> Result<Frame, Error> {
        self.waiting_since = None;
        self.slates = 0;
        self.pictures += 1;
        let captured = capture_time(picture.captured_at(), self.builder.now());
        self.builder.picture_frame(picture, captured)
    }

    /// Converts an error of the parser into an error of the source. The result says whether one picture is lost or the
    /// whole rest of the stream.
    fn parse_error(&mut self, error: framecast_media::Error) -> Error {
        if is_fatal(&error) {
            return Error::Stream(error);
        }
        self.waiting_since = None;
        self.builder.picture_error(error)
    }
}

/// Returns whether a part of a multipart stream may be a picture. Some streams also contain sound or text.
fn is_picture(part: &Picture) -> bool {
    let is_other = part.headers.get("content-type").is_some_and(|kind| {
        let kind = kind.to_ascii_lowercase();
        ["audio/", "text/", "application/json", "application/xml"].iter().any(|other| kind.starts_with(other))
    });
    !part.data.is_empty() && (!is_other || part.data.starts_with(&[0xFF, 0xD8]))
}

/// Returns whether this part is a slate: a picture that another Framecast server has drawn because its camera delivers
/// none. If passed on, a slate would look like the camera's own picture.
fn is_slate(part: &Picture) -> bool {
    part.headers.get(SLATE_HEADER).is_some_and(|value| value.trim() == "1")
}

impl Source for HttpStream {
    fn next_frame(&mut self) -> BoxFuture<'_, Result<Option<Frame>, Error>> {
        Box::pin(self.read())
    }

    fn repaired_frames(&self) -> u64 {
        self.builder.repaired_frames() + self.reader.as_ref().map_or(0, Reader::trailing_junk_count)
    }

    /// Returns the longest normal time between two frames: the URL's `silence` option. Zero means that the option is
    /// not set. After a pause longer than the option allows, the stream itself returns an error. Without the option,
    /// the supervisor, which keeps the camera open, decides how long a stream can be silent.
    fn max_frame_gap(&self) -> Duration {
        self.target.silence.unwrap_or_default()
    }
}

/// Returns whether `error` makes the rest of the stream unreadable.
fn is_fatal(error: &framecast_media::Error) -> bool {
    use framecast_media::Error::{Multipart, NotPictures};
    matches!(error, NotPictures { .. } | Multipart { problem: Problem::NoBoundary { .. }, .. })
}
