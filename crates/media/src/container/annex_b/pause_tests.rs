//! Tests of live streams, which pause.

use super::{AccessUnit, AnnexBReader};
use crate::codec::samples::{BASELINE, H265_WITH_B_FRAMES, SLICES, units_of};
use crate::{Dependency, Error};

/// A live stream: what is written at once, and then a pause.
struct Live {
    reader: AnnexBReader,
    found: Vec<AccessUnit>,
}

impl Live {
    fn new() -> Self {
        Self { reader: AnnexBReader::new(None, 1 << 20), found: Vec::new() }
    }

    /// Writes `bytes` and pauses. Returns how many access units came out, before the pause and by it.
    fn write(&mut self, bytes: &[u8]) -> (usize, usize) {
        self.reader.push(bytes);
        let before = self.take();
        self.reader.pause();
        let by_pause = self.take();
        self.reader.pause();
        assert_eq!(self.take(), 0, "a pause that lasts tells nothing new");
        (before, by_pause)
    }

    fn take(&mut self) -> usize {
        let before = self.found.len();
        self.found
            .extend(std::iter::from_fn(|| self.reader.next_access_unit().transpose()).map(Result::unwrap));
        self.found.len() - before
    }

    fn dependencies(&self) -> String {
        let letter = |unit: &AccessUnit| if unit.dependency == Dependency::Keyframe { 'K' } else { 'R' };
        self.found.iter().map(letter).collect()
    }
}

fn coded(units: &[&[u8]]) -> Vec<u8> {
    units.iter().flat_map(|unit| [&[0, 0, 0, 1], *unit].concat()).collect()
}

/// The writes of a live stream with GOPs of three frames: a keyframe with its sets, and two other frames.
fn writes() -> [Vec<u8>; 3] {
    let units = units_of(BASELINE);
    let [sps, pps, idr, slice] = [&units[0][..], &units[1], &units[2], &units[3]];
    [coded(&[sps, pps, idr]), coded(&[slice]), coded(&[slice])]
}

/// A live stream after `gops` GOPs, each frame in one write.
fn live_after(gops: usize) -> Live {
    let mut live = Live::new();
    (0..gops).flat_map(|_| writes()).for_each(|write| {
        live.write(&write);
    });
    live
}

#[test]
fn an_access_unit_comes_with_the_first_bytes_of_the_next() {
    let mut reader = AnnexBReader::new(None, 1 << 20);
    let [keyframe, other, _] = writes();
    reader.push(&keyframe);
    reader.push(&other[..6]);
    assert_eq!(reader.next_access_unit(), Ok(None), "the header alone does not tell");
    reader.push(&other[6..7]);
    assert!(reader.next_access_unit().unwrap().is_some());
}

#[test]
fn pauses_end_access_units_once_they_have_proved_to() {
    let mut live = Live::new();
    let gops: Vec<_> = (0..4).flat_map(|_| writes()).map(|write| live.write(&write)).collect();
    let (waits, pauses) = ((1, 0), (0, 1));
    let expected = [
        [(0, 0), waits, waits],
        // Three other frames have come at once.
        [waits, waits, (1, 1)],
        // And so have two keyframes.
        [pauses, pauses, pauses],
        [pauses, pauses, pauses],
    ];
    assert_eq!(gops, expected.concat());
    assert_eq!((live.dependencies(), live.reader.skipped_access_units()), ("KRRKRRKRRKRR".to_owned(), 0));
}

#[test]
fn what_pauses_yield_is_what_the_stream_holds() {
    for stream in [BASELINE, SLICES, H265_WITH_B_FRAMES] {
        let mut reader = AnnexBReader::new(None, 1 << 20);
        reader.push(stream);
        reader.end();
        let expected: Vec<_> =
            std::iter::from_fn(|| reader.next_access_unit().transpose().map(Result::unwrap)).collect();
        let mut live = Live::new();
        let mut by_pauses = 0;
        for _ in 0..4 {
            let starts: Vec<_> = expected.iter().map(|unit| unit.offset as usize - 4).collect();
            let ends = starts[1..].iter().copied().chain([stream.len()]);
            for (start, end) in starts.iter().zip(ends) {
                by_pauses += live.write(&stream[*start..end]).1;
            }
        }
        live.reader.end();
        live.take();
        assert!(by_pauses > expected.len(), "{by_pauses}");
        let data = |units: &[AccessUnit]| units.iter().map(|unit| unit.data.clone()).collect::<Vec<_>>();
        assert_eq!(data(&live.found), vec![data(&expected); 4].concat());
    }
}

