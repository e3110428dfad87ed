//! Leading pictures of H.265: those that come after a keyframe and are shown before it.

use super::unit_kind;
use crate::Codec;
use crate::codec::nal::UnitKind;

/// The relation of a picture to leading pictures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Leading {
    /// None.
    #[default]
    Unrelated,
    /// A keyframe (CRA) whose leading pictures may refer to pictures before it.
    MayFollow,
    /// A keyframe (BLA) whose leading pictures refer to pictures that are not there.
    Undecodable,
    /// A leading picture (RASL) that refers to pictures before the keyframe.
    IsOne,
}

impl Leading {
    /// Returns the relation of the picture to which `slice` belongs, by the type of this NAL unit (table 7-1).
    pub(crate) fn of(codec: Codec, slice: &[u8]) -> Self {
        let is_slice = matches!(unit_kind(codec, slice), UnitKind::Slice { .. });
        let (true, true, [first, ..]) = (codec == Codec::H265, is_slice, slice) else {
            return Self::Unrelated;
        };
        match first >> 1 & 0x3F {
            8 | 9 => Self::IsOne,
            16..=18 => Self::Undecodable,
            21 => Self::MayFollow,
            _ => Self::Unrelated,
        }
    }
}

/// Finds the leading pictures that no decoder can decode, because pictures before their keyframe are missing.
#[derive(Debug, Clone, Default)]
pub(crate) struct LeadingFilter {
    are_undecodable: bool,
}

impl LeadingFilter {
    /// Takes the next picture. `is_start` says whether pictures before it are missing. Returns false if the picture is a
    /// leading one that needs them.
    pub(crate) fn admits(&mut self, leading: Leading, is_start: bool) -> bool {
        match leading {
            Leading::Unrelated => true,
            Leading::MayFollow | Leading::Undecodable => {
                self.are_undecodable = is_start || leading == Leading::Undecodable;
                true
            }
            Leading::IsOne => !self.are_undecodable,
        }
    }
}
