//! When the pauses of a stream are its ends of access units.
//!
//! A byte stream does not say that an access unit is complete before the next one begins. A live stream pauses there.
//! But a program that writes a picture in several pieces, or one that has no time, pauses within a picture too. So a
//! pause counts as an end only after several pauses in a row were ends, those after keyframes and those after other
//! pictures apart: programs write large pictures in more pieces. The bytes alone decide; who pushes them tells pauses.

/// How many pauses in a row must have been ends of keyframes, or of other pictures.
const TRUSTED_KEYFRAMES: u8 = 2;
const TRUSTED_OTHERS: u8 = 3;

/// Programs write long pictures in whole buffers, and systems pass on what they write in whole pages. All common sizes
/// of both are multiples of this number of bytes.
const PAGE_BYTES: u64 = 4096;

/// What is known of the pauses of a stream.
#[derive(Debug, Default)]
pub(super) struct Pauses {
    keyframe_ends: u8,
    other_ends: u8,
    /// Whether a picture was taken for complete that was not. Then no pause counts any more.
    has_cut: bool,
    /// The last pause, while it is unknown whether it is the end of an access unit.
    last: Option<Pause>,
    /// The position in the stream of the last pause.
    at: u64,
}

/// A pause after a slice, or within it.
#[derive(Debug, Clone, Copy)]
struct Pause {
    is_after_keyframe: bool,
    /// How many bytes of the slice had come.
    slice_bytes: usize,
    /// Whether the pause counted as an end.
    is_taken: bool,
}

impl Pauses {
    /// Takes a pause at the position `at` of the stream, after `slice_bytes` of a slice. Returns whether the pause
    /// counts as the end of the access unit.
    pub(super) fn begin(&mut self, at: u64, slice_bytes: usize, is_after_keyframe: bool) -> bool {
        if self.last.is_some() {
            // The slice went on after its last pause.
            self.judge(false);
        }
        let (ends, trusted) = match is_after_keyframe {
            true => (self.keyframe_ends, TRUSTED_KEYFRAMES),
            false => (self.other_ends, TRUSTED_OTHERS),
        };
        let is_taken =
            !self.has_cut && ends >= trusted && !at.saturating_sub(self.at).is_multiple_of(PAGE_BYTES);
        self.at = at;
        self.last = Some(Pause { is_after_keyframe, slice_bytes, is_taken });
        is_taken
    }

    /// Takes a pause at the position `at` of the stream where no slice is.
    pub(super) fn pass(&mut self, at: u64) {
        self.at = at;
    }

    /// Returns the position in the stream of the last pause.
    pub(super) fn at(&self) -> u64 {
        self.at
    }

    /// Takes the end of the slice in which a pause may have been. The slice has `slice_bytes`.
    pub(super) fn end_slice(&mut self, slice_bytes: usize) {
        if self.last.is_some_and(|pause| !pause.is_taken && slice_bytes > pause.slice_bytes) {
            self.judge(false);
        }
    }

    /// Returns whether the last pause counted as the end of an access unit, so that nothing of it may follow.
    pub(super) fn is_last_taken(&self) -> bool {
        self.last.is_some_and(|pause| pause.is_taken)
    }

    /// Takes whether the last pause was the end of an access unit. Does nothing without a pause.
    pub(super) fn judge(&mut self, is_end: bool) {
        let Some(pause) = self.last.take() else { return };
        if !is_end {
            self.has_cut |= pause.is_taken;
            (self.keyframe_ends, self.other_ends) = (0, 0);
            return;
        }
        let ends = if pause.is_after_keyframe { &mut self.keyframe_ends } else { &mut self.other_ends };
        *ends = ends.saturating_add(1);
    }
}
