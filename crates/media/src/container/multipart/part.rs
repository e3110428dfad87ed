//! The parts that the parser yields.

use bytes::Bytes;

use crate::codec::jpeg::Header;

/// The headers of a multipart part, in the order in which they arrived.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Headers(Vec<(Box<str>, Box<str>)>);

impl Headers {
    /// Returns the value of the first header called `name`, without surrounding blanks; `None` if there is no such
    /// header. The case of the name does not matter.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// Returns the name and the value of each header, as written.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (&**name, &**value))
    }

    /// Returns the number of headers.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns whether the part has no headers.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the length of the body that the part declares in `Content-Length`. Returns `None` if the part declares
    /// no length, or several lengths that differ. Of several lengths, zeros are ignored, because some cameras send zero
    /// in addition to the true length.
    pub(super) fn declared_len(&self) -> Option<usize> {
        let lengths = self.iter().filter(|(name, _)| name.eq_ignore_ascii_case("content-length"));
        let mut lengths: Vec<Option<usize>> = lengths.map(|(_, value)| leading_number(value)).collect();
        if lengths.len() > 1 {
            lengths.retain(|len| *len != Some(0));
            lengths.dedup();
        }
        if let [len] = lengths[..] { len } else { None }
    }

    /// Adds one header line, given without its line end. A line without a colon is dropped, because some cameras put a
    /// status line there.
    pub(super) fn add_line(&mut self, line: &[u8]) {
        let text = String::from_utf8_lossy(line);
        if let Some((name, value)) = text.split_once(':') {
            self.0.push((name.trim().into(), value.trim().into()));
        }
    }
}

/// Returns the number at the start of `text`; `None` if there is none. Some cameras write a unit or a comma after the
/// number.
fn leading_number(text: &str) -> Option<usize> {
    let text = text.strip_prefix('+').unwrap_or(text);
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    text[..end].parse().ok()
}

/// One part of a multipart stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// The headers of the part.
    pub headers: Headers,
    /// The content of the part, without the line end that belongs to the boundary after it.
    pub body: Bytes,
    /// Offset of the body, in bytes from the start of the stream.
    pub offset: u64,
    /// Whether the part declared its length and arrived in full length.
    pub is_complete: bool,
    /// What the markers of the body say, if the parser has walked them and the body is one JPEG image from its first
    /// byte to its last. `None` says nothing about the body.
    pub jpeg_header: Option<Header>,
}

impl Part {
    /// Returns the value of the first header called `name`; `None` if there is no such header. The case of the name
    /// does not matter.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)
    }
}
