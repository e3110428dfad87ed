//! The requests `/?action=…` and POST `/stream` of the camera server mjpg-streamer, and its JSON descriptions, as in
//! the source `plugins/output_http/httpd.c` of mjpg-streamer.
//!
//! An input of mjpg-streamer corresponds to a camera. The number of the input is the camera's position in the
//! configuration, counted from 0. All values in mjpg-streamer's JSON are strings.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{Path, Request, State};
use axum::http::{Method, StatusCode, Uri};
use axum::response::Response;
use framecast_drivers::{Control, ControlKind, ControlValue};
use framecast_hub::Feed;
use framecast_outputs::{HttpError, snapshot};
use serde::Serialize;
use utoipa::ToSchema;

use super::query::CompatQuery;
use super::stream_client::StreamOptions;
use super::{Compat, EXPIRES, command, json, picture_answer, set_head, ustreamer};
use crate::camera::Camera;
use crate::http::api::without_length;
use crate::http::controls::DeviceControls;
use crate::http::nothing_at;

const HEAD: [(&str, &str); 3] = [
    ("cache-control", "no-store, no-cache, must-revalidate, pre-check=0, post-check=0, max-age=0"),
    ("pragma", "no-cache"),
    ("expires", EXPIRES),
];

/// The content type of mjpg-streamer's JSON descriptions.
pub(super) const JAVASCRIPT: &str = "application/x-javascript";

/// A value of `/?action=`, such as `stream_1`, with the number of the camera if the value contains a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    Stream(Option<usize>),
    Snapshot(Option<usize>),
    Command,
    /// The action that makes mjpg-streamer save a picture on the server. Framecast responds with an error.
    Take,
}

impl Action {
    /// Parses the value of `/?action=`, such as `stream` or `stream_1`. Returns `None` for an unknown action. As in
    /// mjpg-streamer, the text from the first special character on (such as `?`) is ignored, because many clients write
    /// `stream?dummy=param.mjpg` for players that recognise a format by the file extension.
    pub(super) fn parse(value: &str) -> Option<Self> {
        let value = value.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next()?;
        let (name, number) = match value.split_once('_') {
            Some((name, number)) => (name, Some(number.parse().ok()?)),
            None => (value, None),
        };
        match name {
            "stream" => Some(Self::Stream(number)),
            "snapshot" => Some(Self::Snapshot(number)),
            "command" => Some(Self::Command),
            "take" => Some(Self::Take),
            _ => None,
        }
    }
}

/// Handles `/?action=…`: responds to the request for `action`.
pub(super) async fn act(
    compat: &Compat,
    action: Action,
    query: &CompatQuery,
    request: Request,
) -> Result<Response, HttpError> {
    match action {
        Action::Stream(number) => parts(compat, &input(compat, number, query)?.feed, query, &request),
        Action::Snapshot(number) => {
            let feed = Arc::clone(&input(compat, number, query)?.feed);
            let snapshot_request = snapshot::SnapshotRequest::default();
            let picture = compat.picture(&feed, snapshot_request, request.method()).await?;
            Ok(picture_answer(picture.as_ref(), &HEAD))
        }
        Action::Command => {
            command::check_may_change(compat, &request)?;
            command::run_command(compat, query).await
        }
        Action::Take => {
            let message = "this server saves no pictures; /?action=snapshot returns one".to_owned();
            Err(HttpError { status: StatusCode::NOT_FOUND, message })
        }
    }
}

/// Handles POST `/stream`: responds with a stream of the camera that `?camera=` names, or of the first camera if there
/// is no `?camera=`.
pub(super) async fn stream(State(compat): State<Compat>, request: Request) -> Result<Response, HttpError> {
    let query = CompatQuery::parse(request.uri().query());
    parts(&compat, &compat.camera(&query)?.feed, &query, &request)
}

