//! Parses HTTP responses: the head, and the chunks of an HTTP/1.1 body.
//!
//! Both parsers accept bytes in pieces of any size, and use little memory. This module knows neither pictures nor
//! sockets.

use anyhow::{Context as _, Result, bail, ensure};

/// The maximum length of a response head in bytes. Real heads are shorter than 1 KiB.
const HEAD_LIMIT_BYTES: usize = 16 * 1024;

/// The maximum length in bytes of the line that contains a chunk's size, including extensions.
const CHUNK_LINE_LIMIT_BYTES: usize = 256;

/// Collects the bytes of a response head until the empty line at its end has arrived.
#[derive(Debug, Default)]
pub(crate) struct HeadReader {
    seen: Vec<u8>,
}

/// What a reader of a multipart stream must know from a response head.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Head {
    /// Whether the body has HTTP chunks. If not, the body lasts until the server closes the connection.
    pub(crate) chunked: bool,
}

impl HeadReader {
    /// Takes the next bytes of the response. Returns `None` while the head is incomplete. Otherwise returns the head,
    /// and how many bytes of `input` belonged to it.
    ///
    /// # Errors
    ///
    /// The head is too long, the status code is not 200, or the body is not multipart.
    pub(crate) fn feed(&mut self, input: &[u8]) -> Result<Option<(Head, usize)>> {
        let before = self.seen.len();
        self.seen.extend_from_slice(input);
        let Some(end) = find(&self.seen, b"\r\n\r\n") else {
            ensure!(
                self.seen.len() <= HEAD_LIMIT_BYTES,
                "the response head does not end within {HEAD_LIMIT_BYTES} bytes"
            );
            return Ok(None);
        };
        let head = parse_head(&String::from_utf8_lossy(&self.seen[..end]))?;
        Ok(Some((head, end + 4 - before)))
    }
}

fn parse_head(text: &str) -> Result<Head> {
    let mut lines = text.split("\r\n");
    let status = lines.next().unwrap_or_default();
    ensure!(status.split(' ').nth(1) == Some("200"), "the server answered {status:?} instead of 200");
    let mut chunked = false;
    let mut multipart = false;
    for line in lines {
        let Some((name, value)) = line.split_once(':') else {
            continue;
        };
        let value = value.trim().to_ascii_lowercase();
        if name.eq_ignore_ascii_case("transfer-encoding") {
            chunked = value == "chunked";
        } else if name.eq_ignore_ascii_case("content-type") {
            multipart = value.starts_with("multipart/");
        }
    }
    ensure!(multipart, "the response is not multipart");
    Ok(Head { chunked })
}

/// Removes the HTTP chunk framing from a body, which arrives in pieces.
#[derive(Debug, Default)]
pub(crate) struct Chunks {
    state: ChunkState,
    line: Vec<u8>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum ChunkState {
    #[default]
    Size,
    Data(usize),
    DataEnd,
    Ended,
}

impl Chunks {
    /// Returns how many bytes of the current chunk are still to be received.
    pub(crate) fn left(&self) -> usize {
        match self.state {
            ChunkState::Data(left) => left,
            _ => 0,
        }
    }

    /// Records that the kernel discarded the next `count` bytes of the current chunk, so that they are not passed to
    /// [`feed`](Self::feed).
    pub(crate) fn dropped(&mut self, count: usize) {
        if let ChunkState::Data(left) = self.state {
            self.state = after_data(left.saturating_sub(count));
        }
    }

    /// Removes the chunk framing from the bytes `input`, and calls `data` with each piece of the body that they
    /// contain.
    ///
    /// # Errors
    ///
    /// The size of a chunk is not a hexadecimal number, or a chunk contains more data than its size. Errors of the
    /// function `data` are returned too.
    pub(crate) fn feed(&mut self, mut input: &[u8], mut data: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
        while !input.is_empty() {
            match self.state {
                ChunkState::Data(left) => {
                    let (piece, rest) = input.split_at(left.min(input.len()));
                    data(piece)?;
                    self.state = after_data(left - piece.len());
                    input = rest;
                }
                ChunkState::Size | ChunkState::DataEnd => input = self.feed_line(input)?,
                ChunkState::Ended => return Ok(()),
            }
        }
        Ok(())
    }

