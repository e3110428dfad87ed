//! Losses and broken packets: nothing comes out whose reference is missing.

use super::*;

#[test]
fn nothing_comes_out_before_a_keyframe_with_parameter_sets() {
    let mut camera = Camera::new(Depacketizer::h264(&[], MAX_BYTES));
    camera.mark(0, [P_NEXT]).mark(1, [P]).mark(2, [IDR]).mark(3, [P]).mark(4, [SPS, PPS, IDR]).mark(5, [P]);
    assert_eq!(camera.take().timestamps(), [4, 5]);
    let expected = UnitCounts {
        whole: 2,
        damaged: 1,
        without_reference: 0,
        before_first_keyframe: 2,
        without_parameter_sets: 1,
    };
    assert_eq!(camera.depacketizer.counts(), expected);
}

#[test]
fn a_loss_costs_all_up_to_the_next_keyframe() {
    let mut camera = Camera::with_right_markers();
    camera.send(2, [P]).lose(1).mark(2, [P_NEXT]).mark(3, [P]).mark(4, [B]);
    camera.mark(5, [SPS, PPS, IDR]).mark(6, [P]);
    assert_eq!(camera.take().timestamps(), [5, 6]);
    let counts = camera.depacketizer.counts();
    assert_eq!((counts.damaged, counts.without_reference), (1, 2));
    // Here the loss is between two pictures.
    camera.lose(2).mark(8, [P]).mark(9, [SPS, PPS, IDR]);
    assert_eq!(camera.take().timestamps(), [9]);
}

#[test]
fn a_loss_within_a_disposable_picture_costs_that_picture_alone() {
    let mut camera = Camera::with_right_markers();
    camera.send(2, [B]).lose(1).mark(2, [B_NEXT]).mark(3, [P]);
    assert_eq!(camera.take().timestamps(), [3]);
    // Its last packet is missing: perhaps a whole picture is, too.
    camera.send(4, [B]).lose(1).mark(5, [P]).mark(6, [P]);
    assert_eq!(camera.take().timestamps(), [0; 0]);
    assert_eq!(camera.depacketizer.counts().damaged, 2);
}

#[test]
fn a_keyframe_right_after_a_loss_must_have_its_first_slice_and_its_parameter_sets() {
    let mut camera = Camera::with_right_markers();
    camera.lose(1).mark(2, [IDR]).mark(3, [P]);
    assert_eq!(camera.take().timestamps(), [0; 0]);
    camera.lose(1).mark(4, [SPS, PPS, IDR_NEXT]);
    assert_eq!(camera.take().timestamps(), [0; 0]);
    camera.lose(1).mark(5, [SPS, PPS, IDR, IDR_NEXT]);
    assert_eq!(camera.take().timestamps(), [5]);
    // A stream without parameter sets in band cannot have lost any.
    let sdp = [Bytes::from_static(SPS), Bytes::from_static(PPS)];
    let mut camera = Camera::new(Depacketizer::h264(&sdp, MAX_BYTES));
    camera.mark(0, [IDR]).mark(1, [P]).take();
    camera.lose(1).mark(2, [P]).lose(1).mark(3, [IDR]).mark(4, [P]);
    assert_eq!(camera.take().timestamps(), [3, 4]);
}

#[test]
fn a_sender_that_starts_anew_is_taken_up_at_its_keyframe() {
    let mut camera = Camera::with_right_markers();
    camera.restart().mark(1, [P]).mark(2, [SPS, PPS, IDR]).mark(3, [P]);
    assert_eq!(camera.take().timestamps(), [2, 3]);
}

#[test]
fn broken_fragments_cost_their_picture_and_are_named() {
    let (start, middle, end): (&[u8], &[u8], &[u8]) =
        (&[0x5C, 0x81, 0x9A], &[0x5C, 0x01, 7], &[0x5C, 0x41, 8]);
    let no_start = "byte 0 of the payload: a fragment of a NAL unit whose first fragment is missing";
    let no_end = "byte 0 of the payload: the last fragment of the NAL unit before is missing";
    for (payloads, expected) in [
        (&[middle, end][..], Some(no_start)),
        (&[end], Some(no_start)),
        (&[start, start, end], Some(no_end)),
        (&[start, middle, P], Some(no_end)),
        (&[start, middle], None),
    ] {
        let mut camera = Camera::with_right_markers();
        payloads.iter().for_each(|payload| camera.packet(2, false, payload));
        camera.mark(3, [P]).mark(4, [SPS, PPS, IDR]);
        let outcome = camera.take();
        assert_eq!(outcome.timestamps(), [4], "{payloads:?}");
        let what = |error: &String| error.split_once(", ").expect("a comma").1.to_owned();
        let errors: Vec<_> = outcome.errors.iter().map(what).collect();
        assert_eq!(errors, Vec::from_iter(expected), "{payloads:?}");
        assert_eq!(camera.depacketizer.counts().damaged, 1);
    }
}

