//! What the kernel knows of a connected socket, made safe: how much of what was written is still on its way, and how
//! fast it goes. Beside it, for the outputs, what the CPU is to fetch into its cache ([`prefetch`]), and for the program,
//! that the allocator gives memory back ([`return_large_blocks`], [`return_free_memory`]), and whether it ignores a signal
//! ([`is_ignored`]).
//!
//! Each question about a socket is one system call and is answered with `None` where the kernel, or the kind of socket,
//! has no answer; on systems other than Linux always. Kernels grow: what an older one does not tell is absent, not zero.
//!
//! What does not belong here: options that have safe calls elsewhere, waiting, and what follows from the answers.
#![allow(unsafe_code)]

mod cache;
mod heap;
#[cfg(target_os = "linux")]
mod linux;
mod signal;
mod tcp_info;

use std::os::fd::BorrowedFd;

pub use cache::prefetch;
pub use heap::{return_free_memory, return_large_blocks};
pub use signal::is_ignored;
pub use tcp_info::TcpInfo;

/// Bytes that were written to `socket` and have not been acknowledged by the other end, sent or not (`SIOCOUTQ`). Of a
/// UNIX socket: what the other end has not read, with the kernel's overhead.
pub fn unacknowledged_bytes(socket: BorrowedFd<'_>) -> Option<u64> {
    #[cfg(target_os = "linux")]
    return linux::ask(socket, libc::TIOCOUTQ);
    #[cfg(not(target_os = "linux"))]
    return nothing(socket);
}

/// Bytes that were written to `socket` and have not left this machine yet (`SIOCOUTQNSD`). TCP alone.
pub fn unsent_bytes(socket: BorrowedFd<'_>) -> Option<u64> {
    #[cfg(target_os = "linux")]
    return linux::ask(socket, linux::SIOCOUTQNSD);
    #[cfg(not(target_os = "linux"))]
    return nothing(socket);
}

#[cfg(not(target_os = "linux"))]
fn nothing<T>(_socket: BorrowedFd<'_>) -> Option<T> {
    None
}
