//! A reader of what a camera's device delivers, for the tasks that encode it.

use std::sync::Arc;

use crate::camera_channels::CameraChannels;
use crate::subscriber::{ChangeListener, Delivery, Subscriber, Update};

/// A reader of the newest frame that a camera's device delivers, in whichever channel it is, or only of those that the
/// server must encode for every viewer. It does not keep the camera open, and is no viewer.
#[derive(Debug)]
pub struct SourceSubscriber {
    channels: Arc<CameraChannels>,
    /// Whether it stays at the frames that must be encoded, even if the device delivers others now.
    is_raw_only: bool,
    subscriber: Subscriber,
    listener: ChangeListener,
}

impl SourceSubscriber {
    pub(crate) fn new(channels: Arc<CameraChannels>, is_raw_only: bool) -> Self {
        let source = if is_raw_only { &channels.to_encode } else { channels.source() };
        let subscriber = source.observe(Delivery::Latest);
        Self { listener: subscriber.change_listener(), subscriber, channels, is_raw_only }
    }

    /// Waits for the next frame or slate and returns it. Returns `None` when the camera has ended. Cancel safe.
    pub async fn next_update(&mut self) -> Option<Update> {
        loop {
            self.follow();
            let has_ended = self.subscriber.has_ended();
            if let Some(update) = self.subscriber.try_next() {
                return Some(update);
            }
            if has_ended {
                return None;
            }
            self.listener.changed().await;
        }
    }

    /// Returns the frame or slate that the camera shows now, even if it was already received.
    pub fn current(&mut self) -> Option<Update> {
        self.follow();
        self.subscriber.current()
    }

    /// Subscribes to the other channel if the device now delivers its frames there.
    fn follow(&mut self) {
        let source = self.channels.source();
        if !self.is_raw_only && !source.is_read_by(&self.subscriber) {
            self.subscriber = source.observe(Delivery::Latest);
            self.listener = self.subscriber.change_listener();
        }
    }
}
