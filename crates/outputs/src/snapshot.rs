//! One picture: `/cameras/{name}/snapshot.jpg`.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, RawQuery, Request, State as Extract};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::Response;
use axum::routing::get;
use framecast_hub::{Delivery, Feed, Hub, State, Subscriber, Update};
use tokio::time::timeout;

use crate::mjpeg::parameter;
use crate::{NO_STORE, Refusal, x_timestamp};

/// How single pictures are answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// How long a request waits for a camera that must first be opened, or for a picture that is fresh enough.
    pub wait: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self { wait: Duration::from_secs(10) }
    }
}

/// The longest age that can be asked for: a day.
const MAX_AGE_SECONDS: f64 = 86_400.0;

#[derive(Clone)]
struct Snapshots {
    hub: Hub,
    config: Config,
}

/// `/cameras/{name}/snapshot.jpg` and, for the default camera, `/snapshot.jpg`.
///
/// A live camera answers with its newest picture, any other is opened and answers with its first. `?max_age=5`
/// takes a picture that is at most 5 seconds old, without opening the camera where one is held; `?max_age=0` waits
/// for one that is captured after the request. While the camera is lost the answer is 503 with the drawn picture
/// that says why.
pub fn routes(hub: Hub, config: Config) -> Router {
    Router::new()
        .route("/snapshot.jpg", get(default_camera).options(crate::options))
        .route("/cameras/{name}/snapshot.jpg", get(named_camera).options(crate::options))
        .with_state(Snapshots { hub, config })
}

async fn default_camera(
    Extract(snapshots): Extract<Snapshots>,
    RawQuery(query): RawQuery,
    request: Request,
) -> Result<Response, Refusal> {
    let feed = snapshots.hub.first().ok_or_else(Refusal::no_camera)?;
    snapshots.respond(&feed, query.as_deref(), request.method()).await
}

async fn named_camera(
    Extract(snapshots): Extract<Snapshots>,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
    request: Request,
) -> Result<Response, Refusal> {
    let hub = &snapshots.hub;
    let feed = hub.get(&name).ok_or_else(|| Refusal::no_such_camera(&name, hub))?;
    snapshots.respond(&feed, query.as_deref(), request.method()).await
}

impl Snapshots {
    async fn respond(
        &self,
        feed: &Arc<Feed>,
        query: Option<&str>,
        method: &Method,
    ) -> Result<Response, Refusal> {
        let max_age = max_age(query.unwrap_or_default())?;
        if method == Method::HEAD {
            // The size is known only with the picture, and a HEAD request must not open the camera.
            return Ok(response(StatusCode::OK, crate::unknown_length()));
        }
        let update = match held(feed, max_age) {
            Some(update) => update,
            None => self.fresh(feed, max_age).await?,
        };
        let status = if update.is_notice { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
        let mut response = response(status, Body::from(update.frame.data.clone()));
        let headers = response.headers_mut();
        let timestamp = HeaderValue::try_from(x_timestamp(update.frame.captured_at));
        headers.insert(
            HeaderName::from_static("x-timestamp"),
            timestamp.expect("digits and a point are a header value"),
        );
        headers.insert(header::CONTENT_DISPOSITION, disposition(feed.name()));
        Ok(response)
    }

    /// Opens the camera, if it is not open, and waits for a picture that may be shown.
    async fn fresh(&self, feed: &Feed, max_age: Option<Duration>) -> Result<Update, Refusal> {
        let mut subscriber = feed.channel().subscribe(Delivery::Latest);
        let oldest = max_age.map(|age| SystemTime::now() - age);
        let lost = feed.status().state == State::Lost;
        match timeout(self.config.wait, next_picture(&mut subscriber, oldest, lost)).await {
            Ok(Some(update)) => Ok(update),
            // What stands now says why there is nothing better.
            Ok(None) | Err(_) => {
                subscriber.current().filter(|update| update.is_notice).ok_or_else(|| Refusal {
                    status: StatusCode::SERVICE_UNAVAILABLE,
                    message: format!("{}: no picture within {:?}", feed.name(), self.config.wait),
                })
            }
        }
    }
}

/// The next picture captured at `oldest` or later; of a lost camera also the notice that says so.
async fn next_picture(
    subscriber: &mut Subscriber,
    oldest: Option<SystemTime>,
    takes_notice: bool,
) -> Option<Update> {
    loop {
        let update = subscriber.next_update().await?;
        let is_fresh = oldest.is_none_or(|oldest| update.frame.captured_at >= oldest);
        if (update.is_notice && takes_notice) || (!update.is_notice && is_fresh) {
            return Some(update);
        }
    }
}

/// The newest picture that is held, if it is one that this request takes.
fn held(feed: &Feed, max_age: Option<Duration>) -> Option<Update> {
    let frame = feed.channel().newest()?;
    let is_taken = match max_age {
        Some(max_age) => {
            let age = SystemTime::now().duration_since(frame.captured_at).unwrap_or_default();
            age <= max_age && !max_age.is_zero()
        }
        None => feed.status().state == State::Live,
    };
    is_taken.then_some(Update { frame, is_notice: false, sequence: 0 })
}

/// Under which name the picture is saved: the camera's, in the form for names beyond ASCII (RFC 8187 §3.2).
fn disposition(camera: &str) -> HeaderValue {
    let mut value = String::from("inline; filename*=UTF-8''");
    for byte in camera.bytes() {
        match byte {
            b'-' | b'_' | b'.' => value.push(char::from(byte)),
            _ if byte.is_ascii_alphanumeric() => value.push(char::from(byte)),
            _ => value.push_str(&format!("%{byte:02X}")),
        }
    }
    value.push_str(".jpg");
    HeaderValue::try_from(value).expect("percent-encoded text is a header value")
}

fn max_age(query: &str) -> Result<Option<Duration>, Refusal> {
    let Some(value) = parameter(query, "max_age") else { return Ok(None) };
    match value.parse::<f64>() {
        Ok(seconds) if (0.0..=MAX_AGE_SECONDS).contains(&seconds) => {
            Ok(Some(Duration::from_secs_f64(seconds)))
        }
        _ => {
            let expected = "must be seconds from 0 to 86400, as in max_age=0.5";
            Err(Refusal::bad_parameter("max_age", value, expected))
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
    use super::*;

    #[test]
    fn a_picture_is_saved_under_its_cameras_name() {
        assert_eq!(disposition("front-door"), "inline; filename*=UTF-8''front-door.jpg");
        assert_eq!(disposition("küche"), "inline; filename*=UTF-8''k%C3%BCche.jpg");
    }
}
