//! Framecast turns any camera into live pictures in any browser. This crate is the library behind the program. Use it
//! to embed the server, to mount the server's routes in an axum program, or to add a custom camera.
//!
//! # A custom camera
//!
//! Any iterator that yields JPEG images can be a camera. The camera in this example appears on the live page at
//! `http://127.0.0.1:5000/`:
//!
//! ```no_run
//! use framecast::{App, Drivers, Settings};
//!
//! # fn next_jpeg() -> Vec<u8> { Vec::new() }
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let drivers = Drivers::builtin().with_frames("mine", || std::iter::repeat_with(next_jpeg));
//! let settings = Settings::with_cameras([("front", "mine:")])?;
//! App::start(settings, drivers).await?.run(framecast::shutdown_signal()).await;
//! # Ok(())
//! # }
//! ```
//!
//! # Cameras in an axum program
//!
//! ```no_run
//! use framecast::{Cameras, Drivers, Settings};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let settings = Settings::from_toml("[[camera]]\nname = 'front'\nsource = 'emulated'", &Drivers::builtin())?;
//! let cameras = Cameras::start(settings, Drivers::builtin()).await?;
//! let router = axum::Router::<()>::new().nest_service("/cams", cameras.router());
//! # Ok(())
//! # }
//! ```
//!
//! The program calls [`tune`] for each connection that it accepts, so that a viewer behind a slow link gets the newest
//! pictures. The example `embed.rs` shows this with `axum::serve`.
//!
//! # Frames for other uses
//!
//! A subscriber with a demand keeps the camera open. The camera opens for its first viewer, and closes after its last
//! viewer has left.
//!
//! ```
//! use framecast::{Cameras, Delivery, DemandKind, Drivers, Settings};
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let settings = Settings::with_cameras([("front", "emulated:?fps=50&size=64x64")])?;
//! let cameras = Cameras::start(settings, Drivers::builtin()).await?;
//! let front = cameras.hub().get("front").ok_or("no such camera")?;
//! let mut subscriber = front.subscribe(Delivery::Latest, front.demand(DemandKind::Viewer));
//! let frame = subscriber.next().await.ok_or("the camera has ended")?;
//! assert_eq!(frame.format.width_px, 64);
//! # Ok(())
//! # }
//! ```
//!
//! # The main types
//!
//! - [`App`] is the whole server. [`Cameras`] is the server without a listener; another program mounts its
//!   [`router`](Cameras::router).
//! - [`Settings`] configures an [`App`] or [`Cameras`], from code or from the text of a `framecast.toml`.
//! - [`Drivers`] is the table of drivers; [`Driver`] and [`Source`] are the traits for a custom driver.
//! - [`Hub`] finds a camera's [`Feed`] by name; its [`Channel`] hands out [`Frame`]s to [`Subscriber`]s.
//! - [`table`] streams any number of rows as HTML, CSV or JSON.
//! - [`multipart`] writes and reads `multipart/x-mixed-replace` for parts of any content type.
//!
//! Everything runs on Tokio. The library logs with `tracing`; a program that embeds the library chooses where the log
//! goes.
//!
//! This crate contains configuration, the supervision of cameras, HTTP, and the assembly of the server. Code that
//! defines pictures, fans them out to subscribers, reads them from devices, or sends them to clients belongs in other
//! crates.

#![forbid(unsafe_code)]

mod app;
mod camera;
mod camera_table;
pub mod config;
mod controls;
mod encoding;
mod error_chain;
mod history;
mod http;
mod lost_lines;
mod memory;
mod signal;
mod supervisor;
mod suspend;
mod webhook;

pub use app::{App, Cameras, StartError};
pub use camera_table::CameraChanges;
#[doc(inline)]
pub use config::{
    Account, CameraSettings, ConfigError, HistorySettings, HistoryStorage, Listen, Settings, TrustedProxies,
    WebhookSettings,
};
pub use framecast_drivers::{
    BoxFuture, Capture, CaptureTime, Clock, ClockReading, Control, ControlKind, ControlValue, Controls,
    Device, DeviceFormat, DeviceSize, Driver, Drivers, Error as DriverError, ErrorKind as DriverErrorKind,
    Failure as DriverFailure, FrameBuilder, IntoPicture, MenuEntry, Mode, OpenContext,
    Options as SourceOptions, Source, SourceUrl, blocking, video_file_source,
};
pub use framecast_history::History;
pub use framecast_hub::{
    CameraState, CameraStatus, Channel, Delivery, Demand, DemandCounts, DemandKind, Epoch, Event, EventKind,
    EventReader, Events, Feed, Hub, Received, Rendition, Stats, Subscriber, TooManyRenditions, Update,
};
pub use framecast_media::Secret;
pub use framecast_media::container::multipart;
pub use framecast_media::{
    Anchor, Bytes, Codec, ColorRange, Dependency, Error as MediaError, Format, Frame, PixelFormat, Timestamp,
    codec, draw, escape_hidden, escape_hidden_json, escape_hidden_multiline, is_hidden,
};
pub use framecast_outputs::tune;
#[doc(hidden)] // Public only for the fuzz targets.
pub use http::EventRequest;
pub use http::table;
pub use lost_lines::LostLines;
pub use signal::shutdown_signal;
pub use tokio_util::sync::CancellationToken;
