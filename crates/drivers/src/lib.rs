//! Where frames come from: one file per driver, and one table ([`Drivers`]) of all of them.
//!
//! A [`Driver`] opens sources of one URL scheme; a [`Source`] is an open device or connection that yields frames until
//! it is dropped. The [`Door`] checks every picture before it becomes a frame.
//!
//! What does not belong here: who watches (drivers never see the hub), when to retry (the supervisor decides) and
//! configuration files.

mod address;
pub mod blocking;
mod control;
mod device;
mod door;
mod driver;
mod emulated;
mod error;
mod exec;
mod frames;
mod http;
#[doc(hidden)] // Public only for the fuzz targets.
pub mod http1;
mod images;
mod libcamera;
mod meant;
mod pipe;
mod program;
mod redact;
mod rtsp;
mod shown;
mod source_url;
mod stream;
mod table;
mod test_pattern;
mod ticks;
#[cfg_attr(not(target_os = "linux"), path = "v4l2_elsewhere.rs")]
mod v4l2;

pub use control::{Control, ControlKind, ControlValue, MenuEntry};
pub use device::{Capture, Device, DeviceFormat, DeviceSize, Mode};
pub use door::Door;
pub use driver::{Driver, Source};
pub use error::Error;
pub use frames::IntoPicture;
pub use futures_core::future::BoxFuture;
pub use http::tls_of_system;
pub use meant::film_source;
pub use source_url::{Options, SourceUrl};
pub use table::Drivers;
