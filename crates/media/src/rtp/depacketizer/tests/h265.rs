//! What is particular to H.265.

use super::*;

const VPS: &[u8] = &[0x40, 1, 0x0C, 1];
const SPS: &[u8] = &[0x42, 1, 0x01, 1];
/// For three temporal sub-layers.
const LAYERED_SPS: &[u8] = &[0x42, 1, 0x05, 1];
const PPS: &[u8] = &[0x44, 1, 0xC1, 1];
const IDR: &[u8] = &[0x26, 1, 0xAF, 1];
const CRA: &[u8] = &[0x2A, 1, 0xAF, 2];
const BLA: &[u8] = &[0x20, 1, 0xAF, 3];
const RASL: &[u8] = &[0x10, 1, 0xD0, 4];
const TRAIL: &[u8] = &[0x02, 1, 0xD0, 5];
/// A picture that no other of its sub-layer needs: in the lowest one and in the highest of three.
const UNREFERENCED: &[u8] = &[0x00, 1, 0xE0, 6];
const UNREFERENCED_NEXT: &[u8] = &[0x00, 1, 0x60, 7];
const HIGHEST: &[u8] = &[0x00, 3, 0xE0, 8];

fn camera() -> Camera {
    let sdp = [PPS, SPS, VPS].map(Bytes::from_static);
    let mut camera = Camera::new(Depacketizer::h265(&sdp, MAX_BYTES));
    camera.mark(0, [IDR]).mark(1, [TRAIL]).take();
    camera
}

#[test]
fn aggregates_and_fragments_are_put_together() {
    let mut camera = camera();
    let aggregate =
        [&[0x60, 1, 0, 4][..], VPS, &[0, 4], LAYERED_SPS, &[0, 4], PPS, &[0, 3, 0x4E, 1, 5]].concat();
    camera.send(2, [&aggregate]).send(2, [&[0x62, 1, 0x93, 0xAF], &[0x62, 1, 0x13, 1, 2]]);
    camera.mark(2, [&[0x62, 1, 0x53, 3]]);
    let outcome = camera.take();
    assert_eq!(outcome.errors, [""; 0]);
    assert_eq!(outcome.units[0].data, joined(&[&[0x4E, 1, 5], &[0x26, 1, 0xAF, 1, 2, 3]]));
    let sets = outcome.units[0].parameter_sets.clone();
    assert_eq!(sets, Some([VPS, LAYERED_SPS, PPS].map(Bytes::from_static).to_vec()));
}

#[test]
fn pictures_that_refer_to_pictures_before_a_keyframe_after_a_loss_are_dropped() {
    let mut camera = camera();
    camera.mark(2, [CRA]).mark(3, [RASL]).mark(4, [TRAIL]);
    assert_eq!(camera.take().timestamps(), [2, 3, 4]);
    camera
        .lose(1)
        .mark(5, [TRAIL])
        .mark(6, [CRA])
        .mark(7, [RASL])
        .mark(8, [TRAIL])
        .mark(9, [CRA])
        .mark(10, [RASL]);
    assert_eq!(camera.take().timestamps(), [6, 8, 9, 10]);
    camera.mark(11, [BLA]).mark(12, [RASL]).mark(13, [IDR]);
    assert_eq!(camera.take().timestamps(), [11, 13]);
    assert_eq!(camera.depacketizer.counts().without_reference, 3);
}

#[test]
fn a_picture_is_disposable_only_in_the_highest_sub_layer() {
    let mut camera = camera();
    camera.mark(2, [UNREFERENCED]).send(3, [UNREFERENCED]).lose(1).mark(3, [UNREFERENCED_NEXT]);
    camera.mark(4, [VPS, LAYERED_SPS, PPS, IDR]).mark(5, [UNREFERENCED]).mark(6, [HIGHEST]);
    let outcome = camera.take();
    let found: Vec<_> = outcome.units.iter().map(|unit| (unit.rtp_timestamp, unit.dependency)).collect();
    let expected = [
        (2, Dependency::Disposable),
        (4, Dependency::Keyframe),
        (5, Dependency::Reference),
        (6, Dependency::Disposable),
    ];
    assert_eq!(found, expected);
    // Pictures of a higher sub-layer may need what is missing.
    camera.send(7, [UNREFERENCED]).lose(1).mark(7, [UNREFERENCED_NEXT]).mark(8, [TRAIL]);
    assert_eq!(camera.take().timestamps(), [0; 0]);
}

#[test]
fn units_of_types_without_a_meaning_are_left_out() {
    let mut camera = camera();
    camera.mark(2, [&[0x66, 1], IDR, &[0x7E, 1, 5]]);
    camera.mark(3, [&[0x62, 1, 0xBE, 9], &[0x62, 1, 0x7E, 9], TRAIL]);
    let outcome = camera.take();
    let data: Vec<_> = outcome.units.iter().map(|unit| unit.data.to_vec()).collect();
    assert_eq!((data, outcome.errors), (vec![joined(&[IDR]), joined(&[TRAIL])], vec![]));
}

#[test]
fn structures_that_are_not_supported_are_named() {
    for (payload, expected) in [
        (
            &[0x64, 1, 0][..],
            "RTP packet 2, byte 0 of the payload: the payload structure PACI is not supported",
        ),
        (&[0x62, 1], "RTP packet 2, byte 2 of the payload: the packet ends 1 bytes too early for the header"),
        (&[0x02], "RTP packet 2, byte 1 of the payload: the packet ends 1 bytes too early for the header of"),
        (&[0x82, 1, 0], "RTP packet 2, byte 0 of the payload: the NAL unit is marked as broken"),
    ] {
        let mut camera = camera();
        camera.mark(2, [payload]);
        let errors = camera.take().errors;
        assert!(errors.len() == 1 && errors[0].starts_with(expected), "{errors:?} is not {expected:?}");
    }
}
