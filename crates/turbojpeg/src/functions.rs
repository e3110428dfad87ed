//! The functions of the library, with the types and constants of its header.

use std::ffi::{c_char, c_int, c_uchar, c_ulong, c_void};

/// A compressor or decompressor of the library (`tjhandle`).
pub(crate) type Handle = *mut c_void;

/// A scale as a fraction, in the library's layout (`tjscalingfactor`).
#[repr(C)]
pub(crate) struct ScalingFactor {
    num: c_int,
    denom: c_int,
}

/// The severity of an error after which the library has still delivered a picture (`TJERR_WARNING`).
pub(crate) const WARNING: c_int = 0;
/// The flag to write only into the caller's buffer, which is large enough for the worst case (`TJFLAG_NOREALLOC`).
pub(crate) const NO_REALLOC: c_int = 1024;
/// The flag to reject progressive pictures of more than 500 scans, which take minutes (`TJFLAG_LIMITSCANS`).
pub(crate) const LIMIT_SCANS: c_int = 32768;

/// Declares [`Functions`] with the types of `turbojpeg.h`, and how to look up each function.
macro_rules! functions {
    ($($field:ident = $symbol:literal: $type:ty,)*) => {
        /// The functions of the library, as its header declares them.
        #[derive(Clone, Copy)]
        pub(crate) struct Functions {
            $(pub(crate) $field: $type,)*
        }

        impl Functions {
            /// Looks up each function. `Err` names a function that is missing.
            pub(crate) fn of(loaded: &libloading::Library) -> Result<Self, &'static str> {
                Ok(Self {
                    // SAFETY: the type is that of the declaration in `turbojpeg.h` of 2.1 to 3.1; the pointer is kept
                    // together with the library into which it points.
                    $($field: *unsafe { loaded.get::<$type>($symbol.to_bytes_with_nul()) }
                        .map_err(|_| $symbol.to_str().unwrap_or("a function"))?,)*
                })
            }
        }
    };
}

functions! {
    init_compress = c"tjInitCompress": unsafe extern "C" fn() -> Handle,
    init_decompress = c"tjInitDecompress": unsafe extern "C" fn() -> Handle,
    destroy = c"tjDestroy": unsafe extern "C" fn(Handle) -> c_int,
    error_text = c"tjGetErrorStr2": unsafe extern "C" fn(Handle) -> *mut c_char,
    error_code = c"tjGetErrorCode": unsafe extern "C" fn(Handle) -> c_int,
    buf_size = c"tjBufSize": unsafe extern "C" fn(c_int, c_int, c_int) -> c_ulong,
    scaling_factors = c"tjGetScalingFactors": unsafe extern "C" fn(*mut c_int) -> *mut ScalingFactor,
    // handle, planes, width, strides, height, subsampling, out, out's length, quality, flags
    compress_planes = c"tjCompressFromYUVPlanes": unsafe extern "C" fn(
        Handle, *const *const c_uchar, c_int, *const c_int, c_int, c_int,
        *mut *mut c_uchar, *mut c_ulong, c_int, c_int,
    ) -> c_int,
    // handle, pixels, width, pitch, height, format, out, out's length, subsampling, quality, flags
    compress_pixels = c"tjCompress2": unsafe extern "C" fn(
        Handle, *const c_uchar, c_int, c_int, c_int, c_int,
        *mut *mut c_uchar, *mut c_ulong, c_int, c_int, c_int,
    ) -> c_int,
    // handle, JPEG, its length, width, height, subsampling, colour space
    header = c"tjDecompressHeader3": unsafe extern "C" fn(
        Handle, *const c_uchar, c_ulong, *mut c_int, *mut c_int, *mut c_int, *mut c_int,
    ) -> c_int,
    // handle, JPEG, its length, planes, width, strides, height, flags
    decompress_planes = c"tjDecompressToYUVPlanes": unsafe extern "C" fn(
        Handle, *const c_uchar, c_ulong, *mut *mut c_uchar, c_int, *mut c_int, c_int, c_int,
    ) -> c_int,
    // handle, JPEG, its length, pixels, width, pitch, height, format, flags
    decompress_pixels = c"tjDecompress2": unsafe extern "C" fn(
        Handle, *const c_uchar, c_ulong, *mut c_uchar, c_int, c_int, c_int, c_int, c_int,
    ) -> c_int,
    // handle, planes, strides, subsampling, pixels, width, pitch, height, format, flags
    planes_to_pixels = c"tjDecodeYUVPlanes": unsafe extern "C" fn(
        Handle, *const *const c_uchar, *const c_int, c_int, *mut c_uchar, c_int, c_int, c_int, c_int, c_int,
    ) -> c_int,
}

impl Functions {
    /// Returns whether the library has all scales from 1/8 to 8/8. Instead of a missing scale, the library would
    /// silently use a smaller one.
    pub(crate) fn scales_by_eighths(&self) -> bool {
        let mut count = 0;
        // SAFETY: the function writes the number of factors and returns a static array of that length.
        let factors = unsafe { (self.scaling_factors)(&raw mut count) };
        let Some(count) = usize::try_from(count).ok().filter(|_| !factors.is_null()) else {
            return false;
        };
        // SAFETY: not null, and an array of `count` pairs to which nobody writes.
        let factors = unsafe { std::slice::from_raw_parts(factors, count) };
        (1..=8).all(|eighths| factors.iter().any(|factor| factor.num * 8 == factor.denom * eighths))
    }
}
