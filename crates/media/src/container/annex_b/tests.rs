use std::sync::Arc;

use bytes::BufMut;

use super::{AccessUnit, AnnexBReader};
use crate::codec::nal::{to_annex_b, units};
use crate::codec::samples::{
    BASELINE, H265_10_BIT_CROPPED, H265_WITH_B_FRAMES, INTRA_REFRESH, MAIN_WITH_B_FRAMES, SLICES, units_of,
};
use crate::{Codec, Dependency, Error, Format};

const LIMIT_BYTES: usize = 1 << 20;

type Found = Vec<Result<AccessUnit, Error>>;

/// Reads a stream that arrives in pieces, which `add` adds to the reader.
fn read(
    reader: &mut AnnexBReader,
    stream: &[u8],
    piece_bytes: usize,
    add: fn(&mut AnnexBReader, &[u8]),
) -> Found {
    let mut found = Vec::new();
    for piece in stream.chunks(piece_bytes) {
        add(reader, piece);
        found.extend(std::iter::from_fn(|| reader.next_access_unit().transpose()));
    }
    reader.end();
    found.extend(std::iter::from_fn(|| reader.next_access_unit().transpose()));
    found
}

fn write(reader: &mut AnnexBReader, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        let mut room = reader.room();
        let len = bytes.len().min(room.remaining_mut());
        room.put_slice(&bytes[..len]);
        bytes = &bytes[len..];
    }
}

/// Reads a stream in pieces of several sizes, which must not change the result. Returns it with the number of access
/// units that were skipped.
fn read_anyhow(max_access_unit_bytes: usize, stream: &[u8]) -> (Found, u64) {
    let mut whole = AnnexBReader::new(None, max_access_unit_bytes);
    let found = read(&mut whole, stream, usize::MAX, AnnexBReader::push);
    for piece_bytes in [1, 2, 3, 5, 64, 1000] {
        for add in [AnnexBReader::push, write] {
            let mut reader = AnnexBReader::new(None, max_access_unit_bytes);
            assert_eq!(read(&mut reader, stream, piece_bytes, add), found, "{piece_bytes}");
            assert_eq!(reader.skipped_access_units(), whole.skipped_access_units(), "{piece_bytes}");
        }
    }
    (found, whole.skipped_access_units())
}

fn read_whole(stream: &[u8]) -> Vec<AccessUnit> {
    let (found, skipped) = read_anyhow(LIMIT_BYTES, stream);
    assert_eq!(skipped, 0);
    found.into_iter().collect::<Result<_, _>>().unwrap()
}

fn dependencies(access_units: &[AccessUnit]) -> String {
    let letter = |unit: &AccessUnit| match unit.dependency {
        Dependency::Keyframe => 'K',
        Dependency::Reference => 'R',
        Dependency::Disposable => 'D',
    };
    access_units.iter().map(letter).collect()
}

/// A stream of these NAL units.
fn stream_of<'a>(units: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
    units.into_iter().flat_map(|unit| [&[0, 0, 0, 1], unit].concat()).collect()
}

#[test]
fn streams_of_encoders_become_access_units_with_their_dependencies() {
    for (stream, codec, expected) in [
        (BASELINE, Codec::H264, "KRRKRR"),
        (MAIN_WITH_B_FRAMES, Codec::H264, "KRRDDRRDDRRD"),
        (SLICES, Codec::H264, "KRKR"),
        (INTRA_REFRESH, Codec::H264, "KRRRRR"),
        (H265_WITH_B_FRAMES, Codec::H265, "KRRDDRRDRRDD"),
        (H265_10_BIT_CROPPED, Codec::H265, "KRR"),
    ] {
        let found = read_whole(stream);
        assert_eq!((found[0].format.codec, &*dependencies(&found)), (codec, expected));
        assert!(found.iter().all(|unit| Arc::ptr_eq(&unit.format, &found[0].format)));
    }
}

#[test]
fn an_access_unit_holds_its_slices_and_sei_alone() {
    let found = read_whole(SLICES);
    assert_eq!(found.len(), 4);
    for access_unit in &found {
        let types: Vec<_> = units(&access_unit.data).map(|unit| unit.unwrap()[0] & 0x1F).collect();
        let slice = if access_unit.dependency == Dependency::Keyframe { 5 } else { 1 };
        assert_eq!(types, [slice; 4]);
    }
    let types: Vec<_> = units(&read_whole(INTRA_REFRESH)[0].data).map(|unit| unit.unwrap()[0]).collect();
    assert_eq!(types, [6, 0x65], "SEI stays");
    let types: Vec<_> =
        units(&read_whole(H265_10_BIT_CROPPED)[1].data).map(|unit| unit.unwrap()[0] >> 1).collect();
    assert_eq!(types, [1, 1]);
}

