//! MJPEG over HTTP: `multipart/x-mixed-replace` for `<img>`, players and scripts.
//!
//! [`Streamer::respond`] → a `StreamBody` per request → parts from the `Packer`, which packs each frame once for all viewers.
//! [`routes`] maps our own paths to cameras; those of other programs are mapped elsewhere.

mod body;
#[cfg(target_os = "linux")]
mod flow_control;
mod framing;
mod ladder;
mod limit_response;
mod pacer;
mod packer;
mod part_format;
mod part_stream;
#[cfg(test)]
mod tests;
#[cfg(target_os = "linux")]
mod writer_pool;

use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, RawQuery, Request, State};
use axum::http::{HeaderName, HeaderValue, Method, Version, header};
use axum::response::Response;
use axum::routing::get;
use framecast_hub::{Delivery, Feed, Hub, Rendition, Subscriber};
use tokio_util::sync::CancellationToken;

pub use framing::Framing;
pub use part_format::{Boundary, PartFormat};

#[cfg(target_os = "linux")]
use crate::Hijack;
use crate::{
    HttpError, LimitReached, NO_STORE, Peer, Transport, ViewerStats, Viewers, client_key, error_picture,
    query_flag, rendition,
};
use body::StreamBody;
use packer::Packers;
use part_stream::PartStream;

/// How streams are sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// When nothing new has come for this long, the stream sends the last picture again. A browser that shows a part
    /// only when more data follows then shows it, and a dead connection is noticed.
    pub resend_after: Duration,
    /// How long a viewer may take none of the bytes that were sent to it. If a connection was not handed over, its
    /// server closes it; there, this value only tells a viewer that stalled from one that left.
    pub write_timeout: Duration,
    /// The number of threads that write to handed-over connections; `None` for one per core.
    pub writer_threads: Option<NonZeroUsize>,
}

impl Default for Config {
    fn default() -> Self {
        // A second, plus a margin so that a camera with one picture a second is not sent twice.
        let resend_after = Duration::from_millis(1100);
        Self { resend_after, write_timeout: Duration::from_secs(10), writer_threads: None }
    }
}

/// What a client requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamRequest {
    /// How parts are written.
    pub part_format: PartFormat,
    /// Which pictures to send.
    pub rendition: Rendition,
    /// The least time between two pictures; zero for no limit.
    pub interval: Duration,
    /// Whether to send a smaller rendition if the link cannot carry this one.
    pub adapt: bool,
}

impl StreamRequest {
    /// The most pictures a second at this interval.
    fn max_fps(&self) -> f64 {
        // A zero interval gives infinity: no limit.
        1.0 / self.interval.as_secs_f64()
    }
}

/// Serves all streams of parts, for every path. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Streamer(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    config: Config,
    packers: Packers,
    viewers: Viewers,
    shutdown: CancellationToken,
    limit_responses: limit_response::LimitResponses,
    #[cfg(target_os = "linux")]
    writer_pool: Arc<writer_pool::WriterPool>,
}

impl Streamer {
    /// An output whose viewers `viewers` admits. All streams end when `shutdown` is cancelled.
    pub fn new(config: Config, viewers: Viewers, shutdown: CancellationToken) -> Self {
        let (packers, limit_responses) = (Packers::default(), limit_response::LimitResponses::default());
        #[cfg(target_os = "linux")]
        let writer_pool = {
            let writer_config =
                writer_pool::WriterConfig { write_timeout: config.write_timeout, shutdown: shutdown.clone() };
            Arc::new(writer_pool::WriterPool::new(config.writer_threads, writer_config))
        };
        Self(Arc::new(Inner {
            config,
            packers,
            viewers,
            shutdown,
            limit_responses,
            #[cfg(target_os = "linux")]
            writer_pool,
        }))
    }

