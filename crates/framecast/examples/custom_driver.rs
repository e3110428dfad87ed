//! A custom driver that implements the full traits `Driver`, `Source` and `Controls`. It checks the options in the URL
//! before it opens anything. It opens its source for the first viewer and closes the source after the last viewer has
//! left. Viewers can read the driver's error messages, and its controls appear as a panel on the camera's page.
//!
//! ```sh
//! cargo run -p framecast --example custom_driver [ADDRESS:PORT]
//! ```
#![expect(clippy::print_stdout, reason = "says where to look, and when the device is opened and closed")]

use std::error::Error;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use framecast::codec::{RgbImage, jpeg};
use framecast::{
    App, BoxFuture, CaptureTime, Control, ControlKind, ControlValue, Controls, Driver, DriverError, Drivers,
    Frame, FrameBuilder, MenuEntry, OpenContext, Settings, Source, SourceUrl, shutdown_signal,
};
use tokio::time::{Interval, MissedTickBehavior, interval};

/// The driver of sources such as `bars:?fps=10&size=640x480`, which show moving stripes.
struct Bars {
    dials: Dials,
}

/// The current values of the driver's controls. A real driver would read them from its device.
#[derive(Clone)]
struct Dials(Arc<Mutex<Vec<Control>>>);

impl Dials {
    fn new() -> Self {
        let control = |group: &str, name: &str, kind, default| Control {
            id: name.to_lowercase(),
            number: None,
            name: name.to_owned(),
            group: group.to_owned(),
            kind,
            default: Some(default),
            value: None,
            read_only: false,
            inactive: false,
        };
        let entry = |value, name: &str| MenuEntry { value, name: name.to_owned() };
        let directions = vec![entry(0, "To the left"), entry(1, "To the right")];
        let mut controls = vec![
            control(
                "Picture",
                "Brightness",
                ControlKind::Integer { min: 0, max: 255, step: 1 },
                ControlValue::Integer(220),
            ),
            control("Motion", "Still", ControlKind::Boolean, ControlValue::Boolean(false)),
            control(
                "Motion",
                "Speed",
                ControlKind::Integer { min: 0, max: 32, step: 4 },
                ControlValue::Integer(8),
            ),
            control("Motion", "Direction", ControlKind::Menu { menu: directions }, ControlValue::Integer(0)),
        ];
        controls.iter_mut().for_each(|control| control.value.clone_from(&control.default));
        Self(Arc::new(Mutex::new(controls)))
    }

    fn current(&self) -> Vec<Control> {
        let mut controls = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        // While the stripes do not move, their speed has no effect.
        controls[2].inactive = self.number(1) == 1;
        controls
    }

    fn number(&self, index: usize) -> u32 {
        match self.0.lock().unwrap_or_else(PoisonError::into_inner)[index].value {
            Some(ControlValue::Integer(number)) => u32::try_from(number).unwrap_or_default(),
            Some(ControlValue::Boolean(is_on)) => u32::from(is_on),
            _ => 0,
        }
    }

    /// Sets each control in `changes` to the value beside its name; the value `None` resets the control to its default.
    /// Checks all values before it sets any.
    fn turn(&self, changes: &[(String, Option<ControlValue>)]) -> Result<(), DriverError> {
        let mut controls = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (id, value) in changes {
            let Some(control) = controls.iter().find(|control| control.id == *id) else {
                let known = controls.iter().map(|control| control.id.clone()).collect();
                return Err(DriverError::NoSuchControl { control: id.clone(), known });
            };
            let checked = value.as_ref().map_or(Ok(()), |value| control.check(value));
            checked.map_err(|problem| DriverError::BadControl { control: id.clone(), problem })?;
        }
        for (id, value) in changes {
            for control in controls.iter_mut().filter(|control| control.id == *id) {
                control.value = value.clone().or_else(|| control.default.clone());
            }
        }
        Ok(())
    }
}

const OPTIONS: &[&str] = &["fps", "size"];

/// Parses the options in the URL. Returns the time between two pictures, and their width and height in pixels.
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

    fn open<'a>(
        &'a self,
        context: &'a OpenContext,
        url: &'a SourceUrl,
    ) -> BoxFuture<'a, Result<Box<dyn Source>, DriverError>> {
        Box::pin(async move {
            let (pause, size_px) = options(url)?;
            let mut ticks = interval(pause);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
            println!("opened");
            let source = OpenBars {
                ticks,
                pause,
                size_px,
                moved: 0,
                builder: FrameBuilder::new(context),
                dials: self.dials.clone(),
            };
            Ok(Box::new(source) as Box<dyn Source>)
        })
    }

    fn controls(&self) -> Option<&dyn Controls> {
        Some(&self.dials)
    }
}

impl Controls for Dials {
    fn list<'a>(&'a self, _: &'a SourceUrl) -> BoxFuture<'a, Result<Vec<Control>, DriverError>> {
        Box::pin(async { Ok(self.current()) })
    }

    fn set<'a>(
        &'a self,
        _: &'a SourceUrl,
        changes: &'a [(String, Option<ControlValue>)],
    ) -> BoxFuture<'a, Result<(), DriverError>> {
        Box::pin(async move { self.turn(changes) })
    }
}

/// The open device. Dropping this value closes the device.
struct OpenBars {
    ticks: Interval,
    pause: Duration,
    size_px: (u32, u32),
    /// How far the stripes have moved, in pixels.
    moved: u32,
    dials: Dials,
    /// The builder that checks each JPEG and makes a frame of it.
    builder: FrameBuilder,
}

impl Source for OpenBars {
    /// Waits until the next picture is due, and draws it. Cancel safe: the next call continues the same wait.
    fn next_frame(&mut self) -> BoxFuture<'_, Result<Option<Frame>, DriverError>> {
        Box::pin(async move {
            self.ticks.tick().await;
            let captured = CaptureTime::Monotonic(self.builder.now().monotonic);
            let (width_px, height_px) = self.size_px;
            let step = if self.dials.number(1) == 1 { 0 } else { self.dials.number(2) };
            // The stripes repeat after 64 pixels.
            self.moved =
                if self.dials.number(3) == 0 { self.moved + step } else { self.moved + 64 - step } % 64;
            let bright = u8::try_from(self.dials.number(0)).unwrap_or(u8::MAX);
            let mut picture = RgbImage::new(width_px, height_px);
            for (at, pixel) in (0_u32..).zip(picture.data_mut().chunks_exact_mut(3)) {
                let stripe = (at % width_px + self.moved) / 32 % 2;
                pixel.fill(if stripe == 0 { 40 } else { bright });
            }
            // Viewers see the error's message, and the supervisor opens the camera again after a while.
            let data = jpeg::encode(&picture, 80).map_err(DriverError::transient)?;
            self.builder.jpeg_frame(data, captured).map(Some)
        })
    }

    fn max_frame_gap(&self) -> Duration {
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
    let drivers = Drivers::builtin().with(Bars { dials: Dials::new() });
    let mut settings = Settings::with_cameras([("bars", "bars:?fps=20&size=320x240")])?;
    settings.set_listen(&std::env::args().nth(1).unwrap_or("127.0.0.1:5000".to_owned()))?;
    // The folder for saved controls, if the user gives one.
    settings.state_dir = std::env::args_os().nth(2).map(Into::into);
    let app = App::start(settings, drivers).await?;
    println!("open http://{}/", app.listens_on());
    app.run(shutdown_signal()).await;
    Ok(())
}
