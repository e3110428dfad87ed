//! Turns the bytes of a stream into frames, for the drivers that read a program's output.

use std::time::Duration;

use framecast_media::Frame;
use framecast_media::container::{StreamItem, StreamReader};

use crate::arrival::capture_time;
use crate::program_video::ProgramVideo;
use crate::{ClockReading, Error, FrameBuilder, OpenContext};

/// How long a live stream brings nothing at the end of a frame, and hardly within one. It is far less than the time
/// between two frames.
pub(crate) const PAUSE: Duration = Duration::from_millis(10);

/// Takes bytes and yields frames: finds the pictures or the frames of coded video in the bytes, and passes the pictures
/// to the frame builder.
#[derive(Debug)]
pub(crate) struct FrameParser {
    reader: StreamReader,
    builder: FrameBuilder,
    video: ProgramVideo,
    /// The time at which the bytes of the last [`push`](Self::push) arrived.
    read_at: ClockReading,
    /// How many pictures with stray bytes after them `reader` had already counted when this parser was created, and how
    /// many frames it had skipped.
    tails_before: u64,
    skipped_before: u64,
    /// Whether the reader has been told that the stream pauses after the last bytes.
    has_paused: bool,
    has_yielded: bool,
}

impl FrameParser {
    /// Creates a parser for a new stream.
    pub(crate) fn new(context: &OpenContext) -> Self {
        Self::resume(context, StreamReader::new(context.max_picture_bytes()))
    }

    /// Creates a parser for the rest of a stream whose beginning `reader` has parsed.
    pub(crate) fn resume(context: &OpenContext, reader: StreamReader) -> Self {
        let builder = FrameBuilder::new(context);
        let read_at = builder.now();
        Self {
            tails_before: reader.trailing_junk_count(),
            skipped_before: reader.skipped_access_units(),
            reader,
            builder,
            video: ProgramVideo::new(context, read_at.monotonic),
            read_at,
            has_paused: true,
            has_yielded: false,
        }
    }

    /// Returns the reader, so that another parser can continue the stream from this position later.
    pub(crate) fn into_reader(self) -> StreamReader {
        self.reader
    }

