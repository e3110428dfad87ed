//! NAL units become access units.

use std::sync::Arc;

use bytes::Bytes;

use crate::codec::nal::{UnitKind, push_unit};
use crate::codec::{Leading, LeadingFilter, ParameterSets, VideoParameters, dependency, unit_kind};
use crate::{Codec, Dependency, Error, Format};

/// One coded picture in a byte stream.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct AccessUnit {
    /// The NAL units, each behind its length as 4 bytes: the data of a [`Frame`](crate::Frame).
    pub data: Bytes,
    /// Where the first NAL unit of the access unit begins, in bytes from the start of the stream.
    pub offset: u64,
    /// How the picture depends on others.
    pub dependency: Dependency,
    /// The format. From the next keyframe on after a change of the parameter sets, the `Arc` is another one.
    pub format: Arc<Format>,
}

/// The most parameter sets of one access unit that are read, and the most bytes of them all.
const MAX_SETS: usize = 300;
const MAX_SETS_BYTES: usize = 256 << 10;

/// Gathers NAL units into access units.
#[derive(Debug)]
pub(super) struct Assembly {
    max_access_unit_bytes: usize,
    pub(super) codec: Option<Codec>,
    sets: ParameterSets,
    /// The parameter sets that have come since the last access unit.
    new_sets: Vec<Bytes>,
    format: Option<Arc<Format>>,
    data: Vec<u8>,
    offset: Option<u64>,
    has_slice: bool,
    /// Whether the access unit has exceeded the limit, so that its further units are dropped.
    is_too_large: bool,
    /// Whether the picture lacks its first slice, so that the access unit is dropped.
    lacks_first_slice: bool,
    /// What the last slice says of leading pictures.
    leading: Leading,
    leading_filter: LeadingFilter,
    /// Whether access units are dropped up to the next keyframe, because they need a picture that is missing.
    awaits_keyframe: bool,
    pub(super) skipped_access_units: u64,
}

impl Assembly {
    pub(super) fn new(codec: Option<Codec>, max_access_unit_bytes: usize) -> Self {
        Self {
            max_access_unit_bytes,
            codec,
            sets: ParameterSets::default(),
            new_sets: Vec::new(),
            format: None,
            data: Vec::new(),
            offset: None,
            has_slice: false,
            is_too_large: false,
            lacks_first_slice: false,
            leading: Leading::default(),
            leading_filter: LeadingFilter::default(),
            awaits_keyframe: true,
            skipped_access_units: 0,
        }
    }

    /// Returns whether `unit` starts an access unit after one that is complete; then call [`finish`](Self::finish)
    /// before [`add`](Self::add).
    pub(super) fn is_complete_before(&mut self, unit: &[u8]) -> bool {
        self.codec = self.codec.or_else(|| codec_of(unit));
        self.has_slice && self.kind(unit).starts_access_unit()
    }

    /// Adds `unit`, which begins at `offset` of the stream.
    ///
    /// # Errors
    /// [`Error::TooLarge`] if the access unit exceeds the limit. It is dropped with what needs it.
    pub(super) fn add(&mut self, unit: &[u8], offset: u64) -> Result<(), Error> {
        let kind = self.kind(unit);
        let offset = *self.offset.get_or_insert(offset);
        if kind.is_parameter_set() {
            self.add_set(unit);
        }
        if let UnitKind::Slice { is_first, .. } = kind {
            self.lacks_first_slice |= !is_first && !self.has_slice;
            self.has_slice = true;
            self.leading = self.codec.map_or(Leading::default(), |codec| Leading::of(codec, unit));
        }
        if !kind.is_in_frame() || self.codec.is_none() || self.is_too_large {
            return Ok(());
        }
        let len_bytes = size_of::<u32>() + unit.len();
        if self.data.len() + len_bytes > self.max_access_unit_bytes {
            return Err(self.drop_too_large(unit, offset));
        }
        // Most pictures have one slice, which then has a block of just its size.
        if len_bytes > self.data.len() {
            self.data.reserve_exact(len_bytes);
        }
        push_unit(&mut self.data, unit);
        Ok(())
    }

