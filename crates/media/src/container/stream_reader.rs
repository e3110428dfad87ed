//! Reads what a program writes: pictures, or coded video as a byte stream or as fragmented MP4.
//!
//! The first bytes decide. What is not coded video goes to the [`PictureReader`], which says what the stream looks like
//! if it holds no pictures.

use bytes::BytesMut;

use super::fmp4::{Fmp4Reader, Sample};
use super::sniff::Content;
use super::{AccessUnit, AnnexBReader, DEFAULT_MAX_PICTURE_BYTES, Picture, PictureReader};
use crate::Error;

/// The number of bytes that tell coded video: the header of a box, or a start code and the header of a NAL unit.
const SNIFF_BYTES: usize = 8;

/// The maximum number of bytes that decide, if the stream begins with many zeros.
const MAX_SNIFF_BYTES: usize = 256;

/// What is read from a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum StreamItem {
    /// A picture by itself.
    Picture(Picture),
    /// A frame of coded video in a byte stream, which has no times.
    AccessUnit(AccessUnit),
    /// A frame of coded video in fragmented MP4, which has times.
    Sample(Sample),
}

/// Reads pictures or frames of coded video from a stream whose bytes arrive in pieces.
///
/// After each [`push`](Self::push), [`pause`](Self::pause) and [`end`](Self::end), call [`next_item`](Self::next_item)
/// until it yields `None`.
#[derive(Debug)]
pub struct StreamReader {
    max_picture_bytes: usize,
    mode: StreamMode,
    pushed_bytes: u64,
    has_ended: bool,
}

#[derive(Debug)]
enum StreamMode {
    /// The bytes of the stream so far, while they are too few to decide how to read the stream.
    Sniffing(BytesMut),
    Pictures(Box<PictureReader>),
    AnnexB(Box<AnnexBReader>),
    Fmp4(Box<Fmp4Reader>),
    /// Nothing is left. The value is what [`StreamReader::trailing_junk_count`] was.
    Ended(u64),
}

impl Default for StreamReader {
    fn default() -> Self {
        Self::new(DEFAULT_MAX_PICTURE_BYTES)
    }
}

impl StreamReader {
    /// Creates a reader for pictures and access units of at most `max_picture_bytes`. In MP4, boxes have this limit.
    pub fn new(max_picture_bytes: usize) -> Self {
        Self {
            max_picture_bytes,
            mode: StreamMode::Sniffing(BytesMut::new()),
            pushed_bytes: 0,
            has_ended: false,
        }
    }

    /// Appends the next bytes of the stream.
    pub fn push(&mut self, bytes: &[u8]) {
        self.pushed_bytes += bytes.len() as u64;
        match &mut self.mode {
            StreamMode::Sniffing(start) => {
                start.extend_from_slice(bytes);
                if let Some(mode) = sniff(start, self.max_picture_bytes) {
                    self.mode = mode;
                }
            }
            StreamMode::Pictures(reader) => reader.push(bytes),
            StreamMode::AnnexB(reader) => reader.push(bytes),
            StreamMode::Fmp4(reader) => reader.push(bytes),
            StreamMode::Ended(_) => {}
        }
    }

    /// Returns the number of bytes so far.
    pub fn pushed_bytes(&self) -> u64 {
        self.pushed_bytes
    }

    /// Returns whether a [`pause`](Self::pause) of the stream can tell something.
    pub fn heeds_pauses(&self) -> bool {
        matches!(self.mode, StreamMode::AnnexB(_)) && !self.has_ended
    }

    /// Tells that nothing has come for some milliseconds since the last [`push`](Self::push): see
    /// [`AnnexBReader::pause`]. Does nothing for other streams.
    pub fn pause(&mut self) {
        if let StreamMode::AnnexB(reader) = &mut self.mode {
            reader.pause();
        }
    }

    /// Ends the stream: [`next_item`](Self::next_item) then yields what is left.
    pub fn end(&mut self) {
        self.has_ended = true;
        match &mut self.mode {
            StreamMode::AnnexB(reader) => reader.end(),
            StreamMode::Sniffing(start) => self.mode = pictures(start, self.max_picture_bytes),
            StreamMode::Pictures(_) | StreamMode::Fmp4(_) | StreamMode::Ended(_) => {}
        }
    }

    /// Returns whether the stream is coded video.
    pub fn is_video(&self) -> bool {
        matches!(self.mode, StreamMode::AnnexB(_) | StreamMode::Fmp4(_))
    }

