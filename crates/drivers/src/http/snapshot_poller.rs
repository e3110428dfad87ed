//! Polls a snapshot: requests the same URL again and again, for one picture each time. The camera is not considered
//! lost after one failed poll: polling continues until no picture has arrived for too long.
//!
//! A picture is complete when its own end marker arrives, not at the end of the body, so neither extra bytes nor a
//! connection that stays open delays the picture. If another picture follows in the same body, the response is a
//! stream.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::BytesMut;
use framecast_media::codec::jpeg::EndFinder;
use framecast_media::container::multipart::parse_unix_seconds;
use framecast_media::{Bytes, Frame};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at, sleep_until};

use super::body_kind::{self, BodyKind};
use super::client::{RequestError, Response};
use super::session::{Session, with_timeout};
use super::stream::{HttpStream, Reader};
use super::target::HttpTarget;
use crate::arrival::capture_time;
use crate::{BoxFuture, CaptureTime, ClockReading, Error, FrameBuilder, OpenContext, Source};

/// The bytes with which a JPEG picture starts: SOI and the first byte of the next marker.
const PICTURE_START: [u8; 3] = [0xFF, 0xD8, 0xFF];

/// How long the poller waits for another picture in a body whose content type promises more pictures. If three poll
/// intervals are longer than this, the poller waits three intervals.
const ENDLESS_PAUSE: Duration = Duration::from_secs(5);

/// How long polls are allowed to fail, as a multiple of the time between the last two pictures.
const FAILED_POLL_INTERVALS: u32 = 4;

/// The maximum number of bytes after a picture that are searched for the start of another picture.
const MAX_SEARCHED_BYTES: usize = 1024 * 1024;

/// A snapshot that is polled on a fixed schedule, which slow responses do not delay. Dropping the poller closes the
/// connection.
pub(super) struct SnapshotPoller {
    target: Arc<HttpTarget>,
    /// The session that sends the requests. `None` while the poll in progress owns the session, and after an error that
    /// ends polling.
    session: Option<Session>,
    /// The poll in progress. It is stored here so that a caller that stops waiting for a frame does not lose the poll.
    poll: Option<BoxFuture<'static, (Session, Result<PollOutcome, Error>)>>,
    /// The body of the last response after its picture, where another picture may follow. `None` once that body has
    /// ended.
    trailing: Option<TrailingBody>,
    poll_timer: Interval,
    /// The builder that turns pictures into frames. `None` once a response has turned out to be a stream, which then
    /// owns the builder.
    builder: Option<FrameBuilder>,
    stream: Option<HttpStream>,
    pictures: u64,
    /// When the last picture arrived; `None` before the first picture.
    last_picture_at: Option<Instant>,
    /// The time until which polls are allowed to fail; `None` before the first picture.
    failures_allowed_until: Option<Instant>,
    has_failed: bool,
    /// The previous picture, if the server sent its modification time.
    last: Option<DatedPicture>,
}

/// The result of one poll.
enum PollOutcome {
    Picture(Box<PolledPicture>),
    /// The address now sends a multipart stream, although earlier polls got a picture.
    Stream,
}

/// The picture that one poll received.
struct PolledPicture {
    picture: Result<Bytes, framecast_media::Error>,
    /// Whether a picture without an end marker is considered complete, because the body's full declared length has
    /// arrived.
    is_complete: bool,
    read_at: ClockReading,
    /// The capture time from the server's `x-timestamp` header; `None` if that header is missing or invalid.
    server_time: Option<SystemTime>,
    last_modified: Option<String>,
    response: Response,
    /// The bytes of the body that were received after the picture.
    rest: BytesMut,
    /// Whether the content type promises more pictures in the same body.
    is_endless: bool,
}

/// The rest of a body after a picture, in which another picture may begin.
struct TrailingBody {
    response: Response,
    rest: BytesMut,
    is_endless: bool,
    searched_bytes: usize,
    since: Instant,
}

