//! Turns the bytes of a stream into frames, for the drivers that read a program's output.

use framecast_media::Frame;
use framecast_media::container::PictureReader;

use crate::arrival::{capture_time, is_fatal};
use crate::{ClockReading, Error, FrameBuilder, OpenContext};

/// Takes bytes and yields frames: finds the pictures in the bytes and passes them to the frame builder.
#[derive(Debug)]
pub(crate) struct FrameParser {
    reader: PictureReader,
    builder: FrameBuilder,
    /// The time at which the bytes of the last [`push`](Self::push) arrived.
    read_at: ClockReading,
    /// How many pictures with stray bytes after them `reader` had already counted when this parser was created.
    tails_before: u64,
    is_finished: bool,
    has_yielded: bool,
}

impl FrameParser {
    /// Creates a parser for a new stream.
    pub(crate) fn new(context: &OpenContext) -> Self {
        Self::resume(context, PictureReader::new(context.max_picture_bytes()))
    }

    /// Creates a parser for the rest of a stream whose beginning `reader` has parsed.
    pub(crate) fn resume(context: &OpenContext, reader: PictureReader) -> Self {
        let builder = FrameBuilder::new(context);
        Self {
            tails_before: reader.trailing_junk_count(),
            reader,
            read_at: builder.now(),
            builder,
            is_finished: false,
            has_yielded: false,
        }
    }

    /// Returns the picture reader, so that another parser can continue the stream from this position later.
    pub(crate) fn into_reader(self) -> PictureReader {
        self.reader
    }

    /// Adds bytes of the stream that have just arrived.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.read_at = self.builder.now();
        self.reader.push(bytes);
    }

    /// Marks the end of the stream. Frames in the bytes that were already pushed can still be taken.
    pub(crate) fn finish(&mut self) {
        self.is_finished = true;
    }

    /// Returns whether the stream has yielded a whole picture.
    pub(crate) fn has_yielded(&self) -> bool {
        self.has_yielded
    }

    /// Returns how many pictures were repaired since this parser was created, either by the picture reader or by the
    /// frame builder after it.
    pub(crate) fn repaired_frames(&self) -> u64 {
        self.builder.repaired_frames() + self.reader.trailing_junk_count().saturating_sub(self.tails_before)
    }

    /// Returns the next frame in the pushed bytes. Returns `None` if the next frame needs more bytes, or if the stream
    /// has ended and no frame is left. The frame's capture time is the one that the sender states, if that is
    /// plausible; otherwise it is the time when the picture's last byte arrived.
    ///
    /// # Errors
    /// [`Error::Picture`] for one broken picture; [`Error::Stream`] when the stream holds no pictures at all.
    pub(crate) fn next_frame(&mut self) -> Result<Option<Frame>, Error> {
        let next = match self.reader.next_picture() {
            Ok(None) if self.is_finished => std::mem::take(&mut self.reader).finish(),
            next => next,
        };
        let picture = match next {
            Ok(Some(picture)) => picture,
            Ok(None) => return Ok(None),
            Err(error) if is_fatal(&error) => return Err(Error::Stream(error)),
            Err(error) => return Err(self.builder.picture_error(error)),
        };
        let captured = capture_time(picture.captured_at(), self.read_at);
        let frame = self.builder.picture_frame(picture, captured)?;
        self.has_yielded = true;
        Ok(Some(frame))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::Clock;
    use crate::clock::tests::HandClock;

    #[test]
    fn a_program_that_relays_an_uptime_is_not_believed_either() {
        let picture = include_bytes!("../../../testdata/ffmpeg-mjpeg.jpg");
        let mut stream = FrameParser::new(&OpenContext::default());
        stream.push(b"--b\r\nContent-Type: image/jpeg\r\nX-Timestamp: 86400.5\r\n\r\n");
        stream.push(picture);
        let frame = stream.next_frame().unwrap().unwrap();
        assert!(frame.captured_at.elapsed().unwrap_or_default() <= Duration::from_secs(3600));
    }

    #[test]
    fn a_picture_was_captured_when_its_last_byte_arrived_and_not_when_it_is_taken() {
        let clock = HandClock::new();
        let mut stream = FrameParser::new(&OpenContext::default().with_clock(clock.clone()));
        clock.advance(Duration::from_secs(1));
        stream.push(include_bytes!("../../../testdata/ffmpeg-mjpeg.jpg"));
        let arrived = clock.now().wall;
        clock.advance(Duration::from_secs(1));
        let frame = stream.next_frame().unwrap().unwrap();
        assert_eq!((frame.pts.ticks(), frame.captured_at), (90_000, arrived));
    }

    #[test]
    fn pictures_with_something_around_them_or_without_an_end_are_shown_and_counted() {
        let picture = include_bytes!("../../../testdata/ffmpeg-mjpeg.jpg");
        let mut stream = FrameParser::new(&OpenContext::default());
        let without_end = &picture[..picture.len() - 2];
        let bodies: [&[u8]; 4] =
            [picture, &[b"noise", &picture[..]].concat(), &[&picture[..], b"noise"].concat(), without_end];
        for body in bodies {
            stream.push(format!("--b\r\nContent-Length: {}\r\n\r\n", body.len()).as_bytes());
            stream.push(body);
            stream.push(b"\r\n");
        }
        stream.push(b"--b");
        for _ in bodies {
            assert_eq!(stream.next_frame().unwrap().unwrap().data, &picture[..]);
        }
        assert!(stream.next_frame().unwrap().is_none());
        assert_eq!(stream.repaired_frames(), 3);
        // The next opening must not count again what this one counted.
        let resumed = FrameParser::resume(&OpenContext::default(), stream.into_reader());
        assert_eq!(resumed.repaired_frames(), 0);
    }

    #[test]
    fn a_stream_that_never_shows_a_boundary_is_not_read_on() {
        let mut stream = FrameParser::new(&OpenContext::default().with_max_picture_bytes(1000));
        stream.push(&[b'-'; 2000]);
        assert!(matches!(stream.next_frame(), Err(Error::Stream(_))));
    }
}
