//! The devices that are plugged in, and the formats that an open device delivers.

use std::fmt;

use serde::Serialize;

/// A device that a driver can open.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Device {
    /// The device's own name: "HD Webcam C270".
    pub name: String,
    /// The source URL to paste into a command line or configuration. If the device can be told apart from others, the
    /// URL stays valid when the device is unplugged and plugged in again.
    pub source: String,
    /// The device's current path: `/dev/video0`.
    pub path: Option<String>,
    /// The kernel driver or library that serves the device: `uvcvideo`.
    pub driver: String,
    /// The program that uses the device now, if known.
    pub in_use_by: Option<String>,
    /// Why the device cannot be used or queried for its formats, such as a missing permission; `None` if there is no
    /// problem.
    pub problem: Option<String>,
    /// The formats that the device reports.
    pub formats: Vec<DeviceFormat>,
}

/// A format that a device can deliver.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct DeviceFormat {
    /// The format's name for the option `format` of a source URL, or the device's own name for a format that Framecast
    /// cannot show.
    pub format: String,
    /// Whether Framecast can show this format.
    pub is_usable: bool,
    /// The picture sizes available in this format, largest first.
    pub sizes: Vec<DeviceSize>,
}

/// A picture size that a device can deliver.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct DeviceSize {
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// The frame rates in frames per second, highest first; empty if the device does not report them.
    pub fps: Vec<f64>,
}

/// The mode that an open device delivers, and the mode that Framecast requested from it.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Capture {
    /// The device, for display: "HD Webcam (/dev/video0)".
    pub device: String,
    /// The mode that the device delivers.
    pub given: Mode,
    /// The mode that Framecast requested. A field is `None` if Framecast left the choice to the device.
    pub asked: Mode,
}

/// A format, a picture size and a frame rate.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Mode {
    /// The pixel format or codec: `mjpeg`, `yuyv`.
    pub format: Option<String>,
    /// Width in pixels.
    pub width: Option<u32>,
    /// Height in pixels.
    pub height: Option<u32>,
    /// Frames per second.
    pub fps: Option<f64>,
}

impl Mode {
    /// Returns whether this mode differs from `asked` in any field that `asked` sets. Frame rates within 1 % of each
    /// other are considered equal.
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
    /// Writes, for example, `mjpeg 1280x720 at 30 fps`.
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
