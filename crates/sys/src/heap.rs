//! Controls when the C library's allocator returns freed memory to the system.

/// The size in bytes from which the allocator maps each block separately. Such a block returns to the kernel when it is
/// freed.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const MMAP_THRESHOLD_BYTES: libc::c_int = 1024 * 1024;

/// The number of free bytes that a heap keeps at its end. This is more than a usual camera's picture, so that the heap
/// does not return memory which the next picture needs again.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const TRIM_THRESHOLD_BYTES: libc::c_int = 2 * MMAP_THRESHOLD_BYTES;

/// Makes the allocator return large blocks to the system as soon as they are freed, for the rest of the process. Does
/// nothing except with the GNU C library.
///
/// That library starts with this behaviour, but each large block that is freed raises the threshold, up to 32 MiB.
/// Smaller blocks that a camera's thread frees after that stay in the thread's arena: fifty cameras that each once sent
/// a picture of 16 MiB would keep hundreds of MiB. Once the program has set either threshold, the library no longer
/// changes them.
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
/// Takes a few milliseconds. Other threads that allocate are blocked while their heap is trimmed. Call this after the
/// program has freed much memory, on a thread that is allowed to block.
pub fn trim_heap() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: `malloc_trim` takes a number, locks the heaps that it walks and touches only free memory.
    unsafe {
        libc::malloc_trim(0);
    }
}
