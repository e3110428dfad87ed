//! What is plugged in, and what an open device delivers.

use serde::Serialize;

/// A device that a driver can open.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Device {
    /// What it calls itself: "HD Webcam C270".
    pub name: String,
    /// The source to paste into a command line or configuration; stable where the device can be told from others.
    pub source: String,
    /// Where it is now: `/dev/video0`.
    pub path: Option<String>,
    /// The kernel driver or library behind it: `uvcvideo`.
    pub driver: String,
    /// The program that uses it now, where that can be known.
    pub in_use_by: Option<String>,
    /// Why it cannot be used or asked for its formats, where that is so: no permission, for instance.
    pub problem: Option<String>,
    /// What it can deliver, as far as it tells.
    pub formats: Vec<DeviceFormat>,
}

/// A format that a device can deliver.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DeviceFormat {
    /// The name for the source's `format` option, or the device's own for one that Framecast cannot show.
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
    /// Frames per second, highest first; empty where the device does not tell.
    pub fps: Vec<f64>,
}

/// What an open device delivers, and beside it what it was asked for.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Capture {
    /// The device, for people: "HD Webcam (/dev/video0)".
    pub device: String,
    /// What it delivers.
    pub given: Mode,
    /// What was asked; `None` in it where the choice was left open.
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
