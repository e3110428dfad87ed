use std::sync::Arc;

use framecast_media::{Anchor, Bytes, Format};
use framecast_testkit::{frame, keyframe, number_of};

use super::*;

const EPOCH: Epoch = Epoch { number: 1, anchor: Anchor::new(SystemTime::UNIX_EPOCH) };
/// What a frame takes in the ring beside its data.
const FRAME_BYTES: usize = size_of::<HeldFrame>();

/// Adds `frame`. The ring keeps up to `keep_bytes` bytes for a reader in order, if that is not 0.
fn push(ring: &mut Ring, frame: Frame, keep_bytes: usize) {
    ring.limits.backlog_bytes = keep_bytes;
    ring.push(frame, EPOCH, keep_bytes > 0);
}

/// The numbers of the frames that an in-order reader gets from `cursor` on.
fn read(ring: &Ring, cursor: &mut Cursor) -> Vec<u64> {
    let mut numbers = Vec::new();
    while let Some(next) = ring.next_after(*cursor, Duration::MAX) {
        *cursor = next.cursor;
        numbers.push(number_of(&next.frame.data).unwrap());
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
        push(&mut ring, frame(number), 0);
        assert_eq!(held(&ring), [number]);
    }
    assert_eq!(ring.held_bytes, frame(9).data.len() + FRAME_BYTES);
}

#[test]
fn older_pictures_stay_for_readers_in_order_within_the_bound() {
    let mut ring = Ring::default();
    for number in 0..10 {
        push(&mut ring, keyframe(number, 1, 2000), 7000);
    }
    assert_eq!(held(&ring), [7, 8, 9]);
    assert_eq!(ring.held_bytes, 3 * (2000 + FRAME_BYTES));
}

#[test]
fn frames_stay_for_readers_in_order_only_while_they_are_new_enough() {
    // 30 frames a second, a keyframe each ten.
    let backlog_duration = Duration::from_millis(500);
    let mut ring = Ring::new(RingLimits { backlog_duration, ..RingLimits::default() });
    let mut oldest = Vec::new();
    for number in 0..35 {
        push(&mut ring, keyframe(number, 10, 2000), 1_000_000);
        oldest.push(held(&ring)[0]);
    }
    assert_eq!((oldest[15], oldest[16], oldest[34]), (0, 1, 19));
    // A frame of the opening before stays until the newest GOP lasts for longer.
    let next = Epoch { number: 2, ..EPOCH };
    for number in 0..20 {
        ring.push(keyframe(number, 100, 2000), next, true);
        assert_eq!(held(&ring).len() as u64 > number + 1, number <= 15, "{number}");
    }
}

#[test]
fn frames_almost_without_data_are_bounded_too() {
    let mut ring = Ring::default();
    for number in 0..100 {
        let mut empty = frame(number);
        empty.data = Bytes::new();
        push(&mut ring, empty, 10 * FRAME_BYTES);
        assert!(ring.len() <= 10);
    }
}

#[test]
fn the_newest_keyframe_and_what_follows_stay_beyond_the_bound() {
    let mut ring = Ring::default();
    for number in 0..19 {
        push(&mut ring, keyframe(number, 5, 2000), 0);
    }
    assert_eq!(held(&ring), [15, 16, 17, 18]);
}

#[test]
fn without_keyframes_memory_is_bounded_too() {
    let mut ring = Ring::default();
    for number in 1..100 {
        push(&mut ring, keyframe(number, 1000, 2000), 3 * (2000 + FRAME_BYTES));
    }
    assert_eq!(held(&ring), [97, 98, 99]);

    let mut ring = Ring::default();
    for number in 0..40 {
        push(&mut ring, keyframe(number, 1000, 1 << 20), 0);
        assert!(ring.held_bytes <= RingLimits::default().gop_bytes);
    }
    // The frames that need the only keyframe had to go, and it is left as a still.
    assert_eq!(held(&ring), [39]);
    assert_eq!(ring.held_bytes, 2 * ((1 << 20) + FRAME_BYTES));
    assert_eq!(read(&ring, &mut ring.start_cursor(true)), [0]);
    assert_eq!(number_of(&ring.newest().unwrap().frame.data), Some(0));

    let large = RingLimits::default().gop_bytes - FRAME_BYTES;
    let mut ring = Ring::default();
    ring.push(keyframe(0, 100, large), EPOCH, false);
    ring.push(keyframe(1, 100, 2000), EPOCH, false);
    assert_eq!(ring.held_bytes, 2000 + FRAME_BYTES, "both do not fit");
    assert_eq!(read(&ring, &mut ring.start_cursor(true)), [0; 0]);
}

