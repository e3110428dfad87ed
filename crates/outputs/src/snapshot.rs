//! One picture over HTTP: `/cameras/{name}/snapshot.jpg`.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, RawQuery, Request, State as Extract};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::Response;
use axum::routing::get;
use framecast_hub::{CameraState, Delivery, DemandKind, Feed, Hub, Rendition, Subscriber, Update};
use tokio::time::{Instant, timeout};

use crate::{
    HttpError, NO_STORE, Peer, Viewers, client_key, format_x_timestamp, percent_encode, query_parameter,
    rendition,
};

/// The configuration of snapshots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The maximum time that a request waits for a camera that must first be opened, or for a picture that is new
    /// enough.
    pub wait: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self { wait: Duration::from_secs(10) }
    }
}

/// A request for a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SnapshotRequest {
    /// The maximum age at which a picture in memory is accepted. Zero requests a picture that is captured after the
    /// request. `None` requests the newest picture of a live camera, or the first picture of a camera that must be
    /// opened.
    pub max_age: Option<Duration>,
    /// The size and quality of the picture.
    pub rendition: Rendition,
    /// The client's address, for a limit: one address can watch at most half of the renditions (sizes, qualities and
    /// frame rates) that can be encoded of a camera at once.
    pub peer: Option<IpAddr>,
}

/// The maximum value of `?max_age=`: a day, in seconds.
const MAX_AGE_SECONDS: f64 = 86_400.0;

#[derive(Clone)]
struct Snapshots {
    hub: Hub,
    viewers: Viewers,
    config: Config,
}

/// Returns the routes `/cameras/{name}/snapshot.jpg` and, for the default camera, `/snapshot.jpg`.
///
/// A live camera responds with its newest picture. Any other camera is opened and responds with its first picture.
/// `?max_age=5` accepts a picture that is at most 5 seconds old, and does not open the camera if such a picture is in
/// memory. `?max_age=0` waits for a picture that is captured after the request. After the camera has failed, and until
/// it is open again, the response is 503 with the slate, a picture of the reason. `?width=`, `?height=` and `?quality=`
/// request another size or quality, for which the camera is always opened.
pub fn routes(hub: Hub, viewers: Viewers, config: Config) -> Router {
    Router::new()
        .route("/snapshot.jpg", get(default_camera).options(crate::options))
        .route("/cameras/{name}/snapshot.jpg", get(named_camera).options(crate::options))
        .with_state(Snapshots { hub, viewers, config })
}

async fn default_camera(
    Extract(snapshots): Extract<Snapshots>,
    RawQuery(query): RawQuery,
    request: Request,
) -> Result<Response, HttpError> {
    let feed = snapshots.hub.first().ok_or_else(HttpError::no_camera)?;
    snapshots
        .respond(&feed, query.as_deref(), request.method(), Peer::from_extensions(request.extensions()))
        .await
}

async fn named_camera(
    Extract(snapshots): Extract<Snapshots>,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
    request: Request,
) -> Result<Response, HttpError> {
    let hub = &snapshots.hub;
    let feed = hub.get(&name).ok_or_else(|| HttpError::no_such_camera(&name, hub))?;
    snapshots
        .respond(&feed, query.as_deref(), request.method(), Peer::from_extensions(request.extensions()))
        .await
}

