//! Any bytes as the output of a program: the result is the same however the bytes are divided, and the bound holds. The
//! first byte of the input chooses the division.
#![no_main]

use framecast_fuzz::pieces;
use framecast_media::Error;
use framecast_media::container::{StreamItem, StreamReader};
use libfuzzer_sys::fuzz_target;

const MAX_PICTURE_BYTES: usize = 3000;

fn read<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Vec<Result<StreamItem, Error>> {
    let mut reader = StreamReader::new(MAX_PICTURE_BYTES);
    let mut found = Vec::new();
    for piece in pieces {
        reader.push(piece);
        if !take(&mut reader, &mut found) {
            return found;
        }
    }
    reader.end();
    take(&mut reader, &mut found);
    found
}

/// Takes what is in the bytes so far. Returns whether the stream can be read on.
fn take(reader: &mut StreamReader, found: &mut Vec<Result<StreamItem, Error>>) -> bool {
    while let Some(next) = reader.next_item().transpose() {
        let is_final = next.as_ref().is_err_and(|error| !reader.is_readable_after(error));
        found.push(next);
        if is_final {
            return false;
        }
    }
    true
}

fuzz_target!(|data: &[u8]| {
    let Some((&seed, stream)) = data.split_first() else { return };
    let whole = read(std::iter::once(stream));
    assert_eq!(read(pieces(stream, seed)), whole);
    for item in whole.iter().flatten() {
        match item {
            StreamItem::Picture(picture) => {
                assert!(picture.data.len() <= MAX_PICTURE_BYTES);
                assert_eq!(stream[picture.offset as usize..][..picture.data.len()], picture.data);
                picture.captured_at();
            }
            StreamItem::AccessUnit(unit) => assert!(unit.data.len() <= MAX_PICTURE_BYTES),
            // Lengths of one byte become four bytes.
            StreamItem::Sample(sample) => assert!(sample.data.len() <= 4 * MAX_PICTURE_BYTES),
            _ => {}
        }
    }
});
