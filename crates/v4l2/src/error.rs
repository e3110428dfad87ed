//! The error of a call to the kernel, with the name of the call.

use std::{fmt, io};

/// A call that the kernel refused.
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

    /// The call's name, as in the kernel's documentation: `"VIDIOC_S_FMT"`.
    pub fn call(&self) -> &'static str {
        self.call
    }

    /// The system's error.
    pub fn io(&self) -> &io::Error {
        &self.source
    }

    /// The system's error, without the call.
    pub fn into_io(self) -> io::Error {
        self.source
    }

    fn is(&self, errno: i32) -> bool {
        self.source.raw_os_error() == Some(errno)
    }

    /// The device is gone: unplugged, or its driver was removed.
    pub fn is_gone(&self) -> bool {
        self.is(libc::ENODEV) || self.is(libc::ENXIO)
    }

    /// Another program uses the device.
    pub fn is_busy(&self) -> bool {
        self.is(libc::EBUSY)
    }

    /// The device does not support this call, or not with this argument.
    pub fn is_unsupported(&self) -> bool {
        self.is(libc::ENOTTY) || self.is(libc::EINVAL) || self.is(libc::ENODATA)
    }

    /// There is no event.
    pub(crate) fn is_no_event(&self) -> bool {
        self.is(libc::ENOENT) || self.is_would_block()
    }

    /// The queue is empty now.
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