impl Snapshots {
    async fn respond(
        &self,
        feed: &Arc<Feed>,
        query: Option<&str>,
        method: &Method,
        peer: Option<IpAddr>,
    ) -> Result<Response, HttpError> {
        let query = query.unwrap_or_default();
        let (max_age, rendition) = (max_age(query)?, rendition::parse(query)?);
        if method == Method::HEAD {
            // The size is known only with the picture, and a HEAD request must not open the camera.
            return Ok(response(StatusCode::OK, crate::unknown_length_body()));
        }
        let request = SnapshotRequest { max_age, rendition, peer };
        let update = take(feed, request, &self.viewers, self.config.wait).await?;
        let status = if update.is_slate { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
        let mut response = response(status, Body::from(update.frame.data.clone()));
        let headers = response.headers_mut();
        let timestamp = HeaderValue::try_from(format_x_timestamp(update.frame.captured_at));
        headers.insert(
            HeaderName::from_static("x-timestamp"),
            timestamp.expect("digits and a point are a header value"),
        );
        headers.insert(header::CONTENT_DISPOSITION, content_disposition(feed.name()));
        Ok(response)
    }
}

/// Returns the picture that `request` asks for. Waits at most `wait` for a camera that must be opened or has no picture
/// that is new enough. For a camera that has failed, returns the slate, a picture of the reason. `viewers` counts how
/// long it took. Cancel safe.
///
/// # Errors
/// 503 if there was neither a picture nor a slate, or if the limit on renditions is reached.
pub async fn take(
    feed: &Arc<Feed>,
    request: SnapshotRequest,
    viewers: &Viewers,
    wait: Duration,
) -> Result<Update, HttpError> {
    let asked_at = Instant::now();
    let update = look(feed, request, wait).await?;
    if !update.is_slate {
        viewers.snapshot_taken(asked_at.elapsed());
    }
    Ok(update)
}

/// Returns the picture that `request` asks for, as [`take`] does.
async fn look(feed: &Arc<Feed>, request: SnapshotRequest, wait: Duration) -> Result<Update, HttpError> {
    let held = if request.rendition.is_original() { held_picture(feed, request.max_age) } else { None };
    let Some(update) = held else { return wait_for_picture(feed, request, wait).await };
    if feed.status().state == CameraState::Live {
        // A short subscription: a client that asks again and again keeps the camera open.
        drop(feed.demand(DemandKind::Snapshot));
    }
    Ok(update)
}

/// Opens the camera if needed, and waits at most `wait` for a picture that `request` accepts.
async fn wait_for_picture(
    feed: &Feed,
    request: SnapshotRequest,
    wait: Duration,
) -> Result<Update, HttpError> {
    let demand = Some(feed.demand(DemandKind::Snapshot));
    let client = request.peer.map(client_key);
    let subscriber = feed.watch_from(client, request.rendition, Delivery::Latest, demand);
    let mut subscriber = subscriber.map_err(HttpError::too_many_renditions)?;
    let oldest = request.max_age.and_then(|age| SystemTime::now().checked_sub(age));
    match timeout(wait, next_picture(feed, &mut subscriber, oldest)).await {
        Ok(Some(update)) => Ok(update),
        // The slate that is shown now says why there is no picture.
        Ok(None) | Err(_) => subscriber.current().filter(|update| update.is_slate).ok_or_else(|| {
            let message = format!("{}: the camera delivered no picture within {wait:?}", feed.name());
            HttpError { status: StatusCode::SERVICE_UNAVAILABLE, message }
        }),
    }
}

/// Waits for the next picture that was captured at `oldest` or later. If the camera has failed, or fails meanwhile,
/// returns the slate, a picture of the reason.
async fn next_picture(
    feed: &Feed,
    subscriber: &mut Subscriber,
    oldest: Option<SystemTime>,
) -> Option<Update> {
    loop {
        let update = subscriber.next_update().await?;
        let is_acceptable = if update.is_slate {
            feed.status().state == CameraState::Lost
        } else {
            oldest.is_none_or(|oldest| update.frame.captured_at >= oldest)
        };
        if is_acceptable {
            return Some(update);
        }
    }
}

/// Returns the newest picture in memory, if `max_age` accepts its age.
fn held_picture(feed: &Feed, max_age: Option<Duration>) -> Option<Update> {
    let update = feed.main_channel().newest_update()?;
    let is_acceptable = match max_age {
        Some(max_age) => {
            let age = SystemTime::now().duration_since(update.frame.captured_at).unwrap_or_default();
            age <= max_age && !max_age.is_zero()
        }
        // A picture that was encoded from a raw frame while someone watched is no longer the newest.
        None => feed.status().state == CameraState::Live && !feed.needs_encoder(),
    };
    is_acceptable.then_some(update)
}

/// Returns the value of `Content-Disposition` that names the saved file after the camera, in the form for names beyond
/// ASCII (RFC 8187 §3.2).
fn content_disposition(camera: &str) -> HeaderValue {
    let value = format!("inline; filename*=UTF-8''{}.jpg", percent_encode(camera));
    HeaderValue::try_from(value).expect("percent-encoded text is a header value")
}

fn max_age(query: &str) -> Result<Option<Duration>, HttpError> {
    let Some(value) = query_parameter(query, "max_age") else { return Ok(None) };
    match value.parse::<f64>() {
        Ok(seconds) if (0.0..=MAX_AGE_SECONDS).contains(&seconds) => {
            Ok(Some(Duration::from_secs_f64(seconds)))
        }
        _ => {
            let expected = "must be a number of seconds from 0 to 86400, as in max_age=0.5";
            Err(HttpError::bad_parameter("max_age", &value, expected))
        }
    }
}

fn response(status: StatusCode, body: Body) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("image/jpeg"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(NO_STORE));
    headers.insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    response
}

#[cfg(test)]
mod tests {
    #![warn(clippy::disallowed_methods)]

    use framecast_hub::CameraStatus;
    use framecast_media::Frame;
    use framecast_testkit::{frame, number_of, pause};
    use http_body_util::BodyExt;
    use tower::ServiceExt;

    use super::*;
    use crate::publish::Publish;

    const WAIT: Duration = Duration::from_secs(10);

    struct Server {
        routes: Router,
        feed: Arc<Feed>,
    }

    impl Server {
        fn new(state: CameraState) -> Self {
            let hub = Hub::new();
            let feed = hub.add("door", SystemTime::UNIX_EPOCH).unwrap();
            feed.set_status(CameraStatus::new(state, SystemTime::UNIX_EPOCH));
            Self { routes: routes(hub, Viewers::default(), Config { wait: WAIT }), feed }
        }

