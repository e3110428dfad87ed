//! Video4Linux2, the kernel's interface to cameras and capture cards, made safe.
//!
//! A [`Device`] is an open node: callers query its capabilities, formats and controls, and set its format.
//! [`Device::start`] makes a [`CaptureStream`] of it, whose memory-mapped buffers are lent one at a time ([`FilledBuffer`]) and return
//! to the device when dropped. Nothing blocks: an empty queue is `None`, and [`AsFd`](std::os::fd::AsFd) is for
//! waiting.
//!
//! Numbers and sizes from the kernel are checked or bounded here: a driver that enumerates endlessly is cut short.
//!
//! What does not belong here: choosing a format, waiting, retrying, and anything of Framecast's own. Empty on systems
//! other than Linux.
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
