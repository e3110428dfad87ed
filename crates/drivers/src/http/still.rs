//! A still picture, asked for again and again. A poll that fails does not lose the camera at once: it is asked on until
//! its pictures have been silent for too long.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use framecast_media::container::multipart::parse_unix_seconds;
use framecast_media::{Bytes, Frame};
use reqwest::Response;
use reqwest::header::{HeaderValue, LAST_MODIFIED};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};

use super::answer::{self, Kind};
use super::session::{Session, within};
use super::target::Target;
use crate::stream::captured_at;
use crate::{BoxFuture, Door, Error, Source, SourceUrl};

/// A picture that is polled on a schedule which a slow answer does not shift. Dropping it closes the connection.
pub(super) struct Still {
    target: Arc<Target>,
    /// `None` while a poll has it, and after a failure that is final.
    session: Option<Session>,
    /// Kept here so that a caller who gives up waiting loses nothing.
    poll: Option<BoxFuture<'static, (Session, Result<Poll, Error>)>>,
    ticks: Interval,
    door: Door,
    /// Until when polls may fail; `None` before the first picture.
    patient_until: Option<Instant>,
    has_failed: bool,
    /// The picture before, if its server says when it was changed.
    last: Option<Dated>,
}

/// What one poll yielded.
struct Poll {
    picture: Result<Bytes, framecast_media::Error>,
    read_at: SystemTime,
    /// When it was captured, in the words of its server.
    told: Option<SystemTime>,
    last_modified: Option<HeaderValue>,
}

/// A picture that the next poll may bring once more.
struct Dated {
    data: Bytes,
    last_modified: HeaderValue,
    captured_at: SystemTime,
}

impl Still {
    /// The picture in `response` is the first one; `head` was read of it already.
    pub(super) fn new(url: &SourceUrl, session: Session, response: Response, head: Bytes) -> Self {
        let target = Arc::clone(session.target());
        let mut ticks = interval_at(Instant::now() + target.interval, target.interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let first = async move {
            let poll = read(session.target(), response, head).await;
            (session, poll)
        };
        Self {
            target,
            session: None,
            poll: Some(Box::pin(first)),
            ticks,
            door: Door::new(url),
            patient_until: None,
            has_failed: false,
            last: None,
        }
    }

    async fn read_frame(&mut self) -> Result<Option<Frame>, Error> {
        loop {
            if self.poll.is_none() {
                self.ticks.tick().await;
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
                Ok(poll) => {
                    self.session = Some(session);
                    return self.admit(poll).map(Some);
                }
                Err(error) if self.is_patient() && session.may_pass(&error) => {
                    self.session = Some(session);
                    self.tolerate(&error);
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Whether the last picture is not too long ago.
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

    fn admit(&mut self, poll: Poll) -> Result<Frame, Error> {
        // From when the next one is due.
        self.patient_until = Instant::now().checked_add(self.longest_silence());
        let data = match poll.picture {
            Ok(data) => data,
            Err(error) => return Err(self.door.refuse(error)),
        };
        let captured_at = match poll.told {
            None => self.first_seen(&data, poll.last_modified, poll.read_at),
            told => captured_at(told, poll.read_at),
        };
        self.door.admit(data, captured_at)
    }

    /// Since when this picture has been there: one that the server calls unchanged, and that is, must not pass for live
    /// only because it was asked for again.
    fn first_seen(&mut self, data: &Bytes, changed: Option<HeaderValue>, read_at: SystemTime) -> SystemTime {
        let last = self.last.take();
        let Some(last_modified) = changed else { return read_at };
        let captured_at = last
            .filter(|last| last.last_modified == last_modified && last.data == *data)
            .map_or(read_at, |last| last.captured_at);
        self.last = Some(Dated { data: data.clone(), last_modified, captured_at });
        captured_at
    }

    fn longest_silence(&self) -> Duration {
        self.target.interval.saturating_add(self.target.silence)
    }
}

async fn poll_once(mut session: Session) -> (Session, Result<Poll, Error>) {
    let poll = ask(&mut session).await;
    (session, poll)
}

async fn ask(session: &mut Session) -> Result<Poll, Error> {
    let mut response = session.get().await?;
    let target = session.target();
    match answer::sort(target, &mut response).await? {
        Kind::Still { head } => read(target, response, head).await,
        Kind::Multipart { .. } | Kind::BackToBack { .. } => {
            Err(target
                .answered("a stream where a picture was before", "it is read as what it is from now on"))
        }
    }
}

/// Reads the rest of a picture, up to the bound.
async fn read(target: &Target, mut response: Response, head: Bytes) -> Result<Poll, Error> {
    let limit_bytes = target.max_picture_bytes;
    let body = async {
        let mut body = Vec::from(head);
        while body.len() <= limit_bytes {
            match response.chunk().await? {
                Some(chunk) => body.extend_from_slice(&chunk),
                None => return Ok(Some(body)),
            }
        }
        Ok(None)
    };
    let body = within(target, target.timeout, "the rest of the picture", body).await?;
    let x_timestamp = response.headers().get("x-timestamp").and_then(|value| value.to_str().ok());
    Ok(Poll {
        picture: body.map(Bytes::from).ok_or(framecast_media::Error::TooLarge { offset: 0, limit_bytes }),
        read_at: SystemTime::now(),
        told: x_timestamp.and_then(parse_unix_seconds),
        last_modified: response.headers().get(LAST_MODIFIED).cloned(),
    })
}

impl Source for Still {
    fn next_frame(&mut self) -> BoxFuture<'_, Result<Option<Frame>, Error>> {
        Box::pin(self.read_frame())
    }

    /// The polls watch over their own failures; where the URL allows long ones, they are normal.
    fn longest_pause(&self) -> Duration {
        if self.target.has_own_silence { self.longest_silence() } else { self.target.interval }
    }
}
