//! Waits until a camera shows coded video, or shows that it will not.

use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use framecast_hub::{CameraState, Delivery, Feed, SourceKind};
use framecast_media::{Error, Format};
use tokio::time::timeout;

use crate::{HttpError, percent_encode};

/// Why a camera shows no coded video that a player can get. Each reason begins with the name of the camera.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NoVideo {
    /// The camera delivers something else.
    Other(String),
    /// The camera shows nothing now.
    Unavailable(String),
}

impl NoVideo {
    /// Returns the reason for a camera whose video does not go into MP4.
    pub(crate) fn unsuitable(feed: &Feed, error: &Error) -> Self {
        Self::Other(format!("{}: the camera's video does not go into MP4: {error}", feed.name()))
    }

    /// Returns the reason.
    #[cfg(feature = "live")]
    pub(crate) fn reason(&self) -> &str {
        match self {
            Self::Other(reason) | Self::Unavailable(reason) => reason,
        }
    }

    /// Returns the response for a client that asked for the video of `feed`: 409 if the camera delivers something else,
    /// otherwise 503.
    pub(crate) fn into_http_error(self, feed: &Feed) -> HttpError {
        let name = percent_encode(feed.name());
        match self {
            Self::Other(reason) => HttpError {
                status: StatusCode::CONFLICT,
                message: format!("{reason}; use /cameras/{name}/stream.mjpg"),
            },
            Self::Unavailable(message) => HttpError { status: StatusCode::SERVICE_UNAVAILABLE, message },
        }
    }
}

/// Waits at most `wait` until `feed` shows coded video, and returns the format of the video. The caller keeps the camera
/// open. Cancel safe.
///
/// # Errors
/// If the camera delivers no coded video, is lost or has ended, or shows nothing in time.
pub(crate) async fn wait_for_format(feed: &Feed, wait: Duration) -> Result<Arc<Format>, NoVideo> {
    let [mut main, mut video] = [feed.main_channel(), feed.video_channel()]
        .map(|channel| channel.observe(Delivery::Latest).change_listener());
    let mut status = feed.watch_status();
    let looking = async {
        loop {
            if let Some(found) = look(feed) {
                return found;
            }
            tokio::select! {
                () = main.changed() => {}
                () = video.changed() => {}
                _ = status.changed() => {}
            }
        }
    };
    let in_vain =
        |_| NoVideo::Unavailable(format!("{}: the camera delivered no video within {wait:?}", feed.name()));
    timeout(wait, looking).await.map_err(in_vain)?
}

/// Returns the format of the video that `feed` shows, or why it shows none; `None` while that is not known.
fn look(feed: &Feed) -> Option<Result<Arc<Format>, NoVideo>> {
    let name = feed.name();
    if feed.has_ended() {
        return Some(Err(NoVideo::Unavailable(format!("{name}: the camera was removed"))));
    }
    let shown = feed.source_channel().observe(Delivery::Latest).current();
    if let Some(update) = shown.filter(|update| !update.is_slate) {
        return Some(match feed.source_kind() {
            SourceKind::Video => Ok(update.frame.format),
            SourceKind::Jpeg | SourceKind::Raw => {
                let problem = "the camera delivers pictures, not H.264 or H.265 video";
                Err(NoVideo::Other(format!("{name}: {problem}")))
            }
        });
    }
    let status = feed.status();
    let reason = status.reason.unwrap_or_else(|| "the camera is not connected".to_owned());
    (status.state == CameraState::Lost).then(|| Err(NoVideo::Unavailable(format!("{name}: {reason}"))))
}
