//! The channels of one camera, and the rights to publish in them: of one opening of the camera, and of the slates that
//! replace its pictures. A right that is out of date does nothing, so no late frame or slate covers a newer picture.
//!
//! The *main* channel carries JPEG. If the device delivers JPEG, its frames are in this channel only. If the device
//! delivers raw pictures or coded video, its frames are in a channel for these, and the server makes the JPEG of the
//! main channel from them. The channel with the device's frames is the *source*. Each *rendition* (the pictures with a
//! different size, quality or rate) has a channel of its own.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use framecast_media::{Anchor, Codec, Frame, Timestamp, lock};
use tokio::sync::watch;

use crate::channel::Channel;
use crate::epoch::Epoch;
use crate::frame_rate::FrameRate;
use crate::gop_figures::{GopMeter, GopSample};
use crate::rendition::Rendition;
use crate::ring::RingLimits;

/// How far a frame's wall-clock time can be from the time that the epoch's anchor gives it. Beyond this, the wall clock
/// was set, and the epoch gets a new anchor.
const MAX_CLOCK_ERROR: Duration = Duration::from_millis(500);

/// What a camera's device delivers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SourceKind {
    /// JPEG images. Also the kind before the first frame.
    #[default]
    Jpeg,
    /// Raw pictures, which the server encodes for each viewer.
    Raw,
    /// Coded video, which viewers get unchanged, or as JPEG that the server makes of it.
    Video,
}

impl SourceKind {
    fn of(codec: Codec) -> Self {
        match codec {
            _ if codec.is_raw() => Self::Raw,
            _ if codec.is_video() => Self::Video,
            _ => Self::Jpeg,
        }
    }
}

#[derive(Debug)]
pub(crate) struct CameraChannels {
    pub(crate) main: Channel,
    pub(crate) raw: Channel,
    pub(crate) video: Channel,
    /// What the newest frame of the device is.
    pub(crate) kind: watch::Sender<SourceKind>,
    pub(crate) renditions: watch::Sender<Vec<(Rendition, Channel)>>,
    /// Whether the camera has ended; written while `renditions` is locked.
    has_ended: AtomicBool,
    /// The number of the newest epoch. Locked while the right to publish changes.
    epoch_number: Mutex<u64>,
    pub(crate) frame_count: AtomicU64,
    pub(crate) rate: Mutex<FrameRate>,
    pub(crate) gop_meter: Mutex<GopMeter>,
}

impl CameraChannels {
    pub(crate) fn new() -> Self {
        Self {
            main: Channel::new(),
            raw: Channel::new(),
            video: Channel::with_limits(RingLimits::of_video()),
            kind: watch::Sender::default(),
            renditions: watch::Sender::new(Vec::new()),
            has_ended: AtomicBool::new(false),
            epoch_number: Mutex::new(0),
            frame_count: AtomicU64::new(0),
            rate: Mutex::default(),
            gop_meter: Mutex::default(),
        }
    }

    pub(crate) fn kind(&self) -> SourceKind {
        *self.kind.borrow()
    }

    /// Returns the channel that has the frames of the device.
    pub(crate) fn source(&self) -> &Channel {
        self.of_kind(self.kind())
    }

    fn of_kind(&self, kind: SourceKind) -> &Channel {
        match kind {
            SourceKind::Jpeg => &self.main,
            SourceKind::Raw => &self.raw,
            SourceKind::Video => &self.video,
        }
    }

    /// Returns the channel with the pictures of which renditions are made.
    pub(crate) fn pictures(&self) -> &Channel {
        match self.kind() {
            SourceKind::Raw => &self.raw,
            SourceKind::Jpeg | SourceKind::Video => &self.main,
        }
    }

    /// Returns the channels that have the frames of a device.
    fn device_channels(&self) -> [&Channel; 3] {
        [&self.raw, &self.video, &self.main]
    }

    /// Begins an epoch: gives the right to publish to the returned epoch number, and takes it from all others.
    pub(crate) fn begin_epoch(&self) -> u64 {
        let mut number = lock(&self.epoch_number);
        *number += 1;
        lock(&self.gop_meter).reset();
        self.device_channels().iter().for_each(|channel| channel.begin_epoch(*number));
        *number
    }

    /// Takes the right to publish from all epochs.
    pub(crate) fn end_epoch(&self) {
        let _changing = lock(&self.epoch_number);
        self.device_channels().iter().for_each(|channel| channel.end_epoch());
    }

    /// Publishes a frame of the device. Returns false, and does nothing, if another epoch has the right to publish.
    pub(crate) fn publish(&self, epoch: Epoch, frame: Frame) -> bool {
        let (kind, dts) = (SourceKind::of(frame.format.codec), frame.dts);
        let channel = self.of_kind(kind);
        let mut is_other_kind = false;
        let sample = GopSample::of(&frame);
        // Counted before the publication, so that a viewer who sees the frame finds it in the count.
        let is_published = channel.publish_in(epoch, frame, || {
            self.frame_count.fetch_add(1, Ordering::Relaxed);
            lock(&self.rate).record(dts);
            if kind == SourceKind::Video {
                lock(&self.gop_meter).record(sample);
            }
            is_other_kind = self.kind.send_if_modified(|known| std::mem::replace(known, kind) != kind);
        });
        if is_other_kind {
            for other in self.device_channels().into_iter().filter(|other| !other.is_same_channel(channel)) {
                // The main channel goes on with what the server makes of the frames.
                if !other.is_same_channel(&self.main) {
                    other.clear();
                }
                // Encoders that read the other channel must look where the frames are now.
                other.wake();
            }
        }
        is_published
    }

    /// Shows `slate` in all channels, unless the device has delivered a frame since `newest` was the
    /// [`newest_numbers`](Self::newest_numbers).
    pub(crate) fn publish_slate_after(&self, newest: NewestNumbers, slate: Frame) {
        match self.kind() {
            SourceKind::Jpeg => self.main.publish_slate_after(newest.main, slate, || {}),
            // What the encoder has published meanwhile is an older frame of the device. While the source is locked, no
            // newer frame can arrive there, be encoded and be covered.
            kind => {
                let number = if kind == SourceKind::Raw { newest.raw } else { newest.video };
                self.of_kind(kind).publish_slate_after(number, slate.clone(), || {
                    self.main.publisher().publish_slate(slate);
                });
            }
        }
    }

    /// Returns the numbers of the newest frames in the channels.
    pub(crate) fn newest_numbers(&self) -> NewestNumbers {
        NewestNumbers {
            main: self.main.newest_number(),
            raw: self.raw.newest_number(),
            video: self.video.newest_number(),
        }
    }

    /// Shows nothing in any channel until the next frame or slate, and takes the right to publish from all epochs.
    pub(crate) fn suspend(&self) {
        self.end_epoch();
        // The source first: who takes the publisher of a channel after this finds nothing to encode.
        self.device_channels().iter().for_each(|channel| channel.hide());
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
            self.device_channels().into_iter().for_each(end);
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

/// The numbers of the newest frames in the channels that have the frames of a device.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NewestNumbers {
    main: u64,
    raw: u64,
    video: u64,
}

/// The right to show slates in place of a camera's pictures. It ends with the camera's next frame. After that, the
/// publisher does nothing.
#[derive(Debug)]
pub struct SlatePublisher {
    channels: Arc<CameraChannels>,
    /// The numbers of the newest frames in the channels when this right was given.
    newest: NewestNumbers,
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
