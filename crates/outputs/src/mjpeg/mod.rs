//! MJPEG over HTTP: `multipart/x-mixed-replace` for `<img>`, players and scripts.
//!
//! [`Streamer::respond`] creates a `StreamBody` for each request. Its multipart parts come from the `Packer`, which
//! packs each frame once for all viewers. A `VideoStream` of fragmented MP4 is sent in the same way. [`routes`] maps the
//! paths of this server to cameras. The paths that imitate other streaming programs are mapped elsewhere.

mod body;
mod client_stream;
mod framing;
mod handover;
mod limit_response;
mod pacer;
mod packer;
mod part;
mod part_format;
mod part_stream;
#[cfg(test)]
mod tests;
mod video_stream;
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
use framecast_hub::{Delivery, DemandKind, Feed, Hub, Rendition, Subscriber};
use tokio_util::sync::CancellationToken;

pub use framing::Framing;
pub use handover::{Departure, hand_over};
pub use part_format::{Boundary, PartFormat};

#[cfg(target_os = "linux")]
use crate::Hijack;
use crate::opened_video::{self, NoVideo};
use crate::video_packer::VideoPackers;
use crate::{
    HttpError, LimitReached, NO_STORE, Peer, Transport, ViewerStats, Viewers, client_key, error_picture,
    query_flag, rendition,
};
use body::StreamBody;
use client_stream::ClientStream;
use packer::Packers;
use part_stream::PartStream;
use video_stream::VideoStream;

/// The configuration of all multipart streams.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The time without a new picture after which the stream sends the last picture again. Some browsers show a
    /// multipart part only when more data follows, so the second copy makes them show the first. Sending it also
    /// reveals a dead connection.
    pub resend_after: Duration,
    /// The time after which a writer thread closes the connection of a viewer that takes none of the bytes sent to it.
    /// A connection that stays with the HTTP server is closed by the HTTP server's own timeout. For such a connection,
    /// this value only decides whether the viewer's end is reported as `stalled` or as `left`.
    pub write_timeout: Duration,
    /// The number of threads that write to the connections that the HTTP server handed over; `None` for one per core.
    pub writer_threads: Option<NonZeroUsize>,
}

impl Default for Config {
    fn default() -> Self {
        // A second, plus a margin so that the pictures of a camera with one picture a second are not sent twice.
        let resend_after = Duration::from_millis(1100);
        Self { resend_after, write_timeout: Duration::from_secs(10), writer_threads: None }
    }
}

/// A client's request for a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamRequest {
    /// The boundary text and the framing of the stream's parts.
    pub part_format: PartFormat,
    /// The size, quality and frame rate of the pictures.
    pub rendition: Rendition,
    /// The minimum time between two pictures; zero for no limit.
    pub interval: Duration,
    /// Whether to send smaller pictures if the link is too slow for the requested size.
    pub adapt: bool,
}

impl StreamRequest {
    /// Returns the maximum number of pictures a second that `interval` allows.
    fn max_fps(&self) -> f64 {
        // A zero interval gives infinity: no limit.
        1.0 / self.interval.as_secs_f64()
    }
}

/// The output for all multipart streams, on every path. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Streamer(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    config: Config,
    packers: Packers,
    video_packers: VideoPackers,
    viewers: Viewers,
    shutdown: CancellationToken,
    limit_responses: limit_response::LimitResponses,
    #[cfg(target_os = "linux")]
    writer_pool: Arc<writer_pool::WriterPool>,
}

