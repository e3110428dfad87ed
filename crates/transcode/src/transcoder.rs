//! Transcodes frames on the caller's thread.

use std::sync::Arc;

use framecast_media::{Bytes, Codec, Format, Frame};
use framecast_turbojpeg::Subsampling;

use crate::MAX_PIXELS;
use crate::backend::Backend;
use crate::decode::Decoder;
use crate::encode::{Encoder, checked_raw, packed_format};
use crate::error::Error;
use crate::resize::Resizer;
use crate::target_format::TargetFormat;
use crate::yuv::Planar;

/// Transcodes frames to JPEG frames of a target size and quality. Use one transcoder for each thread: a transcoder
/// reuses its buffers, about ten bytes per pixel, for the next picture. It frees a buffer that is more than four times
/// as large as the current picture needs.
#[derive(Debug)]
pub struct Transcoder {
    decoder: Decoder,
    encoder: Encoder,
    resizer: Resizer,
    scratch: Planar,
}

impl Transcoder {
    /// Creates a transcoder that uses the codec `backend`.
    ///
    /// # Errors
    ///
    /// [`Error::Turbo`] when the library cannot create a handle.
    pub fn new(backend: Backend) -> Result<Self, Error> {
        let (decoder, encoder) = (Decoder::new(backend)?, Encoder::new(backend)?);
        Ok(Self { decoder, encoder, resizer: Resizer::default(), scratch: Planar::default() })
    }

    /// Returns `frame` as a JPEG frame of the target size and quality, with unchanged media time and capture time.
    /// Blocks while it decodes and encodes. A JPEG frame that needs no transcoding is returned unchanged, without a
    /// copy of its data.
    ///
    /// # Errors
    ///
    /// [`Error`] for a picture that cannot be decoded or encoded; the next picture is not affected.
    pub fn transcode(&mut self, frame: &Frame, target_format: &TargetFormat) -> Result<Frame, Error> {
        match frame.format.codec {
            Codec::Jpeg => self.jpeg(frame, target_format),
            Codec::Raw(..) => self.raw(frame, target_format),
            codec => Err(Error::Codec { codec }),
        }
    }

    fn jpeg(&mut self, frame: &Frame, target_format: &TargetFormat) -> Result<Frame, Error> {
        let size = (frame.format.width_px, frame.format.height_px);
        let target = target_format.fit(size.0, size.1);
        if target_format.accepts(&frame.format) {
            return Ok(frame.clone());
        }
        let decoded = self.decoder.decode_scaled(&frame.data, MAX_PIXELS, target)?;
        let has = (decoded.width(), decoded.height());
        // The picture's own size counts if it is smaller than its frame says.
        let target = ((target.0 as usize).min(has.0), (target.1 as usize).min(has.1));
        let fits = matches!(decoded.subsampling(), Subsampling::S420 | Subsampling::Grey) && target == has;
        let picture = if fits { decoded } else { decoded.with_yuv(|yuv| self.resizer.planes(yuv, target)) };
        let data = self.encoder.encode_planar(picture, target_format.quality())?;
        Ok(jpeg_frame_of(frame, data, target))
    }

    fn raw(&mut self, frame: &Frame, target_format: &TargetFormat) -> Result<Frame, Error> {
        let raw = checked_raw(frame)?;
        let quality = target_format.quality();
        let target = target_format.fit(frame.format.width_px, frame.format.height_px);
        let target = (target.0 as usize, target.1 as usize);
        if target == (raw.width, raw.height) {
            return Ok(jpeg_frame_of(frame, self.encoder.encode(frame, quality)?, target));
        }
        if let Some(format) = packed_format(raw.format) {
            let pixels = self.resizer.pixels(raw.data, (raw.width, raw.height), target);
            let data = self.encoder.encode_pixels(pixels, (target.0, target.1, format), quality)?;
            return Ok(jpeg_frame_of(frame, data, target));
        }
        let Self { resizer, encoder, scratch, .. } = self;
        let encoded =
            raw.with_yuv(scratch, |yuv| encoder.encode_planar(resizer.planes(yuv, target), quality));
        let data = encoded.unwrap_or(Err(Error::Codec { codec: frame.format.codec }))?;
        Ok(jpeg_frame_of(frame, data, target))
    }
}

/// Returns a JPEG frame with the image `data`, and with the media time and capture time of `frame`.
fn jpeg_frame_of(frame: &Frame, data: Bytes, (width, height): (usize, usize)) -> Frame {
    // Both values are sides of a picture, which fit 16 bits.
    let format = Format::new(Codec::Jpeg, width as u32, height as u32);
    Frame::new(data, frame.pts, frame.captured_at, Arc::new(format))
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use framecast_media::Timestamp;
    use framecast_media::codec::raw::{ColorRange, PixelFormat, pack};
    use framecast_media::codec::{RgbImage, jpeg};

    use super::*;

    fn frame(codec: Codec, width_px: u32, height_px: u32) -> Frame {
        let picture = RgbImage::new(width_px, height_px);
        let data = match codec {
            Codec::Raw(format, range) => pack(&picture, format, range).into(),
            _ => jpeg::encode(&picture, 80).unwrap(),
        };
        let format = Arc::new(Format::new(codec, width_px, height_px));
        Frame::new(data, Timestamp::default(), SystemTime::UNIX_EPOCH, format)
    }

    fn capacity(transcoder: &Transcoder) -> usize {
        let Transcoder { decoder, encoder, resizer, scratch } = transcoder;
        decoder.capacity() + encoder.capacity() + resizer.capacity() + scratch.capacity()
    }

    #[test]
    fn the_memory_of_one_huge_picture_is_given_back_with_the_next_small_one() {
        let raw = |format| Codec::Raw(format, ColorRange::Limited);
        let codecs = [Codec::Jpeg, raw(PixelFormat::Yuyv), raw(PixelFormat::I420), raw(PixelFormat::Rgb24)];
        let small_bytes = 64 * 48 * 10;
        for backend in [Backend::best(), Backend::pure_rust()] {
            for (codec, is_shrunk) in codecs.into_iter().flat_map(|codec| [(codec, true), (codec, false)]) {
                let target_format =
                    |width_px| TargetFormat { width_px, quality: Some(50), ..TargetFormat::default() };
                let mut transcoder = Transcoder::new(backend).unwrap();
                let huge = frame(codec, 2400, 1801);
                transcoder.transcode(&huge, &target_format(is_shrunk.then_some(601))).unwrap();
                let before = capacity(&transcoder);
                transcoder.transcode(&frame(codec, 64, 48), &target_format(is_shrunk.then_some(33))).unwrap();
                let after = capacity(&transcoder);
                let what = format!("{backend}: {codec:?}, shrunk {is_shrunk}: {before} then {after} bytes");
                assert!(after <= 4 * small_bytes && after < before, "{what}");
            }
        }
    }
}
