//! A reader of what a camera's device delivers, for the tasks that encode it.

use std::sync::Arc;

use crate::camera_channels::{CameraChannels, SourceKind};
use crate::subscriber::{ChangeListener, Delivery, Subscriber, Update};

/// A reader of the newest picture of a camera, in whichever channel it is, or only of the raw pictures, which the server
/// must encode for every viewer. It does not keep the camera open. It is no viewer, except that the server makes pictures
/// of coded video for it.
#[derive(Debug)]
pub struct SourceSubscriber {
    channels: Arc<CameraChannels>,
    /// Whether it stays at the raw pictures, even if the device delivers others now.
    is_raw_only: bool,
    subscriber: Subscriber,
    listener: ChangeListener,
}

impl SourceSubscriber {
    pub(crate) fn new(channels: Arc<CameraChannels>, is_raw_only: bool) -> Self {
        let subscriber =
            if is_raw_only { channels.raw.observe(Delivery::Latest) } else { subscribe(&channels) };
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
        if self.is_raw_only {
            return;
        }
        let is_video = self.channels.kind() == SourceKind::Video;
        if !self.channels.pictures().is_read_by(&self.subscriber) || is_video != self.subscriber.is_counted()
        {
            self.subscriber = subscribe(&self.channels);
            self.listener = self.subscriber.change_listener();
        }
    }
}

/// Subscribes to the channel with the pictures of which renditions are made. A subscriber to pictures that the server
/// makes of coded video counts, because the server makes them only while there is one.
fn subscribe(channels: &CameraChannels) -> Subscriber {
    match channels.kind() {
        SourceKind::Video => channels.pictures().subscribe(Delivery::Latest),
        SourceKind::Jpeg | SourceKind::Raw => channels.pictures().observe(Delivery::Latest),
    }
}