impl Streamer {
    /// Creates a streamer that registers its viewers in `viewers`. All streams end when `shutdown` is cancelled.
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
            video_packers: VideoPackers::default(),
            viewers,
            shutdown,
            limit_responses,
            #[cfg(target_os = "linux")]
            writer_pool,
        }))
    }

    /// Responds to `request` with a stream of `feed`: the head, then parts until the client leaves. On success the
    /// response's extensions contain the viewer's [`ViewerStats`], as an [`Arc`].
    ///
    /// If a limit on viewers is reached, a client that wants pictures gets a 503 response with a picture of the
    /// refusal.
    ///
    /// If the limit on renditions (sizes, qualities and frame rates that are encoded at once) is reached, a client that
    /// wants pictures gets the nearest rendition that already exists, or else the camera's own pictures.
    ///
    /// # Errors
    /// If the request is refused for another reason, or if the client does not want pictures.
    pub fn respond(
        &self,
        feed: &Arc<Feed>,
        stream_request: StreamRequest,
        request: &Request,
    ) -> Result<Response, HttpError> {
        let inner = &self.0;
        // This packer only gives the content type. The stream gets its packer once it has its channel.
        let content_type = inner
            .packers
            .get_or_create(feed.id(), stream_request.rendition, stream_request.part_format.boundary)
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
            self.send(parts.into(), request)
        };
        Ok(stream_response(body, content_type, stats, request))
    }

    /// Responds to `request` with the coded video of `feed` as fragmented MP4, until the client leaves or the camera is
    /// lost. Opens the camera if needed, and waits at most `wait` until it shows video. On success the response's
    /// extensions contain the viewer's [`ViewerStats`], as an [`Arc`].
    ///
    /// # Errors
    /// If a limit on viewers is reached, if the camera delivers no coded video, or none in time.
    pub async fn respond_with_video(
        &self,
        feed: &Arc<Feed>,
        request: Request,
        wait: Duration,
    ) -> Result<Response, HttpError> {
        let content_type = HeaderValue::from_static("video/mp4");
        // A HEAD request must not open the camera.
        if request.method() == Method::HEAD {
            return Ok(stream_response(crate::unknown_length_body(), content_type, None, &request));
        }
        let inner = &self.0;
        let peer = Peer::from_extensions(request.extensions());
        let viewer = inner.viewers.admit(feed, peer, Transport::Mp4);
        let viewer = viewer.map_err(|limit_reached| HttpError::limit_reached(&limit_reached))?;
        let demand = feed.demand(DemandKind::Viewer);
        let format = opened_video::wait_for_format(feed, wait).await;
        let format = format.map_err(|reason| reason.into_http_error(feed))?;
        let packer = inner.video_packers.get_or_create(feed.id());
        let init = packer.init(&format);
        let init = init.map_err(|error| NoVideo::unsuitable(feed, &error).into_http_error(feed))?;
        let stats = Some(Arc::clone(viewer.stats()));
        let stream = VideoStream::new(packer, init, viewer, demand);
        let body = self.send(ClientStream::Video(Box::new(stream)), &request);
        Ok(stream_response(body, content_type, stats, &request))
    }

    /// Responds to `request` when a limit on viewers of `feed` is reached. The response shows the refusal as a picture.
    ///
    /// # Errors
    /// The refusal as text, if the client does not want pictures, or if the picture cannot be drawn.
    pub fn respond_limit_reached(
        &self,
        limit_reached: &LimitReached,
        feed: &Feed,
        request: &Request,
    ) -> Result<Response, HttpError> {
        self.0.limit_responses.respond(limit_reached, feed.name(), request.headers())
    }
}

/// Creates the response to `request` with an endless `body`. `stats` are the statistics of its viewer.
fn stream_response(
    body: Body,
    content_type: HeaderValue,
    stats: Option<Arc<ViewerStats>>,
    request: &Request,
) -> Response {
    let mut response = Response::new(body);
    if let Some(stats) = stats {
        response.extensions_mut().insert::<Arc<ViewerStats>>(stats);
    }
    // An HTTP/1.0 response ends with the connection and has no chunk headers between the parts, which old clients
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
    response
}

/// Subscribes to `feed` at `rendition`. If the limit on renditions is reached, and the client is an `<img>` or the like
/// that cannot show an error text, subscribes to an existing rendition instead. Returns the rendition and the
/// subscriber.
fn watch(
    feed: &Feed,
    rendition: Rendition,
    peer: Option<IpAddr>,
    request: &Request,
) -> Result<(Rendition, Subscriber), HttpError> {
    let watch = |rendition| {
        let demand = Some(feed.demand(DemandKind::Viewer));
        feed.watch_from(peer.map(client_key), rendition, Delivery::Latest, demand)
    };
    let error = match watch(rendition) {
        Ok(subscriber) => return Ok((rendition, subscriber)),
        Err(error) => error,
    };
    if !error_picture::is_wanted(request.headers()) {
        return Err(HttpError::too_many_renditions(error));
    }
    let nearest = rendition::nearest(&error.watched, rendition);
    // An existing rendition might be gone by now, and another rendition might have taken its place. The camera's own
    // pictures are always there.
    [nearest, Rendition::default()]
        .into_iter()
        .find_map(|rendition| Some((rendition, watch(rendition).ok()?)))
        .ok_or_else(|| HttpError::too_many_renditions(error))
}

impl Streamer {
    /// Arranges that `stream` is sent to the client, and returns the response body. If the HTTP server can hand over
    /// the socket, the body is empty, and a writer thread sends the stream after the response head. Otherwise the body
    /// is the stream.
    fn send(&self, stream: ClientStream, request: &Request) -> Body {
        #[cfg(target_os = "linux")]
        if let Some(hijack) = request.extensions().get::<Hijack>() {
            let writer_pool = Arc::clone(&self.0.writer_pool);
            // If no writer takes the viewer, its connection is closed, and the client will ask again.
            hijack.set_handler(move |hijacked| drop(writer_pool.join(stream, hijacked)));
            return crate::unknown_length_body();
        }
        #[cfg(not(target_os = "linux"))]
        let _ = request;
        StreamBody::new(stream, self.0.config.write_timeout).into_body(self.0.shutdown.clone())
    }
}

#[derive(Clone)]
struct Streams {
    hub: Hub,
    streamer: Streamer,
}

/// Returns the routes `/video_feed` (the default camera) and `/cameras/{name}/stream.mjpg`. The parameters `?width=`,
/// `?height=`, `?quality=` and `?fps=` select the size, quality and frame rate. `?adapt` allows smaller pictures on a
/// slow link, and `?advance_headers=` decides whether the headers of each part are sent in advance.
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
