//! One client's connection from the greeting to the end: connects the wire (the WebSocket), the tiles (what to show)
//! and the scheduler (what to send next).

use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::poll_fn;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use framecast_media::{Codec, Frame};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, sleep_until};
use tokio_tungstenite::tungstenite::Message;
use tracing::trace;

use super::close_reason::CloseReason;
use super::message::{self, Ack, ClientMessage, MessageFlags, Subscribe};
use super::scheduler::{MAX_TILES, NotSent, Scheduler, TooManyTiles, WINDOW};
use super::tiles::{TileEvent, Tiles};
use super::video_tile::VideoMessage;
use crate::websocket::wire::{self, HEAD_BYTES, Wire};
use crate::websocket::{ClientActivity, PING_INTERVAL};

/// The maximum time for sending one picture. A slower picture would no longer be live.
const PICTURE_TIMEOUT: Duration = Duration::from_secs(30);

/// The number of texts queued for the client at which the session stops reading from the client, so that the queue
/// stays short.
const MAX_TEXTS: usize = 64;

/// One client's connection.
#[derive(Debug)]
pub(super) struct Session<S> {
    wire: Wire<S>,
    tiles: Tiles,
    scheduler: Scheduler,
    /// Texts that are queued for the client.
    texts: VecDeque<String>,
    /// The picture that is being written to the socket.
    in_flight: Option<InFlight>,
    /// When the write that is in progress began.
    begun_at: Instant,
    ping_at: Instant,
    activity: ClientActivity,
}

#[derive(Debug)]
struct InFlight {
    tile: u16,
    bytes: usize,
    kind: SentKind,
    /// The codec of the camera's frame in the message; `None` if there is none, as in a slate.
    codec: Option<Codec>,
}

/// What a message is for the statistics of the viewer.
#[derive(Debug)]
enum SentKind {
    /// The newest picture or frame, captured at this time.
    Live(SystemTime),
    /// A frame of the past, with which a player starts.
    Late,
    /// The init segment of coded video, which is no frame.
    Init,
}

/// A binary message of a tile of coded video.
struct VideoPart {
    flags: MessageFlags,
    payload: [Bytes; 2],
    kind: SentKind,
    captured_at: SystemTime,
    /// The codec of the frame; `None` if there is none.
    codec: Option<Codec>,
}

impl VideoPart {
    /// Returns the binary message for `message`, or else the text.
    fn of(message: VideoMessage, tile: u16) -> Result<Self, String> {
        Ok(match message {
            VideoMessage::Dropped(frames) => return Err(message::dropped(tile, frames)),
            VideoMessage::Format(init, stream) => {
                return Err(message::video(tile, &init.content_type, &init.format, stream.as_str()));
            }
            VideoMessage::Init { segment, captured_at } => {
                let (flags, payload) = (MessageFlags::INIT, [Bytes::new(), segment]);
                Self { flags, payload, kind: SentKind::Init, captured_at, codec: None }
            }
            VideoMessage::Slate(Frame { data, captured_at, .. }) => {
                let (flags, payload) = (MessageFlags::SLATE, [Bytes::new(), data]);
                Self { flags, payload, kind: SentKind::Live(captured_at), captured_at, codec: None }
            }
            VideoMessage::Fragment { head, frame, is_late } => {
                let flags = if frame.is_keyframe { MessageFlags::KEYFRAME } else { MessageFlags::FRAGMENT };
                let (captured_at, codec) = (frame.captured_at, Some(frame.format.codec));
                let kind = if is_late { SentKind::Late } else { SentKind::Live(captured_at) };
                Self { flags, payload: [head, frame.data], kind, captured_at, codec }
            }
        })
    }
}

enum SessionEvent {
    Wire(wire::WireEvent),
    Tile(TileEvent),
}

impl<S: AsyncRead + AsyncWrite + Unpin> Session<S> {
    pub(super) fn new(wire: Wire<S>, tiles: Tiles) -> Self {
        let now = Instant::now();
        Self {
            wire,
            tiles,
            scheduler: Scheduler::new(),
            texts: [message::hello(MAX_TILES, WINDOW)].into(),
            in_flight: None,
            begun_at: now,
            ping_at: now + PING_INTERVAL,
            activity: ClientActivity::new(now),
        }
    }

    /// Serves the client until the connection must end, and returns the reason.
    pub(super) async fn serve(&mut self) -> CloseReason {
        match self.serve_on().await {
            Ok(never) => match never {},
            Err(close_reason) => close_reason,
        }
    }

    /// Returns the WebSocket, and drops everything else, such as the tiles.
    pub(super) fn into_wire(self) -> Wire<S> {
        self.wire
    }

