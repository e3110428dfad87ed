//! An endless response, read picture by picture.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use framecast_media::Frame;
use framecast_media::container::Picture;
use framecast_media::container::jpeg_stream::Splitter;
use framecast_media::container::multipart::{Event, Limits, Parser, PartEnd};
use tokio::time::{Instant, timeout_at};

use super::client::{Fault, Response};
use super::session::fault_of;
use super::target::Target;
use crate::stream::{captured_at, is_final};
use crate::{BoxFuture, Door, Error, Source, SourceUrl};

/// The header with which another Framecast marks slates, the pictures that it draws when it has none of the camera.
const NOTICE: &str = "x-framecast-notice";

/// After this many slates in a row the camera counts as lost there; they come one a second.
const MAX_NOTICES: u32 = 4;

/// How the pictures of a stream are separated.
pub(super) enum Reader {
    /// `has_last_boundary`: the closing boundary has come, after which no part should follow.
    Multipart {
        parser: Box<Parser>,
        has_last_boundary: bool,
    },
    BackToBack(Box<Splitter>),
}

impl Reader {
    /// Parts separated by `boundary`; `head` was read already.
    pub(super) fn multipart(target: &Target, boundary: Option<&str>, head: &[u8]) -> Self {
        let limits = Limits { max_body_bytes: target.max_picture_bytes, ..Limits::default() };
        let mut parser = Parser::new(boundary).with_limits(limits).with_part_end(PartEnd::AtJpegEoi);
        parser.push(head);
        Self::Multipart { parser: Box::new(parser), has_last_boundary: false }
    }

    /// Concatenated pictures; `head` was read already.
    pub(super) fn back_to_back(target: &Target, head: &[u8]) -> Self {
        let mut splitter = Splitter::new(target.max_picture_bytes);
        splitter.push(head);
        Self::BackToBack(Box::new(splitter))
    }

    fn push(&mut self, bytes: &[u8]) {
        match self {
            Self::Multipart { parser, .. } => parser.push(bytes),
            Self::BackToBack(splitter) => splitter.push(bytes),
        }
    }

    fn next_picture(&mut self) -> Result<Option<Picture>, framecast_media::Error> {
        let (parser, has_last_boundary) = match self {
            Self::Multipart { parser, has_last_boundary } => (parser, has_last_boundary),
            Self::BackToBack(splitter) => return splitter.next_picture(),
        };
        loop {
            match parser.next_event()? {
                Some(Event::Part(part)) => {
                    *has_last_boundary = false;
                    let picture = Picture::from(part);
                    if is_picture(&picture) {
                        return Ok(Some(picture));
                    }
                    tracing::debug!("a part that is no picture is left out");
                }
                // Some cameras go on after the closing boundary. A server that does not go on closes the connection, or
                // has reached its declared length.
                Some(Event::End) => *has_last_boundary = true,
                None => return Ok(None),
            }
        }
    }

    /// How many pictures had stray bytes after them.
    fn foreign_tails(&self) -> u64 {
        match self {
            Self::Multipart { parser, .. } => parser.foreign_tails(),
            Self::BackToBack(_) => 0,
        }
    }

    /// Whether the stream has announced its end.
    fn has_last_boundary(&self) -> bool {
        matches!(self, Self::Multipart { has_last_boundary: true, .. })
    }

    /// The picture that the end of the stream completes, if any.
    fn finish(self) -> Option<Picture> {
        match self {
            Self::Multipart { parser, .. } => parser.finish().map(Picture::from).filter(is_picture),
            Self::BackToBack(_) => None,
        }
    }
}

/// An open stream. Dropping it closes the connection.
pub(super) struct Stream {
    target: Arc<Target>,
    response: Response,
    /// `None` after the stream's end.
    reader: Option<Reader>,
    door: Door,
    pictures: u64,
    /// How many slates have come since the last picture.
    notices: u32,
    /// When the wait for the next picture began; kept when a caller cancels its wait and calls again.
    waits_since: Option<Instant>,
}

impl Stream {
    /// The stream whose body continues in `response`.
    pub(super) fn new(url: &SourceUrl, target: Arc<Target>, response: Response, reader: Reader) -> Self {
        Self::resume(target, response, reader, Door::new(url), 0)
    }

    /// A stream of which `pictures` passed through `door` before it turned out to be a stream.
    pub(super) fn resume(
        target: Arc<Target>,
        response: Response,
        reader: Reader,
        door: Door,
        pictures: u64,
    ) -> Self {
        Self { target, response, reader: Some(reader), door, pictures, notices: 0, waits_since: None }
    }

