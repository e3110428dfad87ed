//! The frames that a channel holds: the last keyframe and the frames after that. Older frames are kept only while there
//! is a subscriber that reads every frame in order, because it might not have read them yet.

use std::collections::VecDeque;

use framecast_media::Frame;

/// The maximum total size of the last keyframe and the frames after that, in bytes. This is about half a minute of
/// video in good quality. The limit matters for sources whose keyframes are far apart or never come.
const MAX_GOP_BYTES: usize = 32 * 1024 * 1024;

/// The frames that a channel holds, oldest first. The channel numbers its frames from 1 without gaps. The ring also
/// stores what the channel shows in place of the newest frame while the camera is not live.
#[derive(Debug, Default)]
pub(crate) struct Ring {
    frames: VecDeque<SequencedFrame>,
    held_bytes: usize,
    /// The number of the newest frame; 0 before the first frame.
    newest_number: u64,
    shown: Shown,
    has_ended: bool,
    /// The number of frames and slates (drawn pictures that stand in for frames) so far.
    update_count: u64,
    /// How many times the channel was suspended (told to show nothing, because its newest frame was out of date).
    generation: u64,
}

#[derive(Debug, Clone)]
struct SequencedFrame {
    /// The sequence number: the channel numbers its frames and slates together, from 1.
    sequence: u64,
    frame: Frame,
}

/// What the channel shows to a subscriber that reads only the newest frame.
#[derive(Debug, Default)]
enum Shown {
    /// The newest frame.
    #[default]
    Newest,
    /// Nothing, because the newest frame is too old to be shown as live.
    Nothing,
    /// A slate: a drawn picture that says why there is no camera picture.
    Slate(SequencedFrame),
}

/// The position of a reader in the ring: the number of the last frame that the reader has read or skipped, and the
/// sequence number of the last frame or slate that the reader has read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Cursor {
    pub(crate) frame: u64,
    pub(crate) sequence: u64,
}

impl Ring {
    /// Adds `frame` as the newest frame. Then drops the oldest frames before the last keyframe, until the ring holds at
    /// most `keep_bytes` bytes. Subscribers that read every frame might still need the frames that are kept; without
    /// such subscribers, `keep_bytes` is 0.
    pub(crate) fn push(&mut self, frame: Frame, keep_bytes: usize) {
        self.newest_number += 1;
        self.update_count += 1;
        self.held_bytes += frame.data.len();
        self.frames.push_back(SequencedFrame { sequence: self.update_count, frame });
        self.shown = Shown::Newest;
        self.trim(keep_bytes);
    }

    /// Shows `frame`, a slate (a drawn picture that says why there is no camera picture), until the next frame of the
    /// camera.
    pub(crate) fn put_slate(&mut self, frame: Frame) {
        self.update_count += 1;
        self.shown = Shown::Slate(SequencedFrame { sequence: self.update_count, frame });
    }

