//! The HTTP routes for events: `/history` for people, and below `/api/events` pages, tables and live streams for
//! programs.
//!
//! This module only parses requests and formats responses. The crate `framecast_history` stores the events and reads
//! them.

mod describe;
mod live;
mod mark;
mod page;
mod parameter;
mod request;
mod socket;
mod table;
mod time_parameter;

use std::sync::Arc;
use std::time::SystemTime;

use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use framecast_history::{Entry, Error};
use framecast_outputs::HttpError;
use jiff::Timestamp;
use serde::Serialize;
use tokio_util::sync::CancellationToken;
use utoipa::ToSchema;

pub(crate) use mark::MarkLimiter;
pub use request::EventRequest;

use super::api::{json, rfc3339};
use super::openapi::{RouteTable, Routes, time};
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
pub(super) fn routes(context: HistoryState, shutdown: &CancellationToken) -> Routes {
    let live = live::routes(context.clone(), shutdown.clone());
    RouteTable::new()
        .get("/api/events", events, describe::page)
        .post("/api/events", mark::post, describe::mark)
        .get("/api/events.csv", table::handler(TableFormat::Csv), describe::csv)
        .get("/api/events.ndjson", table::handler(TableFormat::Ndjson), describe::ndjson)
        .get("/api/events.json", table::handler(TableFormat::Json), describe::json)
        .get("/history", table::history, describe::html)
        .with_state(context)
        .merge(live)
}

/// A page of events.
#[derive(Serialize, ToSchema)]
struct EventPage {
    #[schema(schema_with = time)]
    now: String,
    #[schema(value_type = Vec<describe::EventView>)]
    events: Vec<Entry>,
    /// The value of the parameter `cursor` with which a client gets the next page; `None` on the last
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
    let mut response = json(EventPage { now: rfc3339(SystemTime::now()), events, next });
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