/// Returns the camera at position `number`, counted from 0. If `number` is `None`, returns the
/// camera that `?camera=` names. If there is no `?camera=` either, returns the default camera.
fn input(compat: &Compat, number: Option<usize>, query: &CompatQuery) -> Result<Arc<Camera>, HttpError> {
    match number {
        Some(number) => compat.nth_camera(number),
        None => compat.camera(query),
    }
}

fn parts(
    compat: &Compat,
    feed: &Arc<Feed>,
    query: &CompatQuery,
    request: &Request,
) -> Result<Response, HttpError> {
    let mut response = ustreamer::parts(compat, feed, query, &StreamOptions::of(query), request)?;
    if response.status() == StatusCode::OK {
        let content_type = ("content-type", "multipart/x-mixed-replace;boundary=boundarydonotcross");
        let [cache, pragma, expires] = HEAD;
        set_head(&mut response, &[cache, pragma, expires, content_type]);
    }
    Ok(response)
}

#[derive(Serialize, ToSchema)]
pub(super) struct InputInfo {
    controls: Vec<ControlInfo>,
    formats: Vec<FormatInfo>,
}

#[derive(Serialize, ToSchema)]
pub(super) struct OutputInfo {
    #[schema(value_type = Vec<ControlInfo>)]
    controls: [ControlInfo; 0],
}

/// The description of a camera control in mjpg-streamer's JSON format, in which the numbers of V4L2 are strings.
#[derive(Serialize, ToSchema)]
struct ControlInfo {
    name: String,
    id: String,
    r#type: &'static str,
    min: String,
    max: String,
    step: String,
    default: String,
    value: String,
    dest: &'static str,
    flags: String,
    group: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<BTreeMap<String, String>>)]
    menu: Option<BTreeMap<i64, String>>,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct FormatInfo {
    id: &'static str,
    name: &'static str,
    compressed: &'static str,
    emulated: &'static str,
    current: &'static str,
    resolutions: BTreeMap<&'static str, String>,
    current_resolution: &'static str,
}

pub(super) async fn first_input(state: State<Compat>, request: Request) -> Result<Response, HttpError> {
    describe_input(&state.camera(&CompatQuery::parse(request.uri().query()))?, request.method()).await
}

/// Handles `/input_N.json`: describes the controls of the camera at position N, and the current size of the camera's
/// pictures. `file` is the path after `/input_`.
pub(super) async fn input_json(
    state: State<Compat>,
    Path(file): Path<String>,
    method: Method,
    uri: Uri,
) -> Result<Response, HttpError> {
    let number = file.strip_suffix(".json").ok_or_else(|| nothing_at(&uri))?;
    let number = state.number(number, 0, &uri)?;
    describe_input(&state.nth_camera(number)?, &method).await
}

async fn describe_input(camera: &Arc<Camera>, method: &Method) -> Result<Response, HttpError> {
    let device = DeviceControls::of(camera)?;
    // A list of the controls would open the device.
    if method == Method::HEAD {
        return Ok(without_length(JAVASCRIPT));
    }
    let controls = device.controls().await?;
    let described = controls.iter().enumerate().map(|(n, control)| describe(n, control)).collect();
    let formats = camera.feed.source_channel().newest().map(|frame| FormatInfo {
        id: "0",
        name: match frame.format.codec {
            codec if codec.is_raw() => "Raw",
            codec => codec.video_name().unwrap_or("Motion-JPEG"),
        },
        compressed: if frame.format.codec.is_raw() { "false" } else { "true" },
        emulated: "false",
        current: "true",
        resolutions: [("0", format!("{}x{}", frame.format.width_px, frame.format.height_px))].into(),
        current_resolution: "0",
    });
    Ok(json(JAVASCRIPT, &InputInfo { controls: described, formats: formats.into_iter().collect() }))
}

/// Handles `/output_0.json`: describes an output in the sense of mjpg-streamer. This server reports a single output
/// without controls.
pub(super) async fn output() -> Response {
    json(JAVASCRIPT, &OutputInfo { controls: [] })
}

