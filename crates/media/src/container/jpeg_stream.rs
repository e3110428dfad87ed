//! Concatenated JPEG images, as `ffmpeg -f mjpeg` and `rpicam-vid --codec mjpeg` write them.
//!
//! The splitter walks each picture marker by marker, so the end of a thumbnail does not end the picture. The splitter
//! skips bytes between pictures. After a broken picture it goes on at the next one.

use bytes::BufMut;

use super::Picture;
use super::multipart::Headers;
use super::stream_buffer::{StreamBuffer, expected_picture_bytes};
use crate::Error;
use crate::codec::jpeg::{EndFinder, Header, PICTURE_START, Problem};

/// Splits a stream of concatenated JPEG images, whose bytes arrive in pieces, into pictures.
///
/// After each [`push`](Self::push), or write into the [`room`](Self::room), call [`next_picture`](Self::next_picture)
/// until it yields `None`; the splitter then holds at most one incomplete picture. The result does not depend on how
/// the stream is divided into pushes and writes.
#[derive(Debug)]
pub struct Splitter {
    max_picture_bytes: usize,
    buf: StreamBuffer,
    /// Where `buf` begins, in bytes from the start of the stream.
    offset: u64,
    /// Walks the picture at the start of `buf`; `None` while the splitter searches for the start of a picture.
    finder: Option<EndFinder>,
    skipped_bytes: u64,
    /// The size of the previous picture, as an estimate of the size of the next picture.
    last_picture_bytes: usize,
}

impl Splitter {
    /// Creates a splitter for pictures of at most `max_picture_bytes`.
    pub fn new(max_picture_bytes: usize) -> Self {
        Self {
            max_picture_bytes,
            buf: StreamBuffer::default(),
            offset: 0,
            finder: None,
            skipped_bytes: 0,
            last_picture_bytes: 0,
        }
    }

