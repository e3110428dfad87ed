//! uStreamer's `/stream`, `/snapshot` and `/state`, as in its version 6 (`src/ustreamer/http/server.c`).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::extract::{Request, State};
use axum::http::{Method, StatusCode};
use axum::response::Response;
use framecast_hub::{Feed, Rendition, State as CameraState, Update};
use framecast_media::Codec;
use framecast_media::container::multipart::write_unix_seconds;
use framecast_outputs::mjpeg::{Boundary, Framing, Style};
use framecast_outputs::{Record, Refusal, Via, snapshot};
use rustix::time::{ClockId, clock_gettime};
use serde::Serialize;

use super::client::{self, Shown, Wanted};
use super::query::Query;
use super::{DropIn, EXPIRES, annotated, json, picture_answer, set_head};
use crate::camera::Camera;

const CACHE_CONTROL: &str =
    "no-store, no-cache, must-revalidate, proxy-revalidate, pre-check=0, post-check=0, max-age=0";

/// The size of uStreamer's own placeholder, which it reports until the camera has a picture.
const BLANK_PX: (u32, u32) = (640, 480);

/// The longest `max_delay`: a day.
const MAX_DELAY: Duration = Duration::from_hours(24);

/// `/stream?key=&extra_headers=&advance_headers=&dual_final_frames=&zero_data=`.
pub(super) async fn stream(State(drop_in): State<DropIn>, request: Request) -> Result<Response, Refusal> {
    let query = Query::parse(request.uri().query());
    let feed = Arc::clone(&drop_in.camera(&query)?.feed);
    let wanted = Wanted::of(&query);
    let mut response = parts(&drop_in, &feed, &query, &wanted, &request)?;
    // A refusal keeps its own headers.
    if response.status() != StatusCode::OK {
        return Ok(response);
    }
    let record = response.extensions().get::<Arc<Record>>().cloned();
    let id = record.as_deref().map_or_else(|| "0".to_owned(), client::id);
    let cookie = format!("stream_client={}/{id}; path=/; max-age=30", wanted.key);
    if let Some(record) = record {
        drop_in.clients.add(&record, wanted);
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

/// The stream's parts as `wanted`, for the streams of this program and of mjpg-streamer.
pub(super) fn parts(
    drop_in: &DropIn,
    feed: &Arc<Feed>,
    query: &Query,
    wanted: &Wanted,
    request: &Request,
) -> Result<Response, Refusal> {
    let framing = match query.get("advance_headers") {
        Some(_) if wanted.advance_headers => Framing::Advance,
        Some(_) => Framing::Standard,
        None => Framing::by_client(request.headers()),
    };
    let has_own_heads = wanted.zero_data || (wanted.extra_headers && !wanted.advance_headers);
    if has_own_heads && request.method() != Method::HEAD {
        return annotated::respond(drop_in, feed, wanted, request);
    }
    let style = Style { boundary: Boundary::DoNotCross, framing };
    drop_in.stream(feed, Rendition::default(), style, request)
}

/// `/snapshot`: while the camera is lost, 200 with the slate, and `X-UStreamer-Online: false`. `?max_delay=`, in
/// milliseconds, comes from camera-streamer.
pub(super) async fn snapshot(State(drop_in): State<DropIn>, request: Request) -> Result<Response, Refusal> {
    let query = Query::parse(request.uri().query());
    let feed = Arc::clone(&drop_in.camera(&query)?.feed);
    let max_age = query.get("max_delay").and_then(|delay| delay.parse().ok()).map(Duration::from_millis);
    let wish = snapshot::Wish { max_age: max_age.map(|age| age.min(MAX_DELAY)), ..Default::default() };
    let update = drop_in.picture(&feed, wish, request.method()).await?;
    let Some(update) = update else { return Ok(picture_answer(None, &head())) };
    let (grab, send) = (monotonic(update.frame.captured_at), monotonic(SystemTime::now()));
    let (width, height) =
        (update.frame.format.width_px.to_string(), update.frame.format.height_px.to_string());
    let timestamp = write_unix_seconds(SystemTime::now());
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

pub(super) fn online(update: &Update) -> &'static str {
    if update.is_notice { "false" } else { "true" }
}

/// `time` as seconds of the monotonic clock, with six decimals.
pub(super) fn monotonic(time: SystemTime) -> String {
    let now = clock_gettime(ClockId::Monotonic);
    let now = Duration::new(now.tv_sec.unsigned_abs(), u32::try_from(now.tv_nsec).unwrap_or_default());
    let age = SystemTime::now().duration_since(time).unwrap_or_default();
    let at = now.saturating_sub(age);
    format!("{}.{:06}", at.as_secs(), at.subsec_micros())
}

#[derive(Serialize)]
struct Answer {
    ok: bool,
    result: Outcome,
}

#[derive(Serialize)]
struct Outcome {
    instance_id: &'static str,
    encoder: Encoder,
    source: Source,
    stream: Stream,
}

#[derive(Serialize)]
struct Encoder {
    r#type: &'static str,
    quality: u8,
}

#[derive(Serialize)]
struct Source {
    resolution: Resolution,
    online: bool,
    desired_fps: u64,
    captured_fps: u64,
}

#[derive(Serialize)]
struct Resolution {
    width: u32,
    height: u32,
}

#[derive(Serialize)]
struct Stream {
    queued_fps: u64,
    clients: usize,
    clients_stat: BTreeMap<String, Shown>,
}

/// `/state`. Never opens the camera.
pub(super) async fn state(State(drop_in): State<DropIn>, request: Request) -> Result<Response, Refusal> {
    let query = Query::parse(request.uri().query());
    let camera = drop_in.camera(&query)?;
    let is_stream =
        |record: &Arc<Record>| record.via() == Via::Mjpeg && Arc::ptr_eq(record.feed(), &camera.feed);
    let viewers: Vec<_> = drop_in.context.viewers.list().into_iter().filter(is_stream).collect();
    let fps = camera.feed.stats().frames_per_second.unwrap_or_default().round() as u64;
    let stream =
        Stream { queued_fps: fps, clients: viewers.len(), clients_stat: drop_in.clients.show(&viewers) };
    let result = Outcome { instance_id: "", encoder: encoder(camera), source: source(camera, fps), stream };
    Ok(json("application/json", &Answer { ok: true, result }))
}

/// `HW` is uStreamer's word for JPEG from the device, `CPU` for pictures that the server encodes.
fn encoder(camera: &Camera) -> Encoder {
    let newest = camera.feed.source().newest();
    let is_raw = newest.is_some_and(|frame| frame.format.codec != Codec::Jpeg);
    Encoder { r#type: if is_raw { "CPU" } else { "HW" }, quality: camera.settings.quality }
}

fn source(camera: &Camera, captured_fps: u64) -> Source {
    let capture = camera.capture();
    let given = capture.as_ref().map(|capture| &capture.given);
    let newest = camera.feed.source().newest();
    let (width, height) = newest
        .map(|frame| (frame.format.width_px, frame.format.height_px))
        .or_else(|| given.and_then(|given| given.width.zip(given.height)))
        .unwrap_or(BLANK_PX);
    let asked_fps = capture.as_ref().and_then(|capture| capture.asked.fps);
    let desired_fps =
        asked_fps.or_else(|| given.and_then(|given| given.fps)).unwrap_or_default().round() as u64;
    // A camera that is closed because it has no viewer has no fault.
    let online = matches!(camera.feed.status().state, CameraState::Live | CameraState::Idle);
    Source { resolution: Resolution { width, height }, online, desired_fps, captured_fps }
}
