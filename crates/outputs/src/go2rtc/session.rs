//! One client's connection: reads what the client asks for, and sends what its player gives.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::poll_fn;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use framecast_hub::{Delivery, Demand, DemandKind, Feed, Hub, Rendition};
use framecast_media::Format;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, sleep_until};
use tokio_tungstenite::tungstenite::Message;

use super::link_probe::LinkProbe;
use super::message::{self, PlayableCodecs, PlayerMessage};
use super::player::{PicturePlayer, Player, PlayerStep, VideoPlayer};
use crate::live::CloseReason;
use crate::opened_video::{self, NoVideo};
use crate::video_packer::VideoPackers;
use crate::viewers::ViewerGuard;
use crate::websocket::ClientActivity;
use crate::websocket::wire::{Wire, WireEvent};
use crate::{EndReason, HttpError, Transport, Viewers, client_key};

/// The maximum time that a request for video waits for a camera that must first be opened.
const OPENING_TIMEOUT: Duration = Duration::from_secs(10);

/// The maximum time for sending one message. A slower frame would no longer be live.
const MESSAGE_TIMEOUT: Duration = Duration::from_secs(30);

/// The number of texts queued for the client at which the session stops reading from the client.
const MAX_TEXTS: usize = 64;

/// Why a connection ends.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// As on other WebSockets.
    Connection(CloseReason),
    /// The camera no longer gives what the client was told; the client must ask again.
    Camera(String),
}

impl<T: Into<CloseReason>> From<T> for Ending {
    fn from(reason: T) -> Self {
        Self::Connection(reason.into())
    }
}

/// What one connection needs of the server.
#[derive(Debug, Clone)]
pub(super) struct SocketContext {
    pub(super) hub: Hub,
    pub(super) viewers: Viewers,
    pub(super) packers: VideoPackers,
    /// The name that the client gave for the camera.
    pub(super) camera: String,
    pub(super) peer: Option<IpAddr>,
}

/// A camera that is being opened for a client that asked for its video.
struct Opening {
    format: BoxFuture<'static, Result<Arc<Format>, NoVideo>>,
    playable: PlayableCodecs,
    viewer: ViewerGuard,
    demand: Demand,
}

/// What a client has asked for.
enum Watching {
    Nothing,
    Opening(Opening),
    Player(Player),
}

/// One client's connection.
pub(super) struct PlayerSession<S> {
    wire: Wire<S>,
    context: SocketContext,
    watching: Watching,
    /// Whether the player has to wait for its camera before it has something to send.
    is_waiting: bool,
    /// Texts that are queued for the client.
    texts: VecDeque<String>,
    /// When the write that is in progress began.
    begun_at: Instant,
    probe: LinkProbe,
    activity: ClientActivity,
}

enum PlayerEvent {
    Wire(WireEvent),
    Opened(Result<Arc<Format>, NoVideo>),
    CameraChanged,
    Deadline,
}

impl<S: AsyncRead + AsyncWrite + Unpin> PlayerSession<S> {
    pub(super) fn new(wire: Wire<S>, context: SocketContext) -> Self {
        let now = Instant::now();
        Self {
            wire,
            context,
            watching: Watching::Nothing,
            is_waiting: false,
            texts: VecDeque::new(),
            begun_at: now,
            probe: LinkProbe::new(now),
            activity: ClientActivity::new(now),
        }
    }

    /// Serves the client until the connection must end, and returns the reason.
    pub(super) async fn serve(&mut self) -> Ending {
        match self.serve_on().await {
            Ok(never) => match never {},
            Err(ending) => ending,
        }
    }

    /// Ends what the client watches, for the reason `end_reason`, and returns the WebSocket.
    pub(super) fn into_wire(mut self, end_reason: EndReason) -> Wire<S> {
        match &mut self.watching {
            Watching::Nothing => {}
            Watching::Opening(opening) => opening.viewer.set_end_reason(end_reason),
            Watching::Player(player) => player.viewer().set_end_reason(end_reason),
        }
        self.wire
    }

