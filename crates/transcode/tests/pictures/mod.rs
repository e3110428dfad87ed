//! Frames for tests, the codecs to test, and checks of the result.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use framecast_media::codec::raw::{ColorRange, PixelFormat, pack};
use framecast_media::codec::{RgbImage, jpeg};
use framecast_media::{Bytes, Codec, Format, Frame, Timestamp};
use framecast_testkit::not_run;
use framecast_transcode::Backend;

/// White, yellow, cyan, green, magenta, red, blue and black, as in monitor test patterns.
pub(crate) const BARS: [[u8; 3]; 8] = [
    [255, 255, 255],
    [255, 255, 0],
    [0, 255, 255],
    [0, 255, 0],
    [255, 0, 255],
    [255, 0, 0],
    [0, 0, 255],
    [0, 0, 0],
];

/// Both codecs, or one if the library is missing; in CI it must be there.
pub(crate) fn backends() -> Vec<Backend> {
    match Backend::best() {
        best @ Backend::Turbo(_) => vec![best, Backend::pure_rust()],
        best => {
            not_run(format!("with libjpeg-turbo, because there is only {best}"));
            vec![Backend::pure_rust()]
        }
    }
}

/// Eight upright bars of equal width.
pub(crate) fn bars(width: u32, height: u32) -> RgbImage {
    let mut picture = RgbImage::new(width, height);
    for (at, pixel) in picture.data_mut().chunks_exact_mut(3).enumerate() {
        pixel.copy_from_slice(&BARS[at % width as usize * 8 / width as usize]);
    }
    picture
}

/// A slow change of colour in both directions, visible at any size.
pub(crate) fn ramp(width: u32, height: u32) -> RgbImage {
    let mut picture = RgbImage::new(width, height);
    for (at, pixel) in picture.data_mut().chunks_exact_mut(3).enumerate() {
        let (x, y) = (at % width as usize, at / width as usize);
        pixel.copy_from_slice(&[(40 + x) as u8, (60 + 2 * y) as u8, (200 - x) as u8]);
    }
    picture
}

pub(crate) fn frame(codec: Codec, width_px: u32, height_px: u32, data: impl Into<Bytes>) -> Frame {
    Frame::new(
        data.into(),
        Timestamp::from_ticks(4242),
        SystemTime::UNIX_EPOCH + Duration::from_secs(77),
        Arc::new(Format::new(codec, width_px, height_px)),
    )
}

pub(crate) fn raw(picture: &RgbImage, format: PixelFormat, range: ColorRange) -> Frame {
    let data = pack(picture, format, range);
    frame(Codec::Raw(format, range), picture.width_px(), picture.height_px(), data)
}

pub(crate) fn decoded(jpeg: &[u8]) -> RgbImage {
    jpeg::decode(jpeg, 1 << 24).expect("what came out is a JPEG image")
}
