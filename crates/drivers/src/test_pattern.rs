//! The test camera: a moving pattern of any size and rate that shows the frame number, the date and the time, so that
//! people can read the latency off the screen.
//!
//! With an option such as `format=yuyv` it delivers raw pictures, as a cheap webcam does.
//!
//! A separate thread draws and encodes the pattern. Frames are due at fixed times, counted from the opening. A machine
//! that cannot keep the rate skips frame numbers instead of showing frames late.

use std::time::{Duration, Instant, SystemTime};

use framecast_media::codec::{RgbImage, jpeg, raw};
use framecast_media::draw::{TestFrame, TestPattern};
use framecast_media::{ColorRange, Frame, PixelFormat};
use jiff::tz::TimeZone;

use crate::blocking::{self, BlockingSource, Closed, Sink};
use crate::{BoxFuture, CaptureTime, Driver, Error, FrameBuilder, OpenContext, Options, Source, SourceUrl};

/// The driver for `test:?size=1280x720&fps=30`.
pub(crate) struct Test;

const OPTIONS: &[&str] = &["size", "fps", "format"];
const DEFAULT_SIZE_PX: (u32, u32) = (1280, 720);
const MIN_SIDE_PX: u32 = 16;
const MAX_SIDE_PX: u32 = 4096;
const DEFAULT_FPS: f64 = 30.0;
/// The maximum of the option `fps`, which is the rate of the fastest displays. A machine may not reach it: drawing and
/// encoding fully use a CPU core at a much lower rate.
const MAX_FPS: f64 = 240.0;
const QUALITY: u8 = 80;

/// The parsed options of the URL.
#[derive(Debug, Clone, Copy)]
struct PatternOptions {
    size_px: (u32, u32),
    interval: Duration,
    /// The pixel format, if raw pictures are requested; `None` for JPEG images.
    raw: Option<PixelFormat>,
}

impl PatternOptions {
    fn parse(options: &Options<'_>) -> Result<Self, Error> {
        let interval = options.frame_interval(DEFAULT_FPS)?;
        if interval < Duration::from_secs_f64(1.0 / MAX_FPS) {
            return Err(options
                .refuse("fps", &format!("must be a number of frames per second from 0.001 to {MAX_FPS}")));
        }
        let raw = match options.get("format") {
            None => None,
            Some(name) if ["jpeg", "mjpeg"].iter().any(|jpeg| name.eq_ignore_ascii_case(jpeg)) => None,
            Some(name) => Some(PixelFormat::from_name(name).ok_or_else(|| {
                let names = PixelFormat::ALL.map(PixelFormat::name).join(", ");
                options.refuse("format", &format!("must be one of jpeg, {names}"))
            })?),
        };
        Ok(Self { size_px: options.size(DEFAULT_SIZE_PX, MIN_SIDE_PX, MAX_SIDE_PX)?, interval, raw })
    }
}

impl Driver for Test {
    fn scheme(&self) -> &'static str {
        "test"
    }

    fn check(&self, url: &SourceUrl) -> Result<(), Error> {
        let options = url.options(OPTIONS)?;
        PatternOptions::parse(&options).map(drop)
    }

    fn open<'a>(
        &'a self,
        context: &'a OpenContext,
        url: &'a SourceUrl,
    ) -> BoxFuture<'a, Result<Box<dyn Source>, Error>> {
        Box::pin(async move {
            let options = url.options(OPTIONS)?;
            let shape = PatternOptions::parse(&options)?;
            let builder = FrameBuilder::new(context);
            let frames = blocking::spawn("test pattern", move |sink| {
                // `run` ends only when the source is dropped, and then nobody needs the error.
                run(shape, builder, sink).ok();
            })?;
            Ok(Box::new(TestSource { frames, interval: shape.interval }) as Box<dyn Source>)
        })
    }
}

struct TestSource {
    frames: BlockingSource,
    interval: Duration,
}

impl Source for TestSource {
    fn next_frame(&mut self) -> BoxFuture<'_, Result<Option<Frame>, Error>> {
        self.frames.next_frame()
    }

    fn max_frame_gap(&self) -> Duration {
        self.interval
    }
}

fn run(shape: PatternOptions, mut builder: FrameBuilder, sink: &Sink) -> Result<(), Closed> {
    let mut pattern = TestPattern::new(shape.size_px.0, shape.size_px.1);
    let fps = (1000.0 / shape.interval.as_secs_f64()).round() / 1000.0;
    let zone = TimeZone::system();
    let began_at = Instant::now();
    let mut number = 0;
    loop {
        sink.sleep_until(began_at + due(number, shape.interval))?;
        number = number_at(began_at.elapsed(), shape.interval).max(number);
        let now = builder.now();
        let captured = CaptureTime::Monotonic(now.monotonic);
        let picture = draw(&mut pattern, number, fps, now.wall, &zone);
        let frame = match shape.raw {
            None => {
                let coded = jpeg::encode(picture, QUALITY).map_err(Error::Stream);
                coded.and_then(|coded| builder.jpeg_frame(coded, captured))
            }
            Some(format) => {
                let samples = raw::pack(picture, format, ColorRange::Full).into();
                builder.raw_frame(samples, (format, ColorRange::Full), shape.size_px, captured)
            }
        };
        sink.send(frame)?;
        number += 1;
    }
}

