//! The two system calls that query a socket: `ioctl` and `getsockopt`.

use std::os::fd::{AsRawFd, BorrowedFd};

/// The number of the `ioctl` request for the unsent bytes of a socket, from `include/uapi/linux/sockios.h`. It is the
/// same on all architectures.
pub(crate) const SIOCOUTQNSD: libc::Ioctl = 0x894b;

/// Calls `ioctl` on `socket` with a `request` that writes one C `int`, and returns this number. Returns `None` if the
/// call fails or the number is negative.
pub(crate) fn query_int(socket: BorrowedFd<'_>, request: libc::Ioctl) -> Option<u64> {
    let mut bytes: libc::c_int = 0;
    // SAFETY: both requests used here write one int, for which there is room, and keep no pointer.
    let done = unsafe { libc::ioctl(socket.as_raw_fd(), request, &raw mut bytes) };
    (done == 0).then(|| u64::try_from(bytes).ok()).flatten()
}

/// Copies the kernel's `struct tcp_info` for `socket` into `room`, as far as it fits. Returns how many bytes the kernel
/// wrote, or `None` if `socket` has no such data.
pub(crate) fn tcp_info(socket: BorrowedFd<'_>, room: &mut [u8]) -> Option<usize> {
    let mut len = libc::socklen_t::try_from(room.len()).ok()?;
    let start = room.as_mut_ptr().cast();
    // SAFETY: the kernel writes at most `len` bytes, the length of `room`, and updates `len`.
    let done = unsafe {
        libc::getsockopt(socket.as_raw_fd(), libc::IPPROTO_TCP, libc::TCP_INFO, start, &raw mut len)
    };
    (done == 0).then(|| usize::try_from(len).ok()).flatten().filter(|len| *len <= room.len())
}
