//! Safe access to what the kernel knows of a connected socket: how many written bytes are still on their way, and how
//! fast it sends. Also a cache prefetch for the outputs ([`prefetch`]), and for the program the allocator's return of
//! memory ([`fix_malloc_thresholds`], [`trim_heap`]) and whether the process ignores a signal ([`is_ignored`]).
//!
//! Each query of a socket is one system call. It returns `None` if the kernel, or this kind of socket, has no answer;
//! on systems other than Linux always. A value that an older kernel does not provide is absent, not zero.
//!
//! What does not belong here: options that have safe calls elsewhere, waiting, and conclusions from the answers.
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

/// Bytes that were written to `socket` and that the other end has not acknowledged, sent or not (`SIOCOUTQ`). For a
/// UNIX socket: bytes that the other end has not read, with the kernel's overhead.
pub fn unacknowledged_bytes(socket: BorrowedFd<'_>) -> Option<u64> {
    #[cfg(target_os = "linux")]
    return linux::query_int(socket, libc::TIOCOUTQ);
    #[cfg(not(target_os = "linux"))]
    return unsupported(socket);
}

/// Bytes that were written to `socket` and have not left this machine yet (`SIOCOUTQNSD`). TCP only.
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
