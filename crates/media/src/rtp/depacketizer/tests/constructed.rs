//! Packets made for each rule of where access units begin and end, and of what they hold.

use super::*;

#[test]
fn a_marker_ends_the_unit_without_waiting_once_markers_are_known_to_be_right() {
    let mut camera = Camera::new(Depacketizer::h264(&[], MAX_BYTES));
    assert_eq!(camera.mark(0, [SPS, PPS, IDR]).take().timestamps(), [0; 0]);
    assert_eq!(camera.mark(1, [P]).take().timestamps(), [0, 1]);
    assert_eq!(camera.mark(2, [P]).take().timestamps(), [2]);
    // Units also end without the marker.
    assert_eq!(camera.send(3, [P]).mark(4, [P]).take().timestamps(), [3, 4]);
}

#[test]
fn a_flush_ends_a_unit_whose_marker_came() {
    let mut camera = Camera::new(Depacketizer::h264(&[], MAX_BYTES));
    camera.send(0, [SPS, PPS, IDR]);
    camera.depacketizer.flush();
    assert_eq!(camera.depacketizer.next_unit(), None);
    camera.mark(0, [IDR_NEXT]);
    camera.depacketizer.flush();
    let unit = camera.depacketizer.next_unit().expect("the marker came");
    assert_eq!(unit.data, joined(&[IDR, IDR_NEXT]));
}

#[test]
fn a_marker_on_each_slice_ends_no_unit() {
    let mut camera = Camera::new(Depacketizer::h264(&[], MAX_BYTES));
    camera.mark(0, [SPS, PPS, IDR]).mark(0, [IDR_NEXT]).mark(1, [P]).mark(1, [P_NEXT]).mark(2, [P]);
    let outcome = camera.take();
    let data: Vec<_> = outcome.units.iter().map(|unit| unit.data.to_vec()).collect();
    assert_eq!(data, [joined(&[IDR, IDR_NEXT]), joined(&[P, P_NEXT])]);
    assert_eq!(camera.depacketizer.counts().damaged, 0);
}

#[test]
fn a_camera_whose_markers_become_wrong_is_followed_from_the_next_keyframe() {
    let mut camera = Camera::with_right_markers();
    camera.mark(2, [IDR]).mark(2, [IDR_NEXT]).mark(3, [P]).mark(3, [P_NEXT]);
    camera.mark(4, [IDR]).mark(4, [IDR_NEXT]).mark(5, [P]);
    let outcome = camera.take();
    assert_eq!(outcome.timestamps(), [2, 4]);
    assert_eq!(outcome.units[1].data, joined(&[IDR, IDR_NEXT]));
    let counts = camera.depacketizer.counts();
    assert_eq!((counts.damaged, counts.without_reference), (1, 1));
}

#[test]
fn a_marker_on_sei_or_parameter_sets_alone_ends_nothing() {
    let mut camera = Camera::with_right_markers();
    camera.mark(2, [SPS]).mark(2, [PPS]).mark(2, [SEI]).mark(2, [IDR]);
    let outcome = camera.take();
    assert_eq!(outcome.units.len(), 1);
    assert_eq!(outcome.units[0].data, joined(&[SEI, IDR]));
}

#[test]
fn units_of_types_without_a_meaning_are_left_out() {
    let mut camera = Camera::with_right_markers();
    camera.mark(2, [&[0x00, 5], SPS, PPS, &[0x7E, 1], IDR, &[0x7F]]);
    camera.mark(3, [&[0x78, 0, 2, 0x7F, 9, 0, 4, P[0], P[1], P[2], P[3]]]);
    let outcome = camera.take();
    let data: Vec<_> = outcome.units.iter().map(|unit| unit.data.to_vec()).collect();
    assert_eq!((data, outcome.errors), (vec![joined(&[IDR]), joined(&[P])], vec![]));
}

#[test]
fn pictures_with_a_repeated_timestamp_stay_apart() {
    let mut camera = Camera::new(Depacketizer::h264(&[], MAX_BYTES));
    camera.mark(0, [SPS, PPS, IDR]).mark(0, [P]).mark(0, [SEI, P]).mark(1, [P]);
    let outcome = camera.take();
    assert_eq!(outcome.timestamps(), [0, 0, 0, 1]);
    assert_eq!(outcome.units[2].data, joined(&[SEI, P]));
}

/// A STAP-A with `nals`.
fn aggregate(nals: &[&[u8]]) -> Vec<u8> {
    let with_length = |nal: &&[u8]| [&(nal.len() as u16).to_be_bytes(), *nal].concat();
    [vec![0x78], nals.iter().flat_map(with_length).collect()].concat()
}

#[test]
fn aggregates_and_fragments_are_put_together() {
    let mut camera = Camera::with_right_markers();
    camera.send(2, [&aggregate(&[DELIMITER, SPS, b"", PPS, SEI])]);
    camera.send(2, [&[0x7C, 0x85, 0x88, 1], &[0x7C, 0x05, 2]]).mark(2, [&[0x7C, 0x45, 3]]);
    camera.mark(3, [&aggregate(&[B, B_NEXT, FILLER])]);
    // A NAL unit that is whole in one fragment is against the RFC, and harmless.
    camera.mark(4, [&[0x5C, 0xC1, 0x9A, 7, 8]]);
    let outcome = camera.take();
    assert_eq!(outcome.errors, [""; 0]);
    let units: Vec<_> = outcome.units.iter().map(|unit| (unit.data.to_vec(), unit.dependency)).collect();
    let expected = [
        (joined(&[SEI, IDR]), Dependency::Keyframe),
        (joined(&[B, B_NEXT]), Dependency::Disposable),
        (joined(&[P]), Dependency::Reference),
    ];
    assert_eq!(units, expected);
}

