//! The HTTP paths of the camera servers uStreamer, mjpg-streamer, camera-streamer, Motion and go2rtc, so that clients
//! of these servers work with Framecast unchanged.
//!
//! [`routes`] lists all these paths. Most of the streams are made by [`mjpeg::Streamer`], as on Framecast's own paths,
//! and only the response headers differ. None of these paths equals a path of Framecast's own. None is below
//! `/cameras/`, so a camera can have any name. `docs/compat.md` lists the differences between Framecast and these
//! servers, with reasons.

mod camera_streamer;
mod command;
mod describe;
mod extra_header_stream;
mod go2rtc;
mod mjpg_streamer;
mod motion;
mod query;
mod stream_client;
mod ustreamer;
mod ustreamer_header;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use framecast_hub::{Feed, Rendition, Update};
use framecast_media::container::multipart::format_unix_seconds;
use framecast_media::escape_hidden_json;
#[cfg(feature = "live")]
use framecast_outputs::go2rtc::PlayerSockets;
use framecast_outputs::{HttpError, Viewers, mjpeg, snapshot};
use tokio_util::sync::CancellationToken;

use super::cors::Origins;
use super::find_camera;
#[cfg(feature = "live")]
use super::guard;
use super::openapi::{RouteTable, Routes};
use crate::camera::Camera;
use crate::camera_table::CameraTable;
use crate::config::Settings;
pub(super) use describe::{api as describe_api, index as describe_index};
use query::CompatQuery;
use stream_client::StreamClients;

/// The value of the header `Expires` that the camera servers mjpg-streamer and uStreamer send with live pictures, a
/// date in the past.
const EXPIRES: &str = "Mon, 3 Jan 2000 12:34:56 GMT";

/// The state that the handlers of the compat paths (the paths of other camera servers) share.
#[derive(Clone)]
pub(super) struct Compat {
    cameras: CameraTable,
    viewers: Viewers,
    write_timeout: Duration,
    streamer: mjpeg::Streamer,
    /// The viewers on `/stream`, a path that imitates the camera server uStreamer, each with the options that it
    /// requested.
    clients: StreamClients,
    /// The other sites whose pages are allowed to set camera controls, and to open a WebSocket.
    origins: Arc<Origins>,
    /// Serves the WebSockets of go2rtc's players.
    #[cfg(feature = "live")]
    player_sockets: PlayerSockets,
    shutdown: CancellationToken,
}

/// Returns the routes for all compat paths (the paths of other camera servers) except `/?action=` and go2rtc's `/api`,
/// which [`with_page_paths`] adds.
pub(super) fn routes(compat: &Compat) -> Routes {
    let mut routes = RouteTable::new()
        // uStreamer; POST is mjpg-streamer's.
        .get("/stream", ustreamer::stream, describe::ustreamer_stream)
        .post("/stream", mjpg_streamer::stream, describe::mjpg_streamer_stream)
        .get("/snapshot", ustreamer::snapshot, describe::ustreamer_snapshot)
        .get("/state", ustreamer::state, describe::ustreamer_state)
        // mjpg-streamer; the path with a number is below.
        .get("/program.json", mjpg_streamer::program, describe::program)
        .get("/input.json", mjpg_streamer::first_input, describe::first_input)
        .get("/output.json", mjpg_streamer::output, describe::output)
        .get("/output_0.json", mjpg_streamer::output, describe::output)
        // camera-streamer, which also has /stream, /snapshot and /?action=; /snapshot.jpg is ours.
        .get("/status", camera_streamer::status, describe::camera_streamer_status)
        .get("/option", camera_streamer::option, describe::option)
        .post("/option", camera_streamer::option, describe::option)
        .get("/control", camera_streamer::control, describe::control)
        // go2rtc.
        .get("/api/frame.jpeg", go2rtc::frame, describe::go2rtc_frame)
        .get("/api/stream.mjpeg", go2rtc::stream, describe::go2rtc_stream)
        .get("/api/stream.mp4", go2rtc::video, describe::go2rtc_mp4)
        .get("/api/streams", go2rtc::streams, describe::go2rtc_streams)
        .put("/api/streams", go2rtc::add_stream, describe::go2rtc_add_stream)
        .post("/api/streams", go2rtc::refuse_change, describe::go2rtc_change)
        .patch("/api/streams", go2rtc::refuse_change, describe::go2rtc_change)
        .delete("/api/streams", go2rtc::refuse_change, describe::go2rtc_change);
    for path in camera_streamer::NO_VIDEO {
        routes = routes.get(path, camera_streamer::no_video, describe::camera_streamer_video);
        routes = routes.post(path, camera_streamer::no_video, describe::camera_streamer_video);
    }
    for path in go2rtc::MISSING {
        routes = routes.get(path, go2rtc::missing, describe::go2rtc_missing);
        routes = routes.post(path, go2rtc::missing, describe::go2rtc_missing);
    }
    let routes = routes
        // Cameras come and go, so the handlers read the number. Here it is that of mjpg-streamer, with `.json`.
        .get("/input_{file}", mjpg_streamer::input_json, describe::input)
        // Motion.
        .get("/{number}/mjpg/{kind}", motion::stream, describe::motion_stream)
        .get("/{number}/static/{kind}", motion::picture, describe::motion_picture)
        .get("/{number}/mpegts/stream", motion::no_video, describe::motion_video)
        .with_state(compat.clone());
    #[cfg(feature = "live")]
    let routes = routes.merge(player_socket(compat));
    routes
}