    fn add_set(&mut self, set: &[u8]) {
        let held_bytes: usize = self.new_sets.iter().map(Bytes::len).sum();
        if self.new_sets.len() < MAX_SETS && held_bytes + set.len() <= MAX_SETS_BYTES {
            self.new_sets.push(Bytes::copy_from_slice(set));
        }
    }

    /// Drops the access unit, which exceeds the limit with `unit`, which begins at `offset` of the stream.
    pub(super) fn drop_too_large(&mut self, unit: &[u8], offset: u64) -> Error {
        self.has_slice |= matches!(self.kind(unit), UnitKind::Slice { .. });
        self.is_too_large = true;
        self.data = Vec::new();
        let offset = *self.offset.get_or_insert(offset);
        Error::TooLarge { offset, limit_bytes: self.max_access_unit_bytes }
    }

    /// Ends the access unit. Returns `None` if it has no slice or lacks its first one, or if a decoder could not decode
    /// it.
    ///
    /// # Errors
    /// Those of [`VideoParameters::parse`], for new parameter sets or for a keyframe without any. The access unit is
    /// dropped with what needs it.
    pub(super) fn finish(&mut self) -> Result<Option<AccessUnit>, Error> {
        let data = std::mem::take(&mut self.data);
        let offset = self.offset.take().unwrap_or_default();
        let is_too_large = std::mem::take(&mut self.is_too_large);
        let is_incomplete = std::mem::take(&mut self.lacks_first_slice);
        let (true, Some(codec)) = (std::mem::take(&mut self.has_slice), self.codec) else { return Ok(None) };
        if !self.leading_filter.admits(self.leading, self.awaits_keyframe) {
            self.skipped_access_units += 1;
            return Ok(None);
        }
        let found = if is_too_large || is_incomplete { Ok(None) } else { self.picture(codec, data, offset) };
        if !matches!(found, Ok(Some(_))) {
            self.lose_picture();
        }
        found
    }

    /// Counts a picture that is lost, and drops what needs it.
    pub(super) fn lose_picture(&mut self) {
        self.awaits_keyframe = true;
        self.skipped_access_units += 1;
    }

    fn picture(&mut self, codec: Codec, data: Vec<u8>, offset: u64) -> Result<Option<AccessUnit>, Error> {
        self.sets.merge(codec, &std::mem::take(&mut self.new_sets));
        if dependency(&Format::new(codec, 0, 0), &data)? == Dependency::Keyframe {
            let is_same = |format: &Arc<Format>| format.parameter_sets == self.sets.sets();
            if !self.format.as_ref().is_some_and(is_same) {
                self.format = None;
                self.format = Some(Arc::new(VideoParameters::parse(codec, self.sets.sets())?.format));
            }
            self.awaits_keyframe = false;
        }
        let (false, Some(format)) = (self.awaits_keyframe, &self.format) else { return Ok(None) };
        let format = Arc::clone(format);
        let (dependency, data) = self.sets.complete(dependency(&format, &data)?, data.into());
        Ok(Some(AccessUnit { data, offset, dependency, format }))
    }

    pub(super) fn kind(&self, unit: &[u8]) -> UnitKind {
        self.codec.map_or(UnitKind::Other, |codec| unit_kind(codec, unit))
    }
}

/// Returns the codec of a stream in which `unit` is. Only units with which streams begin tell: parameter sets,
/// delimiters and SEI. Their headers mean nothing, or nothing possible, in the other codec.
fn codec_of(unit: &[u8]) -> Option<Codec> {
    match *unit {
        [0x40 | 0x42 | 0x44 | 0x46 | 0x4E, 1, ..] => Some(Codec::H265),
        [0x06 | 0x09, ..] | [0x27 | 0x47 | 0x67, ..] => Some(Codec::H264),
        _ => None,
    }
}
