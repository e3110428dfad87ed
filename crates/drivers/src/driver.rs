//! The traits of drivers: [`Driver`] and [`Source`], which every driver implements, and [`Controls`].

use std::future::{pending, ready};
use std::time::Duration;

use framecast_media::Frame;
use futures_core::future::BoxFuture;

use crate::{Capture, Control, ControlValue, Device, Error, OpenContext, SourceUrl};

/// Opens sources of one URL scheme. The driver table, [`Drivers`](crate::Drivers), picks the driver for a URL at run
/// time.
pub trait Driver: Send + Sync {
    /// Returns the URL scheme that this driver opens: `"exec"` in `exec:ffmpeg …`.
    fn scheme(&self) -> &'static str;

    /// Returns whether this driver never blocks the thread that runs it: neither while it opens a source, nor while the
    /// source is read or closes, nor in [`check_available`](Self::check_available). The readers of many such sources
    /// share a few threads. Each other source has a thread of its own while it is open, which is the default.
    fn never_blocks(&self) -> bool {
        false
    }

    /// Returns whether this driver's cameras are reached over a network. The server may open such a camera for a moment
    /// to learn whether it works (`probe`), because this disturbs nobody. Other cameras might switch on a light, or
    /// might be in use by another program.
    fn is_networked(&self) -> bool {
        false
    }

    /// Checks `url` without touching the device, as part of checking the configuration.
    ///
    /// # Errors
    /// What is wrong with the URL.
    fn check(&self, url: &SourceUrl) -> Result<(), Error> {
        let _ = url;
        Ok(())
    }

    /// Checks whether the device, file, folder or program of `url` exists, without opening it, so that Framecast can
    /// warn at startup, long before the first viewer arrives. Blocks until the disk or network share responds. Does not
    /// check anything that needs a connection.
    ///
    /// # Errors
    /// What is missing and what to do. The missing device or file may still appear later.
    fn check_available(&self, url: &SourceUrl) -> Result<(), Error> {
        let _ = url;
        Ok(())
    }

    /// Opens the device, file, program or connection that `url` names, within the limits of `context`. Cancel safe:
    /// dropping the future releases everything that the future has acquired.
    ///
    /// # Errors
    /// What could not be opened, what was tried and what to do.
    fn open<'a>(
        &'a self,
        context: &'a OpenContext,
        url: &'a SourceUrl,
    ) -> BoxFuture<'a, Result<Box<dyn Source>, Error>>;

    /// Lists the devices that are plugged in now and that this driver can open.
    fn devices(&self) -> BoxFuture<'_, Vec<Device>> {
        Box::pin(ready(Vec::new()))
    }

    /// Returns access to the controls of this driver's devices; `None` if its sources have no controls.
    fn controls(&self) -> Option<&dyn Controls> {
        None
    }

    /// Waits until the device of `url`, which was lost, appears again, or until a different device that matches `url`
    /// appears. The supervisor, which keeps the camera open, then opens the camera at once instead of waiting for the
    /// next scheduled attempt. Cancel safe.
    fn wait_for_device<'a>(&'a self, url: &'a SourceUrl) -> BoxFuture<'a, ()> {
        let _ = url;
        Box::pin(pending())
    }
}

/// The controls of a driver's devices: brightness, focus, exposure. A device need not be open.
pub trait Controls: Send + Sync {
    /// Returns the controls of the device that `url` names, in the device's own order; an empty list for a device
    /// without controls.
    ///
    /// # Errors
    /// Why the device cannot be queried.
    fn list<'a>(&'a self, url: &'a SourceUrl) -> BoxFuture<'a, Result<Vec<Control>, Error>>;

    /// Sets controls in the given order; each change is a control's id and its value, and `None` restores the default
    /// value. Checks all values before setting any of them.
    ///
    /// # Errors
    /// [`Error::NoSuchControl`] and [`Error::BadControl`] name the control and the accepted values. Other errors say
    /// why the device cannot be queried.
    fn set<'a>(
        &'a self,
        url: &'a SourceUrl,
        changes: &'a [(String, Option<ControlValue>)],
    ) -> BoxFuture<'a, Result<(), Error>>;
}

/// An open device or connection that yields frames. [`close`](Self::close) ends the device's session and releases the
/// device. Dropping the source only releases the device.
pub trait Source: Send {
    /// Returns the next frame, or `None` when the source has ended normally. If at least one frame came before the end,
    /// the camera is not considered lost, and the supervisor, which keeps the camera open, opens the source again when
    /// the next frame would be due. An end before the first frame is a failure. Cancel safe.
    ///
    /// # Errors
    /// An error of the kind [`Frame`](crate::ErrorKind::Frame) concerns a single picture: call again. After any other
    /// error the source is unusable.
    fn next_frame(&mut self) -> BoxFuture<'_, Result<Option<Frame>, Error>>;

    /// Closes the source, and says goodbye where the device's protocol has a way to do so. The default drops the
    /// source. The supervisor, which keeps the camera open, calls this on the thread that has read the source, when the
    /// source has ended or failed or nobody needs it any more. It drops the returned future after 1.4 s. Dropping the
    /// future must release the device.
    fn close(self: Box<Self>) -> BoxFuture<'static, ()> {
        drop(self);
        Box::pin(ready(()))
    }

    /// Returns the longest normal time between two frames of this source. The supervisor, which keeps the camera open,
    /// considers the source stalled if no frame comes during this time plus a timeout. Zero, the default, suits sources
    /// whose frames come in quick succession. A source with a constant frame rate returns its frame interval. A source
    /// whose frames depend on outside events alone (such as a watched folder) returns [`Duration::MAX`].
    fn max_frame_gap(&self) -> Duration {
        Duration::ZERO
    }

    /// Returns what this source is waiting for, as a sentence for viewers, if the source was opened without a picture
    /// and outside events decide when the first one comes; otherwise `None`. The supervisor, which keeps the camera
    /// open, calls this once, before the first frame.
    fn waiting_for(&self) -> Option<String> {
        None
    }

    /// Returns the mode (format, size and frame rate) that the device delivers and the mode that Framecast requested;
    /// `None` for sources from which no mode is requested. The result can change when the format of the frames changes.
    fn capture(&self) -> Option<Capture> {
        None
    }

    /// Returns how many frames the device has lost since the source was opened, according to the gaps in the device's
    /// own frame counter.
    fn dropped_frames(&self) -> u64 {
        0
    }

    /// Returns how many frames, since the source was opened, came from pictures that lacked their end or had stray
    /// bytes around them; see [`FrameBuilder::repaired_frames`](crate::FrameBuilder::repaired_frames).
    fn repaired_frames(&self) -> u64 {
        0
    }
}