    /// The answer to `request` for a stream of `feed`: the head, then parts until the client leaves.
    ///
    /// If a viewer limit is reached, the answer is 503; a client that wants pictures gets it as a picture. If a
    /// rendition limit is reached, such a client gets the nearest rendition that already exists, or else the camera's
    /// own pictures. On success the viewer's [`ViewerStats`] is in the answer's extensions, as an [`Arc`].
    ///
    /// # Errors
    /// All other refusals.
    pub fn respond(
        &self,
        feed: &Arc<Feed>,
        stream_request: StreamRequest,
        request: &Request,
    ) -> Result<Response, HttpError> {
        let inner = &self.0;
        // Only for the content type: the viewer finds its packer once it has its channel.
        let content_type = inner
            .packers
            .get_or_create(feed.name(), stream_request.rendition, stream_request.part_format.boundary)
            .content_type();
        let mut stats = None;
        // A HEAD request must not open the camera.
        let body = if request.method() == Method::HEAD {
            crate::unknown_length_body()
        } else {
            let peer = Peer::from_extensions(request.extensions());
            let viewer = match inner.viewers.admit(feed, peer, Transport::Mjpeg) {
                Ok(viewer) => viewer,
                Err(limit_reached) => return self.respond_limit_reached(&limit_reached, feed, request),
            };
            let (rendition, subscriber) = watch(feed, stream_request.rendition, peer, request)?;
            let stream_request = StreamRequest { rendition, ..stream_request };
            viewer.set_rendition(rendition);
            stats = Some(Arc::clone(viewer.stats()));
            let resend_after = inner.config.resend_after;
            let parts = PartStream::new(subscriber, &inner.packers, viewer, stream_request, resend_after);
            self.send(parts, request)
        };
        let mut response = Response::new(body);
        if let Some(stats) = stats {
            response.extensions_mut().insert::<Arc<ViewerStats>>(stats);
        }
        // An HTTP/1.0 answer ends with the connection and has no chunk headers between the parts, which old clients
        // cannot parse.
        if request.version() <= Version::HTTP_11 {
            *response.version_mut() = Version::HTTP_10;
        }
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, content_type);
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(NO_STORE));
        headers.insert(header::PRAGMA, HeaderValue::from_static("no-cache"));
        // Without this header nginx buffers parts before it passes them on.
        headers.insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
        Ok(response)
    }

    /// The answer to `request` when a viewer limit of `feed` is reached.
    ///
    /// # Errors
    /// The answer for a client that wants no picture.
    pub fn respond_limit_reached(
        &self,
        limit_reached: &LimitReached,
        feed: &Feed,
        request: &Request,
    ) -> Result<Response, HttpError> {
        self.0.limit_responses.respond(limit_reached, feed.name(), request.headers())
    }
}

/// A cursor of `feed` at `rendition`. If the client cannot show text and the limit is reached, a cursor at a
/// substitute.
fn watch(
    feed: &Feed,
    rendition: Rendition,
    peer: Option<IpAddr>,
    request: &Request,
) -> Result<(Rendition, Subscriber), HttpError> {
    let watch = |rendition| feed.watch_from(peer.map(client_key), rendition, Delivery::Latest);
    let error = match watch(rendition) {
        Ok(subscriber) => return Ok((rendition, subscriber)),
        Err(error) => error,
    };
    if !error_picture::is_wanted(request.headers()) {
        return Err(HttpError::too_many_renditions(error));
    }
    let nearest = rendition::nearest(&error.watched, rendition);
    // An existing rendition may be gone by now, and its slot taken. The camera's own pictures are always there.
    [nearest, Rendition::default()]
        .into_iter()
        .find_map(|rendition| Some((rendition, watch(rendition).ok()?)))
        .ok_or_else(|| HttpError::too_many_renditions(error))
}

impl Streamer {
    /// The body that carries `stream`. If the socket can be handed over, the body is empty, and a writer sends the
    /// stream once the head is sent.
    fn send(&self, stream: PartStream, request: &Request) -> Body {
        #[cfg(target_os = "linux")]
        if let Some(hijack) = request.extensions().get::<Hijack>() {
            let writer_pool = Arc::clone(&self.0.writer_pool);
            // If no writer takes the viewer, its connection is closed, and the client will ask again.
            hijack.set_handler(move |hijacked| drop(writer_pool.join(stream, hijacked)));
            return crate::unknown_length_body();
        }
        StreamBody::new(stream, self.0.config.write_timeout).into_body(self.0.shutdown.clone())
    }
}

#[derive(Clone)]
struct Streams {
    hub: Hub,
    streamer: Streamer,
}

/// `/video_feed` (the default camera) and `/cameras/{name}/stream.mjpg`, with `?width=`, `?height=`, `?quality=` and
/// `?fps=` for a rendition, `?adapt` for smaller ones on a narrow link, and `?advance_headers=`.
pub fn routes(hub: Hub, streamer: Streamer) -> Router {
    Router::new()
        .route("/video_feed", get(default_camera).options(crate::options))
        .route("/cameras/{name}/stream.mjpg", get(named_camera).options(crate::options))
        .with_state(Streams { hub, streamer })
}

async fn default_camera(
    State(streams): State<Streams>,
    RawQuery(query): RawQuery,
    request: Request,
) -> Result<Response, HttpError> {
    let feed = streams.hub.first().ok_or_else(HttpError::no_camera)?;
    streams.respond(&feed, query.as_deref(), &request)
}

async fn named_camera(
    State(streams): State<Streams>,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
    request: Request,
) -> Result<Response, HttpError> {
    let feed = streams.hub.get(&name).ok_or_else(|| HttpError::no_such_camera(&name, &streams.hub))?;
    streams.respond(&feed, query.as_deref(), &request)
}

impl Streams {
    fn respond(
        &self,
        feed: &Arc<Feed>,
        query: Option<&str>,
        request: &Request,
    ) -> Result<Response, HttpError> {
        let query = query.unwrap_or_default();
        let framing = Framing::choose(request.headers(), query)?;
        let (rendition, fps) = rendition::parse_with_fps(query, feed)?;
        let interval = fps.map(|fps| Duration::from_secs_f64(1.0 / fps)).unwrap_or_default();
        let adapt = query_flag(query, "adapt")?.unwrap_or_default();
        let part_format = PartFormat { boundary: Boundary::Frame, framing };
        self.streamer.respond(feed, StreamRequest { part_format, rendition, interval, adapt }, request)
    }
}