    /// Returns whether the stream is coded video whose parameter sets have not come.
    pub fn lacks_parameter_sets(&self) -> bool {
        match &self.mode {
            StreamMode::AnnexB(reader) => reader.codec().is_none(),
            StreamMode::Fmp4(reader) => reader.format().is_none(),
            StreamMode::Sniffing(_) | StreamMode::Pictures(_) | StreamMode::Ended(_) => false,
        }
    }

    /// Returns how many frames of coded video were skipped: see [`AnnexBReader::skipped_access_units`].
    pub fn skipped_access_units(&self) -> u64 {
        match &self.mode {
            StreamMode::AnnexB(reader) => reader.skipped_access_units(),
            StreamMode::Sniffing(_)
            | StreamMode::Pictures(_)
            | StreamMode::Fmp4(_)
            | StreamMode::Ended(_) => 0,
        }
    }

    /// Returns how many pictures so far had stray bytes after them; see [`PictureReader::trailing_junk_count`].
    pub fn trailing_junk_count(&self) -> u64 {
        match &self.mode {
            StreamMode::Pictures(reader) => reader.trailing_junk_count(),
            StreamMode::Ended(count) => *count,
            StreamMode::Sniffing(_) | StreamMode::AnnexB(_) | StreamMode::Fmp4(_) => 0,
        }
    }

    /// Returns the next picture or frame in the bytes so far, or `None` if more bytes are needed.
    ///
    /// # Errors
    /// Those of [`PictureReader::next_picture`], [`AnnexBReader::next_access_unit`] and [`Fmp4Reader::next_sample`],
    /// and at the end of the stream those of [`PictureReader::finish`] and [`Fmp4Reader::finish`].
    /// [`is_readable_after`](Self::is_readable_after) tells whether the next call goes on.
    pub fn next_item(&mut self) -> Result<Option<StreamItem>, Error> {
        let next = match &mut self.mode {
            StreamMode::Sniffing(_) | StreamMode::Ended(_) => return Ok(None),
            StreamMode::AnnexB(reader) => return Ok(reader.next_access_unit()?.map(StreamItem::AccessUnit)),
            StreamMode::Pictures(reader) => reader.next_picture()?.map(StreamItem::Picture),
            StreamMode::Fmp4(reader) => reader.next_sample()?.map(StreamItem::Sample),
        };
        if next.is_some() || !self.has_ended {
            return Ok(next);
        }
        let ended = StreamMode::Ended(self.trailing_junk_count());
        match std::mem::replace(&mut self.mode, ended) {
            StreamMode::Pictures(reader) => Ok(reader.finish()?.map(StreamItem::Picture)),
            StreamMode::Fmp4(reader) => reader.finish().map(|()| None),
            StreamMode::Sniffing(_) | StreamMode::AnnexB(_) | StreamMode::Ended(_) => Ok(None),
        }
    }

    /// Returns whether the stream can be read on after `error`, which [`next_item`](Self::next_item) has returned.
    pub fn is_readable_after(&self, error: &Error) -> bool {
        use super::multipart::Problem::NoBoundary;
        let has_failed =
            matches!(error, Error::NotPictures { .. } | Error::Multipart { problem: NoBoundary { .. }, .. });
        !has_failed && !matches!(self.mode, StreamMode::Fmp4(_))
    }
}

/// Decides how to read the stream from `start`, its first bytes. Returns `None` while these bytes are too few to
/// decide.
fn sniff(start: &[u8], max_picture_bytes: usize) -> Option<StreamMode> {
    // All of coded video begins with a zero. As many bytes decide, however the stream is divided.
    let zeros = start.iter().take_while(|&&byte| byte == 0).count();
    let needed_bytes = if zeros == 0 { 1 } else { (zeros + SNIFF_BYTES).min(MAX_SNIFF_BYTES) };
    match Content::detect(start.get(..needed_bytes)?) {
        Content::H26x => {
            let mut reader = AnnexBReader::new(None, max_picture_bytes);
            reader.push(start);
            Some(StreamMode::AnnexB(Box::new(reader)))
        }
        Content::Mp4 => {
            let mut reader = Fmp4Reader::new(max_picture_bytes);
            reader.push(start);
            Some(StreamMode::Fmp4(Box::new(reader)))
        }
        _ => Some(pictures(start, max_picture_bytes)),
    }
}

