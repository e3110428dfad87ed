//! The JSON API that describes the cameras (`/api/cameras`) and the connected camera devices (`/api/devices`).

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::body::{Body, Bytes};
use axum::extract::{Path, State};
use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use framecast_drivers::{Capture, Device};
use framecast_hub::{CameraState, Channel, DemandCounts, Feed, Rendition};
use framecast_media::codec::VideoParameters;
use framecast_media::{Codec, Format, escape_hidden_json};
use framecast_outputs::{HttpError, ViewerStats, percent_encode};
use framecast_transcode::Backend;
use futures_util::stream;
use serde::Serialize;
use tokio::time::{Instant, timeout};
use utoipa::ToSchema;

use super::find_camera;
use super::openapi::{Operation, RouteTable, Routes, Tag, maybe_time, time};
use crate::camera::Camera;
use crate::camera_table::CameraTable;

/// The time limit for one probe, which opens all camera devices to list them. A time limit is necessary because a USB
/// device can hang.
const DEVICES_TIMEOUT: Duration = Duration::from_secs(10);

/// How long the server reuses the list of camera devices before it opens all devices again to renew the list.
const DEVICES_MAX_AGE: Duration = Duration::from_secs(10);

/// The content type of the API's responses.
pub(super) const JSON: &str = "application/json";

/// What these routes need.
#[derive(Debug, Clone)]
pub(crate) struct ApiState {
    pub(crate) cameras: CameraTable,
    pub(crate) about: Arc<ServerAbout>,
    /// The lock is held during a probe.
    pub(crate) device_cache: Arc<tokio::sync::Mutex<DeviceCache>>,
}

impl ApiState {
    pub(crate) fn new(cameras: &CameraTable, has_marks: bool) -> Self {
        let codec = cameras.services().pool.backend();
        let about = Arc::new(ServerAbout { codec, started_at: SystemTime::now(), has_marks });
        Self { cameras: cameras.clone(), about, device_cache: Arc::default() }
    }
}

/// What the server says of itself.
#[derive(Debug)]
pub(crate) struct ServerAbout {
    /// The JPEG codec that encodes pictures.
    pub(crate) codec: Backend,
    pub(crate) started_at: SystemTime,
    /// Whether clients can set marks, which are events that clients add to the history.
    pub(crate) has_marks: bool,
}

/// Returns the routes `/api/cameras`, `/api/cameras/{name}` and `/api/devices`.
pub(super) fn routes(state: ApiState) -> Routes {
    RouteTable::new()
        .get("/api/cameras", cameras, || {
            Operation::new(Tag::Cameras, "Describe all cameras").json::<CameraList>(200, "The cameras.")
        })
        .get("/api/cameras/{name}", camera, || {
            Operation::new(Tag::Cameras, "Describe one camera")
                .json::<SingleCamera>(200, "The camera.")
                .of_camera()
        })
        .get("/api/devices", devices, || {
            Operation::new(Tag::Cameras, "List the devices that are plugged in")
                .details("The server opens the devices for this, at most every ten seconds.")
                .json::<DeviceList<'_>>(200, "The devices.")
                .error(503, "A driver failed.")
                .error(504, "A device did not answer within ten seconds.")
        })
        .with_state(state)
}

/// The devices that are plugged in.
#[derive(Serialize, ToSchema)]
struct DeviceList<'a> {
    devices: &'a [Device],
}

/// The connected camera devices, as the last probe (a search that opens all devices) found them, and the time of the
/// probe. `None` before the first probe.
#[derive(Debug, Default)]
pub(crate) struct DeviceCache(Option<(Instant, Arc<Vec<Device>>)>);

impl DeviceCache {
    /// Returns the devices that the last probe found, or `None` if the probe was more than [`DEVICES_MAX_AGE`] before
    /// `now` and must be repeated. The result is reused because each probe opens all devices.
    fn fresh(&self, now: Instant) -> Option<Arc<Vec<Device>>> {
        let (at, devices) = self.0.as_ref()?;
        (now.saturating_duration_since(*at) < DEVICES_MAX_AGE).then(|| Arc::clone(devices))
    }
}

