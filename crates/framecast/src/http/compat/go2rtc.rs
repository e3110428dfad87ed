//! The paths of the camera server go2rtc, as in its source `internal/{api,mjpeg,mp4,streams}`.
//!
//! The parameter `src` is a camera's name. The real go2rtc also accepts the URL of any video source in this parameter,
//! and opens the source. Framecast refuses URLs.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;
use framecast_hub::{Feed, Rendition, SIDE_RANGE_PX};
use framecast_media::Codec;
use framecast_outputs::mjpeg::{Boundary, Framing, PartFormat};
use framecast_outputs::{HttpError, Peer, snapshot};
use serde::Serialize;
use utoipa::ToSchema;

use super::query::CompatQuery;
use super::{Compat, json, picture_answer};
use crate::http::find_camera;

/// The maximum of the parameter `cache`, which says how old a cached picture can be. A longer time is reduced to this
/// value, which is one day.
const MAX_CACHE: Duration = Duration::from_hours(24);

/// The maximum time that a request for a video stream waits for a camera that must first be opened.
const VIDEO_WAIT: Duration = Duration::from_secs(10);

/// The version of go2rtc whose API this is. Clients refuse versions before 1.9.5, and from 2.0.0 on.
const API_VERSION: &str = "1.9.14";

/// The paths of go2rtc that Framecast does not have.
pub(super) const MISSING: &[&str] = &[
    "/api/stream.m3u8",
    "/api/stream.ts",
    "/api/frame.mp4",
    "/api/webrtc",
    #[cfg(not(feature = "live"))]
    "/api/ws",
];

/// Returns the error for a path of [`MISSING`].
pub(super) async fn missing() -> HttpError {
    let message = "this server has no WebRTC, HLS and MPEG-TS. Use the modes mse and mjpeg of /api/ws, \
                   /api/stream.mp4 for H.264 and H.265, /api/stream.mjpeg or /api/frame.jpeg"
        .to_owned();
    HttpError { status: StatusCode::NOT_IMPLEMENTED, message }
}

/// The description of the server for programs.
#[derive(Serialize, ToSchema)]
pub(super) struct ApplicationInfo {
    /// The version of go2rtc whose API this is.
    version: &'static str,
    /// The program that answers, and its version.
    server: &'static str,
}

/// Handles `/api`: describes the server if the client is not a browser that wants a page.
pub(super) async fn application(request: Request, next: Next) -> Response {
    let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
    if !is_read || request.uri().path() != "/api" || wants_page(request.headers()) {
        return next.run(request).await;
    }
    let server = concat!("framecast/", env!("CARGO_PKG_VERSION"));
    json("application/json", &ApplicationInfo { version: API_VERSION, server })
}

/// Returns whether the client is a browser that opens an address.
fn wants_page(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT);
    accepted.iter().any(|value| value.to_str().is_ok_and(|value| value.contains("text/html")))
}

/// Handles `/api/frame.jpeg?src=&w=&h=&cache=10s`: responds with a single picture of the camera `src`.
pub(super) async fn frame(State(compat): State<Compat>, request: Request) -> Result<Response, HttpError> {
    let query = CompatQuery::parse(request.uri().query());
    let feed = source(&compat, &query)?;
    let cached = query.get("cache").and_then(|cache| humantime::parse_duration(cache).ok());
    let max_age = cached.map(|age| age.min(MAX_CACHE));
    let peer = Peer::from_extensions(request.extensions());
    let snapshot_request = snapshot::SnapshotRequest { max_age, rendition: rendition(&query)?, peer };
    let picture = compat.picture(&feed, snapshot_request, request.method()).await?;
    Ok(picture_answer(picture.as_ref(), &[("cache-control", "no-cache"), ("pragma", "no-cache")]))
}

/// Handles `/api/stream.mjpeg?src=&w=&h=`: responds with an MJPEG stream of the camera `src`. The multipart boundary is
/// `frame`, as in the streams on Framecast's own paths.
pub(super) async fn stream(State(compat): State<Compat>, request: Request) -> Result<Response, HttpError> {
    let query = CompatQuery::parse(request.uri().query());
    let feed = source(&compat, &query)?;
    let part_format =
        PartFormat { boundary: Boundary::Frame, framing: Framing::by_client(request.headers()) };
    compat.stream(&feed, rendition(&query)?, part_format, &request)
}

/// Handles `/api/stream.mp4?src=`: responds with the coded video of the camera `src` as fragmented MP4.
pub(super) async fn video(State(compat): State<Compat>, request: Request) -> Result<Response, HttpError> {
    let query = CompatQuery::parse(request.uri().query());
    let feed = source(&compat, &query)?;
    compat.streamer.respond_with_video(&feed, request, VIDEO_WAIT).await
}

/// Handles `/api/ws?src=`: opens the WebSocket of a player of the camera `src`. If there is no such camera, the player is
/// told so when it asks for pictures.
#[cfg(feature = "live")]
pub(super) async fn socket(State(compat): State<Compat>, request: Request) -> Result<Response, HttpError> {
    let query = CompatQuery::parse(request.uri().query());
    let camera = query.get("src").ok_or_else(no_source)?;
    Ok(compat.player_sockets.upgrade(camera, request))
}

