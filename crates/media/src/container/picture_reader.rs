//! Reads the pictures that a program writes. The reader detects whether the program writes a multipart stream or
//! concatenated JPEG images.
//!
//! The first bytes decide: a boundary or a header line begins a multipart stream, SOI begins concatenated images. If
//! the stream begins with anything else, the error says what the stream looks like, so that the user can change the
//! program's options.

use bytes::BytesMut;

use super::jpeg_stream::Splitter;
use super::multipart::{Limits, Parser, ParserEvent, PartEnd};
use super::sniff::Content;
use super::{DEFAULT_MAX_PICTURE_BYTES, Picture};
use crate::Error;
use crate::codec::jpeg::PICTURE_START;

/// The maximum length of text before the first picture (a banner), in bytes.
const MAX_BANNER_BYTES: usize = 4096;

/// The number of bytes from the start of a stream that is enough to recognise every known kind of content.
const SNIFF_BYTES: usize = 256;

/// Reads pictures from a stream, multipart or concatenated, whose bytes arrive in pieces.
///
/// After each [`push`](Self::push) call [`next_picture`](Self::next_picture) until it yields `None`.
#[derive(Debug)]
pub struct PictureReader {
    max_picture_bytes: usize,
    mode: Mode,
}

#[derive(Debug)]
enum Mode {
    /// The bytes of the stream so far, while they are too few to decide how to read the stream.
    Sniffing(BytesMut),
    Multipart(Box<Parser>),
    ConcatenatedJpeg(Box<Splitter>),
    Failed(Content),
}

impl Default for PictureReader {
    fn default() -> Self {
        Self::new(DEFAULT_MAX_PICTURE_BYTES)
    }
}

impl PictureReader {
    /// Creates a reader for pictures of at most `max_picture_bytes`.
    pub fn new(max_picture_bytes: usize) -> Self {
        Self { max_picture_bytes, mode: Mode::Sniffing(BytesMut::new()) }
    }

    /// Appends the next bytes of the stream.
    pub fn push(&mut self, bytes: &[u8]) {
        match &mut self.mode {
            Mode::Sniffing(start) => start.extend_from_slice(bytes),
            Mode::Multipart(parser) => parser.push(bytes),
            Mode::ConcatenatedJpeg(splitter) => splitter.push(bytes),
            Mode::Failed(_) => {}
        }
    }

    /// Returns the next picture in the bytes pushed so far, or `None` if more bytes are needed.
    ///
    /// # Errors
    /// [`Error::NotPictures`] if the stream contains something else; this error is fatal. The other errors are those of
    /// [`Parser::next_event`] and [`Splitter::next_picture`] about one picture. The next call goes on after that
    /// picture.
    pub fn next_picture(&mut self) -> Result<Option<Picture>, Error> {
        loop {
            match &mut self.mode {
                Mode::Sniffing(start) => match sniff(start, self.max_picture_bytes) {
                    Some(mode) => self.mode = mode,
                    None => return Ok(None),
                },
                Mode::ConcatenatedJpeg(splitter) => return splitter.next_picture(),
                Mode::Multipart(parser) => match parser.next_event()? {
                    Some(ParserEvent::Part(part)) if part.body.is_empty() => {}
                    Some(ParserEvent::Part(part)) => return Ok(Some(part.into())),
                    Some(ParserEvent::End) => {}
                    None => return Ok(None),
                },
                Mode::Failed(looks_like) => {
                    return Err(Error::NotPictures { looks_like: looks_like.clone() });
                }
            }
        }
    }

    /// Returns how many pictures so far had stray bytes after them; see [`Parser::trailing_junk_count`].
    pub fn trailing_junk_count(&self) -> u64 {
        match &self.mode {
            Mode::Multipart(parser) => parser.trailing_junk_count(),
            Mode::Sniffing(_) | Mode::ConcatenatedJpeg(_) | Mode::Failed(_) => 0,
        }
    }

    /// Ends the stream and returns the last picture if only the boundary after it is missing. Call this method when
    /// [`next_picture`](Self::next_picture) yields `None`.
    ///
    /// # Errors
    /// [`Error::JpegInStream`] if the stream ended inside a picture. [`Error::NotPictures`] if the stream was too short
    /// to be recognised earlier and contains no pictures.
    pub fn finish(self) -> Result<Option<Picture>, Error> {
        match self.mode {
            Mode::Sniffing(start) if start.trim_ascii().is_empty() => Ok(None),
            Mode::Sniffing(start) => Err(Error::NotPictures { looks_like: Content::detect(&start) }),
            Mode::Failed(looks_like) => Err(Error::NotPictures { looks_like }),
            Mode::ConcatenatedJpeg(splitter) => splitter.finish().map(|()| None),
            Mode::Multipart(parser) => Ok(parser.finish().map(Picture::from)),
        }
    }
}

