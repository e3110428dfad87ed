//! An access unit of which packets still come.

use bytes::Bytes;

use super::nal::Slice;
use crate::Dependency;

/// An access unit of which packets still come: those with one RTP timestamp.
#[derive(Debug, Default)]
pub(super) struct PendingUnit {
    pub(super) timestamp: u32,
    /// The NAL units, each behind its length.
    pub(super) data: Vec<u8>,
    /// Where in `data` the NAL unit begins whose last fragment has not come yet.
    pub(super) fragment_start: Option<usize>,
    /// The parameter sets before the first slice.
    pub(super) sets: Vec<Bytes>,
    /// The parameter sets after it, which are for the next access unit.
    pub(super) later_sets: Vec<Bytes>,
    /// What its slices have in common, once one came.
    pub(super) picture: Option<Slice>,
    /// Whether something of it is missing or broken.
    pub(super) is_damaged: bool,
    /// Whether packets are missing between the access unit before and the first packet of this one.
    pub(super) follows_loss: bool,
    /// Whether a packet behind a slice had the marker.
    pub(super) is_marked: bool,
    /// Whether a further slice of the same picture followed the marker.
    pub(super) is_marked_within: bool,
}

impl PendingUnit {
    /// Adds what the first bytes of a slice say.
    pub(super) fn note_slice(&mut self, slice: Slice) {
        self.is_marked_within |= self.is_marked;
        let picture = self.picture.get_or_insert(slice);
        // A picture is a keyframe, or disposable, only if each of its slices is.
        if picture.dependency != slice.dependency {
            picture.dependency = Dependency::Reference;
        }
    }

    /// Marks the unit as damaged and frees its bytes.
    pub(super) fn damage(&mut self) {
        self.is_damaged = true;
        self.data = Vec::new();
        self.fragment_start = None;
    }

    /// Appends a NAL unit.
    pub(super) fn append(&mut self, nal: &[u8]) {
        self.data.extend_from_slice(&length_bytes(nal.len()));
        self.data.extend_from_slice(nal);
    }

    /// Begins a NAL unit of which fragments follow.
    pub(super) fn begin_fragments(&mut self, header: &[u8]) {
        self.fragment_start = Some(self.data.len());
        self.append(header);
    }

    /// Ends the NAL unit that began at `start`, and returns it.
    pub(super) fn end_fragments(&mut self, start: usize) -> &[u8] {
        self.fragment_start = None;
        let (length, nal) = self.data[start..].split_at_mut(4);
        length.copy_from_slice(&length_bytes(nal.len()));
        nal
    }
}

/// The length in front of a NAL unit. It fits: the access unit is limited to less.
fn length_bytes(len: usize) -> [u8; 4] {
    u32::try_from(len).unwrap_or(u32::MAX).to_be_bytes()
}
