//! go2rtc's `/api/frame.jpeg`, `/api/stream.mjpeg` and `/api/streams` (`internal/mjpeg` and `internal/streams` there).
//!
//! `src` is a camera's name. go2rtc would also open a source's URL; Framecast refuses one.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use framecast_hub::{Feed, Rendition, SIDE_PX};
use framecast_outputs::mjpeg::{Boundary, Framing, Style};
use framecast_outputs::{Peer, Refusal, snapshot};
use serde::Serialize;

use super::query::Query;
use super::{DropIn, json, picture_answer};

/// The longest `cache=`: a day. A longer one is cut to it.
const MAX_CACHE: Duration = Duration::from_hours(24);

/// go2rtc's paths for coded video.
pub(super) const NO_VIDEO: &[&str] =
    &["/api/stream.mp4", "/api/stream.m3u8", "/api/stream.ts", "/api/frame.mp4", "/api/webrtc", "/api/ws"];

/// `/api/frame.jpeg?src=&w=&h=&cache=10s`.
pub(super) async fn frame(State(drop_in): State<DropIn>, request: Request) -> Result<Response, Refusal> {
    let query = Query::parse(request.uri().query());
    let feed = source(&drop_in, &query)?;
    let cached = query.get("cache").and_then(|cache| humantime::parse_duration(cache).ok());
    let max_age = cached.map(|age| age.min(MAX_CACHE));
    let peer = Peer::of(request.extensions());
    let wish = snapshot::Wish { max_age, rendition: rendition(&query)?, peer };
    let picture = drop_in.picture(&feed, wish, request.method()).await?;
    Ok(picture_answer(picture.as_ref(), &[("cache-control", "no-cache"), ("pragma", "no-cache")]))
}

/// `/api/stream.mjpeg?src=&w=&h=`; its boundary is `frame`, as in our own streams.
pub(super) async fn stream(State(drop_in): State<DropIn>, request: Request) -> Result<Response, Refusal> {
    let query = Query::parse(request.uri().query());
    let feed = source(&drop_in, &query)?;
    let style = Style { boundary: Boundary::Frame, framing: Framing::by_client(request.headers()) };
    drop_in.stream(&feed, rendition(&query)?, style, &request)
}

/// A camera in go2rtc's form. The driver's name replaces the source's URL, which may contain secrets.
#[derive(Serialize)]
struct Stream {
    producers: [Producer; 1],
    consumers: Vec<Consumer>,
}

#[derive(Serialize)]
struct Producer {
    url: String,
    medias: [&'static str; 1],
}

#[derive(Serialize)]
struct Consumer {
    format_name: &'static str,
    bytes_send: u64,
}

/// `/api/streams`, or with `?src=` one of them.
pub(super) async fn streams(State(drop_in): State<DropIn>, request: Request) -> Result<Response, Refusal> {
    let query = Query::parse(request.uri().query());
    let viewers = drop_in.context.viewers.list();
    let described = |feed: &Arc<Feed>, driver: &str| Stream {
        producers: [Producer { url: format!("{driver}:"), medias: ["video, recvonly, JPEG"] }],
        consumers: viewers
            .iter()
            .filter(|record| Arc::ptr_eq(record.feed(), feed))
            .map(|record| Consumer { format_name: "mjpeg", bytes_send: record.bytes() })
            .collect(),
    };
    let cameras = drop_in.context.cameras.iter();
    let mut all: BTreeMap<&str, Stream> = cameras
        .map(|camera| (camera.feed.name(), described(&camera.feed, camera.settings.source.scheme())))
        .collect();
    if query.get("src").is_some() {
        let feed = source(&drop_in, &query)?;
        return Ok(json("application/json", &all.remove(feed.name())));
    }
    Ok(json("application/json", &all))
}

fn source(drop_in: &DropIn, query: &Query) -> Result<Arc<Feed>, Refusal> {
    match query.get("src") {
        Some(name) => Ok(Arc::clone(&drop_in.context.camera(name)?.feed)),
        None => {
            let message = "src= is missing: the name of a camera".to_owned();
            Err(Refusal { status: StatusCode::NOT_FOUND, message })
        }
    }
}

/// The rendition for `w` or `width` and `h` or `height`.
fn rendition(query: &Query) -> Result<Rendition, Refusal> {
    let mut rendition = Rendition::default();
    if let Some(width) = side(query, ["w", "width"])? {
        rendition = rendition.with_width(width);
    }
    if let Some(height) = side(query, ["h", "height"])? {
        rendition = rendition.with_height(height);
    }
    Ok(rendition)
}

fn side(query: &Query, names: [&str; 2]) -> Result<Option<u32>, Refusal> {
    let Some((name, text)) = names.iter().find_map(|name| Some((*name, query.get(name)?))) else {
        return Ok(None);
    };
    match text.parse() {
        Ok(value) if SIDE_PX.contains(&value) => Ok(Some(value)),
        _ => {
            let expected = format!("must be pixels from {} to {}", SIDE_PX.start(), SIDE_PX.end());
            Err(Refusal::bad_parameter(name, text, &expected))
        }
    }
}