        /// Returns the status of a snapshot and the number in its picture; 0 for an answer without a picture.
        async fn take(&self, query: &str) -> (u16, u64) {
            let request = Request::get(format!("/snapshot.jpg{query}")).body(Body::empty()).unwrap();
            let response = self.routes.clone().oneshot(request).await.unwrap();
            let status = response.status().as_u16();
            let body = response.into_body().collect().await.unwrap().to_bytes();
            (status, number_of(&body).unwrap_or(0))
        }

        /// A snapshot that has to wait, while `happens` runs.
        async fn take_while(&self, query: &str, happens: impl FnOnce(&Feed)) -> (u16, u64) {
            let waits = async {
                let mut demand = self.feed.main_channel().watch_subscriber_count();
                demand.wait_for(|viewers| *viewers == 1).await.unwrap();
                happens(&self.feed);
            };
            tokio::join!(self.take(query), waits).0
        }
    }

    fn captured(number: u64, age: Duration) -> Frame {
        let mut frame = frame(number);
        frame.captured_at = SystemTime::now() - age;
        frame
    }

    #[test]
    fn a_picture_is_saved_under_its_cameras_name() {
        assert_eq!(content_disposition("front-door"), "inline; filename*=UTF-8''front-door.jpg");
        assert_eq!(content_disposition("küche"), "inline; filename*=UTF-8''k%C3%BCche.jpg");
    }

    #[tokio::test(start_paused = true)]
    async fn a_live_camera_answers_with_its_newest_picture_at_once() {
        let server = Server::new(CameraState::Live);
        server.feed.publish(frame(1));
        server.feed.publish(frame(2));
        assert_eq!(server.take("").await, (200, 2));
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_camera_is_opened_by_the_request_and_answers_with_its_first_picture() {
        let server = Server::new(CameraState::Idle);
        server.feed.publish(frame(1));
        server.feed.suspend();
        let taken = server.take_while("", |feed| feed.publish(frame(2))).await;
        assert_eq!(taken, (200, 2));
        assert_eq!(server.feed.main_channel().subscriber_count(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_slate_of_the_opening_is_not_taken_for_a_picture() {
        let server = Server::new(CameraState::Opening);
        let taken = server
            .take_while("", |feed| {
                feed.publish_slate(frame(99));
                let channel = feed.main_channel().clone();
                tokio::spawn(async move {
                    pause(WAIT / 2).await;
                    channel.publish(frame(1));
                });
            })
            .await;
        assert_eq!(taken, (200, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_held_picture_that_is_young_enough_opens_nothing() {
        let server = Server::new(CameraState::Idle);
        server.feed.publish(captured(1, Duration::from_secs(30)));
        server.feed.suspend();
        assert_eq!(server.take("?max_age=3600").await, (200, 1));
        let taken = server.take_while("?max_age=5", |feed| feed.publish(captured(2, Duration::ZERO))).await;
        assert_eq!(taken, (200, 2));
    }

    #[tokio::test(start_paused = true)]
    async fn no_age_at_all_means_a_picture_captured_after_the_request() {
        let server = Server::new(CameraState::Live);
        server.feed.publish(captured(1, Duration::ZERO));
        let taken = server
            .take_while("?max_age=0", |feed| {
                feed.publish(captured(2, Duration::from_secs(1)));
                let later = SystemTime::now() + Duration::from_secs(1);
                let mut newest = frame(3);
                newest.captured_at = later;
                feed.publish(newest);
            })
            .await;
        assert_eq!(taken, (200, 3));
    }

    #[tokio::test(start_paused = true)]
    async fn a_lost_camera_answers_503_with_the_picture_that_says_why() {
        let server = Server::new(CameraState::Lost);
        server.feed.publish(frame(1));
        server.feed.publish_slate(frame(99));
        assert_eq!(server.take("").await, (503, 99));
    }

    #[tokio::test(start_paused = true)]
    async fn a_camera_that_is_lost_while_it_opens_answers_as_soon_as_that_is_known() {
        let server = Server::new(CameraState::Idle);
        let start = tokio::time::Instant::now();
        let taken = server
            .take_while("", |feed| {
                feed.publish_slate(frame(98));
                feed.set_status(CameraStatus::new(CameraState::Lost, SystemTime::UNIX_EPOCH));
                feed.publish_slate(frame(99));
            })
            .await;
        assert_eq!(taken, (503, 99));
        assert_eq!(start.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn a_camera_that_yields_nothing_is_given_up_after_the_wait() {
        let server = Server::new(CameraState::Opening);
        let start = tokio::time::Instant::now();
        assert_eq!(server.take("").await, (503, 0));
        assert_eq!(start.elapsed(), WAIT);
        let slate = |feed: &Feed| feed.publish_slate(frame(99));
        assert_eq!(server.take_while("", slate).await, (503, 99));
    }

    #[tokio::test]
    async fn an_age_that_makes_no_sense_is_refused() {
        let server = Server::new(CameraState::Live);
        for query in ["?max_age=", "?max_age=-1", "?max_age=nan", "?max_age=1e9"] {
            assert_eq!(server.take(query).await.0, 400, "{query}");
        }
    }
}
