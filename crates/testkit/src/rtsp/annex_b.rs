//! Splits a file of H.264 or H.265 with start codes (Annex B) into pictures. This reads what ffmpeg writes, and no more.

use bytes::Bytes;

/// How the pictures of a file are coded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClipCodec {
    /// H.264, also called AVC.
    H264,
    /// H.265, also called HEVC.
    H265,
    /// One JPEG image after the other.
    Jpeg,
}

/// What a NAL unit is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NalKind {
    /// A video, sequence or picture parameter set.
    ParameterSet,
    /// Supplemental information in front of a picture.
    Sei,
    /// A part of a picture from which decoding can start.
    KeySlice,
    /// A part of another picture.
    Slice,
    /// Anything else.
    Other,
}

impl ClipCodec {
    /// What `nal` is for.
    pub fn kind(self, nal: &[u8]) -> NalKind {
        match (self, self.nal_type(nal)) {
            (Self::Jpeg, _) | (Self::H264, 5) | (Self::H265, 16..=21) => NalKind::KeySlice,
            (Self::H264, 1) | (Self::H265, 0..=15) => NalKind::Slice,
            (Self::H264, 7 | 8) | (Self::H265, 32..=34) => NalKind::ParameterSet,
            (Self::H264, 6) | (Self::H265, 39) => NalKind::Sei,
            _ => NalKind::Other,
        }
    }

    /// The number of the type in the header of `nal`.
    pub(super) fn nal_type(self, nal: &[u8]) -> u8 {
        let first = nal.first().copied().unwrap_or_default();
        if self == Self::H264 { first & 0x1f } else { first >> 1 & 0x3f }
    }

    /// Whether `nal` begins the next picture when a slice came before it.
    fn begins_picture(self, nal: &[u8]) -> bool {
        let is_first_slice =
            nal.get(if self == Self::H264 { 1 } else { 2 }).is_some_and(|byte| byte & 0x80 != 0);
        match self.kind(nal) {
            NalKind::KeySlice | NalKind::Slice => is_first_slice,
            NalKind::ParameterSet | NalKind::Sei => true,
            // An access unit delimiter.
            NalKind::Other => self.nal_type(nal) == if self == Self::H264 { 9 } else { 35 },
        }
    }
}

/// The codec of a file with start codes. HEVC files begin with a set or a delimiter of layer 0.
pub(super) fn sniff(file: &[u8]) -> ClipCodec {
    let first = nal_units(&Bytes::copy_from_slice(&file[..file.len().min(64)])).into_iter().next();
    match first.as_deref() {
        Some([0x40 | 0x42 | 0x44 | 0x46, 1, ..]) => ClipCodec::H265,
        _ => ClipCodec::H264,
    }
}

/// The NAL units of `file`, without their start codes and the zeros around them.
pub(super) fn nal_units(file: &Bytes) -> Vec<Bytes> {
    let starts: Vec<usize> =
        (0..file.len().saturating_sub(2)).filter(|at| file[*at..].starts_with(&[0, 0, 1])).collect();
    let ends = starts.iter().skip(1).copied().chain([file.len()]);
    let units = starts.iter().zip(ends).map(|(start, end)| {
        let zeros = file[start + 3..end].iter().rev().take_while(|byte| **byte == 0).count();
        file.slice(start + 3..end - zeros)
    });
    units.filter(|unit| !unit.is_empty()).collect()
}

/// The pictures of `file` in decode order: the NAL units of each.
pub(super) fn access_units(file: &Bytes, codec: ClipCodec) -> Vec<Vec<Bytes>> {
    let (mut units, mut unit, mut has_slice) = (Vec::new(), Vec::new(), false);
    for nal in nal_units(file) {
        if has_slice && codec.begins_picture(&nal) {
            units.push(std::mem::take(&mut unit));
            has_slice = false;
        }
        has_slice |= matches!(codec.kind(&nal), NalKind::KeySlice | NalKind::Slice);
        unit.push(nal);
    }
    units.extend((!unit.is_empty()).then_some(unit));
    units
}
