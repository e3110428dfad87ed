//! Parses the query part of a URL as a request for events: which events, in which order, and after which position.
//!
//! The code reads no clock and no database: the time and the known cameras come as arguments.

use std::borrow::Cow;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use framecast_history::query::MAX_CAMERAS;
use framecast_history::{Filter, Key, Order, Query};
use framecast_hub::EventKind;
use framecast_media::{FLAG_VALUES, escape_hidden, parse_flag};
use jiff::tz::TimeZone;

use super::time_parameter;

/// The maximum number of events that a client can request at once (a page).
pub(super) const MAX_LIMIT: usize = 1000;

/// The longest time that a client can look back with the parameter `since`: a hundred years.
const MAX_SINCE: Duration = Duration::from_secs(100 * 366 * 86_400);

/// A client's request for events, parsed from the query part of a URL. Each client interface uses some of the fields.
#[derive(Debug, Clone, Default)]
pub struct EventRequest {
    /// Which events the client wants, and in which order.
    pub query: Query,
    /// How far to look back from now, if the client gave the parameter `since` in place of `from`. `query` contains the
    /// resulting start time too.
    pub since: Option<Duration>,
    /// The maximum number of events that the client wants at once.
    pub limit: Option<usize>,
    /// The position in the order of events after which the response begins.
    pub after: Option<Key>,
    /// The id of the event after which live events begin.
    pub after_id: Option<i64>,
    /// The time zone of the times in the response, and of times in the request that do not name a zone.
    pub zone: Option<TimeZone>,
    /// The name of the format that the client wants, such as `csv`.
    pub format: Option<String>,
    /// Whether the client wants CSV that begins with a byte order mark.
    pub has_byte_order_mark: bool,
}

/// An invalid parameter in the query of a URL.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name}={}: {problem}", shown(.value))]
pub struct BadParameter {
    /// The parameter's name.
    pub name: String,
    /// The parameter's value.
    pub value: String,
    /// What is wrong with the parameter's value, and what a valid value looks like, as a text.
    pub problem: String,
}

fn shown(value: &str) -> String {
    match value.char_indices().nth(100) {
        Some((end, _)) => format!("{}…", escape_hidden(&value[..end])),
        None => escape_hidden(value).into_owned(),
    }
}

impl EventRequest {
    /// Parses `query`, the part of a URL after `?`. `known` lists the parameters that are allowed. `cameras` contains
    /// the names of all cameras that a client can ask for, including cameras that no longer exist.
    ///
    /// # Errors
    /// The first invalid parameter.
    pub fn parse(query: &str, known: &[&str], now_ms: i64, cameras: &[String]) -> Result<Self, BadParameter> {
        let pairs: Vec<(Cow<'_, str>, Cow<'_, str>)> = form_urlencoded::parse(query.as_bytes()).collect();
        if let Some((name, value)) = pairs.iter().find(|(name, _)| !known.contains(&&**name)) {
            let problem = format!("unknown parameter; known parameters: {}", known.join(", "));
            return Err(bad(name, value, &problem));
        }
        let mut request = Self::default();
        // Read the zone first, because times earlier in the query might need it.
        let last_zone = pairs.iter().rev().find(|(name, value)| name == "zone" && !value.is_empty());
        if let Some((_, value)) = last_zone {
            request.zone = Some(zone(value).ok_or_else(|| {
                bad("zone", value, "is not a time zone that this server knows; examples: Europe/Berlin, UTC")
            })?);
        }
        let mut cursor = None;
        for (name, value) in &pairs {
            // A form also sends the fields that were left empty.
            if value.is_empty()
                && matches!(&**name, "camera" | "kind" | "from" | "to" | "since" | "order" | "zone")
            {
                continue;
            }
            match &**name {
                "cursor" => cursor = Some(value),
                _ => request.take(name, value, cameras)?,
            }
        }
        request.check_times(now_ms, &pairs)?;
        if let Some(cursor) = cursor {
            request.after = Some(request.read_cursor(cursor)?);
        }
        Ok(request)
    }

