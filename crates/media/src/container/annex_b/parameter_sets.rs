//! The parameter sets in a byte stream, as they come and change.

use bytes::Bytes;
use h264_reader::rbsp::{BitRead, BitReader};

use crate::codec::nal::UnitKind;

/// The most parameter sets of a stream, and the most bytes of them all. H.264 has numbers for 288.
const MAX_SETS: usize = 300;
const MAX_SETS_BYTES: usize = 256 << 10;

/// The bytes of a picture parameter set in which its number is.
const NUMBER_BYTES: usize = 4;

type Set = (UnitKind, Bytes);

/// The sets that hold now, and those that have come since the last access unit.
#[derive(Debug, Default)]
pub(super) struct ParameterSets {
    current: Vec<Set>,
    incoming: Vec<Set>,
}

impl ParameterSets {
    /// Adds a set, which holds from the next access unit on. Ignores it if it would exceed the limits.
    pub(super) fn add(&mut self, kind: UnitKind, unit: &[u8]) {
        let is_known = self.incoming.iter().any(|(_, known)| known == unit);
        let held_bytes: usize = self.incoming.iter().map(|(_, known)| known.len()).sum();
        if !is_known && self.incoming.len() < MAX_SETS && held_bytes + unit.len() <= MAX_SETS_BYTES {
            self.incoming.push((kind, Bytes::copy_from_slice(unit)));
        }
    }

    /// Applies the sets that have come. Returns whether something changed.
    ///
    /// A sequence parameter set begins a new list, except for kinds of sets that did not come with it. Otherwise, a
    /// picture parameter set replaces the one with its number, and a video parameter set replaces all others.
    pub(super) fn apply(&mut self) -> bool {
        let incoming = std::mem::take(&mut self.incoming);
        if incoming.iter().all(|set| self.current.contains(set)) && !self.drops_some(&incoming) {
            return false;
        }
        let has_sps = incoming.iter().any(|(kind, _)| *kind == UnitKind::Sps);
        let kept = std::mem::take(&mut self.current).into_iter().filter(|(kind, unit)| {
            let mut of_kind = incoming.iter().filter(|(other, _)| other == kind);
            if has_sps || *kind != UnitKind::Pps {
                of_kind.next().is_none()
            } else {
                of_kind.all(|(_, other)| number(other) != number(unit))
            }
        });
        let mut sets: Vec<_> = kept.chain(incoming.iter().cloned()).collect();
        sets.truncate(MAX_SETS);
        self.current = sets;
        true
    }

    /// Returns whether a new list, all of whose sets are known, lacks a known set of one of its kinds.
    fn drops_some(&self, incoming: &[Set]) -> bool {
        let has = |kind: UnitKind| incoming.iter().any(|(other, _)| *other == kind);
        has(UnitKind::Sps) && self.current.iter().any(|set| has(set.0) && !incoming.contains(set))
    }

    /// Returns the NAL units of the sets that hold now.
    pub(super) fn units(&self) -> Vec<Bytes> {
        self.current.iter().map(|(_, unit)| unit.clone()).collect()
    }
}

/// Returns the number of a picture parameter set: the first field after the header, which has one byte in H.264 and two
/// in H.265.
fn number(unit: &[u8]) -> Option<u32> {
    let header_bytes = if unit.first()? & 0x1F == 8 { 1 } else { 2 };
    let start = unit.get(header_bytes..)?;
    BitReader::new(&start[..start.len().min(NUMBER_BYTES)]).read_ue("pic_parameter_set_id").ok()
}
