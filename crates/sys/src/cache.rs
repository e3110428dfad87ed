//! A word to the CPU about what is needed next.

/// Bytes that come into the cache together, on most CPUs.
const LINE_BYTES: usize = 64;

/// Has the CPU fetch `value` into its cache while it does other things. For what is looked at some microseconds later and
/// was pushed out since; of no use for what is looked at next. Costs about a nanosecond for 64 bytes; does nothing where
/// the CPU has no word for it.
#[inline]
pub fn prefetch<T>(value: &T) {
    let start = std::ptr::from_ref(value).cast::<u8>();
    for offset in (0..size_of::<T>()).step_by(LINE_BYTES) {
        prefetch_line(start.wrapping_add(offset));
    }
}

#[cfg(target_arch = "x86_64")]
#[allow(unsafe_code)]
#[inline]
fn prefetch_line(line: *const u8) {
    use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
    // SAFETY: nothing is read as far as the program can tell, and no address is refused.
    unsafe { _mm_prefetch::<_MM_HINT_T0>(line.cast()) }
}

#[cfg(not(target_arch = "x86_64"))]
fn prefetch_line(_line: *const u8) {}
