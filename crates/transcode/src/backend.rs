//! The JPEG codec that the program uses: chosen once, and reported in the log and the API.

use std::fmt;

use framecast_turbojpeg::{Library, LoadError};

/// A codec that encodes and decodes JPEG. Cheap to copy.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum Backend {
    /// The library libjpeg-turbo, which is installed on this system.
    Turbo(&'static Library),
    /// The built-in crates `jpeg-encoder` and `zune-jpeg`, and the error because of which libjpeg-turbo could not be
    /// loaded; `None` if nothing tried to load libjpeg-turbo.
    PureRust(Option<&'static LoadError>),
}

impl Backend {
    /// Returns libjpeg-turbo if it can be loaded, otherwise the built-in codec in pure Rust. The first call loads the
    /// library.
    pub fn best() -> Self {
        match Library::get() {
            Ok(library) => Self::Turbo(library),
            Err(error) => Self::PureRust(Some(error)),
        }
    }

    /// Returns the built-in codec in pure Rust, which needs no library and runs everywhere, but is slower than
    /// libjpeg-turbo.
    pub fn pure_rust() -> Self {
        Self::PureRust(None)
    }

    /// Returns the codec's short name: `libjpeg-turbo` or `pure-rust`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Turbo(_) => "libjpeg-turbo",
            Self::PureRust(_) => "pure-rust",
        }
    }
}

/// Writes a sentence for the log and the API that says which codec is used and, if libjpeg-turbo could not be loaded,
/// what it would improve.
impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Turbo(library) => {
                write!(f, "JPEG by libjpeg-turbo {} ({})", library.version(), library.name())
            }
            Self::PureRust(None) => f.write_str("JPEG by the built-in pure Rust codec"),
            Self::PureRust(Some(error)) => write!(
                f,
                "JPEG by the built-in pure Rust codec; with libjpeg-turbo (Debian: apt install libturbojpeg0) encoding \
                 would take about a quarter of the time ({error})"
            ),
        }
    }
}
