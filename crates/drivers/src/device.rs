//! Which devices are plugged in, and what an open device delivers.

use std::fmt;

use serde::Serialize;

/// A device that a driver can open.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Device {
    /// The device's own name: "HD Webcam C270".
    pub name: String,
    /// The source to paste into a command line or configuration. It is stable if the device can be told from others.
    pub source: String,
    /// Its current path: `/dev/video0`.
    pub path: Option<String>,
    /// The kernel driver or library that serves it: `uvcvideo`.
    pub driver: String,
    /// The program that uses it now, if known.
    pub in_use_by: Option<String>,
    /// Why it cannot be used or queried for its formats, if so: no permission, for instance.
    pub problem: Option<String>,
    /// The formats that it reports.
    pub formats: Vec<DeviceFormat>,
}

/// A format that a device can deliver.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DeviceFormat {
    /// The name for the source's `format` option, or the device's own name for a format that Framecast cannot show.
    pub format: String,
    /// Whether Framecast can show it.
    pub is_usable: bool,
    /// The sizes, largest first.
    pub sizes: Vec<DeviceSize>,
}

/// A size that a device can deliver.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DeviceSize {
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Frames per second, highest first; empty if the device does not report them.
    pub fps: Vec<f64>,
}

/// What an open device delivers, and what Framecast requested from it.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Capture {
    /// The device, for display: "HD Webcam (/dev/video0)".
    pub device: String,
    /// What it delivers.
    pub given: Mode,
    /// What Framecast requested; a field is `None` if the choice was left to the device.
    pub asked: Mode,
}

/// A format, a size and a rate.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Mode {
    /// The coding: `mjpeg`, `yuyv`.
    pub format: Option<String>,
    /// Width in pixels.
    pub width: Option<u32>,
    /// Height in pixels.
    pub height: Option<u32>,
    /// Frames per second.
    pub fps: Option<f64>,
}

impl Mode {
    /// Whether this differs from `asked` in any field that `asked` sets.
    pub fn differs_from(&self, asked: &Self) -> bool {
        fn differs<T: PartialEq>(given: &Option<T>, asked: &Option<T>) -> bool {
            asked.is_some() && given != asked
        }
        differs(&self.format, &asked.format)
            || differs(&self.width, &asked.width)
            || differs(&self.height, &asked.height)
            || self.fps.zip(asked.fps).is_some_and(|(given, asked)| (given - asked).abs() > 0.01 * asked)
    }
}

impl fmt::Display for Mode {
    /// For example `mjpeg 1280x720 at 30 fps`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let size = self.width.zip(self.height).map(|(width, height)| format!("{width}x{height}"));
        let rate = self.fps.map(|fps| format!("at {} fps", (fps * 100.0).round() / 100.0));
        let words: Vec<String> = [self.format.clone(), size, rate].into_iter().flatten().collect();
        f.write_str(&words.join(" "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_left_open_does_not_differ() {
        let format = |name: &str| Some(name.to_owned());
        let given = Mode { format: format("mjpeg"), width: Some(1280), height: Some(720), fps: Some(29.97) };
        assert_eq!(given.to_string(), "mjpeg 1280x720 at 29.97 fps");
        assert!(!given.differs_from(&Mode::default()));
        assert!(!given.differs_from(&Mode { fps: Some(30.0), ..Mode::default() }), "NTSC's thirty");
        assert!(given.differs_from(&Mode { fps: Some(15.0), ..Mode::default() }));
        assert!(given.differs_from(&Mode { width: Some(640), ..Mode::default() }));
        assert!(given.differs_from(&Mode { format: format("yuyv"), ..Mode::default() }));
    }
}
