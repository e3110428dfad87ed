//! Encodes pixels to a JPEG image.

use bytes::Bytes;
use jpeg_encoder::{ColorType, Encoder, SamplingFactor};

use crate::Error;
use crate::codec::RgbImage;

/// Encodes a picture as a JPEG image: baseline, 4:2:0, with Huffman tables. `quality` is 1 to 100; other values are
/// clamped.
///
/// Encoding takes about 10 ms for 1280x720 on one core of a small server.
///
/// # Errors
///
/// [`Error::PictureSize`] if a side is zero or above 65535 pixels, which JPEG cannot express.
pub fn encode(picture: &RgbImage, quality: u8) -> Result<Bytes, Error> {
    let (width_px, height_px) = (picture.width_px(), picture.height_px());
    let size = Error::PictureSize { width_px, height_px };
    let (Ok(width), Ok(height)) = (u16::try_from(width_px), u16::try_from(height_px)) else {
        return Err(size);
    };
    if width == 0 || height == 0 {
        return Err(size);
    }
    // Drawn pictures and those of cameras mostly need at most two bits a pixel.
    let mut coded = Vec::with_capacity(1024 + picture.data().len() / 12);
    let mut encoder = Encoder::new(&mut coded, quality.clamp(1, 100));
    encoder.set_sampling_factor(SamplingFactor::F_2_2);
    encoder
        .encode(picture.data(), width, height, ColorType::Rgb)
        .expect("the size was checked and a vector takes all bytes");
    Ok(coded.into())
}

#[cfg(test)]
mod tests {
    use super::super::parse_markers;
    use super::*;

    #[test]
    fn an_encoded_picture_passes_the_door() {
        for (width_px, height_px) in [(1, 1), (17, 9), (64, 64), (65_535, 1), (1, 65_535)] {
            let coded = encode(&RgbImage::new(width_px, height_px), 80).unwrap();
            let header = parse_markers(&coded).unwrap();
            assert_eq!((header.width_px, header.height_px), (width_px, height_px));
            assert!(header.has_huffman_tables);
            assert_eq!(header.len_bytes, coded.len());
        }
    }

    #[test]
    fn a_size_that_the_coding_cannot_express_is_an_error() {
        for (width_px, height_px) in [(0, 10), (10, 0), (65_536, 1), (1, 70_000)] {
            let error = encode(&RgbImage::new(width_px, height_px), 80).unwrap_err();
            assert_eq!(error, Error::PictureSize { width_px, height_px });
        }
    }

    #[test]
    fn any_quality_gives_a_picture() {
        for quality in [0, 1, 100, 255] {
            parse_markers(&encode(&RgbImage::new(16, 16), quality).unwrap()).unwrap();
        }
    }
}
