//! An event as the history stores it: with an id that it keeps.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use framecast_hub::{Event, EventKind};
use framecast_media::is_hidden;
use serde::Serialize;
use serde::ser::{SerializeStruct, Serializer};

use crate::timestamp::TimestampWriter;

/// The maximum length of an event's text, in characters. Longer texts, which come from cameras and drivers, are cut.
pub const TEXT_CHARS: usize = 1000;

/// The memory that an event takes besides its texts, in bytes: the struct, its reference counters, and the rest of its
/// JSON.
const FIXED_BYTES: usize = 320;

/// An event as the history stores it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The event's id. Later events have higher ids, with gaps. No two events of a database ever have the same id.
    pub id: i64,
    /// The time of the event, in milliseconds since 1970, UTC.
    pub at_ms: i64,
    /// The kind of event.
    pub kind: EventKind,
    /// The camera's name; `None` for an event of the server itself.
    pub camera: Option<String>,
    /// Details of the event, such as a reason or a label; `None` if there are none.
    pub text: Option<String>,
    /// A number whose meaning depends on the kind of event; `None` for kinds without a number.
    pub count: Option<i64>,
}

/// An [`Entry`] that borrows its texts, for instance from a database row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EntryRef<'a> {
    /// See [`Entry::id`].
    pub id: i64,
    /// See [`Entry::at_ms`].
    pub at_ms: i64,
    /// See [`Entry::kind`].
    pub kind: EventKind,
    /// See [`Entry::camera`].
    pub camera: Option<&'a str>,
    /// See [`Entry::text`].
    pub text: Option<&'a str>,
    /// See [`Entry::count`].
    pub count: Option<i64>,
}

/// A position in the time order of events. Of two events in the same millisecond, the one with the lower id comes
/// first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    /// See [`Entry::at_ms`].
    pub at_ms: i64,
    /// See [`Entry::id`].
    pub id: i64,
}

impl Entry {
    /// Creates the entry of `event` with the id `id`. Cuts a long text, and replaces NUL characters, which PostgreSQL
    /// cannot store.
    pub(crate) fn new(id: i64, event: Event) -> Self {
        let Event { at, kind, camera, text, count } = event;
        let count = count.map(|count| i64::try_from(count).unwrap_or(i64::MAX));
        Self { id, at_ms: millis(at), kind, camera, text: text.map(sanitized), count }
    }

    /// See [`EntryRef::size_bytes`].
    pub(crate) fn size_bytes(&self) -> usize {
        self.by_ref().size_bytes()
    }

    /// Returns an [`EntryRef`] to this entry, which borrows the entry's texts.
    pub fn by_ref(&self) -> EntryRef<'_> {
        let Self { id, at_ms, kind, camera, text, count } = self;
        let (camera, text) = (camera.as_deref(), text.as_deref());
        EntryRef { id: *id, at_ms: *at_ms, kind: *kind, camera, text, count: *count }
    }
}

impl EntryRef<'_> {
    /// Returns the event's position in the time order of events.
    pub fn key(&self) -> Key {
        Key { at_ms: self.at_ms, id: self.id }
    }

    /// Returns the most memory that the [`Entry`] of this event and its JSON can take, in bytes. The result is below 12 KiB
    /// plus twice the length of the camera's name.
    pub(crate) fn size_bytes(&self) -> usize {
        let text = self.text.unwrap_or_default();
        let camera = self.camera.unwrap_or_default();
        FIXED_BYTES + 2 * camera.len() + text.len() + text.chars().map(escaped_len).sum::<usize>()
    }

    /// Returns an [`Entry`] with copies of the borrowed texts.
    pub fn to_entry(&self) -> Entry {
        let Self { id, at_ms, kind, camera, text, count } = *self;
        Entry { id, at_ms, kind, camera: camera.map(str::to_owned), text: text.map(str::to_owned), count }
    }
}

/// Writes the JSON that the HTTP API returns for an entry. The time is in RFC 3339, UTC.
impl Serialize for Entry {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("Event", 6)?;
        fields.serialize_field("id", &self.id)?;
        fields.serialize_field("at", TimestampWriter::utc().text(self.at_ms))?;
        fields.serialize_field("kind", self.kind.as_str())?;
        fields.serialize_field("camera", &self.camera)?;
        fields.serialize_field("text", &self.text)?;
        fields.serialize_field("count", &self.count)?;
        fields.end()
    }
}

/// Returns `at` in milliseconds since 1970. Returns 0 for a time before 1970.
pub(crate) fn millis(at: SystemTime) -> i64 {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// Returns the number of bytes that a character of a text takes in JSON.
fn escaped_len(c: char) -> usize {
    match c {
        '"' | '\\' => 2,
        c if is_hidden(c) => 6,
        c => c.len_utf8(),
    }
}

/// Cuts `text` to [`TEXT_CHARS`] characters, because a driver's text can be long, such as all the output of a program
/// that failed. Replaces NUL characters, which PostgreSQL does not allow in a text.
fn sanitized(text: String) -> String {
    let is_fine = text.len() <= TEXT_CHARS && !text.contains('\0');
    if is_fine {
        return text;
    }
    text.chars().take(TEXT_CHARS).map(|c| if c == '\0' { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::StoredEvent;

    #[test]
    fn what_a_database_cannot_hold_is_replaced_and_what_is_too_long_is_cut() {
        let event = Event::new(EventKind::Lost, UNIX_EPOCH + Duration::from_millis(1_500));
        let entry = Entry::new(
            7,
            event.with_camera("yard").with_text(format!("a\0b{}", "é".repeat(2000))).with_count(u64::MAX),
        );
        let text = entry.text.as_deref().unwrap();
        assert!(text.starts_with("a\u{fffd}bé"));
        assert_eq!(text.chars().count(), TEXT_CHARS);
        assert_eq!((entry.at_ms, entry.count), (1_500, Some(i64::MAX)));
        assert_eq!(entry.by_ref().to_entry(), entry);
    }

    #[test]
    fn the_weight_of_an_entry_is_no_less_than_its_text_and_its_json() {
        let longest = ["🦀", "\u{1}", "\"", "x", "é", "\u{202e}", "\u{85}"].map(|c| c.repeat(TEXT_CHARS));
        for text in longest.into_iter().chain(["a \"fox\"\n".to_owned(), String::new()]) {
            let entry =
                Entry::new(1, Event::new(EventKind::Mark, UNIX_EPOCH).with_camera("yard").with_text(text));
            let json = StoredEvent::new(entry.clone()).json().clone();
            let weight = entry.size_bytes();
            let real = size_of::<Entry>() + entry.text.as_ref().unwrap().len() + json.len();
            assert!((real..12 << 10).contains(&weight), "{weight} for {json:?}");
        }
    }

    #[test]
    fn an_entry_is_written_as_the_api_has_it() {
        let event = Event::new(EventKind::Mark, UNIX_EPOCH + Duration::from_millis(1_795_000_000_042));
        let json = serde_json::to_string(&Entry::new(3, event.with_text("a <fox>"))).unwrap();
        let expected = r#"{"id":3,"at":"2026-11-18T11:06:40.042Z","kind":"mark","camera":null,"text":"a <fox>","count":null}"#;
        assert_eq!(json, expected);
    }
}
