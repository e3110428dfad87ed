//! Any bytes as a byte stream of coded video: the result is the same however the bytes are divided, the limit holds,
//! and no picture comes without the ones that it needs, also if the stream pauses anywhere. The first byte of the input
//! chooses the division, the second one the codec.
#![no_main]

use bytes::BufMut;
use framecast_fuzz::pieces;
use framecast_media::codec::nal::{to_annex_b, units};
use framecast_media::container::{AccessUnit, AnnexBReader};
use framecast_media::{Codec, Dependency, Error};
use libfuzzer_sys::fuzz_target;

const MAX_ACCESS_UNIT_BYTES: usize = 600;

type Found = (Vec<Result<AccessUnit, Error>>, u64, Option<Codec>);

/// Writes `bytes` into the reader's room, as reads from a pipe do.
fn write(reader: &mut AnnexBReader, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        let mut room = reader.room();
        let (head, rest) = bytes.split_at(bytes.len().min(room.remaining_mut()));
        room.put_slice(head);
        bytes = rest;
    }
}

/// Reads a stream that arrives in pieces, which `add` adds to the reader. Pauses after each if `is_live`.
fn read<'a>(
    codec: Option<Codec>,
    pieces: impl Iterator<Item = &'a [u8]>,
    add: fn(&mut AnnexBReader, &[u8]),
    is_live: bool,
) -> Found {
    let mut reader = AnnexBReader::new(codec, MAX_ACCESS_UNIT_BYTES);
    let mut found = Vec::new();
    for piece in pieces {
        add(&mut reader, piece);
        found.extend(std::iter::from_fn(|| reader.next_access_unit().transpose()));
        if is_live {
            reader.pause();
            found.extend(std::iter::from_fn(|| reader.next_access_unit().transpose()));
        }
    }
    reader.end();
    found.extend(std::iter::from_fn(|| reader.next_access_unit().transpose()));
    (found, reader.skipped_access_units(), reader.codec())
}

fuzz_target!(|data: &[u8]| {
    let [seed, choice, stream @ ..] = data else { return };
    let codec = [None, Some(Codec::H264), Some(Codec::H265)][usize::from(choice % 3)];
    let whole = read(codec, std::iter::once(stream), AnnexBReader::push, false);
    assert_eq!(read(codec, pieces(stream, *seed), AnnexBReader::push, false), whole);
    assert_eq!(read(codec, pieces(stream, *seed), write, false), whole);
    check(&whole, stream);
    check(&read(codec, pieces(stream, *seed), AnnexBReader::push, true), stream);
});

/// Checks what was read of `stream`.
fn check((found, ..): &Found, stream: &[u8]) {
    let mut has_reference = false;
    let mut last_offset = 0;
    for access_unit in found {
        let Ok(access_unit) = access_unit else {
            has_reference = false;
            continue;
        };
        has_reference |= access_unit.dependency == Dependency::Keyframe;
        assert!(has_reference, "a picture without the ones that it needs");
        // Beside parameter sets that changed.
        assert!(access_unit.data.len() <= MAX_ACCESS_UNIT_BYTES + (300 << 10));
        assert!(access_unit.offset >= last_offset && access_unit.offset < stream.len() as u64);
        last_offset = access_unit.offset;
        assert!(units(&access_unit.data).all(|unit| unit.is_ok_and(|unit| !unit.is_empty())));
        to_annex_b(&access_unit.data, &access_unit.format.parameter_sets).expect("all lengths fit");
    }
}
