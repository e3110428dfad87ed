//! The descriptions of the routes for events.

use framecast_history::TEXT_CHARS;
use framecast_history::query::MAX_CAMERAS;
use framecast_hub::EventKind;
use utoipa::openapi::path::Parameter;
use utoipa::openapi::schema::SchemaType;
use utoipa::openapi::{ArrayBuilder, ObjectBuilder, Ref, RefOr, Schema, Type};
use utoipa::{PartialSchema, ToSchema};

use super::mark::Mark;
use super::parameter::{choice, header_word, id, repeated, whole_or};
use super::request::MAX_LIMIT;
use super::{DEFAULT_LIMIT, EventPage};
use crate::http::openapi::{CROSS_SITE, HTML, JSON, Operation, Tag, flag, time, word};

const CSV: &str = "text/csv";
const NDJSON: &str = "application/x-ndjson";

/// An event, as [`Entry`](framecast_history::Entry) writes itself.
pub(super) struct EventView;

impl PartialSchema for EventView {
    fn schema() -> RefOr<Schema> {
        let of = |schema_type: SchemaType, text: &str| {
            ObjectBuilder::new().schema_type(schema_type).description(Some(text))
        };
        let or_null = |schema_type| SchemaType::Array(vec![schema_type, Type::Null]);
        let text = of(or_null(Type::String), "Details, such as a reason or a label.");
        ObjectBuilder::new()
            .property(
                "id",
                of(Type::Integer.into(), "Never changes, and grows from event to event, with gaps."),
            )
            .property("at", time())
            .property("kind", ObjectBuilder::new().schema_type(Type::String).enum_values(Some(kinds())))
            .property("camera", of(or_null(Type::String), "The camera's name; `null` for the server itself."))
            .property("text", text.max_length(Some(TEXT_CHARS)))
            .property("count", of(or_null(Type::Integer), "A number whose meaning depends on the kind."))
            .required("id")
            .required("at")
            .required("kind")
            .required("camera")
            .required("text")
            .required("count")
            .into()
    }
}

impl ToSchema for EventView {}

/// All events in one list.
struct EventTable;

impl PartialSchema for EventTable {
    fn schema() -> RefOr<Schema> {
        ArrayBuilder::new().items(Ref::from_schema_name(EventView::name())).into()
    }
}

impl ToSchema for EventTable {
    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        schemas.push((EventView::name().into_owned(), EventView::schema()));
    }
}

fn kinds() -> Vec<&'static str> {
    EventKind::ALL.iter().map(|kind| kind.as_str()).collect()
}

fn filters() -> [Parameter; 2] {
    let cameras = format!("Only events of these cameras, {MAX_CAMERAS} at most, separated by commas.");
    [
        repeated("camera", &cameras, &[]),
        repeated("kind", "Only events of these kinds, separated by commas.", &kinds()),
    ]
}

/// Adds the parameters of all requests for stored events, and how they fail.
fn of_stored(operation: Operation) -> Operation {
    operation
        .parameters(filters())
        .parameters([
            word("from", "Only events at this time or later, as in `2026-11-23T14:00:00Z`."),
            word("to", "Only events before this time."),
            word("since", "Only events of this long ago or later, as in `24h`; instead of `from`."),
            choice("order", &["newest", "oldest"], "Which events come first."),
            word("zone", "The time zone of times that have none, as in `Europe/Berlin`."),
        ])
        .error(400, "A parameter is unknown or wrong; the error says what.")
}

fn of_table(summary: &'static str) -> Operation {
    of_stored(Operation::new(Tag::Events, summary))
        .details("The server sends the rows while it reads them. If it cannot go on, it cuts the connection.")
        .parameters([flag("bom", "Whether a table in CSV begins with a byte order mark.")])
}

pub(super) fn page() -> Operation {
    of_stored(Operation::new(Tag::Events, "List events, one page at a time"))
        .details(
            "`format`, or an `Accept` that prefers CSV or NDJSON, asks for all events as a table instead.",
        )
        .parameters([
            whole_or("limit", 1..=MAX_LIMIT, DEFAULT_LIMIT, "The most events on the page."),
            word(
                "cursor",
                "Continues after the page that has this in `next`. The other parameters must be the same.",
            ),
            word("format", "`html`, `csv`, `json` or `ndjson`: a table of all events in place of a page."),
            flag("bom", "Whether a table in CSV begins with a byte order mark."),
        ])
        .json::<EventPage>(200, "The page, or the table.")
        .answer(200, HTML, "")
        .answer(200, CSV, "")
        .answer(200, NDJSON, "")
        .error(503, "The history cannot be read.")
}

pub(super) fn mark() -> Operation {
    Operation::new(Tag::Events, "Set a mark")
        .body::<Mark>("The mark.")
        .json::<EventView>(201, "The mark is on the disk.")
        .json::<EventView>(202, "The mark waits in memory.")
        .error(400, "The mark is not complete, or names no camera of this server.")
        .error(403, CROSS_SITE)
        .error(403, "Marks are turned off.")
        .error(413, "The body has more than 16 KiB.")
        .error(429, "The address has used up its marks.")
        .error(503, "Too many events wait for the disk.")
}

pub(super) fn csv() -> Operation {
    of_table("Return all events in CSV").answer(200, CSV, "The table.")
}

pub(super) fn ndjson() -> Operation {
    of_table("Return all events, each as JSON on a line").answer(200, NDJSON, "The table.")
}

pub(super) fn json() -> Operation {
    of_table("Return all events as one list in JSON").json::<EventTable>(200, "The table.")
}

pub(super) fn html() -> Operation {
    of_table("Show the history")
        .parameters([choice(
            "format",
            &["html", "csv", "json", "ndjson"],
            "A table in this format; by default what `Accept` prefers.",
        )])
        .answer(200, HTML, "The page, or a table if the request asks for one.")
        .answer(200, CSV, "")
        .answer(200, JSON, "")
        .answer(200, NDJSON, "")
}

pub(super) fn live() -> Operation {
    Operation::new(Tag::Events, "Send events as they happen, as Server-Sent Events or over a WebSocket")
        .endless()
        .parameters(filters())
        .parameters([
            id("after", "The id of the last event that the client has."),
            header_word("Last-Event-ID", "The same, from a browser that reconnects."),
        ])
        .empty(101, "The WebSocket is open.")
        .answer(200, "text/event-stream", "Events without end.")
        .error(400, "A parameter is unknown or wrong; the error says what.")
        .error(403, CROSS_SITE)
        .error(426, "The request opens no WebSocket of version 13.")
}
