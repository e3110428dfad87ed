//! Tests with the real library. If it is not installed, the tests say so and pass, except in CI.
#![warn(clippy::disallowed_methods)]
#![expect(clippy::unwrap_used, reason = "tests")]

use framecast_testkit::not_run;
use framecast_turbojpeg::{
    ColorSpace, Compressor, Decompressor, Error, Header, Library, PackedFormat, Plane, PlaneMut, Scale,
    Subsampling, Yuv, plane_size,
};

/// The library, or `None` if a test cannot run.
fn library() -> Option<&'static Library> {
    Library::get().map_err(not_run).ok()
}

/// Tightly packed planes of a slow ramp, which survives coding and scaling.
fn ramp(subsampling: Subsampling, width: usize, height: usize) -> Vec<(Vec<u8>, usize)> {
    let plane = |component| {
        let (columns, rows) = plane_size(subsampling, component, width, height);
        let sample = |at: usize| (60 + 40 * component + (at % columns) * 64 / columns) as u8;
        ((0..columns * rows).map(sample).collect(), columns)
    };
    (0..subsampling.planes()).map(plane).collect()
}

fn compress(library: &'static Library, subsampling: Subsampling, width: usize, height: usize) -> Vec<u8> {
    let planes = ramp(subsampling, width, height);
    let planes: Vec<_> = planes.iter().map(|(data, stride)| Plane { data, stride: *stride }).collect();
    let mut out = vec![0; library.max_jpeg_bytes(width, height, subsampling).unwrap()];
    let yuv = Yuv { planes: &planes, width, height, subsampling };
    let len = Compressor::new(library).unwrap().planes(&yuv, 95, &mut out).unwrap();
    out.truncate(len);
    out
}

const ALL: [Subsampling; 6] = [
    Subsampling::S444,
    Subsampling::S422,
    Subsampling::S420,
    Subsampling::Grey,
    Subsampling::S440,
    Subsampling::S411,
];

const SIZES: [(usize, usize); 7] = [(1, 1), (2, 1), (5, 3), (16, 16), (17, 9), (33, 31), (67, 35)];

#[test]
fn planes_survive_a_round_trip_in_every_subsampling_and_size() {
    let Some(library) = library() else { return };
    let mut decompressor = Decompressor::new(library).unwrap();
    for (subsampling, (width, height)) in ALL.iter().flat_map(|all| SIZES.map(|size| (*all, size))) {
        let jpeg = compress(library, subsampling, width, height);
        let header = decompressor.header(&jpeg).unwrap();
        assert_eq!((header.width, header.height, header.subsampling), (width, height, subsampling));
        let space = if subsampling == Subsampling::Grey { ColorSpace::Grey } else { ColorSpace::YCbCr };
        assert_eq!(header.color_space, space);
        let before = ramp(subsampling, width, height);
        let mut after: Vec<_> = before.iter().map(|(data, stride)| (vec![0; data.len()], *stride)).collect();
        let mut planes: Vec<_> =
            after.iter_mut().map(|(data, stride)| PlaneMut { data, stride: *stride }).collect();
        assert_eq!(decompressor.planes(&jpeg, Scale::FULL, &mut planes), Ok(None));
        for ((before, _), (after, _)) in before.iter().zip(&after) {
            let off = before.iter().zip(after).map(|(a, b)| a.abs_diff(*b)).max();
            assert!(off < Some(12), "{subsampling:?} {width}x{height}: off by {off:?}");
        }
    }
}

#[test]
fn every_scale_gives_the_size_it_promises_and_touches_nothing_behind() {
    let Some(library) = library() else { return };
    let mut decompressor = Decompressor::new(library).unwrap();
    for (subsampling, (width, height)) in ALL.iter().flat_map(|all| SIZES.map(|size| (*all, size))) {
        let jpeg = compress(library, subsampling, width, height);
        let header = decompressor.header(&jpeg).unwrap();
        for scale in (1..=8).filter_map(Scale::from_eighths) {
            let mut buffers: Vec<_> = (0..subsampling.planes())
                .map(|component| {
                    let (columns, rows) = header.plane_size(component, scale);
                    // A guard after each row and after the plane.
                    (vec![1; (columns + 3) * rows + 8], columns + 3)
                })
                .collect();
            let mut planes: Vec<_> =
                buffers.iter_mut().map(|(data, stride)| PlaneMut { data, stride: *stride }).collect();
            let decoded = decompressor.planes(&jpeg, scale, &mut planes);
            if !header.is_planar_at(scale) {
                assert!(matches!(decoded, Err(Error::Scale { .. })));
                continue;
            }
            assert_eq!(decoded, Ok(None));
            for (component, (data, stride)) in buffers.iter().enumerate() {
                let (columns, rows) = header.plane_size(component, scale);
                let what = format!("{subsampling:?} {width}x{height} {scale:?} plane {component}");
                assert!(data[rows * stride..].iter().all(|guard| *guard == 1), "{what}: behind the plane");
                for (at, row) in data[..rows * stride].chunks(*stride).enumerate() {
                    let is_picture = component > 0 || at < scale.apply(height);
                    let own = if component > 0 { columns } else { scale.apply(width) };
                    assert!(
                        !is_picture || row[..own].iter().all(|sample| *sample > 40),
                        "{what}: a sample is missing"
                    );
                    assert!(row[columns..].iter().all(|guard| *guard == 1), "{what}: behind a row");
                }
            }
        }
    }
}

