//! Probes a library once before its use, to find out whether it behaves like libjpeg-turbo 2.1. The checks of this
//! crate rely on that behaviour.
//!
//! The library has no function that returns its version, so two test pictures show whether it is 2.1 or later. Version
//! 2.1 introduced the limit on scans. From 2.0.4 on, a grey picture whose header claims coarser sampling is decoded
//! without writing outside its plane. Both pictures have one pixel and are written by hand.

use std::ffi::{c_int, c_ulong};
use std::ptr::null_mut;

use crate::functions::{Functions, LIMIT_SCANS, WARNING};

/// The maximum number of scans of a progressive picture that version 2.1 and later decode if the flag [`LIMIT_SCANS`]
/// is set.
const MAX_SCANS: usize = 500;
/// The number of bytes in the buffer before and after the test picture's plane: far more than the 2x2 samples that
/// version 2.0.3 writes.
const SLACK_BYTES: usize = 64 << 10;
/// The value of the bytes around the test picture's plane, which decoding must not change. The decoded sample has
/// a different value, 128.
const CANARY: u8 = 0x5A;

const BASELINE: u8 = 0xC0;
const PROGRESSIVE: u8 = 0xC2;

impl Functions {
    /// Probes the library. Returns the behaviour that shows that the library is older than 2.1, as text to follow its
    /// name; `None` if the library passes.
    pub(crate) fn fault(&self) -> Option<&'static str> {
        if !self.decodes_scans(2) {
            return Some("cannot decode a picture with two scans");
        }
        if self.decodes_scans(MAX_SCANS + 1) {
            return Some("does not limit the number of scans in a picture");
        }
        (!self.stays_within_planes()).then_some("writes outside its planes")
    }

    /// Returns whether the library decodes a progressive picture of `scans` scans, with or without warnings.
    fn decodes_scans(&self, scans: usize) -> bool {
        let jpeg = one_grey_pixel(PROGRESSIVE, 0x11, scans);
        let mut pixel = [0_u8; 3];
        // SAFETY: a new handle, used only here and destroyed once, if it is not null; the image is only read, and its
        // one pixel of three bytes is ours.
        unsafe {
            let handle = (self.init_decompress)();
            if handle.is_null() {
                return false;
            }
            let (start, len) = (jpeg.as_ptr(), jpeg.len() as c_ulong);
            let (out, rgb) = (pixel.as_mut_ptr(), crate::PackedFormat::Rgb as c_int);
            let status = (self.decompress_pixels)(handle, start, len, out, 1, 3, 1, rgb, LIMIT_SCANS);
            let is_decoded = status == 0 || (self.error_code)(handle) == WARNING;
            (self.destroy)(handle);
            is_decoded
        }
    }

    /// Returns whether the library writes only to its plane when it decodes a grey picture whose header claims sampling
    /// factors of two.
    fn stays_within_planes(&self) -> bool {
        let jpeg = one_grey_pixel(BASELINE, 0x22, 1);
        let mut canary = vec![CANARY; SLACK_BYTES + 1 + SLACK_BYTES];
        // SAFETY: as in `decodes_scans`. The plane's pointer is derived from the whole buffer, so bytes written around
        // the plane are ours too.
        let status = unsafe {
            let handle = (self.init_decompress)();
            if handle.is_null() {
                return false;
            }
            let mut planes = [canary.as_mut_ptr().add(SLACK_BYTES), null_mut(), null_mut()];
            let mut strides = [1, 0, 0];
            let (start, len) = (jpeg.as_ptr(), jpeg.len() as c_ulong);
            let (planes, strides) = (planes.as_mut_ptr(), strides.as_mut_ptr());
            let status = (self.decompress_planes)(handle, start, len, planes, 1, strides, 1, LIMIT_SCANS);
            (self.destroy)(handle);
            status
        };
        let is_around = |at: usize| at != SLACK_BYTES;
        let is_kept = canary.iter().enumerate().all(|(at, byte)| (*byte != CANARY) != is_around(at));
        status == 0 && is_kept
    }
}

/// Returns a JPEG image of one mid-grey pixel. `process` is the image's start-of-frame marker, and `sampling` contains
/// the sampling factors that its header claims. In a progressive image, the first scan has the average of the block,
/// and every other scan has all the rest of the block. Blocks are complete because 2.1.3 has trouble with incomplete
/// blocks in an image this small.
fn one_grey_pixel(process: u8, sampling: u8, scans: usize) -> Vec<u8> {
    let mut jpeg = vec![0xFF, 0xD8, 0xFF, 0xDB, 0, 67, 0];
    jpeg.extend([1; 64]);
    jpeg.extend([0xFF, process, 0, 11, 8, 0, 1, 0, 1, 1, 1, sampling, 0]);
    // One code of one bit in each table: "no difference" and "end of block".
    for table in [0x00, 0x10] {
        jpeg.extend([0xFF, 0xC4, 0, 20, table, 1]);
        jpeg.extend([0; 16]);
    }
    for scan in 0..scans {
        let (first, last, data) = match (process, scan) {
            (BASELINE, _) => (0, 63, 0x3F),
            (_, 0) => (0, 0, 0x7F),
            _ => (1, 63, 0x7F),
        };
        jpeg.extend([0xFF, 0xDA, 0, 8, 1, 1, 0, first, last, 0, data]);
    }
    jpeg.extend([0xFF, 0xD9]);
    jpeg
}

#[cfg(test)]
mod tests {
    use std::ffi::c_uchar;

    use framecast_testkit::not_run;

    use super::*;
    use crate::Library;
    use crate::functions::Handle;

    /// Writes like 2.0.3: two rows of two samples.
    unsafe extern "C" fn writes_around(
        _: Handle,
        _: *const c_uchar,
        _: c_ulong,
        planes: *mut *mut c_uchar,
        _: c_int,
        _: *mut c_int,
        _: c_int,
        _: c_int,
    ) -> c_int {
        // SAFETY: the caller leaves room after the plane.
        unsafe { (*planes).write_bytes(128, 3) };
        0
    }

    unsafe extern "C" fn decodes_anything(
        _: Handle,
        _: *const c_uchar,
        _: c_ulong,
        _: *mut c_uchar,
        _: c_int,
        _: c_int,
        _: c_int,
        _: c_int,
        _: c_int,
    ) -> c_int {
        0
    }

    /// The functions of the installed library, or `None` if a test cannot run.
    fn functions() -> Option<&'static Functions> {
        Library::get().map_err(not_run).ok().map(|library| &library.functions)
    }

    #[test]
    fn a_library_that_will_do_shows_no_fault() {
        let Some(functions) = functions() else { return };
        assert_eq!(functions.fault(), None);
        assert!(functions.decodes_scans(MAX_SCANS));
    }

    #[test]
    fn a_library_that_writes_around_a_plane_is_refused() {
        let Some(functions) = functions() else { return };
        let old = Functions { decompress_planes: writes_around, ..*functions };
        assert_eq!(old.fault(), Some("writes outside its planes"));
    }

    #[test]
    fn a_library_that_decodes_scans_without_end_is_refused() {
        let Some(functions) = functions() else { return };
        let old = Functions { decompress_pixels: decodes_anything, ..*functions };
        assert_eq!(old.fault(), Some("does not limit the number of scans in a picture"));
    }
}
