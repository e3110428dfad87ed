//! The frame builder: checks every picture before turning it into a frame.

use std::sync::Arc;

use framecast_media::codec::jpeg::{self, Normalized};
#[cfg(any(feature = "http-source", feature = "program-source"))]
use framecast_media::container::Picture;
use framecast_media::{Bytes, Codec, ColorRange, Error as MediaError, Format, Frame, PixelFormat};

use crate::clock::MediaClock;
use crate::{CaptureTime, ClockReading, Error, OpenContext};

/// The largest width or height that JPEG can code.
const MAX_SIDE_PX: u32 = 65_535;

/// Checks pictures and makes frames of them. Accepts JPEG images up to the configured maximum number of bytes, and raw
/// pictures whose number of bytes matches their width, height and pixel format.
#[derive(Debug)]
pub struct FrameBuilder {
    max_picture_bytes: usize,
    clock: MediaClock,
    picture_count: u64,
    repaired: u64,
    format: Option<Arc<Format>>,
}

impl FrameBuilder {
    /// Creates a builder for one opening of a source. The media time of its frames is the time since this call. If
    /// somebody sets the wall clock by more than a tenth of a second, the capture times of later frames follow.
    pub fn new(context: &OpenContext) -> Self {
        Self {
            max_picture_bytes: context.max_picture_bytes(),
            clock: MediaClock::start(Arc::clone(context.clock())),
            picture_count: 0,
            repaired: 0,
            format: None,
        }
    }

    /// Returns the current time on the clocks of the opening's [`OpenContext`].
    pub fn now(&self) -> ClockReading {
        self.clock.now()
    }

    /// Makes a frame of the first whole JPEG image in `data`, which was captured at `captured`.
    ///
    /// Bytes before and after the image are cut off. Missing Huffman tables are inserted, which costs a copy. An image
    /// that is less than half of `data` is copied too, so that the rest need not stay in memory. Otherwise the bytes
    /// are shared, not copied. If bytes other than blanks and zeros surround the image, the number of
    /// [repaired frames](Self::repaired_frames) goes up by one.
    ///
    /// # Errors
    /// [`Error::Picture`] with the byte offset when the picture is broken or too large; the next picture may be whole.
    pub fn jpeg_frame(&mut self, data: Bytes, captured: CaptureTime) -> Result<Frame, Error> {
        self.checked_jpeg_frame(data, captured, jpeg::normalize)
    }

    /// Does what [`jpeg_frame`](Self::jpeg_frame) does, for `data` that arrived in the full length that the sender
    /// declared for it. Also accepts a picture that lacks only the end marker (EOI): the builder appends EOI, which
    /// costs a copy, and the number of [repaired frames](Self::repaired_frames) goes up by one.
    ///
    /// # Errors
    /// Those of [`jpeg_frame`](Self::jpeg_frame).
    pub fn complete_jpeg_frame(&mut self, data: Bytes, captured: CaptureTime) -> Result<Frame, Error> {
        self.checked_jpeg_frame(data, captured, jpeg::normalize_complete)
    }

    /// Makes a frame of `picture`, which a reader has found in a stream, and walks its markers only if the reader has
    /// not. Otherwise does what [`jpeg_frame`](Self::jpeg_frame) does, or if the picture is complete, what
    /// [`complete_jpeg_frame`](Self::complete_jpeg_frame) does.
    ///
    /// # Errors
    /// Those of [`jpeg_frame`](Self::jpeg_frame).
    #[cfg(any(feature = "http-source", feature = "program-source"))]
    pub(crate) fn picture_frame(&mut self, picture: Picture, captured: CaptureTime) -> Result<Frame, Error> {
        match picture.jpeg_header {
            Some(header) => self
                .checked_jpeg_frame(picture.data, captured, |data| Ok(jpeg::normalize_walked(data, header))),
            None if picture.is_complete => self.complete_jpeg_frame(picture.data, captured),
            None => self.jpeg_frame(picture.data, captured),
        }
    }

    fn checked_jpeg_frame(
        &mut self,
        data: Bytes,
        captured: CaptureTime,
        check: impl FnOnce(Bytes) -> Result<Normalized, MediaError>,
    ) -> Result<Frame, Error> {
        self.picture_count += 1;
        let number = self.picture_count;
        if data.len() > self.max_picture_bytes {
            let limit_bytes = self.max_picture_bytes;
            let source = MediaError::TooLarge { offset: 0, limit_bytes };
            return Err(Error::Picture { number, source });
        }
        let Normalized { data, header, is_repaired } =
            check(data).map_err(|source| Error::Picture { number, source })?;
        self.repaired += u64::from(is_repaired);
        let format = Format::new(Codec::Jpeg, header.width_px, header.height_px);
        Ok(self.new_frame(data, captured, format))
    }

