//! The chunked coding (RFC 9112 §7.1), parsed as leniently as browsers do.

use bytes::{Buf, Bytes, BytesMut};

use super::{Error, printable};

/// The maximum length of the line that contains a chunk's size and extensions, in bytes.
const MAX_CHUNK_LINE_BYTES: usize = 4096;

/// The maximum length of the trailer after the last chunk, in bytes.
const MAX_TRAILER_BYTES: usize = 16 * 1024;

/// Removes the chunk framing from a body.
///
/// A body that does not begin with a chunk, although its head announces chunks, is passed on unchanged.
#[derive(Debug)]
pub(super) struct ChunkDecoder {
    state: ChunkState,
    is_first: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ChunkState {
    Size,
    Data {
        left: u64,
    },
    /// The line end after a chunk's data, which some servers omit.
    DataEnd,
    Trailers {
        read_bytes: usize,
    },
    Done,
    /// The body has no chunks, although its head announces them.
    Plain,
}

impl Default for ChunkDecoder {
    fn default() -> Self {
        Self { state: ChunkState::Size, is_first: true }
    }
}

impl ChunkDecoder {
    /// Takes the next data from `buf` and returns it; `None` when more bytes are needed, or when the last chunk has
    /// arrived.
    ///
    /// # Errors
    /// [`Error::BadChunk`] and [`Error::ChunkLineTooLong`]; nothing after the error can be read.
    pub(super) fn decode(&mut self, buf: &mut BytesMut) -> Result<Option<Bytes>, Error> {
        loop {
            let is_read_on = match self.state {
                ChunkState::Size => self.read_size(buf)?,
                ChunkState::Data { left } => {
                    if buf.is_empty() {
                        return Ok(None);
                    }
                    let len = usize::try_from(left).map_or(buf.len(), |left| left.min(buf.len()));
                    let left = left - len as u64;
                    self.state = if left == 0 { ChunkState::DataEnd } else { ChunkState::Data { left } };
                    return Ok(Some(buf.split_to(len).freeze()));
                }
                ChunkState::DataEnd => self.read_data_end(buf),
                ChunkState::Trailers { read_bytes } => self.read_trailers(buf, read_bytes),
                ChunkState::Done => return Ok(None),
                ChunkState::Plain => return Ok((!buf.is_empty()).then(|| buf.split().freeze())),
            };
            if !is_read_on {
                return Ok(None);
            }
        }
    }

    /// Returns whether the last chunk and the trailer (the headers after that chunk) have arrived.
    pub(super) fn is_done(&self) -> bool {
        self.state == ChunkState::Done
    }

    /// Returns whether the body has chunks. The result is true until the first bytes show that the body has none.
    pub(super) fn is_chunked(&self) -> bool {
        self.state != ChunkState::Plain
    }

    fn read_size(&mut self, buf: &mut BytesMut) -> Result<bool, Error> {
        if self.is_first && buf.first().is_some_and(|byte| !byte.is_ascii_hexdigit()) {
            self.state = ChunkState::Plain;
            return Ok(true);
        }
        let line_len = buf.iter().take(MAX_CHUNK_LINE_BYTES).position(|byte| *byte == b'\n');
        let Some(line_len) = line_len else {
            if buf.len() >= MAX_CHUNK_LINE_BYTES {
                return Err(Error::ChunkLineTooLong { limit_bytes: MAX_CHUNK_LINE_BYTES });
            }
            return Ok(false);
        };
        let Some(size) = size(&buf[..line_len]) else {
            if self.is_first {
                self.state = ChunkState::Plain;
                return Ok(true);
            }
            return Err(Error::BadChunk { line: printable(&buf[..line_len]) });
        };
        buf.advance(line_len + 1);
        self.is_first = false;
        self.state =
            if size == 0 { ChunkState::Trailers { read_bytes: 0 } } else { ChunkState::Data { left: size } };
        Ok(true)
    }

    fn read_data_end(&mut self, buf: &mut BytesMut) -> bool {
        match **buf {
            [] | [b'\r'] => return false,
            [b'\r', b'\n', ..] => buf.advance(2),
            [b'\n', ..] => buf.advance(1),
            _ => {}
        }
        self.state = ChunkState::Size;
        true
    }

