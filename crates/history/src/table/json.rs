//! Writes the rows of a table as JSON objects: one per line (NDJSON), or all in one array.

use framecast_media::{escape_hidden_json, is_hidden};

use super::chunk::Chunk;
use super::record::{CellWriter, Record, write_cells};

/// For each column, the JSON text before the column's value, such as `{"id":` or `,"name":`.
#[derive(Debug, Default)]
pub(super) struct JsonKeys(Vec<String>);

impl JsonKeys {
    pub(super) fn of<R: Record>() -> Self {
        let key = |(index, column): (usize, &&str)| {
            let mut key = Chunk::default();
            key.push(if index == 0 { "{" } else { "," });
            string(column, &mut key);
            key.push(":");
            String::from_utf8_lossy(key.as_bytes()).into_owned()
        };
        Self(R::COLUMNS.iter().enumerate().map(key).collect())
    }
}

#[inline]
pub(super) fn object<R: Record>(record: &R, keys: &JsonKeys, out: &mut Chunk) {
    if R::COLUMNS.is_empty() {
        out.push("{");
    }
    write_cells(record, JsonCellWriter { out, keys: keys.0.iter() });
    out.push("}");
}

/// Writes a text as a JSON string in quotes, with hidden characters escaped.
#[inline]
fn string(text: &str, out: &mut Chunk) {
    // Reads all bytes, several at a time, instead of stopping at the first match.
    let is_plain = text
        .bytes()
        .fold(true, |is, byte| is & (b' '..0x7f).contains(&byte) & (byte != b'"') & (byte != b'\\'));
    if is_plain {
        out.push("\"");
        out.push(text);
        out.push("\"");
    } else if text.contains(is_hidden) {
        let json = serde_json::to_string(text).expect("a string is JSON");
        out.push(&escape_hidden_json(&json));
    } else {
        serde_json::to_writer(out.bytes(), text).expect("a string is written to memory");
    }
}

struct JsonCellWriter<'a> {
    out: &'a mut Chunk,
    keys: std::slice::Iter<'a, String>,
}

impl JsonCellWriter<'_> {
    #[inline]
    fn key(&mut self) {
        if let Some(key) = self.keys.next() {
            self.out.push(key);
        }
    }
}

impl CellWriter for JsonCellWriter<'_> {
    #[inline]
    fn text(&mut self, text: &str) {
        self.key();
        string(text, self.out);
    }

    #[inline]
    fn integer(&mut self, value: i64) {
        self.key();
        self.out.push_integer(value);
    }

    #[inline]
    fn float(&mut self, value: f64) {
        self.key();
        self.out.push_float(value);
    }

    #[inline]
    fn boolean(&mut self, value: bool) {
        self.key();
        self.out.push(if value { "true" } else { "false" });
    }

    #[inline]
    fn null(&mut self) {
        self.key();
        self.out.push("null");
    }
}
