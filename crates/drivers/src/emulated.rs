//! The emulated camera: 1, 2 and 3 by the clock, for trying things out without a device.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use framecast_media::codec::jpeg;
use framecast_media::{Bytes, Frame, draw};

use crate::{BoxFuture, Door, Driver, Error, Source, SourceUrl};

/// `emulated:?fps=1`: pictures of the digits 1, 2 and 3; which one is the number of the current second modulo 3,
/// plus 1, or of the current frame where there are more than one a second.
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

    fn open<'a>(&'a self, url: &'a SourceUrl) -> BoxFuture<'a, Result<Box<dyn Source>, Error>> {
        Box::pin(async move {
            let options = url.options(OPTIONS)?;
            let interval = options.frame_interval(1.0)?;
            let (width_px, height_px) = options.size(DEFAULT_SIZE_PX, MIN_SIDE_PX, MAX_SIDE_PX)?;
            let pictures =
                [1, 2, 3].map(|digit| jpeg::encode(&draw::emulated(digit, width_px, height_px), QUALITY));
            let mut encoded = Vec::with_capacity(pictures.len());
            for picture in pictures {
                encoded.push(picture?);
            }
            let source =
                EmulatedSource { pictures: encoded, interval, last_tick: None, door: Door::new(url) };
            Ok(Box::new(source) as Box<dyn Source>)
        })
    }
}

struct EmulatedSource {
    pictures: Vec<Bytes>,
    interval: Duration,
    /// Number of the interval, counted from the unix epoch, whose picture was shown last.
    last_tick: Option<u128>,
    door: Door,
}

impl Source for EmulatedSource {
    fn next_frame(&mut self) -> BoxFuture<'_, Result<Option<Frame>, Error>> {
        Box::pin(async move {
            // The first picture is shown at once, the others as the clock turns.
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
            let picture = &self.pictures[(tick % self.pictures.len() as u128) as usize];
            self.door.admit(picture.clone(), SystemTime::now()).map(Some)
        })
    }

    fn longest_pause(&self) -> Duration {
        self.interval
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn open(text: &str) -> Result<Box<dyn Source>, Error> {
        let url = SourceUrl::parse(text).unwrap();
        Emulated.check(&url)?;
        Emulated.open(&url).await
    }

    fn card(digit: u64, (width_px, height_px): (u32, u32)) -> Bytes {
        jpeg::encode(&draw::emulated(digit as u8, width_px, height_px), QUALITY).unwrap()
    }

    /// The digit that belongs to this second.
    fn digit_now() -> u64 {
        SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() % 3 + 1
    }

    #[tokio::test]
    async fn the_first_picture_comes_at_once_and_is_that_of_the_second() {
        let mut source = open("emulated").await.unwrap();
        assert_eq!(source.longest_pause(), Duration::from_secs(1));
        let before = digit_now();
        let frame = source.next_frame().await.unwrap().unwrap();
        let possible = [card(before, DEFAULT_SIZE_PX), card(digit_now(), DEFAULT_SIZE_PX)];
        assert!(possible.contains(&frame.data));
    }

    #[tokio::test]
    async fn each_picture_differs_from_the_one_before_and_there_are_three() {
        let mut source = open("emulated:?fps=100&size=64x64").await.unwrap();
        let cards: Vec<Bytes> = (1..=3).map(|digit| card(digit, (64, 64))).collect();
        let mut seen = [0; 3];
        for _ in 0..12 {
            let frame = source.next_frame().await.unwrap().unwrap();
            let index = cards.iter().position(|card| *card == frame.data).unwrap();
            seen[index] += 1;
        }
        assert!(seen.iter().all(|times| *times > 0), "{seen:?}");
    }

    #[tokio::test]
    async fn sizes_and_options_out_of_range_are_refused() {
        for bad in ["size=63x64", "size=64x4097", "fps=0", "digit=4"] {
            assert!(open(&format!("emulated:?{bad}")).await.is_err(), "{bad}");
        }
    }
}
