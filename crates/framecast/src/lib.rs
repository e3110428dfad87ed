//! Framecast turns any camera into live pictures in any browser. This crate is the library behind the program. Use it
//! to embed the server, to mount the server's routes in an axum program, or to add a custom camera.
//!
//! # A custom camera
//!
//! Any iterator that yields JPEG images can be a camera. The closure gets the camera's URL. It runs when the first
//! viewer comes, on a thread of its own, so it may block. The camera in this example appears on the live page at
//! `http://127.0.0.1:5000/`:
//!
//! ```no_run
//! use framecast::{App, Drivers, Settings, SourceUrl};
//!
//! # fn next_jpeg(_: &SourceUrl) -> Vec<u8> { Vec::new() }
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let open = |url: SourceUrl| std::iter::repeat_with(move || next_jpeg(&url));
//! let drivers = Drivers::builtin().with_frames("mine", open);
//! let settings = Settings::with_cameras([("front", "mine:lens=2")])?;
//! App::start(settings, drivers).await?.run(framecast::shutdown_signal()).await;
//! # Ok(())
//! # }
//! ```
//!
//! [`Drivers::with_frame_stream`] does the same for an asynchronous stream. Here each picture says when it was captured:
//!
//! ```
//! use std::time::SystemTime;
//!
//! use framecast::{CaptureTime, Cameras, Drivers, Settings};
//! use framecast::codec::{RgbImage, jpeg};
//! # use framecast::{Delivery, DemandKind};
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let picture = jpeg::encode(&RgbImage::new(64, 64), 80)?;
//! let captured_at = SystemTime::UNIX_EPOCH;
//! let drivers = Drivers::default().with_frame_stream("mine", move |_url| {
//!     let items = [(picture.clone(), CaptureTime::Original(captured_at))];
//!     futures_util::stream::iter(items)
//! });
//! let cameras = Cameras::start(Settings::with_cameras([("front", "mine:")])?, drivers).await?;
//! # let front = cameras.hub().get("front").ok_or("no such camera")?;
//! # let mut viewer = front.subscribe(Delivery::Latest, front.demand(DemandKind::Viewer));
//! # // A slate may come first.
//! # while viewer.next().await.ok_or("the camera has ended")?.captured_at != captured_at {}
//! # Ok(())
//! # }
//! ```
//!
//! # Pictures that come by themselves
//!
//! A program that already has pictures, for example from a library that calls back, can push them into the hub with a
//! [`Publisher`] of its own. Pushing never waits for a viewer. Nobody supervises such a camera: it has no settings, no
//! slates, and no renditions such as `?width=320`. Its stream is at `/cameras/pushed/stream.mjpg`, but neither the page
//! nor `/api/cameras` lists it.
//!
//! ```
//! use std::time::SystemTime;
//!
//! use framecast::codec::{RgbImage, jpeg};
//! use framecast::{Anchor, Cameras, CaptureTime, Drivers, FrameBuilder, OpenContext, Settings};
//! # use framecast::{Delivery, DemandKind};
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let cameras = Cameras::start(Settings::default(), Drivers::default()).await?;
//! let feed = cameras.hub().add("pushed", SystemTime::now())?;
//! let mut publisher = feed.begin_epoch(Anchor::new(SystemTime::now()));
//! let mut builder = FrameBuilder::new(&OpenContext::default());
//! # let mut viewer = feed.subscribe(Delivery::Latest, feed.demand(DemandKind::Viewer));
//!
//! // For each picture:
//! let picture = jpeg::encode(&RgbImage::new(64, 64), 80)?;
//! let captured_at = SystemTime::now();
//! publisher.publish(builder.jpeg_frame(picture, CaptureTime::Original(captured_at))?);
//! # assert_eq!(viewer.next().await.ok_or("the camera has ended")?.captured_at, captured_at);
//! # Ok(())
//! # }
//! ```
//!
//! # Cameras in an axum program
//!
//! [`Cameras::streams`] has the routes of streams and snapshots alone. `Cameras::router` has everything.
//!
//! ```no_run
//! use framecast::{Cameras, Drivers, Settings};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let cameras = Cameras::start(Settings::with_cameras([("front", "emulated")])?, Drivers::builtin()).await?;
//! let router = axum::Router::<()>::new().nest_service("/cams", cameras.streams());
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
//! - `App` is the whole server. [`Cameras`] is the server without a listener; another program mounts its
//!   [`streams`](Cameras::streams) or its whole `router`.
//! - [`Settings`] configures an `App` or [`Cameras`], from code or from the text of a `framecast.toml`.
//! - [`Drivers`] is the table of drivers; [`Driver`] and [`Source`] are the traits for a custom driver.
//! - [`Hub`] finds a camera's [`Feed`] by name; its [`Channel`] hands out [`Frame`]s to [`Subscriber`]s.
//! - `table` streams any number of rows as HTML, CSV or JSON.
//! - [`multipart`] writes and reads `multipart/x-mixed-replace` for parts of any content type.
//!
//! # Cargo features
//!
//! All features are on by default. Without them, the crate has the hub, streams, snapshots, the drivers `emulated:` and
//! `test:`, and your own drivers. Each feature works alone. Some features bring others:
//!
//! - `server`: `App`, `Cameras::router` with the page and the API, accounts, and the paths of other programs.
//! - `cli`: the program `framecast`.
//! - `live`: many cameras over one WebSocket, `/api/live`.
//! - `history`: events in SQLite, and tables that stream; `postgres`: events in PostgreSQL; `webhook`: events sent to
//!   URLs.
//! - `metrics`: `/metrics` for Prometheus.
//! - `http-source`, `program-source`, `file-source`, `v4l2-source`: the drivers that come with Framecast.
//!
//! Everything runs on Tokio. The library logs with `tracing`; a program that embeds the library chooses where the log
//! goes.
//!
//! This crate contains configuration, the supervision of cameras, HTTP, and the assembly of the server. Code that
//! defines pictures, fans them out to subscribers, reads them from devices, or sends them to clients belongs in other
//! crates.

