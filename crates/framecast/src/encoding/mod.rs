//! Encodes JPEG for a camera's viewers. The viewers of a camera watch its main channel or its renditions, which are
//! versions of the pictures in another size, quality or frame rate. For the main channel, this module encodes raw
//! frames; for the renditions, all frames.
//!
//! If a camera delivers coded video, [`video_pictures`] has ffmpeg make the pictures of the main channel, and the
//! renditions are made of these.
//!
//! Each other channel with viewers has one task. The task takes the newest frame of the camera, passes it to the pool of
//! encoder threads, and publishes the result to the viewers. So each picture is encoded once for all viewers of a
//! channel, and never without a viewer. The hub, which distributes the frames, decides which renditions exist. The pool
//! decides how to encode pictures.

mod channel_encoder;
mod failure;
mod frame_pacer;
#[cfg(feature = "program-source")]
mod video_pictures;

use std::sync::Arc;

use framecast_hub::{Channel, Rendition};
use framecast_transcode::Pool;
use tokio_util::task::TaskTracker;

use crate::camera::Camera;
use channel_encoder::ChannelEncoder;

/// Encodes pictures for the camera's main channel and its renditions until the camera is told to stop.
pub(crate) async fn run(camera: Arc<Camera>, pool: Arc<Pool>) {
    let (tasks, stop) = (TaskTracker::new(), camera.stop.clone());
    let encoder =
        |rendition, channel| ChannelEncoder::new(Arc::clone(&camera), Arc::clone(&pool), rendition, channel);
    let main = encoder(Rendition::default(), camera.feed.main_channel().clone());
    tasks.spawn(stop.clone().run_until_cancelled_owned(main.run_forever()));
    #[cfg(feature = "program-source")]
    tasks.spawn(stop.clone().run_until_cancelled_owned(video_pictures::run_forever(Arc::clone(&camera))));
    let mut renditions = camera.feed.renditions();
    let mut served: Vec<(Rendition, Channel)> = Vec::new();
    loop {
        let now = renditions.borrow_and_update().clone();
        for (rendition, channel) in &now {
            // A rendition that was closed and opened again has a new channel.
            let is_served = served.iter().any(|(_, known)| known.is_same_channel(channel));
            if !is_served {
                let rendition = encoder(*rendition, channel.clone());
                tasks.spawn(stop.clone().run_until_cancelled_owned(rendition.run_while_watched()));
            }
        }
        served = now;
        tokio::select! {
            () = stop.cancelled() => break,
            changed = renditions.changed() => if changed.is_err() { break },
        }
    }
    tasks.close();
    tasks.wait().await;
}