    async fn serve_on(&mut self) -> Result<Infallible, Ending> {
        loop {
            let now = Instant::now();
            self.check_deadlines(now)?;
            self.start_write(now)?;
            match self.next_event(now).await? {
                PlayerEvent::Wire(WireEvent::Flushed) | PlayerEvent::Deadline => {}
                PlayerEvent::Wire(WireEvent::Received(message)) => self.receive(message, Instant::now())?,
                PlayerEvent::Opened(format) => self.begin_video(format),
                PlayerEvent::CameraChanged => self.is_waiting = false,
            }
        }
    }

    async fn next_event(&mut self, now: Instant) -> Result<PlayerEvent, Ending> {
        let deadline = self.next_deadline(now);
        let may_read = self.texts.len() < MAX_TEXTS;
        let (wire, is_waiting) = (&mut self.wire, self.is_waiting);
        let of_camera = async {
            match &mut self.watching {
                Watching::Opening(opening) => PlayerEvent::Opened((&mut opening.format).await),
                Watching::Player(player) if is_waiting => {
                    player.changed().await;
                    PlayerEvent::CameraChanged
                }
                Watching::Nothing | Watching::Player(_) => std::future::pending().await,
            }
        };
        tokio::select! {
            event = poll_fn(|cx| wire.poll_event(cx, may_read)) => Ok(PlayerEvent::Wire(event?)),
            event = of_camera => Ok(event),
            () = sleep_until(deadline) => Ok(PlayerEvent::Deadline),
        }
    }

    /// Checks whether the client missed a deadline. If so, the error is the reason to end the connection.
    fn check_deadlines(&self, now: Instant) -> Result<(), CloseReason> {
        if !self.wire.is_idle() && now >= self.begun_at + MESSAGE_TIMEOUT {
            return Err(CloseReason::Slow);
        }
        if now >= self.activity.idle_deadline() { Err(CloseReason::Stalled) } else { Ok(()) }
    }

    /// Returns the time at which the session must act even if no event occurs.
    fn next_deadline(&self, now: Instant) -> Instant {
        let silent = self.activity.idle_deadline();
        if !self.wire.is_idle() {
            return silent.min(self.begun_at + MESSAGE_TIMEOUT);
        }
        self.probe.due_at().map_or(silent, |at| silent.min(at.max(now)))
    }

