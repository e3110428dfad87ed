//! The route `/api/events/live`, which sends events as they happen: as Server-Sent Events, or over a WebSocket if the
//! client opens one.
//!
//! A client that reconnects names the last event that it received, in the header `Last-Event-ID` or the parameter
//! `after`. The client then gets all later events from the history. So it misses no event that the history still
//! stores, and gets no event twice. For each client the server keeps only a position in the history, so a slow client
//! costs no memory for events.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, header};
use axum::middleware;
use axum::response::Response;
use bytes::Bytes;
use framecast_history::{Listener, Notification, StoredEvent};
use framecast_outputs::{HttpError, websocket};
use futures_util::{Stream, StreamExt, stream};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::socket::EventSocket;
use super::{HistoryState, describe, read};
use crate::http::openapi::{RouteTable, Routes};
use crate::http::{cors, guard};

/// How often the server sends a heartbeat (a message without an event) while no event happens. Without heartbeats,
/// proxies would close the silent connection.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// The first bytes of the response, which tell the browser to reconnect one second after it has lost the connection.
const RETRY_HINT: &[u8] = b"retry: 1000\n\n";

/// The message to a client that missed events which the history no longer stores, as a Server-Sent Event.
const MISSED_EVENT: &[u8] = b"data: {\"missed\":null}\n\n";

#[derive(Clone)]
struct LiveEvents {
    context: HistoryState,
    shutdown: CancellationToken,
}

pub(super) fn routes(context: HistoryState, shutdown: CancellationToken) -> Routes {
    let origins = std::sync::Arc::new(cors::Origins::new(&context.settings.cors_origins));
    let check = middleware::from_fn_with_state(origins, guard::check_websocket);
    RouteTable::new()
        .get("/api/events/live", open, describe::live)
        .with_state(LiveEvents { context, shutdown })
        .map_router(|live| live.layer(check))
}

async fn open(State(live): State<LiveEvents>, request: Request) -> Result<Response, HttpError> {
    let listener = listener(&live.context, &request)?;
    if websocket::is_upgrade_request(request.headers()) {
        let write_timeout = live.context.settings.write_timeout;
        return Ok(websocket::upgrade(
            request,
            EventSocket { listener, write_timeout, shutdown: live.shutdown },
        ));
    }
    let shutdown = live.shutdown.cancelled_owned();
    let events = events(listener).take_until(shutdown).map(Ok::<_, Infallible>);
    let mut response = Response::new(Body::from_stream(events));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // By default nginx buffers what it passes on.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    Ok(response)
}

/// Returns a listener for the events that match the client's filter and are later than the last event that the client
/// says it received.
fn listener(context: &HistoryState, request: &Request) -> Result<Listener, HttpError> {
    let query = request.uri().query().unwrap_or_default();
    let parsed = read(context, query, &["camera", "kind", "after"])?;
    let last = request.headers().get("last-event-id").filter(|value| !value.is_empty());
    // A browser that reconnects repeats the URL of its first request.
    let after = match last {
        Some(value) => {
            let id = value.to_str().ok().and_then(|value| value.parse().ok()).filter(|id: &i64| *id >= 0);
            let shown = String::from_utf8_lossy(value.as_bytes());
            let refusal = || {
                HttpError::bad_parameter("Last-Event-ID", &shown, "must be the id of an event, as in 4711")
            };
            Some(id.ok_or_else(refusal)?)
        }
        None => parsed.after_id,
    };
    Ok(context.history.history.listen(parsed.query.filter, after))
}

/// Returns the response body as a stream of pieces: one for each event, and heartbeats (messages without an event).
fn events(listener: Listener) -> impl Stream<Item = Bytes> + Send {
    let opening = stream::once(async { Bytes::from_static(RETRY_HINT) });
    let events = stream::unfold(listener, |mut listener| async {
        let sse_event = match timeout(HEARTBEAT, listener.next()).await {
            Ok(heard) => match heard? {
                Notification::Event(stored) => sse_event(&stored),
                Notification::Missed => Bytes::from_static(MISSED_EVENT),
            },
            Err(_) => heartbeat(&listener),
        };
        Some((sse_event, listener))
    });
    opening.chain(events)
}

/// Returns a heartbeat: a message that contains only the id of the listener's position in the history, so the page in
/// the browser gets no event. A client that reconnects sends this id back, so that the server does not search again
/// through events that the client's filter excludes.
fn heartbeat(listener: &Listener) -> Bytes {
    format!(":\nid: {}\n\n", listener.position()).into()
}

fn sse_event(stored: &StoredEvent) -> Bytes {
    let id = stored.entry.id.to_string();
    // JSON contains no unescaped line breaks.
    [b"id: ", id.as_bytes(), b"\ndata: ", stored.json(), b"\n\n"].concat().into()
}