    fn take(&mut self, name: &str, value: &str, known: &[String]) -> Result<(), BadParameter> {
        let wrong = |problem: &str| bad(name, value, problem);
        let time = |value: &str, zone: Option<&TimeZone>| {
            time_parameter::parse(value, zone).map(Some).map_err(|problem| wrong(&problem))
        };
        match name {
            "camera" => self.take_cameras(value, known)?,
            "kind" => {
                for text in value.split(',') {
                    let kind = EventKind::from_name(text).ok_or_else(|| unknown_kind(text))?;
                    if !self.query.filter.kinds.contains(&kind) {
                        self.query.filter.kinds.push(kind);
                    }
                }
            }
            "from" => self.query.filter.from_ms = time(value, self.zone.as_ref())?,
            "to" => self.query.filter.to_ms = time(value, self.zone.as_ref())?,
            "since" => {
                let since = humantime::parse_duration(value).ok().filter(|since| *since <= MAX_SINCE);
                self.since =
                    Some(since.ok_or_else(|| wrong("must be a duration before now, as in 24h or 15min"))?);
            }
            "order" => {
                let order = [Order::Newest, Order::Oldest].into_iter().find(|order| order.as_str() == value);
                self.query.order = order.ok_or_else(|| wrong("must be newest or oldest"))?;
            }
            "limit" => {
                let limit = value.parse().ok().filter(|limit| (1..=MAX_LIMIT).contains(limit));
                let problem = format!("must be a number from 1 to {MAX_LIMIT}, as in limit=100");
                self.limit = Some(limit.ok_or_else(|| wrong(&problem))?);
            }
            "after" => {
                let id = value.parse().ok().filter(|id| *id >= 0);
                self.after_id =
                    Some(id.ok_or_else(|| wrong("must be the id of an event, as in after=4711"))?);
            }
            "format" => self.format = Some(value.to_owned()),
            "bom" => {
                self.has_byte_order_mark = parse_flag(value).ok_or_else(|| wrong(FLAG_VALUES))?;
            }
            // The zone has been read already.
            _ => {}
        }
        Ok(())
    }

    fn take_cameras(&mut self, value: &str, known: &[String]) -> Result<(), BadParameter> {
        let cameras = &mut self.query.filter.cameras;
        for camera in value.split(',') {
            if !known.iter().any(|name| name == camera) {
                return Err(unknown_camera(camera, known));
            }
            if !cameras.iter().any(|known| known == camera) {
                cameras.push(camera.to_owned());
            }
        }
        if cameras.len() > MAX_CAMERAS {
            let problem = format!("at most {MAX_CAMERAS} cameras can be named; omit `camera` to select all");
            return Err(bad("camera", value, &problem));
        }
        Ok(())
    }

    /// Checks that the parameters `since` and `from` are not both given, and that the start time is not after the end
    /// time. Converts `since` to a start time, which it sets in the filter.
    fn check_times(
        &mut self,
        now_ms: i64,
        pairs: &[(Cow<'_, str>, Cow<'_, str>)],
    ) -> Result<(), BadParameter> {
        let value_of = |name: &str| {
            let last = pairs.iter().rev().find(|(known, value)| known == name && !value.is_empty());
            last.map(|(_, value)| value.clone().into_owned()).unwrap_or_default()
        };
        let filter = &mut self.query.filter;
        if let Some(since) = self.since {
            if filter.from_ms.is_some() {
                return Err(bad(
                    "since",
                    &value_of("since"),
                    "cannot be used with `from`; leave one of them out",
                ));
            }
            let ago = i64::try_from(since.as_millis()).unwrap_or(i64::MAX);
            filter.from_ms = Some(now_ms.saturating_sub(ago).max(0));
        }
        match (filter.from_ms, filter.to_ms) {
            (Some(from), Some(to)) if from > to => {
                let name = if self.since.is_some() { "to" } else { "from" };
                let problem = "`from` is after `to`; write them like this: \
                               from=2026-11-23T14:00:00Z&to=2026-11-23T15:00:00Z";
                Err(bad(name, &value_of(name), problem))
            }
            _ => Ok(()),
        }
    }

    /// Returns the value of the parameter `cursor` with which a client requests the events after the position `key`.
    pub fn cursor(&self, key: Key) -> String {
        let mut bytes = Vec::with_capacity(24);
        bytes.extend(key.at_ms.to_be_bytes());
        bytes.extend(key.id.to_be_bytes());
        bytes.extend(self.fingerprint().to_be_bytes());
        URL_SAFE_NO_PAD.encode(bytes)
    }

