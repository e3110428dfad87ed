//! The library itself: found by name, and never unloaded. Its functions are looked up once.

use std::ffi::{CStr, c_int, c_ulong};
use std::fmt;
use std::sync::OnceLock;

use crate::error::{Error, LoadError};
use crate::functions::{Functions, Handle};

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