#[test]
fn structures_that_are_not_supported_are_named() {
    for (payload, expected) in [
        (&[0x79, 0, 1][..], "byte 0 of the payload: the payload structure STAP-B is not supported"),
        (&[0x7A], "byte 0 of the payload: the payload structure MTAP16 is not supported"),
        (&[0x7B], "byte 0 of the payload: the payload structure MTAP24 is not supported"),
        (&[0x7D], "byte 0 of the payload: the payload structure FU-B is not supported"),
        (&[0xE5, 0x88], "byte 0 of the payload: the NAL unit is marked as broken"),
        (&[0x7C], "byte 1 of the payload: the packet ends 1 bytes too early for the header of a fragment"),
        (&[0x78, 0, 1, 9, 0], "byte 5 of the payload: the packet ends 1 bytes too early for the length of"),
        (&[0x78, 0, 9, 1], "byte 4 of the payload: the packet ends 8 bytes too early for a NAL unit of an"),
    ] {
        let mut camera = Camera::with_right_markers();
        camera.send(2, [payload]).mark(2, [P]).mark(3, [SPS, PPS, IDR]);
        let outcome = camera.take();
        let expected = format!("RTP packet 4, {expected}");
        assert!(outcome.errors[0].starts_with(&expected), "{:?} is not {expected:?}", outcome.errors);
        assert_eq!((outcome.errors.len(), outcome.timestamps()), (1, vec![3]));
    }
}

#[test]
fn a_unit_over_the_limit_is_an_error_once_and_the_next_keyframe_comes_out() {
    let mut camera = Camera::new(Depacketizer::h264(&[], 40));
    let large = [&IDR[..2], &[7; 30]].concat();
    camera
        .mark(0, [SPS, PPS, IDR])
        .send(1, [SPS, PPS, &large, &large, &large])
        .mark(1, [&large])
        .mark(2, [P]);
    let fragment = [[0x7C, 0x05].as_slice(), &[7; 40]].concat();
    camera.send(3, [&[0x7C, 0x85, 0x88], &fragment]).mark(3, [&[0x7C, 0x45]]);
    camera.mark(4, [SPS, PPS, IDR]).mark(5, [P]).mark(6, [P]);
    let outcome = camera.take();
    let expected = [
        "the access unit with RTP timestamp 1 has 72 bytes or more; the limit is 40",
        "the access unit with RTP timestamp 3 has 50 bytes or more; the limit is 40",
    ];
    assert_eq!(outcome.errors, expected);
    assert_eq!(outcome.timestamps(), [0, 4, 5, 6]);
    let counts = camera.depacketizer.counts();
    assert_eq!((counts.damaged, counts.without_reference), (2, 1));
}

#[test]
fn parameter_sets_are_bounded_in_size_and_in_number_for_each_unit() {
    let mut camera = Camera::with_right_markers();
    let large = [PPS, &[1; MAX_SET_BYTES]].concat();
    camera.mark(3, [SPS, &large]);
    assert_eq!(camera.take().errors, ["the PPS of the video has 4099 bytes; the limit is 4096"]);
    // Each has a number of its own.
    for (timestamp, first) in [(4, 1), (5, 17), (6, 33)] {
        for number in first..first + 30_u32 {
            let code = (number + 1) << (15 - 2 * (number + 1).ilog2());
            let [_, _, high, low] = code.to_be_bytes();
            camera.send(timestamp, [&[0x68, high, low, 1]]);
        }
        camera.mark(timestamp, [IDR]);
    }
    let told: Vec<_> = camera.take().units.into_iter().flat_map(|unit| unit.parameter_sets).collect();
    assert_eq!(told.iter().map(Vec::len).collect::<Vec<_>>(), [18, 34, 50]);
}
