//! `POST /api/reload`, which applies a changed configuration file.

use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::post;
use framecast_outputs::{HttpError, answer_options};
use serde::Serialize;

use super::api::json;
use super::this_machine::is_from_this_machine;
use crate::camera_table::CameraChanges;
use crate::reload::{ReloadCause, ReloadError, ReloadReport, Reloader};

#[derive(Debug, Clone)]
struct ReloadState {
    reloader: Arc<OnceLock<Reloader>>,
    has_account: bool,
}

/// What a reload has changed: names of cameras, and of the keys that only a restart applies.
#[derive(Serialize)]
struct ReloadView {
    added: Vec<String>,
    replaced: Vec<String>,
    removed: Vec<String>,
    needs_restart: Vec<&'static str>,
}

/// Returns the route `/api/reload`. Without an account, only requests from this machine may reload.
pub(super) fn routes(reloader: Arc<OnceLock<Reloader>>, has_account: bool) -> Router {
    Router::new()
        .route("/api/reload", post(reload).options(async || answer_options("POST, OPTIONS")))
        .with_state(ReloadState { reloader, has_account })
}

async fn reload(State(state): State<ReloadState>, request: Request) -> Result<Response, HttpError> {
    let refusal = |status, message: String| Err(HttpError { status, message });
    if !state.has_account && !is_from_this_machine(&request) {
        let message = "without an account, only this machine may reload the configuration, at the address \
                       of localhost: run `framecast reload` there";
        return refusal(StatusCode::FORBIDDEN, message.to_owned());
    }
    let Some(reloader) = state.reloader.get() else {
        let message = "this server has no configuration file that it could read again";
        return refusal(StatusCode::NOT_IMPLEMENTED, message.to_owned());
    };
    match reloader.reload(ReloadCause::Request).await {
        Ok(ReloadReport { cameras: CameraChanges { added, replaced, removed }, needs_restart }) => {
            Ok(json(ReloadView { added, replaced, removed, needs_restart }))
        }
        Err(error @ (ReloadError::Invalid(_) | ReloadError::Refused(_))) => {
            refusal(StatusCode::UNPROCESSABLE_ENTITY, error.to_string())
        }
    }
}
