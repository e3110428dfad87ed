//! An open device node.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use crate::ioctl::{QUERYCAP, call_flat};
use crate::sys::{self, Plain};
use crate::{Capability, Error, PlanarApi};

/// An open video node, which is closed on drop.
#[derive(Debug)]
pub struct Device {
    file: File,
    capability: Capability,
}

impl Device {
    /// Opens the node at `path` without blocking, and queries its capabilities.
    ///
    /// # Errors
    /// The system's error if the path cannot be opened, and [`io::ErrorKind::Unsupported`] for a file that is not a
    /// video node.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(libc::O_NONBLOCK | libc::O_CLOEXEC | libc::O_NOCTTY)
            .open(path)?;
        let mut answer = sys::V4l2Capability::zeroed();
        call_flat(file.as_fd(), QUERYCAP, &mut answer).map_err(|error| {
            if error.is_unsupported() {
                io::Error::new(io::ErrorKind::Unsupported, "this is not a video device")
            } else {
                error.into_io()
            }
        })?;
        Ok(Self { file, capability: Capability::read(&answer) })
    }

    /// Returns the capabilities of the node, as queried when the node was opened.
    pub fn capability(&self) -> &Capability {
        &self.capability
    }

    /// Checks that the node still exists, with a call that every device supports.
    ///
    /// # Errors
    /// An error for which [`Error::is_gone`] is true, if the node no longer exists.
    pub fn ping(&self) -> Result<(), Error> {
        call_flat(self.as_fd(), QUERYCAP, &mut sys::V4l2Capability::zeroed())
    }

    /// Returns the kernel's number of the buffer type for capture. For a node that does not capture, this is the type
    /// for single-planar capture.
    pub(crate) fn buffer_type(&self) -> u32 {
        match self.capability.capture_api() {
            Some(PlanarApi::Multi) => sys::BUF_TYPE_VIDEO_CAPTURE_MPLANE,
            _ => sys::BUF_TYPE_VIDEO_CAPTURE,
        }
    }

    pub(crate) fn is_multi_planar(&self) -> bool {
        self.capability.capture_api() == Some(PlanarApi::Multi)
    }
}

impl AsFd for Device {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl AsRawFd for Device {
    fn as_raw_fd(&self) -> RawFd {
        self.file.as_raw_fd()
    }
}
