//! How the C library's allocator gives memory back to the system.

/// From this size on a block of memory is one of the kernel's, and goes back to it when it is freed.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const LARGE_BLOCK_BYTES: libc::c_int = 1024 * 1024;

/// So much a heap keeps at its end. More than a picture of a usual camera, so that none is given back only to be asked for
/// again with the next one.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const KEPT_BYTES: libc::c_int = 2 * LARGE_BLOCK_BYTES;

/// Has large blocks go back to the system as soon as they are freed, for the rest of the process. Does nothing but with
/// the GNU C library.
///
/// That library begins so, but raises the size with each large block that is freed, up to 32 MiB. What a camera's thread
/// frees afterwards stays in the thread's arena: fifty cameras that each once sent a picture of 16 MiB would keep
/// hundreds of MiB. Either number, once set, keeps both from being raised.
pub fn return_large_blocks() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: `mallopt` takes two numbers and keeps no pointer; it locks what it changes.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, LARGE_BLOCK_BYTES);
        libc::mallopt(libc::M_TRIM_THRESHOLD, KEPT_BYTES);
    }
}

/// Gives back to the system all memory that is free, of every thread's heap. Does nothing but with the GNU C library.
///
/// Takes some milliseconds, and threads that allocate wait while their heap is looked through. Call it when much was
/// freed, on a thread that may block.
pub fn return_free_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: `malloc_trim` takes a number, locks what it looks through and touches free memory alone.
    unsafe {
        libc::malloc_trim(0);
    }
}
