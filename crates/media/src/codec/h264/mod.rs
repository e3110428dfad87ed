//! H.264 (ITU-T H.264, also called AVC): kinds of NAL units, the sequence parameter set, and the decoder configuration
//! record of MP4 (ISO/IEC 14496-15, `avcC`).

mod record;
mod restriction;
mod sps;

pub(super) use record::record;
pub(super) use sps::H264Sps;

use super::nal::UnitKind;
use super::rbsp::payload;
use crate::Dependency;

/// The number of bytes of a NAL unit's header.
const HEADER_BYTES: usize = 1;

/// Returns the kind of `unit` (table 7-1). An empty unit is [`UnitKind::Other`].
pub(super) fn unit_kind(unit: &[u8]) -> UnitKind {
    let Some(&header) = unit.first() else { return UnitKind::Other };
    let is_referenced = header & 0x60 != 0;
    match header & 0x1F {
        5 => slice(unit, Dependency::Keyframe),
        1 | 2 => slice(unit, if is_referenced { Dependency::Reference } else { Dependency::Disposable }),
        6 => UnitKind::Sei,
        7 => UnitKind::Sps,
        8 => UnitKind::Pps,
        9 => UnitKind::Delimiter,
        12 => UnitKind::Filler,
        0 | 24..=31 => UnitKind::Unspecified,
        _ => UnitKind::Other,
    }
}

/// A slice is the first one if its first macroblock is number 0, which is coded as a single bit 1 (7.3.3).
fn slice(unit: &[u8], dependency: Dependency) -> UnitKind {
    let is_first = unit.get(HEADER_BYTES).is_some_and(|byte| byte & 0x80 != 0);
    UnitKind::Slice { is_first, dependency }
}

/// Returns whether `slice`, the first one of its picture, may need a later picture: it is a B slice. Its type follows
/// the bit of its first macroblock: 1, coded as 010, or 6, coded as 00111 (table 7-6).
pub(super) fn is_bidirectional(slice: &[u8]) -> bool {
    slice.get(HEADER_BYTES).is_some_and(|byte| byte & 0xF0 == 0xA0 || byte & 0xFC == 0x9C)
}
