//! Turns a sample of MP4 into the data of a frame.

use bytes::{Bytes, BytesMut};

use super::problem::Problem;
use crate::Codec;
use crate::codec::nal::{UnitKind, push_unit};
use crate::codec::unit_kind;

/// The number of bytes of the length before each NAL unit in a frame.
const LENGTH_BYTES: usize = 4;

/// What a sample contains.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SampleContent {
    /// The NAL units of a frame, each behind its length in four bytes.
    pub(super) data: Bytes,
    /// Whether there is a slice of a picture.
    pub(super) has_picture: bool,
    /// The parameter sets in the sample.
    pub(super) parameter_sets: Vec<Bytes>,
}

/// Reads `sample`, in which the length before each NAL unit has `length_bytes`. The bytes are copied only if not all of
/// them belong in a frame.
pub(super) fn read(codec: Codec, length_bytes: usize, sample: Bytes) -> Result<SampleContent, Problem> {
    let mut found = SampleContent { data: Bytes::new(), has_picture: false, parameter_sets: Vec::new() };
    let mut is_as_in_frame = length_bytes == LENGTH_BYTES;
    let mut offset = 0;
    while let Some(unit) = next_unit(&sample, length_bytes, &mut offset)? {
        let kind = unit_kind(codec, unit);
        found.has_picture |= matches!(kind, UnitKind::Slice { .. });
        if kind.is_parameter_set() {
            found.parameter_sets.push(Bytes::copy_from_slice(unit));
        }
        is_as_in_frame &= kind.is_in_frame() && !unit.is_empty();
    }
    found.data = if is_as_in_frame { sample } else { rewritten(codec, length_bytes, &sample)? };
    Ok(found)
}

/// Copies the units that belong in a frame.
fn rewritten(codec: Codec, length_bytes: usize, sample: &[u8]) -> Result<Bytes, Problem> {
    let mut data = BytesMut::with_capacity(sample.len());
    let mut offset = 0;
    while let Some(unit) = next_unit(sample, length_bytes, &mut offset)? {
        if unit_kind(codec, unit).is_in_frame() && !unit.is_empty() {
            push_unit(&mut data, unit);
        }
    }
    Ok(data.freeze())
}

/// Returns the NAL unit at `offset` of `sample`, and moves `offset` behind it; `None` at the end.
fn next_unit<'a>(
    sample: &'a [u8],
    length_bytes: usize,
    offset: &mut usize,
) -> Result<Option<&'a [u8]>, Problem> {
    let rest = &sample[*offset..];
    if rest.is_empty() {
        return Ok(None);
    }
    let (length, after) = rest.split_at_checked(length_bytes).ok_or(Problem::NalLength)?;
    let length = length.iter().fold(0, |length, byte| length << 8 | usize::from(*byte));
    let unit = after.get(..length).ok_or(Problem::NalLength)?;
    *offset += length_bytes + length;
    Ok(Some(unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_any_size_become_four_bytes() {
        let expected = &b"\0\0\0\x02\x65\x88\0\0\0\x01\x06"[..];
        for length_bytes in 1..=4 {
            let length = |len: u8| [&vec![0; length_bytes - 1][..], &[len]].concat();
            let sample = [&length(2)[..], b"\x65\x88", &length(1), b"\x06"].concat();
            let found = read(Codec::H264, length_bytes, sample.clone().into()).unwrap();
            assert_eq!((&found.data[..], found.has_picture), (expected, true), "{length_bytes}");
            for cut in [1, length_bytes + 2] {
                let cut = Bytes::copy_from_slice(&sample[..sample.len() - cut]);
                assert_eq!(read(Codec::H264, length_bytes, cut), Err(Problem::NalLength));
            }
        }
    }

    #[test]
    fn a_sample_that_is_as_in_a_frame_is_not_copied() {
        let sample = Bytes::from_static(b"\0\0\0\x02\x65\x88");
        let found = read(Codec::H264, 4, sample.clone()).unwrap();
        assert_eq!(found.data.as_ptr(), sample.as_ptr());
    }

    #[test]
    fn sets_delimiters_filler_and_empty_units_are_taken_out() {
        let sample = b"\x02\x09\xF0\x02\x67\x42\x01\x68\x00\x02\x65\x88\x02\x0C\xFF";
        let found = read(Codec::H264, 1, Bytes::from_static(sample)).unwrap();
        assert_eq!(found.data, &b"\0\0\0\x02\x65\x88"[..]);
        assert_eq!(found.parameter_sets, [&b"\x67\x42"[..], b"\x68"]);
        let only_sets = read(Codec::H264, 1, Bytes::from_static(b"\x02\x67\x42")).unwrap();
        assert!(only_sets.data.is_empty() && !only_sets.has_picture);
    }
}
