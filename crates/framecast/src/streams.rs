//! The routes of streams and snapshots, which every build has.

use std::num::NonZeroUsize;

use axum::Router;
use framecast_outputs::{mjpeg, mp4, snapshot};

use crate::camera_table::CameraTable;
use crate::config::Settings;

/// Creates what sends streams. Its threads start with its first viewer.
pub(crate) fn streamer(cameras: &CameraTable, settings: &Settings) -> mjpeg::Streamer {
    let config = mjpeg::Config {
        write_timeout: settings.write_timeout,
        writer_threads: settings.writer_threads.and_then(NonZeroUsize::new),
        ..mjpeg::Config::default()
    };
    let services = cameras.services();
    mjpeg::Streamer::new(config, services.viewers.clone(), services.shutdown.clone())
}

/// Returns the routes of the streams that `streamer` sends, and of snapshots.
pub(crate) fn routes(cameras: &CameraTable, streamer: mjpeg::Streamer) -> Router {
    let (hub, viewers) = (cameras.hub(), cameras.services().viewers.clone());
    mjpeg::routes(hub.clone(), streamer.clone())
        .merge(mp4::routes(hub.clone(), streamer, mp4::Config::default()))
        .merge(snapshot::routes(hub.clone(), viewers, snapshot::Config::default()))
}
