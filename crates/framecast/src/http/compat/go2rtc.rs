//! The paths `/api/frame.jpeg`, `/api/stream.mjpeg` and `/api/streams` of the camera server go2rtc, as in the source
//! `internal/mjpeg` and `internal/streams` of go2rtc.
//!
//! The parameter `src` is a camera's name. The real go2rtc also accepts the URL of any video source in this parameter,
//! and opens the source. Framecast refuses URLs.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use framecast_hub::{Feed, Rendition, SIDE_RANGE_PX};
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

/// The paths on which the camera server go2rtc offers encoded video. Framecast offers no encoded video, and responds to
/// these paths with an error.
pub(super) const NO_VIDEO: &[&str] =
    &["/api/stream.mp4", "/api/stream.m3u8", "/api/stream.ts", "/api/frame.mp4", "/api/webrtc", "/api/ws"];

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
    medias: [&'static str; 1],
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
        producers: [ProducerInfo { url: format!("{driver}:"), medias: ["video, recvonly, JPEG"] }],
        consumers: viewers
            .iter()
            .filter(|record| Arc::ptr_eq(record.feed(), feed))
            .map(|record| ConsumerInfo { format_name: "mjpeg", bytes_send: record.bytes() })
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

fn source(compat: &Compat, query: &CompatQuery) -> Result<Arc<Feed>, HttpError> {
    match query.get("src") {
        Some(name) => Ok(Arc::clone(&find_camera(&compat.cameras, name)?.feed)),
        None => {
            let message = "`src` is missing; it must be the name of a camera".to_owned();
            Err(HttpError { status: StatusCode::NOT_FOUND, message })
        }
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
