//! When the C library's allocator returns memory to the system.

/// The allocator maps blocks of at least this size individually, and returns them to the kernel when they are freed.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const MMAP_THRESHOLD_BYTES: libc::c_int = 1024 * 1024;

/// How much free memory a heap keeps at its end: more than a usual camera's picture, so that the heap does not return
/// memory which the next picture needs again.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const TRIM_THRESHOLD_BYTES: libc::c_int = 2 * MMAP_THRESHOLD_BYTES;

/// Makes the allocator return large blocks to the system as soon as they are freed, for the rest of the process. Does
/// nothing except with the GNU C library.
///
/// That library starts with this behaviour, but raises the threshold with each large block that is freed, up to 32 MiB.
/// Blocks that a camera's thread frees after that stay in the thread's arena: fifty cameras that each once sent a
/// picture of 16 MiB would keep hundreds of MiB. Setting either number fixes both.
pub fn fix_malloc_thresholds() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: `mallopt` takes two numbers and keeps no pointer; it locks what it changes.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, MMAP_THRESHOLD_BYTES);
        libc::mallopt(libc::M_TRIM_THRESHOLD, TRIM_THRESHOLD_BYTES);
    }
}

/// Returns all free memory of every thread's heap to the system. Does nothing except with the GNU C library.
///
/// Takes some milliseconds, and threads that allocate block while it walks their heap. Call it after much was freed, on
/// a thread that may block.
pub fn trim_heap() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: `malloc_trim` takes a number, locks the heaps that it walks and touches only free memory.
    unsafe {
        libc::malloc_trim(0);
    }
}
