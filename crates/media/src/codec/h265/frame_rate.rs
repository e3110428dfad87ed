//! The frame rate in a sequence parameter set (ITU-T H.265, 7.3.2.2.1 and E.2.1).
//!
//! It comes after tables whose length only their contents tell. This module walks through them.

use h264_reader::rbsp::{BitRead, BitReaderError};

/// The most sets of reference pictures, and the most pictures of one (7.4.3.2.1, 7.4.8).
const MAX_PICTURE_SETS: u32 = 64;
const MAX_PICTURES: u32 = 16;

/// The most long-term reference pictures (7.4.3.2.1).
const MAX_LONG_TERM_PICTURES: u32 = 32;

/// The number of the aspect ratio after which two numbers follow (table E.1).
const EXTENDED_ASPECT_RATIO: u8 = 255;

/// Reads from the field after the sub-layers' figures to the frame rate. `order_bits` is the number
/// of bits of a picture's place in the order. Returns `None` if the set has no frame rate.
pub(super) fn frames_per_second(
    bits: &mut impl BitRead,
    order_bits: u8,
) -> Result<Option<f64>, BitReaderError> {
    bits.read_ue("log2_min_luma_coding_block_size_minus3")?;
    bits.read_ue("log2_diff_max_min_luma_coding_block_size")?;
    bits.read_ue("log2_min_luma_transform_block_size_minus2")?;
    bits.read_ue("log2_diff_max_min_luma_transform_block_size")?;
    bits.read_ue("max_transform_hierarchy_depth_inter")?;
    bits.read_ue("max_transform_hierarchy_depth_intra")?;
    if bits.read_bool("scaling_list_enabled_flag")? && bits.read_bool("sps_scaling_list_data_present_flag")? {
        skip_scaling_lists(bits)?;
    }
    bits.skip(2, "amp_enabled_flag")?;
    if bits.read_bool("pcm_enabled_flag")? {
        bits.skip(8, "pcm_sample_bit_depth_luma_minus1")?;
        bits.read_ue("log2_min_pcm_luma_coding_block_size_minus3")?;
        bits.read_ue("log2_diff_max_min_pcm_luma_coding_block_size")?;
        bits.skip(1, "pcm_loop_filter_disabled_flag")?;
    }
    skip_reference_pictures(bits, order_bits)?;
    bits.skip(2, "sps_temporal_mvp_enabled_flag")?;
    if !bits.read_bool("vui_parameters_present_flag")? {
        return Ok(None);
    }
    skip_to_timing(bits)?;
    if !bits.read_bool("vui_timing_info_present_flag")? {
        return Ok(None);
    }
    let ticks: u32 = bits.read(32, "vui_num_units_in_tick")?;
    let ticks_per_second: u32 = bits.read(32, "vui_time_scale")?;
    Ok(Some(f64::from(ticks_per_second) / f64::from(ticks)))
}

/// Skips the quantization matrices (7.3.4).
fn skip_scaling_lists(bits: &mut impl BitRead) -> Result<(), BitReaderError> {
    for size in 0..4 {
        for _ in (0..6).step_by(if size == 3 { 3 } else { 1 }) {
            if !bits.read_bool("scaling_list_pred_mode_flag")? {
                bits.read_ue("scaling_list_pred_matrix_id_delta")?;
                continue;
            }
            if size > 1 {
                bits.read_se("scaling_list_dc_coef_minus8")?;
            }
            for _ in 0..64.min(1 << (4 + 2 * size)) {
                bits.read_se("scaling_list_delta_coef")?;
            }
        }
    }
    Ok(())
}

/// Skips the sets of reference pictures (7.3.7), and the long-term ones.
fn skip_reference_pictures(bits: &mut impl BitRead, order_bits: u8) -> Result<(), BitReaderError> {
    let mut pictures_before = 0;
    for set in 0..read_up_to(bits, MAX_PICTURE_SETS, "num_short_term_ref_pic_sets")? {
        let is_predicted = set > 0 && bits.read_bool("inter_ref_pic_set_prediction_flag")?;
        pictures_before =
            if is_predicted { skip_predicted_set(bits, pictures_before)? } else { skip_listed_set(bits)? };
    }
    if bits.read_bool("long_term_ref_pics_present_flag")? {
        for _ in 0..read_up_to(bits, MAX_LONG_TERM_PICTURES, "num_long_term_ref_pics_sps")? {
            bits.skip(u32::from(order_bits) + 1, "lt_ref_pic_poc_lsb_sps")?;
        }
    }
    Ok(())
}

/// Skips a set that says what differs from the set before it, which has `pictures`. Returns the number of its pictures.
fn skip_predicted_set(bits: &mut impl BitRead, pictures: u32) -> Result<u32, BitReaderError> {
    bits.skip(1, "delta_rps_sign")?;
    bits.read_ue("abs_delta_rps_minus1")?;
    let mut kept = 0;
    for _ in 0..=pictures {
        let is_kept = bits.read_bool("used_by_curr_pic_flag")? || bits.read_bool("use_delta_flag")?;
        kept += u32::from(is_kept);
    }
    Ok(kept)
}

/// Skips a set that lists its pictures. Returns their number.
fn skip_listed_set(bits: &mut impl BitRead) -> Result<u32, BitReaderError> {
    let earlier = read_up_to(bits, MAX_PICTURES, "num_negative_pics")?;
    let later = read_up_to(bits, MAX_PICTURES, "num_positive_pics")?;
    for _ in 0..earlier + later {
        bits.read_ue("delta_poc_minus1")?;
        bits.skip(1, "used_by_curr_pic_flag")?;
    }
    Ok(earlier + later)
}

fn read_up_to(bits: &mut impl BitRead, largest: u32, field: &'static str) -> Result<u32, BitReaderError> {
    let value = bits.read_ue(field)?;
    if value > largest { Err(BitReaderError::ExpGolombTooLarge(field)) } else { Ok(value) }
}

/// Skips the fields of the VUI before the one that says whether there is a frame rate (E.2.1).
fn skip_to_timing(bits: &mut impl BitRead) -> Result<(), BitReaderError> {
    if bits.read_bool("aspect_ratio_info_present_flag")?
        && bits.read::<u8>(8, "aspect_ratio_idc")? == EXTENDED_ASPECT_RATIO
    {
        bits.skip(32, "sar_width")?;
    }
    if bits.read_bool("overscan_info_present_flag")? {
        bits.skip(1, "overscan_appropriate_flag")?;
    }
    if bits.read_bool("video_signal_type_present_flag")? {
        bits.skip(4, "video_format")?;
        if bits.read_bool("colour_description_present_flag")? {
            bits.skip(24, "colour_primaries")?;
        }
    }
    if bits.read_bool("chroma_loc_info_present_flag")? {
        bits.read_ue("chroma_sample_loc_type_top_field")?;
        bits.read_ue("chroma_sample_loc_type_bottom_field")?;
    }
    bits.skip(3, "neutral_chroma_indication_flag")?;
    if bits.read_bool("default_display_window_flag")? {
        for _ in 0..4 {
            bits.read_ue("def_disp_win_offset")?;
        }
    }
    Ok(())
}
