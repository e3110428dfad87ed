//! Writes multipart streams.
//!
//! Each call returns one contiguous buffer for one write to a connection, or a piece for a vectored write. All
//! receivers of the same stream can share it. The boundary follows the body in the same buffer, so that a reader knows
//! at once that the part is complete.

use bytes::{BufMut, Bytes, BytesMut};

/// A boundary or header that would break the stream.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// A boundary that RFC 2046 §5.1.1 does not allow. A boundary has 1 to 70 characters from the set defined there and
    /// does not end in a blank.
    #[error(
        "{boundary:?} is not a multipart boundary: use 1 to 70 characters, each a letter, a digit, a blank or one of \
         ' ( ) + _ , - . / : = ? (no blank at the end)"
    )]
    Boundary {
        /// The rejected boundary.
        boundary: String,
    },
    /// A header name that is not a token (RFC 9110 §5.6.2).
    #[error("{name:?} is not a header name")]
    HeaderName {
        /// The rejected name.
        name: String,
    },
    /// A header value that does not stay on one line.
    #[error("the value of the header {name} contains a line end or a NUL")]
    HeaderValue {
        /// The name of the header.
        name: String,
    },
}

/// Writes a `multipart/x-mixed-replace` stream whose parts have any content type.
///
/// There are two ways to send a stream; choose one for each connection.
///
/// *In order*, for nearly every reader: first [`opening`](Self::opening), then [`part`](Self::part) for each part.
///
/// *Ahead of time*, for Chromium, which paints a part only when the headers of the next part arrive (Chromium bug
/// 527446): first [`opening_ahead`](Self::opening_ahead) with the headers of the first part, then
/// [`part_ahead`](Self::part_ahead) with each body and the headers of the part after it. The caller sends these headers
/// before the next body exists, so the headers can contain neither the length nor the time of that body.
///
/// In both ways, [`closing`](Self::closing) ends the stream. The writer has no state: one writer serves any number of
/// connections, and all of them can share a buffer.
///
/// ```
/// use framecast_media::container::multipart::Writer;
///
/// let writer = Writer::new("frame")?;
/// assert_eq!(writer.content_type(), "multipart/x-mixed-replace; boundary=frame");
/// assert_eq!(writer.opening(), "--frame\r\n");
/// assert_eq!(writer.part(&[("Content-Length", "2")], b"hi")?, "Content-Length: 2\r\n\r\nhi\r\n--frame\r\n");
/// # Ok::<(), framecast_media::container::multipart::WriteError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Writer {
    boundary: Box<str>,
}

impl Writer {
    /// Creates a writer that separates the parts with `boundary`, given without the two leading dashes.
    ///
    /// # Errors
    /// [`WriteError::Boundary`] if RFC 2046 does not allow the boundary.
    pub fn new(boundary: &str) -> Result<Self, WriteError> {
        let is_allowed = |b: u8| b.is_ascii_alphanumeric() || b" '()+_,-./:=?".contains(&b);
        if boundary.is_empty()
            || boundary.len() > 70
            || boundary.ends_with(' ')
            || !boundary.bytes().all(is_allowed)
        {
            return Err(WriteError::Boundary { boundary: boundary.to_owned() });
        }
        Ok(Self { boundary: boundary.into() })
    }

    /// Returns the value of the response's `Content-Type` header. The boundary is quoted only if necessary.
    pub fn content_type(&self) -> String {
        let boundary = &self.boundary;
        if boundary.bytes().all(is_token) {
            format!("multipart/x-mixed-replace; boundary={boundary}")
        } else {
            format!("multipart/x-mixed-replace; boundary=\"{boundary}\"")
        }
    }

    /// Returns the bytes before the first [`part`](Self::part).
    pub fn opening(&self) -> Bytes {
        Bytes::from(format!("--{}\r\n", self.boundary))
    }

    /// Returns one part: headers, blank line, body, and the boundary after the body.
    ///
    /// Headers are written as given. Readers can recognise the end of the body before the boundary arrives only if the
    /// headers contain a `Content-Length`. The body is copied once.
    ///
    /// # Errors
    /// [`WriteError::HeaderName`] or [`WriteError::HeaderValue`] if a header would not stay on its line.
    pub fn part(&self, headers: &[(&str, &str)], body: &[u8]) -> Result<Bytes, WriteError> {
        self.part_into(BytesMut::new(), headers, body)
    }

