//! The HTTP routes for events: `/history` for people, and below `/api/events` pages, tables and live streams for
//! programs.
//!
//! This module only parses requests and formats responses. The crate `framecast_history` stores the events and reads
//! them.

mod live;
mod mark;
mod page;
mod request;
mod socket;
mod table;
mod time_parameter;

use std::sync::Arc;
use std::time::SystemTime;

use axum::Router;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use axum::routing::get;
use framecast_history::{Entry, Error};
use framecast_outputs::HttpError;
use jiff::Timestamp;
use serde::Serialize;
use tokio_util::sync::CancellationToken;

pub(crate) use mark::MarkLimiter;
pub use request::EventRequest;

use super::api::{json, rfc3339};
use super::table::{TableFormat, choose_format};
use crate::camera_table::CameraTable;
use crate::config::Settings;
use crate::history::HistoryHandle;

/// The maximum number of events on one page of `/api/events` if the client does not set the parameter `limit`.
const DEFAULT_LIMIT: usize = 100;

/// The names of the query parameters that all requests for stored events accept.
const FILTERS: [&str; 6] = ["camera", "kind", "from", "to", "since", "order"];

/// What these routes need.
#[derive(Debug, Clone)]
pub(crate) struct HistoryState {
    /// The handle by which the routes read and add stored events.
    pub(crate) history: Arc<HistoryHandle>,
    pub(crate) cameras: CameraTable,
    pub(crate) settings: Arc<Settings>,
    /// The rate limits on marks, which are events that clients add to the history.
    pub(crate) mark_limiter: Arc<MarkLimiter>,
}

/// Returns the routes `/history`, `/api/events`, the downloads `/api/events.csv`, `.ndjson` and `.json`, and
/// `/api/events/live`. The streams of `/api/events/live` end when `shutdown` is cancelled.
pub(crate) fn routes(context: HistoryState, shutdown: &CancellationToken) -> Router {
    let live = live::routes(context.clone(), shutdown.clone());
    Router::new()
        .route("/api/events", get(events).post(mark::post).options(mark::options))
        .route("/api/events.csv", table::route(TableFormat::Csv))
        .route("/api/events.ndjson", table::route(TableFormat::Ndjson))
        .route("/api/events.json", table::route(TableFormat::Json))
        .route("/history", get(table::history).options(framecast_outputs::options))
        .with_state(context)
        .merge(live)
}

#[derive(Serialize)]
struct Page {
    now: String,
    events: Vec<Entry>,
    /// The value of the parameter `cursor` with which a client gets the next page; `None` (in JSON `null`) on the last
    /// page.
    next: Option<String>,
}

/// Handles `/api/events`: responds with one page of events as JSON, or with a table of all events if the client asks
/// for a table.
async fn events(
    State(context): State<HistoryState>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, HttpError> {
    let query = query.unwrap_or_default();
    let known = [&FILTERS[..], &["limit", "cursor", "zone", "format", "bom"]].concat();
    let request = read(&context, &query, &known)?;
    if let Some(format) = table_format(&request, &headers)? {
        return table::answer(&context, &query, format, &headers).await;
    }
    let limit = request.limit.unwrap_or(DEFAULT_LIMIT);
    let page = context.history.history.page(&request.query, request.after, limit).await;
    let (events, next) = page.map_err(|error| unavailable(&error))?;
    let next = next.map(|key| request.cursor(key));
    let mut response = json(Page { now: rfc3339(SystemTime::now()), events, next });
    response.headers_mut().insert(header::VARY, header::HeaderValue::from_static("accept"));
    Ok(response)
}

/// Returns the format of the table for which the client asks; `None` if the client asks for no table. A client asks for
/// a table by the parameter `format`, or by an `Accept` header that prefers a table's content type to JSON.
fn table_format(request: &EventRequest, headers: &HeaderMap) -> Result<Option<TableFormat>, HttpError> {
    if request.format.is_some() {
        return choose(request.format.as_deref(), headers).map(Some);
    }
    // A client that accepts any type, HTML, or only unsupported types gets JSON.
    let format = choose_format(None, None, text(headers, &header::ACCEPT)).ok();
    Ok(format.filter(|format| matches!(format, TableFormat::Csv | TableFormat::Ndjson)))
}

/// Returns the table format that `parameter`, the value of the query parameter `format`, names. If `parameter` is
/// `None`, returns the format that the client's `Accept` header prefers.
fn choose(parameter: Option<&str>, headers: &HeaderMap) -> Result<TableFormat, HttpError> {
    let format = choose_format(None, parameter, text(headers, &header::ACCEPT));
    format.map_err(|error| HttpError { status: StatusCode::BAD_REQUEST, message: error.to_string() })
}

fn text<'h>(headers: &'h HeaderMap, name: &header::HeaderName) -> Option<&'h str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// Parses `query`, the query string of a request for events. Returns an error if `query` has a parameter that is not in
/// `known`.
fn read(context: &HistoryState, query: &str, known: &[&str]) -> Result<EventRequest, HttpError> {
    EventRequest::parse(query, known, Timestamp::now().as_millisecond(), &cameras(context))
        .map_err(|error| HttpError { status: StatusCode::BAD_REQUEST, message: error.to_string() })
}

fn unavailable(error: &Error) -> HttpError {
    HttpError { status: StatusCode::SERVICE_UNAVAILABLE, message: error.to_string() }
}

/// Returns the names of all cameras: first the configured cameras, then former cameras that still have events in the
/// history.
fn cameras(context: &HistoryState) -> Vec<String> {
    let mut cameras: Vec<String> =
        context.cameras.hub().feeds().iter().map(|feed| feed.name().to_owned()).collect();
    let earlier = context.history.history.cameras();
    cameras.extend(earlier.into_iter().filter(|name| context.cameras.hub().get(name).is_none()));
    cameras
}
