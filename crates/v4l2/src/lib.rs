//! A safe interface to Video4Linux2 (V4L2), the kernel's interface to cameras and capture cards.
//!
//! A [`Device`] is an open device node: callers query its capabilities, formats and controls, and set its format.
//! [`Device::start`] turns the device into a [`CaptureStream`]. The stream's memory-mapped buffers are lent to the
//! caller one at a time ([`FilledBuffer`]) and return to the device when dropped. No call blocks: if no buffer is
//! filled yet, the result is `None`. To wait for a buffer, poll the file descriptor ([`AsFd`](std::os::fd::AsFd)).
//!
//! Numbers and sizes from the kernel are checked or limited in this crate: a list from a driver ends after a fixed
//! number of entries.
//!
//! Choosing a format, waiting, retrying, and everything that is specific to Framecast do not belong in this crate. On
//! systems other than Linux, the crate is empty.
#![cfg(target_os = "linux")]
#![allow(unsafe_code)]

mod capability;
mod control;
mod device;
mod error;
mod event;
mod format;
mod input;
mod ioctl;
mod mapping;
mod rate;
mod stream;
mod sys;
mod sys_size;
mod timing;

pub use capability::{Capability, PlanarApi};
pub use control::{ControlInfo, ControlType, MenuItem, Value};
pub use device::Device;
pub use error::Error;
pub use event::DeviceEvent;
pub use format::{Colour, FormatInfo, FourCc, PictureFormat, PlaneFormat, Sizes};
pub use input::Input;
pub use rate::{Fraction, Intervals};
pub use stream::{BufferInfo, CaptureStream, FilledBuffer};
pub use timing::Timings;
