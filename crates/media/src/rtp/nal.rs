//! The role of a NAL unit in an access unit: what its first bytes say (H.264, section 7.4.1; H.265, section 7.4.2).

use crate::codec::nal::UnitKind;
use crate::codec::{Leading, unit_kind};
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
    /// Whether it is a leading picture, or such pictures may follow.
    pub(super) leading: Leading,
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

    /// Returns the codec of which this is the syntax.
    pub(super) const fn codec(self) -> Codec {
        match self {
            Self::H264 => Codec::H264,
            Self::H265 => Codec::H265,
        }
    }

    /// Returns what the NAL unit is for that begins with `nal`.
    pub(super) fn role(self, nal: &[u8]) -> Role {
        match unit_kind(self.codec(), nal) {
            UnitKind::Slice { is_first, dependency } => {
                let (sub_layer, leading) = (self.sub_layer(nal), Leading::of(self.codec(), nal));
                Role::Slice(Slice { is_first, dependency, sub_layer, leading })
            }
            UnitKind::Vps => Role::ParameterSet(SetKind::Video),
            UnitKind::Sps => Role::ParameterSet(SetKind::Sequence),
            UnitKind::Pps => Role::ParameterSet(SetKind::Picture),
            UnitKind::Delimiter | UnitKind::Filler | UnitKind::Unspecified => Role::Unused,
            UnitKind::Sei | UnitKind::Other => Role::Other,
        }
    }

    /// Returns the temporal sub-layer of the slice `nal`.
    fn sub_layer(self, nal: &[u8]) -> u8 {
        let (Self::H265, [_, second, ..]) = (self, nal) else { return 0 };
        (second & 7).saturating_sub(1)
    }
}