/// Handles `/api/devices`: lists the connected camera devices. For this the server opens all devices, unless it has a
/// recent list. Only one request at a time opens the devices, so that only one can hang if a device hangs. Opening the
/// devices continues even if the client disconnects. A HEAD request opens no device.
async fn devices(State(state): State<ApiState>, method: Method) -> Result<Response, HttpError> {
    if method == Method::HEAD {
        return Ok(without_length(JSON));
    }
    let listed = async {
        let mut device_cache = Arc::clone(&state.device_cache).lock_owned().await;
        if let Some(devices) = device_cache.fresh(Instant::now()) {
            return Ok(devices);
        }
        let drivers = state.cameras.services().drivers.clone();
        let task = tokio::spawn(async move {
            let devices = Arc::new(drivers.devices().await);
            *device_cache = DeviceCache(Some((Instant::now(), Arc::clone(&devices))));
            devices
        });
        task.await
    };
    let refusal = |status, message: String| Err(HttpError { status, message });
    match timeout(DEVICES_TIMEOUT, listed).await {
        Ok(Ok(devices)) => Ok(json(DeviceList { devices: &devices })),
        Ok(Err(_)) => refusal(
            StatusCode::SERVICE_UNAVAILABLE,
            "a driver panicked while it listed its devices".to_owned(),
        ),
        Err(_) => {
            let message = format!("the devices did not answer within {DEVICES_TIMEOUT:?}");
            refusal(StatusCode::GATEWAY_TIMEOUT, message)
        }
    }
}

#[derive(Serialize, ToSchema)]
struct ServerView {
    version: &'static str,
    /// A sentence that names the JPEG codec that the server uses, and says what another codec would improve.
    codec: String,
    #[schema(schema_with = time)]
    started_at: String,
    /// Whether clients can set marks, which are events that clients add to the history.
    marks: bool,
}

#[derive(Serialize, ToSchema)]
struct CameraList {
    server: ServerView,
    #[schema(schema_with = time)]
    now: String,
    cameras: Vec<CameraView>,
}

#[derive(Serialize, ToSchema)]
struct SingleCamera {
    server: ServerView,
    #[schema(schema_with = time)]
    now: String,
    #[serde(flatten)]
    camera: CameraView,
}

/// How many clients need the camera's pictures, by their reason.
#[derive(Serialize, ToSchema)]
struct DemandView {
    viewers: usize,
    snapshots: usize,
    /// The server's own checks of whether the camera works.
    probes: usize,
}

/// The description of one camera in the API. It contains the name of the camera's driver instead of the URL of the
/// camera's source, because the URL can contain secrets.
#[derive(Serialize, ToSchema)]
struct CameraView {
    name: String,
    /// Whether this is the default camera, the first of all.
    default: bool,
    /// The scheme of the camera's source, such as `rtsp`.
    driver: String,
    /// `idle`, `opening`, `live` or `lost`.
    state: &'static str,
    /// Why the camera is lost, or what it waits for while it opens.
    reason: Option<String>,
    #[schema(schema_with = time)]
    since: String,
    #[schema(schema_with = maybe_time)]
    next_try: Option<String>,
    /// When the server last learned whether the camera works; `None` if it has not opened the camera yet.
    #[schema(schema_with = maybe_time)]
    checked: Option<String>,
    /// The number of seconds between two checks while nobody watches; `None` if the server does not check the camera.
    probe_s: Option<u64>,
    /// Whether `/readyz` needs this camera.
    required: bool,
    /// Frames per second of a live camera over the last three seconds.
    fps: Option<f64>,
    width: Option<u32>,
    height: Option<u32>,
    /// The age of the newest picture, in milliseconds.
    age_ms: Option<u64>,
    /// The streams and snapshots that the server serves now.
    viewers: usize,
    demand: DemandView,
    /// Why the camera is open: `viewers`, `snapshots`, `probe`, `idle_timeout` or `always`; `None` if it is idle.
    open_for: Option<&'static str>,
    /// Pictures that the server published.
    frames: u64,
    /// Pictures that were broken or could not be encoded.
    broken: u64,
    /// What was wrong with the last of them.
    last_broken: Option<String>,
    /// Pictures that the server repaired and published.
    repaired: u64,
    /// Pictures that came faster than `max_fps`, and were dropped.
    over_rate: u64,
    /// Frames that the device dropped.
    lost: u64,
    /// Pictures encoded for the camera and all its renditions.
    encoded: u64,
    /// Frames that were not encoded, because a newer one had arrived.
    encode_skipped: u64,
    /// Milliseconds that encoding took, summed over all threads.
    encode_ms: u64,
    /// The settings that the server requested from the device when the camera was last opened, and the settings that
    /// the device then used. `None` before the first opening, and for a source that does not report its settings.
    capture: Option<Capture>,
    /// The coded video that the camera delivers. `None` if it delivers pictures, or before its first frame.
    video: Option<VideoView>,
    /// The camera's sub stream. `None` if the configuration has none.
    sub: Option<SubView>,
    /// The other sizes, qualities and rates that someone watches.
    renditions: Vec<WatchedRendition>,
    /// How often the camera was opened.
    opened: u64,
    /// How often it was closed after that.
    closed: u64,
    /// The address of the stream.
    stream: String,
    snapshot: String,
    page: String,
}