#[derive(Serialize, ToSchema)]
pub(super) struct ProgramInfo {
    inputs: Vec<PluginInfo>,
    #[schema(value_type = Vec<PluginInfo>)]
    outputs: [PluginInfo; 1],
}

#[derive(Serialize, ToSchema)]
struct PluginInfo {
    id: String,
    name: String,
    plugin: String,
    args: &'static str,
}

/// Handles `/program.json`: lists the cameras. Each is described by the name of the camera's driver, and not by the
/// source's URL, because the URL can contain secrets.
pub(super) async fn program(State(compat): State<Compat>) -> Response {
    let input = |(n, camera): (usize, &Arc<Camera>)| PluginInfo {
        id: n.to_string(),
        name: camera.feed.name().to_owned(),
        plugin: camera.settings.source.scheme().to_owned(),
        args: "",
    };
    let inputs = compat.cameras.list().iter().enumerate().map(input).collect();
    let (name, plugin) = ("HTTP output plugin".to_owned(), "output_http.so".to_owned());
    json(
        JAVASCRIPT,
        &ProgramInfo { inputs, outputs: [PluginInfo { id: "0".to_owned(), name, plugin, args: "" }] },
    )
}

fn describe(n: usize, control: &Control) -> ControlInfo {
    let (kind, [min, max, step]) = match &control.kind {
        ControlKind::Integer { min, max, step } => ("1", [*min, *max, *step]),
        ControlKind::Boolean => ("2", [0, 1, 1]),
        ControlKind::Menu { menu } => {
            let values = menu.iter().map(|entry| entry.value);
            ("3", [values.clone().min().unwrap_or(0), values.max().unwrap_or(0), 1])
        }
        ControlKind::Button => ("4", [0, 0, 0]),
        ControlKind::Text { min, max } => ("7", [*min, *max, 1]),
        ControlKind::Bitmask { max } => ("8", [0, *max, 0]),
        // A kind that is added later appears in the list, but cannot be set by a number.
        _ => ("0", [0, 0, 0]),
    };
    let menu = match &control.kind {
        ControlKind::Menu { menu } => {
            Some(menu.iter().map(|entry| (entry.value, entry.name.clone())).collect())
        }
        _ => None,
    };
    // V4L2_CTRL_FLAG_READ_ONLY and V4L2_CTRL_FLAG_INACTIVE.
    let flags = u32::from(control.read_only) * 0x4 + u32::from(control.inactive) * 0x10;
    ControlInfo {
        name: control.name.clone(),
        id: command::control_number(n, control).to_string(),
        r#type: kind,
        min: min.to_string(),
        max: max.to_string(),
        step: step.to_string(),
        default: control.default.as_ref().map_or_else(|| "0".to_owned(), text),
        value: control.value.as_ref().map_or_else(|| "0".to_owned(), text),
        dest: "0",
        flags: flags.to_string(),
        group: "1",
        menu,
    }
}

fn text(value: &ControlValue) -> String {
    match value {
        ControlValue::Boolean(on) => u8::from(*on).to_string(),
        ControlValue::Integer(number) => number.to_string(),
        ControlValue::Text(text) => text.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_action_may_have_the_number_of_an_input() {
        for (value, action) in [
            ("stream", Some(Action::Stream(None))),
            ("stream_0", Some(Action::Stream(Some(0)))),
            ("snapshot_12", Some(Action::Snapshot(Some(12)))),
            ("stream?dummy=param.mjpg", Some(Action::Stream(None))),
            ("snapshot_1?dummy=param.jpg", Some(Action::Snapshot(Some(1)))),
            ("command", Some(Action::Command)),
            ("take", Some(Action::Take)),
            ("stream_x", None),
            ("Stream", None),
            ("", None),
        ] {
            assert_eq!(Action::parse(value), action, "{value}");
        }
    }
}
