//! Framecast turns any camera into live pictures in any browser. This is the library behind the program: to embed
//! the server, to mount its routes in an axum program, or to add a camera of one's own.
//!
//! A camera of one's own, on the live page at `http://127.0.0.1:5000/`:
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
//! - [`App`] is the whole server; [`Cameras`] the same without a listener, whose [`router`](Cameras::router) is
//!   mounted elsewhere.
//! - [`Drivers`] is the table of drivers; [`Driver`] and [`Source`] are the traits for one of one's own.
//! - [`multipart`] writes and reads `multipart/x-mixed-replace` for parts of any content type.
//!
//! What belongs here: configuration, supervision of cameras, HTTP, assembly. What a picture is, who receives it,
//! where it comes from and how it leaves are crates of their own.

mod app;
pub mod config;
mod http;
mod signal;
mod supervisor;

pub use app::{App, Cameras, StartError};
pub use config::{Account, CameraSettings, ConfigError, Settings};
pub use framecast_drivers::{
    BoxFuture, Door, Driver, Drivers, Error as DriverError, IntoPicture, Source, SourceUrl, blocking,
    mask_secrets,
};
pub use framecast_hub::{Channel, Delivery, Feed, Hub, State, Status, Subscriber};
pub use framecast_media::container::multipart;
pub use framecast_media::{Bytes, Codec, Format, Frame, Timestamp, codec, draw};
pub use signal::shutdown_signal;
pub use tokio_util::sync::CancellationToken;
