//! What happened, as pages, tables and streams: `/history` for people, `/api/events` for programs.
//!
//! Here requests are read and answers framed. Which events there are, and how they are read, is for the history.

mod live;
mod mark;
mod page;
mod socket;
mod table;

use std::time::SystemTime;

use axum::Router;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use axum::routing::get;
use framecast_history::table::Format;
use framecast_history::{Entry, Error, Request};
use framecast_outputs::Refusal;
use jiff::Timestamp;
use serde::Serialize;
use tokio_util::sync::CancellationToken;

pub(crate) use mark::Marks;

use super::Context;
use super::api::{json, rfc3339};

/// How many events a page has where nothing is said.
const LIMIT: usize = 100;

/// What all that reads events can be asked with.
const FILTERS: [&str; 6] = ["camera", "kind", "from", "to", "since", "order"];

/// `/history`, `/api/events` with its tables, and `/api/events/live`, which ends at `shutdown`.
pub(crate) fn routes(context: Context, shutdown: &CancellationToken) -> Router {
    let live = live::routes(context.clone(), shutdown.clone());
    Router::new()
        .route("/api/events", get(events).post(mark::post).options(mark::options))
        .route("/api/events.csv", table::of(Format::Csv))
        .route("/api/events.ndjson", table::of(Format::Ndjson))
        .route("/api/events.json", table::of(Format::Json))
        .route("/history", get(table::history).options(super::options))
        .with_state(context)
        .merge(live)
}

#[derive(Serialize)]
struct Page {
    now: String,
    events: Vec<Entry>,
    /// Where the next page begins; `null` on the last one.
    next: Option<String>,
}

/// A page of events for programs; the whole of them where a table is asked for.
async fn events(
    State(context): State<Context>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let query = query.unwrap_or_default();
    let known = [&FILTERS[..], &["limit", "cursor", "zone", "format", "bom"]].concat();
    let request = read(&context, &query, &known)?;
    if let Some(format) = table_format(&request, &headers)? {
        return table::answer(&context, &query, format, &headers).await;
    }
    let limit = request.limit.unwrap_or(LIMIT);
    let page = context.history.history.page(&request.query, request.after, limit).await;
    let (events, next) = page.map_err(|error| unavailable(&error))?;
    let next = next.map(|key| request.cursor(key));
    let mut response = json(Page { now: rfc3339(SystemTime::now()), events, next });
    response.headers_mut().insert(header::VARY, header::HeaderValue::from_static("accept"));
    Ok(response)
}

/// The table that is asked for in the place of a page: by `format`, or by a client that takes no JSON but a table.
fn table_format(request: &Request, headers: &HeaderMap) -> Result<Option<Format>, Refusal> {
    if request.format.is_some() {
        return choose(request.format.as_deref(), headers).map(Some);
    }
    // Whoever takes anything, a page of HTML, or nothing that there is, gets the JSON that is here.
    let format = Format::choose(None, None, text(headers, &header::ACCEPT)).ok();
    Ok(format.filter(|format| matches!(format, Format::Csv | Format::Ndjson)))
}

/// The format that the parameter `format`, or the client's `Accept` names.
fn choose(parameter: Option<&str>, headers: &HeaderMap) -> Result<Format, Refusal> {
    let format = Format::choose(None, parameter, text(headers, &header::ACCEPT));
    format.map_err(|error| Refusal { status: StatusCode::BAD_REQUEST, message: error.to_string() })
}

fn text<'h>(headers: &'h HeaderMap, name: &header::HeaderName) -> Option<&'h str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// What `query` asks for.
fn read(context: &Context, query: &str, known: &[&str]) -> Result<Request, Refusal> {
    Request::parse(query, known, Timestamp::now().as_millisecond(), &cameras(context))
        .map_err(|error| Refusal { status: StatusCode::BAD_REQUEST, message: error.to_string() })
}

fn unavailable(error: &Error) -> Refusal {
    Refusal { status: StatusCode::SERVICE_UNAVAILABLE, message: error.to_string() }
}

/// The names of all cameras, those that there are first, then those that there were.
fn cameras(context: &Context) -> Vec<String> {
    let mut cameras: Vec<String> = context.hub.feeds().iter().map(|feed| feed.name().to_owned()).collect();
    let earlier = context.history.history.cameras();
    cameras.extend(earlier.into_iter().filter(|name| context.hub.get(name).is_none()));
    cameras
}
