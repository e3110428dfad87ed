//! One client's connection from greeting to end: connects the wire, the tiles and the scheduler.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::poll_fn;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, sleep_until};
use tokio_tungstenite::tungstenite::Message;
use tracing::trace;

use super::ending::Ending;
use super::message::{self, Ack, ClientMessage, Subscribe};
use super::scheduler::{MAX_TILES, NotSent, Scheduler, TooManyTiles, WINDOW};
use super::tiles::{News, Tiles};
use crate::websocket::wire::{self, HEAD_BYTES, Wire};
use crate::websocket::{PING_INTERVAL, Speech};

/// The longest that sending one picture may take: a slower one is no live picture.
const PICTURE_TIMEOUT: Duration = Duration::from_secs(30);

/// The session reads nothing while this many texts wait to be written. This bounds the texts.
const MAX_TEXTS: usize = 64;

/// One client's connection.
#[derive(Debug)]
pub(super) struct Session<S> {
    wire: Wire<S>,
    tiles: Tiles,
    scheduler: Scheduler,
    /// Texts that wait to be sent to the client.
    texts: VecDeque<String>,
    /// The picture that is being written.
    leaving: Option<Leaving>,
    /// When the current write began.
    begun_at: Instant,
    ping_at: Instant,
    speech: Speech,
}

#[derive(Debug)]
struct Leaving {
    tile: u16,
    bytes: usize,
    captured_at: SystemTime,
}

enum Event {
    Wire(wire::Event),
    News(News),
}

impl<S: AsyncRead + AsyncWrite + Unpin> Session<S> {
    pub(super) fn new(wire: Wire<S>, tiles: Tiles) -> Self {
        let now = Instant::now();
        Self {
            wire,
            tiles,
            scheduler: Scheduler::new(),
            texts: [message::hello(MAX_TILES, WINDOW)].into(),
            leaving: None,
            begun_at: now,
            ping_at: now + PING_INTERVAL,
            speech: Speech::new(now),
        }
    }

    /// Serves the client until something ends it.
    pub(super) async fn serve(&mut self) -> Ending {
        match self.serve_on().await {
            Ok(never) => match never {},
            Err(ending) => ending,
        }
    }

    /// Keeps only the wire; drops the tiles and everything else.
    pub(super) fn into_wire(self) -> Wire<S> {
        self.wire
    }

    async fn serve_on(&mut self) -> Result<Infallible, Ending> {
        let sleep = sleep_until(self.ping_at);
        tokio::pin!(sleep);
        loop {
            let now = Instant::now();
            self.check_time(now)?;
            self.begin(now)?;
            sleep.as_mut().reset(self.next_time(now));
            let event = tokio::select! {
                event = poll_fn(|cx| self.poll_event(cx)) => event?,
                () = &mut sleep => continue,
            };
            match event {
                Event::Wire(wire::Event::Flushed) => self.left(Instant::now()),
                Event::Wire(wire::Event::Received(message)) => self.receive(message, Instant::now())?,
                Event::News(News::Picture(tile)) => self.scheduler.announce(tile),
                Event::News(News::End(tile)) => self.lose(tile),
            }
        }
    }

    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Result<Event, Ending>> {
        let reads = self.texts.len() < MAX_TEXTS;
        if let Poll::Ready(event) = self.wire.poll_event(cx, reads) {
            return Poll::Ready(event.map(Event::Wire).map_err(Ending::from));
        }
        self.tiles.poll_news(cx).map(|news| Ok(Event::News(news)))
    }

    /// Ends the connection if the client missed a deadline.
    fn check_time(&self, now: Instant) -> Result<(), Ending> {
        if !self.wire.is_idle() && now >= self.begun_at + PICTURE_TIMEOUT {
            return Err(Ending::Slow);
        }
        if now >= self.speech.ends_at() {
            return Err(Ending::Stalled);
        }
        match self.scheduler.patience_ends() {
            Some(end) if now >= end && self.wire.is_idle() => Err(Ending::NotAcknowledged),
            _ => Ok(()),
        }
    }

    /// When the session must act even if no event occurs.
    fn next_time(&self, now: Instant) -> Instant {
        let silent = self.speech.ends_at();
        if !self.wire.is_idle() {
            return silent.min(self.begun_at + PICTURE_TIMEOUT);
        }
        let times = [self.scheduler.next_due(now), self.scheduler.patience_ends()];
        times.into_iter().flatten().fold(silent.min(self.ping_at), Instant::min)
    }

