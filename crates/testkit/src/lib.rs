//! Helpers for tests only: pictures that carry a number, frames of them, clients over real sockets, and a PostgreSQL
//! server.
//!
//! A test puts a number into a picture on the camera's side with [`jpeg`] or [`frame`], and reads the number on the
//! viewer's side with [`number_of`]. So a test can check which picture arrived, not only that one arrived. Fake cameras
//! do not belong here: they need the traits of the drivers, and this crate depends on no crate of Framecast but
//! `media`.

#![forbid(unsafe_code)]

pub mod blocking;
mod picture;
mod postgres;
mod request;
mod viewer;

use std::future::Future;
use std::time::Duration;

pub use picture::{frame, jpeg, jpeg_of_len, keyframe, number_of};
pub use postgres::Postgres;
pub use request::{Response, get, send_request};
pub use viewer::{ReceivedPicture, TestViewer};

/// The time limit of a test's wait. It is far longer than anything takes, so that only a hang fails.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Waits for `future` and returns its output. `what` describes the awaited event, for the panic message.
///
/// # Panics
/// If `future` takes more than a minute.
pub async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(TIMEOUT, future).await {
        Ok(value) => value,
        Err(_) => panic!("timed out waiting: {what}"),
    }
}

/// Calls `holds` every few milliseconds until it returns true. For conditions that send no notification. `what`
/// describes the condition, for the panic message.
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
