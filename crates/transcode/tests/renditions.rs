//! Renditions have the requested size and show the same picture.
#![warn(clippy::disallowed_methods)]
#![expect(clippy::unwrap_used, reason = "tests")]

mod pictures;

use framecast_media::codec::jpeg::{self, Problem};
use framecast_media::codec::raw::{ColorRange, PixelFormat};
use framecast_media::{Codec, Error as Bad, Frame};
use framecast_transcode::{Decoder, Error, Planar, Subsampling, TargetFormat, Transcoder};
use pictures::{BARS, backends, bars, decoded, frame, ramp, raw};

fn jpeg_frame(width: u32, height: u32) -> Frame {
    frame(Codec::Jpeg, width, height, jpeg::encode(&bars(width, height), 92).unwrap())
}

fn width(width: u32) -> TargetFormat {
    TargetFormat { width_px: Some(width), ..TargetFormat::default() }
}

/// Checks the bars at their centres.
fn shows_bars(frame: &Frame, what: &str) {
    let seen = decoded(&frame.data);
    assert_eq!(
        (seen.width_px(), seen.height_px()),
        (frame.format.width_px, frame.format.height_px),
        "{what}"
    );
    for (bar, want) in (0..).zip(BARS) {
        let x = (bar * 2 + 1) * seen.width_px() / 16;
        let got = seen.pixel(x, seen.height_px() / 2).unwrap();
        let off = want.iter().zip(got).map(|(want, got)| want.abs_diff(got)).max();
        assert!(off <= Some(24), "{what}: {want:?} became {got:?}");
    }
}

#[test]
fn a_rendition_has_the_size_asked_and_the_colours_it_had() {
    for backend in backends() {
        let mut transcoder = Transcoder::new(backend).unwrap();
        for (from, to) in [
            ((640, 360), (320, 180)),
            ((641, 361), (323, 182)),
            ((320, 240), (318, 239)),
            ((800, 64), (101, 8)),
        ] {
            let mut inputs = vec![jpeg_frame(from.0, from.1)];
            let formats = PixelFormat::ALL.into_iter().filter(|format| *format != PixelFormat::Grey);
            inputs.extend(formats.map(|format| raw(&bars(from.0, from.1), format, ColorRange::Limited)));
            for input in inputs {
                let what = format!("{backend}: {:?} {from:?} to {to:?}", input.format.codec);
                let output = transcoder.transcode(&input, &width(to.0)).expect(&what);
                assert_eq!((output.format.width_px, output.format.height_px), to, "{what}");
                assert_eq!((output.format.codec, output.pts), (Codec::Jpeg, input.pts));
                assert_eq!(output.captured_at, input.captured_at);
                shows_bars(&output, &what);
            }
        }
    }
}

#[test]
fn any_size_can_become_any_smaller_one() {
    for backend in backends() {
        let mut transcoder = Transcoder::new(backend).unwrap();
        for (wide, high) in [(1, 1), (2, 3), (9, 7), (16, 16), (33, 31), (67, 35)] {
            let picture = ramp(wide, high);
            let coded = frame(Codec::Jpeg, wide, high, jpeg::encode(&picture, 90).unwrap());
            let inputs = PixelFormat::ALL.map(|format| raw(&picture, format, ColorRange::Full));
            for input in inputs.iter().chain([&coded]) {
                for to in 1..=wide {
                    let target_format = TargetFormat { quality: Some(90), ..width(to) };
                    let output = transcoder.transcode(input, &target_format).unwrap();
                    let header = jpeg::parse_markers(&output.data).unwrap();
                    assert_eq!((header.width_px, header.height_px), target_format.fit(wide, high));
                }
            }
        }
    }
}

#[test]
fn a_jpeg_frame_that_needs_nothing_passes_untouched() {
    for backend in backends() {
        let mut transcoder = Transcoder::new(backend).unwrap();
        let input = jpeg_frame(64, 48);
        for target_format in [TargetFormat::default(), width(64), width(1000)] {
            let output = transcoder.transcode(&input, &target_format).unwrap();
            assert_eq!(output.data.as_ptr(), input.data.as_ptr());
        }
        let target_format = TargetFormat { quality: Some(20), ..TargetFormat::default() };
        assert!(transcoder.transcode(&input, &target_format).unwrap().data.len() < input.data.len());
    }
}

