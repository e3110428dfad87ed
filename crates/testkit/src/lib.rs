//! Helpers for tests only: JPEG pictures and frames that contain a number, clients over real sockets, a fake RTSP camera,
//! and a PostgreSQL server.
//!
//! A test writes a number into each picture that a camera sends, with [`jpeg`] or [`frame`], and reads the number from
//! each picture that a viewer receives, with [`number_of`]. So the test can check which pictures arrived, not only that
//! some arrived. Fake sources do not belong here: they need the traits of the camera drivers, and `media` is the only
//! crate of Framecast that this crate depends on. The fake RTSP camera in [`rtsp`] needs no trait, because drivers reach
//! it over the network.

#![forbid(unsafe_code)]
#![warn(clippy::disallowed_methods)]

mod authority;
pub mod blocking;
mod coded;
mod ffmpeg;
mod missing;
mod picture;
mod postgres;
mod request;
pub mod rtsp;
mod viewer;
mod wait;

pub use authority::{Authority, ServerCertificate, Validity};
pub use coded::{CodedDecoder, CodedStream, coded_number};
pub use ffmpeg::{decoded_by_ffmpeg, has_ffmpeg};
pub use missing::not_run;
pub use picture::{coded, frame, frame_of_len, jpeg, jpeg_of_len, keyframe, number_of};
pub use postgres::Postgres;
pub use request::{Response, get, send_request};
pub use viewer::{ReceivedPicture, TestViewer};
pub use wait::{cut_short, pause, soon, until, until_async};
