//! The request `POST /api/events`, which sets a mark: an event with a label that a person or a program adds to the
//! history.

use std::sync::Mutex;
use std::time::{Duration, Instant, SystemTime};

use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::Response;
use framecast_history::{Entry, RecordError, TEXT_CHARS};
use framecast_hub::{Event, EventKind};
use framecast_media::lock;
use framecast_outputs::{HttpError, Peer};
use serde::Deserialize;
use tokio::time::timeout;
use utoipa::ToSchema;

use super::HistoryState;
use crate::http::api::json;
use crate::http::clients::{Client, Clients, Rate, TokenBucket};
use crate::http::find_camera;
use crate::http::forwarded::{self, ForwardedBy};

/// The maximum size of a request body, in bytes. The longest label that is allowed fits, even if each of its characters
/// is escaped in JSON.
const MAX_BODY_BYTES: usize = 16 << 10;

/// The time limit for a client to send the body of its request, which contains the mark.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a request waits until the mark is in the history's database. After this time the server responds that the
/// mark is queued for writing.
const WRITE_TIMEOUT: Duration = Duration::from_secs(2);

/// How long a request waits until the mark is in the history's database, if the database is already unavailable when
/// the request arrives.
const OUTAGE_TIMEOUT: Duration = Duration::from_millis(200);

/// The body of a request that sets a mark, which is an event that a client adds to the history.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Mark {
    /// What the mark says.
    #[schema(min_length = 1, max_length = 1000)]
    label: String,
    /// The camera that the mark is about; `null` for a mark about none.
    camera: Option<String>,
}

/// The rate limit for all clients of one proxy together, as a multiple of the rate limit for one client. The common
/// limit reduces the harm if the proxy passes on forged headers.
const PROXY_FACTOR: u32 = 10;

/// The rate limits on marks (events that clients add), for each client and for each proxy.
#[derive(Debug, Default)]
pub(crate) struct MarkLimiter(Mutex<MarkBuckets>);

#[derive(Debug, Default)]
struct MarkBuckets {
    clients: Clients<TokenBucket>,
    /// The token bucket of each proxy, which all clients of the proxy share.
    proxies: Clients<TokenBucket>,
}

/// The client whose rate limit a mark counts towards, and the proxy between the client and this server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct MarkSource {
    client: Client,
    /// The trusted proxy that forwarded the request; `None` if the request came directly from the client.
    proxy: Option<Client>,
}

impl MarkLimiter {
    /// Counts a mark of `source` at the time `now` towards the rate limits. A client can set `per_minute` marks at
    /// once, and then `per_minute` marks in each minute.
    ///
    /// # Errors
    /// A rate limit is reached. The error is the time until the client can set another mark.
    fn take(&self, source: MarkSource, per_minute: u32, now: Instant) -> Result<(), Duration> {
        let rate = Rate { burst: per_minute, interval: Duration::from_secs(60) / per_minute };
        let mut buckets = lock(&self.0);
        buckets.clients.touch(source.client, now).take(rate, now)?;
        let Some(proxy) = source.proxy else { return Ok(()) };
        let rate =
            Rate { burst: per_minute.saturating_mul(PROXY_FACTOR), interval: rate.interval / PROXY_FACTOR };
        buckets.proxies.touch(proxy, now).take(rate, now)
    }
}