/// The sub stream of a camera: a smaller version of its video, which small tiles and slow links get. It is open only
/// while somebody watches it, and says nothing about the state of the camera.
#[derive(Serialize, ToSchema)]
struct SubView {
    /// `idle`, `opening`, `live` or `lost`.
    state: &'static str,
    /// Why the sub stream is lost, or what it waits for while it opens.
    reason: Option<String>,
    #[schema(schema_with = time)]
    since: String,
    #[schema(schema_with = maybe_time)]
    next_try: Option<String>,
    /// Frames per second of a live sub stream over the last three seconds.
    fps: Option<f64>,
    width: Option<u32>,
    height: Option<u32>,
    /// The age of the newest frame, in milliseconds.
    age_ms: Option<u64>,
    /// The tiles that show the sub stream now.
    viewers: usize,
    /// Frames that the server published.
    frames: u64,
    /// How often the sub stream was opened.
    opened: u64,
    /// How often it was closed after that.
    closed: u64,
    /// The coded video of the sub stream. `None` before its first frame, and if it delivers pictures, which nobody gets.
    video: Option<VideoView>,
}

impl SubView {
    fn of(sub: &Feed, now: SystemTime) -> Self {
        let (status, stats, newest) = (sub.status(), sub.stats(), Newest::of(sub, now));
        Self {
            state: status.state.as_str(),
            reason: status.reason,
            since: rfc3339(status.since),
            next_try: status.retry_at.map(rfc3339),
            fps: newest.fps,
            width: newest.format.as_ref().map(|format| format.width_px),
            height: newest.format.as_ref().map(|format| format.height_px),
            age_ms: newest.age_ms,
            viewers: sub.viewer_count(),
            frames: stats.frames,
            opened: stats.opened,
            closed: stats.closed,
            video: newest.format.and_then(|format| video(sub, &format, sub.viewer_count())),
        }
    }
}

/// The newest frame of a stream.
struct Newest {
    format: Option<Arc<Format>>,
    age_ms: Option<u64>,
    /// The rate of the frames; `None` if the stream is not live, or its frames do not come any more.
    fps: Option<f64>,
}

impl Newest {
    fn of(feed: &Feed, now: SystemTime) -> Self {
        let captured_at = feed.source_channel().newest_captured_at();
        let age = captured_at.map(|captured_at| now.duration_since(captured_at).unwrap_or_default());
        let is_live = feed.status().state == CameraState::Live;
        let fps = feed.frames_per_second().filter(|fps| is_live && !is_stale(*fps, age));
        Self {
            format: feed.source_channel().newest().map(|frame| frame.format),
            age_ms: age.map(|age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX)),
            fps: fps.map(|fps| (fps * 100.0).round() / 100.0),
        }
    }
}

/// The coded video that a camera delivers.
#[derive(Serialize, ToSchema)]
struct VideoView {
    /// The name of the coding, such as `H.264`.
    codec: &'static str,
    /// The coding with its profile and level as in MIME types (RFC 6381), such as `avc1.64001F`.
    codec_string: String,
    /// The name of the profile, such as `High`.
    profile: String,
    /// The level, such as `4.1`.
    level: String,
    /// How many seconds passed between the last two keyframes. `None` before the second keyframe.
    keyframe_interval_s: Option<f64>,
    /// The bit rate from the keyframe before the last to the last one. `None` before the second keyframe.
    bits_per_second: Option<u64>,
    /// The viewers that get the coded video, and not pictures.
    viewers: usize,
}