    /// Shows nothing, until the next frame or slate, to subscribers that read only the newest frame.
    pub(crate) fn suspend(&mut self) {
        self.shown = Shown::Nothing;
        self.generation += 1;
    }

    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }

    /// Marks the channel as ended: no more frames and slates will come.
    pub(crate) fn end(&mut self) {
        self.has_ended = true;
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.has_ended
    }

    /// Shows the newest frame, in place of a slate or of nothing, to subscribers that read only the newest frame.
    pub(crate) fn resume(&mut self) {
        self.shown = Shown::Newest;
    }

    pub(crate) fn newest_frame(&self) -> Option<&Frame> {
        self.frames.back().map(|held| &held.frame)
    }

    /// Returns what a subscriber at `cursor` that reads only the newest frame gets next: the slate if the ring shows
    /// one, otherwise the newest frame. The `bool` is whether this is a slate; the returned cursor is the new position.
    /// Returns `None` if the subscriber has already got this frame or slate, or if the ring shows nothing.
    pub(crate) fn latest_after(&self, cursor: Cursor) -> Option<(Frame, bool, Cursor)> {
        let (held, is_slate) = match &self.shown {
            Shown::Newest => (self.frames.back()?, false),
            Shown::Nothing => return None,
            Shown::Slate(slate) => (slate, true),
        };
        let at = Cursor { frame: self.newest_number, sequence: held.sequence };
        (held.sequence > cursor.sequence).then(|| (held.frame.clone(), is_slate, at))
    }

    /// Returns the frame after `cursor` for a subscriber that reads every frame in order, and the subscriber's new
    /// cursor. The `bool` is always false, because the frame is not a slate. A subscriber that has just started or has
    /// lost frames gets the next keyframe. Returns `None` if the ring has no such frame yet.
    pub(crate) fn next_after(&self, cursor: Cursor) -> Option<(Frame, bool, Cursor)> {
        let oldest = self.oldest_number();
        let wanted = cursor.frame + 1;
        let has_predecessors = wanted >= oldest && cursor.sequence > 0;
        let number = if has_predecessors { wanted } else { self.first_keyframe(wanted.max(oldest))? };
        let held = self.frames.get(usize::try_from(number.checked_sub(oldest)?).ok()?)?;
        Some((held.frame.clone(), false, Cursor { frame: number, sequence: held.sequence }))
    }

    /// Returns the cursor of a new subscriber. A subscriber that reads every frame in order starts at the newest
    /// keyframe. Any other starts at the newest frame or slate.
    pub(crate) fn start_cursor(&self, is_in_order: bool) -> Cursor {
        let newest_before = if is_in_order {
            // An in-order reader starts at the newest keyframe.
            let back = self.frames.iter().rev().position(|held| held.frame.is_keyframe);
            self.newest_number.saturating_sub(back.map_or(0, |back| back as u64 + 1))
        } else {
            0
        };
        Cursor { frame: newest_before, sequence: 0 }
    }

    /// Returns the number of the oldest frame in the ring. If the ring is empty, returns the number that the next frame
    /// will get.
    fn oldest_number(&self) -> u64 {
        self.newest_number + 1 - self.frames.len() as u64
    }

    /// Returns the number of the first keyframe in the ring whose number is at least `from`; `None` if there is no such
    /// keyframe.
    fn first_keyframe(&self, from: u64) -> Option<u64> {
        let numbered = (self.oldest_number()..).zip(&self.frames);
        numbered
            .skip_while(|(number, _)| *number < from)
            .find(|(_, held)| held.frame.is_keyframe)
            .map(|(n, _)| n)
    }

    /// Drops old frames until the ring holds at most `keep_bytes` bytes. The newest keyframe and the frames after it
    /// are kept even if they exceed `keep_bytes`, up to `MAX_GOP_BYTES`. The newest frame is always kept.
    fn trim(&mut self, keep_bytes: usize) {
        let last_keyframe = self.frames.iter().rposition(|held| held.frame.is_keyframe);
        // Without a keyframe no reader can start here: keep only `keep_bytes`.
        let droppable = last_keyframe.unwrap_or(self.frames.len() - 1);
        for _ in 0..droppable {
            if self.held_bytes <= keep_bytes {
                break;
            }
            self.drop_oldest();
        }
        while self.held_bytes > MAX_GOP_BYTES.max(keep_bytes) && self.frames.len() > 1 {
            self.drop_oldest();
        }
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.frames.len()
    }

    fn drop_oldest(&mut self) {
        if let Some(held) = self.frames.pop_front() {
            self.held_bytes -= held.frame.data.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use framecast_testkit::{frame, keyframe, number_of};

    use super::*;

    /// The numbers of the frames that an in-order reader gets from `cursor` on.
    fn read(ring: &Ring, cursor: &mut Cursor) -> Vec<u64> {
        let mut numbers = Vec::new();
        while let Some((frame, _, next)) = ring.next_after(*cursor) {
            *cursor = next;
            numbers.push(number_of(&frame.data).unwrap());
        }
        numbers
    }

    fn held(ring: &Ring) -> Vec<u64> {
        ring.frames.iter().map(|held| number_of(&held.frame.data).unwrap()).collect()
    }

    #[test]
    fn pictures_that_stand_alone_are_held_one_at_a_time() {
        let mut ring = Ring::default();
        for number in 0..10 {
            ring.push(frame(number), 0);
            assert_eq!(held(&ring), [number]);
        }
        assert_eq!(ring.held_bytes, frame(9).data.len());
    }

    #[test]
    fn older_pictures_stay_for_readers_in_order_within_the_bound() {
        let mut ring = Ring::default();
        for number in 0..10 {
            ring.push(keyframe(number, 1, 2000), 7000);
        }
        assert_eq!(held(&ring), [7, 8, 9]);
        assert_eq!(ring.held_bytes, 6000);
    }

    #[test]
    fn the_newest_keyframe_and_what_follows_stay_beyond_the_bound() {
        let mut ring = Ring::default();
        for number in 0..19 {
            ring.push(keyframe(number, 5, 2000), 0);
        }
        assert_eq!(held(&ring), [15, 16, 17, 18]);
    }

    #[test]
    fn without_keyframes_memory_is_bounded_too() {
        let mut ring = Ring::default();
        for number in 1..100 {
            ring.push(keyframe(number, 1000, 2000), 6000);
        }
        assert_eq!(held(&ring), [97, 98, 99]);

        let mut ring = Ring::default();
        for number in 0..40 {
            ring.push(keyframe(number, 1000, 1 << 20), 0);
            assert!(ring.held_bytes <= MAX_GOP_BYTES);
        }
        // The only keyframe had to go, and no reader can start without it.
        assert_eq!(held(&ring), [39]);
    }

    #[test]
    fn one_frame_is_held_however_large_it_is() {
        let mut ring = Ring::default();
        for number in [0, 1] {
            ring.push(keyframe(number, 1, MAX_GOP_BYTES + 1), 0);
            assert_eq!(held(&ring), [number]);
        }
    }

    #[test]
    fn a_reader_in_order_starts_at_the_newest_keyframe() {
        let mut ring = Ring::default();
        for number in 0..8 {
            ring.push(keyframe(number, 3, 1024), 1 << 20);
        }
        let mut cursor = ring.start_cursor(true);
        assert_eq!(read(&ring, &mut cursor), [6, 7]);
        ring.push(keyframe(8, 3, 1024), 1 << 20);
        assert_eq!(read(&ring, &mut cursor), [8]);
    }

    #[test]
    fn a_reader_in_order_waits_for_a_keyframe_where_none_is_held() {
        let mut ring = Ring::default();
        let mut early = ring.start_cursor(true);
        for number in 1..4 {
            ring.push(keyframe(number, 4, 1024), 1 << 20);
        }
        let mut late = ring.start_cursor(true);
        assert_eq!(read(&ring, &mut early), [0; 0]);
        for number in 4..6 {
            ring.push(keyframe(number, 4, 1024), 1 << 20);
        }
        assert_eq!(read(&ring, &mut early), [4, 5]);
        assert_eq!(read(&ring, &mut late), [4, 5]);
    }

    #[test]
    fn a_reader_in_order_that_was_overrun_resumes_at_a_keyframe() {
        let mut ring = Ring::default();
        ring.push(keyframe(0, 4, 2000), 16_000);
        let mut cursor = ring.start_cursor(true);
        assert_eq!(read(&ring, &mut cursor), [0]);
        for number in 1..16 {
            ring.push(keyframe(number, 4, 2000), 12_000);
        }
        assert_eq!(held(&ring), [10, 11, 12, 13, 14, 15]);
        assert_eq!(read(&ring, &mut cursor), [12, 13, 14, 15]);
    }

    #[test]
    fn a_slate_stands_until_the_next_frame_and_is_not_for_readers_in_order() {
        let mut ring = Ring::default();
        ring.push(frame(1), 0);
        ring.put_slate(frame(99));
        let (shown, is_slate, cursor) = ring.latest_after(Cursor::default()).unwrap();
        assert_eq!((number_of(&shown.data), is_slate), (Some(99), true));
        assert!(ring.latest_after(cursor).is_none());
        assert_eq!(number_of(&ring.newest_frame().unwrap().data), Some(1));
        assert_eq!(read(&ring, &mut ring.start_cursor(true)), [1]);
        ring.push(frame(2), 0);
        let (shown, is_slate, _) = ring.latest_after(cursor).unwrap();
        assert_eq!((number_of(&shown.data), is_slate), (Some(2), false));
    }
}
