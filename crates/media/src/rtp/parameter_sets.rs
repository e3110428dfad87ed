//! The parameter sets of a stream: those from the SDP, and those that came in band since.

use bytes::Bytes;

use super::nal::{Role, SetKind, Syntax};

/// The number of parameter sets that are kept. Cameras have two to four.
const MAX_SETS: usize = 32;
/// The size of a parameter set that is kept, in bytes. Cameras' have 10 to 200.
pub(super) const MAX_SET_BYTES: usize = 4096;

/// The newest parameter set of each kind and number, in the order in which a decoder needs them.
#[derive(Debug)]
pub(super) struct ReceivedSets {
    syntax: Syntax,
    sets: Vec<((SetKind, u32), Bytes)>,
}

impl ReceivedSets {
    pub(super) fn new(syntax: Syntax, sets: &[Bytes]) -> Self {
        let mut new = Self { syntax, sets: Vec::new() };
        new.merge(sets);
        new
    }

    /// Puts the parameter sets of one access unit in the place of older ones of the same kind and number. A new set of
    /// the sequence ends those of pictures, if the access unit brings such sets too.
    pub(super) fn merge(&mut self, sets: &[Bytes]) {
        let keyed: Vec<_> =
            sets.iter().filter_map(|set| Some((set_key(self.syntax, set)?, set.clone()))).collect();
        let is_new = |((kind, number), set): &((SetKind, u32), Bytes)| {
            *kind == SetKind::Sequence
                && !self.sets.iter().any(|held| held.0 == (*kind, *number) && held.1 == *set)
        };
        if keyed.iter().any(is_new) && keyed.iter().any(|((kind, _), _)| *kind == SetKind::Picture) {
            self.sets.retain(|((kind, _), _)| *kind != SetKind::Picture);
        }
        for (key, set) in keyed {
            match self.sets.binary_search_by_key(&key, |(held, _)| *held) {
                Ok(at) => self.sets[at].1 = set,
                Err(at) if self.sets.len() < MAX_SETS => self.sets.insert(at, (key, set)),
                Err(_) => {}
            }
        }
    }

    /// Returns whether there is a parameter set of each kind.
    pub(super) fn is_complete(&self) -> bool {
        let has = |wanted| self.sets.iter().any(|((kind, _), _)| *kind == wanted);
        let has_video = self.syntax == Syntax::H264 || has(SetKind::Video);
        has_video && has(SetKind::Sequence) && has(SetKind::Picture)
    }

    /// Returns whether pictures of a higher temporal sub-layer than `sub_layer` may come.
    pub(super) fn has_sub_layer_above(&self, sub_layer: u8) -> bool {
        let is_sequence = |((kind, _), _): &&((SetKind, u32), Bytes)| *kind == SetKind::Sequence;
        // Three bits of the third byte of the set.
        let highest = |set: &Bytes| set.get(2).map_or(0, |byte| byte >> 1 & 7);
        self.syntax == Syntax::H265
            && self.sets.iter().filter(is_sequence).any(|(_, set)| sub_layer < highest(set))
    }

    /// Returns whether these are exactly `sets`.
    pub(super) fn are(&self, sets: &[Bytes]) -> bool {
        self.sets.iter().map(|(_, set)| set).eq(sets)
    }

    pub(super) fn to_vec(&self) -> Vec<Bytes> {
        self.sets.iter().map(|(_, set)| set.clone()).collect()
    }
}

/// Returns the kind and number of a parameter set; None if it is not one or is too large.
fn set_key(syntax: Syntax, set: &[u8]) -> Option<(SetKind, u32)> {
    let Role::ParameterSet(kind) = syntax.role(set) else { return None };
    let number = match (syntax, kind) {
        (Syntax::H264, SetKind::Sequence) => exp_golomb(set.get(4..)?)?,
        (Syntax::H264, _) => exp_golomb(set.get(1..)?)?,
        (Syntax::H265, SetKind::Video) => u32::from(set.get(2)? >> 4),
        // Its number is behind the profile of each layer. Cameras have one such set.
        (Syntax::H265, SetKind::Sequence) => 0,
        (Syntax::H265, SetKind::Picture) => exp_golomb(set.get(2..)?)?,
    };
    (set.len() <= MAX_SET_BYTES).then_some((kind, number))
}

/// Reads the number of up to 16 bits with which `bytes` begin (ue(v) of H.264, section 9.1).
fn exp_golomb(bytes: &[u8]) -> Option<u32> {
    let word = (0..5).fold(0, |word, at| word << 8 | u64::from(bytes.get(at).copied().unwrap_or_default()));
    let zeros = (word << 24).leading_zeros();
    (zeros <= 16 && !bytes.is_empty()).then(|| (word >> (39 - 2 * zeros)) as u32 - 1)
}
