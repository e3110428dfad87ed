//! Makes frames of the coded video that a program writes.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use framecast_media::codec::{VideoParameters, is_reordered};
use framecast_media::container::AccessUnit;
use framecast_media::container::fmp4::Sample;
use framecast_media::rtp::RtpClock;
use framecast_media::{Codec, Dependency, Error as MediaError, Format, Frame, Timestamp};

use crate::frame_wait::FrameWait;
use crate::video_frames::{FIRST_MEDIA_TIME, VideoFrameBuilder};
use crate::{Error, OpenContext};

/// How many arrivals are remembered. A picture that arrives in more pieces seems to begin later than it does.
const MAX_ARRIVALS: usize = 64;

/// Arrivals that are closer together count as one.
const ONE_ARRIVAL: Duration = Duration::from_millis(1);

/// What is wrong with a byte stream that has B-frames.
const REORDERED: &str = "its frames come in another order than they are shown (B-frames), and without a container \
                         nothing says when to show them. Switch B-frames off (ffmpeg: `-bf 0` or `-tune zerolatency`; \
                         rpicam-vid on a Raspberry Pi 5: `--low-latency`), or let ffmpeg write fragmented MP4 \
                         (`-movflags frag_every_frame+empty_moov+default_base_moof -f mp4`)";

/// The rate of the times in media time, in hertz.
const TICKS_PER_SECOND: u32 = Timestamp::TICKS_PER_SECOND as u32;

/// Makes the frames of one opening. The first frame is a keyframe.
#[derive(Debug)]
pub(crate) struct ProgramVideo {
    frames: VideoFrameBuilder,
    /// The format of the last frame, as the reader has it.
    format: Option<Arc<Format>>,
    /// How many frames the format allows to come before a frame that is shown before them.
    reorder_depth: usize,
    /// The clock of the times in MP4.
    clock: RtpClock,
    arrivals: Arrivals,
    awaits_keyframe: bool,
    /// The number of frames and of broken pictures so far.
    count: u64,
    skipped_frames: u64,
    wait: FrameWait,
}

impl ProgramVideo {
    /// Creates the maker for an opening at the time `now` of the monotonic clock.
    pub(crate) fn new(context: &OpenContext, now: Duration) -> Self {
        Self {
            // The first frame's format says which codec it is.
            frames: VideoFrameBuilder::new(context, Codec::H264),
            format: None,
            reorder_depth: 0,
            clock: RtpClock::new(TICKS_PER_SECOND),
            arrivals: Arrivals::default(),
            awaits_keyframe: true,
            count: 0,
            skipped_frames: 0,
            wait: FrameWait::begin(now, 0),
        }
    }

    /// Takes the arrival of bytes of the stream, up to its byte `end`, at the time `at` of the monotonic clock.
    pub(crate) fn record_arrival(&mut self, end: u64, at: Duration) {
        self.arrivals.record(end, at);
    }

    /// Makes a frame of an access unit, which is shown when its first byte has arrived. Returns `None` for one before
    /// the first keyframe.
    ///
    /// # Errors
    /// [`Error::Unusable`] if frames come in another order than they are shown: nothing says when to show them.
    pub(crate) fn access_unit(&mut self, unit: AccessUnit) -> Result<Option<Frame>, Error> {
        let arrived_at = self.arrivals.of(unit.offset);
        if !self.begin_frame(&unit.format, unit.dependency)? {
            return Ok(None);
        }
        if is_reordered(unit.format.codec, self.reorder_depth, &unit.data) {
            return Err(Error::Unusable { what: "the video".to_owned(), problem: REORDERED.to_owned() });
        }
        let arrived = self.frames.media_time_of(arrived_at);
        let pts = Timestamp::from_duration(arrived).saturating_add(FIRST_MEDIA_TIME);
        Ok(self.frames.frame(unit.data, unit.dependency, pts))
    }

    /// Makes a frame of a sample, which is shown at its own time. Returns `None` for one before the first keyframe.
    pub(crate) fn sample(&mut self, sample: Sample) -> Result<Option<Frame>, Error> {
        if !self.begin_frame(&sample.format, sample.dependency)? {
            return Ok(None);
        }
        // The clock takes times that wrap, and knows how far they have gone.
        let reading = self.clock.read(sample.pts.ticks() as u32, self.frames.media_time());
        let pts = reading.timestamp.saturating_add(FIRST_MEDIA_TIME);
        Ok(self.frames.frame(sample.data, sample.dependency, pts))
    }

    /// Gives the next number to a picture that the reader found broken. Returns the reader's error with that number.
    pub(crate) fn picture_error(&mut self, source: MediaError) -> Error {
        self.wait.explain();
        self.count += 1;
        Error::Picture { number: self.count, source }
    }

    /// Checks whether frames come. `now` is the time of the monotonic clock at which the last bytes arrived, and the
    /// reader has skipped `skipped_frames` so far.
    ///
    /// # Errors
    /// [`Error::Picture`] if none has come for a while: there is no keyframe, or there are no parameter sets.
    pub(crate) fn check_wait(
        &mut self,
        now: Duration,
        skipped_frames: u64,
        lacks_sets: bool,
    ) -> Result<(), Error> {
        let skipped_frames = skipped_frames + self.skipped_frames;
        let Some(source) = self.wait.check(now, skipped_frames, lacks_sets) else { return Ok(()) };
        self.count += 1;
        Err(Error::Picture { number: self.count, source })
    }

    /// Ends the wait for a frame that has come at the time `now` of the monotonic clock.
    pub(crate) fn end_wait(&mut self, now: Duration, skipped_frames: u64) {
        self.wait = FrameWait::begin(now, skipped_frames + self.skipped_frames);
    }

    /// Returns how many frames were skipped here, because no keyframe had come.
    pub(crate) fn skipped_frames(&self) -> u64 {
        self.skipped_frames
    }

    /// Prepares for a frame of `format`. Returns whether to make it: no frame comes before the first keyframe.
    fn begin_frame(&mut self, format: &Arc<Format>, dependency: Dependency) -> Result<bool, Error> {
        self.awaits_keyframe &= dependency != Dependency::Keyframe;
        if self.awaits_keyframe {
            self.skipped_frames += 1;
            return Ok(false);
        }
        if self.format.as_ref().is_none_or(|last| !Arc::ptr_eq(last, format)) {
            self.frames.set_format(format)?;
            let parameters = VideoParameters::parse(format.codec, &format.parameter_sets)?;
            self.reorder_depth = parameters.reorder_depth;
            self.format = Some(Arc::clone(format));
        }
        self.count += 1;
        Ok(true)
    }
}

/// When the last bytes of a stream arrived.
#[derive(Debug, Default)]
struct Arrivals {
    /// Positions in the stream in ascending order, each with the time at which the bytes before it arrived.
    ends: VecDeque<(u64, Duration)>,
}

impl Arrivals {
    fn record(&mut self, end: u64, at: Duration) {
        match self.ends.back_mut() {
            Some((last, since)) if at.saturating_sub(*since) < ONE_ARRIVAL => *last = end,
            _ => self.ends.push_back((end, at)),
        }
        if self.ends.len() > MAX_ARRIVALS {
            self.ends.pop_front();
        }
    }

    /// Returns when the byte at `offset` arrived, and forgets what came before. Returns the oldest time that is known
    /// if the byte's own is not.
    fn of(&mut self, offset: u64) -> Duration {
        while self.ends.len() > 1 && self.ends[0].0 <= offset {
            self.ends.pop_front();
        }
        self.ends.front().map_or(Duration::ZERO, |(_, at)| *at)
    }
}
