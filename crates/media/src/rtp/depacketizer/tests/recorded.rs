//! What ffmpeg sent, compared with the byte stream that it wrote of the same pictures.

use std::path::Path;

use super::*;
use crate::rtp::{ReorderBuffer, ReorderLimits};

fn file(name: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata").join(name)).expect("a file")
}

/// The packets of a capture, in which each stands behind its length as two bytes.
fn packets(name: &str) -> Vec<Bytes> {
    let capture = Bytes::from(file(name));
    let mut rest = &capture[..];
    let next = || {
        let (length, after) = rest.split_first_chunk()?;
        let (packet, after) = after.split_at(u16::from_be_bytes(*length).into());
        rest = after;
        Some(capture.slice_ref(packet))
    };
    std::iter::from_fn(next).collect()
}

/// The NAL units of a byte stream.
fn nals(stream: &[u8]) -> Vec<&[u8]> {
    let mut starts: Vec<_> = memmem::find_iter(stream, &[0, 0, 1]).map(|at| at + 3).collect();
    starts.push(stream.len() + 3);
    let until_next = |pair: &[usize]| (pair[0], pair[1] - 3);
    let ranges = starts.windows(2).map(until_next);
    ranges.map(|(start, end)| stream[start..end].strip_suffix(&[0]).unwrap_or(&stream[start..end])).collect()
}

fn run(mut depacketizer: Depacketizer, packets: &[Bytes], limits: ReorderLimits) -> (Outcome, UnitCounts) {
    let mut reorder = ReorderBuffer::new(limits);
    let mut outcome = Outcome::default();
    for packet in packets {
        reorder.push(packet).expect("RTP");
        while let Some(packet) = reorder.next_packet() {
            outcome.errors.extend(depacketizer.push(&packet).err().map(|error| error.to_string()));
            outcome.units.extend(std::iter::from_fn(|| depacketizer.next_unit()));
        }
    }
    (outcome, depacketizer.counts())
}

/// Checks that the packets of `capture` give the NAL units of `stream`, and returns the access units.
fn assert_same(depacketizer: Depacketizer, capture: &str, stream: &str) -> Vec<ReceivedUnit> {
    let syntax = depacketizer.syntax;
    let (outcome, counts) = run(depacketizer, &packets(capture), ReorderLimits::TCP);
    assert_eq!(outcome.errors, [""; 0]);
    assert_eq!(counts, UnitCounts { whole: outcome.units.len() as u64, ..UnitCounts::default() });
    let stream = file(stream);
    let is_in_frame = |nal: &&[u8]| matches!(syntax.role(nal), Role::Slice(_) | Role::Other);
    let expected: Vec<_> = nals(&stream).into_iter().filter(is_in_frame).collect();
    let data: Vec<_> = outcome.units.iter().flat_map(|unit| unit.data.to_vec()).collect();
    assert!(data == joined(&expected), "other NAL units than in the byte stream");
    outcome.units
}

fn letters(units: &[ReceivedUnit]) -> String {
    let letter = |unit: &ReceivedUnit| match unit.dependency {
        Dependency::Keyframe => 'I',
        Dependency::Reference => 'P',
        Dependency::Disposable => 'b',
    };
    units.iter().map(letter).collect()
}

#[test]
fn h264_of_ffmpeg_comes_out_as_its_encoder_made_it() {
    let units = assert_same(Depacketizer::h264(&[], MAX_BYTES), "ffmpeg-h264.rtp", "ffmpeg-h264-rtp.h264");
    assert_eq!(letters(&units), "IPbbPbbPIPbbPbbPIPbbPbbP");
    let with_sets: Vec<_> = units.iter().map(|unit| unit.parameter_sets.as_ref().map(Vec::len)).collect();
    assert_eq!(with_sets[0], Some(2));
    assert!(with_sets[1..].iter().all(Option::is_none));
    let since_first = |unit: &ReceivedUnit| unit.rtp_timestamp.wrapping_sub(units[0].rtp_timestamp);
    let steps: Vec<_> = units[..8].iter().map(since_first).collect();
    assert_eq!(steps, [0, 27_000, 9_000, 18_000, 54_000, 36_000, 45_000, 63_000]);
}

#[test]
fn h265_of_ffmpeg_comes_out_as_its_encoder_made_it() {
    let units = assert_same(Depacketizer::h265(&[], MAX_BYTES), "ffmpeg-h265.rtp", "ffmpeg-h265-rtp.h265");
    assert_eq!(letters(&units), "IPbbPbbPIPbbPbbPIPbb");
    assert_eq!(units[0].parameter_sets.as_ref().map(Vec::len), Some(3));
}

#[test]
fn a_lost_packet_costs_at_most_the_pictures_up_to_the_next_keyframe() {
    let h264 = || Depacketizer::h264(&[], MAX_BYTES);
    let h265 = || Depacketizer::h265(&[], MAX_BYTES);
    for (name, new) in [("ffmpeg-h264.rtp", h264 as fn() -> Depacketizer), ("ffmpeg-h265.rtp", h265)] {
        let all = packets(name);
        let (whole, _) = run(new(), &all, ReorderLimits::TCP);
        for lost in 0..all.len() {
            let mut rest = all.clone();
            rest.remove(lost);
            let (outcome, _) = run(new(), &rest, ReorderLimits::TCP);
            assert!(outcome.units.len() < whole.units.len(), "{name} without packet {lost}");
            assert!(outcome.units.len() + 16 >= whole.units.len(), "{name} without packet {lost}");
            assert_decodable(&whole.units, &outcome.units);
        }
    }
}

/// Checks that `units` are some of `whole`, and that none but disposable ones are missing since the last keyframe.
fn assert_decodable(whole: &[ReceivedUnit], units: &[ReceivedUnit]) {
    let mut next = 0;
    for unit in units {
        let same =
            |other: &ReceivedUnit| other.rtp_timestamp == unit.rtp_timestamp && other.data == unit.data;
        let at = whole.iter().position(same).expect("a unit that the camera sent");
        assert!(at >= next, "units came out of order");
        let is_disposable = |unit: &ReceivedUnit| unit.dependency == Dependency::Disposable;
        assert!(unit.dependency == Dependency::Keyframe || whole[next..at].iter().all(is_disposable));
        next = at + 1;
    }
}

#[test]
fn packets_in_disorder_give_the_same_pictures() {
    let all = packets("ffmpeg-h264.rtp");
    let (whole, _) = run(Depacketizer::h264(&[], MAX_BYTES), &all, ReorderLimits::TCP);
    let mut disordered = all;
    disordered[1..].chunks_mut(7).for_each(<[Bytes]>::reverse);
    let (outcome, counts) = run(Depacketizer::h264(&[], MAX_BYTES), &disordered, ReorderLimits::UDP);
    assert_eq!(outcome.units, whole.units);
    assert_eq!(counts.whole, 24);
}