#[test]
fn start_codes_inside_a_payload_are_taken_out() {
    let stream =
        [b"\0\0\0\x01", OTHER_SPS, b"\0\0\x01", PPS, b"\0\0\0\x01", SEI, b"\0\0\0\0\x01", IDR].concat();
    let mut camera = Camera::with_right_markers();
    camera.mark(2, [&stream]);
    // In fragments, with the header of the first NAL unit.
    let (header, rest) = (0x67 & 0x1F, &stream[5..]);
    let middle = rest.len() / 2;
    let fragment = |bits: u8, data: &[u8]| [&[0x7C, bits | header], data].concat();
    camera.send(3, [&fragment(0x80, &rest[..middle])]).mark(3, [&fragment(0x40, &rest[middle..])]);
    let outcome = camera.take();
    assert_eq!(outcome.timestamps(), [2, 3]);
    assert!(outcome.units.iter().all(|unit| unit.data == joined(&[SEI, IDR])), "{outcome:?}");
    assert_eq!(outcome.units[0].parameter_sets.as_ref().expect("changed")[0], OTHER_SPS);
}

#[test]
fn parameter_sets_are_told_when_they_change() {
    let sdp = [Bytes::from_static(PPS), Bytes::from_static(SPS)];
    let mut camera = Camera::new(Depacketizer::h264(&sdp, MAX_BYTES));
    let other_pps: &[u8] = &[0x68, 0xEB, 0xE4];
    let second_pps: &[u8] = &[0x68, 0x4B, 0xE4];
    camera.mark(0, [IDR]).mark(1, [SPS, PPS, IDR]).mark(2, [OTHER_SPS, IDR]).mark(3, [SPS, other_pps, IDR]);
    camera.mark(4, [second_pps, IDR]).mark(5, [OTHER_SPS, PPS, IDR]);
    let told: Vec<_> = camera.take().units.into_iter().map(|unit| unit.parameter_sets).collect();
    let expected: [Option<&[&[u8]]>; 6] = [
        Some(&[SPS, PPS]),
        None,
        Some(&[OTHER_SPS, PPS]),
        Some(&[SPS, other_pps]),
        Some(&[SPS, other_pps, second_pps]),
        // With a new SPS, older PPS are no longer in use.
        Some(&[OTHER_SPS, PPS]),
    ];
    let expected =
        expected.map(|sets| sets.map(|sets| sets.iter().copied().map(Bytes::from_static).collect()));
    assert_eq!(told, expected);
}

#[test]
fn another_size_with_sets_of_other_numbers_replaces_all_that_came_before() {
    let mut camera = Camera::with_right_markers();
    // The number follows the level: 1 is the bits 010.
    let second_sps: &[u8] = &[0x67, 0x64, 0x00, 0x1E, 0x4C, 0xD9];
    let second_pps: &[u8] = &[0x68, 0x4B, 0xE4];
    camera.mark(2, [second_sps, second_pps, IDR]).mark(3, [SPS, PPS, IDR]);
    let told: Vec<_> = camera.take().units.into_iter().flat_map(|unit| unit.parameter_sets).collect();
    assert_eq!(told, [[second_sps, second_pps], [SPS, PPS]]);
}

#[test]
fn a_picture_parameter_set_before_a_delta_frame_is_in_that_frame_and_then_in_the_format() {
    let mut camera = Camera::with_right_markers();
    let other_pps: &[u8] = &[0x68, 0xEB, 0xE4];
    camera.mark(2, [SPS, PPS, P]).mark(3, [other_pps, B]).mark(4, [other_pps, P]).mark(5, [IDR]);
    let units = camera.take().units;
    let data: Vec<_> = units.iter().map(|unit| unit.data.to_vec()).collect();
    assert_eq!(data, [joined(&[P]), joined(&[other_pps, B]), joined(&[P]), joined(&[IDR])]);
    assert_eq!(units[1].dependency, Dependency::Reference, "later frames need the set");
    let told: Vec<_> = units.into_iter().map(|unit| unit.parameter_sets).collect();
    let changed = [SPS, other_pps].map(Bytes::from_static).to_vec();
    assert_eq!(told, [None, None, None, Some(changed)]);
}

#[test]
fn a_sequence_parameter_set_before_a_delta_frame_waits_for_the_keyframe() {
    let mut camera = Camera::with_right_markers();
    camera.mark(2, [OTHER_SPS, PPS, P]).mark(3, [P]).mark(4, [IDR]);
    let units = camera.take().units;
    assert_eq!(units[0].data, joined(&[P]));
    let told: Vec<_> = units.into_iter().map(|unit| unit.parameter_sets).collect();
    assert_eq!(told, [None, None, Some([OTHER_SPS, PPS].map(Bytes::from_static).to_vec())]);
}

#[test]
fn parameter_sets_behind_the_picture_are_for_the_next_one() {
    let mut camera = Camera::with_right_markers();
    camera.send(2, [P, OTHER_SPS]).mark(3, [IDR]);
    let outcome = camera.take();
    let told: Vec<_> = outcome.units.iter().map(|unit| unit.parameter_sets.is_some()).collect();
    assert_eq!(told, [false, true]);
}

#[test]
fn parameter_sets_with_a_timestamp_of_their_own_make_no_unit() {
    let mut camera = Camera::with_right_markers();
    camera.mark(2, [OTHER_SPS, PPS, SEI]).mark(3, [IDR]);
    let outcome = camera.take();
    assert_eq!(outcome.timestamps(), [3]);
    assert_eq!(outcome.units[0].data, joined(&[IDR]));
    assert_eq!(outcome.units[0].parameter_sets.as_ref().expect("changed")[0], OTHER_SPS);
}
