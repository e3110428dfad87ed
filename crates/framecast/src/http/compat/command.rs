//! Sets a camera control by a GET request, as in the camera servers mjpg-streamer and camera-streamer.
//!
//! Any page in a browser can send a GET. So a GET is allowed to change something only if its headers show that it does
//! not come from a page of another site. [`guard::may_change`](crate::http::guard::may_change) checks this.

use std::sync::Arc;

use axum::extract::Request;
use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use framecast_drivers::{Control, ControlKind, ControlValue};
use framecast_outputs::HttpError;
use tracing::debug;

use super::Compat;
use super::query::CompatQuery;
use crate::camera::Camera;
use crate::controls::Changes;
use crate::http::controls::DeviceControls;
use crate::http::guard;

/// The supported values of mjpg-streamer's parameter `group`: `0` for generic commands and `1` for V4L2 controls. In
/// both groups a number names the control. The other groups set properties such as the picture size and the JPEG
/// quality, which only Framecast's configuration can set.
const CONTROL_GROUPS: [&str; 2] = ["0", "1"];

/// Returns the number by which clients can name `control`: the device's own number of the control if there is one,
/// otherwise `n + 1`. `n` is the index of the control in the camera's list of controls.
pub(super) fn control_number(n: usize, control: &Control) -> u32 {
    control.number.unwrap_or_else(|| u32::try_from(n + 1).unwrap_or(u32::MAX))
}

/// Handles `/?action=command&dest=&plugin=&id=&group=&value=`: sets the control whose number or name is `id` to
/// `value`. The response contains the id, and `0` for success or `-1` for failure. The caller must call
/// [`check_may_change`] first.
pub(super) async fn run_command(compat: &Compat, query: &CompatQuery) -> Result<Response, HttpError> {
    let Some(id) = query.get("id").filter(|id| !id.is_empty()) else {
        let message = "`id` is missing; it must be the number or the name of the control to set".to_owned();
        return Err(HttpError { status: StatusCode::BAD_REQUEST, message });
    };
    let outcome = set(compat, query, id).await;
    if let Err(refusal) = &outcome {
        debug!("cannot set the control that a request with action=command names: {}", refusal.message);
    }
    let shown: String = id.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '_').take(100).collect();
    let text = format!("{shown}: {}", if outcome.is_ok() { 0 } else { -1 });
    Ok(([(header::CONTENT_TYPE, "text/plain"), (header::CACHE_CONTROL, "no-store")], text).into_response())
}

async fn set(compat: &Compat, query: &CompatQuery, id: &str) -> Result<(), HttpError> {
    let unknown = |message: &str| {
        Err(HttpError { status: StatusCode::UNPROCESSABLE_ENTITY, message: message.to_owned() })
    };
    if !matches!(query.get("dest"), None | Some("0")) {
        return unknown("`dest` must be 0, an input: only inputs have controls");
    }
    if query.get("group").is_some_and(|group| !CONTROL_GROUPS.contains(&group)) {
        return unknown("`group` must be 0 or 1: a command sets controls only");
    }
    let camera = match query.get("plugin").map(str::parse) {
        None => compat.camera(query)?,
        Some(Ok(n)) => compat.nth_camera(n)?,
        Some(Err(_)) => return unknown("`plugin` is not a number"),
    };
    let value = query.get("value").unwrap_or("0");
    set_control(&camera, id, value).await
}

/// Sets the control of `camera` whose number or name is `id` to `value`.
///
/// # Errors
/// The camera has no such control, or the device refuses the value.
pub(super) async fn set_control(camera: &Arc<Camera>, id: &str, value: &str) -> Result<(), HttpError> {
    let controls = DeviceControls::of(camera)?.controls().await?;
    let found = controls.iter().enumerate().find(|(n, control)| {
        control.id == id || id.parse().is_ok_and(|id: u32| id == control_number(*n, control))
    });
    let Some((_, control)) = found else {
        let known: Vec<&str> = controls.iter().map(|control| control.id.as_str()).collect();
        let message = match known.is_empty() {
            true => "unknown control; this camera has none".to_owned(),
            false => format!("unknown control; known controls: {}", known.join(", ")),
        };
        return Err(HttpError { status: StatusCode::UNPROCESSABLE_ENTITY, message });
    };
    let mut changes = Changes::default();
    changes.set(&control.id, Some(read(control, value)));
    DeviceControls::of(camera)?.set(changes).await
}

/// Parses `value` as a number, or as `true` or `false`. Returns `value` as text if it is none of these, or if `control`
/// has text as its value.
fn read(control: &Control, value: &str) -> ControlValue {
    if matches!(control.kind, ControlKind::Text { .. }) {
        return ControlValue::Text(value.to_owned());
    }
    match value.parse() {
        Ok(number) => ControlValue::Integer(number),
        Err(_) if value.eq_ignore_ascii_case("true") => ControlValue::Boolean(true),
        Err(_) if value.eq_ignore_ascii_case("false") => ControlValue::Boolean(false),
        Err(_) => ControlValue::Text(value.to_owned()),
    }
}

/// Checks whether `request`, a GET or HEAD, is allowed to change something. A handler of GET must call this first. Such
/// a handler also receives HEAD requests, because axum routes them to the handler of GET.
///
/// # Errors
/// Status 403 in two cases:
/// - `request` is a HEAD, which must not change anything.
/// - `request` might come from a page of another site that the configuration's `cors_origins` does not list by name.
pub(super) fn check_may_change(compat: &Compat, request: &Request) -> Result<(), HttpError> {
    let message = if *request.method() == Method::HEAD {
        "HEAD sets nothing; use GET, or set controls with PATCH /api/cameras/NAME/controls"
    } else if !guard::may_change(request, &compat.origins) {
        "only this server's own pages, pages of the origins that cors_origins names, and programs may change something \
         by GET; set controls with PATCH /api/cameras/NAME/controls"
    } else {
        return Ok(());
    };
    Err(HttpError { status: StatusCode::FORBIDDEN, message: message.to_owned() })
}