    async fn serve_on(&mut self) -> Result<Infallible, CloseReason> {
        let sleep = sleep_until(self.ping_at);
        tokio::pin!(sleep);
        loop {
            let now = Instant::now();
            self.check_deadlines(now)?;
            self.start_write(now)?;
            sleep.as_mut().reset(self.next_deadline(now));
            let event = tokio::select! {
                event = poll_fn(|cx| self.poll_event(cx)) => event?,
                () = &mut sleep => continue,
            };
            match event {
                SessionEvent::Wire(wire::WireEvent::Flushed) => self.on_flushed(Instant::now()),
                SessionEvent::Wire(wire::WireEvent::Received(message)) => {
                    self.receive(message, Instant::now())?
                }
                SessionEvent::Tile(TileEvent::Picture(tile)) => self.scheduler.announce(tile),
                SessionEvent::Tile(TileEvent::Video(tile)) => self.scheduler.announce_video(tile),
                SessionEvent::Tile(TileEvent::End(tile)) => self.close_tile(tile),
            }
        }
    }

    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Result<SessionEvent, CloseReason>> {
        let may_read = self.texts.len() < MAX_TEXTS;
        if let Poll::Ready(event) = self.wire.poll_event(cx, may_read) {
            return Poll::Ready(event.map(SessionEvent::Wire).map_err(CloseReason::from));
        }
        self.tiles.poll_tile_event(cx).map(|event| Ok(SessionEvent::Tile(event)))
    }

    /// Checks whether the client missed a deadline. If so, the error is the reason to end the connection.
    fn check_deadlines(&self, now: Instant) -> Result<(), CloseReason> {
        if !self.wire.is_idle() && now >= self.begun_at + PICTURE_TIMEOUT {
            return Err(CloseReason::Slow);
        }
        if now >= self.activity.idle_deadline() {
            return Err(CloseReason::Stalled);
        }
        match self.scheduler.ack_deadline() {
            Some(end) if now >= end && self.wire.is_idle() => Err(CloseReason::NotAcknowledged),
            _ => Ok(()),
        }
    }

    /// Returns the time at which the session must act even if no event occurs.
    fn next_deadline(&self, now: Instant) -> Instant {
        let silent = self.activity.idle_deadline();
        if !self.wire.is_idle() {
            return silent.min(self.begun_at + PICTURE_TIMEOUT);
        }
        let times = [self.scheduler.next_due(now), self.scheduler.ack_deadline()];
        times.into_iter().flatten().fold(silent.min(self.ping_at), Instant::min)
    }

