//! The two traits that every driver implements.

use std::time::Duration;

use framecast_media::Frame;
use futures_core::future::BoxFuture;

use crate::{Error, SourceUrl};

/// Opens sources of one URL scheme. Chosen at run time from the table [`Drivers`](crate::Drivers).
pub trait Driver: Send + Sync {
    /// The scheme that this driver opens: `"exec"` in `exec:ffmpeg …`.
    fn scheme(&self) -> &'static str;

    /// Checks as much of `url` as can be known without touching the device, for the configuration check.
    ///
    /// # Errors
    /// What is wrong with the URL.
    fn check(&self, url: &SourceUrl) -> Result<(), Error> {
        let _ = url;
        Ok(())
    }

    /// Opens the device, file, program or connection. Cancel safe: a dropped future releases what it took.
    ///
    /// # Errors
    /// What could not be opened, what was tried and what to do.
    fn open<'a>(&'a self, url: &'a SourceUrl) -> BoxFuture<'a, Result<Box<dyn Source>, Error>>;
}

/// An open device or connection that yields frames. Dropping it releases the device.
pub trait Source: Send {
    /// The next frame, or `None` when the source has ended for good. Cancel safe.
    ///
    /// # Errors
    /// An error whose [`is_picture`](Error::is_picture) is true concerns one picture alone: call again. After any
    /// other error the source is of no further use.
    fn next_frame(&mut self) -> BoxFuture<'_, Result<Option<Frame>, Error>>;

    /// The longest time without a frame that is normal for this source, beyond which its supervisor's
    /// `stall_timeout` begins to count: the frame interval of a slow one, [`Duration::MAX`] where only the outside
    /// world decides (a watched folder).
    fn longest_pause(&self) -> Duration {
        Duration::ZERO
    }
}