    fn feed_line<'a>(&mut self, input: &'a [u8]) -> Result<&'a [u8]> {
        let end = input.iter().position(|&byte| byte == b'\n');
        let (piece, rest) = input.split_at(end.map_or(input.len(), |at| at + 1));
        self.line.extend_from_slice(piece);
        ensure!(self.line.len() <= CHUNK_LINE_LIMIT_BYTES, "a chunk's size line is too long");
        if end.is_some() {
            self.state = self.state_after_line()?;
            self.line.clear();
        }
        Ok(rest)
    }

    fn state_after_line(&self) -> Result<ChunkState> {
        let line = self.line.trim_ascii();
        if self.state == ChunkState::DataEnd {
            if !line.is_empty() {
                bail!("a chunk has more data than its size says");
            }
            return Ok(ChunkState::Size);
        }
        let text = String::from_utf8_lossy(line);
        let digits = text.split(';').next().unwrap_or_default().trim();
        let size = usize::from_str_radix(digits, 16)
            .with_context(|| format!("{text:?} is not the size of a chunk"))?;
        Ok(match size {
            0 => ChunkState::Ended,
            size => ChunkState::Data(size),
        })
    }
}

fn after_data(left: usize) -> ChunkState {
    match left {
        0 => ChunkState::DataEnd,
        left => ChunkState::Data(left),
    }
}

/// Returns the position of the first `needle` in `haystack`; `None` if there is none.
pub(crate) fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=frame\r\n\
        transfer-encoding: Chunked\r\n\r\nbody";

    #[test]
    fn a_head_that_comes_byte_by_byte_is_read_to_its_empty_line() {
        let mut reader = HeadReader::default();
        let mut found = None;
        for (at, byte) in HEAD.iter().enumerate() {
            if let Some((head, used)) = reader.feed(&[*byte]).unwrap() {
                found = Some((head, at + used));
                break;
            }
        }
        assert_eq!(found, Some((Head { chunked: true }, HEAD.len() - 4)));
    }

    #[test]
    fn a_head_tells_how_much_of_the_input_was_its_own() {
        let (head, used) = HeadReader::default().feed(HEAD).unwrap().unwrap();
        assert!(head.chunked);
        assert_eq!(&HEAD[used..], b"body");
    }

    #[test]
    fn a_refusal_is_an_error_that_quotes_the_status() {
        let error = HeadReader::default().feed(b"HTTP/1.1 404 Not Found\r\n\r\n").unwrap_err();
        assert!(error.to_string().contains("404 Not Found"), "{error}");
    }

    #[test]
    fn a_head_without_end_is_refused() {
        assert!(HeadReader::default().feed(&[b'a'; 20_000]).is_err());
    }

    fn dechunk(input: &[u8], step: usize) -> Result<Vec<u8>> {
        let mut chunks = Chunks::default();
        let mut out = Vec::new();
        for piece in input.chunks(step) {
            chunks.feed(piece, |data| {
                out.extend_from_slice(data);
                Ok(())
            })?;
        }
        Ok(out)
    }

    #[test]
    fn chunks_cut_anywhere_give_the_same_data() {
        let input = b"4\r\nabcd\r\nA;name=value\r\n0123456789\r\n0\r\n\r\n";
        for step in 1..input.len() {
            assert_eq!(dechunk(input, step).unwrap(), b"abcd0123456789");
        }
    }

    #[test]
    fn data_dropped_by_the_kernel_counts_against_its_chunk() {
        let mut chunks = Chunks::default();
        let mut out = Vec::new();
        chunks
            .feed(b"6\r\nab", |data| {
                out.extend_from_slice(data);
                Ok(())
            })
            .unwrap();
        assert_eq!(chunks.left(), 4);
        chunks.dropped(3);
        chunks
            .feed(b"f\r\n1\r\ng\r\n", |data| {
                out.extend_from_slice(data);
                Ok(())
            })
            .unwrap();
        assert_eq!(out, b"abfg");
    }

    #[test]
    fn a_size_that_is_no_number_and_data_that_overruns_are_refused() {
        assert!(dechunk(b"xyz\r\n", 5).is_err());
        assert!(dechunk(b"2\r\nabcd\r\n", 9).is_err());
        assert!(dechunk(b"fffffffffffffffffffff\r\n", 30).is_err());
    }
}