    fn read_cursor(&self, text: &str) -> Result<Key, BadParameter> {
        let wrong = |problem: &str| bad("cursor", text, problem);
        let bytes = URL_SAFE_NO_PAD.decode(text).unwrap_or_default();
        let number = |at: usize| bytes.get(at..at + 8).and_then(|bytes| bytes.try_into().ok());
        let (Some(at_ms), Some(id), Some(fingerprint), 24) = (number(0), number(8), number(16), bytes.len())
        else {
            return Err(wrong(
                "is not a cursor; use `next` from the previous page, and no cursor for the first page",
            ));
        };
        if u64::from_be_bytes(fingerprint) != self.fingerprint() {
            return Err(wrong(
                "belongs to another query; `camera`, `kind`, `from`, `to`, `since` and `order` must be the \
                 same as for the previous page",
            ));
        }
        Ok(Key { at_ms: i64::from_be_bytes(at_ms), id: i64::from_be_bytes(id) })
    }

    /// Returns a hash of the query (FNV-1a), by which a cursor is recognised as belonging to this query. The hash is
    /// the same in every run of the program. If the client gave `since`, the hash covers that duration, and not the
    /// start time, which changes with the current time.
    fn fingerprint(&self) -> u64 {
        let Query { filter: Filter { cameras, kinds, from_ms, to_ms }, order } = &self.query;
        let from_ms = from_ms.filter(|_| self.since.is_none());
        let (mut cameras, mut kinds) = (cameras.clone(), kinds.clone());
        cameras.sort_unstable();
        kinds.sort_unstable();
        let text = format!("{cameras:?} {kinds:?} {from_ms:?} {to_ms:?} {:?} {order:?}", self.since);
        let mix = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        text.bytes().fold(0xcbf2_9ce4_8422_2325, mix)
    }
}

/// Returns the time zone with the name `name`, or `None` if there is no such zone. UTC works even on a system without a
/// time zone database.
fn zone(name: &str) -> Option<TimeZone> {
    if name == "UTC" { Some(TimeZone::UTC) } else { TimeZone::get(name).ok() }
}

/// Creates the error for the unknown camera `name`. The error lists some known cameras, and shows how to ask for one.
fn unknown_camera(name: &str, known: &[String]) -> BadParameter {
    let Some(first) = known.first() else { return bad("camera", name, "unknown camera; no camera is known") };
    let some: Vec<&str> = known.iter().take(MAX_CAMERAS).map(String::as_str).collect();
    let more = if known.len() > some.len() { ", and more" } else { "" };
    let some = some.join(", ");
    let problem = format!("unknown camera; known cameras: {some}{more}; write it like this: camera={first}");
    bad("camera", name, &problem)
}

fn unknown_kind(text: &str) -> BadParameter {
    let known = EventKind::ALL.map(EventKind::as_str).join(", ");
    bad("kind", text, &format!("unknown kind; known kinds: {known}"))
}

