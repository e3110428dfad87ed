//! The emulated camera: shows the digits 1, 2 and 3 in turn, following the clock, for trying Framecast without a
//! device.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use framecast_media::codec::jpeg;
use framecast_media::{Bytes, Frame, draw};
use tokio::task::spawn_blocking;

use crate::{BoxFuture, CaptureTime, Driver, Error, FrameBuilder, OpenContext, Source, SourceUrl};

/// The driver for `emulated:?fps=1`, which shows pictures of the digits 1, 2 and 3. Time is divided into frame
/// intervals, counted from the Unix epoch. The digit shown is the number of the current interval modulo 3, plus 1.
pub(crate) struct Emulated;

const OPTIONS: &[&str] = &["fps", "size"];
const DEFAULT_SIZE_PX: (u32, u32) = (640, 480);
const MIN_SIDE_PX: u32 = 64;
const MAX_SIDE_PX: u32 = 4096;
const QUALITY: u8 = 85;

impl Driver for Emulated {
    fn scheme(&self) -> &'static str {
        "emulated"
    }

    fn check(&self, url: &SourceUrl) -> Result<(), Error> {
        let options = url.options(OPTIONS)?;
        options.frame_interval(1.0)?;
        options.size(DEFAULT_SIZE_PX, MIN_SIDE_PX, MAX_SIDE_PX)?;
        Ok(())
    }

    fn open<'a>(
        &'a self,
        context: &'a OpenContext,
        url: &'a SourceUrl,
    ) -> BoxFuture<'a, Result<Box<dyn Source>, Error>> {
        Box::pin(async move {
            let options = url.options(OPTIONS)?;
            let interval = options.frame_interval(1.0)?;
            let (width_px, height_px) = options.size(DEFAULT_SIZE_PX, MIN_SIDE_PX, MAX_SIDE_PX)?;
            let pictures = spawn_blocking(move || cards(width_px, height_px))
                .await
                .map_err(|error| Error::Panicked { message: error.to_string() })??;
            let source =
                EmulatedSource { pictures, interval, last_tick: None, builder: FrameBuilder::new(context) };
            Ok(Box::new(source) as Box<dyn Source>)
        })
    }
}

/// Draws the three pictures, with the digits 1, 2 and 3, as JPEG images. Drawing large ones takes a while.
fn cards(width_px: u32, height_px: u32) -> Result<Vec<Bytes>, framecast_media::Error> {
    (1..=3).map(|digit| jpeg::encode(&draw::numbered_card(digit, width_px, height_px), QUALITY)).collect()
}

/// Returns which of `count` pictures belongs to the interval numbered `tick`, as an index from 0.
fn index(tick: u128, count: usize) -> usize {
    (tick % count as u128) as usize
}

struct EmulatedSource {
    pictures: Vec<Bytes>,
    interval: Duration,
    /// The number of the interval, counted from the Unix epoch, whose picture was yielded last; `None` before the first
    /// picture.
    last_tick: Option<u128>,
    builder: FrameBuilder,
}

impl Source for EmulatedSource {
    fn next_frame(&mut self) -> BoxFuture<'_, Result<Option<Frame>, Error>> {
        Box::pin(async move {
            // The first picture comes at once, each later picture at the start of its interval.
            let tick = loop {
                let now = SystemTime::now();
                let since_epoch = now.duration_since(UNIX_EPOCH).unwrap_or_default();
                let tick = since_epoch.as_nanos() / self.interval.as_nanos();
                if self.last_tick.is_none_or(|last| tick != last) {
                    break tick;
                }
                let into_tick = since_epoch.as_nanos() % self.interval.as_nanos();
                let left = self.interval - Duration::from_nanos(into_tick as u64);
                tokio::time::sleep(left).await;
            };
            self.last_tick = Some(tick);
            let picture = &self.pictures[index(tick, self.pictures.len())];
            self.builder.jpeg_frame(picture.clone(), CaptureTime::Now).map(Some)
        })
    }

    fn max_frame_gap(&self) -> Duration {
        self.interval
    }
}

#[cfg(test)]
mod tests {
    #![warn(clippy::disallowed_methods)]

    use super::*;

    async fn open(text: &str) -> Result<Box<dyn Source>, Error> {
        let url = SourceUrl::parse(text).unwrap();
        Emulated.check(&url)?;
        Emulated.open(&OpenContext::default(), &url).await
    }

    /// The number of this second, which is also the number of its tick.
    fn second_now() -> u128 {
        SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs().into()
    }

    #[tokio::test]
    async fn the_first_picture_comes_at_once_and_is_that_of_the_second() {
        let mut source = open("emulated").await.unwrap();
        assert_eq!(source.max_frame_gap(), Duration::from_secs(1));
        let before = second_now();
        let frame = source.next_frame().await.unwrap().unwrap();
        let cards = cards(DEFAULT_SIZE_PX.0, DEFAULT_SIZE_PX.1).unwrap();
        assert!((before..=second_now()).any(|tick| cards[index(tick, cards.len())] == frame.data));
    }

    #[test]
    fn from_tick_to_tick_the_digits_take_turns() {
        let cards = cards(64, 64).unwrap();
        assert!(cards[0] != cards[1] && cards[1] != cards[2] && cards[2] != cards[0]);
        let turns: Vec<usize> = (1_800_000_000..1_800_000_006).map(|tick| index(tick, cards.len())).collect();
        assert_eq!(turns, [0, 1, 2, 0, 1, 2]);
    }

    #[tokio::test]
    async fn all_three_are_shown_and_no_others() {
        let mut source = open("emulated:?fps=100&size=64x64").await.unwrap();
        let cards = cards(64, 64).unwrap();
        let mut seen = [false; 3];
        // A busy machine may skip some digits, so the loop runs until all three were seen.
        while seen != [true; 3] {
            let frame = source.next_frame().await.unwrap().unwrap();
            seen[cards.iter().position(|card| *card == frame.data).unwrap()] = true;
        }
    }

    #[tokio::test]
    async fn sizes_and_options_out_of_range_are_refused() {
        for bad in ["size=63x64", "size=64x4097", "fps=0", "digit=4"] {
            assert!(open(&format!("emulated:?{bad}")).await.is_err(), "{bad}");
        }
    }
}
