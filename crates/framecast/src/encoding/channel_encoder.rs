//! The encoder task of one channel. A channel is a stream of a camera's pictures that viewers can subscribe to: the
//! main channel, or a rendition in another size, quality or frame rate.

use std::sync::Arc;
use std::time::Duration;

use framecast_hub::{CameraState, Channel, Delivery, Rendition, Subscriber, Update};
use framecast_media::Codec;
use framecast_transcode::{OutputQueue, Pool, QueueStats, TargetFormat};
use tokio::time::{Instant, sleep, timeout_at};

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

/// While a camera delivers JPEG, which needs no encoder, the encoder task checks at this interval whether the camera
/// now delivers raw pictures. A custom source can change from JPEG to raw pictures while it is open.
const RECHECK_INTERVAL: Duration = Duration::from_secs(1);

impl ChannelEncoder {
    pub(super) fn new(camera: Arc<Camera>, pool: Arc<Pool>, rendition: Rendition, channel: Channel) -> Self {
        Self { camera, pool, rendition, channel, failures: Arc::default() }
    }

    /// Encodes pictures for the main channel whenever the channel has viewers. Returns when the camera can deliver no
    /// more frames.
    pub(super) async fn run_forever(self) {
        let mut viewers = self.channel.demand();
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
        let mut source = self.camera.feed.source_channel().subscribe(Delivery::Latest);
        let mut viewers = self.channel.demand();
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
            if self.is_passthrough(&update) {
                self.wait_while_passthrough(&mut viewers, &update).await;
                continue;
            }
            pacer.record(Instant::now());
            // Read the generation before the second look at the source, because the supervisor suspends the source
            // before its channels. So if a frame was taken before the camera was lost, either the source is empty now,
            // or the generation has changed by the time the frame is encoded.
            let generation = self.channel.generation();
            if let Some(update) = source.current() {
                has_published = true;
                self.publish(&queue, update, generation);
            }
            self.count(&queue, &mut counted);
        };
        self.count(&queue, &mut counted);
        if has_published {
            // No task updates the channel from here on, so its last picture must not be the first that the next viewer
            // sees.
            self.channel.suspend();
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

    /// Returns whether the frame of `update` needs no encoder, because viewers get it as the camera delivered it. This
    /// is so for JPEG in the main channel.
    fn is_passthrough(&self, update: &Update) -> bool {
        self.rendition.is_original() && update.frame.format.codec == Codec::Jpeg
    }

    /// Waits until the source might deliver frames that need an encoder, or until the last viewer leaves. Without this
    /// wait, each frame that needs no encoder would wake the task.
    async fn wait_while_passthrough(
        &self,
        viewers: &mut tokio::sync::watch::Receiver<usize>,
        update: &Update,
    ) {
        if update.is_slate {
            return;
        }
        let mut status = self.camera.feed.watch_status();
        tokio::select! {
            _ = status.wait_for(|status| status.state != CameraState::Live && status.state != CameraState::Opening) => {}
            _ = viewers.wait_for(|count| *count == 0) => {}
            () = sleep(RECHECK_INTERVAL) => {}
        }
    }

    /// Encodes the frame of `update` in this channel's format and publishes it to the channel's viewers. A frame that
    /// already has this format goes through the same queue unchanged, so that all pictures stay in order. `generation`
    /// is the channel's generation (how many times the channel was suspended) when the frame was taken. If the channel
    /// was suspended after that, the frame is out of date and is not published.
    fn publish(&self, queue: &OutputQueue, update: Update, generation: u64) {
        let (channel, camera) = (self.channel.clone(), Arc::clone(&self.camera));
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
                    channel.publish_slate_if_current(generation, frame);
                } else {
                    channel.publish_if_current(generation, frame);
                }
            }
            Err(error) => {
                camera.feed.count_broken(error.to_string());
                if let Some(slate) = failures.record(&camera, rendition, &format, &error) {
                    channel.publish_slate_if_current(generation, slate);
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
async fn next(source: &mut Subscriber, pacer: &FramePacer) -> Option<Update> {
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
