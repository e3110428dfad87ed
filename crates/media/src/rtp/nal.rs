//! The role of a NAL unit in an access unit: what its first bytes say (H.264, section 7.4.1; H.265, section 7.4.2).

use crate::codec::nal::UnitKind;
use crate::codec::unit_kind;
use crate::{Codec, Dependency};

/// How the video is coded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Syntax {
    /// H.264, in RTP as RFC 6184 has it.
    H264,
    /// H.265, in RTP as RFC 7798 has it.
    H265,
}

/// The kind of a parameter set, in the order in which a decoder needs them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum SetKind {
    /// Of the video, in H.265 alone.
    Video,
    /// Of a sequence of pictures.
    Sequence,
    /// Of single pictures.
    Picture,
}

/// What a NAL unit is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// A part of the coded picture.
    Slice(Slice),
    /// A parameter set.
    ParameterSet(SetKind),
    /// An access unit delimiter, filler data, or a unit of a type without a meaning: nobody needs it.
    Unused,
    /// Anything else, such as SEI.
    Other,
}

/// What the first bytes of a slice say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Slice {
    /// Whether the picture begins with it.
    pub(super) is_first: bool,
    pub(super) dependency: Dependency,
    /// The temporal sub-layer; 0 in H.264.
    pub(super) sub_layer: u8,
    /// Whether pictures follow that refer to pictures before this keyframe.
    pub(super) leading: Leading,
}

/// In H.265, the relation of a picture to *leading* pictures: those that come after a keyframe and are shown before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Leading {
    /// None.
    Unrelated,
    /// A keyframe (CRA) whose leading pictures may refer to pictures before it.
    MayFollow,
    /// A keyframe (BLA) whose leading pictures refer to pictures that are not there.
    Undecodable,
    /// A leading picture (RASL) that refers to pictures before the keyframe.
    IsOne,
}

impl SetKind {
    /// What the standards call the set.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Video => "VPS",
            Self::Sequence => "SPS",
            Self::Picture => "PPS",
        }
    }
}

impl Syntax {
    /// The length of a NAL unit's header.
    pub(super) const fn header_bytes(self) -> usize {
        match self {
            Self::H264 => 1,
            Self::H265 => 2,
        }
    }

    /// Returns what the NAL unit is for that begins with `nal`.
    pub(super) fn role(self, nal: &[u8]) -> Role {
        let codec = match self {
            Self::H264 => Codec::H264,
            Self::H265 => Codec::H265,
        };
        match unit_kind(codec, nal) {
            UnitKind::Slice { is_first, dependency } => {
                let (sub_layer, leading) = self.layer_and_leading(nal);
                Role::Slice(Slice { is_first, dependency, sub_layer, leading })
            }
            UnitKind::Vps => Role::ParameterSet(SetKind::Video),
            UnitKind::Sps => Role::ParameterSet(SetKind::Sequence),
            UnitKind::Pps => Role::ParameterSet(SetKind::Picture),
            UnitKind::Delimiter | UnitKind::Filler | UnitKind::Unspecified => Role::Unused,
            UnitKind::Sei | UnitKind::Other => Role::Other,
        }
    }

    /// Returns the temporal sub-layer of the slice `nal`, and the relation of its picture to leading pictures.
    fn layer_and_leading(self, nal: &[u8]) -> (u8, Leading) {
        let (Self::H265, [first, second, ..]) = (self, nal) else { return (0, Leading::Unrelated) };
        let leading = match first >> 1 & 0x3F {
            8 | 9 => Leading::IsOne,
            16..=18 => Leading::Undecodable,
            21 => Leading::MayFollow,
            _ => Leading::Unrelated,
        };
        ((second & 7).saturating_sub(1), leading)
    }
}