    /// Appends a copy of the next bytes of the stream.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buf.push(bytes);
    }

    /// Returns the place for the next bytes of the stream, which is never empty: what is written there counts as
    /// [pushed](Self::push), without a copy.
    pub fn room(&mut self) -> impl BufMut {
        self.buf.room()
    }

    /// Returns the next picture in the bytes pushed so far, or `None` if more bytes are needed.
    ///
    /// # Errors
    /// [`Error::JpegInStream`] for a broken picture, and [`Error::TooLarge`] for a picture that is larger than the
    /// limit. The next call goes on after that picture.
    pub fn next_picture(&mut self) -> Result<Option<Picture>, Error> {
        loop {
            if self.finder.is_none() && !self.find_start() {
                return Ok(None);
            }
            let Some(finder) = &mut self.finder else { continue };
            let within_bound = self.buf.len().min(self.max_picture_bytes);
            match finder.advance(&self.buf[..within_bound]) {
                Ok(Some(len)) => {
                    let header = finder.header();
                    return Ok(Some(self.take_picture(len, header)));
                }
                Ok(None) if self.buf.len() <= self.max_picture_bytes => return Ok(None),
                Ok(None) => {
                    let error = Error::TooLarge { offset: self.offset, limit_bytes: self.max_picture_bytes };
                    self.skip(self.max_picture_bytes);
                    return Err(error);
                }
                Err(error) => return Err(self.skip_broken(error)),
            }
        }
    }

    /// Returns how many of the bytes so far belonged to no whole picture.
    pub fn skipped_bytes(&self) -> u64 {
        self.skipped_bytes
    }

    /// Ends the stream. Call this method when [`next_picture`](Self::next_picture) yields `None`.
    ///
    /// # Errors
    /// [`Error::JpegInStream`] with [`Problem::Truncated`] if the stream ended inside a picture.
    pub fn finish(self) -> Result<(), Error> {
        match self.finder {
            None => Ok(()),
            Some(_) => Err(Error::JpegInStream {
                picture_offset: self.offset,
                offset: self.buf.len(),
                problem: Problem::Truncated,
            }),
        }
    }

    /// Skips to the next start of a picture. Returns false if the buffer contains none.
    fn find_start(&mut self) -> bool {
        let found = memchr::memmem::find(&self.buf, PICTURE_START);
        // The last bytes can be the first bytes of a picture start.
        self.skip(found.unwrap_or(self.buf.len().saturating_sub(PICTURE_START.len() - 1)));
        if found.is_some() {
            self.finder = Some(EndFinder::new());
            self.buf.reserve_picture(expected_picture_bytes(self.last_picture_bytes));
        }
        found.is_some()
    }

    fn take_picture(&mut self, len: usize, jpeg_header: Option<Header>) -> Picture {
        let picture = Picture {
            data: self.buf.take(len),
            offset: self.offset,
            headers: Headers::default(),
            is_complete: false,
            jpeg_header,
        };
        self.offset += len as u64;
        self.last_picture_bytes = len;
        self.finder = None;
        picture
    }

    /// Skips the bytes of a broken picture that were read. Returns `error` with its position in the stream added.
    fn skip_broken(&mut self, error: Error) -> Error {
        let Error::Jpeg { offset, problem } = error else { return error };
        let error = Error::JpegInStream { picture_offset: self.offset, offset, problem };
        // A picture that begins inside this one begins at the error's offset, which is never 0.
        self.skip(offset.max(1));
        error
    }

    fn skip(&mut self, len: usize) {
        self.buf.advance(len);
        self.offset += len as u64;
        self.skipped_bytes += len as u64;
        self.finder = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::jpeg::parse_markers;

    const PLAIN: &[u8] = include_bytes!("../../../../testdata/ffmpeg-mjpeg.jpg");
    const THUMBNAIL: &[u8] = include_bytes!("../../../../testdata/ffmpeg-exif-thumbnail.jpg");

    type SplitResult = (Vec<Result<(u64, Vec<u8>), Error>>, u64);

    /// Splits a stream that arrives in pieces, which `add` adds to the splitter.
    fn split(
        max_picture_bytes: usize,
        stream: &[u8],
        chunk_bytes: usize,
        add: fn(&mut Splitter, &[u8]),
    ) -> SplitResult {
        let mut splitter = Splitter::new(max_picture_bytes);
        let mut found = Vec::new();
        for chunk in stream.chunks(chunk_bytes) {
            add(&mut splitter, chunk);
            loop {
                match splitter.next_picture() {
                    Ok(None) => break,
                    Ok(Some(picture)) => {
                        assert_eq!(parse_markers(&picture.data).ok(), picture.jpeg_header);
                        found.push(Ok((picture.offset, picture.data.to_vec())));
                    }
                    Err(error) => found.push(Err(error)),
                }
            }
        }
        let skipped_bytes = splitter.skipped_bytes();
        found.extend(splitter.finish().err().map(Err));
        (found, skipped_bytes)
    }

    /// Splits a stream in one piece and checks that smaller pieces give the same result.
    fn split_anyhow(max_picture_bytes: usize, stream: &[u8]) -> SplitResult {
        let whole = split(max_picture_bytes, stream, stream.len(), Splitter::push);
        for chunk_bytes in [1, 2, 3, 5, 64, 1000, 4096, stream.len()] {
            for add in [Splitter::push, write] {
                let found = split(max_picture_bytes, stream, chunk_bytes, add);
                assert_eq!(found, whole, "in pieces of {chunk_bytes}");
            }
        }
        whole
    }

    /// Writes `bytes` into the splitter's room, as reads from a socket do.
    fn write(splitter: &mut Splitter, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let mut room = splitter.room();
            let (head, rest) = bytes.split_at(bytes.len().min(room.remaining_mut()));
            room.put_slice(head);
            bytes = rest;
        }
    }

    #[test]
    fn pictures_back_to_back_come_out_as_they_went_in() {
        let (found, skipped_bytes) = split_anyhow(1 << 20, &[PLAIN, THUMBNAIL, PLAIN].concat());
        let second = PLAIN.len() as u64;
        let third = second + THUMBNAIL.len() as u64;
        let pictures = [(0, PLAIN), (second, THUMBNAIL), (third, PLAIN)];
        assert_eq!(found, pictures.map(|(offset, data)| Ok((offset, data.to_vec()))));
        assert_eq!(skipped_bytes, 0);
    }

    #[test]
    fn what_lies_between_pictures_is_skipped_and_counted() {
        let (found, skipped_bytes) =
            split_anyhow(1 << 20, &[b"banner\n", PLAIN, b"\r\n\xFF\xD8 \xFF", PLAIN, b"\0\0"].concat());
        assert_eq!(found.len(), 2);
        assert!(found.iter().all(|picture| picture.as_ref().unwrap().1 == PLAIN));
        assert_eq!(skipped_bytes, 7 + 6, "the last two bytes may still begin a picture");
    }

    #[test]
    fn a_picture_that_breaks_off_costs_only_itself() {
        let cut = PLAIN.len() / 2;
        let (found, _) = split_anyhow(1 << 20, &[PLAIN, &PLAIN[..cut], PLAIN].concat());
        assert_eq!(found.len(), 3);
        let error = Error::JpegInStream {
            picture_offset: PLAIN.len() as u64,
            offset: cut,
            problem: Problem::SoiInside,
        };
        assert_eq!(found[1], Err(error));
        assert_eq!(found[2], Ok(((PLAIN.len() + cut) as u64, PLAIN.to_vec())));
    }

    #[test]
    fn a_broken_segment_is_reported_where_it_is_in_the_stream() {
        let broken = b"\xFF\xD8\xFF\xDB\x00\x01 nonsense";
        let (found, _) = split_anyhow(1 << 20, &[broken, PLAIN].concat());
        assert!(matches!(found[0], Err(Error::JpegInStream { picture_offset: 0, .. })), "{:?}", found[0]);
        assert_eq!(found[1], Ok((broken.len() as u64, PLAIN.to_vec())));
    }

    #[test]
    fn a_picture_over_the_bound_is_an_error_and_never_held() {
        let exact = split_anyhow(PLAIN.len(), &[PLAIN, PLAIN].concat()).0;
        assert_eq!(exact.len(), 2);
        assert!(exact.iter().all(Result::is_ok));
        let small = PLAIN.len() - 1;
        let (found, _) = split_anyhow(small, &[PLAIN, PLAIN].concat());
        let too_large = |offset| Err(Error::TooLarge { offset, limit_bytes: small });
        assert_eq!(found, [too_large(0), too_large(PLAIN.len() as u64)]);
    }

    #[test]
    fn a_stream_that_ends_inside_a_picture_says_so() {
        let (found, _) = split_anyhow(1 << 20, &PLAIN[..100]);
        let error = Error::JpegInStream { picture_offset: 0, offset: 100, problem: Problem::Truncated };
        assert_eq!(found, [Err(error)]);
    }
}
