//! Decodes a JPEG image to pixels.
//!
//! The decoder is a third-party crate. Before it gets a picture, [`parse_markers`] must accept the picture, and the
//! picture's size must be within the caller's limit. Every failure of the decoder, even a panic, is reported as an
//! error of the picture.

use std::panic::{AssertUnwindSafe, catch_unwind};

use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use super::check::parse_markers;
use super::problem::Problem;
use crate::Error;
use crate::codec::RgbImage;

/// The maximum number of scans in a progressive picture. Each scan costs a pass over all coefficients; encoders write
/// about ten scans.
const MAX_SCANS: usize = 32;

/// Decodes the picture at the start of `data` to RGB. A grey picture becomes RGB too.
///
/// Missing Huffman tables are an error: pass the result of [`normalize`](super::normalize()). `max_pixels` limits the
/// memory, about ten bytes for each pixel, before anything is allocated. Decoding takes about 6 ms for 1280x720.
///
/// # Errors
///
/// Those of [`parse_markers`], [`Problem::TooManyPixels`], and [`Problem::Undecodable`] when the coded data cannot be
/// decoded. Coded data that ends too soon is not an error: the rest of the picture stays grey. A marker RST or TEM
/// before a segment is an error here, although [`parse_markers`] and browsers skip such a marker.
pub fn decode(data: &[u8], max_pixels: usize) -> Result<RgbImage, Error> {
    let header = parse_markers(data)?;
    let pixels = header.width_px as usize * header.height_px as usize;
    if pixels > max_pixels {
        return Err(Error::Jpeg { offset: 0, problem: Problem::TooManyPixels { pixels, max_pixels } });
    }
    let undecodable = Error::Jpeg { offset: header.first_scan_offset, problem: Problem::Undecodable };
    if !header.has_huffman_tables {
        return Err(undecodable);
    }
    let whole = &data[..header.len_bytes];
    // The decoder has no state beyond this call, so a panic leaves no half-finished state behind.
    let rgb = catch_unwind(AssertUnwindSafe(|| decode_rgb(whole, header.width_px, header.height_px)));
    rgb.ok()
        .flatten()
        .and_then(|rgb| RgbImage::from_rgb(header.width_px, header.height_px, rgb))
        .ok_or(undecodable)
}

fn decode_rgb(data: &[u8], width_px: u32, height_px: u32) -> Option<Vec<u8>> {
    let options = DecoderOptions::default()
        .jpeg_set_out_colorspace(ColorSpace::RGB)
        .jpeg_set_max_scans(MAX_SCANS)
        .set_max_width(width_px as usize)
        .set_max_height(height_px as usize);
    JpegDecoder::new_with_options(ZCursor::new(data), options).decode().ok()
}

#[cfg(test)]
mod tests {
    use super::super::{encode, normalize, samples};
    use super::*;

    const MAX_PIXELS: usize = 96 * 64;

    #[test]
    fn what_was_encoded_looks_the_same_when_decoded() {
        let mut picture = RgbImage::new(32, 16);
        for (index, pixel) in picture.data_mut().chunks_exact_mut(3).enumerate() {
            pixel.copy_from_slice(if index % 32 < 16 { &[200, 40, 40] } else { &[30, 60, 220] });
        }
        let decoded = decode(&encode(&picture, 95).unwrap(), MAX_PIXELS).unwrap();
        // Samples away from the edge between the colours, which 4:2:0 blurs.
        for x in [4, 10, 21, 28] {
            let (before, after) = (picture.pixel(x, 8).unwrap(), decoded.pixel(x, 8).unwrap());
            assert!(before.iter().zip(after).all(|(a, b)| a.abs_diff(b) < 6), "{before:?} became {after:?}");
        }
    }

    #[test]
    fn bytes_between_segments_change_nothing_of_the_picture() {
        let plain = decode(samples::PLAIN, MAX_PIXELS).unwrap();
        for stray in [&[0; 7][..], &[0x55; 64], &[0xFF, 0x00]] {
            let sof = memchr::memmem::find(samples::PLAIN, &[0xFF, 0xC0]).unwrap();
            let padded = [&samples::PLAIN[..sof], stray, &samples::PLAIN[sof..]].concat();
            assert!(decode(&padded, MAX_PIXELS).is_ok_and(|picture| picture == plain), "{stray:?}");
        }
    }

    #[test]
    fn a_picture_without_tables_looks_like_the_one_with_them_once_admitted() {
        let normalized = normalize(samples::NO_DHT.into()).unwrap().data;
        assert_eq!(decode(&normalized, MAX_PIXELS).unwrap(), decode(samples::PLAIN, MAX_PIXELS).unwrap());
        assert!(decode(samples::NO_DHT, MAX_PIXELS).is_err());
    }

    #[test]
    fn progressive_and_thumbnailed_pictures_decode() {
        for data in [samples::PROGRESSIVE, samples::THUMBNAIL] {
            let picture = decode(data, MAX_PIXELS).unwrap();
            assert_eq!((picture.width_px(), picture.height_px()), (96, 64));
        }
    }

    #[test]
    fn a_picture_above_the_bound_is_refused_before_it_is_decoded() {
        let problem = Problem::TooManyPixels { pixels: 96 * 64, max_pixels: 96 * 64 - 1 };
        assert_eq!(decode(samples::PLAIN, 96 * 64 - 1), Err(Error::Jpeg { offset: 0, problem }));
    }

    #[test]
    fn grey_becomes_rgb() {
        let mut grey = Vec::new();
        let encoder = jpeg_encoder::Encoder::new(&mut grey, 90);
        encoder.encode(&[128; 64], 8, 8, jpeg_encoder::ColorType::Luma).unwrap();
        let [r, g, b] = decode(&grey, 64).unwrap().pixel(3, 3).unwrap();
        assert!(r == g && g == b && r.abs_diff(128) < 4);
    }

    /// The scanner does not detect damage in tables and coded data; the decoder must survive it.
    #[test]
    fn a_damaged_byte_never_panics() {
        for data in samples::ALL {
            let mut damaged = data.to_vec();
            for at in 0..data.len() {
                for flip in [0x01, 0x80, 0xFF] {
                    damaged[at] = data[at] ^ flip;
                    if let (Ok(header), Some(rgb)) = (parse_markers(&damaged), decode_if_plausible(&damaged))
                    {
                        assert_eq!(rgb.len(), header.width_px as usize * header.height_px as usize * 3);
                    }
                }
                damaged[at] = data[at];
            }
        }
    }

    /// Like [`decode`], but a panic fails the test instead of becoming an error.
    fn decode_if_plausible(data: &[u8]) -> Option<Vec<u8>> {
        let header = parse_markers(data).ok()?;
        let is_small = header.width_px * header.height_px <= 96 * 64 * 4;
        (is_small && header.has_huffman_tables)
            .then(|| decode_rgb(&data[..header.len_bytes], header.width_px, header.height_px))
            .flatten()
    }
}