#[test]
fn one_frame_is_held_however_large_it_is() {
    let mut ring = Ring::default();
    for number in [0, 1] {
        push(&mut ring, keyframe(number, 1, RingLimits::default().gop_bytes + 1), 0);
        assert_eq!(held(&ring), [number]);
    }
}

#[test]
fn a_reader_in_order_starts_at_the_newest_keyframe() {
    let mut ring = Ring::default();
    for number in 0..8 {
        push(&mut ring, keyframe(number, 3, 1024), 1 << 20);
    }
    let mut cursor = ring.start_cursor(true);
    assert_eq!(read(&ring, &mut cursor), [6, 7]);
    push(&mut ring, keyframe(8, 3, 1024), 1 << 20);
    assert_eq!(read(&ring, &mut cursor), [8]);
}

#[test]
fn a_reader_in_order_waits_for_a_keyframe_where_none_is_held() {
    let mut ring = Ring::default();
    let mut early = ring.start_cursor(true);
    for number in 1..4 {
        push(&mut ring, keyframe(number, 4, 1024), 1 << 20);
    }
    let mut late = ring.start_cursor(true);
    assert_eq!(read(&ring, &mut early), [0; 0]);
    for number in 4..6 {
        push(&mut ring, keyframe(number, 4, 1024), 1 << 20);
    }
    assert_eq!(read(&ring, &mut early), [4, 5]);
    assert_eq!(read(&ring, &mut late), [4, 5]);
}

#[test]
fn a_reader_in_order_that_was_overrun_resumes_at_a_keyframe() {
    let mut ring = Ring::default();
    push(&mut ring, keyframe(0, 4, 2000), 16_000);
    let mut cursor = ring.start_cursor(true);
    assert_eq!(read(&ring, &mut cursor), [0]);
    for number in 1..16 {
        push(&mut ring, keyframe(number, 4, 2000), 6 * (2000 + FRAME_BYTES));
    }
    assert_eq!(held(&ring), [10, 11, 12, 13, 14, 15]);
    assert_eq!(read(&ring, &mut cursor), [12, 13, 14, 15]);
}

#[test]
fn a_reader_in_order_that_is_too_far_behind_goes_on_at_the_newest_keyframe() {
    let mut ring = Ring::default();
    push(&mut ring, keyframe(0, 10, 2000), 1 << 20);
    let mut cursor = ring.start_cursor(true);
    assert_eq!(read(&ring, &mut cursor), [0]);
    for number in 1..16 {
        push(&mut ring, keyframe(number, 10, 2000), 1 << 20);
    }
    let lag = ring.lag_of(2);
    let next = |max_lag| number_of(&ring.next_after(cursor, max_lag).unwrap().frame.data);
    assert_eq!(next(lag), Some(1));
    assert_eq!(next(lag - Duration::from_millis(1)), Some(10));
    let mut late = cursor;
    late.frame = ring.newest_number() - 2;
    let next = ring.next_after(late, Duration::ZERO).unwrap();
    assert_eq!(number_of(&next.frame.data), Some(14), "no keyframe is newer");
}