#[test]
fn what_is_read_has_all_bytes_of_the_stream_but_sets_and_delimiters() {
    for stream in [BASELINE, MAIN_WITH_B_FRAMES, SLICES, INTRA_REFRESH] {
        let expected: Vec<_> =
            units_of(stream).into_iter().filter(|unit| ![7, 8, 9].contains(&(unit[0] & 0x1F))).collect();
        let found = read_whole(stream);
        let read: Vec<_> = found.iter().flat_map(|unit| units(&unit.data)).map(Result::unwrap).collect();
        assert_eq!(read, expected);
        let again: Vec<_> = found
            .iter()
            .flat_map(|unit| to_annex_b(&unit.data, &unit.format.parameter_sets).unwrap().to_vec())
            .collect();
        let data = |units: Vec<AccessUnit>| units.into_iter().map(|unit| unit.data).collect::<Vec<_>>();
        assert_eq!(data(read_whole(&again)), data(found));
    }
}

#[test]
fn offsets_are_where_access_units_begin() {
    for access_unit in read_whole(BASELINE) {
        assert_eq!(BASELINE[access_unit.offset as usize - 3..][..3], [0, 0, 1]);
    }
    assert_eq!(read_whole(&[b"banner\n", BASELINE].concat())[0].offset, 7 + 4);
}

#[test]
fn a_change_of_the_sets_is_a_new_format_and_a_repetition_is_none() {
    let large = stream_of(units_of(BASELINE).iter().map(|unit| &unit[..]));
    let small = crate::codec::samples::CROPPED;
    let found = read_whole(&[&large[..], &large, small, &large].concat());
    let sizes: Vec<_> = found.iter().map(|unit| unit.format.width_px).collect();
    assert_eq!(sizes, [&[96; 12][..], &[100; 2], &[96; 6]].concat());
    let changes = found.windows(2).filter(|pair| !Arc::ptr_eq(&pair[0].format, &pair[1].format)).count();
    assert_eq!(changes, 2);
    assert!(found.iter().all(|unit| unit.format.parameter_sets.len() == 2), "old sets are gone");
}

#[test]
fn a_picture_parameter_set_alone_replaces_the_one_with_its_number() {
    let units = units_of(BASELINE);
    let [sps, pps, idr, slice] = [&units[0][..], &units[1], &units[2], &units[3]];
    // Number 0 is the bit 1; number 1 is 010.
    let (changed, added) = ([pps, &[0x80]].concat(), [0x68, 0x40 | pps[1] >> 3, 0x80]);
    let stream = stream_of([sps, pps, idr, &changed, slice, &added, slice, slice, sps, pps, idr]);
    let found = read_whole(&stream);
    let data: Vec<_> = found.iter().map(|unit| to_annex_b(&unit.data, &[]).unwrap()).collect();
    let expected = [
        stream_of([idr]),
        stream_of([&changed[..], slice]),
        stream_of([&added[..], slice]),
        stream_of([slice]),
    ];
    assert_eq!(data[..4], expected, "a decoder needs a changed set at once");
    assert!(found[..4].iter().all(|unit| unit.format.parameter_sets == [sps, pps]));
    assert_eq!(found[4].format.parameter_sets, [sps, pps, &added]);
}

#[test]
fn sequence_parameter_sets_in_the_midst_of_a_group_of_pictures_wait_for_the_keyframe() {
    let (one, other) = (units_of(BASELINE), units_of(crate::codec::samples::CROPPED));
    let [sps, pps, idr, slice] = [&one[0][..], &one[1], &one[2], &one[3]];
    let found = read_whole(&stream_of([sps, pps, idr, &other[0], &other[1], slice, slice, idr]));
    let widths: Vec<_> = found.iter().map(|unit| unit.format.width_px).collect();
    assert_eq!(widths, [96, 96, 96, 100]);
    assert!(Arc::ptr_eq(&found[0].format, &found[2].format));
    assert_eq!(found[1].data, found[2].data);
}

#[test]
fn what_comes_before_a_keyframe_is_skipped() {
    let units = units_of(BASELINE);
    let [sps, pps, idr, slice] = [&units[0][..], &units[1], &units[2], &units[3]];
    let (found, skipped) = read_anyhow(LIMIT_BYTES, &stream_of([slice, slice, sps, pps, slice, idr, slice]));
    let found: Vec<_> = found.into_iter().map(Result::unwrap).collect();
    assert_eq!((&*dependencies(&found), skipped), ("KR", 1), "nothing tells the codec before the first set");
}