    /// Starts the next write, if there is something to write.
    fn begin(&mut self, now: Instant) -> Result<(), Ending> {
        if !self.wire.is_idle() {
            return Ok(());
        }
        self.begun_at = now;
        if let Some(text) = self.texts.pop_front() {
            self.wire.begin(Message::text(text))?;
        } else if now >= self.ping_at {
            self.ping_at = now + PING_INTERVAL;
            self.wire.begin(Message::Ping(Bytes::new()))?;
        } else {
            self.begin_picture(now);
        }
        Ok(())
    }

    fn begin_picture(&mut self, now: Instant) {
        while let Some(tile) = self.scheduler.turn(now) {
            let Some(update) = self.tiles.newest(tile) else {
                self.scheduler.withdraw(tile);
                self.tiles.wait(tile, now);
                continue;
            };
            let (jpeg, captured_at) = (update.frame.data, update.frame.captured_at);
            let bytes = HEAD_BYTES + jpeg.len();
            let sequence = self.scheduler.send(tile, bytes as u64, captured_at, now);
            // Without a number the picture waits for an acknowledgement; a newer one may replace it meanwhile.
            if let Some(sequence) = sequence {
                let head = message::picture_head(tile, sequence, captured_at, update.is_notice);
                self.wire.begin_picture(head, jpeg);
                self.leaving = Some(Leaving { tile, bytes, captured_at });
                self.tiles.wait(tile, now);
            }
            return;
        }
    }

    /// The current write is complete.
    fn left(&mut self, now: Instant) {
        let Some(Leaving { tile, bytes, captured_at }) = self.leaving.take() else { return };
        self.scheduler.left(now);
        if let Some(viewer) = self.tiles.viewer(tile) {
            viewer.sent(bytes, age(captured_at));
            viewer.queue(self.scheduler.in_flight_of(tile));
        }
    }

    fn receive(&mut self, message: Message, now: Instant) -> Result<(), Ending> {
        self.speech.hear(now);
        let is_useful = match message {
            Message::Text(text) => match message::parse(&text).map_err(Ending::Bad)? {
                ClientMessage::Subscribe(wish) => {
                    self.subscribe(&wish)?;
                    false
                }
                ClientMessage::Unsubscribe { tile } => {
                    self.scheduler.unsubscribe(tile);
                    self.tiles.remove(tile);
                    false
                }
                ClientMessage::Ack(ack) => self.acknowledge(ack, now)?,
            },
            Message::Binary(_) => return Err(Ending::Binary),
            Message::Close(_) => return Err(Ending::Closed),
            Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => false,
        };
        // There are at most as many useful acknowledgements as pictures, so they do not count for the message limit.
        if is_useful { Ok(()) } else { Ok(self.speech.count(now)?) }
    }

    fn subscribe(&mut self, wish: &Subscribe) -> Result<(), Ending> {
        match self.tiles.subscribe(wish) {
            Ok(pace) => {
                let added = self.scheduler.subscribe(wish.tile, pace);
                added.map_err(|TooManyTiles| Ending::TooManyTiles)
            }
            Err(message) => {
                self.scheduler.unsubscribe(wish.tile);
                self.texts.push_back(message::error(wish.tile, &message));
                Ok(())
            }
        }
    }

    /// Returns whether this acknowledged something.
    fn acknowledge(&mut self, ack: Ack, now: Instant) -> Result<bool, Ending> {
        let Ack { tile, sequence, paint } = ack;
        let acknowledged = self.scheduler.acknowledge(tile, sequence, now);
        let acknowledged = acknowledged.map_err(|NotSent| Ending::NotSent { tile, sequence })?;
        if let (Some(captured_at), Some(viewer)) = (acknowledged.captured_at, self.tiles.viewer(tile)) {
            let age = age(captured_at);
            trace!(tile, sequence, ?age, ?paint, "painted");
            viewer.painted(age);
            viewer.queue(self.scheduler.in_flight_of(tile));
            viewer.throughput(self.scheduler.bytes_per_second().unwrap_or_default());
        }
        Ok(acknowledged.pictures > 0)
    }

    /// The camera of a tile was removed.
    fn lose(&mut self, tile: u16) {
        let camera = self.tiles.camera(tile).unwrap_or_default();
        self.texts.push_back(message::error(tile, &format!("camera `{camera}` is no longer there")));
        self.scheduler.unsubscribe(tile);
        self.tiles.remove(tile);
    }
}

/// How old a picture is.
fn age(captured_at: SystemTime) -> Duration {
    SystemTime::now().duration_since(captured_at).unwrap_or_default()
}
