//! A response that goes on for ever, read picture by picture.

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

/// What another Framecast's stream marks the pictures with that it drew because it has none of the camera.
const NOTICE: &str = "x-framecast-notice";

/// After so many notices in a row the camera counts as lost there; they come one a second.
const MAX_NOTICES: u32 = 4;

/// How the pictures of a stream are told apart.
pub(super) enum Reader {
    /// `has_last_boundary`: the boundary has come that says that no part follows.
    Multipart {
        parser: Box<Parser>,
        has_last_boundary: bool,
    },
    BackToBack(Box<Splitter>),
}

impl Reader {
    /// Parts with `boundary` between them; `head` was read already.
    pub(super) fn multipart(target: &Target, boundary: Option<&str>, head: &[u8]) -> Self {
        let limits = Limits { max_body_bytes: target.max_picture_bytes, ..Limits::default() };
        let mut parser = Parser::new(boundary).with_limits(limits).with_part_end(PartEnd::AtJpegEoi);
        parser.push(head);
        Self::Multipart { parser: Box::new(parser), has_last_boundary: false }
    }

    /// Pictures with nothing between them; `head` was read already.
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
                // Some cameras go on behind the last boundary; a server that does not closes the connection, or has come to
                // the length that it declared.
                Some(Event::End) => *has_last_boundary = true,
                None => return Ok(None),
            }
        }
    }

    /// How many pictures had something behind them that belongs to nothing.
    fn foreign_tails(&self) -> u64 {
        match self {
            Self::Multipart { parser, .. } => parser.foreign_tails(),
            Self::BackToBack(_) => 0,
        }
    }

    /// Whether the stream says that it has ended.
    fn has_last_boundary(&self) -> bool {
        matches!(self, Self::Multipart { has_last_boundary: true, .. })
    }

    /// What the end of the stream completes, if anything.
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
    /// How many notices have come since the last picture.
    notices: u32,
    /// Since when the next picture is awaited; kept when a caller gives up waiting and comes again.
    waits_since: Option<Instant>,
}

impl Stream {
    /// The stream whose body goes on in `response`.
    pub(super) fn new(url: &SourceUrl, target: Arc<Target>, response: Response, reader: Reader) -> Self {
        Self::resume(target, response, reader, Door::new(url), 0)
    }

    /// A stream of which `pictures` passed `door` before it was known to be one.
    pub(super) fn resume(
        target: Arc<Target>,
        response: Response,
        reader: Reader,
        door: Door,
        pictures: u64,
    ) -> Self {
        Self { target, response, reader: Some(reader), door, pictures, notices: 0, waits_since: None }
    }

    /// The next picture; `None` when the server has ended a stream that had some.
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
                // How long a stream may be silent is its supervisor's to judge.
                None => chunk.await,
            };
            match read {
                Ok(Some(bytes)) => reader.push(&bytes),
                Ok(None) | Err(Fault::CutOff) => return self.finish(),
                // Some servers reset what they have sent to its end.
                Err(Fault::Io(error)) if self.pictures > 0 => {
                    tracing::debug!(%error, "the connection broke");
                    return self.finish();
                }
                Err(fault) => return Err(fault_of(&self.target, fault)),
            }
        }
    }

    /// The last picture, if only the end of the stream makes it whole; then the end.
    fn finish(&mut self) -> Result<Option<Frame>, Error> {
        match self.reader.take().and_then(Reader::finish) {
            Some(picture) if !is_notice(&picture) => self.admit(picture).map(Some),
            _ => self.ended(),
        }
    }

    /// What the end of the stream means: servers end a stream for reasons of their own, but one without a picture is none.
    fn ended(&self) -> Result<Option<Frame>, Error> {
        if self.pictures > 0 {
            return Ok(None);
        }
        Err(self.target.ended_early("the server ended the stream before its first picture"))
    }

    /// Leaves a notice out; the time that a picture is awaited goes on.
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

    /// The error for what the reader refused: one picture, or all that follows.
    fn broken(&mut self, error: framecast_media::Error) -> Error {
        if is_final(&error) {
            return Error::Stream(error);
        }
        self.waits_since = None;
        self.door.refuse(error)
    }
}

/// Whether a part may be a picture: some streams carry sound or text beside them.
fn is_picture(part: &Picture) -> bool {
    let is_other = part.headers.get("content-type").is_some_and(|kind| {
        let kind = kind.to_ascii_lowercase();
        ["audio/", "text/", "application/json", "application/xml"].iter().any(|other| kind.starts_with(other))
    });
    !part.data.is_empty() && (!is_other || part.data.starts_with(&[0xFF, 0xD8]))
}

/// Whether another Framecast drew this part in place of a picture: passed on, it would look like the camera's.
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

    /// Where the URL says how long a pause may be, the stream watches over its own pauses, and such ones are normal.
    fn longest_pause(&self) -> Duration {
        self.target.silence.unwrap_or_default()
    }
}