/// Handles a request that sets a mark, and adds the mark to the history. The response has one of these statuses:
/// - 201 if the mark is in the history's database.
/// - 202 if the mark is still queued for writing, or if the server currently keeps the history only in memory because
///   it cannot write to the disk.
pub(super) async fn post(
    State(context): State<HistoryState>,
    request: Request,
) -> Result<Response, HttpError> {
    let per_minute = context.settings.marks_per_minute;
    if per_minute == 0 {
        let message = "marks are turned off: marks_per_minute is 0 in the configuration".to_owned();
        return Err(HttpError { status: StatusCode::FORBIDDEN, message });
    }
    let (head, body) = request.into_parts();
    let Mark { label, camera } = read(body).await?;
    check(&label)?;
    let mut event = Event::new(EventKind::Mark, SystemTime::now()).with_text(label);
    if let Some(name) = camera {
        find_camera(&context.cameras, &name)
            .map_err(|refusal| HttpError { status: StatusCode::BAD_REQUEST, ..refusal })?;
        event = event.with_camera(name);
    }
    // Checked last, so that an invalid mark does not count towards the limit.
    if let Some(source) = source(&head)
        && let Err(wait) = context.mark_limiter.take(source, per_minute, Instant::now())
    {
        let message = format!(
            "cannot set the mark: rate limit reached ({per_minute} marks a minute for an address, \
             {PROXY_FACTOR} times as many for all clients of a proxy). Try again later, or raise \
             marks_per_minute"
        );
        return Ok(HttpError::too_many_requests(message, wait));
    }
    let record_error = |error: RecordError| HttpError {
        status: StatusCode::SERVICE_UNAVAILABLE,
        message: format!("cannot set the mark: {error}"),
    };
    let history = &context.history.history;
    // If the database was unavailable just now, the mark most likely has to wait.
    let is_unavailable = history.stats().is_unavailable && !history.is_in_memory();
    let patience = if is_unavailable { OUTAGE_TIMEOUT } else { WRITE_TIMEOUT };
    let mut recorded = history.record(event).map_err(record_error)?;
    let status = match timeout(patience, recorded.written()).await {
        Ok(true) if history.is_in_memory() => StatusCode::ACCEPTED,
        Ok(true) => StatusCode::CREATED,
        Ok(false) => {
            let message = "cannot set the mark: the server is shutting down".to_owned();
            return Err(HttpError { status: StatusCode::SERVICE_UNAVAILABLE, message });
        }
        Err(_) => StatusCode::ACCEPTED,
    };
    let entry: &Entry = &recorded.stored.entry;
    let mut response = json(entry);
    *response.status_mut() = status;
    Ok(response)
}

/// Returns the client whose rate limit a mark counts towards. For a request that an untrusted proxy forwards, this is
/// the proxy. Returns `None` for a program on this machine that is not a proxy, because such a program can set any
/// number of marks.
fn source(head: &Parts) -> Option<MarkSource> {
    let address = Peer::from_extensions(&head.extensions);
    let proxy = head.extensions.get::<ForwardedBy>().map(|forwarded| Client::new(forwarded.by));
    let is_from_here = address.is_none_or(|address| address.to_canonical().is_loopback());
    if proxy.is_none() && is_from_here && !forwarded::is_forwarded(&head.headers) {
        return None;
    }
    Some(MarkSource { client: Client::new(address), proxy })
}

