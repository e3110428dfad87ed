//! The HTTP response whose body is a table.

use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::Response;
use bytes::Bytes;
use framecast_history::table::{Compression, Table, TableFormat, TruncatedTable};
use futures_util::Stream;

use super::drained::drained;
use super::negotiation::{content_encoding, content_type};

/// Returns an HTTP response with `table` as its body, and with the headers for the table's format and compression. If
/// the table breaks off, the server closes the connection without the end of the body, so that no client considers the
/// table complete.
pub fn respond<S, P>(table: Table<S, P>) -> Response
where
    Table<S, P>: Stream<Item = Result<Bytes, TruncatedTable>> + Send + 'static,
{
    let head = head(table.format(), table.compression());
    let mut response = Response::new(Body::from_stream(drained(table)));
    *response.headers_mut() = head;
    response
}

fn head(format: TableFormat, compression: Compression) -> HeaderMap {
    let mut head = HeaderMap::new();
    head.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type(format)));
    if let Some(name) = content_encoding(compression) {
        head.insert(header::CONTENT_ENCODING, HeaderValue::from_static(name));
    }
    head.insert(header::VARY, HeaderValue::from_static("accept, accept-encoding"));
    head.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    head.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    // Without this header nginx buffers the rows.
    head.insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    head
}
