//! The paths `/stream`, `/snapshot` and `/state` of the camera server uStreamer, which Framecast imitates. They work as
//! in the source of uStreamer 6 (`src/ustreamer/http/server.c`).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::extract::{Request, State};
use axum::http::{Method, StatusCode};
use axum::response::Response;
use framecast_hub::{CameraState, Feed, Rendition};
use framecast_media::container::multipart::format_unix_seconds;
use framecast_outputs::mjpeg::{Boundary, Framing, PartFormat};
use framecast_outputs::{HttpError, Transport, ViewerStats, snapshot};
use serde::Serialize;
use utoipa::ToSchema;

use super::query::CompatQuery;
use super::stream_client::{self, StreamClientStat, StreamOptions};
use super::ustreamer_header::{monotonic, online};
use super::{Compat, EXPIRES, extra_header_stream, json, picture_answer, set_head};
use crate::camera::Camera;

const CACHE_CONTROL: &str =
    "no-store, no-cache, must-revalidate, proxy-revalidate, pre-check=0, post-check=0, max-age=0";

/// The width and height, in pixels, that `/state` reports until the camera has a picture. The camera server uStreamer
/// shows a drawn picture of this size at that time.
const BLANK_PX: (u32, u32) = (640, 480);

/// The maximum of the parameter `max_delay`, which says how old the picture of `/snapshot` can be. A longer time is
/// reduced to this value, which is one day.
const MAX_DELAY: Duration = Duration::from_hours(24);

/// Handles `/stream?key=&extra_headers=&advance_headers=&dual_final_frames=&zero_data=`: responds with an MJPEG stream.
pub(super) async fn stream(State(compat): State<Compat>, request: Request) -> Result<Response, HttpError> {
    let query = CompatQuery::parse(request.uri().query());
    let feed = Arc::clone(&compat.camera(&query)?.feed);
    let options = StreamOptions::of(&query);
    let mut response = parts(&compat, &feed, &query, &options, &request)?;
    // A refusal keeps its own headers.
    if response.status() != StatusCode::OK {
        return Ok(response);
    }
    let stats = response.extensions().get::<Arc<ViewerStats>>().cloned();
    let id = stats.as_deref().map_or_else(|| "0".to_owned(), stream_client::id);
    let cookie = format!("stream_client={}/{id}; path=/; max-age=30", options.key);
    if let Some(stats) = stats {
        compat.clients.add(&stats, options);
    }
    set_head(
        &mut response,
        &[
            ("cache-control", CACHE_CONTROL),
            ("pragma", "no-cache"),
            ("expires", EXPIRES),
            ("set-cookie", &cookie),
            ("content-type", "multipart/x-mixed-replace;boundary=boundarydonotcross"),
        ],
    );
    Ok(response)
}

/// Returns a response whose body is an MJPEG stream of `feed` with `options`, for the paths of the camera servers
/// uStreamer and mjpg-streamer.
pub(super) fn parts(
    compat: &Compat,
    feed: &Arc<Feed>,
    query: &CompatQuery,
    options: &StreamOptions,
    request: &Request,
) -> Result<Response, HttpError> {
    let framing = match query.get("advance_headers") {
        Some(_) if options.advance_headers => Framing::Advance,
        Some(_) => Framing::Standard,
        None => Framing::by_client(request.headers()),
    };
    let has_own_heads = options.zero_data || (options.extra_headers && !options.advance_headers);
    if has_own_heads && request.method() != Method::HEAD {
        return extra_header_stream::respond(compat, feed, options, request);
    }
    let part_format = PartFormat { boundary: Boundary::DoNotCross, framing };
    compat.stream(feed, Rendition::default(), part_format, request)
}

