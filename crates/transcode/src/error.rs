//! Why a picture could not be transcoded.

use framecast_media::Codec;

/// Why a picture could not be encoded or decoded. The next picture is not affected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The input data does not match its format: a raw picture of the wrong length, or an incomplete JPEG image.
    #[error(transparent)]
    Picture(#[from] framecast_media::Error),
    /// The input has a codec that this crate cannot convert to JPEG.
    #[error("frames of {codec:?} cannot be encoded to JPEG")]
    Codec {
        /// The codec of the input.
        codec: Codec,
    },
    /// The JPEG image has samples other than luma and chroma. No camera is known to send such images.
    #[error("the JPEG image has {color_space} samples; Framecast reads only YCbCr and grey")]
    ColorSpace {
        /// What the samples of the image are, such as CMYK.
        color_space: String,
    },
    /// libjpeg-turbo could not encode or decode the picture.
    #[error(transparent)]
    Turbo(#[from] framecast_turbojpeg::Error),
    /// The pure Rust codec could not encode or decode the picture.
    #[error("pure Rust codec: {message}")]
    Pure {
        /// The codec's own error message.
        message: String,
    },
    /// The codec panicked while it encoded or decoded the picture.
    #[error("the codec crashed on this picture; this is a bug in the codec")]
    Panicked,
}

impl Error {
    pub(crate) fn pure(error: &impl std::fmt::Debug) -> Self {
        Self::Pure { message: format!("{error:?}") }
    }
}
