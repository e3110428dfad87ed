//! What one client watches: the coded video of a camera in fragmented MP4, or its pictures. Decides which message comes
//! next; the session decides when it is sent.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use framecast_hub::{ChangeListener, Demand, Feed, SourceKind, Subscriber, Update};
use framecast_media::{Codec, Format};
use tokio::time::Instant;

use super::timeline::Timeline;
use crate::video_packer::{VideoInit, VideoPacker, is_same};
use crate::video_reader::{VideoReader, VideoUpdate};
use crate::viewers::{SkipCounter, ViewerGuard};

/// What a player does next.
#[derive(Debug)]
pub(super) enum PlayerStep {
    /// It sends these bytes in one message. The second piece is the frame's own bytes.
    Send([Bytes; 2]),
    /// It waits for the camera.
    Wait,
    /// It ends, for this reason.
    End(String),
}

/// What a client watches.
#[derive(Debug)]
pub(super) enum Player {
    Video(Box<VideoPlayer>),
    Pictures(Box<PicturePlayer>),
}

impl Player {
    /// Returns what to do at `now`.
    pub(super) fn next(&mut self, now: Instant) -> PlayerStep {
        match self {
            Self::Video(video) => video.next(),
            Self::Pictures(pictures) => pictures.next(now),
        }
    }

    /// Waits until the camera may have something new. Cancel safe.
    pub(super) async fn changed(&mut self) {
        match self {
            Self::Video(video) => video.listener.changed().await,
            Self::Pictures(pictures) => pictures.listener.changed().await,
        }
    }

    /// Returns the guard that registers the client as a viewer.
    pub(super) fn viewer(&mut self) -> &mut ViewerGuard {
        match self {
            Self::Video(video) => &mut video.viewer,
            Self::Pictures(pictures) => &mut pictures.viewer,
        }
    }
}

/// A client that plays the coded video of a camera. While the camera is lost, it gets nothing, and then a new init
/// segment: a player goes on from there.
#[derive(Debug)]
pub(super) struct VideoPlayer {
    reader: VideoReader,
    listener: ChangeListener,
    packer: Arc<VideoPacker>,
    timeline: Timeline,
    viewer: ViewerGuard,
    /// The codec that the client was told.
    codec: Codec,
    /// The epoch and the format for which the client has the init segment.
    begun: Option<(u64, Arc<Format>)>,
    /// Keeps the camera open.
    _demand: Demand,
}

impl VideoPlayer {
    /// Creates the player of the camera of `viewer`, whose client was told of `init`.
    pub(super) fn new(
        packer: Arc<VideoPacker>,
        init: &VideoInit,
        viewer: ViewerGuard,
        demand: Demand,
    ) -> Self {
        let reader = VideoReader::new(viewer.feed());
        let listener = reader.channel().change_listener();
        let (timeline, codec) = (Timeline::default(), init.format.codec);
        Self { reader, listener, packer, timeline, viewer, codec, begun: None, _demand: demand }
    }

    fn next(&mut self) -> PlayerStep {
        let feed = Arc::clone(self.viewer.feed());
        loop {
            let next = self.reader.next(&feed);
            self.viewer.skipped(self.reader.dropped());
            return match next {
                Some(VideoUpdate::Frame(update)) => self.send(update, &feed),
                Some(VideoUpdate::Slate(_)) => {
                    self.begun = None;
                    continue;
                }
                None if feed.has_ended() => PlayerStep::End(removed(&feed)),
                None if feed.source_kind() != SourceKind::Video => {
                    PlayerStep::End(format!("{}: the camera delivers pictures now", feed.name()))
                }
                None => PlayerStep::Wait,
            };
        }
    }

    /// Returns the step that sends the frame, or the init segment that the frame needs first.
    fn send(&mut self, update: Update, feed: &Feed) -> PlayerStep {
        let (format, epoch) = (&update.frame.format, update.epoch.number);
        if format.codec != self.codec {
            return PlayerStep::End(format!("{}: the camera sends another codec now", feed.name()));
        }
        let has_init =
            self.begun.as_ref().is_some_and(|(begun, known)| *begun == epoch && is_same(known, format));
        let unsuitable =
            |error| PlayerStep::End(format!("{}: the video does not go into MP4: {error}", feed.name()));
        if !has_init {
            let segment = match self.packer.init(format) {
                Ok(init) => init.segment.clone(),
                Err(error) => return unsuitable(error),
            };
            self.begun = Some((epoch, Arc::clone(format)));
            self.viewer.sent_beside(segment.len());
            self.reader.put_back(update);
            return PlayerStep::Send([Bytes::new(), segment]);
        }
        let frame = &update.frame;
        let fragment = self.timeline.fragment(frame, update.is_discontinuity, behind(&update, feed));
        let head = match fragment.head() {
            Ok(head) => Bytes::copy_from_slice(&head),
            Err(error) => return unsuitable(error),
        };
        let bytes = head.len() + frame.data.len();
        self.viewer.shows(frame.format.codec);
        if self.reader.has_caught_up() {
            self.viewer.sent(bytes, age(frame.captured_at));
        } else {
            self.viewer.resent(bytes);
        }
        PlayerStep::Send([head, update.frame.data])
    }
}

/// A client that shows JPEG pictures, slates included.
#[derive(Debug)]
pub(super) struct PicturePlayer {
    subscriber: Subscriber,
    listener: ChangeListener,
    viewer: ViewerGuard,
    skips: SkipCounter,
}

impl PicturePlayer {
    /// Creates the player of the camera of `viewer`, whose pictures come from `subscriber`.
    pub(super) fn new(subscriber: Subscriber, viewer: ViewerGuard) -> Self {
        let listener = subscriber.change_listener();
        Self { subscriber, listener, viewer, skips: SkipCounter::default() }
    }

    fn next(&mut self, now: Instant) -> PlayerStep {
        let Some(update) = self.subscriber.try_next() else {
            return match self.subscriber.has_ended() {
                true => PlayerStep::End(removed(self.viewer.feed())),
                false => PlayerStep::Wait,
            };
        };
        self.viewer.skipped(self.skips.count(self.subscriber.skipped(), Duration::ZERO, now));
        self.viewer.sent(update.frame.data.len(), age(update.frame.captured_at));
        if !update.is_slate {
            self.viewer.shows(update.frame.format.codec);
        }
        PlayerStep::Send([Bytes::new(), update.frame.data])
    }
}

fn removed(feed: &Feed) -> String {
    format!("{}: the camera was removed", feed.name())
}

/// Returns how much older the frame is than the newest frame of `feed`.
fn behind(update: &Update, feed: &Feed) -> Duration {
    let newest = feed.video_channel().newest_captured_at();
    newest.and_then(|newest| newest.duration_since(update.frame.captured_at).ok()).unwrap_or_default()
}

/// Returns the time that has passed since a frame was captured.
fn age(captured_at: SystemTime) -> Duration {
    SystemTime::now().duration_since(captured_at).unwrap_or_default()
}
