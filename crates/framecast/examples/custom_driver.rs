//! A driver of one's own with the full traits: options in the URL, checked before anything is opened; a source that
//! is opened for the first viewer and dropped after the last; errors that viewers can read.
//!
//! ```sh
//! cargo run -p framecast --example custom_driver [ADDRESS:PORT]
//! ```
#![expect(clippy::print_stdout, reason = "says where to look, and when the device is opened and closed")]

use std::error::Error;
use std::time::{Duration, SystemTime};

use framecast::codec::{Picture, jpeg};
use framecast::{
    App, BoxFuture, Door, Driver, DriverError, Drivers, Frame, Settings, Source, SourceUrl, shutdown_signal,
};
use tokio::time::{Interval, MissedTickBehavior, interval};

/// `bars:?fps=10&size=640x480`: stripes that move.
struct Bars;

const OPTIONS: &[&str] = &["fps", "size"];

/// What the URL asks for.
fn options(url: &SourceUrl) -> Result<(Duration, (u32, u32)), DriverError> {
    let (_, options) = url.path_and_options(OPTIONS)?;
    Ok((options.frame_interval(10.0)?, options.size((640, 480), 16, 1920)?))
}

impl Driver for Bars {
    fn scheme(&self) -> &'static str {
        "bars"
    }

    fn check(&self, url: &SourceUrl) -> Result<(), DriverError> {
        options(url).map(|_| ())
    }

    fn open<'a>(&'a self, url: &'a SourceUrl) -> BoxFuture<'a, Result<Box<dyn Source>, DriverError>> {
        Box::pin(async move {
            let (pause, size_px) = options(url)?;
            let mut ticks = interval(pause);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
            println!("opened");
            let source = OpenBars { ticks, pause, size_px, number: 0, door: Door::new(url) };
            Ok(Box::new(source) as Box<dyn Source>)
        })
    }
}

/// The open device. Dropping it closes it.
struct OpenBars {
    ticks: Interval,
    pause: Duration,
    size_px: (u32, u32),
    number: u32,
    /// Every picture passes it: it checks the JPEG and makes a frame of it.
    door: Door,
}

impl Source for OpenBars {
    /// Cancel safe: what is awaited can be awaited again.
    fn next_frame(&mut self) -> BoxFuture<'_, Result<Option<Frame>, DriverError>> {
        Box::pin(async move {
            self.ticks.tick().await;
            let captured_at = SystemTime::now();
            self.number += 1;
            let (width_px, height_px) = self.size_px;
            let mut picture = Picture::new(width_px, height_px);
            for (at, pixel) in (0_u32..).zip(picture.data_mut().chunks_exact_mut(3)) {
                let stripe = (at % width_px + 8 * self.number) / 32 % 2;
                pixel.fill(if stripe == 0 { 40 } else { 220 });
            }
            // Whatever fails is told to the viewers, and the camera is opened again after a while.
            let data = jpeg::encode(&picture, 80).map_err(|error| DriverError::Custom(error.into()))?;
            self.door.admit(data, captured_at).map(Some)
        })
    }

    fn longest_pause(&self) -> Duration {
        self.pause
    }
}

impl Drop for OpenBars {
    fn drop(&mut self) {
        println!("closed");
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let drivers = Drivers::builtin().with(Bars);
    let mut settings = Settings::with_cameras([("bars", "bars:?fps=20&size=320x240")])?;
    settings.set_listen(&std::env::args().nth(1).unwrap_or("127.0.0.1:5000".to_owned()))?;
    let app = App::start(settings, drivers).await?;
    println!("open http://{}/", app.local_addr());
    app.run(shutdown_signal()).await;
    Ok(())
}
