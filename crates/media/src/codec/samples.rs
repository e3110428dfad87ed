//! Samples for the tests: streams of x264 and x265, and a splitter as simple as can be.

use bytes::Bytes;

pub(crate) const BASELINE: &[u8] = include_bytes!("../../../../testdata/x264-baseline.h264");
pub(crate) const MAIN_WITH_B_FRAMES: &[u8] = include_bytes!("../../../../testdata/x264-main-bframes.h264");
pub(crate) const HIGH_INTERLACED: &[u8] = include_bytes!("../../../../testdata/x264-high-interlaced.h264");
pub(crate) const HIGH_444: &[u8] = include_bytes!("../../../../testdata/x264-444.h264");
pub(crate) const SLICES: &[u8] = include_bytes!("../../../../testdata/x264-slices.h264");
pub(crate) const INTRA_REFRESH: &[u8] = include_bytes!("../../../../testdata/x264-intra-refresh.h264");
pub(crate) const CROPPED: &[u8] = include_bytes!("../../../../testdata/x264-cropped.h264");
pub(crate) const H265_WITH_B_FRAMES: &[u8] = include_bytes!("../../../../testdata/x265-bframes.h265");
pub(crate) const H265_OPEN_GOP: &[u8] = include_bytes!("../../../../testdata/x265-open-gop.h265");
pub(crate) const H265_10_BIT_CROPPED: &[u8] = include_bytes!("../../../../testdata/x265-main10-cropped.h265");

/// Returns the NAL units of a byte stream.
pub(crate) fn units_of(stream: &[u8]) -> Vec<Bytes> {
    let starts: Vec<_> = stream.windows(3).enumerate().filter(|(_, code)| code == &[0, 0, 1]).collect();
    let ends = starts.iter().skip(1).map(|(next, _)| *next).chain([stream.len()]);
    starts
        .iter()
        .zip(ends)
        .map(|((start, _), end)| {
            let unit = &stream[start + 3..end];
            let zeros = unit.iter().rev().take_while(|byte| **byte == 0).count();
            Bytes::copy_from_slice(&unit[..unit.len() - zeros])
        })
        .collect()
}

/// Returns the first NAL unit of type `unit_type` in a stream of H.264.
pub(crate) fn set_of(stream: &[u8], unit_type: u8) -> Bytes {
    units_of(stream).into_iter().find(|unit| unit[0] & 0x1F == unit_type).expect("the sample has such a unit")
}