    /// Adds bytes of the stream that have just arrived.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.read_at = self.builder.now();
        self.reader.push(bytes);
        self.has_paused = false;
        if self.reader.is_video() {
            self.video.record_arrival(self.reader.pushed_bytes(), self.read_at.monotonic);
        }
    }

    /// Returns whether to call [`pause`](Self::pause) if no bytes come for the time [`PAUSE`].
    pub(crate) fn awaits_pause(&self) -> bool {
        !self.has_paused && self.reader.heeds_pauses()
    }

    /// Tells that no bytes have come since the last ones for the time [`PAUSE`]. There may be another frame then.
    pub(crate) fn pause(&mut self) {
        self.has_paused = true;
        self.reader.pause();
    }

    /// Marks the end of the stream. Frames in the bytes that were already pushed can still be taken.
    pub(crate) fn finish(&mut self) {
        self.reader.end();
    }

    /// Returns whether the stream has yielded a whole picture.
    pub(crate) fn has_yielded(&self) -> bool {
        self.has_yielded
    }

    /// Returns how many pictures were repaired since this parser was created, either by the reader or by the frame
    /// builder after it.
    pub(crate) fn repaired_frames(&self) -> u64 {
        self.builder.repaired_frames() + self.reader.trailing_junk_count().saturating_sub(self.tails_before)
    }

    /// Returns how many frames of coded video were skipped since this parser was created, because a frame that they
    /// need was missing or too large.
    pub(crate) fn skipped_frames(&self) -> u64 {
        self.skipped_by_reader() + self.video.skipped_frames()
    }

    /// Returns the next frame in the pushed bytes. Returns `None` if the next frame needs more bytes, or if the stream
    /// has ended and no frame is left. A picture's capture time is the one that the sender states, if that is
    /// plausible; otherwise it is the time when the picture's last byte arrived.
    ///
    /// # Errors
    /// [`Error::Picture`] for one broken picture, and for coded video that cannot be decoded yet; [`Error::Stream`] if
    /// the stream holds no pictures at all.
    pub(crate) fn next_frame(&mut self) -> Result<Option<Frame>, Error> {
        loop {
            let frame = match self.reader.next_item() {
                Ok(Some(StreamItem::Picture(picture))) => {
                    let captured = capture_time(picture.captured_at(), self.read_at);
                    Some(self.builder.picture_frame(picture, captured)?)
                }
                Ok(Some(StreamItem::AccessUnit(unit))) => self.video.access_unit(unit)?,
                Ok(Some(StreamItem::Sample(sample))) => self.video.sample(sample)?,
                Ok(_) => {
                    self.check_video()?;
                    return Ok(None);
                }
                Err(error) if !self.reader.is_readable_after(&error) => return Err(Error::Stream(error)),
                Err(error) if self.reader.is_video() => return Err(self.video.picture_error(error)),
                Err(error) => return Err(self.builder.picture_error(error)),
            };
            if let Some(frame) = frame {
                self.has_yielded = true;
                self.video.end_wait(self.read_at.monotonic, self.skipped_by_reader());
                return Ok(Some(frame));
            }
        }
    }

    fn skipped_by_reader(&self) -> u64 {
        self.reader.skipped_access_units().saturating_sub(self.skipped_before)
    }

    /// Checks whether frames come of the bytes that have come, if they are coded video.
    fn check_video(&mut self) -> Result<(), Error> {
        if !self.reader.is_video() {
            return Ok(());
        }
        let (skipped, lacks_sets) = (self.skipped_by_reader(), self.reader.lacks_parameter_sets());
        self.video.check_wait(self.read_at.monotonic, skipped, lacks_sets)
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

    const VIDEO: &[u8] = include_bytes!("../../../testdata/x264-baseline.h264");

    /// Returns the NAL units of [`VIDEO`] without those of these types, each with its start code.
    fn without(types: &[u8]) -> Vec<&'static [u8]> {
        let starts = (0..VIDEO.len()).filter(|&at| VIDEO[at..].starts_with(&[0, 0, 1]));
        let starts: Vec<_> = starts.chain([VIDEO.len()]).collect();
        let units = starts.windows(2).map(|pair| &VIDEO[pair[0]..pair[1]]);
        units.filter(|unit| !types.contains(&(unit[3] & 0x1F))).collect()
    }

    /// Pushes `units` again and again, one each 40 ms, and returns the problems of the first `seconds`.
    fn problems_of(units: &[&[u8]], seconds: u64) -> Vec<String> {
        let clock = HandClock::new();
        let mut stream = FrameParser::new(&OpenContext::default().with_clock(clock.clone()));
        let mut problems = Vec::new();
        for unit in units.iter().cycle().take(seconds as usize * 25) {
            clock.advance(Duration::from_millis(40));
            stream.push(unit);
            loop {
                match stream.next_frame() {
                    Ok(None) => break,
                    Ok(Some(_)) => panic!("a frame that nobody can decode"),
                    Err(error) => problems.push(error.to_string()),
                }
            }
        }
        problems
    }

    #[test]
    fn video_whose_keyframe_never_comes_says_so_now_and_then() {
        let problems = problems_of(&without(&[5]), 12);
        assert_eq!(problems.len(), 3, "{problems:?}");
        assert!(problems[0].starts_with("picture 1: the video has no keyframe: "), "{problems:?}");
        assert!(problems[0].contains("set a shorter keyframe interval"), "{problems:?}");
    }

    #[test]
    fn video_without_a_parameter_set_names_it() {
        let problems = problems_of(&without(&[7, 8]), 9);
        assert!(problems[0].contains("the video has no SPS"), "{problems:?}");
        let problems = problems_of(&without(&[8]), 5);
        assert!(problems[0].contains("the video has no PPS"), "{problems:?}");
        assert!(problems.iter().all(|problem| problem.contains("PPS")), "{problems:?}");
    }

    #[test]
    fn video_is_shown_when_its_first_byte_arrived() {
        let clock = HandClock::new();
        let mut stream = FrameParser::new(&OpenContext::default().with_clock(clock.clone()));
        let mut frames = Vec::new();
        for unit in without(&[]) {
            clock.advance(Duration::from_secs(1));
            let (head, rest) = unit.split_at(8);
            stream.push(head);
            clock.advance(Duration::from_millis(300));
            stream.push(rest);
            frames.extend(std::iter::from_fn(|| stream.next_frame().unwrap()));
        }
        stream.finish();
        frames.extend(std::iter::from_fn(|| stream.next_frame().unwrap()));
        let pts: Vec<_> = frames.iter().map(|frame| frame.pts.ticks() - frames[1].pts.ticks()).collect();
        let tick = 13 * 9000;
        // Before the second keyframe there are its two parameter sets.
        assert_eq!(pts[1..], [0, tick, 2 * tick, 5 * tick, 6 * tick]);
        assert_eq!(stream.skipped_frames(), 0);
    }

    #[test]
    fn a_pause_yields_the_last_frame_and_is_told_once() {
        let mut stream = FrameParser::new(&OpenContext::default());
        assert!(!stream.awaits_pause());
        let mut frames = 0;
        for unit in without(&[]).iter().cycle().take(60) {
            stream.push(unit);
            while stream.next_frame().unwrap().is_some() {}
            assert!(stream.awaits_pause());
            stream.pause();
            frames += usize::from(stream.next_frame().unwrap().is_some());
            assert!(!stream.awaits_pause());
        }
        assert!(frames > 20, "{frames}");
        stream.push(include_bytes!("../../../testdata/ffmpeg-mjpeg.jpg"));
        let mut pictures = FrameParser::new(&OpenContext::default());
        pictures.push(include_bytes!("../../../testdata/ffmpeg-mjpeg.jpg"));
        assert!(!pictures.awaits_pause());
    }
}
