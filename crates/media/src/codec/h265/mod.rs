//! H.265 (ITU-T H.265, also called HEVC): kinds of NAL units, the sequence parameter set, and the decoder configuration
//! record of MP4 (ISO/IEC 14496-15, `hvcC`).

mod frame_rate;
mod profile;
mod record;
mod sps;

pub(super) use record::record;
pub(super) use sps::H265Sps;

use super::nal::UnitKind;
use super::rbsp::payload;
use crate::Dependency;

/// The number of bytes of a NAL unit's header.
const HEADER_BYTES: usize = 2;

/// Returns the kind of `unit` (table 7-1). A unit without a whole header is [`UnitKind::Other`], and so are those of
/// further layers.
///
/// A slice is [`Disposable`](Dependency::Disposable) if no picture of its temporal sub-layer needs it.
pub(super) fn unit_kind(unit: &[u8]) -> UnitKind {
    let [first, second, ..] = *unit else { return UnitKind::Other };
    let is_base_layer = first & 1 == 0 && second & 0xF8 == 0;
    if !is_base_layer {
        return UnitKind::Other;
    }
    match first >> 1 & 0x3F {
        16..=21 => slice(unit, Dependency::Keyframe),
        0 | 2 | 4 | 6 | 8 | 10 | 12 | 14 => slice(unit, Dependency::Disposable),
        1 | 3 | 5 | 7 | 9 | 11 | 13 | 15 => slice(unit, Dependency::Reference),
        32 => UnitKind::Vps,
        33 => UnitKind::Sps,
        34 => UnitKind::Pps,
        35 => UnitKind::Delimiter,
        38 => UnitKind::Filler,
        39 => UnitKind::Sei,
        48..=63 => UnitKind::Unspecified,
        _ => UnitKind::Other,
    }
}

/// The first bit of a slice segment's header says whether it is the first of its picture (7.3.6.1).
fn slice(unit: &[u8], dependency: Dependency) -> UnitKind {
    let is_first = unit.get(HEADER_BYTES).is_some_and(|byte| byte & 0x80 != 0);
    UnitKind::Slice { is_first, dependency }
}

/// Returns whether pictures of a higher temporal sub-layer may need the picture to which `slice` belongs.
pub(super) fn is_below_highest_sub_layer(slice: &[u8], sps_unit: &[u8]) -> bool {
    let sub_layer = slice.get(1).map_or(0, |byte| (byte & 7).saturating_sub(1));
    // Three bits after the number of the video parameter set: no emulation prevention can come before them.
    let highest = sps_unit.get(HEADER_BYTES).map_or(0, |byte| byte >> 1 & 7);
    sub_layer < highest
}
