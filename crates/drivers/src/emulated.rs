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
        let (_, options) = url.path_and_options(OPTIONS)?;
        options.frame_interval(1.0)?;
        options.size(DEFAULT_SIZE_PX, MIN_SIDE_PX, MAX_SIDE_PX)?;
        Ok(())
    }

    fn open<'a>(&'a self, url: &'a SourceUrl) -> BoxFuture<'a, Result<Box<dyn Source>, Error>> {
        Box::pin(async move {
            let (_, options) = url.path_and_options(OPTIONS)?;
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
