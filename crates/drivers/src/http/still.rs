//! Polls a snapshot. A failed poll does not lose the camera at once: polling goes on until no picture has come for too
//! long.
//!
//! A picture is complete at its own end, not at the end of the body: neither extra bytes nor an open connection delays
//! it. If another picture follows in the same body, the answer is a stream.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::BytesMut;
use framecast_media::codec::jpeg::Finder;
use framecast_media::container::multipart::parse_unix_seconds;
use framecast_media::{Bytes, Frame};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at, sleep_until};

use super::answer::{self, Kind};
use super::client::{Fault, Response};
use super::session::{Session, within};
use super::stream::{Reader, Stream};
use super::target::Target;
use crate::stream::captured_at;
use crate::{BoxFuture, Door, Error, Source, SourceUrl};

/// SOI and the first byte of the next marker.
const PICTURE_START: [u8; 3] = [0xFF, 0xD8, 0xFF];

/// The poller gives up a body whose type announces more pictures after this pause, or after three intervals if these
/// are longer.
const ENDLESS_PAUSE: Duration = Duration::from_secs(5);

/// How long polls may fail, as a multiple of the usual time between two pictures.
const PATIENCE_STEPS: u32 = 4;

/// How many bytes after a picture are searched for the start of another.
const MAX_SEARCHED_BYTES: usize = 1024 * 1024;

/// A snapshot, polled on a schedule that slow answers do not shift. Dropping it closes the connection.
pub(super) struct Still {
    target: Arc<Target>,
    /// `None` while a poll owns it, and after a fatal failure.
    session: Option<Session>,
    /// Stored here so that a caller can cancel its wait without losing the poll.
    poll: Option<BoxFuture<'static, (Session, Result<Answer, Error>)>>,
    /// The body after the last picture, while it is open.
    following: Option<Following>,
    ticks: Interval,
    /// `None` once the answer has turned out to be a stream.
    door: Option<Door>,
    stream: Option<Stream>,
    pictures: u64,
    /// When the last picture arrived.
    last_at: Option<Instant>,
    /// Until when polls may fail; `None` before the first picture.
    patient_until: Option<Instant>,
    has_failed: bool,
    /// The previous picture, if the server sends its modification time.
    last: Option<Dated>,
}

/// The result of one poll.
enum Answer {
    Picture(Box<Poll>),
    /// A stream, though earlier polls got a picture.
    Stream,
}

/// The picture that one poll got.
struct Poll {
    picture: Result<Bytes, framecast_media::Error>,
    /// Whether the body's full declared length has arrived.
    is_complete: bool,
    read_at: SystemTime,
    /// The capture time that the server sent.
    told: Option<SystemTime>,
    last_modified: Option<String>,
    response: Response,
    /// The bytes received after the picture.
    rest: BytesMut,
    /// Whether the same body should bring more pictures.
    is_endless: bool,
}

/// The body after a picture, in which another one may begin.
struct Following {
    response: Response,
    rest: BytesMut,
    is_endless: bool,
    searched_bytes: usize,
    since: Instant,
}

/// A picture that the next poll may return unchanged.
struct Dated {
    data: Bytes,
    last_modified: String,
    captured_at: SystemTime,
}