/// Handles PUT of `/api/streams?name=&src=`. Clients add the streams that they want to use; a camera of this name exists
/// already, and stays as it is.
///
/// # Errors
/// 403 if there is no camera of this name.
pub(super) async fn add_stream(
    State(compat): State<Compat>,
    request: Request,
) -> Result<StatusCode, HttpError> {
    let query = CompatQuery::parse(request.uri().query());
    let name = query.get("name").or_else(|| query.get("src")).unwrap_or_default();
    match compat.cameras.get(name) {
        Some(_) => Ok(StatusCode::OK),
        None => {
            let known = HttpError::no_such_camera(name, compat.cameras.hub()).message;
            Err(forbidden(format!("{known}. Programs cannot add cameras: {CONFIGURED}")))
        }
    }
}

/// Handles the other requests that change the streams of a go2rtc.
pub(super) async fn refuse_change() -> HttpError {
    forbidden(format!("programs cannot change the cameras: {CONFIGURED}"))
}

const CONFIGURED: &str = "the server has those in its configuration";

fn forbidden(message: String) -> HttpError {
    HttpError { status: StatusCode::FORBIDDEN, message }
}

/// The description of a camera in go2rtc's format. The name of the camera's driver stands in place of the source's URL,
/// because the URL can contain secrets.
#[derive(Serialize, ToSchema)]
pub(super) struct StreamInfo {
    #[schema(value_type = Vec<ProducerInfo>)]
    producers: [ProducerInfo; 1],
    consumers: Vec<ConsumerInfo>,
}

#[derive(Serialize, ToSchema)]
struct ProducerInfo {
    url: String,
    #[schema(value_type = Vec<String>)]
    medias: [String; 1],
}

#[derive(Serialize, ToSchema)]
struct ConsumerInfo {
    format_name: &'static str,
    bytes_send: u64,
}

/// Handles `/api/streams`: describes the camera that `?src=` names, or all cameras if there is no `?src=`.
pub(super) async fn streams(State(compat): State<Compat>, request: Request) -> Result<Response, HttpError> {
    let query = CompatQuery::parse(request.uri().query());
    let viewers = compat.viewers.list();
    let described = |feed: &Arc<Feed>, driver: &str| StreamInfo {
        producers: [ProducerInfo { url: format!("{driver}:"), medias: [media(feed)] }],
        consumers: viewers
            .iter()
            .filter(|record| Arc::ptr_eq(record.feed(), feed))
            .map(|record| ConsumerInfo {
                format_name: record.transport().as_str(),
                bytes_send: record.bytes(),
            })
            .collect(),
    };
    let cameras = compat.cameras.list();
    let mut all: BTreeMap<&str, StreamInfo> = cameras
        .iter()
        .map(|camera| (camera.feed.name(), described(&camera.feed, camera.settings.source.scheme())))
        .collect();
    if query.get("src").is_some() {
        let feed = source(&compat, &query)?;
        return Ok(json("application/json", &all.remove(feed.name())));
    }
    Ok(json("application/json", &all))
}

/// Describes what the camera delivers, as far as that is known, in go2rtc's format.
fn media(feed: &Feed) -> String {
    let coded = feed.source_channel().newest().map(|frame| frame.format.codec);
    let codec = match coded {
        Some(Codec::H264) => "H264",
        Some(Codec::H265) => "H265",
        _ => "JPEG",
    };
    format!("video, recvonly, {codec}")
}

fn no_source() -> HttpError {
    let message = "`src` is missing; it must be the name of a camera".to_owned();
    HttpError { status: StatusCode::NOT_FOUND, message }
}

fn source(compat: &Compat, query: &CompatQuery) -> Result<Arc<Feed>, HttpError> {
    match query.get("src") {
        Some(name) => Ok(Arc::clone(&find_camera(&compat.cameras, name)?.feed)),
        None => Err(no_source()),
    }
}

/// Returns the rendition (size of the pictures) that the request's parameters `w` or `width`, and `h` or `height`, ask
/// for.
fn rendition(query: &CompatQuery) -> Result<Rendition, HttpError> {
    let mut rendition = Rendition::default();
    if let Some(width) = side(query, ["w", "width"])? {
        rendition = rendition.with_width(width);
    }
    if let Some(height) = side(query, ["h", "height"])? {
        rendition = rendition.with_height(height);
    }
    Ok(rendition)
}

fn side(query: &CompatQuery, names: [&str; 2]) -> Result<Option<u32>, HttpError> {
    let Some((name, text)) = names.iter().find_map(|name| Some((*name, query.get(name)?))) else {
        return Ok(None);
    };
    match text.parse() {
        Ok(value) if SIDE_RANGE_PX.contains(&value) => Ok(Some(value)),
        _ => {
            let expected =
                format!("must be pixels from {} to {}", SIDE_RANGE_PX.start(), SIDE_RANGE_PX.end());
            Err(HttpError::bad_parameter(name, text, &expected))
        }
    }
}
