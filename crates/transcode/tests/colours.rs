//! The output shows the same colours as the input, whatever its format, range and size, with either codec.
#![warn(clippy::disallowed_methods)]

mod pictures;

use framecast_media::codec::raw::{ColorRange, PixelFormat};
use framecast_media::codec::{RgbImage, jpeg};
use framecast_media::{Codec, Error as Bad};
use framecast_transcode::{Encoder, Error, TargetFormat, Transcoder};
use pictures::{BARS, backends, bars, decoded, frame, ramp, raw};

const RANGES: [ColorRange; 2] = [ColorRange::Full, ColorRange::Limited];

/// The largest difference of a colour between two pictures of one size.
fn difference(a: &RgbImage, b: &RgbImage) -> u8 {
    assert_eq!((a.width_px(), a.height_px()), (b.width_px(), b.height_px()));
    a.data().iter().zip(b.data()).map(|(a, b)| a.abs_diff(*b)).max().unwrap_or(0)
}

/// A bar's colour in a format: grey has only its luma.
fn expected(format: PixelFormat, [r, g, b]: [u8; 3]) -> [u8; 3] {
    if format != PixelFormat::Grey {
        return [r, g, b];
    }
    let luma = 0.299 * f32::from(r) + 0.587 * f32::from(g) + 0.114 * f32::from(b);
    [luma.round() as u8; 3]
}

#[test]
fn bars_of_every_format_and_range_have_their_colours() {
    let picture = bars(256, 32);
    for backend in backends() {
        let mut encoder = Encoder::new(backend).unwrap();
        for (format, range) in PixelFormat::ALL.iter().flat_map(|format| RANGES.map(|range| (*format, range)))
        {
            let jpeg = encoder.encode(&raw(&picture, format, range), 95).unwrap();
            let seen = decoded(&jpeg);
            for (bar, colour) in (0..).zip(BARS) {
                let want = expected(format, colour);
                let got = seen.pixel(bar * 32 + 16, 16).unwrap();
                let off = want.iter().zip(got).map(|(want, got)| want.abs_diff(got)).max();
                assert!(off <= Some(6), "{backend}: {format} {range:?}: {want:?} became {got:?}");
            }
        }
    }
}

#[test]
fn every_size_from_one_pixel_on_comes_out_right() {
    for backend in backends() {
        let mut encoder = Encoder::new(backend).unwrap();
        for (width, height) in
            (1..=9).flat_map(|w| (1..=9).map(move |h| (w, h))).chain([(16, 16), (33, 17), (67, 35)])
        {
            let picture = ramp(width, height);
            for format in PixelFormat::ALL.into_iter().filter(|format| *format != PixelFormat::Grey) {
                let what = format!("{backend}: {format} {width}x{height}");
                for range in RANGES {
                    let jpeg = encoder.encode(&raw(&picture, format, range), 98).expect(&what);
                    assert!(jpeg::parse_markers(&jpeg).unwrap().has_huffman_tables);
                    let off = difference(&decoded(&jpeg), &picture);
                    assert!(off <= 14, "{what} {range:?}: off by {off}");
                }
            }
        }
    }
}

#[test]
fn a_grey_picture_becomes_a_grey_image() {
    for backend in backends() {
        for range in RANGES {
            let grey = raw(&bars(67, 35), PixelFormat::Grey, range);
            let jpeg = Encoder::new(backend).unwrap().encode(&grey, 80).unwrap();
            assert_eq!(jpeg::parse_markers(&jpeg).unwrap().components, 1);
        }
    }
}

#[test]
fn both_codecs_show_the_same() {
    let [turbo, pure] = backends()[..] else { return };
    let picture = ramp(67, 35);
    for format in PixelFormat::ALL {
        let frame = raw(&picture, format, ColorRange::Limited);
        let [one, other] =
            [turbo, pure].map(|backend| Encoder::new(backend).unwrap().encode(&frame, 90).unwrap());
        let off = difference(&decoded(&one), &decoded(&other));
        assert!(off <= 10, "{format}: off by {off}");
    }
    let jpeg = frame(Codec::Jpeg, 67, 35, jpeg::encode(&picture, 95).unwrap());
    let target_format = TargetFormat { width_px: Some(31), ..TargetFormat::default() };
    let [one, other] = [turbo, pure]
        .map(|backend| Transcoder::new(backend).unwrap().transcode(&jpeg, &target_format).unwrap());
    let off = difference(&decoded(&one.data), &decoded(&other.data));
    assert!(off <= 16, "scaled: off by {off}");
}

#[test]
fn a_picture_that_has_not_the_bytes_of_its_size_is_refused() {
    for backend in backends() {
        let mut encoder = Encoder::new(backend).unwrap();
        for format in PixelFormat::ALL {
            let whole = raw(&bars(16, 8), format, ColorRange::Full);
            let mut short = whole.clone();
            short.data.truncate(whole.data.len() - 1);
            let refused = encoder.encode(&short, 80).unwrap_err();
            assert!(matches!(refused, Error::Picture(Bad::RawLength { .. })), "{refused}");
            assert!(encoder.encode(&whole, 80).is_ok(), "the next one is not affected");
        }
        for (width, height) in [(0, 8), (8, 0), (u32::MAX, u32::MAX), (70_000, 70_000)] {
            let frame = frame(Codec::Raw(PixelFormat::Grey, ColorRange::Full), width, height, vec![0; 64]);
            assert!(matches!(encoder.encode(&frame, 80), Err(Error::Picture(Bad::PictureSize { .. }))));
        }
        let long = frame(Codec::Raw(PixelFormat::Grey, ColorRange::Full), 65_501, 1, vec![0; 65_501]);
        let _ = encoder.encode(&long, 80);
        assert!(matches!(encoder.encode(&frame(Codec::Jpeg, 8, 8, vec![]), 80), Err(Error::Codec { .. })));
    }
}

#[test]
fn quality_is_obeyed() {
    for backend in backends() {
        let mut encoder = Encoder::new(backend).unwrap();
        let frame = raw(&bars(320, 200), PixelFormat::Nv12, ColorRange::Full);
        let sizes = [1, 30, 80, 100].map(|quality| encoder.encode(&frame, quality).unwrap().len());
        assert!(sizes.is_sorted() && sizes[0] < sizes[3], "{sizes:?}");
        assert_eq!(encoder.encode(&frame, 0).unwrap().len(), sizes[0]);
        assert_eq!(encoder.encode(&frame, 255).unwrap().len(), sizes[3]);
    }
}
