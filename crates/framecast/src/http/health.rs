//! `/healthz`, which says that the server runs, and `/readyz`, which says whether the cameras that must work do.

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use framecast_hub::{CameraState, CameraStatus};
use framecast_outputs::options;

use crate::camera::Camera;
use crate::camera_table::CameraTable;

/// Returns the routes `/healthz` and `/readyz`.
pub(super) fn routes(cameras: CameraTable) -> Router {
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }).options(options))
        .route("/readyz", get(ready).options(options))
        .with_state(cameras)
}

/// Handles `/readyz`: status 200 if each required camera works as far as the server knows, else 503. The text names
/// each camera that does not, one on a line.
async fn ready(State(cameras): State<CameraTable>) -> Response {
    let cameras = cameras.list();
    let problems =
        cameras.iter().filter(|camera| camera.settings.required).filter_map(|camera| problem(camera));
    let problems: String = problems.map(|problem| format!("{problem}\n")).collect();
    let (status, text) = match problems.is_empty() {
        true => (StatusCode::OK, "ready\n".to_owned()),
        false => (StatusCode::SERVICE_UNAVAILABLE, problems),
    };
    (status, [(header::CACHE_CONTROL, "no-store")], text).into_response()
}

/// Returns why the server is not ready because of `camera`; `None` if the camera works.
fn problem(camera: &Camera) -> Option<String> {
    let name = camera.feed.name();
    match camera.feed.status() {
        CameraStatus { state: CameraState::Lost, reason, .. } => {
            Some(format!("camera `{name}` is lost: {}", reason.unwrap_or_default()))
        }
        CameraStatus { checked_at: None, .. } => Some(format!("camera `{name}` was not checked yet")),
        _ => None,
    }
}