#[test]
fn who_starts_in_a_group_of_pictures_that_is_too_long_gets_a_still_and_then_the_next_keyframe() {
    let gop_duration = keyframe(10, 100, 2000).dts.saturating_since(keyframe(0, 100, 2000).dts);
    let mut ring = Ring::new(RingLimits { gop_duration, ..RingLimits::default() });
    for number in 0..=10 {
        ring.push(keyframe(number, 100, 2000), EPOCH, true);
    }
    let mut in_order = ring.start_cursor(true);
    assert_eq!(read(&ring, &mut in_order).len(), 11);
    ring.push(keyframe(11, 100, 2000), EPOCH, true);
    let still = ring.next_after(ring.start_cursor(true), Duration::MAX).unwrap();
    assert_eq!(number_of(&still.frame.data), Some(0));
    assert_eq!(still.frame.captured_at, keyframe(0, 100, 2000).captured_at, "its age is told");
    assert_eq!(still.frame.dts, keyframe(11, 100, 2000).dts, "a player shows it now");
    let mut late = still.cursor;
    assert_eq!(read(&ring, &mut in_order), [11], "who has started reads on");
    ring.push(keyframe(12, 100, 2000), EPOCH, false);
    assert_eq!(ring.len(), 1, "nobody needs the frames between");
    let mut later = ring.start_cursor(true);
    for number in 13..100 {
        assert_eq!(read(&ring, &mut late), [0; 0], "frame {number} needs others");
        ring.push(keyframe(number, 100, 2000), EPOCH, false);
    }
    assert_eq!(read(&ring, &mut later), [0]);
    for number in [100, 101] {
        ring.push(keyframe(number, 100, 2000), EPOCH, true);
    }
    assert_eq!(read(&ring, &mut late), [100, 101]);
    assert_eq!(read(&ring, &mut later), [100, 101]);
    assert_eq!(ring.held_bytes, ring.len() * (2000 + FRAME_BYTES), "the still is gone");
}

#[test]
fn a_still_of_an_opening_that_has_ended_is_not_shown() {
    let mut ring = Ring::new(RingLimits { gop_duration: Duration::ZERO, ..RingLimits::default() });
    for number in [0, 1] {
        ring.push(keyframe(number, 100, 2000), EPOCH, false);
    }
    assert_eq!(read(&ring, &mut ring.start_cursor(true)), [0]);
    ring.push(keyframe(2, 100, 2000), Epoch { number: 2, ..EPOCH }, false);
    assert_eq!(read(&ring, &mut ring.start_cursor(true)), [0; 0]);
    assert!(ring.latest_after(Cursor::default()).is_none());
}

#[test]
fn a_slate_stands_until_the_next_frame_and_is_not_for_readers_in_order() {
    let mut ring = Ring::default();
    push(&mut ring, frame(1), 0);
    ring.put_slate(frame(99), EPOCH);
    let Next { frame: shown, is_slate, cursor, .. } = ring.latest_after(Cursor::default()).unwrap();
    assert_eq!((number_of(&shown.data), is_slate), (Some(99), true));
    assert!(ring.latest_after(cursor).is_none());
    assert_eq!(number_of(&ring.newest().unwrap().frame.data), Some(1));
    assert_eq!(read(&ring, &mut ring.start_cursor(true)), [0; 0], "what it would start at is out of date");
    push(&mut ring, frame(2), 0);
    let Next { frame: shown, is_slate, .. } = ring.latest_after(cursor).unwrap();
    assert_eq!((number_of(&shown.data), is_slate), (Some(2), false));
}

#[test]
fn a_reader_of_the_newest_gets_only_the_keyframes_of_coded_video() {
    let mut ring = Ring::default();
    let mut cursor = Cursor::default();
    let mut seen = Vec::new();
    for number in 0..10 {
        push(&mut ring, keyframe(number, 4, 2000), 0);
        if let Some(next) = ring.latest_after(cursor) {
            cursor = next.cursor;
            seen.push(number_of(&next.frame.data).unwrap());
        }
    }
    assert_eq!(seen, [0, 4, 8]);
}

