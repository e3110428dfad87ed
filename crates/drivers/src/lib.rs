//! Drivers, which deliver the frames of cameras: one module per driver, and one table ([`Drivers`]) of all of them.
//!
//! A [`Driver`] opens sources of one URL scheme. A [`Source`] is an open device or connection that yields frames until
//! it is dropped. The [`FrameBuilder`] checks every picture before turning it into a frame.
//!
//! What does not belong here: sending frames to viewers (the hub, another part of Framecast, does it), the decision
//! when to retry a source (the supervisor, which keeps a camera open, makes it), and configuration files.

#![forbid(unsafe_code)]

#[cfg(any(feature = "http-source", feature = "program-source"))]
mod arrival;
pub mod blocking;
mod clock;
mod control;
mod device;
mod driver;
mod emulated;
mod error;
#[cfg(feature = "program-source")]
mod exec;
mod frame_builder;
#[cfg(feature = "program-source")]
mod frame_parser;
#[cfg(feature = "program-source")]
mod frame_wait;
mod frames;
#[cfg(feature = "http-source")]
mod http;
#[doc(hidden)] // Public only for the fuzz targets.
#[cfg(any(feature = "http-source", feature = "program-source"))]
pub mod http1;
#[cfg(feature = "file-source")]
mod images;
#[cfg(feature = "file-source")]
mod interval_timer;
#[cfg(feature = "program-source")]
mod libcamera;
#[cfg(any(feature = "http-source", feature = "program-source"))]
#[cfg_attr(not(feature = "http-source"), expect(dead_code, reason = "`rtsp:` needs only a part of it"))]
mod login;
mod masking;
mod open_context;
#[cfg(feature = "program-source")]
mod pipe;
#[cfg(feature = "program-source")]
mod program;
#[cfg(feature = "program-source")]
mod program_video;
#[cfg(feature = "program-source")]
mod redact;
#[cfg(feature = "program-source")]
mod rtsp;
#[doc(hidden)] // Public only for the fuzz targets.
#[cfg(feature = "program-source")]
pub mod rtsp_message;
#[cfg(any(feature = "http-source", feature = "program-source"))]
mod server_url;
mod source_url;
mod suggest;
mod table;
mod test_pattern;
mod unit;
#[cfg(feature = "v4l2-source")]
#[cfg_attr(not(target_os = "linux"), path = "v4l2_unsupported.rs")]
mod v4l2;
#[cfg(feature = "program-source")]
mod video_decoder;
#[cfg(feature = "program-source")]
mod video_frames;

pub use clock::{CaptureTime, Clock, ClockReading};
pub use control::{Control, ControlKind, ControlValue, MenuEntry};
pub use device::{Capture, Device, DeviceFormat, DeviceSize, Mode};
pub use driver::{Controls, Driver, Source};
pub use error::{Error, ErrorKind, Failure};
pub use frame_builder::FrameBuilder;
pub use frames::IntoPicture;
pub use futures_core::future::BoxFuture;
pub use open_context::OpenContext;
pub use source_url::{Options, SourceUrl};
pub use suggest::{nearest, video_file_source};
pub use table::Drivers;
#[cfg(feature = "program-source")]
pub use video_decoder::{DecoderInput, VideoDecoder, VideoDecoders};
