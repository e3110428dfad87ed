//! Finds the end of a response's body (RFC 9112 §6.3), even if the head declares it wrongly.

use bytes::{Bytes, BytesMut};

use super::chunk::{ChunkDecoder, looks_chunked};
use super::{Error, Head};

/// What ends a body, as the head declares it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Framing {
    /// There is no body.
    Empty,
    /// The body ends after this many bytes.
    Length(u64),
    /// The body ends with its last chunk.
    Chunked,
    /// The body ends when the connection closes.
    UntilClose,
}

impl Framing {
    /// Returns what ends the body, as `head` declares it. Invalid or contradictory lengths are ignored. A length of
    /// zero for a multipart stream is ignored too: some cameras send it because they do not know the length.
    fn of(head: &Head) -> Self {
        if matches!(head.status(), 100..200 | 204 | 304) {
            return Self::Empty;
        }
        if head.has_word("Transfer-Encoding", "chunked") {
            return Self::Chunked;
        }
        let mut lengths = head.get_all("Content-Length").flat_map(|value| value.split(',')).map(|text| {
            let text = text.trim();
            // `parse` accepts a sign, which no length has.
            text.parse::<u64>().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()))
        });
        match lengths.next().flatten() {
            Some(length) if lengths.all(|other| other == Some(length)) => {
                if length == 0 && is_multipart(head) { Self::UntilClose } else { Self::Length(length) }
            }
            _ => Self::UntilClose,
        }
    }
}

fn is_multipart(head: &Head) -> bool {
    head.get("Content-Type").is_some_and(|kind| kind.to_ascii_lowercase().starts_with("multipart/"))
}

/// Extracts the body of one response from a buffer that the connection fills.
#[derive(Debug)]
pub struct Body {
    state: BodyState,
    /// Whether this is the body of a multipart stream. Bytes after the declared length then belong to the body too,
    /// because the length that a server declares for a stream is often invented.
    is_stream: bool,
}

#[derive(Debug)]
enum BodyState {
    Length {
        left: u64,
    },
    Chunked(ChunkDecoder),
    /// The head declares no length, and no byte of the body has arrived yet. The first bytes show whether the body is
    /// chunked although the head does not say so.
    Unknown,
    UntilClose,
}

impl Body {
    /// Creates a decoder for the body that follows `head`.
    pub fn new(head: &Head) -> Self {
        let state = match Framing::of(head) {
            Framing::Empty => BodyState::Length { left: 0 },
            Framing::Length(left) => BodyState::Length { left },
            Framing::Chunked => BodyState::Chunked(ChunkDecoder::default()),
            Framing::UntilClose => BodyState::Unknown,
        };
        Self { state, is_stream: is_multipart(head) }
    }

    /// Takes the next bytes of the body from `buf` and returns them; `None` when more bytes are needed or the body
    /// [is done](Self::is_done).
    ///
    /// # Errors
    /// A malformed chunk; nothing after it can be read.
    pub fn decode(&mut self, buf: &mut BytesMut) -> Result<Option<Bytes>, Error> {
        loop {
            match &mut self.state {
                BodyState::Length { left: 0 } if self.is_stream && !buf.is_empty() => {
                    self.state = BodyState::UntilClose
                }
                BodyState::Length { left } => {
                    let len = usize::try_from(*left).map_or(buf.len(), |left| left.min(buf.len()));
                    *left -= len as u64;
                    return Ok((len > 0).then(|| buf.split_to(len).freeze()));
                }
                BodyState::Chunked(decoder) => return decoder.decode(buf),
                BodyState::Unknown => match looks_chunked(buf) {
                    None => return Ok(None),
                    Some(true) => self.state = BodyState::Chunked(ChunkDecoder::default()),
                    Some(false) => self.state = BodyState::UntilClose,
                },
                BodyState::UntilClose => return Ok((!buf.is_empty()).then(|| buf.split().freeze())),
            }
        }
    }

    /// Returns how many of the bytes that follow belong to the body as they are, so that they need not pass through
    /// [`decode`](Self::decode); 0 if each byte has to.
    pub fn plain_bytes(&self) -> usize {
        match &self.state {
            BodyState::Length { left } => usize::try_from(*left).unwrap_or(usize::MAX),
            BodyState::UntilClose => usize::MAX,
            BodyState::Unknown | BodyState::Chunked(_) => 0,
        }
    }

    /// Records that `len` bytes of the body, at most [`plain_bytes`](Self::plain_bytes), were read past
    /// [`decode`](Self::decode).
    pub fn skip_plain(&mut self, len: usize) {
        if let BodyState::Length { left } = &mut self.state {
            *left -= len as u64;
        }
    }

