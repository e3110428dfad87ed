//! The encoder task of one channel. A channel is a stream of a camera's pictures that viewers can subscribe to: the
//! main channel, or a rendition in another size, quality or frame rate.

use std::sync::Arc;
use std::time::Duration;

use framecast_hub::{Channel, ChannelPublisher, Rendition, SourceSubscriber, Update};
use framecast_transcode::{OutputQueue, Pool, QueueStats, TargetFormat};
use tokio::time::{Instant, timeout_at};

use super::failure::Failures;
use super::frame_pacer::FramePacer;
use crate::camera::Camera;

/// The state of the encoder task of one channel.
pub(super) struct ChannelEncoder {
    camera: Arc<Camera>,
    pool: Arc<Pool>,
    rendition: Rendition,
    channel: Channel,
    failures: Arc<Failures>,
}

impl ChannelEncoder {
    pub(super) fn new(camera: Arc<Camera>, pool: Arc<Pool>, rendition: Rendition, channel: Channel) -> Self {
        Self { camera, pool, rendition, channel, failures: Arc::default() }
    }

    /// Encodes pictures for the main channel whenever the channel has viewers. Returns when the camera can deliver no
    /// more frames.
    pub(super) async fn run_forever(self) {
        let mut viewers = self.channel.watch_subscriber_count();
        while viewers.wait_for(|count| *count > 0).await.is_ok() {
            if self.run_once().await == StopReason::Camera {
                break;
            }
        }
    }

    /// Encodes pictures for a rendition until its last viewer has left, and then closes the rendition.
    pub(super) async fn run_while_watched(self) {
        loop {
            if self.run_once().await == StopReason::Camera || self.camera.feed.close_rendition(self.rendition)
            {
                break;
            }
        }
    }

    /// Encodes pictures for the channel while the channel has viewers. Returns why the task stopped.
    async fn run_once(&self) -> StopReason {
        let feed = &self.camera.feed;
        let is_main = self.rendition.is_original();
        let mut source = if is_main { feed.subscribe_to_raw() } else { feed.subscribe_to_source() };
        let mut viewers = self.channel.watch_subscriber_count();
        let queue = self.pool.output_queue(self.target_format());
        let mut pacer = self.pacer();
        let mut counted = QueueStats::default();
        let mut has_published = false;
        let ended = loop {
            let update = tokio::select! {
                update = next(&mut source, &pacer) => update,
                _ = viewers.wait_for(|count| *count == 0) => break StopReason::Unwatched,
            };
            let Some(update) = update else { break StopReason::Camera };
            if is_main && update.is_slate {
                // Viewers of the main channel get it as it is.
                continue;
            }
            pacer.record(Instant::now());
            // The publisher is taken before the second look at the source, because the supervisor suspends the source
            // before its channels. So if a frame was taken before the camera was lost, either the source is empty now,
            // or the publisher is out of date by the time the frame is encoded.
            let publisher = self.channel.publisher();
            if let Some(update) = source.current().filter(|update| !(is_main && update.is_slate)) {
                has_published = true;
                self.publish(&queue, update, publisher);
            }
            self.count(&queue, &mut counted);
        };
        self.count(&queue, &mut counted);
        if has_published && (!is_main || feed.needs_encoder()) {
            // No task updates the channel from here on, so its last picture must not be the first that the next viewer
            // sees.
            self.channel.hide();
        }
        ended
    }

    fn target_format(&self) -> TargetFormat {
        TargetFormat {
            width_px: self.rendition.width_px(),
            height_px: self.rendition.height_px(),
            quality: self.rendition.quality(),
            default_quality: self.camera.settings.quality,
        }
    }

    fn pacer(&self) -> FramePacer {
        let interval = self.rendition.fps().map(|fps| Duration::from_secs(1) / fps);
        FramePacer::new(interval.unwrap_or_default())
    }

    /// Encodes the frame of `update` in this channel's format and publishes it with `publisher`, unless that is out of
    /// date by then. A frame that already has this format goes through the same queue unchanged, so that all pictures
    /// stay in order.
    fn publish(&self, queue: &OutputQueue, update: Update, publisher: ChannelPublisher) {
        let camera = Arc::clone(&self.camera);
        let (failures, rendition) = (Arc::clone(&self.failures), self.rendition);
        let format = Arc::clone(&update.frame.format);
        let is_encoded = !queue.target_format().accepts(&format);
        queue.push(update.frame, move |result| match result {
            Ok(frame) => {
                failures.clear();
                // A slate is not a picture of the camera.
                if is_encoded && !update.is_slate {
                    // Counted before the publication, so that a viewer who sees the picture finds it in the count.
                    camera.feed.count_encoded();
                }
                if update.is_slate {
                    publisher.publish_slate(frame);
                } else {
                    publisher.publish(frame, update.epoch);
                }
            }
            Err(error) => {
                camera.feed.count_broken(error.to_string());
                if let Some(slate) = failures.record(&camera, rendition, &format, &error) {
                    publisher.publish_slate(slate);
                }
            }
        });
    }

    /// Adds to the camera's statistics the encoding time and the number of dropped frames of `queue` since the last
    /// call of this function. `counted` contains the statistics of `queue` at that call.
    fn count(&self, queue: &OutputQueue, counted: &mut QueueStats) {
        let now = queue.stats();
        self.camera
            .feed
            .count_encoding(now.encoding_time - counted.encoding_time, now.dropped - counted.dropped);
        *counted = now;
    }
}

/// Waits until `pacer`, which limits the frame rate, allows a frame. Returns the newest frame that was not encoded yet,
/// or `None` when the source has ended.
async fn next(source: &mut SourceSubscriber, pacer: &FramePacer) -> Option<Update> {
    let mut update = source.next_update().await?;
    while let (Some(ready_at), Some(until)) = (pacer.ready_at(), pacer.hold_until()) {
        if Instant::now() >= ready_at {
            break;
        }
        match timeout_at(until, source.next_update()).await {
            Ok(newer) => update = newer?,
            Err(_) => break,
        }
    }
    Some(update)
}

/// The reason why an encoder task stopped.
#[derive(Debug, PartialEq, Eq)]
enum StopReason {
    Unwatched,
    Camera,
}
