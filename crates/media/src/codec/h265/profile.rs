//! Profile, tier and level (ITU-T H.265, 7.3.3), and how MIME types write them (ISO/IEC 14496-15, annex E).

use std::fmt::Write as _;

use h264_reader::rbsp::{BitRead, BitReaderError};

/// The profile, tier and level of all sub-layers together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) struct ProfileTierLevel {
    /// Profile space (2 bits), tier (1 bit) and profile (5 bits).
    pub(super) profile_byte: u8,
    pub(super) compatibility_flags: u32,
    pub(super) constraint_bytes: [u8; 6],
    /// Thirty times the level.
    pub(super) level_idc: u8,
}

impl ProfileTierLevel {
    /// Reads the structure, which says more about each of `sub_layers_below` lower sub-layers: that is skipped.
    pub(super) fn read(bits: &mut impl BitRead, sub_layers_below: u32) -> Result<Self, BitReaderError> {
        let profile_byte = bits.read(8, "general_profile_idc")?;
        let compatibility_flags = bits.read(32, "general_profile_compatibility_flag")?;
        let mut constraint_bytes = [0; 6];
        for byte in &mut constraint_bytes {
            *byte = bits.read(8, "general_constraint_indicator_flags")?;
        }
        let level_idc = bits.read(8, "general_level_idc")?;
        let mut skipped_bits = 0;
        for _ in 0..sub_layers_below {
            let has_profile = bits.read_bool("sub_layer_profile_present_flag")?;
            let has_level = bits.read_bool("sub_layer_level_present_flag")?;
            skipped_bits += 88 * u32::from(has_profile) + 8 * u32::from(has_level);
        }
        if sub_layers_below > 0 {
            skipped_bits += 2 * (8 - sub_layers_below);
        }
        bits.skip(skipped_bits, "sub_layer_profile_idc")?;
        Ok(Self { profile_byte, compatibility_flags, constraint_bytes, level_idc })
    }

    /// Returns the codec string of MIME types, such as `hvc1.1.6.L93.B0`.
    pub(in super::super) fn codec_string(&self) -> String {
        let space = ["", "A", "B", "C"][usize::from(self.profile_byte >> 6)];
        let tier = if self.is_high_tier() { 'H' } else { 'L' };
        let (profile, level) = (self.profile_idc(), self.level_idc);
        let compatibility = self.compatibility_flags.reverse_bits();
        let mut text = format!("hvc1.{space}{profile}.{compatibility:X}.{tier}{level}");
        let used_bytes = self.constraint_bytes.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
        for byte in &self.constraint_bytes[..used_bytes] {
            let _ = write!(text, ".{byte:X}");
        }
        text
    }

    /// Returns the name of the profile (annex A).
    pub(in super::super) fn profile(&self) -> String {
        let name = match self.profile_idc() {
            1 => "Main",
            2 => "Main 10",
            3 => "Main Still Picture",
            4 => "Format Range Extensions",
            5 => "High Throughput",
            9 => "Screen Content Coding",
            other => return format!("profile {other}"),
        };
        name.to_owned()
    }

    /// Returns the level, such as "4.1", with the tier if it is the high one.
    pub(in super::super) fn level(&self) -> String {
        let tier = if self.is_high_tier() { " (High tier)" } else { "" };
        format!("{}.{}{tier}", self.level_idc / 30, self.level_idc % 30 / 3)
    }

    fn profile_idc(&self) -> u8 {
        self.profile_byte & 0x1F
    }

    fn is_high_tier(&self) -> bool {
        self.profile_byte & 0x20 != 0
    }
}