    /// Does what [`part`](Self::part) does, but reuses the memory of `buffer`, whose content is discarded. If `buffer`
    /// is too small, new memory is allocated.
    ///
    /// # Errors
    /// Those of [`part`](Self::part).
    pub fn part_into(
        &self,
        buffer: BytesMut,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Result<Bytes, WriteError> {
        check_headers(headers)?;
        let mut out = reuse_or_allocate(buffer, headers_len(headers) + body.len() + self.delimiter_len());
        put_headers(&mut out, headers);
        out.put_slice(body);
        self.put_delimiter(&mut out);
        Ok(out.freeze())
    }

    /// Returns the bytes of a [`part`](Self::part) before its body. After the body comes the
    /// [`delimiter`](Self::delimiter). For a caller that sends the body from where it is.
    ///
    /// # Errors
    /// Those of [`part`](Self::part).
    pub fn part_head(&self, headers: &[(&str, &str)]) -> Result<Bytes, WriteError> {
        check_headers(headers)?;
        let mut out = BytesMut::with_capacity(headers_len(headers));
        put_headers(&mut out, headers);
        Ok(out.freeze())
    }

    /// Returns the bytes of a [`part`](Self::part) after its body.
    pub fn delimiter(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(self.delimiter_len());
        self.put_delimiter(&mut out);
        out.freeze()
    }

    /// Returns the bytes before the first [`part_ahead`](Self::part_ahead): the boundary and the headers of the first
    /// part.
    ///
    /// # Errors
    /// [`WriteError::HeaderName`] or [`WriteError::HeaderValue`] if a header would not stay on its line.
    pub fn opening_ahead(&self, headers: &[(&str, &str)]) -> Result<Bytes, WriteError> {
        check_headers(headers)?;
        let mut out = BytesMut::with_capacity(self.delimiter_len() - 2 + headers_len(headers));
        self.put_boundary_line(&mut out);
        put_headers(&mut out, headers);
        Ok(out.freeze())
    }

    /// Returns the body whose headers were already sent, the boundary, and the headers of the next part.
    ///
    /// # Errors
    /// [`WriteError::HeaderName`] or [`WriteError::HeaderValue`] if a header would not stay on its line.
    pub fn part_ahead(&self, headers_of_next: &[(&str, &str)], body: &[u8]) -> Result<Bytes, WriteError> {
        self.part_ahead_into(BytesMut::new(), headers_of_next, body)
    }

    /// Does what [`part_ahead`](Self::part_ahead) does, but reuses the memory of `buffer`, whose content is discarded.
    /// If `buffer` is too small, new memory is allocated.
    ///
    /// # Errors
    /// Those of [`part_ahead`](Self::part_ahead).
    pub fn part_ahead_into(
        &self,
        buffer: BytesMut,
        headers_of_next: &[(&str, &str)],
        body: &[u8],
    ) -> Result<Bytes, WriteError> {
        check_headers(headers_of_next)?;
        let mut out =
            reuse_or_allocate(buffer, body.len() + self.delimiter_len() + headers_len(headers_of_next));
        out.put_slice(body);
        self.put_delimiter(&mut out);
        put_headers(&mut out, headers_of_next);
        Ok(out.freeze())
    }

    /// Returns the bytes that end the stream, for both ways of sending.
    ///
    /// The boundary that announces another part was already sent. So these bytes end that part while it is empty.
    /// Strict and lenient readers both accept this as the end of the stream.
    pub fn closing(&self) -> Bytes {
        Bytes::from(format!("\r\n--{}--\r\n", self.boundary))
    }

    /// Returns the length in bytes of the boundary line and the line end before it.
    fn delimiter_len(&self) -> usize {
        self.boundary.len() + 6
    }

    fn put_delimiter(&self, out: &mut BytesMut) {
        out.put_slice(b"\r\n");
        self.put_boundary_line(out);
    }

    fn put_boundary_line(&self, out: &mut BytesMut) {
        out.put_slice(b"--");
        out.put_slice(self.boundary.as_bytes());
        out.put_slice(b"\r\n");
    }
}

/// Returns `buffer`, emptied, if it has room for `len` bytes. Otherwise returns new memory of exactly `len` bytes.
fn reuse_or_allocate(mut buffer: BytesMut, len: usize) -> BytesMut {
    if buffer.capacity() < len {
        return BytesMut::with_capacity(len);
    }
    buffer.clear();
    buffer
}

/// Returns whether a token can contain the character `b` (RFC 9110 §5.6.2).
fn is_token(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b)
}

fn check_headers(headers: &[(&str, &str)]) -> Result<(), WriteError> {
    for (name, value) in headers {
        if name.is_empty() || !name.bytes().all(is_token) {
            return Err(WriteError::HeaderName { name: (*name).to_owned() });
        }
        if value.bytes().any(|b| matches!(b, b'\r' | b'\n' | 0)) {
            return Err(WriteError::HeaderValue { name: (*name).to_owned() });
        }
    }
    Ok(())
}

