//! Helpers for tests only: pictures that carry a number, frames of them, clients over real sockets, and a PostgreSQL.
//!
//! A test puts a number in at the camera's end with [`jpeg`] or [`frame`], and reads it at the viewer's end with
//! [`number_of`]. So it can check which picture came, not only that one came. Fake cameras do not belong here: they
//! need the drivers' traits, and this crate depends on no crate of Framecast but `media`.

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

/// How long a test waits: far longer than anything takes, so that only a hang fails.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Waits for `future`, which should end because `what` happens.
///
/// # Panics
/// When that takes a minute.
pub async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(TIMEOUT, future).await {
        Ok(value) => value,
        Err(_) => panic!("timed out waiting: {what}"),
    }
}

/// Polls every few milliseconds until `holds` is true: for conditions without a notification.
///
/// # Panics
/// When that takes a minute.
pub async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let looking = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    soon(what, looking).await;
}
