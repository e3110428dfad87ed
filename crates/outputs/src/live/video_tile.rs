//! A tile's view of the coded video of one stream: which message comes next. When messages may be sent belongs to the
//! scheduler, and which stream is shown to the tiles.

use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use framecast_hub::{Delivery, Demand, DemandKind, Feed, ReadySet, Update, WakeRegistration};
use framecast_media::{Error, Format, Frame};

use super::stream_choice::StreamKind;
use crate::video_packer::{VideoInit, VideoPacker, VideoPackers, is_same};
use crate::video_reader::{VideoReader, VideoUpdate, is_behind};

/// What a tile of coded video sends next.
#[derive(Debug)]
pub(super) enum VideoMessage {
    /// The client is told how many frames it does not get.
    Dropped(u64),
    /// The client is told what it must play from now on, and which stream of the camera that is.
    Format(Arc<VideoInit>, StreamKind),
    /// The init segment for the frames that follow, the first of which was captured at `captured_at`.
    Init { segment: Bytes, captured_at: SystemTime },
    /// A frame, and the bytes that make it a fragment. If it `is_late`, it is older than the newest frame because the
    /// tile starts with a keyframe of the past.
    Fragment { head: Bytes, frame: Frame, is_late: bool },
    /// A drawn picture that says why the camera shows none.
    Slate(Frame),
}

/// A tile's subscription to the coded video of one stream of a camera.
#[derive(Debug)]
pub(super) struct VideoWatch {
    /// The watch's token in the ready set, as for a watch of pictures.
    pub(super) token: usize,
    pub(super) stream: StreamKind,
    /// The camera, or its sub stream.
    pub(super) feed: Arc<Feed>,
    /// Keeps the stream open, even while the camera delivers pictures.
    _demand: Demand,
    packer: Arc<VideoPacker>,
    reader: VideoReader,
    registration: WakeRegistration,
    /// Whether the tile waits for something new. Otherwise there may be a message to send.
    is_waiting: bool,
    /// The format that the client knows.
    told_format: Option<Arc<Format>>,
    /// The number of the epoch for which the client has the init segment.
    begun_epoch: Option<u64>,
    /// The number of dropped frames that the client knows of.
    told_dropped: u64,
}

impl VideoWatch {
    /// Subscribes to `stream` of `camera`; to the main stream if there is no other.
    pub(super) fn new(
        camera: &Arc<Feed>,
        stream: StreamKind,
        packers: &VideoPackers,
        ready_set: &ReadySet,
        token: usize,
    ) -> Self {
        let (stream, feed) = match camera.sub() {
            Some(sub) if stream == StreamKind::Sub => (stream, sub),
            _ => (StreamKind::Main, camera),
        };
        let reader = VideoReader::new(feed);
        let registration = reader.channel().register(ready_set, token);
        Self {
            token,
            stream,
            feed: Arc::clone(feed),
            _demand: feed.demand(DemandKind::Viewer),
            packer: packers.get_or_create(feed.id()),
            reader,
            registration,
            is_waiting: true,
            told_format: None,
            begun_epoch: None,
            told_dropped: 0,
        }
    }

    /// Looks whether a watch that waits has something new. Returns true if there may be a message to send, and false if
    /// the camera has ended. Returns `None` if the watch still waits, or does not wait.
    pub(super) fn check(&mut self) -> Option<bool> {
        if !self.is_waiting {
            return None;
        }
        let has_ended = self.reader.channel().has_ended();
        let has_next = self.reader.has_next();
        self.is_waiting = !has_next && !has_ended;
        if self.is_waiting {
            return None;
        }
        self.registration.pause();
        Some(has_next)
    }

    /// Makes the watch wait for something new.
    pub(super) fn wait(&mut self) {
        self.is_waiting = true;
        self.registration.resume();
    }

    /// Begins again, as a new watch does.
    pub(super) fn restart(&mut self) {
        (self.told_format, self.begun_epoch) = (None, None);
        self.reader.restart();
        self.wait();
    }

    /// Returns whether the stream has a frame with which a player can begin, and shows no slate.
    pub(super) fn is_live(&self) -> bool {
        let shown = self.feed.video_channel().observe(Delivery::Latest).try_next();
        shown.is_some_and(|update| !update.is_slate)
    }

    /// Returns how many frames the tile did not get.
    pub(super) fn dropped(&self) -> u64 {
        self.reader.dropped()
    }

    /// Returns the next message; `None` if there is none now.
    ///
    /// # Errors
    /// If the video does not go into fragmented MP4.
    pub(super) fn next(&mut self) -> Result<Option<VideoMessage>, Error> {
        match self.reader.next(&self.feed) {
            None => Ok(None),
            Some(VideoUpdate::Frame(update)) => self.message(update).map(Some),
            Some(VideoUpdate::Slate(slate)) => {
                self.begun_epoch = None;
                Ok(Some(VideoMessage::Slate(slate)))
            }
        }
    }

    /// Returns what must be sent before the frame, or the frame.
    fn message(&mut self, update: Update) -> Result<VideoMessage, Error> {
        let (format, is_keyframe) = (&update.frame.format, update.frame.is_keyframe);
        let untold = self.reader.dropped() - self.told_dropped;
        // Disposable frames that are dropped one by one are told together.
        let message = if untold > 0 && (is_keyframe || !is_behind(&update.frame, &self.feed)) {
            self.told_dropped += untold;
            VideoMessage::Dropped(untold)
        } else if !self.told_format.as_ref().is_some_and(|told| is_same(told, format)) {
            (self.told_format, self.begun_epoch) = (Some(Arc::clone(format)), None);
            VideoMessage::Format(self.packer.init(format)?, self.stream)
        } else if self.begun_epoch != Some(update.epoch.number) {
            self.begun_epoch = Some(update.epoch.number);
            let segment = self.packer.init(format)?.segment.clone();
            VideoMessage::Init { segment, captured_at: update.frame.captured_at }
        } else {
            let (head, is_late) = (self.packer.head(&update)?, !self.reader.has_caught_up());
            return Ok(VideoMessage::Fragment { head, frame: update.frame, is_late });
        };
        self.reader.put_back(update);
        Ok(message)
    }
}