#[test]
fn the_sizes_of_cameras_scale_by_every_eighth() {
    for subsampling in [Subsampling::S422, Subsampling::S420, Subsampling::S444, Subsampling::Grey] {
        for (width, height) in [(640, 480), (800, 600), (1280, 720), (1920, 1080), (3840, 2160)] {
            let header = Header { width, height, subsampling, color_space: ColorSpace::YCbCr };
            assert!((1..=8).filter_map(Scale::from_eighths).all(|scale| header.is_planar_at(scale)));
        }
    }
}

#[test]
fn pixels_come_back_in_their_order() {
    let Some(library) = library() else { return };
    let (width, height) = (33, 17);
    let rgb: Vec<u8> = [220, 40, 90].repeat(width * height);
    let mut out = vec![0; library.max_jpeg_bytes(width, height, Subsampling::S420).unwrap()];
    let plane = Plane { data: &rgb, stride: width * 3 };
    let mut compressor = Compressor::new(library).unwrap();
    let size = (width, height, PackedFormat::Rgb);
    let len = compressor.pixels(plane, size, Subsampling::S420, 90, &mut out).unwrap();
    let mut back = vec![0; rgb.len()];
    let target = PlaneMut { data: &mut back, stride: width * 3 };
    let warning =
        Decompressor::new(library).unwrap().pixels(&out[..len], Scale::FULL, PackedFormat::Bgr, target);
    assert_eq!(warning, Ok(None));
    for pixel in back.chunks(3) {
        assert!(
            pixel[0].abs_diff(90) < 5 && pixel[1].abs_diff(40) < 5 && pixel[2].abs_diff(220) < 5,
            "{pixel:?}"
        );
    }
}

#[test]
fn planes_become_pixels() {
    let Some(library) = library() else { return };
    let (y, neutral) = ([180; 16], [128; 4]);
    let planes = [
        Plane { data: &y, stride: 4 },
        Plane { data: &neutral, stride: 2 },
        Plane { data: &neutral, stride: 2 },
    ];
    let yuv = Yuv { planes: &planes, width: 4, height: 4, subsampling: Subsampling::S420 };
    let mut rgb = [0; 48];
    let out = PlaneMut { data: &mut rgb, stride: 12 };
    Decompressor::new(library).unwrap().convert(&yuv, PackedFormat::Rgb, out).unwrap();
    assert_eq!(rgb, [180; 48]);
}

#[test]
fn what_does_not_fit_is_refused_before_the_library_sees_it() {
    let Some(library) = library() else { return };
    let mut compressor = Compressor::new(library).unwrap();
    let mut out = vec![0; library.max_jpeg_bytes(16, 16, Subsampling::Grey).unwrap()];
    let data = [0; 256];
    let planes = [Plane { data: &data, stride: 16 }];
    let grey = |width, height| Yuv { planes: &planes, width, height, subsampling: Subsampling::Grey };
    assert!(compressor.planes(&grey(16, 16), 80, &mut out).is_ok());
    assert!(matches!(compressor.planes(&grey(16, 17), 80, &mut out), Err(Error::Plane { rows: 17, .. })));
    assert!(matches!(compressor.planes(&grey(17, 2), 80, &mut out), Err(Error::Plane { row_bytes: 17, .. })));
    for (width, height) in [(0, 1), (1, 0), (65_501, 1), (usize::MAX, usize::MAX)] {
        assert!(matches!(compressor.planes(&grey(width, height), 80, &mut out), Err(Error::Size { .. })));
    }
    for quality in [0, 101] {
        assert_eq!(compressor.planes(&grey(16, 16), quality, &mut out), Err(Error::Quality { quality }));
    }
    let room = out.len() - 1;
    assert!(matches!(compressor.planes(&grey(16, 16), 80, &mut out[..room]), Err(Error::Output { .. })));
    let yuv = Yuv { subsampling: Subsampling::S420, ..grey(16, 16) };
    assert_eq!(compressor.planes(&yuv, 80, &mut out), Err(Error::Planes { got: 1, want: 3 }));
}

#[test]
fn a_picture_that_breaks_off_is_a_warning_and_noise_an_error() {
    let Some(library) = library() else { return };
    let jpeg = compress(library, Subsampling::Grey, 64, 64);
    let mut decompressor = Decompressor::new(library).unwrap();
    let mut luma = vec![0; 64 * 64];
    let mut decode = |data: &[u8]| {
        let out = PlaneMut { data: &mut luma, stride: 64 };
        decompressor.pixels(data, Scale::FULL, PackedFormat::Grey, out)
    };
    assert_eq!(decode(&jpeg), Ok(None));
    assert!(matches!(decode(&jpeg[..jpeg.len() - 20]), Ok(Some(_))));
    assert!(matches!(decode(b"no picture at all"), Err(Error::Codec { .. })));
    assert!(matches!(decode(&[]), Err(Error::Codec { .. })));
}
