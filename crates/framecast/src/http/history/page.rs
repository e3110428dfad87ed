//! The HTML page `/history`: a form with filters, and a table with a row for each event. The server sends rows while it
//! reads the events. The page works without scripts.

use std::fmt;

use askama::Template;
use framecast_history::{EntryRef, Row, TimestampWriter};
use framecast_hub::EventKind;
use framecast_media::{escape_hidden, escape_hidden_multiline};
use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::HistoryState;
use super::request::EventRequest;
use crate::http::table::{Chunk, HtmlPage, TableEnd};

/// The links next to the form, which limit the events to a recent period. Each has the value of the query parameter
/// `since`, and the text of the link.
const PERIODS: [(&str, &str); 4] =
    [("1h", "Last hour"), ("24h", "Last day"), ("7d", "Last week"), ("", "All")];

/// The template of the page's beginning, up to the first row of the table.
#[derive(Template)]
#[template(path = "history_head.html")]
struct PageHead {
    cameras: Vec<String>,
    wanted_cameras: Vec<String>,
    kinds: [&'static str; EventKind::ALL.len()],
    wanted_kinds: Vec<&'static str>,
    from: String,
    to: String,
    wanted_order: &'static str,
    zone: String,
    links: Vec<PeriodLink>,
    /// The query string of the link that downloads the events of this page as CSV, for spreadsheets.
    csv: String,
    ndjson: String,
    is_temporary: bool,
    is_homeless: bool,
    /// The number of events that wait in memory to be written, because the database is unavailable; `None` if no events
    /// wait.
    waiting: Option<u64>,
}

/// A link that shows the events of another period, and leaves the rest of the filter unchanged.
struct PeriodLink {
    query: String,
    text: &'static str,
}

#[derive(Template)]
#[template(path = "history_row.html")]
struct HtmlRow<'a> {
    id: i64,
    kind: &'a str,
    at: &'a str,
    local: &'a str,
    camera: &'a str,
    text: &'a str,
    count: Option<i64>,
}

#[derive(Template)]
#[template(path = "history_foot.html")]
struct PageFoot<'a> {
    broken: Option<&'a str>,
    rows: u64,
}

/// The page `/history` for one request.
pub(super) struct HistoryPage {
    head: PageHead,
    timestamp_writer: TimestampWriter,
}

impl HistoryPage {
    /// Creates the page for `request`, which was parsed from the query string `query`.
    pub(super) fn new(context: &HistoryState, request: EventRequest, query: &str) -> Self {
        let (zone, name) = zone(request.zone);
        let history = &context.history.history;
        let stats = history.stats();
        let filter = &request.query.filter;
        let local = |at_ms: Option<i64>| {
            let at = at_ms.and_then(|at_ms| Timestamp::from_millisecond(at_ms).ok());
            at.map(|at| format!("{:.0}", zone.to_datetime(at))).unwrap_or_default()
        };
        let links = PERIODS.map(|(since, text)| PeriodLink { query: with_since(query, since), text });
        let head = PageHead {
            cameras: super::cameras(context),
            wanted_cameras: filter.cameras.clone(),
            kinds: EventKind::ALL.map(EventKind::as_str),
            wanted_kinds: filter.kinds.iter().map(|kind| kind.as_str()).collect(),
            from: local(filter.from_ms.filter(|_| request.since.is_none())),
            to: local(filter.to_ms),
            wanted_order: request.query.order.as_str(),
            zone: name,
            links: links.into(),
            csv: with_byte_order_mark(query),
            ndjson: query.to_owned(),
            is_temporary: context.history.is_temporary,
            is_homeless: history.is_in_memory(),
            waiting: Some(stats.waiting)
                .filter(|&waiting| stats.is_unavailable && waiting > 0 && !history.is_in_memory()),
        };
        Self { head, timestamp_writer: TimestampWriter::local(zone) }
    }
}

/// Returns the time zone for the page and its name. This is the requested time zone `asked`, or the server's time zone
/// if `asked` is `None`. If that time zone has no IANA name, returns UTC.
fn zone(asked: Option<TimeZone>) -> (TimeZone, String) {
    let zone = asked.unwrap_or_else(TimeZone::system);
    match zone.iana_name() {
        Some(name) => {
            let name = name.to_owned();
            (zone, name)
        }
        None => (TimeZone::UTC, "UTC".to_owned()),
    }
}

/// Returns the query string `query` with a parameter added that requests a byte order mark. Without this mark, a
/// spreadsheet might decode the text wrongly.
fn with_byte_order_mark(query: &str) -> String {
    match query.is_empty() {
        true => "bom=1".to_owned(),
        false => format!("{query}&bom=1"),
    }
}

/// Returns the query string `query` with the events limited to the period `since` (such as `24h`) before now. An empty
/// `since` removes the limit.
fn with_since(query: &str, since: &str) -> String {
    let mut rest = form_urlencoded::Serializer::new(String::new());
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        if !matches!(&*name, "from" | "to" | "since") && !value.is_empty() {
            rest.append_pair(&name, &value);
        }
    }
    if !since.is_empty() {
        rest.append_pair("since", since);
    }
    rest.finish()
}

impl HtmlPage<Row> for HistoryPage {
    fn header(&mut self, out: &mut Chunk) -> fmt::Result {
        self.head.render_into(out).map_err(|_| fmt::Error)
    }

    fn row(&mut self, row: &Row, out: &mut Chunk) -> fmt::Result {
        let EntryRef { id, at_ms, kind, camera, text, count } = row.entry();
        let camera = &*escape_hidden(camera.unwrap_or_default());
        let text = &*escape_hidden_multiline(text.unwrap_or_default());
        let local = self.timestamp_writer.text(at_ms);
        let row = HtmlRow { id, kind: kind.as_str(), at: row.at(), local, camera, text, count };
        row.render_into(out).map_err(|_| fmt::Error)
    }

    fn footer(&mut self, end: &TableEnd<'_>, out: &mut Chunk) -> fmt::Result {
        let (broken, rows) = match *end {
            TableEnd::Whole { rows } => (None, rows),
            TableEnd::BrokenOff { rows, reason } => (Some(reason), rows),
        };
        PageFoot { broken, rows }.render_into(out).map_err(|_| fmt::Error)
    }
}
