//! The error of an ioctl call, with the name of the call.

use std::{fmt, io};

/// The error of a system call (ioctl) that the kernel refused.
#[derive(Debug)]
pub struct Error {
    call: &'static str,
    source: io::Error,
}

impl Error {
    pub(crate) fn last_os_error(call: &'static str) -> Self {
        Self { call, source: io::Error::last_os_error() }
    }

    pub(crate) fn invalid(call: &'static str, what: &'static str) -> Self {
        Self { call, source: io::Error::new(io::ErrorKind::InvalidData, what) }
    }

    /// Returns the name of the call as in the kernel's documentation, such as `"VIDIOC_S_FMT"`.
    pub fn call(&self) -> &'static str {
        self.call
    }

    /// Returns the system's error.
    pub fn io(&self) -> &io::Error {
        &self.source
    }

    /// Returns the system's error without the name of the call.
    pub fn into_io(self) -> io::Error {
        self.source
    }

    fn is(&self, errno: i32) -> bool {
        self.source.raw_os_error() == Some(errno)
    }

    /// Returns whether the call failed because the device is gone: it was unplugged, or its driver was removed.
    pub fn is_gone(&self) -> bool {
        self.is(libc::ENODEV) || self.is(libc::ENXIO)
    }

    /// Returns whether the call failed because the device is in use, by this program or another one.
    pub fn is_busy(&self) -> bool {
        self.is(libc::EBUSY)
    }

    /// Returns whether the device does not support this call, or does not support it with this argument.
    pub fn is_unsupported(&self) -> bool {
        self.is(libc::ENOTTY) || self.is(libc::EINVAL) || self.is(libc::ENODATA)
    }

    /// Returns whether the call failed because the device has no event to report.
    pub(crate) fn is_no_event(&self) -> bool {
        self.is(libc::ENOENT) || self.is_would_block()
    }

    /// Returns whether the call failed because no buffer is filled yet.
    pub(crate) fn is_would_block(&self) -> bool {
        self.is(libc::EAGAIN)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.call, self.source)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}
