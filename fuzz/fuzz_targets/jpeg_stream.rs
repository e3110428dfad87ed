//! Any bytes as concatenated pictures: the result is the same however the bytes are divided, the bound holds, every
//! byte is accounted for. The first byte of the input chooses the division.
#![no_main]

use bytes::BufMut;
use framecast_fuzz::pieces;
use framecast_media::Error;
use framecast_media::codec::jpeg::parse_markers;
use framecast_media::container::{Picture, jpeg_stream::Splitter};
use libfuzzer_sys::fuzz_target;

const MAX_PICTURE_BYTES: usize = 3000;

type Found = (Vec<Result<Picture, Error>>, u64, Result<(), Error>);

/// Writes `bytes` into the splitter's room, as reads from a socket do.
fn write(splitter: &mut Splitter, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        let mut room = splitter.room();
        let (head, rest) = bytes.split_at(bytes.len().min(room.remaining_mut()));
        room.put_slice(head);
        bytes = rest;
    }
}

/// Splits a stream that arrives in pieces, which `add` adds to the splitter.
fn split<'a>(pieces: impl Iterator<Item = &'a [u8]>, add: fn(&mut Splitter, &[u8])) -> Found {
    let mut splitter = Splitter::new(MAX_PICTURE_BYTES);
    let mut found = Vec::new();
    for piece in pieces {
        add(&mut splitter, piece);
        while let Some(next) = splitter.next_picture().transpose() {
            found.push(next);
        }
    }
    (found, splitter.skipped_bytes(), splitter.finish())
}

fuzz_target!(|data: &[u8]| {
    let Some((&seed, stream)) = data.split_first() else { return };
    let whole = split(std::iter::once(stream), Splitter::push);
    assert_eq!(split(pieces(stream, seed), Splitter::push), whole);
    assert_eq!(split(pieces(stream, seed), write), whole);
    let mut accounted = whole.1;
    for picture in whole.0.iter().flatten() {
        assert!(picture.data.len() <= MAX_PICTURE_BYTES);
        assert_eq!(stream[picture.offset as usize..][..picture.data.len()], picture.data);
        let header = parse_markers(&picture.data).expect("every picture is complete");
        assert_eq!((picture.jpeg_header, picture.data.len()), (Some(header), header.len_bytes));
        accounted += picture.data.len() as u64;
    }
    let held = stream.len() as u64 - accounted;
    assert!(held <= MAX_PICTURE_BYTES as u64);
});