    /// Starts the next write, if there is something to write.
    fn start_write(&mut self, now: Instant) -> Result<(), Ending> {
        if !self.wire.is_idle() {
            return Ok(());
        }
        self.begun_at = now;
        if let Some(text) = self.texts.pop_front() {
            return Ok(self.wire.begin(Message::text(text))?);
        }
        if self.probe.due_at().is_some_and(|at| now >= at) {
            let payload = Bytes::copy_from_slice(&self.probe.ping(now));
            return Ok(self.wire.begin(Message::Ping(payload))?);
        }
        match &mut self.watching {
            Watching::Player(player) if !self.is_waiting && self.probe.has_room(now) => {
                match player.next(now) {
                    PlayerStep::Send(payload) => {
                        self.probe.sent();
                        self.wire.begin_payload(payload);
                    }
                    PlayerStep::Wait => self.is_waiting = true,
                    PlayerStep::End(why) => return Err(Ending::Camera(why)),
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn receive(&mut self, message: Message, now: Instant) -> Result<(), Ending> {
        self.activity.message_received(now);
        self.activity.count_message(now)?;
        match message {
            Message::Text(text) => match message::parse(&text).map_err(CloseReason::Bad)? {
                PlayerMessage::Mse(playable) => self.open_video(playable),
                PlayerMessage::Mjpeg => self.begin_pictures(),
                PlayerMessage::Other(kind) => self.fail(&kind, message::why_not(&kind)),
            },
            Message::Binary(_) => return Err(CloseReason::Binary.into()),
            Message::Close(_) => return Err(CloseReason::Closed.into()),
            Message::Pong(payload) => self.probe.answered(&payload),
            Message::Ping(_) | Message::Frame(_) => {}
        }
        Ok(())
    }

    fn fail(&mut self, kind: &str, why: &str) {
        self.texts.push_back(message::failed(kind, why));
    }

    fn watch(&mut self, watching: Watching) {
        (self.watching, self.is_waiting) = (watching, false);
    }

    /// Registers the client as a viewer of its camera, in place of what it watched before.
    fn admit(&mut self) -> Result<(Arc<Feed>, ViewerGuard), String> {
        self.watch(Watching::Nothing);
        let SocketContext { hub, viewers, camera, peer, .. } = &self.context;
        let feed = hub.get(camera).ok_or_else(|| HttpError::no_such_camera(camera, hub).message)?;
        let viewer = viewers.admit(&feed, *peer, Transport::Go2rtc);
        viewer.map(|viewer| (feed, viewer)).map_err(|limit_reached| limit_reached.to_string())
    }

    /// Opens the camera for its video.
    fn open_video(&mut self, playable: PlayableCodecs) {
        let (feed, viewer) = match self.admit() {
            Ok(admitted) => admitted,
            Err(why) => return self.fail("mse", &why),
        };
        let demand = feed.demand(DemandKind::Viewer);
        let format = async move { opened_video::wait_for_format(&feed, OPENING_TIMEOUT).await }.boxed();
        self.watch(Watching::Opening(Opening { format, playable, viewer, demand }));
    }

    /// Begins to send the video of the camera that was opened.
    fn begin_video(&mut self, format: Result<Arc<Format>, NoVideo>) {
        self.is_waiting = false;
        let Watching::Opening(opening) = std::mem::replace(&mut self.watching, Watching::Nothing) else {
            return;
        };
        match opening.video(format, &self.context.packers) {
            Ok((content_type, video)) => {
                self.texts.push_back(message::mse(&content_type));
                self.watch(Watching::Player(Player::Video(Box::new(video))));
            }
            Err(why) => self.fail("mse", &why),
        }
    }

    /// Begins to send the pictures of the camera, unless the client gets them already.
    fn begin_pictures(&mut self) {
        if matches!(self.watching, Watching::Player(Player::Pictures(_))) {
            return;
        }
        let begun = self.admit().and_then(|(feed, viewer)| {
            let demand = Some(feed.demand(DemandKind::Viewer));
            let client = self.context.peer.map(client_key);
            let subscriber = feed.watch_from(client, Rendition::default(), Delivery::Latest, demand);
            let subscriber = subscriber.map_err(|error| error.to_string())?;
            Ok(PicturePlayer::new(subscriber, viewer))
        });
        match begun {
            Ok(pictures) => {
                self.texts.push_back(message::mjpeg());
                self.watch(Watching::Player(Player::Pictures(Box::new(pictures))));
            }
            Err(why) => self.fail("mjpeg", &why),
        }
    }
}

impl Opening {
    /// Returns the MIME type of the video in `format`, and its player.
    ///
    /// # Errors
    /// A text that says why the client does not get the video.
    fn video(
        self,
        format: Result<Arc<Format>, NoVideo>,
        packers: &VideoPackers,
    ) -> Result<(String, VideoPlayer), String> {
        let Self { playable, viewer, demand, .. } = self;
        let format = format.map_err(|reason| match reason {
            NoVideo::Other(_) => format!("{}; ask for mjpeg", reason.reason()),
            NoVideo::Unavailable(reason) => reason,
        })?;
        let feed = Arc::clone(viewer.feed());
        let packer = packers.get_or_create(feed.id());
        let init = packer.init(&format);
        let init = init.map_err(|error| NoVideo::unsuitable(&feed, &error).reason().to_owned())?;
        let content_type = init.content_type.clone();
        if !playable.contains(format.codec) {
            let name = feed.name();
            return Err(format!(
                "{name}: the camera sends {content_type}, which is not in the player's list; ask for mjpeg"
            ));
        }
        Ok((content_type, VideoPlayer::new(packer, &init, viewer, demand)))
    }
}
