//! Parses a multipart stream of JPEG pictures: where each picture begins and ends, when it was captured, and whether
//! its first and last bytes are those of a JPEG.
//!
//! Bytes arrive in pieces of any size. The caller is allowed to leave out the middle of each picture (see `droppable`
//! and `dropped`), because a load generator that copied whole pictures would measure mainly itself.

use anyhow::{Context as _, Result, ensure};

/// The number of bytes at the start of each picture that must not be left out, because any real viewer parses the start
/// of a JPEG too.
const ALWAYS_READ_BYTES: usize = 1024;

/// The maximum length in bytes of a multipart header line or boundary between two pictures.
const LINE_LIMIT_BYTES: usize = 1024;

/// The maximum length in bytes of one picture, as its header `Content-Length` declares it.
const PICTURE_LIMIT_BYTES: usize = 64 * 1024 * 1024;

const SOI: [u8; 2] = [0xff, 0xd8];
const EOI: [u8; 2] = [0xff, 0xd9];

/// A picture that has arrived completely.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Picture {
    /// Length of the JPEG image in bytes.
    pub(crate) bytes: usize,
    /// The capture time from the header `X-Timestamp`, in microseconds since 1970; `None` without a valid header.
    pub(crate) captured_us: Option<u64>,
    /// Whether the picture starts with the JPEG marker SOI and ends with EOI.
    pub(crate) is_intact: bool,
}

/// Splits a multipart stream into pictures.
#[derive(Debug, Default)]
pub(crate) struct Parts {
    state: State,
    line: Vec<u8>,
    head: PartHead,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Boundary,
    Head,
    Body(PartBody),
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct PartHead {
    content_length: Option<usize>,
    captured_us: Option<u64>,
}

/// A picture that is still arriving: its length, how many bytes have arrived, and its first two and last two bytes,
/// which are checked.
#[derive(Debug, Clone, Copy)]
struct PartBody {
    length: usize,
    done: usize,
    first: [u8; 2],
    last: [u8; 2],
    captured_us: Option<u64>,
}

impl Parts {
    /// Returns how many of the next bytes of the stream the caller is allowed to leave out. The caller reports these
    /// bytes to [`dropped`](Self::dropped) instead of passing them to [`feed`](Self::feed).
    pub(crate) fn droppable(&self) -> usize {
        match &self.state {
            State::Body(body) if body.done >= ALWAYS_READ_BYTES => {
                body.length.saturating_sub(EOI.len() + body.done)
            }
            _ => 0,
        }
    }

    /// Records that the caller leaves out the next `count` bytes of the stream; `count` is at most
    /// [`droppable`](Self::droppable).
    pub(crate) fn dropped(&mut self, count: usize) {
        if let State::Body(body) = &mut self.state {
            body.done += count;
        }
    }

    /// Parses the next bytes of the stream and calls `whole` for each picture that ends within them.
    ///
    /// # Errors
    ///
    /// A picture has no valid `Content-Length`, or a header line or boundary is too long.
    pub(crate) fn feed(&mut self, mut input: &[u8], mut whole: impl FnMut(Picture)) -> Result<()> {
        while !input.is_empty() {
            input = match &mut self.state {
                State::Body(body) => {
                    let rest = body.take(input);
                    if body.done == body.length {
                        whole(body.picture());
                        self.state = State::Boundary;
                    }
                    rest
                }
                State::Boundary | State::Head => self.feed_line(input)?,
            };
        }
        Ok(())
    }

    fn feed_line<'a>(&mut self, input: &'a [u8]) -> Result<&'a [u8]> {
        let end = input.iter().position(|&byte| byte == b'\n');
        let (piece, rest) = input.split_at(end.map_or(input.len(), |at| at + 1));
        self.line.extend_from_slice(piece);
        ensure!(
            self.line.len() <= LINE_LIMIT_BYTES,
            "a line between two pictures is longer than {LINE_LIMIT_BYTES} bytes"
        );
        if end.is_some() {
            let line = std::mem::take(&mut self.line);
            self.end_line(line.trim_ascii_end())?;
            self.line = line;
            self.line.clear();
        }
        Ok(rest)
    }

    fn end_line(&mut self, line: &[u8]) -> Result<()> {
        match self.state {
            State::Boundary if line.starts_with(b"--") => {
                self.head = PartHead::default();
                self.state = State::Head;
            }
            State::Head if line.is_empty() => self.state = State::Body(PartBody::announced(self.head)?),
            State::Head => self.head.read_line(&String::from_utf8_lossy(line))?,
            State::Boundary | State::Body(_) => {}
        }
        Ok(())
    }
}

impl PartHead {
    fn read_line(&mut self, line: &str) -> Result<()> {
        let Some((name, value)) = line.split_once(':') else {
            return Ok(());
        };
        let value = value.trim();
        if name.eq_ignore_ascii_case("content-length") {
            let length = value.parse().with_context(|| format!("{line:?} contains no valid length"))?;
            self.content_length = Some(length);
        } else if name.eq_ignore_ascii_case("x-timestamp") {
            self.captured_us = parse_timestamp_us(value);
        }
        Ok(())
    }
}

impl PartBody {
    fn announced(head: PartHead) -> Result<Self> {
        let length = head
            .content_length
            .context("a part has no Content-Length, so the end of its picture is unknown")?;
        ensure!((4..=PICTURE_LIMIT_BYTES).contains(&length), "a part has a bad Content-Length: {length}");
        Ok(Self { length, done: 0, first: [0; 2], last: [0; 2], captured_us: head.captured_us })
    }

