//! Encodes a raw frame, or separate planes of luma and chroma, to a JPEG image.

use framecast_media::codec::raw::PixelFormat;
use framecast_media::{Bytes, Codec, Error as MediaError, Frame};
use framecast_turbojpeg::{self as turbo, Compressor, Library, Plane, Subsampling, Yuv};

use crate::MAX_PIXELS;
use crate::backend::Backend;
use crate::buffer::is_oversized;
use crate::error::Error;
use crate::pure;
use crate::unpack::RawPicture;
use crate::yuv::Planar;

/// Encodes raw frames to JPEG. Use one encoder for each thread: an encoder reuses its buffers, about five bytes per
/// pixel, for the next picture. It frees buffers that are more than four times as large as the current picture needs.
#[derive(Debug)]
pub struct Encoder {
    scratch: Planar,
    writer: JpegWriter,
}

impl Encoder {
    /// Creates an encoder that uses the codec `backend`. Allocates little memory before the first picture.
    ///
    /// # Errors
    ///
    /// [`Error::Turbo`] when the library cannot create a handle.
    pub fn new(backend: Backend) -> Result<Self, Error> {
        let engine = match backend {
            Backend::Turbo(library) => Engine::Turbo(library, Compressor::new(library)?),
            Backend::PureRust(_) => Engine::Pure,
        };
        Ok(Self { scratch: Planar::default(), writer: JpegWriter { engine, out: Vec::new() } })
    }

    /// Encodes a raw frame at its own size, and returns the JPEG image. The image has 4:2:0 chroma subsampling, samples
    /// in full range, and Huffman tables; a grey frame becomes a grey image. `quality` is 1 to 100; other values are
    /// clamped.
    ///
    /// # Errors
    ///
    /// [`Error::Codec`] for a frame that is not raw, [`Error::Picture`] for a frame whose length does not match its
    /// size or that has more than [`MAX_PIXELS`], and the errors of the codec.
    pub fn encode(&mut self, frame: &Frame, quality: u8) -> Result<Bytes, Error> {
        let raw = checked_raw(frame)?;
        let quality = quality.clamp(1, 100);
        let Self { scratch, writer } = self;
        match packed_format(raw.format) {
            Some(format) => writer.pixels(raw.data, (raw.width, raw.height, format), quality),
            None => raw
                .with_yuv(scratch, |yuv| writer.yuv(yuv, quality))
                .unwrap_or(Err(Error::Codec { codec: frame.format.codec })),
        }
    }

    /// Encodes `picture`, whose samples have full range, with its own chroma subsampling, and returns the JPEG image.
    /// `quality` is 1 to 100; other values are clamped.
    ///
    /// # Errors
    ///
    /// The errors of the codec.
    pub fn encode_planar(&mut self, picture: &Planar, quality: u8) -> Result<Bytes, Error> {
        picture.with_yuv(|yuv| self.writer.yuv(yuv, quality.clamp(1, 100)))
    }

    /// Returns how much memory the encoder holds, in bytes.
    #[cfg(test)]
    pub(crate) fn capacity(&self) -> usize {
        self.scratch.capacity() + self.writer.out.capacity()
    }

    /// Encodes packed RGB or BGR pixels, and returns the JPEG image. `size` contains the width, the height, and the
    /// order of a pixel's samples (RGB or BGR).
    pub(crate) fn encode_pixels(
        &mut self,
        pixels: &[u8],
        size: (usize, usize, turbo::PackedFormat),
        quality: u8,
    ) -> Result<Bytes, Error> {
        self.writer.pixels(pixels, size, quality)
    }
}

/// Returns the order of a pixel's samples if `format` is packed RGB or BGR. Returns `None` for any other format.
pub(crate) fn packed_format(format: PixelFormat) -> Option<turbo::PackedFormat> {
    match format {
        PixelFormat::Rgb24 => Some(turbo::PackedFormat::Rgb),
        PixelFormat::Bgr24 => Some(turbo::PackedFormat::Bgr),
        _ => None,
    }
}

/// Returns the raw picture in `frame`. Checks that the frame is raw, has an allowed size, and has the length that
/// belongs to its size.
pub(crate) fn checked_raw(frame: &Frame) -> Result<RawPicture<'_>, Error> {
    let Codec::Raw(format, range) = frame.format.codec else {
        return Err(Error::Codec { codec: frame.format.codec });
    };
    let (width_px, height_px) = (frame.format.width_px, frame.format.height_px);
    let pixels = u64::from(width_px) * u64::from(height_px);
    if pixels == 0 || pixels > MAX_PIXELS as u64 {
        return Err(MediaError::PictureSize { width_px, height_px }.into());
    }
    let expected_bytes = format.len_bytes(width_px, height_px);
    let len_bytes = frame.data.len();
    if len_bytes != expected_bytes {
        return Err(MediaError::RawLength { format, width_px, height_px, expected_bytes, len_bytes }.into());
    }
    Ok(RawPicture { data: &frame.data, format, range, width: width_px as usize, height: height_px as usize })
}

/// A JPEG encoder (libjpeg-turbo or pure Rust), and the buffer into which it writes each image.
#[derive(Debug)]
struct JpegWriter {
    engine: Engine,
    out: Vec<u8>,
}

#[derive(Debug)]
enum Engine {
    Turbo(&'static Library, Compressor),
    Pure,
}

impl JpegWriter {
    fn yuv(&mut self, yuv: &Yuv<'_>, quality: u8) -> Result<Bytes, Error> {
        let out = &mut self.out;
        match &mut self.engine {
            Engine::Turbo(library, compressor) => {
                reserve(library, out, (yuv.width, yuv.height, yuv.subsampling))?;
                let len = compressor.planes(yuv, quality, out)?;
                Ok(Bytes::copy_from_slice(&out[..len]))
            }
            Engine::Pure => {
                out.clear();
                pure::encode_yuv(yuv, quality, out)?;
                Ok(copy_out(out))
            }
        }
    }

    fn pixels(
        &mut self,
        pixels: &[u8],
        size: (usize, usize, turbo::PackedFormat),
        quality: u8,
    ) -> Result<Bytes, Error> {
        let out = &mut self.out;
        match &mut self.engine {
            Engine::Turbo(library, compressor) => {
                reserve(library, out, (size.0, size.1, Subsampling::S420))?;
                let pixels = Plane { data: pixels, stride: size.0 * size.2.bytes() };
                let len = compressor.pixels(pixels, size, Subsampling::S420, quality, out)?;
                Ok(Bytes::copy_from_slice(&out[..len]))
            }
            Engine::Pure => {
                out.clear();
                pure::encode_pixels(pixels, size, quality, out)?;
                Ok(copy_out(out))
            }
        }
    }
}

/// Returns a copy of the image in the buffer `out`. The buffer is reused for the next image, but is freed if it is far
/// larger than this image.
fn copy_out(out: &mut Vec<u8>) -> Bytes {
    let image = Bytes::copy_from_slice(out);
    if is_oversized(out.capacity(), image.len()) {
        *out = Vec::new();
    }
    image
}

/// Makes the buffer `out` large enough for the largest image that a picture of this size can become. The operating
/// system provides memory only for the pages of the buffer that are written, so the excess costs nothing.
fn reserve(
    library: &Library,
    out: &mut Vec<u8>,
    (width, height, subsampling): (usize, usize, Subsampling),
) -> Result<(), Error> {
    let want = library.max_jpeg_bytes(width, height, subsampling)?;
    if out.len() < want || is_oversized(out.capacity(), want) {
        *out = vec![0; want];
    }
    Ok(())
}
