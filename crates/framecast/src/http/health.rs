//! `/healthz`, which says that the server runs, and `/readyz`, which says whether the cameras that must work do.

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use framecast_hub::{CameraState, CameraStatus};

use super::openapi::{Access, Operation, RouteTable, Routes, TEXT, Tag};
use crate::camera::Camera;
use crate::camera_table::CameraTable;

/// Returns the routes `/healthz` and `/readyz`.
pub(super) fn routes(cameras: CameraTable) -> Routes {
    RouteTable::new()
        .get(
            "/healthz",
            || async { "ok\n" },
            || {
                Operation::new(Tag::Server, "Say that the server runs")
                    .access(Access::Monitor)
                    .answer(200, TEXT, "`ok`.")
            },
        )
        .get("/readyz", ready, || {
            Operation::new(Tag::Server, "Say whether the cameras that must work do")
                .access(Access::Monitor)
                .answer(200, TEXT, "`ready`.")
                .answer(503, TEXT, "Each camera that does not work, one on a line.")
        })
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
