//! JPEG for a camera's viewers: of raw frames for its main channel, and of all frames for its renditions.
//!
//! One task per channel that is watched takes the newest frame of the camera's source channel, hands it to the pool of
//! encoder threads, and publishes what comes back: once for all viewers, and not at all without any. Which renditions
//! there are is the hub's to say, how pictures are encoded the pool's.

mod failure;
mod output;
mod pace;

use std::sync::Arc;

use framecast_hub::{Channel, Rendition};
use framecast_transcode::Pool;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::camera::Camera;
use output::Output;

/// Serves the camera's main channel and its renditions until shutdown.
pub(crate) async fn run(camera: Arc<Camera>, pool: Arc<Pool>, shutdown: CancellationToken) {
    let tasks = TaskTracker::new();
    let output = |rendition, channel| Output::new(Arc::clone(&camera), Arc::clone(&pool), rendition, channel);
    let main = output(Rendition::default(), camera.feed.channel().clone());
    tasks.spawn(shutdown.clone().run_until_cancelled_owned(main.run_for_ever()));
    let mut renditions = camera.feed.renditions();
    let mut served: Vec<(Rendition, Channel)> = Vec::new();
    loop {
        let now = renditions.borrow_and_update().clone();
        for (rendition, channel) in &now {
            // A channel that was closed and has come again is another one.
            let is_served = served.iter().any(|(_, known)| known.is_same(channel));
            if !is_served {
                let rendition = output(*rendition, channel.clone());
                tasks.spawn(shutdown.clone().run_until_cancelled_owned(rendition.run_while_watched()));
            }
        }
        served = now;
        tokio::select! {
            () = shutdown.cancelled() => break,
            changed = renditions.changed() => if changed.is_err() { break },
        }
    }
    tasks.close();
    tasks.wait().await;
}
