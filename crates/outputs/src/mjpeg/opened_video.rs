//! Waits until a camera shows coded video, or shows that it will not.

use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use framecast_hub::{CameraState, Delivery, Feed, SourceKind};
use framecast_media::{Error, Format};
use tokio::time::timeout;

use crate::{HttpError, percent_encode};

/// Waits at most `wait` until `feed` shows coded video, and returns the format of the video. The caller keeps the camera
/// open. Cancel safe.
///
/// # Errors
/// 409 if the camera delivers no coded video; 503 if the camera is lost or has ended, or shows nothing in time.
pub(super) async fn wait_for_format(feed: &Feed, wait: Duration) -> Result<Arc<Format>, HttpError> {
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
    let in_vain = |_| unavailable(format!("{}: the camera delivered no video within {wait:?}", feed.name()));
    timeout(wait, looking).await.map_err(in_vain)?
}

/// Returns the format of the video that `feed` shows, or why it shows none; `None` while that is not known.
fn look(feed: &Feed) -> Option<Result<Arc<Format>, HttpError>> {
    let name = feed.name();
    if feed.has_ended() {
        return Some(Err(unavailable(format!("{name}: the camera was removed"))));
    }
    let shown = feed.source_channel().observe(Delivery::Latest).current();
    if let Some(update) = shown.filter(|update| !update.is_slate) {
        return Some(match feed.source_kind() {
            SourceKind::Video => Ok(update.frame.format),
            SourceKind::Jpeg | SourceKind::Raw => Err(without_video(feed)),
        });
    }
    let status = feed.status();
    let reason = status.reason.unwrap_or_else(|| "the camera is not connected".to_owned());
    (status.state == CameraState::Lost).then(|| Err(unavailable(format!("{name}: {reason}"))))
}

fn without_video(feed: &Feed) -> HttpError {
    conflict(feed, "the camera delivers pictures, not H.264 or H.265 video")
}

/// Returns the error for a camera whose video does not go into MP4.
pub(super) fn unsuitable(feed: &Feed, error: &Error) -> HttpError {
    conflict(feed, &format!("the camera's video does not go into MP4: {error}"))
}

fn conflict(feed: &Feed, problem: &str) -> HttpError {
    let name = feed.name();
    let message = format!("{name}: {problem}; use /cameras/{}/stream.mjpg", percent_encode(name));
    HttpError { status: StatusCode::CONFLICT, message }
}

fn unavailable(message: String) -> HttpError {
    HttpError { status: StatusCode::SERVICE_UNAVAILABLE, message }
}