/// Returns the route of the WebSocket of go2rtc's players.
#[cfg(feature = "live")]
fn player_socket(compat: &Compat) -> Routes {
    let check = middleware::from_fn_with_state(Arc::clone(&compat.origins), guard::check_websocket);
    RouteTable::new()
        .get("/api/ws", go2rtc::socket, describe::go2rtc_socket)
        .with_state(compat.clone())
        .map_router(|router| router.layer(check))
}

/// Returns `page`, the router of our web pages, with the paths of other camera servers that are also those of pages:
/// `/?action=…`, as in mjpg-streamer, and `/api` for programs, as in go2rtc.
pub(super) fn with_page_paths(page: Router, compat: &Compat) -> Router {
    page.layer(middleware::from_fn_with_state(compat.clone(), action))
        .layer(middleware::from_fn(go2rtc::application))
}

async fn action(State(compat): State<Compat>, request: Request, next: Next) -> Response {
    let query = CompatQuery::parse(request.uri().query());
    let Some(wanted) = action_parameter(&query, &request) else { return next.run(request).await };
    match mjpg_streamer::Action::parse(wanted) {
        Some(action) => mjpg_streamer::act(&compat, action, &query, request).await.into_response(),
        None => {
            let wanted: String = wanted.chars().take(100).collect();
            let message = format!(
                "unknown action `{wanted}`; known actions: stream, snapshot (both also with a camera's \
                 number, as in stream_1), command"
            );
            HttpError { status: StatusCode::NOT_FOUND, message }.into_response()
        }
    }
}

/// Refuses `/?action=…`, for servers on which the compat paths (the paths of other camera servers) are turned off.
/// Without this error, the client would get our web page instead of a picture, which would look like a fault.
pub(super) async fn refuse_actions(request: Request, next: Next) -> Response {
    if action_parameter(&CompatQuery::parse(request.uri().query()), &request).is_none() {
        return next.run(request).await;
    }
    let message =
        "the paths of other programs are turned off: drop_in is false in the configuration".to_owned();
    HttpError { status: StatusCode::NOT_FOUND, message }.into_response()
}

/// Returns the value of the parameter `action` in `query`, whether or not there is such an action. Returns `None` if
/// there is no such parameter, or if the request is not a GET or HEAD of `/`.
fn action_parameter<'q>(query: &'q CompatQuery, request: &Request) -> Option<&'q str> {
    let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
    query.get("action").filter(|action| !action.is_empty() && is_read && request.uri().path() == "/")
}

/// Returns the error for a request that names the camera `number`, which does not exist. `count` is the number of
/// cameras, and `first` is the number of the first camera, 0 or 1.
fn no_camera(number: usize, count: usize, first: usize) -> HttpError {
    let message = format!("no camera {number}; this server has {count}, counted from {first}");
    HttpError { status: StatusCode::NOT_FOUND, message }
}

impl Compat {
    pub(super) fn new(cameras: &CameraTable, settings: &Settings, streamer: &mjpeg::Streamer) -> Self {
        let services = cameras.services();
        Self {
            cameras: cameras.clone(),
            viewers: services.viewers.clone(),
            write_timeout: settings.write_timeout,
            streamer: streamer.clone(),
            clients: StreamClients::default(),
            origins: Arc::new(Origins::new(&settings.cors_origins)),
            #[cfg(feature = "live")]
            player_sockets: PlayerSockets::new(
                services.hub.clone(),
                services.viewers.clone(),
                settings.write_timeout,
                services.shutdown.clone(),
            ),
            shutdown: services.shutdown.clone(),
        }
    }