/// A picture with the modification time that the server sent, to detect whether the next poll returns it unchanged.
struct DatedPicture {
    data: Bytes,
    last_modified: String,
    captured_at: SystemTime,
}

impl SnapshotPoller {
    /// Creates a poller whose first picture is in `response`. `head` is the part of its body that was already read.
    pub(super) fn new(
        context: &OpenContext,
        session: Session,
        response: Response,
        head: Bytes,
        is_endless: bool,
    ) -> Self {
        let target = Arc::clone(session.target());
        let mut poll_timer = interval_at(Instant::now() + target.interval, target.interval);
        poll_timer.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let first = async move {
            let poll = read_picture(session.target(), response, head, is_endless).await;
            (session, poll.map(|poll| PollOutcome::Picture(Box::new(poll))))
        };
        Self {
            target,
            session: None,
            poll: Some(Box::pin(first)),
            trailing: None,
            poll_timer,
            builder: Some(FrameBuilder::new(context)),
            stream: None,
            pictures: 0,
            last_picture_at: None,
            failures_allowed_until: None,
            has_failed: false,
            last: None,
        }
    }

    async fn read_frame(&mut self) -> Result<Option<Frame>, Error> {
        loop {
            if let Some(stream) = &mut self.stream {
                return stream.read().await;
            }
            if self.poll.is_none() && !self.wait_for_poll().await {
                continue;
            }
            let poll = match &mut self.poll {
                Some(poll) => poll,
                None => {
                    let Some(session) = self.session.take() else { return Ok(None) };
                    self.poll.insert(Box::pin(poll_once(session)))
                }
            };
            let (session, result) = poll.await;
            self.poll = None;
            match result {
                Ok(PollOutcome::Picture(poll)) => {
                    self.session = Some(session);
                    return self.accept(*poll).map(Some);
                }
                Ok(PollOutcome::Stream) => {
                    tracing::debug!("the address now sends a stream instead of a picture");
                    return Ok(None);
                }
                Err(error) if self.may_fail() && session.may_recover_soon(&error) => {
                    self.session = Some(session);
                    self.log_failed_poll(&error);
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Waits until the next poll is due and returns true. Returns false if, before that, the body of the last response
    /// ends or turns out to be a stream. Cancel safe.
    async fn wait_for_poll(&mut self) -> bool {
        let Some(trailing) = &mut self.trailing else {
            self.poll_timer.tick().await;
            return true;
        };
        // A body whose content type promises more pictures is not abandoned when the next poll is due, but only when it
        // has been silent for a while.
        let is_endless = trailing.is_endless;
        let given_up_at = trailing.since + ENDLESS_PAUSE.max(self.target.interval.saturating_mul(3));
        // In random order: a server that floods the connection must not starve the timer.
        let has_begun = tokio::select! {
            has_begun = trailing.find_next_picture() => has_begun,
            _ = self.poll_timer.tick(), if !is_endless => {
                self.end_trailing_body();
                return true;
            }
            () = sleep_until(given_up_at), if is_endless => {
                self.end_trailing_body();
                return true;
            }
        };
        if has_begun {
            self.become_stream();
        } else {
            self.end_trailing_body();
        }
        false
    }

    /// Stops reading the last response after its picture, so that the next poll can reuse the connection.
    fn end_trailing_body(&mut self) {
        if let Some((session, trailing)) = self.session.as_mut().zip(self.trailing.take()) {
            session.recycle(trailing.response);
        }
    }

    fn become_stream(&mut self) {
        if let Some((trailing, builder)) = self.trailing.take().zip(self.builder.take()) {
            tracing::debug!(
                "the camera no longer sends single pictures, but a stream of pictures without multipart boundaries"
            );
            let reader = Reader::concatenated_jpeg(&self.target, &trailing.rest);
            let target = Arc::clone(&self.target);
            self.stream = Some(HttpStream::resume(target, trailing.response, reader, builder, self.pictures));
        }
    }

    /// Returns whether the last picture is recent enough that a poll is allowed to fail.
    fn may_fail(&self) -> bool {
        self.failures_allowed_until.is_some_and(|until| Instant::now() < until)
    }

    fn log_failed_poll(&mut self, error: &Error) {
        if std::mem::replace(&mut self.has_failed, true) {
            tracing::debug!(%error, "the camera sent no picture; asking again");
        } else {
            tracing::warn!(
                %error,
                "the camera sent no picture; asking again. Further failures are logged at level debug"
            );
        }
    }

    fn accept(&mut self, poll: PolledPicture) -> Result<Frame, Error> {
        let now = Instant::now();
        let usual =
            self.last_picture_at.replace(now).map_or(Duration::ZERO, |last_picture_at| now - last_picture_at);
        // Counted from when the next picture is due. A slow camera may take a multiple of its usual time.
        let patience = match self.target.silence {
            Some(_) => self.max_silence(),
            None => self.max_silence().max(usual * FAILED_POLL_INTERVALS),
        };
        self.failures_allowed_until = now.checked_add(patience);
        let PolledPicture {
            picture,
            is_complete,
            read_at,
            server_time,
            last_modified,
            response,
            rest,
            is_endless,
        } = poll;
        if picture.is_ok() && !response.is_done() && !response.has_length() {
            self.trailing = Some(TrailingBody { response, rest, is_endless, searched_bytes: 0, since: now });
        } else if let Some(session) = &mut self.session {
            session.recycle(response);
        }
        let dated = picture.as_ref().ok().cloned().zip(last_modified).filter(|_| server_time.is_none());
        let captured =
            match dated.as_ref().and_then(|(data, last_modified)| self.first_seen(data, last_modified)) {
                Some(first_seen) => CaptureTime::Original(first_seen),
                None => capture_time(server_time, read_at),
            };
        let builder = self.builder.as_mut().expect("only a stream has taken the builder");
        let frame = match picture {
            Ok(data) if is_complete => builder.complete_jpeg_frame(data, captured),
            Ok(data) => builder.jpeg_frame(data, captured),
            Err(error) => Err(builder.picture_error(error)),
        };
        self.pictures += u64::from(frame.is_ok());
        if let Ok(Frame { captured_at, .. }) = frame {
            self.last = dated.map(|(data, last_modified)| DatedPicture { data, last_modified, captured_at });
        }
        frame
    }

    /// Returns the time at which the picture `data` was first received; `None` if that is now. `last_modified` is the
    /// modification time that the server sent. A picture with the same modification time and the same bytes as the
    /// previous one must not appear new merely because it was polled again.
    fn first_seen(&self, data: &Bytes, last_modified: &str) -> Option<SystemTime> {
        let last = self.last.as_ref()?;
        (last.last_modified == last_modified && last.data == *data).then_some(last.captured_at)
    }

    fn max_silence(&self) -> Duration {
        self.target.interval.saturating_add(self.target.failure_tolerance())
    }
}

impl TrailingBody {
    /// Waits until another picture begins in this body and returns true. Returns false if the body ends without another
    /// picture, or if too many bytes were searched. Cancel safe.
    async fn find_next_picture(&mut self) -> bool {
        loop {
            if let Some(start) = find_start(&self.rest) {
                let _ = self.rest.split_to(start);
                return true;
            }
            // The last bytes may be the beginning of a picture start.
            let _ = self.rest.split_to(self.rest.len().saturating_sub(PICTURE_START.len() - 1));
            match self.response.chunk().await {
                Ok(Some(chunk)) if self.searched_bytes < MAX_SEARCHED_BYTES => {
                    self.searched_bytes += chunk.len();
                    self.rest.extend_from_slice(&chunk);
                }
                _ => return false,
            }
        }
    }
}

fn find_start(bytes: &[u8]) -> Option<usize> {
    bytes.windows(PICTURE_START.len()).position(|window| window == PICTURE_START)
}

async fn poll_once(mut session: Session) -> (Session, Result<PollOutcome, Error>) {
    let answer = request_picture(&mut session).await;
    (session, answer)
}

async fn request_picture(session: &mut Session) -> Result<PollOutcome, Error> {
    let mut response = session.get().await?;
    match body_kind::sniff(session.target(), &mut response).await? {
        BodyKind::Pictures { head, is_endless } => {
            let poll = read_picture(session.target(), response, head, is_endless).await?;
            Ok(PollOutcome::Picture(Box::new(poll)))
        }
        BodyKind::Multipart { .. } => Ok(PollOutcome::Stream),
        BodyKind::NoPicture { error, .. } => {
            session.recycle(response);
            Err(error)
        }
    }
}

/// Reads the rest of a picture: up to the picture's own end, or to the end of the body if the picture has no end
/// marker. Stops when the picture exceeds the maximum size.
async fn read_picture(
    target: &HttpTarget,
    mut response: Response,
    head: Bytes,
    is_endless: bool,
) -> Result<PolledPicture, Error> {
    let limit_bytes = target.max_picture_bytes;
    let start = head.len() - head.trim_ascii_start().len();
    let mut body = BytesMut::from(&head[start..]);
    let look = find_picture_end(&mut response, &mut body, limit_bytes);
    let len = with_timeout(target, target.picture_timeout(), "the rest of the picture", look).await?;
    let read_at = target.clock.now();
    let is_complete = len.is_none() && response.has_length() && response.is_done();
    let picture = match len {
        None if body.len() > limit_bytes => Err(framecast_media::Error::TooLarge { offset: 0, limit_bytes }),
        None => Ok(body.split().freeze()),
        Some(len) => Ok(body.split_to(len).freeze()),
    };
    let head = response.head();
    Ok(PolledPicture {
        picture,
        is_complete,
        read_at,
        server_time: head.get("x-timestamp").and_then(parse_unix_seconds),
        last_modified: head.get("last-modified").map(str::to_owned),
        response,
        rest: body,
        is_endless,
    })
}

/// Reads the response until the picture in `body` ends, and returns the picture's length in bytes. Returns `None` if
/// the body ends first or grows larger than `limit_bytes`.
async fn find_picture_end(
    response: &mut Response,
    body: &mut BytesMut,
    limit_bytes: usize,
) -> Result<Option<usize>, RequestError> {
    let mut finder = Some(EndFinder::new());
    loop {
        if let Some(walk) = &mut finder {
            match walk.advance(body) {
                Ok(Some(len)) if len <= limit_bytes => return Ok(Some(len)),
                Ok(None) => {}
                // The picture has no end of its own; the frame builder says what is wrong with it.
                Ok(Some(_)) | Err(_) => finder = None,
            }
        }
        if body.len() > limit_bytes {
            return Ok(None);
        }
        match response.chunk().await? {
            Some(chunk) => body.extend_from_slice(&chunk),
            None => return Ok(None),
        }
    }
}

impl Source for SnapshotPoller {
    fn next_frame(&mut self) -> BoxFuture<'_, Result<Option<Frame>, Error>> {
        Box::pin(self.read_frame())
    }

    fn repaired_frames(&self) -> u64 {
        let by_builder = self.builder.as_ref().map_or(0, FrameBuilder::repaired_frames);
        self.stream.as_ref().map_or(by_builder, |stream| stream.repaired_frames())
    }

    /// Returns the longest normal time between two frames: the poll interval, plus the `silence` option if the URL sets
    /// it, because a picture is then allowed to be that late. If polls fail for too long, the poller itself returns an
    /// error.
    fn max_frame_gap(&self) -> Duration {
        if self.target.silence.is_some() { self.max_silence() } else { self.target.interval }
    }
}
