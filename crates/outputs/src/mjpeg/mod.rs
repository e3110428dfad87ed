//! MJPEG over HTTP: `multipart/x-mixed-replace` for `<img>`, players and scripts.
//!
//! `routes` → a `Viewer` per request → parts from the `Packer`, which packs each
//! frame once for all viewers.

mod framing;
mod packer;
#[cfg(test)]
mod tests;
mod viewer;

use std::time::Duration;

use axum::Router;
use axum::extract::{Path, RawQuery, Request, State};
use axum::http::{HeaderName, HeaderValue, Method, Version, header};
use axum::response::Response;
use axum::routing::get;
use framecast_hub::{Delivery, Feed, Hub};
use tokio_util::sync::CancellationToken;

pub use framing::Framing;

use crate::{NO_STORE, Refusal, rendition};
use packer::Packers;
use viewer::Viewer;

/// How streams are sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// When nothing new has come for this long, the last picture is sent again: a browser that shows a part only
    /// when more follows then shows it, and a dead connection is found.
    pub resend_after: Duration,
}

impl Default for Config {
    fn default() -> Self {
        // A second, and enough more that a camera of one picture a second is not sent double.
        Self { resend_after: Duration::from_millis(1100) }
    }
}

#[derive(Clone)]
struct Streams {
    hub: Hub,
    config: Config,
    packers: Packers,
    shutdown: CancellationToken,
}

/// `/video_feed` (the default camera) and `/cameras/{name}/stream.mjpg`, with `?width=`, `?height=`, `?quality=` and
/// `?fps=` for a rendition, and `?advance_headers=`. Streams end when `shutdown` is cancelled.
pub fn routes(hub: Hub, config: Config, shutdown: CancellationToken) -> Router {
    let streams = Streams { hub, config, packers: Packers::default(), shutdown };
    Router::new()
        .route("/video_feed", get(default_camera).options(crate::options))
        .route("/cameras/{name}/stream.mjpg", get(named_camera).options(crate::options))
        .with_state(streams)
}

async fn default_camera(
    State(streams): State<Streams>,
    RawQuery(query): RawQuery,
    request: Request,
) -> Result<Response, Refusal> {
    let feed = streams.hub.first().ok_or_else(Refusal::no_camera)?;
    streams.respond(&feed, query.as_deref(), &request)
}

async fn named_camera(
    State(streams): State<Streams>,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
    request: Request,
) -> Result<Response, Refusal> {
    let feed = streams.hub.get(&name).ok_or_else(|| Refusal::no_such_camera(&name, &streams.hub))?;
    streams.respond(&feed, query.as_deref(), &request)
}

impl Streams {
    fn respond(&self, feed: &Feed, query: Option<&str>, request: &Request) -> Result<Response, Refusal> {
        let query = query.unwrap_or_default();
        let framing = Framing::choose(request.headers(), query)?;
        let (rendition, fps) = rendition::stream(query, feed)?;
        let interval = fps.map(|fps| Duration::from_secs_f64(1.0 / fps)).unwrap_or_default();
        let packer = self.packers.of(feed.name(), rendition);
        let content_type = packer.content_type();
        // A HEAD request must not open the camera.
        let body = if request.method() == Method::HEAD {
            crate::unknown_length()
        } else {
            let subscriber = feed.watch(rendition, Delivery::Latest).map_err(Refusal::too_many_renditions)?;
            Viewer::new(subscriber, packer, framing, interval, self.config.resend_after)
                .into_body(self.shutdown.clone())
        };
        let mut response = Response::new(body);
        // Answered as HTTP/1.0 the body ends with the connection: no chunk headers between the parts, over which old
        // clients stumble.
        if request.version() <= Version::HTTP_11 {
            *response.version_mut() = Version::HTTP_10;
        }
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, content_type);
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(NO_STORE));
        headers.insert(header::PRAGMA, HeaderValue::from_static("no-cache"));
        // Without it nginx collects parts in its buffers before it passes them on.
        headers.insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
        Ok(response)
    }
}
