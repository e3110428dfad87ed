//! A still picture, asked for again and again.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use framecast_media::container::multipart::parse_unix_seconds;
use framecast_media::{Bytes, Frame};
use reqwest::Response;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};

use super::answer::{self, Kind};
use super::session::{Session, within};
use super::target::Target;
use crate::stream::captured_at;
use crate::{BoxFuture, Door, Error, Source, SourceUrl};

/// A picture that is polled on a schedule which a slow answer does not shift. Dropping it closes the connection.
pub(super) struct Still {
    target: Arc<Target>,
    /// `None` while a poll has it, and after a poll that failed.
    session: Option<Session>,
    /// Kept here so that a caller who gives up waiting loses nothing.
    poll: Option<BoxFuture<'static, Result<(Session, Poll), Error>>>,
    ticks: Interval,
    door: Door,
}

/// What one poll yielded.
struct Poll {
    picture: Result<Bytes, framecast_media::Error>,
    captured_at: SystemTime,
}

impl Still {
    /// The picture in `response` is the first one; `head` was read of it already.
    pub(super) fn new(url: &SourceUrl, session: Session, response: Response, head: Bytes) -> Self {
        let target = Arc::clone(session.target());
        let mut ticks = interval_at(Instant::now() + target.interval, target.interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let first = async move {
            let poll = read(session.target(), response, head).await?;
            Ok((session, poll))
        };
        Self { target, session: None, poll: Some(Box::pin(first)), ticks, door: Door::new(url) }
    }

    async fn read_frame(&mut self) -> Result<Option<Frame>, Error> {
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
        let result = poll.await;
        self.poll = None;
        let (session, Poll { picture, captured_at }) = result?;
        self.session = Some(session);
        let picture = picture.map_err(|error| self.door.refuse(error))?;
        self.door.admit(picture, captured_at).map(Some)
    }
}

async fn poll_once(mut session: Session) -> Result<(Session, Poll), Error> {
    let mut response = session.get().await?;
    let target = session.target();
    match answer::sort(target, &mut response).await? {
        Kind::Still { head } => {
            let poll = read(target, response, head).await?;
            Ok((session, poll))
        }
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
    let told = x_timestamp.and_then(parse_unix_seconds);
    let picture = body.map(Bytes::from).ok_or(framecast_media::Error::TooLarge { offset: 0, limit_bytes });
    Ok(Poll { picture, captured_at: captured_at(told, SystemTime::now()) })
}

impl Source for Still {
    fn next_frame(&mut self) -> BoxFuture<'_, Result<Option<Frame>, Error>> {
        Box::pin(self.read_frame())
    }

    fn longest_pause(&self) -> Duration {
        self.target.interval
    }
}
