//! Which codec is used: chosen once, and reported in the log and the API.

use std::fmt;

use framecast_turbojpeg::{Library, LoadError};

/// The codec that encodes and decodes. Cheap to copy.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum Backend {
    /// libjpeg-turbo of this system.
    Turbo(&'static Library),
    /// `jpeg-encoder` and `zune-jpeg`, built in.
    PureRust(Option<&'static LoadError>),
}

impl Backend {
    /// libjpeg-turbo if it can be loaded, else pure Rust. The first call loads the library.
    pub fn best() -> Self {
        match Library::get() {
            Ok(library) => Self::Turbo(library),
            Err(error) => Self::PureRust(Some(error)),
        }
    }

    /// The codec that needs no library and runs everywhere; slower.
    pub fn pure_rust() -> Self {
        Self::PureRust(None)
    }

    /// The short name: `libjpeg-turbo` or `pure-rust`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Turbo(_) => "libjpeg-turbo",
            Self::PureRust(_) => "pure-rust",
        }
    }
}

/// The sentence for log and API: which codec is used, and what installing the other would bring.
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