    fn read_trailers(&mut self, buf: &mut BytesMut, read_bytes: usize) -> bool {
        let Some(line_len) = buf.iter().position(|byte| *byte == b'\n') else {
            if read_bytes + buf.len() > MAX_TRAILER_BYTES {
                self.state = ChunkState::Done;
            }
            return false;
        };
        let is_last = matches!(&buf[..line_len], [] | [b'\r']);
        let read_bytes = read_bytes + line_len + 1;
        buf.advance(line_len + 1);
        let is_done = is_last || read_bytes > MAX_TRAILER_BYTES;
        self.state = if is_done { ChunkState::Done } else { ChunkState::Trailers { read_bytes } };
        true
    }
}

/// Parses the size in a chunk's first line: up to sixteen hexadecimal digits, then blanks or extensions. Returns `None`
/// for any other line.
fn size(line: &[u8]) -> Option<u64> {
    let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    let is_clean = matches!(line[digits..].trim_ascii().first(), None | Some(b';'));
    let text = std::str::from_utf8(&line[..digits]).ok()?;
    u64::from_str_radix(text, 16).ok().filter(|_| is_clean)
}

/// Returns whether the body that begins with `bytes` is chunked and contains a picture or a multipart stream. The head
/// does not tell, because some servers send chunks without declaring them. Returns `None` while more bytes are needed
/// to decide.
pub(super) fn looks_chunked(bytes: &[u8]) -> Option<bool> {
    const MAX_SIZE_LINE: usize = 10;
    let digits = bytes.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    if digits == 0 || digits > MAX_SIZE_LINE {
        return if bytes.is_empty() { None } else { Some(false) };
    }
    match bytes[digits..] {
        [] | [b'\r'] | [b'\r', b'\n'] | [b'\r', b'\n', _] => None,
        [b'\r', b'\n', b'-', b'-', ..] | [b'\r', b'\n', 0xFF, 0xD8, ..] => Some(true),
        _ => Some(false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Decodes `bytes` in pieces of `len` bytes; also returns whether the body is done, and how many bytes are left
    /// over.
    fn decode(bytes: &[u8], len: usize) -> Result<(Vec<u8>, bool, usize), Error> {
        let (mut decoder, mut buf, mut body) = (ChunkDecoder::default(), BytesMut::new(), Vec::new());
        for piece in bytes.chunks(len) {
            buf.extend_from_slice(piece);
            while let Some(data) = decoder.decode(&mut buf)? {
                body.extend_from_slice(&data);
            }
        }
        Ok((body, decoder.is_done(), buf.len()))
    }

    #[test]
    fn chunks_come_off_however_they_are_cut() {
        for (bytes, body, is_done, left) in [
            (&b"3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n"[..], &b"abcde"[..], true, 0),
            (b"3\nabc\n0\n\nnext", b"abc", true, 4),
            (b"003 \r\nabc2\r\nde0\r\nTrailer: x\r\n\r\n", b"abcde", true, 0),
            (b"ffffffffffffffff\r\nabc", b"abc", false, 0),
            (b"3\r\nabc\r\n", b"abc", false, 0),
            (b"--frame\r\n", b"--frame\r\n", false, 0),
            (b"abc is no size\r\n", b"abc is no size\r\n", false, 0),
        ] {
            for len in [1, 2, 3, 1000] {
                assert_eq!(decode(bytes, len), Ok((body.to_vec(), is_done, left)), "{bytes:?} by {len}");
            }
        }
    }

    #[test]
    fn a_chunk_without_a_size_ends_the_body_with_an_error() {
        for (bytes, line) in
            [(&b"1\r\na\r\nxyz\r\n"[..], "xyz."), (b"1\r\na\r\n11111111111111111\r\n", "11111111111111111.")]
        {
            assert_eq!(decode(bytes, 1000), Err(Error::BadChunk { line: line.to_owned() }));
        }
        let endless = [b"1\r\na\r\n1;".to_vec(), vec![b'x'; MAX_CHUNK_LINE_BYTES]].concat();
        assert!(matches!(decode(&endless, 100), Err(Error::ChunkLineTooLong { .. })));
    }

    #[test]
    fn trailers_without_end_are_not_read_on() {
        let endless = [b"1\r\na\r\n0\r\n".to_vec(), b"a: b\r\n".repeat(4000)].concat();
        assert!(decode(&endless, 1000).unwrap().1);
        let line = [b"1\r\na\r\n0\r\n".to_vec(), vec![b'x'; MAX_TRAILER_BYTES + 1]].concat();
        assert!(decode(&line, 1000).unwrap().1);
    }
}
