//! The sequence parameter set (ITU-T H.264, 7.3.2.1.1), read by `h264-reader`.

use bytes::Bytes;
use h264_reader::nal::sps::{
    BitstreamRestrictions, ChromaFormat, PicOrderCntError, PicOrderCntType, ScalingMatrixError,
    SeqParameterSet, SpsError,
};

use super::restriction::with_restriction;
use super::{HEADER_BYTES, payload};
use crate::codec::rbsp::{PayloadReader, field_of};

/// The most frames that a decoder holds (A.3.1).
const MAX_FRAMES: u32 = 16;

/// What a sequence parameter set says.
#[derive(Debug, Clone, PartialEq)]
pub(in super::super) struct H264Sps {
    pub(in super::super) profile_idc: u8,
    /// The byte between profile and level: six flags and two zeros.
    pub(in super::super) constraint_flags: u8,
    pub(in super::super) level_idc: u8,
    pub(super) chroma_format_idc: u8,
    /// Bits of each luma sample.
    pub(super) luma_bits: u8,
    /// Bits of each chroma sample.
    pub(super) chroma_bits: u8,
    pub(in super::super) width_px: u32,
    pub(in super::super) height_px: u32,
    pub(in super::super) frames_per_second: Option<f64>,
    pub(in super::super) reorder_depth: usize,
    pub(in super::super) is_reorder_depth_stated: bool,
    /// The NAL unit of this set with the word added that frames are never reordered. `None` if they may be, or if the
    /// set says it.
    pub(in super::super) without_reordering: Option<Bytes>,
}

impl H264Sps {
    /// Reads the set in the NAL unit `unit`.
    ///
    /// # Errors
    /// The name of the syntax element that is cut off or out of range.
    pub(in super::super) fn parse(unit: &[u8]) -> Result<Self, &'static str> {
        let payload = payload(unit, HEADER_BYTES);
        let mut reader = PayloadReader::new(&payload);
        let sps = SeqParameterSet::from_bits(&mut reader).map_err(|error| broken_field(&error))?;
        let flag_bits = reader.restriction_flag_bits();
        let lacks_restriction = is_reordering_impossible(&sps)
            && restrictions(&sps).is_none()
            && sps.max_num_ref_frames <= MAX_FRAMES;
        let without_reordering = lacks_restriction.then(|| {
            let has_vui = sps.vui_parameters.is_some();
            with_restriction(unit[0], &payload, flag_bits, has_vui, sps.max_num_ref_frames).into()
        });
        let (width_px, height_px) = sps.pixel_dimensions().map_err(|error| broken_field(&error))?;
        let chroma_format_idc = match sps.chroma_info.chroma_format {
            ChromaFormat::Monochrome => 0,
            ChromaFormat::YUV420 => 1,
            ChromaFormat::YUV422 => 2,
            ChromaFormat::YUV444 => 3,
            ChromaFormat::Invalid(_) => return Err("chroma_format_idc"),
        };
        Ok(Self {
            profile_idc: sps.profile_idc.into(),
            constraint_flags: sps.constraint_flags.into(),
            level_idc: sps.level_idc,
            chroma_format_idc,
            luma_bits: sps.chroma_info.bit_depth_luma_minus8 + 8,
            chroma_bits: sps.chroma_info.bit_depth_chroma_minus8 + 8,
            width_px,
            height_px,
            frames_per_second: sps.fps(),
            reorder_depth: reorder_depth(&sps),
            is_reorder_depth_stated: restrictions(&sps).is_some() || is_reordering_impossible(&sps),
            without_reordering,
        })
    }

    /// Returns the name of the profile (annex A).
    pub(in super::super) fn profile(&self) -> String {
        let is_constraint = |number: u8| self.constraint_flags & (0x80 >> number) != 0;
        let name = match self.profile_idc {
            66 if is_constraint(1) => "Constrained Baseline",
            66 => "Baseline",
            77 => "Main",
            88 => "Extended",
            100 if is_constraint(4) && is_constraint(5) => "Constrained High",
            100 if is_constraint(4) => "Progressive High",
            100 => "High",
            110 if is_constraint(3) => "High 10 Intra",
            110 => "High 10",
            122 if is_constraint(3) => "High 4:2:2 Intra",
            122 => "High 4:2:2",
            244 if is_constraint(3) => "High 4:4:4 Intra",
            244 => "High 4:4:4 Predictive",
            44 => "CAVLC 4:4:4 Intra",
            other => return format!("profile {other}"),
        };
        name.to_owned()
    }

    /// Returns the level, such as "4.1" (A.3.1).
    pub(in super::super) fn level(&self) -> String {
        let is_level_1b = self.level_idc == 11
            && self.constraint_flags & 0x10 != 0
            && matches!(self.profile_idc, 66 | 77 | 88);
        if is_level_1b || self.level_idc == 9 {
            return "1b".to_owned();
        }
        format!("{}.{}", self.level_idc / 10, self.level_idc % 10)
    }
}

/// Returns how many frames can come before a frame in decoding order and after it in the order in which they are shown,
/// at most.
fn reorder_depth(sps: &SeqParameterSet) -> usize {
    let depth = match restrictions(sps) {
        Some(restrictions) => restrictions.max_num_reorder_frames,
        None if is_reordering_impossible(sps) => 0,
        None => sps.max_num_ref_frames,
    };
    depth.min(MAX_FRAMES) as usize
}

fn restrictions(sps: &SeqParameterSet) -> Option<&BitstreamRestrictions> {
    sps.vui_parameters.as_ref()?.bitstream_restrictions.as_ref()
}

/// The Baseline profile has no B slices, and with type 2 the order of pictures is the order of decoding (8.2.1.3).
fn is_reordering_impossible(sps: &SeqParameterSet) -> bool {
    u8::from(sps.profile_idc) == 66 || sps.pic_order_cnt == PicOrderCntType::TypeTwo
}

/// Returns the name of the syntax element at fault.
fn broken_field(error: &SpsError) -> &'static str {
    match error {
        SpsError::BitDepthOutOfRange(_) => "bit_depth_minus8",
        SpsError::RbspReaderError(error)
        | SpsError::PicOrderCnt(PicOrderCntError::ReaderError(error))
        | SpsError::ScalingMatrix(ScalingMatrixError::ReaderError(error)) => field_of(error),
        SpsError::PicOrderCnt(PicOrderCntError::InvalidPicOrderCountType(_)) => "pic_order_cnt_type",
        SpsError::PicOrderCnt(PicOrderCntError::Log2MaxPicOrderCntLsbMinus4OutOfRange(_)) => {
            "log2_max_pic_order_cnt_lsb_minus4"
        }
        SpsError::PicOrderCnt(PicOrderCntError::NumRefFramesInPicOrderCntCycleOutOfRange(_)) => {
            "num_ref_frames_in_pic_order_cnt_cycle"
        }
        SpsError::ScalingMatrix(ScalingMatrixError::DeltaScaleOutOfRange(_)) => "delta_scale",
        SpsError::Log2MaxFrameNumMinus4OutOfRange(_) => "log2_max_frame_num_minus4",
        SpsError::BadSeqParamSetId(_) | SpsError::UnknownSeqParamSetId(_) => "seq_parameter_set_id",
        SpsError::FieldValueTooLarge { name, .. } | SpsError::FieldValueTooSmall { name, .. } => name,
        SpsError::CroppingError(_) => "frame_crop_offset",
        SpsError::CpbCountOutOfRange(_) => "cpb_cnt_minus1",
    }
}