/// Handles `/snapshot`: responds with a single picture. The parameter `max_delay`, which comes from the camera server
/// camera-streamer, limits the age of the picture, in milliseconds. If the camera has failed, the picture is a drawn
/// one that says why, the status is still 200, and the header `X-UStreamer-Online` is `false`.
pub(super) async fn snapshot(State(compat): State<Compat>, request: Request) -> Result<Response, HttpError> {
    let query = CompatQuery::parse(request.uri().query());
    let feed = Arc::clone(&compat.camera(&query)?.feed);
    let max_age = query.get("max_delay").and_then(|delay| delay.parse().ok()).map(Duration::from_millis);
    let snapshot_request =
        snapshot::SnapshotRequest { max_age: max_age.map(|age| age.min(MAX_DELAY)), ..Default::default() };
    let update = compat.picture(&feed, snapshot_request, request.method()).await?;
    let Some(update) = update else { return Ok(picture_answer(None, &head())) };
    let (grab, send) = (monotonic(update.frame.captured_at), monotonic(SystemTime::now()));
    let (width, height) =
        (update.frame.format.width_px.to_string(), update.frame.format.height_px.to_string());
    let timestamp = format_unix_seconds(SystemTime::now());
    let mut headers = head().to_vec();
    headers.extend([
        ("x-timestamp", timestamp.as_str()),
        ("x-ustreamer-online", online(&update)),
        ("x-ustreamer-width", &width),
        ("x-ustreamer-height", &height),
        ("x-ustreamer-grab-begin-timestamp", &grab),
        ("x-ustreamer-grab-end-timestamp", &grab),
        ("x-ustreamer-encode-begin-timestamp", &grab),
        ("x-ustreamer-encode-end-timestamp", &grab),
        ("x-ustreamer-send-timestamp", &send),
    ]);
    let mut response = picture_answer(Some(&update), &headers);
    *response.status_mut() = StatusCode::OK;
    Ok(response)
}

fn head() -> [(&'static str, &'static str); 3] {
    [("cache-control", CACHE_CONTROL), ("pragma", "no-cache"), ("expires", EXPIRES)]
}

#[derive(Serialize, ToSchema)]
pub(super) struct StateAnswer {
    ok: bool,
    result: StateResult,
}

#[derive(Serialize, ToSchema)]
struct StateResult {
    instance_id: &'static str,
    encoder: EncoderState,
    source: SourceState,
    stream: StreamState,
}

#[derive(Serialize, ToSchema)]
struct EncoderState {
    r#type: &'static str,
    quality: u8,
}

#[derive(Serialize, ToSchema)]
struct SourceState {
    resolution: Resolution,
    online: bool,
    desired_fps: u64,
    captured_fps: u64,
}

#[derive(Serialize, ToSchema)]
struct Resolution {
    width: u32,
    height: u32,
}

#[derive(Serialize, ToSchema)]
struct StreamState {
    queued_fps: u64,
    clients: usize,
    clients_stat: BTreeMap<String, StreamClientStat>,
}

/// Handles `/state`: describes the camera, the encoder and the clients. Never opens the camera.
pub(super) async fn state(State(compat): State<Compat>, request: Request) -> Result<Response, HttpError> {
    let query = CompatQuery::parse(request.uri().query());
    let camera = compat.camera(&query)?;
    let is_stream = |stats: &Arc<ViewerStats>| {
        stats.transport() == Transport::Mjpeg && Arc::ptr_eq(stats.feed(), &camera.feed)
    };
    let viewers: Vec<_> = compat.viewers.list().into_iter().filter(is_stream).collect();
    let fps = camera.feed.stats().frames_per_second.unwrap_or_default().round() as u64;
    let stream =
        StreamState { queued_fps: fps, clients: viewers.len(), clients_stat: compat.clients.show(&viewers) };
    let result =
        StateResult { instance_id: "", encoder: encoder(&camera), source: source(&camera, fps), stream };
    Ok(json("application/json", &StateAnswer { ok: true, result }))
}

/// Returns the state of the encoder for `/state`. As in uStreamer, the type `HW` means that the device itself delivers
/// JPEG, and `CPU` that the server encodes the pictures.
fn encoder(camera: &Camera) -> EncoderState {
    EncoderState {
        r#type: if camera.feed.needs_encoder() { "CPU" } else { "HW" },
        quality: camera.settings.quality,
    }
}

fn source(camera: &Camera, captured_fps: u64) -> SourceState {
    let capture = camera.capture();
    let given = capture.as_ref().map(|capture| &capture.given);
    let newest = camera.feed.source_channel().newest();
    let (width, height) = newest
        .map(|frame| (frame.format.width_px, frame.format.height_px))
        .or_else(|| given.and_then(|given| given.width.zip(given.height)))
        .unwrap_or(BLANK_PX);
    let asked_fps = capture.as_ref().and_then(|capture| capture.asked.fps);
    let desired_fps =
        asked_fps.or_else(|| given.and_then(|given| given.fps)).unwrap_or_default().round() as u64;
    // A camera that is closed because it has no viewer has no fault.
    let online = matches!(camera.feed.status().state, CameraState::Live | CameraState::Idle);
    SourceState { resolution: Resolution { width, height }, online, desired_fps, captured_fps }
}
