//! A device buffer that is mapped into the memory of this process.

use std::ffi::c_void;

use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr::NonNull;

use crate::Error;

/// A mapped area of a device's memory, which is unmapped on drop.
#[derive(Debug)]
pub(crate) struct Mapping {
    start: NonNull<c_void>,
    len: usize,
}

// SAFETY: the mapping belongs to this value only, and every thread is allowed to read the memory.
unsafe impl Send for Mapping {}
// SAFETY: this process writes nothing through the mapping; `bytes` says when the device is allowed to write.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps `len` bytes at the device's `offset`, for reading.
    pub(crate) fn new(fd: BorrowedFd<'_>, offset: u32, len: u32) -> Result<Self, Error> {
        let len = usize::try_from(len).expect("usize has at least 32 bits where there is Linux");
        let odd = |what| Error::invalid("mmap", what);
        #[allow(clippy::unnecessary_fallible_conversions, reason = "it is narrower on 32-bit targets")]
        let offset = libc::off_t::try_from(offset).map_err(|_| odd("the driver's offset is too large"))?;
        // SAFETY: a new mapping at an address that the kernel chooses changes no memory that is in use. Shared and
        // writable, as all drivers allow; some refuse a read-only mapping.
        let start = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                len,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                fd.as_raw_fd(),
                offset,
            )
        };
        if start == libc::MAP_FAILED {
            return Err(Error::last_os_error("mmap"));
        }
        let start = NonNull::new(start).ok_or_else(|| odd("the kernel mapped it at address zero"))?;
        Ok(Self { start, len })
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Returns the bytes of the mapped area.
    ///
    /// # Safety
    /// The device must not own the buffer while the slice is in use: the buffer must have been dequeued, and must not
    /// have been queued again.
    pub(crate) unsafe fn bytes(&self) -> &[u8] {
        // SAFETY: mapped for `len` bytes until drop, and the caller guarantees that nobody writes.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr().cast(), self.len) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: mapped by `new` with this address and length, and no longer in use: slices borrow this value.
        unsafe { libc::munmap(self.start.as_ptr(), self.len) };
    }
}