fn pictures(start: &[u8], max_picture_bytes: usize) -> StreamMode {
    let mut reader = PictureReader::new(max_picture_bytes);
    reader.push(start);
    StreamMode::Pictures(Box::new(reader))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::container::fmp4::Problem;

    const PICTURE: &[u8] = include_bytes!("../../../../testdata/ffmpeg-mjpeg.jpg");
    const H264: &[u8] = include_bytes!("../../../../testdata/x264-baseline.h264");
    const H265: &[u8] = include_bytes!("../../../../testdata/x265-bframes.h265");
    const FMP4: &[u8] = include_bytes!("../../../../testdata/ffmpeg-fmp4-x264.mp4");
    const MP4: &[u8] = include_bytes!("../../../../testdata/ffmpeg-mp4-unfragmented.mp4");

    #[test]
    fn zeros_before_a_byte_stream_do_no_harm_however_it_is_divided() {
        let stream = [&[0; 76][..], H264].concat();
        let whole = read(&stream, stream.len()).unwrap();
        assert!(matches!(whole[0], StreamItem::AccessUnit(_)));
        for piece_bytes in [1, 7, 64] {
            assert_eq!(read(&stream, piece_bytes).unwrap(), whole, "{piece_bytes}");
        }
    }

    fn read(stream: &[u8], piece_bytes: usize) -> Result<Vec<StreamItem>, Error> {
        let mut reader = StreamReader::default();
        let mut found = Vec::new();
        for piece in stream.chunks(piece_bytes) {
            reader.push(piece);
            while let Some(item) = reader.next_item()? {
                found.push(item);
            }
        }
        reader.end();
        while let Some(item) = reader.next_item()? {
            found.push(item);
        }
        Ok(found)
    }

    /// Reads a stream in one piece and checks that smaller pieces give the same result.
    fn read_anyhow(stream: &[u8]) -> Result<Vec<StreamItem>, Error> {
        let whole = read(stream, stream.len().max(1));
        for piece_bytes in [1, 3, 7, 100, 4095] {
            assert_eq!(read(stream, piece_bytes), whole, "in pieces of {piece_bytes}");
        }
        whole
    }

    /// Returns the letters of the items: a picture, an access unit, a sample.
    fn kinds(stream: &[u8]) -> String {
        let letter = |item: &StreamItem| match item {
            StreamItem::Picture(_) => 'P',
            StreamItem::AccessUnit(_) => 'A',
            StreamItem::Sample(_) => 'S',
        };
        read_anyhow(stream).unwrap().iter().map(letter).collect()
    }

    #[test]
    fn pictures_byte_streams_and_mp4_are_told_apart() {
        assert_eq!(kinds(&[PICTURE, PICTURE].concat()), "PP");
        assert_eq!(kinds(H264), "A".repeat(6));
        assert_eq!(kinds(&[b"\0\0", H264].concat()), "A".repeat(6), "zeros can come first");
        assert_eq!(kinds(H265), "A".repeat(12));
        assert_eq!(kinds(FMP4), "S".repeat(20));
        assert_eq!(kinds(&FMP4[28..]), "S".repeat(20), "ftyp may be missing");
        assert_eq!(kinds(b""), "");
    }

    #[test]
    fn what_can_not_be_read_is_named_with_what_to_write() {
        let mp4 = read_anyhow(MP4).unwrap_err();
        assert!(matches!(mp4, Error::Mp4 { problem: Problem::NotFragmented, .. }), "{mp4}");
        assert!(mp4.to_string().contains("-movflags frag_every_frame+empty_moov"), "{mp4}");
        for stream in [&b"\0\0\x01\xB3"[..], b"FLV\x01", b"\0\0\0\x01\xFF\xFF", b"\x1A\x45\xDF\xA3"] {
            let error = read_anyhow(&[stream, &[0x55; 5000]].concat()).unwrap_err().to_string();
            for advice in ["`-c:v mjpeg -f mjpeg`", "`-f h264`", "frag_every_frame+empty_moov"] {
                assert!(error.contains(advice), "{error}");
            }
        }
        assert!(matches!(read_anyhow(b"\0\0\0\x01"), Err(Error::NotPictures { .. })));
    }

    #[test]
    fn mp4_that_is_broken_is_not_read_on_but_one_that_is_cut_has_an_end() {
        let mut reader = StreamReader::default();
        reader.push(MP4);
        let error = std::iter::from_fn(|| reader.next_item().transpose()).find_map(Result::err).unwrap();
        assert!(!reader.is_readable_after(&error));
        reader.end();
        let again = reader.next_item().unwrap_err();
        assert!(!reader.is_readable_after(&again));

        let mut reader = StreamReader::default();
        reader.push(&FMP4[..FMP4.len() - 1]);
        while reader.next_item().unwrap().is_some() {}
        reader.end();
        let error = reader.next_item().unwrap_err();
        assert!(matches!(error, Error::Mp4 { problem: Problem::Truncated, .. }), "{error}");
        assert!(reader.is_readable_after(&error));
        assert_eq!(reader.next_item(), Ok(None));
    }
}