impl Still {
    /// `response` contains the first picture; `head` was read from it already.
    pub(super) fn new(
        url: &SourceUrl,
        session: Session,
        response: Response,
        head: Bytes,
        is_endless: bool,
    ) -> Self {
        let target = Arc::clone(session.target());
        let mut ticks = interval_at(Instant::now() + target.interval, target.interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let first = async move {
            let poll = read(session.target(), response, head, is_endless).await;
            (session, poll.map(|poll| Answer::Picture(Box::new(poll))))
        };
        Self {
            target,
            session: None,
            poll: Some(Box::pin(first)),
            following: None,
            ticks,
            door: Some(Door::new(url)),
            stream: None,
            pictures: 0,
            last_at: None,
            patient_until: None,
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
                Ok(Answer::Picture(poll)) => {
                    self.session = Some(session);
                    return self.take(*poll).map(Some);
                }
                Ok(Answer::Stream) => {
                    tracing::debug!("a stream where a picture was before");
                    return Ok(None);
                }
                Err(error) if self.is_patient() && session.may_pass(&error) => {
                    self.session = Some(session);
                    self.tolerate(&error);
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Waits until the next poll is due; false if the answer turns out to be a stream first. Cancel safe.
    async fn wait_for_poll(&mut self) -> bool {
        let Some(following) = &mut self.following else {
            self.ticks.tick().await;
            return true;
        };
        // A body whose type announces more pictures is not given up for the next poll, but only when it is silent for a
        // while.
        let is_endless = following.is_endless;
        let given_up_at = following.since + ENDLESS_PAUSE.max(self.target.interval.saturating_mul(3));
        // In random order: a server that floods the connection must not starve the timer.
        let has_begun = tokio::select! {
            has_begun = following.next_begins() => has_begun,
            _ = self.ticks.tick(), if !is_endless => {
                self.end_following();
                return true;
            }
            () = sleep_until(given_up_at), if is_endless => {
                self.end_following();
                return true;
            }
        };
        if has_begun {
            self.become_stream();
        } else {
            self.end_following();
        }
        false
    }

    /// Ends the body after the last picture; the next poll may reuse its connection.
    fn end_following(&mut self) {
        if let Some((session, following)) = self.session.as_mut().zip(self.following.take()) {
            session.give_back(following.response);
        }
    }

    fn become_stream(&mut self) {
        if let Some((following, door)) = self.following.take().zip(self.door.take()) {
            tracing::debug!("pictures back to back");
            let reader = Reader::back_to_back(&self.target, &following.rest);
            let target = Arc::clone(&self.target);
            self.stream = Some(Stream::resume(target, following.response, reader, door, self.pictures));
        }
    }

    /// Whether the last picture is recent enough for polls to fail.
    fn is_patient(&self) -> bool {
        self.patient_until.is_some_and(|until| Instant::now() < until)
    }

    fn tolerate(&mut self, error: &Error) {
        if std::mem::replace(&mut self.has_failed, true) {
            tracing::debug!(%error, "no picture; asking again");
        } else {
            tracing::warn!(%error, "no picture; asking again, and not telling of it each time");
        }
    }

    fn take(&mut self, poll: Poll) -> Result<Frame, Error> {
        let now = Instant::now();
        let usual = self.last_at.replace(now).map_or(Duration::ZERO, |last_at| now - last_at);
        // Counted from when the next picture is due. A slow camera may take a multiple of its usual time.
        let patience = match self.target.silence {
            Some(_) => self.longest_silence(),
            None => self.longest_silence().max(usual * PATIENCE_STEPS),
        };
        self.patient_until = now.checked_add(patience);
        let Poll { picture, is_complete, read_at, told, last_modified, response, rest, is_endless } = poll;
        if picture.is_ok() && !response.is_done() && !response.has_length() {
            self.following = Some(Following { response, rest, is_endless, searched_bytes: 0, since: now });
        } else if let Some(session) = &mut self.session {
            session.give_back(response);
        }
        let captured_at = match (&picture, told) {
            (Ok(data), None) => self.first_seen(data, last_modified, read_at),
            (_, told) => captured_at(told, read_at),
        };
        let door = self.door.as_mut().expect("only a stream has taken the door");
        let frame = match picture {
            Ok(data) if is_complete => door.admit_complete(data, captured_at),
            Ok(data) => door.admit(data, captured_at),
            Err(error) => Err(door.refuse(error)),
        };
        self.pictures += u64::from(frame.is_ok());
        frame
    }

    /// Since when the server has had this picture. A picture that the server calls unchanged, and that is unchanged,
    /// must not pass for live only because it was polled again.
    fn first_seen(&mut self, data: &Bytes, changed: Option<String>, read_at: SystemTime) -> SystemTime {
        let last = self.last.take();
        let Some(last_modified) = changed else { return read_at };
        let captured_at = last
            .filter(|last| last.last_modified == last_modified && last.data == *data)
            .map_or(read_at, |last| last.captured_at);
        self.last = Some(Dated { data: data.clone(), last_modified, captured_at });
        captured_at
    }

    fn longest_silence(&self) -> Duration {
        self.target.interval.saturating_add(self.target.patience())
    }
}

impl Following {
    /// Waits until another picture begins in the body; false when it has ended without one. Cancel safe.
    async fn next_begins(&mut self) -> bool {
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

async fn poll_once(mut session: Session) -> (Session, Result<Answer, Error>) {
    let answer = ask(&mut session).await;
    (session, answer)
}

async fn ask(session: &mut Session) -> Result<Answer, Error> {
    let mut response = session.get().await?;
    match answer::sort(session.target(), &mut response).await? {
        Kind::Pictures { head, is_endless } => {
            let poll = read(session.target(), response, head, is_endless).await?;
            Ok(Answer::Picture(Box::new(poll)))
        }
        Kind::Multipart { .. } => Ok(Answer::Stream),
        Kind::Nothing { error, .. } => {
            session.give_back(response);
            Err(error)
        }
    }
}

/// Reads the rest of a picture: to its own end, or to the end of the body if it has none, up to the bound.
async fn read(target: &Target, mut response: Response, head: Bytes, is_endless: bool) -> Result<Poll, Error> {
    let limit_bytes = target.max_picture_bytes;
    let start = head.len() - head.trim_ascii_start().len();
    let mut body = BytesMut::from(&head[start..]);
    let look = look_for_end(&mut response, &mut body, limit_bytes);
    let len = within(target, target.picture_timeout(), "the rest of the picture", look).await?;
    let read_at = SystemTime::now();
    let is_complete = len.is_none() && response.has_length() && response.is_done();
    let picture = match len {
        None if body.len() > limit_bytes => Err(framecast_media::Error::TooLarge { offset: 0, limit_bytes }),
        None => Ok(body.split().freeze()),
        Some(len) => Ok(body.split_to(len).freeze()),
    };
    let head = response.head();
    Ok(Poll {
        picture,
        is_complete,
        read_at,
        told: head.get("x-timestamp").and_then(parse_unix_seconds),
        last_modified: head.get("last-modified").map(str::to_owned),
        response,
        rest: body,
        is_endless,
    })
}

/// Reads on until the picture in `body` ends, and returns its length; `None` when the body has ended before, or is
/// larger than the bound.
async fn look_for_end(
    response: &mut Response,
    body: &mut BytesMut,
    limit_bytes: usize,
) -> Result<Option<usize>, Fault> {
    let mut finder = Some(Finder::new());
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

impl Source for Still {
    fn next_frame(&mut self) -> BoxFuture<'_, Result<Option<Frame>, Error>> {
        Box::pin(self.read_frame())
    }

    fn repaired_frames(&self) -> u64 {
        let by_the_door = self.door.as_ref().map_or(0, Door::repaired);
        self.stream.as_ref().map_or(by_the_door, |stream| stream.repaired_frames())
    }

    /// The poller limits its own failures; if the URL allows long gaps, they are normal.
    fn longest_pause(&self) -> Duration {
        if self.target.silence.is_some() { self.longest_silence() } else { self.target.interval }
    }
}
