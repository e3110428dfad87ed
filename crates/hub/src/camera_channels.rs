//! The channels of one camera, and the rights to publish in them: of one opening of the camera, and of the slates that
//! replace its pictures. A right that is out of date does nothing, so no late frame or slate covers a newer picture.
//!
//! The *main* channel carries JPEG. If the device delivers JPEG, its frames are in this channel only, and it is the
//! source as well. If the server must encode what the device delivers, the device's frames are in the *source* channel
//! only, and an encoder publishes in the main channel. Each *rendition* (the pictures with a different size, quality or
//! rate) has a channel of its own.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use framecast_media::{Anchor, Frame, Timestamp, lock};
use tokio::sync::watch;

use crate::channel::Channel;
use crate::epoch::Epoch;
use crate::frame_rate::FrameRate;
use crate::rendition::Rendition;

/// How far a frame's wall-clock time can be from the time that the epoch's anchor gives it. Beyond this, the wall clock
/// was set, and the epoch gets a new anchor.
const MAX_CLOCK_ERROR: Duration = Duration::from_millis(500);

#[derive(Debug)]
pub(crate) struct CameraChannels {
    pub(crate) main: Channel,
    pub(crate) to_encode: Channel,
    /// Whether the newest frame of the device is one that the server must encode.
    needs_encoder: AtomicBool,
    pub(crate) renditions: watch::Sender<Vec<(Rendition, Channel)>>,
    /// Whether the camera has ended; written while `renditions` is locked.
    has_ended: AtomicBool,
    /// The number of the newest epoch. Locked while the right to publish changes.
    epoch_number: Mutex<u64>,
    pub(crate) frame_count: AtomicU64,
    pub(crate) rate: Mutex<FrameRate>,
}

impl CameraChannels {
    pub(crate) fn new() -> Self {
        Self {
            main: Channel::new(),
            to_encode: Channel::new(),
            needs_encoder: AtomicBool::new(false),
            renditions: watch::Sender::new(Vec::new()),
            has_ended: AtomicBool::new(false),
            epoch_number: Mutex::new(0),
            frame_count: AtomicU64::new(0),
            rate: Mutex::default(),
        }
    }

    /// Returns the channel that has the frames of the device.
    pub(crate) fn source(&self) -> &Channel {
        if self.needs_encoder() { &self.to_encode } else { &self.main }
    }

    /// Returns whether the server must encode the frames of the device; false before the first frame.
    pub(crate) fn needs_encoder(&self) -> bool {
        self.needs_encoder.load(Ordering::SeqCst)
    }

    /// Begins an epoch: gives the right to publish to the returned epoch number, and takes it from all others.
    pub(crate) fn begin_epoch(&self) -> u64 {
        let mut number = lock(&self.epoch_number);
        *number += 1;
        self.main.begin_epoch(*number);
        self.to_encode.begin_epoch(*number);
        *number
    }

    /// Takes the right to publish from all epochs.
    pub(crate) fn end_epoch(&self) {
        let _changing = lock(&self.epoch_number);
        self.main.end_epoch();
        self.to_encode.end_epoch();
    }

    /// Publishes a frame of the device. Returns false, and does nothing, if another epoch has the right to publish.
    pub(crate) fn publish(&self, epoch: Epoch, frame: Frame) -> bool {
        let (needs_encoder, pts) = (frame.format.codec.is_raw(), frame.pts);
        let (channel, other) =
            if needs_encoder { (&self.to_encode, &self.main) } else { (&self.main, &self.to_encode) };
        let mut is_other_kind = false;
        // Counted before the publication, so that a viewer who sees the frame finds it in the count.
        let is_published = channel.publish_in(epoch, frame, || {
            self.frame_count.fetch_add(1, Ordering::Relaxed);
            lock(&self.rate).record(pts);
            is_other_kind = self.needs_encoder.swap(needs_encoder, Ordering::SeqCst) != needs_encoder;
        });
        if is_other_kind {
            if !needs_encoder {
                other.clear();
            }
            // Encoders that read the other channel must look where the frames are now.
            other.wake();
        }
        is_published
    }

