//! The decoder configuration record `hvcC` (ISO/IEC 14496-15, 8.3.3.1).

use bytes::{BufMut, Bytes};

use super::H265Sps;

/// The most sets of each kind for which the record has room.
const MAX_SETS: usize = u16::MAX as usize;

/// The types of the NAL units of parameter sets.
const TYPES: [u8; 3] = [32, 33, 34];

/// Returns the record for `sets`, the NAL units of each kind in the order VPS, SPS, PPS. `sps` is the first sequence
/// parameter set of them.
pub(in super::super) fn record(sps: &H265Sps, sets: [&[Bytes]; 3]) -> Bytes {
    let profile = &sps.profile;
    let mut record = vec![1, profile.profile_byte];
    record.put_u32(profile.compatibility_flags);
    record.put_slice(&profile.constraint_bytes);
    record.push(profile.level_idc);
    // No limit on the size of slices (12 bits), and no word on how to decode in parallel (2 bits); reserved bits are ones.
    record.put_slice(&[0xF0, 0, 0xFC]);
    record.put_slice(&[
        0xFC | sps.chroma_format_idc,
        0xF8 | (sps.luma_bits - 8),
        0xF8 | (sps.chroma_bits - 8),
    ]);
    // No average frame rate.
    record.put_u16(0);
    // Lengths of NAL units have 4 bytes.
    record.push(sps.sub_layers << 3 | u8::from(sps.is_temporal_id_nested) << 2 | 3);
    record.push(TYPES.len() as u8);
    for (unit_type, units) in TYPES.into_iter().zip(sets) {
        let units = &units[..units.len().min(MAX_SETS)];
        // All sets of this type are here and none in the frames.
        record.push(0x80 | unit_type);
        record.put_u16(units.len() as u16);
        for unit in units {
            record.put_u16(unit.len() as u16);
            record.put_slice(unit);
        }
    }
    record.into()
}
