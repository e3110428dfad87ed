//! The encoder task of one channel.

use std::sync::Arc;
use std::time::Duration;

use framecast_hub::{Channel, Delivery, Rendition, State, Subscriber, Update};
use framecast_media::Codec;
use framecast_transcode::{Counts, Lane, Pool, Wish};
use tokio::time::{Instant, sleep, timeout_at};

use super::failure::Failures;
use super::pace::Pace;
use crate::camera::Camera;

/// A channel, and the format of its pictures.
pub(super) struct Output {
    camera: Arc<Camera>,
    pool: Arc<Pool>,
    rendition: Rendition,
    channel: Channel,
    failures: Arc<Failures>,
}

/// How often the task checks a camera whose frames need no encoder: a custom source may switch to raw pictures while it
/// is open.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

impl Output {
    pub(super) fn new(camera: Arc<Camera>, pool: Arc<Pool>, rendition: Rendition, channel: Channel) -> Self {
        Self { camera, pool, rendition, channel, failures: Arc::default() }
    }

    /// Serves the main channel whenever it has viewers.
    pub(super) async fn run_for_ever(self) {
        let mut viewers = self.channel.demand();
        while viewers.wait_for(|count| *count > 0).await.is_ok() {
            if self.run_once().await == Ended::Camera {
                break;
            }
        }
    }

    /// Serves a rendition until it has no viewers any more, and closes it.
    pub(super) async fn run_while_watched(self) {
        loop {
            if self.run_once().await == Ended::Camera || self.camera.feed.close_rendition(self.rendition) {
                break;
            }
        }
    }

    /// Serves the channel while it has viewers.
    async fn run_once(&self) -> Ended {
        let mut source = self.camera.feed.source().subscribe(Delivery::Latest);
        let mut viewers = self.channel.demand();
        let lane = self.pool.lane(self.wish());
        let mut pace = self.pace();
        let mut counted = Counts::default();
        let mut has_published = false;
        let ended = loop {
            let update = tokio::select! {
                update = next(&mut source, &pace) => update,
                _ = viewers.wait_for(|count| *count == 0) => break Ended::Unwatched,
            };
            let Some(update) = update else { break Ended::Camera };
            if self.is_direct(&update) {
                self.wait_while_direct(&mut viewers, &update).await;
                continue;
            }
            pace.take(Instant::now());
            // Read the life before the second look at the source, because the supervisor suspends the source before its
            // channels. So if a frame was taken before the camera was lost, either the source is empty now, or the life
            // has changed when the frame is encoded.
            let life = self.channel.life();
            if let Some(update) = source.current() {
                has_published = true;
                self.publish(&lane, update, life);
            }
            self.count(&lane, &mut counted);
        };
        self.count(&lane, &mut counted);
        if has_published {
            // No task updates the channel from here on, so its last picture must not be the first that the next viewer
            // sees.
            self.channel.suspend();
        }
        ended
    }

    fn wish(&self) -> Wish {
        Wish {
            width_px: self.rendition.width_px(),
            height_px: self.rendition.height_px(),
            quality: self.rendition.quality(),
            default_quality: self.camera.settings.quality,
        }
    }

    fn pace(&self) -> Pace {
        let interval = self.rendition.fps().map(|fps| Duration::from_secs(1) / fps);
        Pace::new(interval.unwrap_or_default())
    }

    /// Whether the feed itself publishes this frame in the channel: JPEG in the main channel.
    fn is_direct(&self, update: &Update) -> bool {
        self.rendition.is_original() && update.frame.format.codec == Codec::Jpeg
    }

    /// Waits until the source may deliver other frames than JPEG, or until the last viewer leaves. Frames that need no
    /// encoder must not wake this task one by one.
    async fn wait_while_direct(&self, viewers: &mut tokio::sync::watch::Receiver<usize>, update: &Update) {
        if update.is_notice {
            return;
        }
        let mut status = self.camera.feed.watch_status();
        tokio::select! {
            _ = status.wait_for(|status| status.state != State::Live && status.state != State::Opening) => {}
            _ = viewers.wait_for(|count| *count == 0) => {}
            () = sleep(LOOK_AGAIN) => {}
        }
    }

    /// Publishes the update in this channel's format. A frame that already fits takes the same queue unchanged, because
    /// a slate and a frame must not overtake each other.
    fn publish(&self, lane: &Lane, update: Update, life: u64) {
        let (channel, camera) = (self.channel.clone(), Arc::clone(&self.camera));
        let (failures, rendition) = (Arc::clone(&self.failures), self.rendition);
        let format = Arc::clone(&update.frame.format);
        let is_encoded = !lane.wish().passes(&format);
        lane.offer(update.frame, move |result| match result {
            Ok(frame) => {
                failures.end();
                // A slate is no picture of the camera.
                if is_encoded && !update.is_notice {
                    // Counted before the publication, so that a viewer who sees the picture finds it in the count.
                    camera.feed.count_encoded();
                }
                if update.is_notice {
                    channel.publish_notice_in(life, frame);
                } else {
                    channel.publish_in(life, frame);
                }
            }
            Err(error) => {
                camera.feed.count_broken(error.to_string());
                if let Some(notice) = failures.add(&camera, rendition, &format, &error) {
                    channel.publish_notice_in(life, notice);
                }
            }
        });
    }

    /// Adds the cost of the lane's work since the last call to the camera's counts.
    fn count(&self, lane: &Lane, counted: &mut Counts) {
        let now = lane.counts();
        self.camera.feed.count_encoding(now.spent - counted.spent, now.dropped - counted.dropped);
        *counted = now;
    }
}

/// The newest frame that was not taken yet, when its interval is over.
async fn next(source: &mut Subscriber, pace: &Pace) -> Option<Update> {
    let mut update = source.next_update().await?;
    while let (Some(free_at), Some(until)) = (pace.free_at(), pace.waits_until()) {
        if Instant::now() >= free_at {
            break;
        }
        match timeout_at(until, source.next_update()).await {
            Ok(newer) => update = newer?,
            Err(_) => break,
        }
    }
    Some(update)
}

/// Why the task stopped.
#[derive(Debug, PartialEq, Eq)]
enum Ended {
    Unwatched,
    Camera,
}
