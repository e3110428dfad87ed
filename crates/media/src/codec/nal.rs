//! NAL units of H.264 and H.265: the pieces of an access unit.
//!
//! In a frame, each NAL unit stands behind its length as 4 bytes in big endian. In a byte stream (Annex B of both
//! standards), each stands behind a start code. What is in a unit does not belong here, except for its kind.

use bytes::{BufMut, Bytes, BytesMut};

use crate::{Dependency, Error};

/// The start code that every decoder takes, also before parameter sets.
const START_CODE: [u8; 4] = [0, 0, 0, 1];

/// The number of bytes of a unit's length.
const LENGTH_BYTES: usize = 4;

/// What a NAL unit is, as far as an access unit needs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum UnitKind {
    /// A slice of a coded picture.
    Slice {
        /// Whether this is the first slice of its picture.
        is_first: bool,
        /// How the picture depends on others, as far as this slice tells.
        dependency: Dependency,
    },
    /// A video parameter set of H.265.
    Vps,
    /// A sequence parameter set.
    Sps,
    /// A picture parameter set.
    Pps,
    /// An access unit delimiter.
    Delimiter,
    /// Supplemental information (SEI) before the picture to which it belongs.
    Sei,
    /// Filler, which no decoder needs.
    Filler,
    /// A unit of a type that the standard leaves to others. Decoders ignore it (H.264 §7.4.1, H.265 §7.4.2.2).
    Unspecified,
    /// Anything else. It belongs to the access unit in which it stands.
    Other,
}

impl UnitKind {
    /// Returns whether the unit is a parameter set.
    pub const fn is_parameter_set(self) -> bool {
        matches!(self, Self::Vps | Self::Sps | Self::Pps)
    }

    /// Returns whether the unit starts an access unit if a slice came before it.
    pub const fn starts_access_unit(self) -> bool {
        match self {
            Self::Slice { is_first, .. } => is_first,
            Self::Vps | Self::Sps | Self::Pps | Self::Delimiter | Self::Sei => true,
            Self::Filler | Self::Unspecified | Self::Other => false,
        }
    }

    /// Returns whether a frame keeps the unit. Parameter sets are kept in the [`Format`](crate::Format).
    pub const fn is_in_frame(self) -> bool {
        matches!(self, Self::Slice { .. } | Self::Sei | Self::Other)
    }
}

/// The NAL units of an access unit: see [`units`].
#[derive(Debug, Clone)]
pub struct Units<'a> {
    access_unit: &'a [u8],
    offset: usize,
}

/// Returns the NAL units of `access_unit`, in which each stands behind its length as 4 bytes. The first length that
/// points beyond the end gives [`Error::NalLength`], and ends the sequence.
pub fn units(access_unit: &[u8]) -> Units<'_> {
    Units { access_unit, offset: 0 }
}

impl<'a> Iterator for Units<'a> {
    type Item = Result<&'a [u8], Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = &self.access_unit[self.offset..];
        if rest.is_empty() {
            return None;
        }
        let offset = self.offset;
        let unit = rest.split_first_chunk::<LENGTH_BYTES>().and_then(|(length, after)| {
            let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
            after.get(..length)
        });
        let Some(unit) = unit else {
            self.offset = self.access_unit.len();
            return Some(Err(Error::NalLength { offset, len_bytes: self.access_unit.len() }));
        };
        self.offset += LENGTH_BYTES + unit.len();
        Some(Ok(unit))
    }
}

/// Appends `unit` behind its length.
///
/// # Panics
/// If the unit is 4 GiB or larger.
pub fn push_unit(access_unit: &mut impl BufMut, unit: &[u8]) {
    access_unit.put_u32(u32::try_from(unit.len()).expect("a NAL unit is smaller than 4 GiB"));
    access_unit.put_slice(unit);
}

/// Returns `access_unit` as a byte stream (Annex B): a start code of 4 bytes in place of each length. The
/// `parameter_sets` come first; give those of the format before a keyframe, and none otherwise. Costs one copy.
///
/// # Errors
/// [`Error::NalLength`] for a length that points beyond the end.
pub fn to_annex_b(access_unit: &[u8], parameter_sets: &[Bytes]) -> Result<Bytes, Error> {
    let sets_bytes: usize = parameter_sets.iter().map(|set| START_CODE.len() + set.len()).sum();
    let mut stream = BytesMut::with_capacity(sets_bytes + access_unit.len());
    for set in parameter_sets {
        stream.put_slice(&START_CODE);
        stream.put_slice(set);
    }
    let start = stream.len();
    stream.put_slice(access_unit);
    let mut offset = start;
    for unit in units(access_unit) {
        let unit = unit?;
        stream[offset..offset + LENGTH_BYTES].copy_from_slice(&START_CODE);
        offset += LENGTH_BYTES + unit.len();
    }
    Ok(stream.freeze())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO_UNITS: &[u8] = b"\0\0\0\x02\x65\x88\0\0\0\x03\x06\x05\x01";

    #[test]
    fn units_come_out_as_they_went_in() {
        let mut access_unit = BytesMut::new();
        push_unit(&mut access_unit, &[0x65, 0x88]);
        push_unit(&mut access_unit, &[0x06, 0x05, 0x01]);
        assert_eq!(access_unit, TWO_UNITS);
        let found: Vec<_> = units(TWO_UNITS).collect();
        assert_eq!(found, [Ok(&[0x65, 0x88][..]), Ok(&[0x06, 0x05, 0x01][..])]);
        assert_eq!(units(b"").count(), 0);
        assert_eq!(units(b"\0\0\0\0").collect::<Vec<_>>(), [Ok(&[][..])]);
    }

    #[test]
    fn a_length_beyond_the_end_is_an_error_and_the_end() {
        let too_long = |offset, len_bytes| Err(Error::NalLength { offset, len_bytes });
        for len_bytes in [7, 9, 12] {
            let found: Vec<_> = units(&TWO_UNITS[..len_bytes]).collect();
            assert_eq!(found, [Ok(&[0x65, 0x88][..]), too_long(6, len_bytes)]);
        }
        assert_eq!(units(&[0xFF; 9]).collect::<Vec<_>>(), [too_long(0, 9)]);
    }

    #[test]
    fn a_byte_stream_has_start_codes_and_the_sets_before_a_keyframe() {
        let plain = b"\0\0\0\x01\x65\x88\0\0\0\x01\x06\x05\x01";
        assert_eq!(to_annex_b(TWO_UNITS, &[]).unwrap(), &plain[..]);
        let sets = [Bytes::from_static(&[0x67, 1]), Bytes::from_static(&[0x68])];
        let with_sets = [b"\0\0\0\x01\x67\x01\0\0\0\x01\x68", &plain[..]].concat();
        assert_eq!(to_annex_b(TWO_UNITS, &sets).unwrap(), with_sets);
        let cut = Error::NalLength { offset: 6, len_bytes: 11 };
        assert_eq!(to_annex_b(&TWO_UNITS[..11], &[]), Err(cut));
    }
}