/// Returns the length in bytes of the headers and the blank line after them.
fn headers_len(headers: &[(&str, &str)]) -> usize {
    headers.iter().map(|(name, value)| name.len() + value.len() + 4).sum::<usize>() + 2
}

fn put_headers(out: &mut BytesMut, headers: &[(&str, &str)]) {
    for (name, value) in headers {
        out.put_slice(name.as_bytes());
        out.put_slice(b": ");
        out.put_slice(value.as_bytes());
        out.put_slice(b"\r\n");
    }
    out.put_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_in_memory_that_was_used_is_the_same_as_in_new_memory() {
        let long = frame().part(TEXT, &[b'x'; 1000]).unwrap();
        let start = long.as_ptr();
        let part = frame().part_into(long.try_into_mut().unwrap(), TEXT, b"hi").unwrap();
        assert_eq!((part.as_ptr(), &part), (start, &frame().part(TEXT, b"hi").unwrap()));
        let ahead = frame().part_ahead_into(part.try_into_mut().unwrap(), TEXT, &[b'y'; 2000]).unwrap();
        assert_eq!(ahead, frame().part_ahead(TEXT, &[b'y'; 2000]).unwrap());
    }

    const TEXT: &[(&str, &str)] = &[("Content-Type", "text/plain")];

    fn frame() -> Writer {
        Writer::new("frame").unwrap()
    }

    /// If no capacity is left over, the buffer was allocated once with the right size.
    fn has_exact_capacity(bytes: Bytes) -> bool {
        let len = bytes.len();
        bytes.try_into_mut().unwrap().capacity() == len
    }

    #[test]
    fn the_boundary_follows_the_body_in_the_same_buffer() {
        let part =
            frame().part(&[("Content-Type", "text/plain"), ("Content-Length", "5")], b"hello").unwrap();
        assert_eq!(part, "Content-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello\r\n--frame\r\n");
        assert!(has_exact_capacity(part));
    }

    #[test]
    fn a_part_in_pieces_is_the_same_as_in_one_buffer() {
        let pieces = [frame().part_head(TEXT).unwrap(), Bytes::from("hi"), frame().delimiter()];
        assert_eq!(pieces.concat(), frame().part(TEXT, b"hi").unwrap());
        assert!(has_exact_capacity(frame().part_head(TEXT).unwrap()));
    }

    #[test]
    fn a_part_without_headers_still_has_its_blank_line() {
        assert_eq!(frame().part(&[], b"x").unwrap(), "\r\nx\r\n--frame\r\n");
    }

    #[test]
    fn ahead_of_time_each_body_brings_the_headers_of_the_next() {
        let opening = frame().opening_ahead(TEXT).unwrap();
        assert_eq!(opening, "--frame\r\nContent-Type: text/plain\r\n\r\n");
        assert!(has_exact_capacity(opening));
        let part = frame().part_ahead(TEXT, b"one").unwrap();
        assert_eq!(part, "one\r\n--frame\r\nContent-Type: text/plain\r\n\r\n");
        assert!(has_exact_capacity(part));
    }

    #[test]
    fn a_boundary_outside_the_token_characters_is_quoted() {
        assert_eq!(frame().content_type(), "multipart/x-mixed-replace; boundary=frame");
        let odd = Writer::new("a b:c").unwrap();
        assert_eq!(odd.content_type(), "multipart/x-mixed-replace; boundary=\"a b:c\"");
    }

    #[test]
    fn a_boundary_that_rfc_2046_forbids_is_refused() {
        for boundary in ["", "a ", "a\r\nb", "\"", "ü", "a;b", &"x".repeat(71)] {
            assert_eq!(Writer::new(boundary), Err(WriteError::Boundary { boundary: boundary.into() }));
        }
        assert!(Writer::new(&"x".repeat(70)).is_ok());
    }

    #[test]
    fn a_header_that_would_leave_its_line_is_refused() {
        let injected = [("X-Name", "front\r\nSet-Cookie: a=b")];
        let refused = Err(WriteError::HeaderValue { name: "X-Name".into() });
        assert_eq!(frame().part(&injected, b""), refused);
        assert_eq!(frame().part_ahead(&injected, b""), refused);
        assert_eq!(frame().opening_ahead(&injected), refused);
        for name in ["", "X Name", "X:Name", "X\r\n"] {
            assert_eq!(frame().part(&[(name, "")], b""), Err(WriteError::HeaderName { name: name.into() }));
        }
    }
}
