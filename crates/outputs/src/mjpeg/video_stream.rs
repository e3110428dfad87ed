//! The stream of fragmented MP4 for one client: decides which frame of a camera's coded video is sent when.

use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use framecast_hub::{Demand, SourceKind, Subscriber, Update};

use super::part::Part;
use super::part_stream::Next;
use crate::video_packer::{VideoInit, VideoPacker, is_same};
use crate::video_reader::{VideoReader, VideoUpdate};
use crate::viewers::ViewerGuard;

/// The stream of fragmented MP4 for one client. It ends when the camera is lost, is opened again, or delivers another
/// format: few players can go on from there.
#[derive(Debug)]
pub(crate) struct VideoStream {
    packer: Arc<VideoPacker>,
    init: Arc<VideoInit>,
    reader: VideoReader,
    viewer: ViewerGuard,
    /// The epoch of the first frame; `None` before that.
    epoch: Option<u64>,
    /// Keeps the camera open.
    _demand: Demand,
}

impl VideoStream {
    /// Creates the stream of the camera of `viewer`, whose frames need `init`.
    pub(crate) fn new(
        packer: Arc<VideoPacker>,
        init: Arc<VideoInit>,
        viewer: ViewerGuard,
        demand: Demand,
    ) -> Self {
        let reader = VideoReader::new(viewer.feed());
        Self { packer, init, reader, viewer, epoch: None, _demand: demand }
    }

    /// Returns the bytes to send before the first frame.
    pub(crate) fn opening(&self) -> Bytes {
        self.init.segment.clone()
    }

    /// Returns what to do next: send a frame, wait for one, or end the stream.
    pub(crate) fn next(&mut self) -> Next {
        let feed = Arc::clone(self.viewer.feed());
        let next = self.reader.next(&feed);
        self.viewer.skipped(self.reader.dropped());
        match next {
            Some(VideoUpdate::Frame(update)) => self.fragment(&update).map_or(Next::End, Next::Part),
            Some(VideoUpdate::Slate(_)) => Next::End,
            None if self.channel().has_ended() || feed.source_kind() != SourceKind::Video => Next::End,
            None => Next::Wait(None),
        }
    }

    /// Returns the fragment of the frame; `None` if the frame does not belong to this stream.
    fn fragment(&mut self, update: &Update) -> Option<Part> {
        let (frame, epoch) = (&update.frame, update.epoch.number);
        if *self.epoch.get_or_insert(epoch) != epoch || !is_same(&frame.format, &self.init.format) {
            return None;
        }
        let part = Part::new(self.packer.head(update).ok()?, frame.data.clone(), Bytes::new());
        self.viewer.shows(frame.format.codec);
        if self.reader.has_caught_up() {
            let age = SystemTime::now().duration_since(frame.captured_at).unwrap_or_default();
            self.viewer.sent(part.len(), age);
        } else {
            self.viewer.resent(part.len());
        }
        Some(part)
    }

    /// Returns whether there may be more to send at once.
    pub(crate) fn has_next(&mut self) -> bool {
        self.reader.has_next()
    }

    /// Returns a subscriber of the channel that the stream reads.
    pub(crate) fn channel(&self) -> &Subscriber {
        self.reader.channel()
    }

    /// Returns the guard that registers the stream as a viewer.
    pub(crate) fn viewer(&mut self) -> &mut ViewerGuard {
        &mut self.viewer
    }

    pub(crate) fn shared_viewer(&self) -> &ViewerGuard {
        &self.viewer
    }
}
