//! `POST /api/reload`, which applies a changed configuration file.

use std::sync::{Arc, OnceLock};

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use framecast_outputs::HttpError;
use serde::Serialize;
use utoipa::ToSchema;

use super::api::json;
use super::openapi::{Access, CROSS_SITE, Operation, RouteTable, Routes, Tag};
use super::this_machine::is_from_this_machine;
use crate::camera_table::CameraChanges;
use crate::reload::{ReloadCause, ReloadError, ReloadReport, Reloader};

#[derive(Debug, Clone)]
struct ReloadState {
    reloader: Arc<OnceLock<Reloader>>,
    has_account: bool,
}

/// What a reload has changed: names of cameras, and of the keys that only a restart applies.
#[derive(Serialize, ToSchema)]
struct ReloadView {
    added: Vec<String>,
    replaced: Vec<String>,
    removed: Vec<String>,
    needs_restart: Vec<&'static str>,
}

/// Returns the route `/api/reload`. Without an account, only requests from this machine may reload.
pub(super) fn routes(reloader: Arc<OnceLock<Reloader>>, has_account: bool) -> Routes {
    RouteTable::new()
        .post("/api/reload", reload, || {
            Operation::new(Tag::Server, "Read the configuration file again, and apply what has changed")
                .access(Access::AccountOrThisMachine)
                .json::<ReloadView>(200, "What has changed.")
                .error(403, CROSS_SITE)
                .error(
                    403,
                    "There is no account, and the request does not come from the server's own machine.",
                )
                .error(422, "Something in the file is wrong, so nothing has changed.")
                .error(501, "The server has no configuration file.")
        })
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