    /// Shows `slate` in all channels, unless the device has delivered a frame since `newest` was the
    /// [`newest_numbers`](Self::newest_numbers).
    pub(crate) fn publish_slate_after(&self, newest: (u64, u64), slate: Frame) {
        if !self.needs_encoder() {
            self.main.publish_slate_after(newest.0, slate, || {});
        } else {
            // What the encoder has published meanwhile is an older frame of the device. While `to_encode` is locked, no
            // newer frame can arrive there, be encoded and be covered.
            self.to_encode.publish_slate_after(newest.1, slate.clone(), || {
                self.main.publisher().publish_slate(slate);
            });
        }
    }

    /// Returns the numbers of the newest frames in the main channel and among the frames to encode.
    pub(crate) fn newest_numbers(&self) -> (u64, u64) {
        (self.main.newest_number(), self.to_encode.newest_number())
    }

    /// Shows nothing in any channel until the next frame or slate, and takes the right to publish from all epochs.
    pub(crate) fn suspend(&self) {
        self.end_epoch();
        // The source first: who takes the publisher of a channel after this finds nothing to encode.
        self.to_encode.hide();
        self.main.hide();
        for (_, channel) in self.renditions.borrow().iter() {
            channel.hide();
        }
    }

    /// Returns whether the camera has ended. If this is asked while the list of renditions is locked, the answer holds
    /// until the lock is released.
    pub(crate) fn has_ended(&self) -> bool {
        self.has_ended.load(Ordering::SeqCst)
    }

    /// Ends all channels, with `slate` as the last picture if there is one, and takes the right to publish from all
    /// epochs. No rendition is added after this.
    pub(crate) fn end(&self, slate: Option<&Frame>) {
        self.end_epoch();
        let end = |channel: &Channel| match slate {
            Some(slate) => channel.end_with(slate.clone()),
            None => channel.end(),
        };
        self.renditions.send_if_modified(|renditions| {
            self.has_ended.store(true, Ordering::SeqCst);
            end(&self.to_encode);
            end(&self.main);
            renditions.iter().for_each(|(_, channel)| end(channel));
            false
        });
    }
}

/// The right to publish the frames of one opening of a camera. It ends when the camera is opened again, is suspended,
/// or ends. After that, the publisher does nothing.
#[derive(Debug)]
pub struct Publisher {
    channels: Arc<CameraChannels>,
    epoch: Epoch,
    /// The decoding time of the last frame; `None` before the first frame.
    last_dts: Option<Timestamp>,
}

impl Publisher {
    pub(crate) fn new(channels: Arc<CameraChannels>, anchor: Anchor) -> Self {
        let epoch = Epoch { number: channels.begin_epoch(), anchor };
        Self { channels, epoch, last_dts: None }
    }

    /// Publishes `frame`, and adds one to the number of frames that arrived from the camera. Frames come in the order
    /// in which they are decoded; a decoding time that is less than that of the frame before is set to that. Returns
    /// false, and does nothing, if this publisher is out of date. Never waits for a subscriber.
    pub fn publish(&mut self, mut frame: Frame) -> bool {
        let anchor = Anchor::of(&frame);
        if self.last_dts.is_none() || anchor.distance(self.epoch.anchor) > MAX_CLOCK_ERROR {
            self.epoch.anchor = anchor;
        }
        if let Some(last) = self.last_dts.filter(|last| frame.dts < *last) {
            frame.dts = last;
            frame.pts = frame.pts.max(last);
        }
        self.last_dts = Some(frame.dts);
        self.channels.publish(self.epoch, frame)
    }
}

/// The right to show slates in place of a camera's pictures. It ends with the camera's next frame. After that, the
/// publisher does nothing.
#[derive(Debug)]
pub struct SlatePublisher {
    channels: Arc<CameraChannels>,
    /// The numbers of the newest frames in the channels when this right was given.
    newest: (u64, u64),
}

impl SlatePublisher {
    pub(crate) fn new(channels: Arc<CameraChannels>) -> Self {
        Self { newest: channels.newest_numbers(), channels }
    }

    /// Shows `slate`, a drawn JPEG that says why there is no camera picture, to all viewers until the next frame. Does
    /// nothing if the camera has delivered a frame since this right was given.
    pub fn publish(&self, slate: Frame) {
        self.channels.publish_slate_after(self.newest, slate);
    }
}