async fn read(body: Body) -> Result<Mark, HttpError> {
    let bad = |status, message: String| Err(HttpError { status, message });
    let bytes = match timeout(BODY_TIMEOUT, to_bytes(body, MAX_BODY_BYTES)).await {
        Ok(Ok(bytes)) => bytes,
        Ok(Err(_)) => {
            let message =
                format!("a mark has at most {MAX_BODY_BYTES} bytes, and its label {TEXT_CHARS} characters");
            return bad(StatusCode::PAYLOAD_TOO_LARGE, message);
        }
        Err(_) => {
            let message = "the request body (the mark to add) did not arrive in time".to_owned();
            return bad(StatusCode::REQUEST_TIMEOUT, message);
        }
    };
    let wrong = |problem: String| {
        let message =
            format!(r#"{problem}; a mark is an object, as in {{"label": "parcel", "camera": "front"}}"#);
        bad(StatusCode::BAD_REQUEST, message)
    };
    // The deserialiser would also accept a list of the values.
    if bytes.trim_ascii_start().starts_with(b"[") {
        return wrong("expected an object, but got a list".to_owned());
    }
    serde_json::from_slice(&bytes).or_else(|error| wrong(error.to_string()))
}

/// Returns an error if `label` is empty, or if the history cannot store it unchanged.
fn check(label: &str) -> Result<(), HttpError> {
    let problem = if label.trim().is_empty() {
        "is empty".to_owned()
    } else if label.chars().count() > TEXT_CHARS {
        format!("has more than {TEXT_CHARS} characters")
    } else if label.contains('\0') {
        "has a NUL character, which databases cannot store".to_owned()
    } else {
        return Ok(());
    };
    let message = format!(r#"`label` {problem}; write it like {{"label": "parcel"}}"#);
    Err(HttpError { status: StatusCode::BAD_REQUEST, message })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(address: &str) -> MarkSource {
        MarkSource { client: Client::new(Some(address.parse().unwrap())), proxy: None }
    }

    #[test]
    fn an_address_may_set_a_minutes_marks_at_once_and_then_at_that_rate() {
        let (marks, start) = (MarkLimiter::default(), Instant::now());
        let set = |address: &str, now| (0..100).filter(|_| marks.take(of(address), 60, now).is_ok()).count();
        assert_eq!(set("192.0.2.1", start), 60);
        assert_eq!(set("192.0.2.2", start), 60, "each address has its own");
        assert_eq!(marks.take(of("192.0.2.1"), 60, start), Err(Duration::from_secs(1)));
        let hour: usize =
            (1..=3600).map(|second| set("192.0.2.1", start + Duration::from_secs(second))).sum();
        assert_eq!(hour, 3600);
        assert_eq!(set("2001:db8::1", start) + set("2001:db8::2", start), 60, "of IPv6 each /64");
    }

    #[test]
    fn one_mark_a_minute_is_one() {
        let (marks, start) = (MarkLimiter::default(), Instant::now());
        assert!(marks.take(of("192.0.2.1"), 1, start).is_ok());
        let wait = marks.take(of("192.0.2.1"), 1, start + Duration::from_secs(10));
        assert_eq!(wait, Err(Duration::from_secs(50)));
        assert!(marks.take(of("192.0.2.1"), u32::MAX, start + Duration::from_secs(60)).is_ok());
    }

    #[test]
    fn all_clients_of_a_proxy_may_set_ten_times_as_many_together() {
        let (marks, now) = (MarkLimiter::default(), Instant::now());
        let by = |proxy: &str, number: u32| MarkSource {
            proxy: Some(of(proxy).client),
            ..of(&format!("192.0.2.{number}"))
        };
        let set = |proxy| (0..200).filter(|number| marks.take(by(proxy, *number), 6, now).is_ok()).count();
        assert_eq!(set("127.0.0.1"), 60);
        assert_eq!(set("10.0.0.1"), 60, "another proxy has its own");
        assert!(marks.take(of("192.0.2.250"), 6, now).is_ok());
    }

    #[test]
    fn programs_of_this_machine_are_counted_when_they_speak_for_others() {
        let head = |address: Option<&str>, sign: Option<&'static str>, forwarded: Option<ForwardedBy>| {
            let mut request = Request::new(Body::empty());
            request.extensions_mut().insert(Peer(address.map(|address| address.parse().unwrap())));
            if let Some(forwarded) = forwarded {
                request.extensions_mut().insert(forwarded);
            }
            if let Some(sign) = sign {
                request.headers_mut().insert(sign, "unknown".parse().unwrap());
            }
            source(&request.into_parts().0)
        };
        let here = [Some("127.0.0.1"), Some("::1"), Some("::ffff:127.0.0.1"), None];
        for address in here {
            assert_eq!(head(address, None, None), None, "{address:?}");
            // A proxy that is not trusted, and a trusted proxy that does not name its client.
            for sign in ["x-forwarded-for", "forwarded", "x-real-ip", "via"] {
                assert!(head(address, Some(sign), None).is_some(), "{address:?} {sign}");
            }
        }
        assert_eq!(head(Some("192.0.2.1"), None, None), Some(of("192.0.2.1")));
        let by = ForwardedBy { by: None };
        let buckets = head(Some("127.0.0.1"), Some("x-forwarded-for"), Some(by)).unwrap();
        assert_eq!(buckets.proxy, Some(Client::new(None)));
    }
}
