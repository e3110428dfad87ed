//! Says in a sequence parameter set that frames are never reordered, where that is so and the set does not say it.
//!
//! Without the word, hardware decoders hold back as many frames as they have room for. The new fields are those of
//! `bitstream_restriction` in the VUI (ITU-T H.264, E.1.1); all others stay as they are.

/// Returns the NAL unit of a set with the restriction added. `header` is the unit's header, and `payload` what follows
/// without emulation prevention. `flag_bits` is where the flag is that says whether there is a restriction, in bits
/// from the payload's start; without a VUI, that of the flag that says so.
pub(super) fn with_restriction(
    header: u8,
    payload: &[u8],
    flag_bits: usize,
    has_vui: bool,
    max_num_ref_frames: u32,
) -> Vec<u8> {
    let mut writer = BitWriter::default();
    for position in 0..flag_bits {
        writer.put(payload[position / 8] & (0x80 >> (position % 8)) != 0);
    }
    if !has_vui {
        // The VUI is present. None of its eight other optional parts is.
        writer.put(true);
        (0..8).for_each(|_| writer.put(false));
    }
    // The restriction is present. Its fields up to the order of frames have the values that hold without it.
    writer.put(true);
    writer.put(true);
    for value in [2, 1, 15, 15] {
        writer.put_ue(value);
    }
    // `max_num_reorder_frames`, and `max_dec_frame_buffering`, which may not be less than the references.
    writer.put_ue(0);
    writer.put_ue(max_num_ref_frames);
    with_emulation_prevention(header, &writer.finish())
}

/// Returns the NAL unit of a header and a payload (7.4.1).
fn with_emulation_prevention(header: u8, payload: &[u8]) -> Vec<u8> {
    let mut unit = vec![header];
    let mut zeros = 0;
    for &byte in payload {
        if zeros == 2 && byte <= 3 {
            unit.push(3);
            zeros = 0;
        }
        zeros = if byte == 0 { zeros + 1 } else { 0 };
        unit.push(byte);
    }
    unit
}

/// Writes the bits of a payload, the most significant bit of each byte first.
#[derive(Default)]
struct BitWriter {
    bytes: Vec<u8>,
    len_bits: usize,
}

impl BitWriter {
    fn put(&mut self, bit: bool) {
        if self.len_bits.is_multiple_of(8) {
            self.bytes.push(0);
        }
        if let Some(last) = self.bytes.last_mut() {
            *last |= u8::from(bit) << (7 - self.len_bits % 8);
        }
        self.len_bits += 1;
    }

    /// Appends an Exp-Golomb code (9.1): as many zeros as the number plus one has bits below its highest, and then it.
    fn put_ue(&mut self, value: u32) {
        let code = u64::from(value) + 1;
        let below = code.ilog2();
        (0..below).for_each(|_| self.put(false));
        (0..=below).rev().for_each(|bit| self.put(code >> bit & 1 == 1));
    }

    /// Ends the payload with a bit 1 and zeros up to a whole byte.
    fn finish(mut self) -> Vec<u8> {
        self.put(true);
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::super::{H264Sps, HEADER_BYTES, payload};
    use super::*;
    use crate::codec::samples::{BASELINE, MAIN_WITH_B_FRAMES, set_of};

    /// A set of the Baseline profile without VUI: the one of the sample, up to where its VUI begins.
    fn without_vui() -> Vec<u8> {
        let unit = set_of(BASELINE, 7);
        let payload = payload(&unit, HEADER_BYTES);
        let mut writer = BitWriter::default();
        // The size of 6x4 macroblocks is the last thing before the VUI flag; `parse` below would fail otherwise.
        for position in 0..vui_flag_bits(&payload) {
            writer.put(payload[position / 8] & (0x80 >> (position % 8)) != 0);
        }
        writer.put(false);
        with_emulation_prevention(unit[0], &writer.finish())
    }

    /// The position of the VUI flag in the sample of 96x64 pixels in the Baseline profile, in bits: found by reading.
    fn vui_flag_bits(payload: &[u8]) -> usize {
        use h264_reader::rbsp::{BitRead, BitReader};
        let mut bits = BitReader::new(payload);
        let mut position = 24;
        bits.skip(24, "profile and level").unwrap();
        // Number, frame number, order type and its size, references.
        for _ in 0..3 {
            position += 2 * (bits.read_ue("before").unwrap() + 1).ilog2() as usize + 1;
        }
        position += 2 * (bits.read_ue("references").unwrap() + 1).ilog2() as usize + 1;
        bits.skip(1, "gaps").unwrap();
        position += 1;
        for _ in 0..2 {
            position += 2 * (bits.read_ue("size").unwrap() + 1).ilog2() as usize + 1;
        }
        // Frames only, direct inference, and no cropping.
        position + 3
    }

    #[test]
    fn a_set_of_the_baseline_profile_without_a_word_on_the_order_gets_one() {
        let bare = without_vui();
        let sps = H264Sps::parse(&bare).unwrap();
        assert_eq!((sps.width_px, sps.height_px, sps.reorder_depth), (96, 64, 0));
        let rewritten = sps.without_reordering.clone().unwrap();
        assert!(rewritten.len() > bare.len());
        let read = H264Sps::parse(&rewritten).unwrap();
        assert_eq!(read.without_reordering, None, "the restriction is there now");
        assert_eq!(H264Sps { without_reordering: None, ..sps }, read);
    }

    #[test]
    fn a_set_that_has_the_word_or_reorders_stays_as_it_is() {
        for sample in [BASELINE, MAIN_WITH_B_FRAMES] {
            assert_eq!(H264Sps::parse(&set_of(sample, 7)).unwrap().without_reordering, None);
        }
    }

    #[test]
    fn zeros_in_a_payload_never_look_like_a_start_code() {
        let unit = with_emulation_prevention(0x67, &[0, 0, 1, 0, 0, 0, 0, 0, 3, 9]);
        assert_eq!(unit, [0x67, 0, 0, 3, 1, 0, 0, 3, 0, 0, 3, 0, 3, 9]);
        assert_eq!(payload(&unit, HEADER_BYTES), [0, 0, 1, 0, 0, 0, 0, 0, 3, 9]);
    }
}