fn draw<'a>(
    pattern: &'a mut TestPattern,
    number: u64,
    fps: f64,
    now: SystemTime,
    zone: &TimeZone,
) -> &'a RgbImage {
    // Fails only for a clock beyond the year 9999.
    let local = zone.to_datetime(jiff::Timestamp::try_from(now).unwrap_or_default());
    let date = local.strftime("%Y-%m-%d").to_string();
    let time = local.strftime("%H:%M:%S%.3f").to_string();
    pattern.draw(&TestFrame { number, date: &date, time: &time, fps })
}

/// Returns when frame `number` is due, as the time since the opening.
fn due(number: u64, interval: Duration) -> Duration {
    Duration::from_nanos((interval.as_nanos() as u64).saturating_mul(number))
}

/// Returns the number of the frame that is due at `elapsed` after the opening.
fn number_at(elapsed: Duration, interval: Duration) -> u64 {
    (elapsed.as_nanos() / interval.as_nanos()) as u64
}

#[cfg(test)]
mod tests {
    #![warn(clippy::disallowed_methods)]

    use framecast_media::Codec;

    use super::*;

    async fn open(text: &str) -> Result<Box<dyn Source>, Error> {
        let url = SourceUrl::parse(text).unwrap();
        Test.check(&url)?;
        Test.open(&OpenContext::default(), &url).await
    }

    fn number_of(frame: &Frame) -> u32 {
        let picture = jpeg::decode(&frame.data, 1 << 20).unwrap();
        TestPattern::read_number(&picture).unwrap()
    }

    #[tokio::test]
    async fn frames_have_the_size_asked_for_and_rising_numbers() {
        let mut source = open("test:?size=320x180&fps=100").await.unwrap();
        let mut last = None;
        for _ in 0..5 {
            let frame = source.next_frame().await.unwrap().unwrap();
            assert_eq!((frame.format.width_px, frame.format.height_px), (320, 180));
            let number = number_of(&frame);
            assert!(last.is_none_or(|last| number > last), "{number} after {last:?}");
            last = Some(number);
        }
    }

    #[tokio::test]
    async fn a_reader_that_pauses_finds_numbers_left_out_and_not_the_past() {
        let mut source = open("test:?size=320x180&fps=200").await.unwrap();
        let first = source.next_frame().await.unwrap().unwrap();
        framecast_testkit::pause(Duration::from_millis(200)).await;
        // When the test paused, one frame was in the channel and the thread was sending another.
        for _ in 0..2 {
            source.next_frame().await.unwrap().unwrap();
        }
        let fresh = source.next_frame().await.unwrap().unwrap();
        let passed = fresh.captured_at.duration_since(first.captured_at).unwrap();
        assert!(passed >= Duration::from_millis(195), "{passed:?}");
        assert!(number_of(&fresh) >= number_of(&first) + 38);
    }

    #[tokio::test]
    async fn raw_pictures_come_packed_in_the_format_asked_for() {
        for format in PixelFormat::ALL {
            let mut source = open(&format!("test:?size=34x18&fps=100&format={format}")).await.unwrap();
            let frame = source.next_frame().await.unwrap().unwrap();
            assert_eq!(frame.format.codec, Codec::Raw(format, ColorRange::Full));
            assert_eq!(frame.data.len(), format.len_bytes(34, 18));
        }
        let refusal = open("test:?format=h264").await.err().unwrap().to_string();
        assert!(refusal.contains("must be one of jpeg, yuyv, uyvy"), "{refusal}");
    }

    #[tokio::test]
    async fn the_smallest_and_odd_sizes_are_drawn() {
        for size in ["16x16", "17x33", "4096x16", "16x4096"] {
            let mut source = open(&format!("test:?size={size}&fps=1")).await.unwrap();
            assert!(source.next_frame().await.unwrap().is_some(), "{size}");
        }
    }

    #[tokio::test]
    async fn a_slow_camera_closes_at_once_and_says_how_long_it_pauses() {
        let mut source = open("test:?size=64x64&fps=0.001").await.unwrap();
        source.next_frame().await.unwrap().unwrap();
        assert_eq!(source.max_frame_gap(), Duration::from_secs(1000));
        // This would take a quarter of an hour if dropping waited for the next frame.
        drop(source);
    }

    #[tokio::test]
    async fn sizes_and_rates_out_of_range_are_refused() {
        for bad in ["size=8x8", "size=5000x100", "fps=241", "fps=0", "rate=3"] {
            assert!(open(&format!("test:?{bad}")).await.is_err(), "{bad}");
        }
    }
}