    /// Starts the next write, if there is something to write.
    fn start_write(&mut self, now: Instant) -> Result<(), CloseReason> {
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
            // A tile of coded video may have something to say first.
            if self.wire.is_idle()
                && let Some(text) = self.texts.pop_front()
            {
                self.wire.begin(Message::text(text))?;
            }
        }
        Ok(())
    }

    fn begin_picture(&mut self, now: Instant) {
        while let Some(tile) = self.scheduler.next_tile(now) {
            if self.tiles.is_video(tile) {
                if self.begin_video(tile, now) {
                    return;
                }
                continue;
            }
            let Some(update) = self.tiles.newest(tile) else {
                self.scheduler.withdraw(tile);
                self.tiles.wait(tile, now);
                continue;
            };
            let (jpeg, captured_at) = (update.frame.data, update.frame.captured_at);
            let (width_px, codec) = (update.frame.format.width_px, update.frame.format.codec);
            let codec = (!update.is_slate).then_some(codec);
            let bytes = HEAD_BYTES + jpeg.len();
            let sequence = self.scheduler.send(tile, bytes as u64, captured_at, now);
            // Without a number the picture waits for an acknowledgement; a newer one can replace it meanwhile. Video
            // does not wait.
            let Some(sequence) = sequence else {
                self.scheduler.announce(tile);
                continue;
            };
            let flags = if update.is_slate { MessageFlags::SLATE } else { MessageFlags::PICTURE };
            let head = message::message_head(tile, sequence, captured_at, flags);
            self.wire.begin_picture(head, [Bytes::new(), jpeg]);
            self.in_flight = Some(InFlight { tile, bytes, kind: SentKind::Live(captured_at), codec });
            self.tiles.wait(tile, now);
            if !update.is_slate {
                let bytes_per_second = self.scheduler.bytes_per_second_of(tile);
                if let Some(interval) = self.tiles.sent(tile, (width_px, bytes), bytes_per_second, now) {
                    self.scheduler.set_interval(tile, interval);
                }
            }
            return;
        }
    }

    /// Starts to send what a tile of coded video sends next. Returns whether there is something to write now.
    fn begin_video(&mut self, tile: u16, now: Instant) -> bool {
        let message = match self.tiles.next_video(tile) {
            Ok(Some(message)) => message,
            Ok(None) => {
                self.scheduler.withdraw(tile);
                self.tiles.wait(tile, now);
                return false;
            }
            Err(error) => {
                let camera = self.tiles.camera(tile).unwrap_or_default();
                self.refuse_tile(tile, &format!("the video of camera `{camera}` cannot be sent: {error}"));
                return true;
            }
        };
        let part = match VideoPart::of(message, tile) {
            Ok(part) => part,
            Err(text) => {
                self.texts.push_back(text);
                return true;
            }
        };
        let VideoPart { flags, payload, kind, captured_at, codec } = part;
        let bytes = HEAD_BYTES + payload.iter().map(Bytes::len).sum::<usize>();
        let sequence = self.scheduler.send_video(tile, bytes as u64, captured_at, now);
        self.wire.begin_picture(message::message_head(tile, sequence, captured_at, flags), payload);
        self.in_flight = Some(InFlight { tile, bytes, kind, codec });
        self.tiles.wait(tile, now);
        true
    }

    /// Updates the statistics and the scheduler after the current write is complete.
    fn on_flushed(&mut self, now: Instant) {
        let Some(InFlight { tile, bytes, kind, codec }) = self.in_flight.take() else { return };
        self.scheduler.on_flushed(now);
        if let Some(viewer) = self.tiles.viewer(tile) {
            match kind {
                SentKind::Live(captured_at) => viewer.sent(bytes, age(captured_at)),
                SentKind::Late => viewer.resent(bytes),
                SentKind::Init => viewer.sent_beside(bytes),
            }
            codec.iter().for_each(|codec| viewer.shows(*codec));
            viewer.set_queue_bytes(self.scheduler.in_flight_of(tile));
        }
    }

    fn receive(&mut self, message: Message, now: Instant) -> Result<(), CloseReason> {
        self.activity.message_received(now);
        let is_useful = match message {
            Message::Text(text) => match message::parse(&text).map_err(CloseReason::Bad)? {
                ClientMessage::Subscribe(subscription) => {
                    self.subscribe(&subscription)?;
                    false
                }
                ClientMessage::Unsubscribe { tile } => {
                    self.scheduler.unsubscribe(tile);
                    self.tiles.remove(tile);
                    false
                }
                ClientMessage::Ack(ack) => self.acknowledge(ack, now)?,
            },
            Message::Binary(_) => return Err(CloseReason::Binary),
            Message::Close(_) => return Err(CloseReason::Closed),
            Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => false,
        };
        // There are at most as many useful acknowledgements as pictures, so they do not count for the message limit.
        if is_useful { Ok(()) } else { Ok(self.activity.count_message(now)?) }
    }

    fn subscribe(&mut self, subscription: &Subscribe) -> Result<(), CloseReason> {
        match self.tiles.subscribe(subscription) {
            Ok(pace) => {
                let added = self.scheduler.subscribe(subscription.tile, pace);
                added.map_err(|TooManyTiles| CloseReason::TooManyTiles)
            }
            Err(message) => {
                self.scheduler.unsubscribe(subscription.tile);
                self.texts.push_back(message::error(subscription.tile, &message));
                Ok(())
            }
        }
    }

    /// Records the client's acknowledgement. Returns whether it confirmed any picture that no earlier acknowledgement
    /// had confirmed.
    fn acknowledge(&mut self, ack: Ack, now: Instant) -> Result<bool, CloseReason> {
        let Ack { tile, sequence, paint } = ack;
        let acknowledged = self.scheduler.acknowledge(tile, sequence, now);
        let acknowledged = acknowledged.map_err(|NotSent| CloseReason::NotSent { tile, sequence })?;
        let is_behind = self.tiles.is_behind(tile);
        if let (Some(captured_at), Some(viewer)) = (acknowledged.captured_at, self.tiles.viewer(tile)) {
            let age = age(captured_at);
            trace!(tile, sequence, ?age, ?paint, "painted");
            viewer.painted(age);
            viewer.set_queue_bytes(self.scheduler.in_flight_of(tile));
            // As for a stream: a link that carries all pictures shows only how many pictures there are.
            if let Some(bytes_per_second) = self.scheduler.bytes_per_second().filter(|_| is_behind) {
                viewer.set_bytes_per_second(bytes_per_second);
            }
        }
        Ok(acknowledged.pictures > 0)
    }

    /// Removes a tile whose camera was removed, and tells the client.
    fn close_tile(&mut self, tile: u16) {
        let camera = self.tiles.camera(tile).unwrap_or_default();
        self.refuse_tile(tile, &format!("camera `{camera}` was removed"));
    }

    /// Removes a tile, and tells the client why.
    fn refuse_tile(&mut self, tile: u16, message: &str) {
        self.texts.push_back(message::error(tile, message));
        self.scheduler.unsubscribe(tile);
        self.tiles.remove(tile);
    }
}

/// Returns the time that has passed since a picture was captured.
fn age(captured_at: SystemTime) -> Duration {
    SystemTime::now().duration_since(captured_at).unwrap_or_default()
}