/// Describes the coded video of the stream `feed` with this `format`; `None` if the format is not of coded video.
/// `viewers` viewers get it.
fn video(feed: &Feed, format: &Format, viewers: usize) -> Option<VideoView> {
    let parameters = VideoParameters::parse(format.codec, &format.parameter_sets).ok()?;
    let gop = feed.gop_figures();
    Some(VideoView {
        codec: format.codec.video_name()?,
        codec_string: parameters.codec_string,
        profile: parameters.profile,
        level: parameters.level,
        keyframe_interval_s: gop.map(|gop| (gop.duration.as_secs_f64() * 1000.0).round() / 1000.0),
        bits_per_second: gop.map(|gop| gop.bits_per_second()),
        viewers,
    })
}

/// Returns how many of `viewers`, those of all cameras, get the main stream of the camera as coded video.
fn video_viewers(feed: &Arc<Feed>, viewers: &[Arc<ViewerStats>]) -> usize {
    let gets_video = |stats: &&Arc<ViewerStats>| {
        Arc::ptr_eq(stats.feed(), feed) && stats.codec().is_some_and(Codec::is_video)
    };
    let of_sub = feed.sub().map_or(0, |sub| sub.viewer_count());
    viewers.iter().filter(gets_video).count().saturating_sub(of_sub)
}

/// A rendition (a version of a camera's pictures at another size, quality or rate) that someone watches.
#[derive(Serialize, ToSchema)]
struct WatchedRendition {
    /// The rendition's size, quality and rate as parameters of a URL, such as `width=640`.
    query: String,
    viewers: usize,
    /// The width of the rendition's pictures, in pixels; `None` before the first picture.
    width: Option<u32>,
    height: Option<u32>,
}

fn renditions(feed: &Feed) -> Vec<WatchedRendition> {
    let described = |(rendition, channel): &(Rendition, Channel)| {
        let format = channel.newest().map(|frame| frame.format);
        WatchedRendition {
            query: rendition.to_string(),
            viewers: channel.subscriber_count(),
            width: format.as_ref().map(|format| format.width_px),
            height: format.as_ref().map(|format| format.height_px),
        }
    };
    feed.renditions().borrow().iter().map(described).collect()
}

async fn cameras(State(state): State<ApiState>) -> Response {
    let now = SystemTime::now();
    let cameras = state.cameras.list();
    let viewers = state.cameras.services().viewers.list();
    let cameras =
        cameras.iter().enumerate().map(|(n, camera)| describe(camera, n == 0, now, &viewers)).collect();
    json(CameraList { server: server(&state.about), now: rfc3339(now), cameras })
}

async fn camera(State(state): State<ApiState>, Path(name): Path<String>) -> Result<Response, HttpError> {
    let now = SystemTime::now();
    let camera = find_camera(&state.cameras, &name)?;
    let is_default = state.cameras.list().first().is_some_and(|first| first.feed.name() == name);
    let camera = describe(&camera, is_default, now, &state.cameras.services().viewers.list());
    Ok(json(SingleCamera { server: server(&state.about), now: rfc3339(now), camera }))
}