    /// Ends the body because the connection has closed. Returns the bytes left in `buf` that were held back because
    /// they might have been the first line of a chunk.
    pub fn close(&mut self, buf: &mut BytesMut) -> Option<Bytes> {
        let is_open = matches!(self.state, BodyState::Unknown);
        self.state = BodyState::Length { left: 0 };
        self.is_stream = false;
        (is_open && !buf.is_empty()).then(|| buf.split().freeze())
    }

    /// Returns whether the whole body has arrived. The result is always false for a body that ends with its connection,
    /// and for a stream that has reached its declared length.
    pub fn is_done(&self) -> bool {
        match &self.state {
            BodyState::Length { left } => *left == 0 && !self.is_stream,
            BodyState::Chunked(decoder) => decoder.is_done(),
            BodyState::Unknown | BodyState::UntilClose => false,
        }
    }

    /// Returns whether a stream has reached the length that its head declares. The stream might continue after that.
    pub fn is_at_declared_end(&self) -> bool {
        self.is_stream && matches!(self.state, BodyState::Length { left: 0 })
    }

    /// Returns whether the head declares the length of the body in bytes.
    pub fn has_length(&self) -> bool {
        matches!(self.state, BodyState::Length { .. })
    }

    /// Returns whether the body would be incomplete if the connection closed now.
    pub fn is_cut_by_close(&self) -> bool {
        match &self.state {
            BodyState::Length { left } => *left > 0,
            BodyState::Chunked(decoder) => decoder.is_chunked() && !decoder.is_done(),
            BodyState::Unknown | BodyState::UntilClose => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::HeadReader;
    use super::*;

    fn head(lines: &str) -> Head {
        HeadReader::default().read(format!("HTTP/1.0 200 OK\r\n{lines}\r\n").as_bytes()).unwrap().unwrap().0
    }

    #[test]
    fn lengths_that_are_none_say_nothing() {
        for (lines, framing) in [
            ("Content-Length: 5\r\n", Framing::Length(5)),
            ("Content-Length: 5\r\nContent-Length: 5\r\n", Framing::Length(5)),
            ("Content-Length: 5, 5\r\n", Framing::Length(5)),
            ("Content-Length: 5\r\nContent-Length: 6\r\n", Framing::UntilClose),
            ("Content-Length: -1\r\n", Framing::UntilClose),
            ("Content-Length: +5\r\n", Framing::UntilClose),
            ("Content-Length:\r\n", Framing::UntilClose),
            ("Content-Length: 99999999999999999999999\r\n", Framing::UntilClose),
            ("Content-Length: 5\r\nTransfer-Encoding: gzip, Chunked\r\n", Framing::Chunked),
            ("Content-Length: 0\r\n", Framing::Length(0)),
            ("Content-Length: 0\r\nContent-Type: Multipart/x-mixed-replace\r\n", Framing::UntilClose),
            ("", Framing::UntilClose),
        ] {
            assert_eq!(Framing::of(&head(lines)), framing, "{lines}");
        }
    }

    #[test]
    fn a_body_is_what_it_is_whatever_its_head_says() {
        for (lines, sent, body, is_done) in [
            ("Content-Length: 3\r\n", &b"abcdef"[..], &b"abc"[..], true),
            ("Content-Length: 3\r\nContent-Type: multipart/x\r\n", b"abcdef", b"abcdef", false),
            ("", b"8\r\n--frame\n\r\n0\r\n\r\n", b"--frame\n", true),
            ("", b"8\r\nother", b"8\r\nother", false),
            ("Transfer-Encoding: chunked\r\n", b"--frame\n", b"--frame\n", false),
            ("Transfer-Encoding: chunked\r\n", b"2\r\nab\r\n0\r\n\r\n", b"ab", true),
        ] {
            for len in [1, 2, 1000] {
                let (mut decoder, mut buf, mut found) =
                    (Body::new(&head(lines)), BytesMut::new(), Vec::new());
                for piece in sent.chunks(len) {
                    buf.extend_from_slice(piece);
                    while let Some(data) = decoder.decode(&mut buf).unwrap() {
                        found.extend_from_slice(&data);
                    }
                }
                assert_eq!((&*found, decoder.is_done()), (body, is_done), "{lines} {sent:?} by {len}");
            }
        }
    }

    #[test]
    fn what_is_not_yet_told_apart_when_the_connection_closes_belongs_to_the_body() {
        let (mut body, mut buf) = (Body::new(&head("")), BytesMut::from(&b"ab"[..]));
        assert_eq!(body.decode(&mut buf), Ok(None));
        assert_eq!(body.close(&mut buf).as_deref(), Some(&b"ab"[..]));
    }
}
