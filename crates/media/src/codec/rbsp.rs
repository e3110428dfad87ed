//! The bits of a parameter set (ITU-T H.264 and H.265, 7.2 and 7.4.1): the payload of a NAL unit, without the bytes
//! that prevent the emulation of start codes.
//!
//! The reader remembers where it is, so that a field can be replaced and the rest kept. It accepts bytes after the last
//! field: real cameras pad their parameter sets.

use h264_reader::rbsp::{BitRead, BitReader, BitReaderError, Numeric, Primitive};

/// Returns the payload of `unit`, whose header has `header_bytes`, without emulation prevention bytes.
pub(super) fn payload(unit: &[u8], header_bytes: usize) -> Vec<u8> {
    let coded = unit.get(header_bytes..).unwrap_or_default();
    let mut payload = Vec::with_capacity(coded.len());
    let mut zeros = 0;
    for &byte in coded {
        if zeros >= 2 && byte == 3 {
            zeros = 0;
            continue;
        }
        zeros = if byte == 0 { zeros + 1 } else { 0 };
        payload.push(byte);
    }
    payload
}

/// Returns the name of the syntax element that could not be read.
pub(super) fn field_of(error: &BitReaderError) -> &'static str {
    match error {
        BitReaderError::ReaderErrorFor(field, _) | BitReaderError::ExpGolombTooLarge(field) => field,
        _ => "rbsp_trailing_bits",
    }
}

/// Reads the syntax elements of a payload.
pub(super) struct PayloadReader<'a> {
    bits: BitReader<&'a [u8]>,
    position_bits: usize,
    last_optional_part_bits: usize,
}

impl<'a> PayloadReader<'a> {
    pub(super) fn new(payload: &'a [u8]) -> Self {
        Self { bits: BitReader::new(payload), position_bits: 0, last_optional_part_bits: 0 }
    }

    /// Returns where the flag is that says whether the set has a `bitstream_restriction`, in bits from the payload's
    /// start. If the set has no VUI at all, that is the flag that says so.
    pub(super) fn restriction_flag_bits(&self) -> usize {
        self.last_optional_part_bits
    }
}

impl BitRead for &mut PayloadReader<'_> {
    fn read_ue(&mut self, name: &'static str) -> Result<u32, BitReaderError> {
        let value = self.bits.read_ue(name)?;
        self.position_bits += 2 * (u64::from(value) + 1).ilog2() as usize + 1;
        Ok(value)
    }

    fn read_se(&mut self, name: &'static str) -> Result<i32, BitReaderError> {
        let code = self.read_ue(name)?;
        let magnitude = (i64::from(code) + 1) / 2;
        let value = if code % 2 == 1 { magnitude } else { -magnitude };
        i32::try_from(value).map_err(|_| BitReaderError::ExpGolombTooLarge(name))
    }

    fn read_bool(&mut self, name: &'static str) -> Result<bool, BitReaderError> {
        if matches!(name, "vui_parameters_present_flag" | "bitstream_restriction_flag") {
            self.last_optional_part_bits = self.position_bits;
        }
        self.position_bits += 1;
        self.bits.read_bool(name)
    }

    fn read<U: Numeric>(&mut self, bit_count: u32, name: &'static str) -> Result<U, BitReaderError> {
        self.position_bits += bit_count as usize;
        self.bits.read(bit_count, name)
    }

    fn read_to<V: Primitive>(&mut self, name: &'static str) -> Result<V, BitReaderError> {
        self.position_bits += 8 * size_of::<V>();
        self.bits.read_to(name)
    }

    fn skip(&mut self, bit_count: u32, name: &'static str) -> Result<(), BitReaderError> {
        self.position_bits += bit_count as usize;
        self.bits.skip(bit_count, name)
    }

    fn has_more_rbsp_data(&mut self, name: &'static str) -> Result<bool, BitReaderError> {
        self.bits.has_more_rbsp_data(name)
    }

    fn finish_rbsp(self) -> Result<(), BitReaderError> {
        Ok(())
    }

    fn finish_sei_payload(self) -> Result<(), BitReaderError> {
        Ok(())
    }
}