#[test]
fn an_epoch_that_does_not_begin_with_a_keyframe_is_read_from_its_first_keyframe() {
    let mut ring = Ring::default();
    push(&mut ring, keyframe(0, 4, 2000), 1 << 20);
    let (mut in_order, mut late) = (ring.start_cursor(true), ring.start_cursor(true));
    assert_eq!(read(&ring, &mut in_order), [0]);
    let next = Epoch { number: 2, ..EPOCH };
    for number in [2, 3] {
        ring.push(keyframe(number, 4, 2000), next, true);
    }
    assert_eq!(read(&ring, &mut in_order), [0; 0]);
    assert!(ring.latest_after(Cursor::default()).is_none(), "the keyframe is of another epoch");
    for number in [4, 5] {
        ring.push(keyframe(number, 4, 2000), next, true);
    }
    assert_eq!(read(&ring, &mut in_order), [4, 5]);
    assert_eq!(read(&ring, &mut late), [0, 4, 5]);
}

/// A frame of H.265 that is decoded at place `number` and shown at place `shown`.
fn reordered(number: u64, shown: u64, interval: u64) -> Frame {
    let mut frame = keyframe(number, interval, 2000);
    frame.pts = keyframe(shown, interval, 2000).pts;
    frame.format = Arc::new(Format::new(Codec::H265, 16, 16));
    frame
}

/// Pushes H.265 of which each sixth frame is a keyframe with two leading pictures.
fn push_open_gops(ring: &mut Ring, numbers: std::ops::Range<u64>, epoch: Epoch) {
    for number in numbers {
        let shown = number + [2, 0, 0, 1, 1, 1][number as usize % 6] - u64::from(number % 6 != 0);
        ring.push(reordered(number, shown, 6), epoch, true);
    }
}

#[test]
fn a_reader_in_order_that_starts_at_a_keyframe_does_not_get_its_leading_pictures() {
    let mut ring = Ring::default();
    push_open_gops(&mut ring, 0..7, EPOCH);
    let mut cursor = ring.start_cursor(true);
    assert_eq!(read(&ring, &mut cursor), [6]);
    push_open_gops(&mut ring, 7..9, EPOCH);
    assert_eq!(read(&ring, &mut cursor), [0; 0], "they refer to frames before the keyframe");
    push_open_gops(&mut ring, 9..10, EPOCH);
    let next = ring.next_after(cursor, Duration::MAX).unwrap();
    assert_eq!((next.cursor.frame, next.before_start), (10, 2));
    push_open_gops(&mut ring, 10..16, EPOCH);
    assert_eq!(read(&ring, &mut cursor), [9, 10, 11, 12, 13, 14, 15], "who reads on gets all");
}

#[test]
fn a_reader_in_order_that_jumps_to_a_keyframe_does_not_get_its_leading_pictures() {
    let mut ring = Ring::default();
    push_open_gops(&mut ring, 0..1, EPOCH);
    let mut cursor = ring.start_cursor(true);
    assert_eq!(read(&ring, &mut cursor), [0]);
    push_open_gops(&mut ring, 1..16, EPOCH);
    let jump = ring.next_after(cursor, Duration::ZERO).unwrap();
    assert_eq!(number_of(&jump.frame.data), Some(12));
    let next = ring.next_after(jump.cursor, Duration::MAX).unwrap();
    assert_eq!((number_of(&next.frame.data), next.before_start), (Some(15), 0), "they count as skipped");
}

#[test]
fn leading_pictures_at_the_end_of_an_epoch_do_not_lead_into_the_next_one() {
    let mut ring = Ring::default();
    push_open_gops(&mut ring, 0..3, EPOCH);
    let mut cursor = ring.start_cursor(true);
    assert_eq!(read(&ring, &mut cursor), [0]);
    push_open_gops(&mut ring, 3..10, Epoch { number: 2, ..EPOCH });
    assert_eq!(read(&ring, &mut cursor), [6, 9]);
}

#[test]
fn one_publisher_at_a_time_has_the_right_to_publish() {
    let mut ring = Ring::default();
    assert!(!ring.is_open(1));
    ring.begin_epoch(1);
    assert!(ring.is_open(1));
    ring.begin_epoch(2);
    assert!(ring.is_open(2) && !ring.is_open(1));
    ring.end_epoch();
    assert!(!ring.is_open(2));
}
