//! For tests alone: pictures that carry a number, frames of them, clients over real sockets, and a PostgreSQL.
//!
//! A number goes in with [`jpeg`] or [`frame`] at the camera's end and is read back with [`number_of`] at the
//! viewer's, so a test can say which picture came, not only that one came. Fake cameras do not belong here: they need
//! the drivers' traits, and nothing of Framecast but `media` is known to this crate.

pub mod client;
mod picture;
mod postgres;
mod request;
mod viewer;

use std::future::Future;
use std::time::Duration;

pub use picture::{frame, jpeg, jpeg_of, keyframe, number_of};
pub use postgres::Postgres;
pub use request::{Answer, ask, get};
pub use viewer::{Seen, Viewer};

/// How long a test waits for what must come: far longer than it takes, so that only a hang fails.
const PATIENCE: Duration = Duration::from_secs(60);

/// Waits for `future`, which is to end because `what` happens.
///
/// # Panics
/// When that takes a minute.
pub async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(value) => value,
        Err(_) => panic!("waited in vain: {what}"),
    }
}

/// Waits until `holds`, looking every few milliseconds: for what announces itself to nobody.
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