    /// The next picture; `None` when the server has ended the stream after at least one.
    pub(super) async fn read(&mut self) -> Result<Option<Frame>, Error> {
        loop {
            let Some(reader) = &mut self.reader else { return self.ended() };
            match reader.next_picture() {
                Ok(Some(picture)) if is_notice(&picture) => {
                    self.count_notice()?;
                    continue;
                }
                Ok(Some(picture)) => return self.admit(picture).map(Some),
                Ok(None) => {}
                Err(error) => return Err(self.broken(error)),
            }
            if reader.has_last_boundary() && self.response.is_at_declared_end() {
                return self.finish();
            }
            let (awaited, limit) = if self.pictures == 0 {
                ("the first picture", Some(self.target.picture_timeout()))
            } else {
                ("the next picture", self.target.silence)
            };
            let since = *self.waits_since.get_or_insert_with(Instant::now);
            let chunk = self.response.chunk();
            let read = match limit {
                Some(limit) => match timeout_at(since + limit, chunk).await {
                    Ok(read) => read,
                    Err(_) => return Err(self.target.timed_out(awaited, limit)),
                },
                // The supervisor decides how long a stream may be silent.
                None => chunk.await,
            };
            match read {
                Ok(Some(bytes)) => reader.push(&bytes),
                Ok(None) | Err(Fault::CutOff) => return self.finish(),
                // Some servers reset the connection after they have sent everything.
                Err(Fault::Io(error)) if self.pictures > 0 => {
                    tracing::debug!(%error, "the connection broke");
                    return self.finish();
                }
                Err(fault) => return Err(fault_of(&self.target, fault)),
            }
        }
    }

    /// The last picture, if only the end of the stream completes it; then the end.
    fn finish(&mut self) -> Result<Option<Frame>, Error> {
        match self.reader.take().and_then(Reader::finish) {
            Some(picture) if !is_notice(&picture) => self.admit(picture).map(Some),
            _ => self.ended(),
        }
    }

    /// Interprets the end of the stream: a server may end it at any time, but an end before the first picture is an
    /// error.
    fn ended(&self) -> Result<Option<Frame>, Error> {
        if self.pictures > 0 {
            return Ok(None);
        }
        Err(self.target.ended_early("the server ended the stream before its first picture"))
    }

    /// Leaves a slate out; the wait for a picture goes on.
    fn count_notice(&mut self) -> Result<(), Error> {
        self.notices += 1;
        if self.notices < MAX_NOTICES {
            return Ok(());
        }
        Err(self.target.failed("the other Framecast has no picture of this camera"))
    }

    fn admit(&mut self, picture: Picture) -> Result<Frame, Error> {
        self.waits_since = None;
        self.notices = 0;
        self.pictures += 1;
        let captured_at = captured_at(picture.captured_at(), SystemTime::now());
        if picture.is_complete {
            self.door.admit_complete(picture.data, captured_at)
        } else {
            self.door.admit(picture.data, captured_at)
        }
    }

    /// The error for what the reader could not parse: one picture, or everything after it.
    fn broken(&mut self, error: framecast_media::Error) -> Error {
        if is_final(&error) {
            return Error::Stream(error);
        }
        self.waits_since = None;
        self.door.refuse(error)
    }
}

/// Whether a part may be a picture: some streams also carry sound or text.
fn is_picture(part: &Picture) -> bool {
    let is_other = part.headers.get("content-type").is_some_and(|kind| {
        let kind = kind.to_ascii_lowercase();
        ["audio/", "text/", "application/json", "application/xml"].iter().any(|other| kind.starts_with(other))
    });
    !part.data.is_empty() && (!is_other || part.data.starts_with(&[0xFF, 0xD8]))
}

/// Whether another Framecast drew this part as a slate. Passed on, it would look like the camera's own picture.
fn is_notice(part: &Picture) -> bool {
    part.headers.get(NOTICE).is_some_and(|value| value.trim() == "1")
}

impl Source for Stream {
    fn next_frame(&mut self) -> BoxFuture<'_, Result<Option<Frame>, Error>> {
        Box::pin(self.read())
    }

    fn repaired_frames(&self) -> u64 {
        self.door.repaired() + self.reader.as_ref().map_or(0, Reader::foreign_tails)
    }

    /// If the URL sets the longest pause, the stream enforces it itself, and pauses up to it are normal.
    fn longest_pause(&self) -> Duration {
        self.target.silence.unwrap_or_default()
    }
}
