//! Controls when the C library's allocator returns freed memory to the operating system.

/// The block size in bytes from which the allocator maps each block separately. The memory of such a block returns to
/// the kernel when the block is freed.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const MMAP_THRESHOLD_BYTES: libc::c_int = 1024 * 1024;

/// The number of free bytes that the allocator keeps at the end of each heap. This is more than the size of a usual
/// camera picture, so that memory which the next picture needs is not returned to the kernel. It is no larger, because
/// each heap keeps this much even after [`trim_heap`].
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const TRIM_THRESHOLD_BYTES: libc::c_int = MMAP_THRESHOLD_BYTES;

/// Makes the allocator return each block of 1 MiB or more to the operating system as soon as it is freed, until the
/// process ends. Does nothing except with the GNU C library.
///
/// The GNU C library does so by default for blocks of 128 KiB or more, but raises this threshold whenever a larger
/// block is freed, up to 32 MiB. From then on, freed blocks below the new threshold stay in the heap of the thread that
/// used them: fifty cameras that each once sent a picture of 16 MiB would keep hundreds of MiB. After this call, the
/// library no longer changes the threshold.
pub fn fix_malloc_thresholds() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: `mallopt` takes two numbers and keeps no pointer; it locks what it changes.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, MMAP_THRESHOLD_BYTES);
        libc::mallopt(libc::M_TRIM_THRESHOLD, TRIM_THRESHOLD_BYTES);
    }
}

/// The fewest heaps between which threads are distributed.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const MIN_HEAPS: usize = 2;

/// Makes all threads share as many heaps as the machine has cores, and at least two. Does nothing except with the GNU C
/// library. Call this before the first thread starts.
///
/// By default there are up to eight heaps for each core. Each keeps free memory at its end and between its blocks, so
/// the memory of a server would grow until each heap has once held the most that a thread needs. Only as many threads as
/// there are cores can allocate at the same moment, so more heaps make nothing faster.
pub fn limit_malloc_heaps() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        let cores =
            std::thread::available_parallelism().map_or(MIN_HEAPS, |cores| cores.get().max(MIN_HEAPS));
        let heaps = libc::c_int::try_from(cores).unwrap_or(libc::c_int::MAX);
        // SAFETY: `mallopt` takes two numbers and keeps no pointer; it locks what it changes.
        unsafe { libc::mallopt(libc::M_ARENA_MAX, heaps) };
    }
}

/// Returns the free memory in the heaps of all threads to the operating system, except up to 1 MiB at the end of each
/// heap. Does nothing except with the GNU C library.
///
/// Takes a few milliseconds. A thread that allocates memory while its heap is trimmed has to wait. Call this after the
/// program has freed much memory, on a thread that is allowed to block.
pub fn trim_heap() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: `malloc_trim` takes a number, locks the heaps that it walks and touches only free memory.
    unsafe {
        libc::malloc_trim(0);
    }
}
