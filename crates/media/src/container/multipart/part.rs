//! What the parser yields.

use bytes::Bytes;

/// The headers of a part, in the order in which they came.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Headers(Vec<(Box<str>, Box<str>)>);

impl Headers {
    /// The value of the first header called `name`, in any case, without surrounding blanks.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// Name and value of each header, as written.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (&**name, &**value))
    }

    /// The number of headers.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether the part has none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The length of the body that the part declares in `Content-Length`; `None` if it declares none, or several that
    /// differ. Some cameras send a header with zero and a second one with the true length.
    pub(super) fn declared_len(&self) -> Option<usize> {
        let lengths = self.iter().filter(|(name, _)| name.eq_ignore_ascii_case("content-length"));
        let mut lengths: Vec<Option<usize>> = lengths.map(|(_, value)| leading_number(value)).collect();
        if lengths.len() > 1 {
            lengths.retain(|len| *len != Some(0));
            lengths.dedup();
        }
        if let [len] = lengths[..] { len } else { None }
    }

    /// Adds one line without its end. Drops a line without a colon: some cameras put a status line there.
    pub(super) fn add_line(&mut self, line: &[u8]) {
        let text = String::from_utf8_lossy(line);
        if let Some((name, value)) = text.split_once(':') {
            self.0.push((name.trim().into(), value.trim().into()));
        }
    }
}

/// The number at the start of `text`: some cameras write a unit or a comma after it.
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
    /// The body, without the line end that belongs to the boundary after it.
    pub body: Bytes,
    /// Where the body begins, in bytes from the start of the stream.
    pub offset: u64,
    /// Whether the part declared its length and all of it arrived.
    pub is_complete: bool,
}

impl Part {
    /// The value of the first header called `name`, in any case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)
    }
}