/// Decides how to read the stream from `start`, its first bytes. Returns `None` while these bytes are too few to
/// decide.
fn sniff(start: &[u8], max_picture_bytes: usize) -> Option<Mode> {
    let multipart = || {
        let limits = Limits { max_body_bytes: max_picture_bytes, ..Limits::default() };
        let mut parser = Parser::new(None).with_limits(limits).with_part_end(PartEnd::AtJpegEoi);
        parser.push(start);
        Some(Mode::Multipart(Box::new(parser)))
    };
    let concatenated_jpeg = || {
        let mut splitter = Splitter::new(max_picture_bytes);
        splitter.push(start);
        Some(Mode::ConcatenatedJpeg(Box::new(splitter)))
    };
    let text = start.trim_ascii_start();
    let begins_with =
        |word: &[u8]| text.get(..word.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(word));
    if begins_with(b"--") || begins_with(b"content-") || begins_with(b"http/") {
        return multipart();
    }
    if begins_with(PICTURE_START) {
        return concatenated_jpeg();
    }
    if start.len() < SNIFF_BYTES {
        return None;
    }
    let looks_like = Content::detect(&start[..SNIFF_BYTES]);
    if !matches!(looks_like, Content::Text(_) | Content::Unknown(_)) {
        return Some(Mode::Failed(looks_like));
    }
    let banner = &start[..start.len().min(MAX_BANNER_BYTES)];
    let boundary = memchr::memmem::find(banner, b"\n--");
    let picture = memchr::memmem::find(banner, PICTURE_START);
    match (boundary, picture) {
        (Some(boundary), picture) if picture.is_none_or(|picture| boundary < picture) => multipart(),
        (_, Some(_)) => concatenated_jpeg(),
        _ if banner.len() == MAX_BANNER_BYTES => Some(Mode::Failed(looks_like)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;
    use crate::container::multipart::Writer;

    const PICTURE: &[u8] = include_bytes!("../../../../testdata/ffmpeg-mjpeg.jpg");

    fn read(stream: &[u8], chunk_bytes: usize) -> Result<Vec<Picture>, Error> {
        let mut reader = PictureReader::new(1 << 20);
        let mut found = Vec::new();
        for chunk in stream.chunks(chunk_bytes) {
            reader.push(chunk);
            while let Some(picture) = reader.next_picture()? {
                found.push(picture);
            }
        }
        found.extend(reader.finish()?);
        Ok(found)
    }

    /// Reads a stream in one piece and checks that smaller pieces give the same result.
    fn read_anyhow(stream: &[u8]) -> Result<Vec<Picture>, Error> {
        let whole = read(stream, stream.len().max(1));
        for chunk_bytes in [1, 2, 7, 100, 255, 256, 257, 4095] {
            assert_eq!(read(stream, chunk_bytes), whole, "in pieces of {chunk_bytes}");
        }
        whole
    }

    fn multipart() -> Vec<u8> {
        let writer = Writer::new("frame").unwrap();
        let headers = [("Content-Type", "image/jpeg"), ("X-Timestamp", "12.000345")];
        let part = writer.part(&headers, PICTURE).unwrap();
        [&writer.opening()[..], &part, &part, &writer.closing()].concat()
    }

    #[test]
    fn both_ways_to_write_pictures_are_read() {
        for prefix in ["", "\r\n \n", "starting the camera\n", &"a long banner\n".repeat(100)] {
            let concatenated_jpeg = [prefix.as_bytes(), PICTURE, b"\n", PICTURE].concat();
            let multipart = [prefix.as_bytes(), &multipart()].concat();
            for stream in [concatenated_jpeg, multipart] {
                let found = read_anyhow(&stream).unwrap();
                assert_eq!(found.len(), 2, "{prefix:?}");
                assert!(found.iter().all(|picture| picture.data == PICTURE));
                assert_eq!(&stream[found[1].offset as usize..][..PICTURE.len()], PICTURE);
            }
        }
    }

    #[test]
    fn the_time_of_capture_comes_with_the_picture() {
        let found = read_anyhow(&multipart()).unwrap();
        assert_eq!(found[0].captured_at(), Some(UNIX_EPOCH + Duration::from_micros(12_000_345)));
        assert_eq!(read_anyhow(PICTURE).unwrap()[0].captured_at(), None);
    }

    #[test]
    fn the_head_of_an_http_response_is_stepped_over() {
        let head = b"HTTP/1.1 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=frame\r\n\r\n";
        assert_eq!(read_anyhow(&[&head[..], &multipart()].concat()).unwrap().len(), 2);
    }

    #[test]
    fn what_is_no_picture_is_named() {
        for (stream, expected) in [
            (b"\0\0\0\x20ftypisom".repeat(100), Content::Mp4),
            (b"ffmpeg: no such file\n".to_vec(), Content::Text("ffmpeg: no such file".into())),
            (b"again and again\n".repeat(1000), Content::Text("again and again".into())),
            (b"\x89PNG\r\n\x1A\n".to_vec(), Content::Png),
        ] {
            assert_eq!(read_anyhow(&stream), Err(Error::NotPictures { looks_like: expected }));
        }
    }

    #[test]
    fn an_empty_stream_holds_no_picture_and_no_error() {
        assert_eq!(read_anyhow(b""), Ok(vec![]));
        assert_eq!(read_anyhow(b"\r\n"), Ok(vec![]));
    }

    #[test]
    fn a_stream_that_ends_inside_a_picture_says_so() {
        let error = read_anyhow(&PICTURE[..500]).unwrap_err();
        assert!(error.to_string().contains("ends before EOI"), "{error}");
    }
}
