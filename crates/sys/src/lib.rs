//! Safe wrappers of system calls. Most of them query the kernel about a connected socket: how many written bytes are
//! still in flight, and how fast the kernel sends. The others prefetch data into the CPU's cache ([`prefetch`]), make
//! the allocator return memory ([`fix_malloc_thresholds`], [`trim_heap`]), and tell whether the process ignores a
//! signal ([`is_ignored`]).
//!
//! Each query of a socket is one system call. It returns `None` if the kernel, or this kind of socket, has no answer.
//! On systems other than Linux, it always returns `None`. A value that an older kernel does not provide is `None`, not
//! zero.
//!
//! What does not belong here: socket options for which other crates have safe functions, waiting for a socket, and
//! conclusions from the results.
#![allow(unsafe_code)]

mod cache;
mod heap;
#[cfg(target_os = "linux")]
mod linux;
mod signal;
mod tcp_info;

use std::os::fd::BorrowedFd;

pub use cache::prefetch;
pub use heap::{fix_malloc_thresholds, trim_heap};
pub use signal::is_ignored;
pub use tcp_info::TcpInfo;

/// Returns how many bytes written to `socket` the other end has not acknowledged, whether sent or not (`SIOCOUTQ`). For
/// a UNIX socket, these are the bytes that the other end has not read, including the kernel's overhead.
pub fn unacknowledged_bytes(socket: BorrowedFd<'_>) -> Option<u64> {
    #[cfg(target_os = "linux")]
    return linux::query_int(socket, libc::TIOCOUTQ);
    #[cfg(not(target_os = "linux"))]
    return unsupported(socket);
}

/// Returns how many bytes written to `socket` have not left this machine yet (`SIOCOUTQNSD`). TCP only.
pub fn unsent_bytes(socket: BorrowedFd<'_>) -> Option<u64> {
    #[cfg(target_os = "linux")]
    return linux::query_int(socket, linux::SIOCOUTQNSD);
    #[cfg(not(target_os = "linux"))]
    return unsupported(socket);
}

#[cfg(not(target_os = "linux"))]
fn unsupported<T>(_socket: BorrowedFd<'_>) -> Option<T> {
    None
}
