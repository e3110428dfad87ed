//! Safe wrappers of system calls and C library functions. Most of them query the kernel about a connected socket: how
//! many of the written bytes have not arrived yet, and how fast the kernel sends. The others load data into the CPU's
//! cache ([`prefetch`]), make the allocator return memory to the system ([`fix_malloc_thresholds`],
//! [`limit_malloc_heaps`], [`trim_heap`]), tell whether the process ignores a signal ([`is_ignored`]), and replace the
//! program of the process ([`exec`]).
//!
//! Each function that queries a socket makes one system call. It returns `None` if the kernel does not know the value
//! for this kind of socket, and always on systems other than Linux. A value that an older kernel does not provide is
//! `None`, not zero.
//!
//! What does not belong here: socket options for which other crates have safe functions, waiting for a socket, and
//! decisions based on the results.
#![allow(unsafe_code)]

mod cache;
mod heap;
#[cfg(target_os = "linux")]
mod linux;
mod signal;
mod successor;
mod tcp_info;

use std::os::fd::BorrowedFd;

pub use cache::prefetch;
pub use heap::{fix_malloc_thresholds, limit_malloc_heaps, trim_heap};
pub use signal::is_ignored;
pub use successor::{exec, take_inherited, unblock_signals};
pub use tcp_info::TcpInfo;

/// Returns how many of the bytes written to `socket` the peer has not acknowledged yet, including those that the kernel
/// has not sent yet (`SIOCOUTQ`). For a UNIX socket, returns how many bytes the peer has not read yet, including the
/// kernel's overhead.
pub fn unacknowledged_bytes(socket: BorrowedFd<'_>) -> Option<u64> {
    #[cfg(target_os = "linux")]
    return linux::query_int(socket, libc::TIOCOUTQ);
    #[cfg(not(target_os = "linux"))]
    return unsupported(socket);
}

/// Returns how many of the bytes written to the TCP socket `socket` the kernel has not sent even once yet
/// (`SIOCOUTQNSD`). Returns `None` for other kinds of sockets.
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
