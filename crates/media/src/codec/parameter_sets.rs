//! The parameter sets of a stream, as they come and change.
//!
//! A decoder that starts gets them with the format of a keyframe. A picture parameter set that changes in the midst of a
//! group of pictures is for the very next picture (H.264 §7.4.1.2.1, H.265 §7.4.2.4.2), so it goes on in that frame. A
//! player could use a new format only from the next keyframe on. Sequence parameter sets cannot change before a
//! keyframe: those that come early wait for it.

use bytes::Bytes;
use h264_reader::rbsp::{BitRead, BitReader};

use super::nal::{UnitKind, push_unit};
use super::unit_kind;
use crate::{Codec, Dependency};

/// The most parameter sets of a stream, and the most bytes of them all. H.264 has numbers for 288.
const MAX_SETS: usize = 300;
const MAX_SETS_BYTES: usize = 256 << 10;

/// The bytes of a picture parameter set in which its number is.
const NUMBER_BYTES: usize = 4;

/// The sets that hold now.
#[derive(Debug, Clone, Default)]
pub(crate) struct ParameterSets {
    /// In the order VPS, SPS, PPS.
    sets: Vec<Bytes>,
    /// The picture parameter sets that have changed since the last frame.
    in_band: Vec<Bytes>,
}

impl ParameterSets {
    /// Takes the sets of one access unit. Ignores other units, and sets beyond the limits.
    ///
    /// A new sequence parameter set begins a new list, except for kinds of sets that did not come with it. Otherwise, a
    /// picture parameter set replaces the one with its number, and a video parameter set replaces all others.
    pub(crate) fn merge(&mut self, codec: Codec, incoming: &[Bytes]) {
        let kind = |unit: &Bytes| unit_kind(codec, unit);
        let incoming: Vec<_> = incoming.iter().filter(|unit| kind(unit).is_parameter_set()).collect();
        let new: Vec<_> =
            incoming.iter().filter(|unit| !self.sets.contains(unit)).copied().cloned().collect();
        if new.is_empty() {
            return;
        }
        let has_new = |wanted| new.iter().any(|unit| kind(unit) == wanted);
        let (has_new_sps, has_new_vps) = (has_new(UnitKind::Sps), has_new(UnitKind::Vps));
        self.sets.retain(|held| {
            let may_stay = !(has_new_sps || has_new_vps && kind(held) == UnitKind::Vps);
            may_stay || incoming.contains(&held) || !incoming.iter().any(|unit| kind(unit) == kind(held))
        });
        if has_new_sps || has_new_vps {
            // The picture parameter sets are for the new sequence.
            self.in_band.clear();
        } else {
            self.in_band.extend(new.iter().cloned());
        }
        for unit in new {
            if kind(&unit) == UnitKind::Pps {
                self.sets
                    .retain(|held| number(codec, held).is_none_or(|held| Some(held) != number(codec, &unit)));
            }
            let held_bytes: usize = self.sets.iter().map(Bytes::len).sum();
            let has_room = self.sets.len() < MAX_SETS && held_bytes + unit.len() <= MAX_SETS_BYTES;
            if has_room && !self.sets.contains(&unit) {
                self.sets.push(unit);
            }
        }
        self.in_band.retain(|unit| self.sets.contains(unit));
        self.sets.sort_by_key(|unit| (order(kind(unit)), number(codec, unit)));
    }

    /// Puts the sets that have changed since the last keyframe or frame before the other units of the next frame, unless
    /// that is a keyframe, whose format has them. Returns the frame's data and dependency: frames after a frame with
    /// sets need it.
    pub(crate) fn complete(&mut self, dependency: Dependency, data: Bytes) -> (Dependency, Bytes) {
        let in_band = std::mem::take(&mut self.in_band);
        if dependency == Dependency::Keyframe || in_band.is_empty() {
            return (dependency, data);
        }
        let mut joined = Vec::new();
        in_band.iter().for_each(|unit| push_unit(&mut joined, unit));
        joined.extend_from_slice(&data);
        (Dependency::Reference, joined.into())
    }

    /// Returns the sets in the order VPS, SPS, PPS.
    pub(crate) fn sets(&self) -> &[Bytes] {
        &self.sets
    }

    /// Returns whether there is a set of each kind that `codec` has.
    pub(crate) fn is_complete(&self, codec: Codec) -> bool {
        let has = |wanted| self.sets.iter().any(|unit| unit_kind(codec, unit) == wanted);
        (codec != Codec::H265 || has(UnitKind::Vps)) && has(UnitKind::Sps) && has(UnitKind::Pps)
    }
}

const fn order(kind: UnitKind) -> u8 {
    match kind {
        UnitKind::Vps => 0,
        UnitKind::Sps => 1,
        _ => 2,
    }
}

/// Returns the number of a picture parameter set: the first field after the header. `None` for other sets.
fn number(codec: Codec, unit: &[u8]) -> Option<u32> {
    if unit_kind(codec, unit) != UnitKind::Pps {
        return None;
    }
    let start = unit.get(if codec == Codec::H265 { 2 } else { 1 }..)?;
    BitReader::new(&start[..start.len().min(NUMBER_BYTES)]).read_ue("pic_parameter_set_id").ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_are_bounded_in_number_and_bytes() {
        let mut sets = ParameterSets::default();
        let numbered = |number: u32, len_bytes: usize| {
            // 17 zeros would be before a number of 18 bits: these have 9, and so numbers from 511 on.
            let mut unit = vec![0x68, 0, ((number + 512) >> 3) as u8, ((number + 512) << 5) as u8 | 1];
            unit.resize(len_bytes.max(4), 1);
            Bytes::from(unit)
        };
        let many: Vec<_> = (0..400).map(|number| numbered(number, 4)).collect();
        sets.merge(Codec::H264, &many);
        assert_eq!((sets.sets().len(), sets.in_band.len()), (MAX_SETS, MAX_SETS));
        let mut sets = ParameterSets::default();
        let large: Vec<_> = (0..10).map(|number| numbered(number, 60_000)).collect();
        sets.merge(Codec::H264, &large);
        assert_eq!((sets.sets().len(), sets.in_band.len()), (4, 4));
    }
}
