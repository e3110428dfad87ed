//! Tables of all events that match a query, in a format for programs such as CSV, or as the HTML page `/history`. The
//! server sends the rows while it reads the events.

use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::Response;
use framecast_history::Row;
use framecast_outputs::HttpError;
use futures_util::future::BoxFuture;

use super::page::HistoryPage;
use super::request::EventRequest;
use super::{FILTERS, HistoryState, choose, read, text};
use crate::http::page::set_head;
use crate::http::table::{HtmlPage, PlainPage, Table, TableFormat, Writer, choose_compression, respond};

/// Returns a handler that responds with a table of the events that match the request's query, in `format`.
pub(super) fn handler(
    format: TableFormat,
) -> impl Fn(State<HistoryState>, RawQuery, HeaderMap) -> BoxFuture<'static, Result<Response, HttpError>>
+ Clone
+ Send
+ Sync
+ 'static {
    move |State(context), RawQuery(query), headers| {
        Box::pin(async move { answer(&context, &query.unwrap_or_default(), format, &headers).await })
    }
}

/// Handles `/history`: responds with the HTML page, or with a table of the same events if the client asks for a table.
pub(super) async fn history(
    State(context): State<HistoryState>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, HttpError> {
    let query = query.unwrap_or_default();
    let known = [&FILTERS[..], &["zone", "format", "bom"]].concat();
    let request = read(&context, &query, &known)?;
    match choose(request.format.as_deref(), &headers)? {
        TableFormat::Html => {
            let page = HistoryPage::new(&context, request.clone(), &query);
            let mut response = stream(&context, request, TableFormat::Html, &headers, page);
            set_head(response.headers_mut(), crate::http::page::HTML);
            response.headers_mut().insert(
                header::CONTENT_SECURITY_POLICY,
                HeaderValue::from_static(
                    "default-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'self'",
                ),
            );
            response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
            Ok(response)
        }
        format => answer(&context, &query, format, &headers).await,
    }
}

/// Returns a response with a table, in `format`, of all events that match the query string `query`.
pub(super) async fn answer(
    context: &HistoryState,
    query: &str,
    format: TableFormat,
    headers: &HeaderMap,
) -> Result<Response, HttpError> {
    let known = [&FILTERS[..], &["zone", "format", "bom"]].concat();
    let request = read(context, query, &known)?;
    Ok(stream(context, request, format, headers, PlainPage::new("Events")))
}

fn stream<P>(
    context: &HistoryState,
    request: EventRequest,
    format: TableFormat,
    headers: &HeaderMap,
    page: P,
) -> Response
where
    P: HtmlPage<Row> + Send + Unpin + 'static,
{
    let compression = choose_compression(text(headers, &header::ACCEPT_ENCODING));
    let writer = Writer::new(format, compression, page);
    let writer = if request.has_byte_order_mark { writer.with_byte_order_mark() } else { writer };
    let mut response = respond(Table::new(context.history.history.rows(request.query), writer));
    if matches!(format, TableFormat::Csv) {
        let name = "attachment; filename=\"framecast-events.csv\"";
        response.headers_mut().insert(header::CONTENT_DISPOSITION, HeaderValue::from_static(name));
    }
    response
}
