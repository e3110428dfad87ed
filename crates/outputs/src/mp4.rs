//! Coded video over HTTP as fragmented MP4, for players: `/cameras/{name}/stream.mp4`.
//!
//! The [`Streamer`] sends these streams like those of MJPEG. The viewer gets the video as the camera codes it, from the
//! newest keyframe on.

use std::time::Duration;

use axum::Router;
use axum::extract::{Path, Request, State};
use axum::response::Response;
use axum::routing::get;
use framecast_hub::Hub;

use crate::HttpError;
use crate::mjpeg::Streamer;

/// The configuration of streams of MP4.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The maximum time that a request waits for a camera that must first be opened.
    pub wait: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self { wait: Duration::from_secs(10) }
    }
}

#[derive(Clone)]
struct VideoStreams {
    hub: Hub,
    streamer: Streamer,
    config: Config,
}

/// Returns the route `/cameras/{name}/stream.mp4`.
pub fn routes(hub: Hub, streamer: Streamer, config: Config) -> Router {
    Router::new()
        .route("/cameras/{name}/stream.mp4", get(named_camera).options(crate::options))
        .with_state(VideoStreams { hub, streamer, config })
}

async fn named_camera(
    State(streams): State<VideoStreams>,
    Path(name): Path<String>,
    request: Request,
) -> Result<Response, HttpError> {
    let feed = streams.hub.get(&name).ok_or_else(|| HttpError::no_such_camera(&name, &streams.hub))?;
    streams.streamer.respond_with_video(&feed, request, streams.config.wait).await
}
