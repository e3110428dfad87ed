//! Helpers for tests only: JPEG pictures and frames that contain a number, clients over real sockets, and a PostgreSQL
//! server.
//!
//! A test writes a number into each picture that a camera sends, with [`jpeg`] or [`frame`], and reads the number from
//! each picture that a viewer receives, with [`number_of`]. So the test can check which pictures arrived, not only that
//! some arrived. Fake cameras do not belong here: they need the traits of the camera drivers, and `media` is the only
//! crate of Framecast that this crate depends on.

#![forbid(unsafe_code)]

pub mod blocking;
mod coded;
mod picture;
mod postgres;
mod request;
mod viewer;

use std::future::Future;
use std::time::Duration;

pub use coded::{CodedDecoder, CodedStream, coded_number};
pub use picture::{coded, frame, frame_of_len, jpeg, jpeg_of_len, keyframe, number_of};
pub use postgres::Postgres;
pub use request::{Response, get, send_request};
pub use viewer::{ReceivedPicture, TestViewer};

/// The maximum time that a test waits for an event. A passing test needs far less, so only a hang exceeds this time.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Waits for `future` and returns its output. `what` describes the event that the test waits for, for the panic
/// message.
///
/// # Panics
/// If `future` takes more than a minute.
pub async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(TIMEOUT, future).await {
        Ok(value) => value,
        Err(_) => panic!("timed out waiting: {what}"),
    }
}

/// Waits until `holds` returns true, by calling it every few milliseconds. This is for conditions whose changes send no
/// notification. `what` describes the condition, for the panic message.
///
/// # Panics
/// If the condition is still false after a minute.
pub async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let looking = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    soon(what, looking).await;
}