    /// Returns how many frames so far came from pictures that lacked the end marker (EOI) or had stray bytes around
    /// them.
    pub fn repaired_frames(&self) -> u64 {
        self.repaired
    }

    /// Makes a frame of `picture`, which was checked earlier and is shown again. `captured` is its new capture time.
    pub fn repeat(&mut self, picture: &Frame, captured: CaptureTime) -> Frame {
        self.picture_count += 1;
        self.new_frame(picture.data.clone(), captured, Format::clone(&picture.format))
    }

    /// Makes a frame of a raw picture. `data` is packed in the layout that [`PixelFormat`] defines, and is shared, not
    /// copied.
    ///
    /// # Errors
    /// [`Error::Picture`] when the length of `data` does not match the format, width and height, or when the width or
    /// the height is not between 1 and 65535 pixels.
    pub fn raw_frame(
        &mut self,
        data: Bytes,
        (pixels, range): (PixelFormat, ColorRange),
        (width_px, height_px): (u32, u32),
        captured: CaptureTime,
    ) -> Result<Frame, Error> {
        self.picture_count += 1;
        let number = self.picture_count;
        let check = || {
            if !(1..=MAX_SIDE_PX).contains(&width_px) || !(1..=MAX_SIDE_PX).contains(&height_px) {
                return Err(MediaError::PictureSize { width_px, height_px });
            }
            let (expected_bytes, len_bytes) = (pixels.len_bytes(width_px, height_px), data.len());
            if len_bytes != expected_bytes {
                return Err(MediaError::RawLength {
                    format: pixels,
                    width_px,
                    height_px,
                    expected_bytes,
                    len_bytes,
                });
            }
            Ok(())
        };
        check().map_err(|source| Error::Picture { number, source })?;
        let format = Format::new(Codec::Raw(pixels, range), width_px, height_px);
        Ok(self.new_frame(data, captured, format))
    }

    fn new_frame(&mut self, data: Bytes, captured: CaptureTime, format: Format) -> Frame {
        let (pts, captured_at) = self.clock.stamp(captured);
        let mut frame = Frame::new(data, pts, captured_at, self.shared_format(format));
        frame.wall_time = self.clock.wall_time();
        frame
    }

    /// Gives the next picture number to a picture that a parser found broken before the picture reached this builder.
    /// Returns the parser's error with that number.
    pub fn picture_error(&mut self, source: framecast_media::Error) -> Error {
        self.picture_count += 1;
        Error::Picture { number: self.picture_count, source }
    }