#[test]
fn a_program_that_pauses_within_pictures_is_waited_for() {
    let units = units_of(SLICES);
    let mut live = Live::new();
    for unit in units.iter().cycle().take(10 * units.len()) {
        assert_eq!(live.write(&coded(&[unit])).1, 0, "each slice is written by itself");
    }
    assert_eq!((live.found.len(), live.reader.skipped_access_units()), (39, 0));

    let mut live = Live::new();
    for write in (0..10).flat_map(|_| writes()) {
        let (half, rest) = write.split_at(write.len() / 2);
        assert_eq!((live.write(half).1, live.write(rest).1), (0, 0));
    }
    assert_eq!((live.found.len(), live.reader.skipped_access_units()), (29, 0));
}

#[test]
fn a_pause_after_whole_pages_may_be_within_a_picture() {
    let mut live = live_after(4);
    let [keyframe, mut other, _] = writes();
    live.write(&keyframe);
    other.resize(4096, 0x55);
    assert_eq!(live.write(&other).1, 0);
    assert_eq!(live.write(&[0x55; 100]).1, 0, "the picture went on");
    assert_eq!(live.write(&writes()[1]), (1, 0));
    assert_eq!((live.found[13].data.len(), live.reader.skipped_access_units()), (4096 + 100, 0));
}

#[test]
fn a_picture_that_goes_on_after_its_end_costs_the_frames_up_to_the_next_keyframe() {
    let units = units_of(SLICES);
    let [sps, pps, first, second] = [&units[1][..], &units[2], &units[3], &units[4]];
    let [keyframe, other, _] = writes();
    for rest in [&[0x55; 10][..], &[0x55; 10_000], &coded(&[second, second])] {
        let mut live = live_after(4);
        let damaged = coded(&[sps, pps, first]);
        assert_eq!(live.write(&damaged), (0, 1), "taken for whole");
        assert_eq!(live.write(rest), (0, 0));
        let lost = live.reader.skipped_access_units();
        assert_eq!((live.write(&other), live.write(&other)), ((0, 0), (0, 0)));
        assert_eq!(live.write(&keyframe), (0, 0), "no pause is believed any more");
        assert_eq!(live.write(&other), (1, 0));
        assert_eq!(live.dependencies(), "KRR".repeat(4) + "KK");
        assert!(lost <= 1 && live.reader.skipped_access_units() >= 3);
    }
}

#[test]
fn zeros_after_a_picture_can_be_the_beginning_of_a_start_code() {
    let mut live = live_after(4);
    let [mut keyframe, other, _] = writes();
    keyframe.extend([0, 0, 0]);
    assert_eq!(live.write(&keyframe), (0, 1));
    assert_eq!(live.write(&other[3..]), (0, 1));
    assert_eq!(live.reader.skipped_access_units(), 0);
}

#[test]
fn a_picture_that_lacks_its_first_slice_is_not_shown() {
    let units = units_of(SLICES);
    let [sps, pps, first, second] = [&units[1][..], &units[2], &units[3], &units[4]];
    let stream = coded(&[sps, pps, second, second, sps, first, second, sps]);
    let mut reader = AnnexBReader::new(None, 1 << 20);
    reader.push(&stream);
    let found: Vec<Result<_, Error>> = std::iter::from_fn(|| reader.next_access_unit().transpose()).collect();
    assert_eq!((found.len(), reader.skipped_access_units()), (1, 1));
    assert_eq!(found[0].as_ref().unwrap().offset as usize, coded(&[sps, pps, second, second]).len() + 4);
}
