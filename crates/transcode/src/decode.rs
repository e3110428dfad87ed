//! Decodes a JPEG image to separate planes of luma and chroma, at a reduced size if fewer pixels suffice.

use framecast_media::Error as MediaError;
use framecast_media::codec::jpeg::{Header, Problem, Process, parse_markers};
use framecast_turbojpeg::{
    ColorSpace, Decompressor, Error as TurboError, PackedFormat, PlaneMut, Scale, Subsampling,
};

use crate::backend::Backend;
use crate::error::Error;
use crate::pure::{self, DecodedPlanes, MAX_SCANS};
use crate::yuv::Planar;

/// Decodes JPEG images. Use one decoder for each thread: a decoder owns the planes that it decodes to, and reuses their
/// memory for the next picture.
#[derive(Debug)]
pub struct Decoder {
    turbo: Option<Decompressor>,
    planar: Planar,
}

impl Decoder {
    /// Creates a decoder that uses `backend`.
    ///
    /// # Errors
    ///
    /// [`Error::Turbo`] when the library cannot create a handle.
    pub fn new(backend: Backend) -> Result<Self, Error> {
        let turbo = match backend {
            Backend::Turbo(library) => Some(Decompressor::new(library)?),
            Backend::PureRust(_) => None,
        };
        Ok(Self { turbo, planar: Planar::default() })
    }

    /// Returns how much memory the decoder holds, in bytes.
    #[cfg(test)]
    pub(crate) fn capacity(&self) -> usize {
        self.planar.capacity()
    }

    /// Decodes the image at the start of `jpeg`, and returns its planes of luma and chroma. The result is at least as
    /// large as `target` (width and height in pixels), unless the image itself is smaller.
    ///
    /// libjpeg-turbo keeps the image's chroma subsampling, and scales by eighths in the frequency domain, which costs
    /// less than a full decode. The pure Rust codec decodes at full size, and to 4:4:4 or grey. An image of more than
    /// `max_pixels` is rejected before anything is allocated. Damaged image data is not an error: the area that cannot
    /// be decoded is grey.
    ///
    /// # Errors
    ///
    /// [`Error::Picture`] for data that is not a complete JPEG image, lacks Huffman tables or has too many scans,
    /// [`Error::ColorSpace`] for other samples than YCbCr or grey, and the errors of the codec.
    pub fn decode_scaled(
        &mut self,
        jpeg: &[u8],
        max_pixels: usize,
        target: (u32, u32),
    ) -> Result<&Planar, Error> {
        self.decode(jpeg, max_pixels, target, DecodedPlanes::All)
    }

    /// Does the same as [`decode_scaled`](Self::decode_scaled), but decodes only luma, which gives a grey picture.
    ///
    /// # Errors
    ///
    /// The same as for [`decode_scaled`](Self::decode_scaled).
    pub fn decode_luma_scaled(
        &mut self,
        jpeg: &[u8],
        max_pixels: usize,
        target: (u32, u32),
    ) -> Result<&Planar, Error> {
        self.decode(jpeg, max_pixels, target, DecodedPlanes::Luma)
    }

    fn decode(
        &mut self,
        jpeg: &[u8],
        max_pixels: usize,
        target: (u32, u32),
        wanted: DecodedPlanes,
    ) -> Result<&Planar, Error> {
        let header = checked_header(jpeg, max_pixels)?;
        let jpeg = &jpeg[..header.len_bytes];
        if let Some(turbo) = &mut self.turbo
            && decode_turbo(turbo, jpeg, target, wanted, &mut self.planar)?
        {
            return Ok(&self.planar);
        }
        let size = (header.width_px as usize, header.height_px as usize);
        pure::decode(jpeg, size, header.components, wanted, &mut self.planar)?;
        Ok(&self.planar)
    }
}

/// Returns the header of the JPEG image `jpeg`. Checks that the image is complete, has at most `max_pixels`, and can be
/// decoded at an acceptable cost.
fn checked_header(jpeg: &[u8], max_pixels: usize) -> Result<Header, Error> {
    let header = parse_markers(jpeg)?;
    let pixels = u64::from(header.width_px) * u64::from(header.height_px);
    if pixels > max_pixels as u64 {
        let pixels = usize::try_from(pixels).unwrap_or(usize::MAX);
        return Err(
            MediaError::Jpeg { offset: 0, problem: Problem::TooManyPixels { pixels, max_pixels } }.into()
        );
    }
    let has_many_scans =
        header.process == Process::Progressive && count_scans(&jpeg[..header.len_bytes]) > MAX_SCANS;
    if !header.has_huffman_tables || has_many_scans {
        return Err(
            MediaError::Jpeg { offset: header.first_scan_offset, problem: Problem::Undecodable }.into()
        );
    }
    Ok(header)
}

/// Returns the number of scans in the JPEG data: its SOS markers, including those of an embedded thumbnail. Image data
/// that is Huffman-coded cannot contain an SOS marker.
fn count_scans(jpeg: &[u8]) -> usize {
    jpeg.array_windows().filter(|marker| **marker == [0xFF, 0xDA]).count()
}

/// Decodes with libjpeg-turbo. Returns `false` if libjpeg-turbo cannot decode the image's chroma subsampling to planes;
/// the pure Rust codec might be able to decode the image.
fn decode_turbo(
    turbo: &mut Decompressor,
    jpeg: &[u8],
    target: (u32, u32),
    wanted: DecodedPlanes,
    out: &mut Planar,
) -> Result<bool, Error> {
    let header = match turbo.header(jpeg) {
        Ok(header) => header,
        Err(TurboError::Codec { .. }) => return Ok(false),
        Err(error) => return Err(error.into()),
    };
    if !matches!(header.color_space, ColorSpace::YCbCr | ColorSpace::Grey) {
        return Err(Error::ColorSpace { color_space: format!("{:?}", header.color_space) });
    }
    let covers = |scale: &Scale| {
        scale.apply(header.width) >= target.0 as usize && scale.apply(header.height) >= target.1 as usize
    };
    let scale = (1..=8)
        .filter_map(Scale::from_eighths)
        .filter(|scale| wanted == DecodedPlanes::Luma || header.is_planar_at(*scale))
        .find(covers)
        .unwrap_or(Scale::FULL);
    let (width, height) = (scale.apply(header.width), scale.apply(header.height));
    if wanted == DecodedPlanes::Luma {
        out.reshape(width, height, Subsampling::Grey);
        fill_grey(out);
        let luma = PlaneMut { data: &mut out.planes_mut()[0], stride: width };
        turbo.pixels(jpeg, scale, PackedFormat::Grey, luma)?;
        return Ok(true);
    }
    out.reshape(width, height, header.subsampling);
    fill_grey(out);
    let strides = [0, 1, 2].map(|component| out.plane_size(component).0);
    let planes = out.planes_mut().iter_mut().zip(strides);
    let mut planes: Vec<_> = planes.map(|(data, stride)| PlaneMut { data, stride }).collect();
    planes.truncate(header.subsampling.planes());
    turbo.planes(jpeg, scale, &mut planes)?;
    Ok(true)
}

/// Fills the planes with grey, which removes the previous picture, possibly of another camera. That is needed because
/// libjpeg-turbo 2.1 leaves a part of the planes unwritten if an image is damaged in two places: it reports the first
/// fault as a warning, and writes nothing after the second.
fn fill_grey(out: &mut Planar) {
    out.planes_mut().iter_mut().for_each(|plane| plane.fill(128));
}