#![forbid(unsafe_code)]

#[cfg(feature = "server")]
mod app;
mod camera;
mod camera_table;
mod cameras;
pub mod config;
mod controls;
mod encoding;
mod error_chain;
#[cfg(feature = "history")]
mod history;
#[cfg(feature = "server")]
mod http;
#[cfg(feature = "server")]
mod lost_lines;
mod memory;
#[cfg(feature = "server")]
mod reload;
mod signal;
mod start_error;
mod streams;
mod supervisor;
mod suspend;
#[cfg(feature = "webhook")]
mod webhook;

#[cfg(feature = "server")]
pub use app::App;
pub use camera_table::CameraChanges;
pub use cameras::Cameras;
#[cfg(feature = "webhook")]
#[doc(inline)]
pub use config::WebhookSettings;
#[doc(inline)]
pub use config::{Account, AddressRanges, CameraSettings, ConfigError, Listen, Settings};
#[cfg(feature = "history")]
#[doc(inline)]
pub use config::{HistorySettings, HistoryStorage};
pub use framecast_drivers::{
    BoxFuture, Capture, CaptureTime, Clock, ClockReading, Control, ControlKind, ControlValue, Controls,
    Device, DeviceFormat, DeviceSize, Driver, Drivers, Error as DriverError, ErrorKind as DriverErrorKind,
    Failure as DriverFailure, FrameBuilder, IntoPicture, MenuEntry, Mode, OpenContext,
    Options as SourceOptions, Source, SourceUrl, blocking, video_file_source,
};
#[cfg(feature = "history")]
pub use framecast_history::History;
pub use framecast_hub::{
    CameraState, CameraStatus, Channel, Delivery, Demand, DemandCounts, DemandKind, Epoch, Event, EventKind,
    EventReader, Events, Feed, Hub, Publisher, Received, Rendition, Stats, Subscriber, TooManyRenditions,
    Update,
};
pub use framecast_media::Secret;
pub use framecast_media::container::multipart;
pub use framecast_media::{
    Anchor, Bytes, Codec, ColorRange, Dependency, Error as MediaError, Format, Frame, PixelFormat, Timestamp,
    codec, draw, escape_hidden, escape_hidden_json, escape_hidden_multiline, is_hidden,
};
pub use framecast_outputs::tune;
#[cfg(feature = "history")]
#[doc(hidden)] // Public only for the fuzz targets.
pub use http::EventRequest;
#[cfg(feature = "server")]
pub use http::ListeningSocket;
#[cfg(feature = "history")]
pub use http::table;
#[cfg(feature = "server")]
pub use lost_lines::LostLines;
#[cfg(feature = "server")]
pub use reload::{ReloadCause, ReloadError, ReloadReport, Reloader};
pub use signal::{ReloadSignal, reload_signal, shutdown_signal};
pub use start_error::StartError;
pub use tokio_util::sync::CancellationToken;