fn describe(camera: &Camera, is_default: bool, now: SystemTime, viewers: &[Arc<ViewerStats>]) -> CameraView {
    let feed = &camera.feed;
    let name = feed.name();
    let (status, stats, newest) = (feed.status(), feed.stats(), Newest::of(feed, now));
    let demand = feed.demand_counts();
    let format = newest.format.as_deref();
    let segment = percent_encode(name);
    let open_for = open_for(status.state, demand, camera);
    CameraView {
        name: name.to_owned(),
        default: is_default,
        driver: camera.settings.source.scheme().to_owned(),
        state: status.state.as_str(),
        reason: status.reason,
        since: rfc3339(status.since),
        next_try: status.retry_at.map(rfc3339),
        checked: status.checked_at.map(rfc3339),
        probe_s: camera.probe_interval.map(|interval| interval.as_secs()),
        required: camera.settings.required,
        fps: newest.fps,
        width: format.map(|format| format.width_px),
        height: format.map(|format| format.height_px),
        age_ms: newest.age_ms,
        viewers: demand.clients(),
        demand: DemandView { viewers: demand.viewers, snapshots: demand.snapshots, probes: demand.probes },
        open_for,
        frames: stats.frames,
        broken: stats.broken,
        last_broken: stats.last_broken,
        repaired: stats.repaired,
        over_rate: stats.over_rate,
        lost: stats.dropped_by_device,
        encoded: stats.encoded,
        encode_skipped: stats.encode_skipped,
        encode_ms: u64::try_from(stats.encode_time.as_millis()).unwrap_or(u64::MAX),
        capture: camera.capture(),
        video: format.and_then(|format| video(feed, format, video_viewers(feed, viewers))),
        sub: feed.sub().map(|sub| SubView::of(sub, now)),
        renditions: renditions(feed),
        opened: stats.opened,
        closed: stats.closed,
        stream: format!("/cameras/{segment}/stream.mjpg"),
        snapshot: format!("/cameras/{segment}/snapshot.jpg"),
        page: format!("/cameras/{segment}"),
    }
}

/// Returns why a camera in the state `state` is open, or would be if it had not failed; `None` if it is idle.
fn open_for(state: CameraState, demand: DemandCounts, camera: &Camera) -> Option<&'static str> {
    let has_timeout = camera.settings.idle_timeout.is_some();
    match demand {
        demand if demand.clients() == 0 && demand.probes > 0 => Some("probe"),
        _ if state == CameraState::Idle => None,
        demand if demand.viewers > 0 => Some("viewers"),
        demand if demand.snapshots > 0 => Some("snapshots"),
        // Nobody needs it now. A lost camera that is probed waits for the next probe or client.
        _ if state == CameraState::Lost && has_timeout && camera.probe_interval.is_some() => None,
        _ => Some(if has_timeout { "idle_timeout" } else { "always" }),
    }
}

/// Returns whether the measured frame rate `fps` is out of date, because the camera has delivered no picture for too
/// long. `age` is the time since the newest picture was captured. The limit is three seconds plus the time of three
/// pictures at the rate `fps`.
fn is_stale(fps: f64, age: Option<Duration>) -> bool {
    age.is_some_and(|age| age.as_secs_f64() > 3.0 + 3.0 / fps)
}

fn server(about: &ServerAbout) -> ServerView {
    ServerView {
        version: env!("CARGO_PKG_VERSION"),
        codec: about.codec.to_string(),
        started_at: rfc3339(about.started_at),
        marks: about.has_marks,
    }
}

/// Returns a response whose content is `body` as JSON. In the JSON, characters that are invisible or reorder text are
/// escaped.
pub(super) fn json(body: impl Serialize) -> Response {
    let text = serde_json::to_string(&body).expect("plain structures have a JSON form");
    let head = [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")];
    (head, escape_hidden_json(&text).into_owned()).into_response()
}

/// Returns a response to a HEAD request, without `Content-Length`. For routes on which only a GET, which accesses a
/// device, could find out the length.
pub(super) fn without_length(content_type: &'static str) -> Response {
    let headers = [(header::CACHE_CONTROL, "no-store"), (header::CONTENT_TYPE, content_type)];
    (headers, Body::from_stream(stream::empty::<Result<Bytes, Infallible>>())).into_response()
}

/// Formats `time` in UTC with milliseconds (RFC 3339), such as `2026-11-23T14:03:22.250Z`.
pub(super) fn rfc3339(time: SystemTime) -> String {
    match jiff::Timestamp::try_from(time) {
        Ok(timestamp) => format!("{timestamp:.3}"),
        Err(_) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_devices_answered_is_told_for_ten_seconds() {
        let now = Instant::now();
        assert!(DeviceCache::default().fresh(now).is_none());
        let device_cache = DeviceCache(Some((now, Arc::default())));
        assert!(device_cache.fresh(now + Duration::from_millis(9_999)).is_some());
        assert!(device_cache.fresh(now + DEVICES_MAX_AGE).is_none());
    }
}