#[test]
fn pictures_that_need_those_before_the_first_keyframe_are_skipped() {
    let units = units_of(crate::codec::samples::H265_OPEN_GOP);
    let starts: Vec<_> = (0..units.len()).filter(|at| units[*at][0] == 0x40).collect();
    let from = |start: usize| stream_of(units[start..].iter().map(|unit| &unit[..]));
    let (found, skipped) = read_anyhow(LIMIT_BYTES, &from(starts[0]));
    assert_eq!((found.len(), skipped), (28, 0), "who reads on gets all");
    let (found, skipped) = read_anyhow(LIMIT_BYTES, &from(starts[1]));
    assert_eq!((found.len(), skipped), (19, 2));
    assert_eq!(found[0].as_ref().unwrap().dependency, Dependency::Keyframe);
}

#[test]
fn a_keyframe_without_a_set_is_an_error_that_names_it() {
    let units = units_of(BASELINE);
    let [sps, pps, idr, slice] = [&units[0][..], &units[1], &units[2], &units[3]];
    let (found, skipped) = read_anyhow(LIMIT_BYTES, &stream_of([sps, idr, slice, pps, slice, idr, slice]));
    assert_eq!(found[0], Err(Error::NoParameterSet { set: "PPS" }));
    let rest: Vec<_> = found[1..].iter().map(|unit| unit.clone().unwrap()).collect();
    assert_eq!((&*dependencies(&rest), skipped), ("KR", 3));
}

#[test]
fn a_broken_set_is_one_error_until_another_comes() {
    let units = units_of(BASELINE);
    let [sps, pps, idr, slice] = [&units[0][..], &units[1], &units[2], &units[3]];
    let stream = stream_of([sps, pps, idr, &sps[..5], idr, slice, slice, sps, pps, slice, idr]);
    let (found, skipped) = read_anyhow(LIMIT_BYTES, &stream);
    assert!(matches!(found[1], Err(Error::ParameterSet { set: "SPS", .. })), "{:?}", found[1]);
    assert_eq!((found.len(), skipped), (3, 4));
}

#[test]
fn an_access_unit_over_the_limit_is_one_error_with_its_place() {
    let units = units_of(BASELINE);
    let [sps, pps, idr, slice] = [&units[0][..], &units[1], &units[2], &units[3]];
    let long = |len_bytes: usize| [slice, &vec![0x55; len_bytes - slice.len()]].concat();
    let limit_bytes = 2000;
    let (fits, exceeds, far_exceeds) = (long(limit_bytes - 4), long(limit_bytes - 3), long(9 * limit_bytes));
    let (found, skipped) = read_anyhow(limit_bytes, &stream_of([sps, pps, idr, &fits, slice]));
    assert_eq!((found.len(), skipped), (3, 0));
    assert_eq!(found[1].as_ref().unwrap().data.len(), limit_bytes);
    for too_long in [exceeds, far_exceeds] {
        let head = stream_of([sps, pps, idr]);
        let stream = [&head, &stream_of([&too_long, slice, sps, pps, idr, slice])[..]].concat();
        let (found, skipped) = read_anyhow(limit_bytes, &stream);
        assert_eq!(found[1], Err(Error::TooLarge { offset: head.len() as u64 + 4, limit_bytes }));
        let pictures: Vec<_> = found.into_iter().flatten().collect();
        assert_eq!((&*dependencies(&pictures), skipped), ("KKR", 2), "nothing without its reference");
    }
}

#[test]
fn a_stream_that_is_no_video_gives_nothing_and_holds_nothing() {
    let mut reader = AnnexBReader::new(None, 100);
    let text = b"ffmpeg version 5.1\0\0\0\n".repeat(1000);
    assert_eq!(read(&mut reader, &text, 7, AnnexBReader::push), []);
    assert_eq!(reader.codec(), None);
}

#[test]
fn the_codec_can_be_told() {
    let stream = H265_WITH_B_FRAMES;
    let mut reader = AnnexBReader::new(Some(Codec::H264), LIMIT_BYTES);
    assert_eq!(read(&mut reader, stream, 64, AnnexBReader::push), []);
    let mut reader = AnnexBReader::new(Some(Codec::H265), LIMIT_BYTES);
    assert_eq!(read(&mut reader, stream, 64, AnnexBReader::push).len(), 12);
    assert_eq!(Format::new(Codec::H265, 1, 1).codec, reader.codec().unwrap());
}
