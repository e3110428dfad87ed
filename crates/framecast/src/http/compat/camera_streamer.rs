//! The paths `/status`, `/option` and `/control` of the camera server camera-streamer, and error responses for
//! camera-streamer's video paths, as in the source `cmd/camera-streamer/{http.c,status.cc}` of camera-streamer. Its
//! paths for JPEG pictures are the same as the paths of uStreamer and mjpg-streamer, so other modules serve them.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use framecast_media::escape_hidden_multiline;
use framecast_outputs::{HttpError, percent_encode};
use serde::Serialize;
use utoipa::ToSchema;

use super::query::CompatQuery;
use super::{Compat, command, json};
use crate::camera::Camera;
use crate::http::controls::DeviceControls;

/// The paths on which the camera server camera-streamer offers encoded video. Framecast responds to these paths with an
/// error.
pub(super) const NO_VIDEO: &[&str] =
    &["/video", "/video.mp4", "/video.mkv", "/video.h264", "/video.m3u8", "/webrtc"];

/// Returns the error 501 (Not Implemented). The error message says where the video is, so that the user of a video
/// player does not search for a fault.
pub(super) async fn no_video() -> HttpError {
    let message = "this server has no video at this path. Use /stream for the stream of pictures, /snapshot.jpg for \
                   one picture, or /cameras/NAME/stream.mp4 for the video of a camera that sends H.264 or H.265"
        .to_owned();
    HttpError { status: StatusCode::NOT_IMPLEMENTED, message }
}

#[derive(Serialize, ToSchema)]
pub(super) struct StatusAnswer {
    outputs: OutputStatuses,
    devices: Vec<DeviceStatus>,
    #[schema(value_type = Vec<String>)]
    links: [(); 0],
    endpoints: Endpoints,
}

#[derive(Serialize, ToSchema)]
struct OutputStatuses {
    snapshot: OutputStatus,
    stream: OutputStatus,
    video: Disabled,
}

#[derive(Serialize, ToSchema)]
struct OutputStatus {
    name: &'static str,
    enabled: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    width: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    height: Option<u32>,
    source: String,
    frames: u64,
    refs: usize,
    dropped: u64,
}

/// The description of a camera in `/status`. Contains the camera's name, but not the device's path or URL, which stay
/// private.
#[derive(Serialize, ToSchema)]
struct DeviceStatus {
    name: String,
}

#[derive(Serialize, ToSchema)]
struct Endpoints {
    rtsp: Disabled,
    webrtc: Disabled,
    video: Disabled,
    stream: Endpoint,
    snapshot: Endpoint,
}

#[derive(Serialize, ToSchema)]
struct Disabled {
    enabled: bool,
}

const DISABLED: Disabled = Disabled { enabled: false };

#[derive(Serialize, ToSchema)]
struct Endpoint {
    enabled: bool,
    output: &'static str,
    uri: String,
}

/// Handles `/status`: describes the camera. The URLs in the response contain the host name that the client used in the
/// request.
pub(super) async fn status(State(compat): State<Compat>, request: Request) -> Result<Response, HttpError> {
    let query = CompatQuery::parse(request.uri().query());
    let camera = compat.camera(&query)?;
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or("localhost");
    let asked =
        query.get("camera").map(|name| format!("?camera={}", percent_encode(name))).unwrap_or_default();
    let endpoint =
        |output, path: &str| Endpoint { enabled: true, output, uri: format!("http://{host}{path}{asked}") };
    let stats = camera.feed.stats();
    let format = camera.feed.source_channel().newest().map(|frame| frame.format);
    let output = |name| OutputStatus {
        name,
        enabled: true,
        width: format.as_ref().map(|format| format.width_px),
        height: format.as_ref().map(|format| format.height_px),
        source: camera.feed.name().to_owned(),
        frames: stats.frames,
        refs: camera.feed.viewer_count(),
        dropped: stats.over_rate,
    };
    let status = StatusAnswer {
        outputs: OutputStatuses { snapshot: output("SNAPSHOT"), stream: output("STREAM"), video: DISABLED },
        devices: vec![DeviceStatus { name: camera.feed.name().to_owned() }],
        links: [],
        endpoints: Endpoints {
            rtsp: DISABLED,
            webrtc: DISABLED,
            video: DISABLED,
            stream: endpoint("stream", "/stream"),
            snapshot: endpoint("snapshot", "/snapshot"),
        },
    };
    Ok(json("application/json", &status))
}

/// Handles `/option?key=KEY&value=VALUE` and `/option?KEY=VALUE`: sets the camera control `KEY`, and responds with a
/// text that confirms this. If the query names no control, responds with a list of the controls.
pub(super) async fn option(State(compat): State<Compat>, request: Request) -> Result<Response, HttpError> {
    let query = CompatQuery::parse(request.uri().query());
    let camera = compat.camera(&query)?;
    let asked: Vec<(&str, &str)> = match query.get("key") {
        Some(key) => vec![(key, query.get("value").unwrap_or_default())],
        None => query.pairs().filter(|(name, _)| !matches!(*name, "camera" | "device")).collect(),
    };
    if asked.is_empty() {
        let device = DeviceControls::of(&camera)?;
        // A list of the controls would open the device.
        let is_head = request.method() == Method::HEAD;
        let controls = if is_head { Vec::new() } else { device.controls().await? };
        let names: Vec<&str> = controls.iter().map(|control| control.id.as_str()).collect();
        let text =
            format!("No options passed.\r\n\r\nSet: /option?name=value\r\n\r\n{}\r\n", names.join("\r\n"));
        return Ok(plain(StatusCode::NOT_FOUND, text));
    }
    command::check_may_change(&compat, &request)?;
    let mut said = Vec::new();
    let mut status = StatusCode::OK;
    for (key, value) in asked {
        match set(&camera, key, value).await {
            Ok(()) => said.push(format!("The '{key}' was set to '{value}'.\r\n")),
            Err(refusal) => {
                status = refusal.status;
                said.push(format!("Cannot set '{key}' to '{value}': {}.\r\n", refusal.message));
            }
        }
    }
    Ok(plain(status, escape_hidden_multiline(&said.concat()).into_owned()))
}

/// Sets the control of `camera` whose id or name equals `key` to `value`. As in the server camera-streamer, only
/// letters and digits are compared, without regard to case.
async fn set(camera: &Arc<Camera>, key: &str, value: &str) -> Result<(), HttpError> {
    let controls = DeviceControls::of(camera)?.controls().await?;
    let wanted = bare(key);
    let control =
        controls.iter().find(|control| bare(&control.id) == wanted || bare(&control.name) == wanted);
    let id = control.map_or(key, |control| control.id.as_str());
    command::set_control(camera, id, value).await
}

fn bare(name: &str) -> String {
    name.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect()
}

/// Handles `/control`: redirects the browser to the camera's web page, which shows the camera's controls.
pub(super) async fn control(State(compat): State<Compat>, request: Request) -> Result<Redirect, HttpError> {
    let query = CompatQuery::parse(request.uri().query());
    let name = percent_encode(compat.camera(&query)?.feed.name());
    Ok(Redirect::temporary(&format!("cameras/{name}")))
}

fn plain(status: StatusCode, text: String) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/plain; charset=utf-8"),
        (header::CACHE_CONTROL, "no-store"),
        // The answer repeats text of the request.
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (status, headers, text).into_response()
}
