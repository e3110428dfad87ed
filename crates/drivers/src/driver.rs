//! The two traits that every driver implements.

use std::future::{pending, ready};
use std::time::Duration;

use framecast_media::Frame;
use futures_core::future::BoxFuture;

use crate::{Capture, Control, ControlValue, Device, Error, SourceUrl};

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

    /// Looks whether the device, file, folder or program of `url` is there, without opening it: for a warning at the start,
    /// long before anybody watches. Blocks as long as a disk or a network share takes. What only a connection can tell is
    /// not asked.
    ///
    /// # Errors
    /// What is missing and what to do. It may come later.
    fn look(&self, url: &SourceUrl) -> Result<(), Error> {
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

    /// What can be adjusted on the device, whether it is open or not, in the device's order. Empty for sources
    /// without such.
    ///
    /// # Errors
    /// Why the device cannot be asked.
    fn controls<'a>(&'a self, url: &'a SourceUrl) -> BoxFuture<'a, Result<Vec<Control>, Error>> {
        let _ = url;
        Box::pin(ready(Ok(Vec::new())))
    }

    /// Sets controls by their ids, in this order; `None` stands for the default. Everything is checked before
    /// anything is set.
    ///
    /// # Errors
    /// [`Error::NoSuchControl`] and [`Error::BadControl`] name the control and what it takes; otherwise why the
    /// device cannot be asked.
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

    /// Resolves when the device of a camera that was lost has come (back), so that it is tried again at once and not
    /// when its next attempt is due. Cancel safe.
    fn until_back<'a>(&'a self, url: &'a SourceUrl) -> BoxFuture<'a, ()> {
        let _ = url;
        Box::pin(pending())
    }
}

/// An open device or connection that yields frames. Dropping it releases the device.
pub trait Source: Send {
    /// The next frame, or `None` when the source has ended in order: after a frame it is opened again when the next one
    /// would be due, and the camera stays live; before any it is a failure. Cancel safe.
    ///
    /// # Errors
    /// An error whose [`is_picture`](Error::is_picture) is true concerns one picture alone: call again. After any
    /// other error the source is of no further use.
    fn next_frame(&mut self) -> BoxFuture<'_, Result<Option<Frame>, Error>>;

    /// The longest time without a frame that is normal for this source, beyond which its supervisor
    /// begins to count: the frame interval of a slow one, [`Duration::MAX`] where only the outside
    /// world decides (a watched folder).
    fn longest_pause(&self) -> Duration {
        Duration::ZERO
    }

    /// What this source waits for, as a sentence for those who watch, where it was opened without a picture and the outside
    /// world decides when there will be one. Asked once, before the first frame.
    fn awaited(&self) -> Option<String> {
        None
    }

    /// What the device really gave, beside what it was asked for; `None` for sources that are not asked. May be another
    /// after a frame of another format.
    fn capture(&self) -> Option<Capture> {
        None
    }

    /// How many frames the device has lost since it was opened: gaps in its own count.
    fn lost_frames(&self) -> u64 {
        0
    }

    /// How many frames since it was opened were made of pictures that had bytes around them which belong to nothing, or
    /// lacked their end; see [`Door::repaired`](crate::Door::repaired).
    fn repaired_frames(&self) -> u64 {
        0
    }
}