#[test]
fn what_is_no_whole_image_is_refused() {
    for backend in backends() {
        let mut transcoder = Transcoder::new(backend).unwrap();
        let whole = jpeg_frame(64, 48);
        for len in [0, 1, 2, 20, whole.data.len() / 2, whole.data.len() - 1] {
            let mut cut = whole.clone();
            cut.data.truncate(len);
            let refused = transcoder.transcode(&cut, &width(32)).unwrap_err();
            assert!(matches!(refused, Error::Picture(Bad::Jpeg { .. })), "{refused}");
        }
        assert!(transcoder.transcode(&whole, &width(32)).is_ok(), "the next one is not affected");
        let mut decoder = Decoder::new(backend).unwrap();
        let refused = decoder.decode_scaled(&whole.data, 64 * 48 - 1, (1, 1)).unwrap_err();
        let problem = Problem::TooManyPixels { pixels: 64 * 48, max_pixels: 64 * 48 - 1 };
        assert_eq!(refused, Error::Picture(Bad::Jpeg { offset: 0, problem }));
    }
}

#[test]
fn a_picture_of_many_scans_is_refused_before_it_costs_them() {
    let good = include_bytes!("../../../testdata/imagemagick-progressive.jpg");
    let last = good.windows(2).rposition(|marker| marker == [0xFF, 0xDA]).unwrap();
    let (scan, end) = good[last..].split_at(good.len() - last - 2);
    let many = [&good[..last], &scan.repeat(40), end].concat();
    assert!(jpeg::parse_markers(&many).is_ok());
    for backend in backends() {
        let mut decoder = Decoder::new(backend).unwrap();
        assert!(decoder.decode_scaled(good, 1 << 20, (48, 32)).is_ok());
        let refused = decoder.decode_scaled(&many, 1 << 20, (48, 32)).unwrap_err();
        assert!(
            matches!(refused, Error::Picture(Bad::Jpeg { problem: Problem::Undecodable, .. })),
            "{refused}"
        );
    }
}

#[test]
fn a_decoded_picture_covers_its_target() {
    for backend in backends() {
        let mut decoder = Decoder::new(backend).unwrap();
        let coded = jpeg_frame(640, 360).data;
        for target in [(0, 0), (1, 1), (80, 45), (81, 45), (320, 180), (500, 10), (640, 360), (2000, 2000)] {
            let planar = decoder.decode_scaled(&coded, 1 << 20, target).unwrap();
            let covers =
                |side: usize, target: u32, own: usize| side >= (target as usize).min(own) && side <= own;
            assert!(covers(planar.width(), target.0, 640) && covers(planar.height(), target.1, 360));
            let luma = decoder.decode_luma_scaled(&coded, 1 << 20, target).unwrap();
            assert_eq!((luma.subsampling(), luma.planes().count()), (Subsampling::Grey, 1));
            assert!(covers(luma.width(), target.0, 640));
        }
    }
}

#[test]
fn the_library_decodes_no_more_than_is_needed() {
    let [turbo, _] = backends()[..] else { return };
    let mut decoder = Decoder::new(turbo).unwrap();
    let coded = jpeg_frame(640, 360).data;
    for (target, size) in
        [((80, 45), (80, 45)), ((81, 45), (160, 90)), ((320, 1), (320, 180)), ((321, 1), (400, 225))]
    {
        let planar = decoder.decode_scaled(&coded, 1 << 20, target).unwrap();
        assert_eq!((planar.width(), planar.height()), size);
    }
}

#[test]
fn what_could_not_be_decoded_is_grey_and_not_the_picture_before() {
    let [turbo, _] = backends()[..] else { return };
    let mut decoder = Decoder::new(turbo).unwrap();
    let whole = jpeg_frame(64, 48).data;
    // Stray bytes, which cause a warning, and then a scan that refers to missing Huffman tables.
    let mut damaged = [&whole[..2], &[1, 2, 3], &whole[2..]].concat();
    let scan = jpeg::parse_markers(&damaged).unwrap().first_scan_offset;
    damaged[scan + 6] = 0x33;
    // Version 3 reports the second fault, as an error.
    let is_grey = |decoded: Result<&Planar, Error>| match decoded {
        Ok(shown) => shown.planes().all(|plane| plane.data.iter().all(|sample| *sample == 128)),
        Err(error) => matches!(error, Error::Turbo(_)),
    };
    for _ in 0..2 {
        let shown = decoder.decode_scaled(&whole, 1 << 20, (64, 48)).unwrap();
        assert!(shown.planes().any(|plane| plane.data.iter().any(|sample| *sample != 128)));
        assert!(is_grey(decoder.decode_scaled(&damaged, 1 << 20, (64, 48))));
        decoder.decode_luma_scaled(&whole, 1 << 20, (64, 48)).unwrap();
        assert!(is_grey(decoder.decode_luma_scaled(&damaged, 1 << 20, (64, 48))));
    }
}