    /// Returns `format` behind a shared pointer. Consecutive calls with equal formats return the same pointer.
    fn shared_format(&mut self, format: Format) -> Arc<Format> {
        match &self.format {
            Some(held) if **held == format => Arc::clone(held),
            _ => Arc::clone(self.format.insert(Arc::new(format))),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use framecast_media::Anchor;

    use super::*;
    use crate::clock::tests::HandClock;
    use crate::{Clock, ErrorKind};

    const PLAIN: &[u8] = include_bytes!("../../../testdata/ffmpeg-mjpeg.jpg");
    const NO_DHT: &[u8] = include_bytes!("../../../testdata/ffmpeg-mjpeg-no-dht.jpg");

    fn builder() -> FrameBuilder {
        FrameBuilder::new(&OpenContext::default())
    }

    fn jpeg_frame(builder: &mut FrameBuilder, data: &[u8]) -> Result<Frame, Error> {
        builder.jpeg_frame(Bytes::copy_from_slice(data), CaptureTime::Original(SystemTime::UNIX_EPOCH))
    }

    #[test]
    fn a_whole_picture_passes_without_a_copy() {
        let data = Bytes::from_static(PLAIN);
        let frame =
            builder().jpeg_frame(data.clone(), CaptureTime::Original(SystemTime::UNIX_EPOCH)).unwrap();
        assert_eq!(frame.data.as_ptr(), data.as_ptr());
        assert_eq!(frame.captured_at, SystemTime::UNIX_EPOCH);
        assert!(frame.is_keyframe);
    }

    #[test]
    fn missing_huffman_tables_are_put_in() {
        let frame = jpeg_frame(&mut builder(), NO_DHT).unwrap();
        assert!(jpeg::parse_markers(&frame.data).unwrap().has_huffman_tables);
    }

    #[test]
    fn pictures_with_something_around_them_or_without_an_end_are_shown_and_counted() {
        let mut builder = builder();
        let now = CaptureTime::Now;
        for whole in [PLAIN.to_vec(), [PLAIN, &[0; 40]].concat(), [b"\r\n", PLAIN, b"\r\n"].concat()] {
            assert_eq!(jpeg_frame(&mut builder, &whole).unwrap().data, PLAIN);
        }
        assert_eq!(builder.repaired_frames(), 0);
        for odd in [[b"\xFF", PLAIN].concat(), [PLAIN, b"dhav"].concat(), [&PLAIN[..900], PLAIN].concat()] {
            assert_eq!(jpeg_frame(&mut builder, &odd).unwrap().data, PLAIN);
        }
        assert_eq!(builder.repaired_frames(), 3);
        let without_end = Bytes::from_static(&PLAIN[..PLAIN.len() - 2]);
        assert_eq!(builder.jpeg_frame(without_end.clone(), now).unwrap_err().kind(), ErrorKind::Frame);
        assert_eq!(builder.repaired_frames(), 3);
        assert_eq!(builder.complete_jpeg_frame(without_end, now).unwrap().data, PLAIN);
        assert_eq!(builder.repaired_frames(), 4);
    }

    #[test]
    fn frames_of_one_size_share_their_format_and_media_time_never_runs_backwards() {
        let mut builder = builder();
        let frames: Vec<Frame> = (0..10).map(|_| jpeg_frame(&mut builder, PLAIN).unwrap()).collect();
        for pair in frames.windows(2) {
            assert!(Arc::ptr_eq(&pair[0].format, &pair[1].format));
            assert!(pair[0].pts <= pair[1].pts);
        }
        let small = jpeg::encode(&framecast_media::codec::RgbImage::new(16, 8), 50).unwrap();
        let other = jpeg_frame(&mut builder, &small).unwrap();
        assert_eq!((other.format.width_px, other.format.height_px), (16, 8));
        assert!(!Arc::ptr_eq(&other.format, &frames[0].format));
    }

    #[test]
    fn an_anchor_stays_while_a_still_picture_keeps_its_time_and_follows_a_clock_that_is_set() {
        let clock = HandClock::new();
        let mut builder = FrameBuilder::new(&OpenContext::default().with_clock(clock.clone()));
        let mut anchor = || {
            clock.advance(Duration::from_millis(1100));
            Anchor::of(&jpeg_frame(&mut builder, PLAIN).unwrap())
        };
        let first = anchor();
        assert_eq!([anchor(), anchor()], [first; 2]);
        let day = Duration::from_secs(86_400);
        clock.set_wall(clock.now().wall + day);
        assert_eq!(anchor().distance(first), day);
    }

    #[test]
    fn a_broken_picture_is_named_by_number_and_byte_and_the_next_one_passes() {
        let mut builder = builder();
        jpeg_frame(&mut builder, PLAIN).unwrap();
        let refused = builder.picture_error(framecast_media::Error::TooLarge { offset: 7, limit_bytes: 1 });
        assert!(refused.to_string().starts_with("picture 2: byte 7"), "{refused}");
        let error = jpeg_frame(&mut builder, &PLAIN[..1000]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Frame);
        assert!(error.to_string().starts_with("picture 3: byte 1000"), "{error}");
        assert!(jpeg_frame(&mut builder, PLAIN).is_ok());
    }

    #[test]
    fn the_bound_is_the_largest_picture_that_passes() {
        let context = OpenContext::default();
        let mut exact = FrameBuilder::new(&context.clone().with_max_picture_bytes(PLAIN.len()));
        assert!(jpeg_frame(&mut exact, PLAIN).is_ok());
        let mut small = FrameBuilder::new(&context.with_max_picture_bytes(PLAIN.len() - 1));
        assert!(matches!(
            jpeg_frame(&mut small, PLAIN),
            Err(Error::Picture { number: 1, source: framecast_media::Error::TooLarge { .. } })
        ));
    }

    #[test]
    fn a_raw_picture_must_have_the_bytes_of_its_size() {
        let mut builder = builder();
        let format = (PixelFormat::Nv12, ColorRange::Limited);
        let mut raw_frame = |len, size| {
            builder.raw_frame(
                Bytes::from(vec![0; len]),
                format,
                size,
                CaptureTime::Original(SystemTime::UNIX_EPOCH),
            )
        };
        let frame = raw_frame(4 * 2 * 3 / 2, (4, 2)).unwrap();
        assert_eq!(frame.format.codec, Codec::Raw(PixelFormat::Nv12, ColorRange::Limited));
        let error = raw_frame(11, (4, 2)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Frame);
        assert_eq!(error.to_string(), "picture 2: a nv12 picture of 4x2 pixels needs 12 bytes, not 11");
        assert!(raw_frame(0, (0, 2)).is_err());
    }
}
