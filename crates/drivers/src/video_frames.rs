//! Makes frames of the access units of coded video.

use std::sync::Arc;
use std::time::Duration;

use framecast_media::codec::{DecodeTimes, FrameTimes, VideoParameters};
use framecast_media::{Bytes, Codec, Dependency, Format, Frame, Timestamp};

use crate::clock::MediaClock;
use crate::{CaptureTime, Error, OpenContext};

/// How long the delay of a frame counts for the smallest delay of the last frames.
const DELAY_WINDOW: Duration = Duration::from_secs(5);

/// The media time of the first frame. Decoding times are before presentation times, and must not be negative.
pub(crate) const FIRST_MEDIA_TIME: Timestamp = Timestamp::from_ticks(2 * Timestamp::TICKS_PER_SECOND);

/// Makes the frames of one opening of a source.
///
/// The media time of a frame is that of the source, so that video plays evenly. Its capture time follows this machine's
/// clock: the frame that arrives with the least delay was captured when it arrived, and the others by their media time
/// before or after that. So the clock of a camera can be a little fast or slow.
#[derive(Debug)]
pub(crate) struct VideoFrameBuilder {
    clock: MediaClock,
    delay: SmallestDelay,
    codec: Codec,
    /// The parameters of the next frame, and what they mean for decoding times; `None` before the first parameter sets.
    parameters: Option<(Arc<Format>, DecodeTimes)>,
}

impl VideoFrameBuilder {
    /// Creates a builder for one opening of a source of `codec`.
    pub(crate) fn new(context: &OpenContext, codec: Codec) -> Self {
        Self {
            clock: MediaClock::start(Arc::clone(context.clock())),
            delay: SmallestDelay::default(),
            codec,
            parameters: None,
        }
    }

    /// Returns the media time now.
    pub(crate) fn media_time(&self) -> Duration {
        self.clock.media_time()
    }

    /// Returns the media time at the time `at` of the monotonic clock.
    pub(crate) fn media_time_of(&self, at: Duration) -> Duration {
        self.clock.media_time_of(at)
    }

    /// Takes the codec and the parameter sets of the frames from now on, which are those of `format`.
    ///
    /// # Errors
    /// What is wrong with the parameter sets.
    pub(crate) fn set_format(&mut self, format: &Format) -> Result<(), Error> {
        self.codec = format.codec;
        self.set_parameters(&format.parameter_sets)
    }

    /// Takes the parameter sets of the frames from now on. Does nothing if they are the same as before.
    ///
    /// # Errors
    /// What is wrong with the parameter sets.
    pub(crate) fn set_parameters(&mut self, parameter_sets: &[Bytes]) -> Result<(), Error> {
        let parameters = VideoParameters::parse(self.codec, parameter_sets)?;
        match &mut self.parameters {
            Some((format, _)) if **format == parameters.format => {}
            Some((format, decode_times)) => {
                decode_times.set_parameters(&parameters);
                *format = Arc::new(parameters.format);
            }
            None => {
                let decode_times = DecodeTimes::new(&parameters);
                self.parameters = Some((Arc::new(parameters.format), decode_times));
            }
        }
        Ok(())
    }

    /// Makes a frame of an access unit that is shown at the media time `pts`. Returns `None` if no parameter sets have
    /// come yet: no decoder could decode the frame.
    pub(crate) fn frame(&mut self, data: Bytes, dependency: Dependency, pts: Timestamp) -> Option<Frame> {
        let (format, decode_times) = self.parameters.as_mut()?;
        let format = Arc::clone(format);
        let FrameTimes { pts, dts } = decode_times.next_frame(pts);
        let arrival = self.clock.media_time();
        let media_time = pts.saturating_since(Timestamp::default());
        let captured = self.delay.captured(media_time, arrival);
        let (_, captured_at) = self.clock.stamp(CaptureTime::Monotonic(self.clock.monotonic_of(captured)));
        let mut frame = Frame::coded(data, dependency, pts, captured_at, format);
        frame.dts = dts;
        Some(frame)
    }
}

/// The smallest delay of the last frames: the time from a frame's media time to its arrival. Media times can be ahead
/// of the arrivals, so delays can be negative.
#[derive(Debug, Default)]
struct SmallestDelay {
    /// The smallest delay in seconds of the current window and of the one before it.
    current: Option<f64>,
    before: Option<f64>,
    window_ends_at: Duration,
}

impl SmallestDelay {
    /// Returns when a frame of the media time `media_time` was captured, on the clock by which it arrives at `arrival`.
    fn captured(&mut self, media_time: Duration, arrival: Duration) -> Duration {
        if arrival >= self.window_ends_at {
            self.before = self.current.take();
            self.window_ends_at = arrival + DELAY_WINDOW;
        }
        let delay = arrival.as_secs_f64() - media_time.as_secs_f64();
        let smallest = self.current.map_or(delay, |current| current.min(delay));
        self.current = Some(smallest);
        let smallest = self.before.map_or(smallest, |before| before.min(smallest));
        let captured = (media_time.as_secs_f64() + smallest).clamp(0.0, arrival.as_secs_f64());
        Duration::from_secs_f64(captured)
    }
}