fn bad(name: &str, value: &str, problem: &str) -> BadParameter {
    BadParameter { name: shown(name), value: value.to_owned(), problem: problem.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_MS: i64 = 1_795_442_400_000;

    const KNOWN: [&str; 12] = [
        "camera", "kind", "from", "to", "since", "order", "limit", "cursor", "after", "zone", "format", "bom",
    ];

    fn parse(query: &str) -> Result<EventRequest, BadParameter> {
        EventRequest::parse(query, &KNOWN, NOW_MS, &["front", "yard", "näh"].map(str::to_owned))
    }

    #[test]
    fn a_byte_order_mark_is_there_where_it_is_asked_for() {
        for (query, is_wanted) in [
            ("bom=1", true),
            ("bom", true),
            ("bom=", true),
            ("bom=yes", true),
            ("bom=0", false),
            ("bom=off", false),
            ("", false),
        ] {
            assert_eq!(parse(query).unwrap().has_byte_order_mark, is_wanted, "{query}");
        }
        let error = parse("bom=yes\u{202e}").unwrap_err().to_string();
        assert_eq!(error, format!("bom=yes\\u{{202e}}: {FLAG_VALUES}"));
    }

    #[test]
    fn a_query_says_which_events_in_which_order() {
        let request = parse(
            "camera=front,yard&camera=front&kind=lost&kind=live,mark&from=2026-11-23T13:00:00Z&to=2026-11-23T15:00:00%2B01:00\
             &order=oldest&limit=10&after=7&format=csv",
        )
        .unwrap();
        let Query { filter, order } = &request.query;
        assert_eq!(filter.cameras, ["front", "yard"]);
        assert_eq!(filter.kinds, [EventKind::Lost, EventKind::Live, EventKind::Mark]);
        assert_eq!((filter.from_ms, filter.to_ms), (Some(NOW_MS - 3_600_000), Some(NOW_MS)));
        assert_eq!((*order, request.limit, request.after_id), (Order::Oldest, Some(10), Some(7)));
        assert_eq!(request.format.as_deref(), Some("csv"));
        let form = parse("camera=&kind=&from=&to=&order=&zone=").unwrap();
        assert_eq!(form.query, Query::default());
        let since = parse("since=15min&camera=n%C3%A4h").unwrap().query.filter;
        assert_eq!((since.from_ms, since.cameras[0].as_str()), (Some(NOW_MS - 900_000), "näh"));
        let local = parse("from=2026-11-23T14:00&zone=UTC").unwrap();
        assert_eq!(local.query.filter.from_ms, Some(NOW_MS));
    }

    #[test]
    fn zones_of_the_system_are_known() {
        // Only if the system has the time zone database.
        let expected = std::path::Path::new("/usr/share/zoneinfo/Europe/Berlin").exists();
        let request = parse("from=2026-11-23T15:00&zone=Europe/Berlin");
        assert_eq!(request.is_ok(), expected);
        if let Ok(request) = request {
            assert_eq!(request.query.filter.from_ms, Some(NOW_MS));
        }
    }

    #[test]
    fn what_cannot_be_used_is_named_with_an_example() {
        for (query, told) in [
            (
                "camera=attic",
                "camera=attic: unknown camera; known cameras: front, yard, näh; write it like this: camera=front",
            ),
            ("camera=front,", "camera=: unknown camera"),
            ("camera=x';DROP TABLE events;--", "camera=x';DROP TABLE events;--: unknown camera"),
            ("kind=Lost", "kind=Lost: unknown kind; known kinds: started, stopped,"),
            ("from=2026-11-23T14:00:00", "from=2026-11-23T14:00:00: has no time zone"),
            ("to=0000-01-01T00:00:00Z", "to=0000-01-01T00:00:00Z: must be in the years 1970 to 9998"),
            ("to=99999-01-01T00:00:00Z", "to=99999-01-01T00:00:00Z: must be a time with a zone, as in"),
            (
                "from=2026-11-23T15:00:00Z&to=2026-11-23T14:00:00Z",
                "from=2026-11-23T15:00:00Z: `from` is after `to`; write them like this: ",
            ),
            ("since=1h&to=2026-01-01T00:00:00Z", "to=2026-01-01T00:00:00Z: `from` is after `to`"),
            ("since=1h&from=2026-01-01T00:00:00Z", "since=1h: cannot be used with `from`"),
            ("since=yesterday", "since=yesterday: must be a duration before now, as in 24h"),
            ("since=9999999999y", "since=9999999999y: must be"),
            ("order=up", "order=up: must be newest or oldest"),
            ("limit=0", "limit=0: must be a number from 1 to 1000"),
            ("limit=1001", "limit=1001: must be"),
            ("limit=", "limit=: must be"),
            ("after=-1", "after=-1: must be the id of an event"),
            ("zone=Mars", "zone=Mars: is not a time zone"),
            ("cursor=abc", "cursor=abc: is not a cursor"),
            ("cursor=", "cursor=: is not a cursor"),
            ("knd=lost", "knd=lost: unknown parameter; known parameters: camera, kind,"),
            ("a%00b=%00", "a\\u{0}b=\\u{0}: unknown parameter"),
        ] {
            let problem = parse(query).unwrap_err().to_string();
            assert!(problem.starts_with(told), "{query}: {problem}");
        }
        let long = parse(&format!("camera={}", "x".repeat(1 << 20))).unwrap_err().to_string();
        assert!(long.len() < 300, "{}", long.len());
    }

    #[test]
    fn a_cursor_goes_on_in_its_own_query_alone() {
        let key = Key { at_ms: NOW_MS, id: 42 };
        let request = parse("camera=front,yard&since=24h").unwrap();
        let cursor = request.cursor(key);
        let cameras = ["front", "yard"].map(str::to_owned);
        let later = EventRequest::parse(
            &format!("cursor={cursor}&since=24h&camera=yard,front"),
            &KNOWN,
            NOW_MS + 5,
            &cameras,
        );
        assert_eq!(later.unwrap().after, Some(key));
        for other in [
            "camera=front",
            "camera=front,yard&since=24h&order=oldest",
            "camera=front,yard&since=1d&kind=lost",
        ] {
            let problem = parse(&format!("{other}&cursor={cursor}")).unwrap_err();
            assert!(problem.problem.starts_with("belongs to another query"), "{other}: {problem}");
        }
    }
}
