//! The sequence parameter set (ITU-T H.265, 7.3.2.2.1).

use h264_reader::rbsp::{BitRead, BitReader, BitReaderError};

use super::frame_rate::frames_per_second;
use super::profile::ProfileTierLevel;
use super::{HEADER_BYTES, payload};
use crate::codec::rbsp::field_of;

/// The most pictures that a decoder holds (A.4.2).
const MAX_REORDER_DEPTH: u32 = 16;

/// The most temporal sub-layers below the highest one; the field has room for one more.
const MAX_SUB_LAYERS_BELOW: u8 = 6;

/// What a sequence parameter set says.
#[derive(Debug, Clone, PartialEq)]
pub(in super::super) struct H265Sps {
    pub(in super::super) profile: ProfileTierLevel,
    /// The number of temporal sub-layers.
    pub(super) sub_layers: u8,
    pub(super) is_temporal_id_nested: bool,
    pub(super) chroma_format_idc: u8,
    /// Bits of each luma sample.
    pub(super) luma_bits: u8,
    /// Bits of each chroma sample.
    pub(super) chroma_bits: u8,
    pub(in super::super) width_px: u32,
    pub(in super::super) height_px: u32,
    pub(in super::super) frames_per_second: Option<f64>,
    pub(in super::super) reorder_depth: usize,
}

impl H265Sps {
    /// Reads the set in the NAL unit `unit`. What comes after the fields that are needed may be broken; then the frame
    /// rate is unknown.
    ///
    /// # Errors
    /// The name of the syntax element that is cut off or out of range.
    pub(in super::super) fn parse(unit: &[u8]) -> Result<Self, &'static str> {
        let payload = payload(unit, HEADER_BYTES);
        let bits = &mut BitReader::new(&payload[..]);
        bits.skip(4, "sps_video_parameter_set_id").map_err(name)?;
        let sub_layers_below: u8 = bits.read(3, "sps_max_sub_layers_minus1").map_err(name)?;
        if sub_layers_below > MAX_SUB_LAYERS_BELOW {
            return Err("sps_max_sub_layers_minus1");
        }
        let is_temporal_id_nested = bits.read_bool("sps_temporal_id_nesting_flag").map_err(name)?;
        let profile = ProfileTierLevel::read(bits, sub_layers_below.into()).map_err(name)?;
        bits.read_ue("sps_seq_parameter_set_id").map_err(name)?;
        let chroma_format_idc = read_up_to(bits, 3, "chroma_format_idc")?;
        if chroma_format_idc == 3 {
            bits.skip(1, "separate_colour_plane_flag").map_err(name)?;
        }
        let (width_px, height_px) = read_size(bits, chroma_format_idc)?;
        let luma_bits = 8 + read_up_to(bits, 8, "bit_depth_luma_minus8")?;
        let chroma_bits = 8 + read_up_to(bits, 8, "bit_depth_chroma_minus8")?;
        let order_bits = 4 + read_up_to(bits, 12, "log2_max_pic_order_cnt_lsb_minus4")?;
        let reorder_depth = read_reorder_depth(bits, sub_layers_below).map_err(name)?;
        Ok(Self {
            profile,
            sub_layers: sub_layers_below + 1,
            is_temporal_id_nested,
            chroma_format_idc,
            luma_bits,
            chroma_bits,
            width_px,
            height_px,
            frames_per_second: frames_per_second(bits, order_bits).ok().flatten(),
            reorder_depth,
        })
    }
}

fn name(error: BitReaderError) -> &'static str {
    field_of(&error)
}

fn read_up_to(bits: &mut impl BitRead, largest: u8, field: &'static str) -> Result<u8, &'static str> {
    let value = bits.read_ue(field).map_err(name)?;
    u8::try_from(value).ok().filter(|&value| value <= largest).ok_or(field)
}

/// Reads the width and height, and the conformance window that cuts them down.
fn read_size(bits: &mut impl BitRead, chroma_format_idc: u8) -> Result<(u32, u32), &'static str> {
    let coded_width_px = bits.read_ue("pic_width_in_luma_samples").map_err(name)?;
    let coded_height_px = bits.read_ue("pic_height_in_luma_samples").map_err(name)?;
    if !bits.read_bool("conformance_window_flag").map_err(name)? {
        return Ok((coded_width_px, coded_height_px));
    }
    // The window is in units of chroma samples (table 6-1).
    let unit_width_px: u32 = if matches!(chroma_format_idc, 1 | 2) { 2 } else { 1 };
    let unit_height_px: u32 = if chroma_format_idc == 1 { 2 } else { 1 };
    let mut read = |field| bits.read_ue(field).map_err(name);
    let left = read("conf_win_left_offset")?;
    let right = read("conf_win_right_offset")?;
    let top = read("conf_win_top_offset")?;
    let bottom = read("conf_win_bottom_offset")?;
    let cut = |coded_px: u32, before: u32, after: u32, unit_px: u32| {
        coded_px.checked_sub(before.checked_add(after)?.checked_mul(unit_px)?)
    };
    let width_px = cut(coded_width_px, left, right, unit_width_px).ok_or("conf_win_right_offset")?;
    let height_px = cut(coded_height_px, top, bottom, unit_height_px).ok_or("conf_win_bottom_offset")?;
    Ok((width_px, height_px))
}

/// Reads the figures of each sub-layer, or those of the highest one alone, and returns the depth of the highest one.
fn read_reorder_depth(bits: &mut impl BitRead, sub_layers_below: u8) -> Result<usize, BitReaderError> {
    let is_for_each = bits.read_bool("sps_sub_layer_ordering_info_present_flag")?;
    let mut depth = 0;
    for _ in 0..=(if is_for_each { sub_layers_below } else { 0 }) {
        bits.read_ue("sps_max_dec_pic_buffering_minus1")?;
        depth = bits.read_ue("sps_max_num_reorder_pics")?;
        bits.read_ue("sps_max_latency_increase_plus1")?;
    }
    Ok(depth.min(MAX_REORDER_DEPTH) as usize)
}
