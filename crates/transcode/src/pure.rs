//! The JPEG codec in pure Rust, which is always available: the crates `jpeg-encoder` and `zune-jpeg`, with planes of
//! luma and chroma as input and output.

use std::panic::{AssertUnwindSafe, catch_unwind};

use framecast_turbojpeg::{PackedFormat, Subsampling, Yuv};
use jpeg_encoder::{ChromaSubsamplingMethod, ColorType, Encoder, ImageBuffer, JpegColorType, SamplingFactor};
use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use crate::error::Error;
use crate::yuv::Planar;

/// The maximum number of scans in a progressive JPEG image. Each scan costs the decoder a pass over all coefficients,
/// and encoders write about ten scans.
pub(crate) const MAX_SCANS: usize = 32;

/// Encodes planes of luma and chroma as a JPEG image, and appends the image to `out`.
pub(crate) fn encode_yuv(yuv: &Yuv<'_>, quality: u8, out: &mut Vec<u8>) -> Result<(), Error> {
    let side = |side: usize| u16::try_from(side).map_err(|_| too_large(yuv.width, yuv.height));
    let rows = Rows { yuv, width: side(yuv.width)?, height: side(yuv.height)? };
    let mut encoder = Encoder::new(out, quality);
    encoder.set_sampling_factor(match yuv.subsampling {
        Subsampling::Grey | Subsampling::S444 => SamplingFactor::F_1_1,
        Subsampling::S422 => SamplingFactor::F_2_1,
        Subsampling::S420 => SamplingFactor::F_2_2,
        Subsampling::S440 => SamplingFactor::F_1_2,
        Subsampling::S411 => SamplingFactor::F_4_1,
    });
    // The encoder gets each chroma sample once for every pixel that the sample covers, so any of these copies is their
    // mean.
    encoder.set_chroma_subsampling_method(ChromaSubsamplingMethod::Nearest);
    encoder.encode_image(rows).map_err(|error| Error::pure(&error))
}

/// Encodes packed pixels (RGB, BGR or grey) as a JPEG image with 4:2:0 chroma subsampling, and appends the image to
/// `out`.
pub(crate) fn encode_pixels(
    pixels: &[u8],
    (width, height, format): (usize, usize, PackedFormat),
    quality: u8,
    out: &mut Vec<u8>,
) -> Result<(), Error> {
    let side = |side: usize| u16::try_from(side).map_err(|_| too_large(width, height));
    let color = match format {
        PackedFormat::Rgb => ColorType::Rgb,
        PackedFormat::Bgr => ColorType::Bgr,
        PackedFormat::Grey => ColorType::Luma,
    };
    let mut encoder = Encoder::new(out, quality);
    encoder.set_sampling_factor(SamplingFactor::F_2_2);
    encoder.set_chroma_subsampling_method(ChromaSubsamplingMethod::Average);
    encoder.encode(pixels, side(width)?, side(height)?, color).map_err(|error| Error::pure(&error))
}

fn too_large(width: usize, height: usize) -> Error {
    Error::Turbo(framecast_turbojpeg::Error::Size { width_px: width, height_px: height })
}

/// Passes planes to the crate `jpeg-encoder`, which asks for one row after another, with chroma as wide as luma.
struct Rows<'a> {
    yuv: &'a Yuv<'a>,
    width: u16,
    height: u16,
}

impl ImageBuffer for Rows<'_> {
    fn get_jpeg_color_type(&self) -> JpegColorType {
        if self.yuv.subsampling == Subsampling::Grey { JpegColorType::Luma } else { JpegColorType::Ycbcr }
    }

    fn width(&self) -> u16 {
        self.width
    }

    fn height(&self) -> u16 {
        self.height
    }

    fn fill_buffers(&self, y: u16, buffers: &mut [Vec<u8>; 4]) {
        let (across, down) = self.yuv.subsampling.factors();
        let (width, y) = (self.yuv.width, usize::from(y));
        for (component, (plane, buffer)) in self.yuv.planes.iter().zip(buffers).enumerate() {
            if component == 0 || across * down == 1 {
                buffer.extend_from_slice(&plane.data[y * plane.stride..][..width]);
                continue;
            }
            let row = &plane.data[y / down * plane.stride..][..width.div_ceil(across)];
            let start = buffer.len();
            for sample in row {
                buffer.extend(std::iter::repeat_n(*sample, across));
            }
            buffer.truncate(start + width);
        }
    }
}

/// Which planes a decoder should return.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DecodedPlanes {
    /// All planes that the picture has: luma and chroma, or only luma if it is grey.
    All,
    /// Only the luma plane.
    Luma,
}

/// Decodes the image `jpeg` at full size into planes, with 4:4:4 chroma subsampling or grey. The caller has read the
/// image's size and its number of `components` from its header.
///
/// If the decoder panics, returns an error about the picture.
pub(crate) fn decode(
    jpeg: &[u8],
    (width, height): (usize, usize),
    components: u8,
    wanted: DecodedPlanes,
    out: &mut Planar,
) -> Result<(), Error> {
    let is_grey = components == 1 || wanted == DecodedPlanes::Luma;
    let space = if is_grey { ColorSpace::Luma } else { ColorSpace::YCbCr };
    let options = DecoderOptions::default()
        .jpeg_set_out_colorspace(space)
        .jpeg_set_max_scans(MAX_SCANS)
        .set_max_width(width)
        .set_max_height(height);
    // The decoder has no state beyond this call, so a panic leaves no half-finished state behind.
    let decoded = catch_unwind(AssertUnwindSafe(|| {
        let mut decoder = JpegDecoder::new_with_options(ZCursor::new(jpeg), options);
        decoder.decode_headers().map_err(|error| Error::pure(&error))?;
        match decoder.input_colorspace() {
            Some(ColorSpace::YCbCr | ColorSpace::Luma) => {}
            other => return Err(Error::ColorSpace { color_space: format!("{other:?}") }),
        }
        decoder.decode().map_err(|error| Error::pure(&error))
    }));
    let samples = decoded.map_err(|_| Error::Panicked)??;
    let wanted_len = width * height * if is_grey { 1 } else { 3 };
    if samples.len() != wanted_len {
        let message = format!("the picture has {} samples instead of {wanted_len}", samples.len());
        return Err(Error::Pure { message });
    }
    out.reshape(width, height, if is_grey { Subsampling::Grey } else { Subsampling::S444 });
    let planes = out.planes_mut();
    if is_grey {
        planes[0].copy_from_slice(&samples);
        return Ok(());
    }
    let [y, cb, cr] = planes;
    let pixels = samples.as_chunks::<3>().0;
    for (pixel, ((y, cb), cr)) in pixels.iter().zip(y.iter_mut().zip(cb).zip(cr)) {
        (*y, *cb, *cr) = (pixel[0], pixel[1], pixel[2]);
    }
    Ok(())
}
