//! The decoder configuration record `avcC` (ISO/IEC 14496-15, 5.3.3.1).

use bytes::{BufMut, Bytes};

use super::H264Sps;

/// The most sets of each kind for which the record has room.
const MAX_SPS: usize = 31;
const MAX_PPS: usize = 255;

/// The longest set for which the record has room.
const MAX_SET_BYTES: usize = u16::MAX as usize;

/// Returns the record for sets of which `sps` is the first sequence parameter set. Sets beyond the record's limits are
/// left out. Where the first set leaves it open that frames are never reordered, the record's says it.
pub(in super::super) fn record(sps: &H264Sps, sps_units: &[Bytes], pps_units: &[Bytes]) -> Bytes {
    let sps_units = &sps_units[..sps_units.len().min(MAX_SPS)];
    let pps_units = &pps_units[..pps_units.len().min(MAX_PPS)];
    // Version 1, and lengths of NAL units of 4 bytes; reserved bits are ones.
    let mut record = vec![1, sps.profile_idc, sps.constraint_flags, sps.level_idc, 0xFF];
    record.push(0xE0 | sps_units.len() as u8);
    for (index, unit) in sps_units.iter().enumerate() {
        let rewritten =
            sps.without_reordering.as_ref().filter(|set| index == 0 && set.len() <= MAX_SET_BYTES);
        put_set(&mut record, rewritten.unwrap_or(unit));
    }
    record.push(pps_units.len() as u8);
    pps_units.iter().for_each(|unit| put_set(&mut record, unit));
    if !matches!(sps.profile_idc, 66 | 77 | 88) {
        record.put_slice(&[
            0xFC | sps.chroma_format_idc,
            0xF8 | (sps.luma_bits - 8),
            0xF8 | (sps.chroma_bits - 8),
            0,
        ]);
    }
    record.into()
}

/// Appends `unit` behind its length as 2 bytes. Callers refuse longer sets.
fn put_set(record: &mut Vec<u8>, unit: &[u8]) {
    record.put_u16(unit.len() as u16);
    record.put_slice(unit);
}
