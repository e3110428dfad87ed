//! The two traits that every driver implements.

use std::future::{pending, ready};
use std::time::Duration;

use framecast_media::Frame;
use futures_core::future::BoxFuture;

use crate::{Capture, Control, ControlValue, Device, Error, SourceUrl};

/// Opens sources of one URL scheme. The table [`Drivers`](crate::Drivers) picks the driver at run time.
pub trait Driver: Send + Sync {
    /// The scheme that this driver opens: `"exec"` in `exec:ffmpeg …`.
    fn scheme(&self) -> &'static str;

    /// Checks `url` without touching the device, for the configuration check.
    ///
    /// # Errors
    /// What is wrong with the URL.
    fn check(&self, url: &SourceUrl) -> Result<(), Error> {
        let _ = url;
        Ok(())
    }

    /// Checks whether the device, file, folder or program of `url` exists, without opening it, so that the program can
    /// warn at its start, long before the first viewer comes. Blocks while a disk or a network share responds. Does not
    /// check anything that needs a connection.
    ///
    /// # Errors
    /// What is missing and what to do. It may appear later.
    fn check_available(&self, url: &SourceUrl) -> Result<(), Error> {
        let _ = url;
        Ok(())
    }

    /// Opens the device, file, program or connection. Cancel safe: a dropped future releases what it took.
    ///
    /// # Errors
    /// What could not be opened, what was tried and what to do.
    fn open<'a>(&'a self, url: &'a SourceUrl) -> BoxFuture<'a, Result<Box<dyn Source>, Error>>;

    /// The devices that are plugged in now and that this driver can open.
    fn devices(&self) -> BoxFuture<'_, Vec<Device>> {
        Box::pin(ready(Vec::new()))
    }

    /// The device's controls, whether it is open or not, in the device's order. Empty for sources without controls.
    ///
    /// # Errors
    /// Why the device cannot be queried.
    fn controls<'a>(&'a self, url: &'a SourceUrl) -> BoxFuture<'a, Result<Vec<Control>, Error>> {
        let _ = url;
        Box::pin(ready(Ok(Vec::new())))
    }

    /// Sets controls by their ids, in this order; `None` stands for the default. Checks every value before it sets the
    /// first.
    ///
    /// # Errors
    /// [`Error::NoSuchControl`] and [`Error::BadControl`] name the control and what it accepts; other errors say why
    /// the device cannot be queried.
    fn set_controls<'a>(
        &'a self,
        url: &'a SourceUrl,
        changes: &'a [(String, Option<ControlValue>)],
    ) -> BoxFuture<'a, Result<(), Error>> {
        let _ = url;
        let refusal =
            changes.first().map(|(id, _)| Error::NoSuchControl { control: id.clone(), known: Vec::new() });
        Box::pin(ready(refusal.map_or(Ok(()), Err)))
    }

    /// Resolves when the device of a lost camera appears (again), so that the supervisor retries at once instead of
    /// waiting for its next attempt. Cancel safe.
    fn wait_for_device<'a>(&'a self, url: &'a SourceUrl) -> BoxFuture<'a, ()> {
        let _ = url;
        Box::pin(pending())
    }
}

/// An open device or connection that yields frames. Dropping it releases the device.
pub trait Source: Send {
    /// The next frame, or `None` when the source has ended normally. If the source ended after a frame, the supervisor
    /// opens it again when the next frame would be due, and the camera stays live; before the first frame, the end is a
    /// failure. Cancel safe.
    ///
    /// # Errors
    /// An error whose [`is_picture_error`](Error::is_picture_error) is true concerns a single picture: call again. After any other
    /// error the source is unusable.
    fn next_frame(&mut self) -> BoxFuture<'_, Result<Option<Frame>, Error>>;

    /// The longest normal time between two frames of this source; its supervisor starts its stall timer only after
    /// that. It is the frame interval of a slow source, and [`Duration::MAX`] if only outside events decide (a watched
    /// folder).
    fn max_frame_gap(&self) -> Duration {
        Duration::ZERO
    }

    /// What this source waits for, as a sentence for viewers, if it was opened without a picture and outside events
    /// decide when one comes. The supervisor asks once, before the first frame.
    fn waiting_for(&self) -> Option<String> {
        None
    }

    /// What the device delivers, and what Framecast requested; `None` for sources without such a request. It may change
    /// when the format of the frames changes.
    fn capture(&self) -> Option<Capture> {
        None
    }

    /// How many frames the device lost since it was opened: gaps in its own frame counter.
    fn dropped_frames(&self) -> u64 {
        0
    }

    /// How many frames since the opening came from pictures that lacked their end or had stray bytes around them; see
    /// [`FrameBuilder::repaired_frames`](crate::FrameBuilder::repaired_frames).
    fn repaired_frames(&self) -> u64 {
        0
    }
}
