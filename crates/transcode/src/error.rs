//! Why a picture could not be turned into another.

use framecast_media::Codec;

/// A picture that was not encoded or decoded; the next one is not affected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The input is not what its format says: a raw picture of the wrong length, or no whole JPEG image.
    #[error(transparent)]
    Picture(#[from] framecast_media::Error),
    /// An input that this crate has no decoder for.
    #[error("frames of {codec:?} cannot be encoded to JPEG")]
    Codec {
        /// The input's coding.
        codec: Codec,
    },
    /// A JPEG image whose samples are not luma and chroma, which no camera sends.
    #[error("a JPEG image of {color_space} samples, where YCbCr or grey is needed")]
    ColorSpace {
        /// What the samples are.
        color_space: String,
    },
    /// What libjpeg-turbo says of the picture.
    #[error(transparent)]
    Turbo(#[from] framecast_turbojpeg::Error),
    /// What the pure Rust codec says of the picture.
    #[error("pure Rust codec: {message}")]
    Pure {
        /// Its sentence.
        message: String,
    },
    /// The codec panicked over the picture.
    #[error("the codec failed over this picture; this is a fault in it")]
    Panicked,
}

impl Error {
    pub(crate) fn pure(error: &impl std::fmt::Debug) -> Self {
        Self::Pure { message: format!("{error:?}") }
    }
}