    /// Returns the camera that the parameter `camera` in `query` names. If there is no such parameter, returns the
    /// default camera.
    fn camera(&self, query: &CompatQuery) -> Result<Arc<Camera>, HttpError> {
        match query.get("camera") {
            Some(name) => find_camera(&self.cameras, name),
            None => self.nth_camera(0),
        }
    }

    /// Returns the camera at position `n`, counted from 0. Returns an error if there is no such camera.
    fn nth_camera(&self, n: usize) -> Result<Arc<Camera>, HttpError> {
        let cameras = self.cameras.list();
        cameras.get(n).cloned().ok_or_else(|| match cameras.len() {
            0 => HttpError::no_camera(),
            count => no_camera(n, count, 0),
        })
    }

    /// Returns the number of a camera that `text`, a part of the path of `uri`, is. `first` is the number of the first
    /// camera, 0 or 1. A number below that is accepted, too.
    ///
    /// # Errors
    /// There is no such camera, or `text` is not a number.
    fn number(&self, text: &str, first: usize, uri: &Uri) -> Result<usize, HttpError> {
        let count = self.cameras.list().len();
        match text.parse::<usize>() {
            Ok(number) if number >= count + first => Err(no_camera(number, count, first)),
            Ok(number) if number.to_string() == text => Ok(number),
            _ => Err(super::nothing_at(uri)),
        }
    }

    /// Returns a response whose body is an MJPEG stream of `feed` at `rendition`. `part_format` is the boundary and the
    /// order of the bytes around each picture. The response has the headers of Framecast's own streams.
    fn stream(
        &self,
        feed: &Arc<Feed>,
        rendition: Rendition,
        part_format: mjpeg::PartFormat,
        request: &Request,
    ) -> Result<Response, HttpError> {
        let stream_request =
            mjpeg::StreamRequest { part_format, rendition, interval: Duration::ZERO, adapt: false };
        self.streamer.respond(feed, stream_request, request)
    }

    /// Returns a current picture of `feed`, and opens the camera for this if necessary. Returns `None` if `method` is
    /// HEAD, because a HEAD request must not open the camera.
    async fn picture(
        &self,
        feed: &Arc<Feed>,
        snapshot_request: snapshot::SnapshotRequest,
        method: &Method,
    ) -> Result<Option<Update>, HttpError> {
        if *method == Method::HEAD {
            return Ok(None);
        }
        let wait = snapshot::Config::default().wait;
        snapshot::take(feed, snapshot_request, &self.viewers, wait).await.map(Some)
    }
}

/// Returns a response with `headers` and with `picture` as the body, or without a body if `picture` is `None`. The
/// response also has headers for the content type and the picture's capture time. If `picture` is a slate (a drawn
/// picture that says why there is no camera picture), the status is 503.
fn picture_answer(picture: Option<&Update>, headers: &[(&'static str, &str)]) -> Response {
    let body = picture.map(|update| Body::from(update.frame.data.clone())).unwrap_or_default();
    let mut response = Response::new(body);
    set_head(&mut response, headers);
    if let Some(update) = picture {
        insert(&mut response, "x-timestamp", &format_unix_seconds(update.frame.captured_at));
        if update.is_slate {
            *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        }
    }
    insert(&mut response, "content-type", "image/jpeg");
    response
}

/// Replaces all headers of `response` with `headers`, in the given order.
fn set_head(response: &mut Response, headers: &[(&'static str, &str)]) {
    response.headers_mut().clear();
    for (name, value) in headers {
        insert(response, name, value);
    }
    // Without this header, nginx buffers parts before it passes them on.
    insert(response, "x-accel-buffering", "no");
}

fn insert(response: &mut Response, name: &'static str, value: &str) {
    let value = HeaderValue::try_from(value).expect("made of numbers, constants and percent-encoded text");
    response.headers_mut().insert(HeaderName::from_static(name), value);
}

/// Returns a response with `body` as JSON and with the content type `content_type`, which differs between the camera
/// servers that are imitated.
fn json(content_type: &'static str, body: &impl serde::Serialize) -> Response {
    let text = serde_json::to_string(body).expect("plain structures have a JSON form");
    let head = [(header::CONTENT_TYPE, content_type), (header::CACHE_CONTROL, "no-store")];
    (head, escape_hidden_json(&text).into_owned()).into_response()
}
