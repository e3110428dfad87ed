//! The library itself: found by name, and never unloaded. Its functions are looked up once.

use std::ffi::{CStr, c_char, c_int, c_uchar, c_ulong, c_void};
use std::fmt;
use std::sync::OnceLock;

use crate::error::{Error, LoadError};

/// The file names under which the library is looked for: on macOS, and on Linux and the BSDs. The BSDs and Homebrew
/// also install a name without a version number.
const NAMES: &[&str] = if cfg!(target_vendor = "apple") {
    &[
        "libturbojpeg.0.dylib",
        "libturbojpeg.dylib",
        "/opt/homebrew/lib/libturbojpeg.dylib",
        "/usr/local/lib/libturbojpeg.dylib",
    ]
} else {
    &["libturbojpeg.so.0", "libturbojpeg.so"]
};

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

/// The major version of the library.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// 2.1, as in Debian 12 and Ubuntu 22.04.
    V2,
    /// 3.x.
    V3,
}

/// The loaded library libjpeg-turbo.
pub struct Library {
    name: &'static str,
    version: Version,
    pub(crate) functions: Functions,
    /// Keeps the library loaded, so that the functions stay valid.
    _loaded: libloading::Library,
}

impl Library {
    /// Returns the library of this system. The first call loads the library; later calls return the same result.
    ///
    /// # Errors
    ///
    /// [`LoadError`] when there is no library or it is too old.
    pub fn get() -> Result<&'static Self, &'static LoadError> {
        static LIBRARY: OnceLock<Result<Library, LoadError>> = OnceLock::new();
        LIBRARY.get_or_init(Self::load).as_ref()
    }

    /// Returns the major version of the library.
    pub fn version(&self) -> Version {
        self.version
    }

    /// Returns the name under which the library was found.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Returns the largest size in bytes that a JPEG image of `width` by `height` pixels can have. A
    /// [`Compressor`](crate::Compressor) needs a buffer of this size.
    ///
    /// # Errors
    ///
    /// [`Error::Size`] if a side is zero or too long.
    pub fn max_jpeg_bytes(
        &self,
        width: usize,
        height: usize,
        subsampling: crate::Subsampling,
    ) -> Result<usize, Error> {
        let (across, down) = crate::plane::checked_size(width, height)?;
        // SAFETY: a pure function of three numbers, which are in its range.
        let bytes = unsafe { (self.functions.buf_size)(across, down, subsampling as c_int) };
        // -1 means an error; on 32 bits also a size that no buffer can have.
        usize::try_from(bytes)
            .ok()
            .filter(|_| bytes != c_ulong::MAX)
            .ok_or(Error::Size { width_px: width, height_px: height })
    }

    /// Returns the library's message about the last failure of `handle`, or of this thread if `handle` is null.
    pub(crate) fn message(&self, handle: Handle) -> String {
        // SAFETY: the handle is live or null; the function accepts both.
        let message = unsafe { (self.functions.error_text)(handle) };
        if message.is_null() {
            return String::from("no reason given");
        }
        // SAFETY: not null; the library ends its texts with a zero and keeps this one until its next call. No call can
        // come before the copy: the handle is borrowed, and a text without a handle belongs to this thread.
        unsafe { CStr::from_ptr(message) }.to_string_lossy().into_owned()
    }

    fn load() -> Result<Self, LoadError> {
        let mut reason = None;
        for name in NAMES {
            // SAFETY: initialisers of a library run when it is loaded; libjpeg-turbo's make no demands on the caller,
            // and a system that has another library under this name is broken beyond what we can check.
            match unsafe { libloading::Library::new(*name) } {
                Ok(loaded) => return Self::of(name, loaded),
                Err(error) => reason = reason.or(Some(error.to_string())),
            }
        }
        Err(LoadError::NotFound { reason: reason.unwrap_or_default() })
    }

    fn of(name: &'static str, loaded: libloading::Library) -> Result<Self, LoadError> {
        let functions = Functions::of(&loaded).map_err(|symbol| LoadError::MissingSymbol { name, symbol })?;
        if !functions.scales_by_eighths() {
            return Err(LoadError::MissingSymbol { name, symbol: "scaling by eighths" });
        }
        if let Some(fault) = functions.fault() {
            return Err(LoadError::TooOld { name, fault });
        }
        // SAFETY: only looked up to see whether it exists, and never called, so its type does not matter.
        let has_tj3 = unsafe { loaded.get::<unsafe extern "C" fn()>(c"tj3Init".to_bytes_with_nul()) }.is_ok();
        let version = if has_tj3 { Version::V3 } else { Version::V2 };
        Ok(Self { name, version, functions, _loaded: loaded })
    }
}

impl fmt::Debug for Library {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Library")
            .field("name", &self.name)
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V2 => "2",
            Self::V3 => "3",
        })
    }
}

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
            fn of(loaded: &libloading::Library) -> Result<Self, &'static str> {
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
    fn scales_by_eighths(&self) -> bool {
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