    /// Takes the bytes that belong to this picture from the start of `input`. Returns the rest of `input`.
    fn take<'a>(&mut self, input: &'a [u8]) -> &'a [u8] {
        let (mine, rest) = input.split_at(input.len().min(self.length - self.done));
        let span = self.done..self.done + mine.len();
        for at in 0..2 {
            if span.contains(&at) {
                self.first[at] = mine[at - span.start];
            }
            let from_end = self.length - 2 + at;
            if span.contains(&from_end) {
                self.last[at] = mine[from_end - span.start];
            }
        }
        self.done = span.end;
        rest
    }

    fn picture(&self) -> Picture {
        Picture {
            bytes: self.length,
            captured_us: self.captured_us,
            is_intact: self.first == SOI && self.last == EOI,
        }
    }
}

/// Parses seconds since 1970 with up to six decimals, such as `1763906168.012345`. Returns microseconds, or `None` if
/// the text is malformed.
fn parse_timestamp_us(text: &str) -> Option<u64> {
    let (seconds, decimals) = text.split_once('.').unwrap_or((text, ""));
    let seconds: u64 = seconds.parse().ok()?;
    let mut micros = 0;
    for at in 0..6 {
        let digit = match decimals.as_bytes().get(at) {
            Some(byte @ b'0'..=b'9') => u64::from(byte - b'0'),
            Some(_) => return None,
            None => 0,
        };
        micros = micros * 10 + digit;
    }
    seconds.checked_mul(1_000_000)?.checked_add(micros)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn jpeg(length: usize) -> Vec<u8> {
        let mut jpeg = vec![b'-'; length];
        jpeg[..2].copy_from_slice(&SOI);
        jpeg[length - 2..].copy_from_slice(&EOI);
        jpeg
    }

    fn stream(pictures: &[Vec<u8>]) -> Vec<u8> {
        let mut out = b"--frame\r\n".to_vec();
        for picture in pictures {
            let head = format!(
                "Content-Type: image/jpeg\r\nContent-Length: {}\r\nX-Timestamp: 12.000345\r\n\r\n",
                picture.len()
            );
            out.extend_from_slice(head.as_bytes());
            out.extend_from_slice(picture);
            out.extend_from_slice(b"\r\n--frame\r\n");
        }
        out
    }

    #[test]
    fn a_stream_cut_anywhere_gives_the_same_pictures() {
        let input = stream(&[jpeg(4), jpeg(300), jpeg(17)]);
        for step in 1..input.len() {
            let mut parts = Parts::default();
            let mut found = Vec::new();
            for piece in input.chunks(step) {
                parts.feed(piece, |picture| found.push(picture)).unwrap();
            }
            let lengths: Vec<_> = found.iter().map(|picture| picture.bytes).collect();
            assert_eq!(lengths, [4, 300, 17], "pieces of {step}");
            assert!(found.iter().all(|picture| picture.is_intact));
            assert!(found.iter().all(|picture| picture.captured_us == Some(12_000_345)));
        }
    }

    #[test]
    fn the_middle_of_a_picture_may_be_left_out_but_not_its_ends() {
        let input = stream(&[jpeg(5000)]);
        let body = input.len() - 5000 - b"\r\n--frame\r\n".len();
        let mut parts = Parts::default();
        let mut found = Vec::new();
        parts.feed(&input[..body + 1023], |picture| found.push(picture)).unwrap();
        assert_eq!(parts.droppable(), 0);
        parts
            .feed(&input[body + 1023..body + 1024], |picture| {
                found.push(picture);
            })
            .unwrap();
        assert_eq!(parts.droppable(), 5000 - 1024 - 2);
        parts.dropped(5000 - 1024 - 2);
        assert_eq!(parts.droppable(), 0);
        parts.feed(&input[body + 4998..], |picture| found.push(picture)).unwrap();
        assert_eq!(found.len(), 1);
        assert!(found[0].is_intact);
    }

    #[test]
    fn a_picture_without_its_last_byte_in_place_is_not_intact() {
        let mut torn = jpeg(50);
        torn[49] = 0;
        let mut found = Vec::new();
        Parts::default().feed(&stream(&[torn]), |picture| found.push(picture)).unwrap();
        assert!(!found[0].is_intact);
    }

    #[test]
    fn a_part_without_a_sensible_length_is_refused() {
        for head in ["", "Content-Length: 3\r\n", "Content-Length: 99999999999\r\n"] {
            let input = format!("--frame\r\n{head}\r\n");
            assert!(Parts::default().feed(input.as_bytes(), |_| {}).is_err(), "{head:?}");
        }
        assert!(Parts::default().feed(&[b'a'; 5000], |_| {}).is_err());
    }

    #[test]
    fn a_timestamp_is_read_to_the_microsecond() {
        assert_eq!(parse_timestamp_us("12.5"), Some(12_500_000));
        assert_eq!(parse_timestamp_us("12"), Some(12_000_000));
        assert_eq!(parse_timestamp_us("12.0000019"), Some(12_000_001));
        assert_eq!(parse_timestamp_us("-1.0"), None);
        assert_eq!(parse_timestamp_us("99999999999999999999"), None);
        assert_eq!(parse_timestamp_us("1.x"), None);
    }
}
