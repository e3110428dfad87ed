//! Any bytes as the output of a program: the result is the same however the bytes are divided, and the bound holds. The
//! first byte of the input chooses the division.
#![no_main]

use framecast_fuzz::pieces;
use framecast_media::Error;
use framecast_media::container::{Picture, PictureReader};
use libfuzzer_sys::fuzz_target;

const MAX_PICTURE_BYTES: usize = 3000;

fn read<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Vec<Result<Picture, Error>> {
    let mut reader = PictureReader::new(MAX_PICTURE_BYTES);
    let mut found = Vec::new();
    for piece in pieces {
        reader.push(piece);
        while let Some(next) = reader.next_picture().transpose() {
            let is_final = matches!(next, Err(Error::NotPictures { .. } | Error::Multipart { .. }));
            found.push(next);
            if is_final {
                return found;
            }
        }
    }
    found.extend(reader.finish().transpose());
    found
}

fuzz_target!(|data: &[u8]| {
    let Some((&seed, stream)) = data.split_first() else { return };
    let whole = read(std::iter::once(stream));
    assert_eq!(read(pieces(stream, seed)), whole);
    for picture in whole.iter().flatten() {
        assert!(picture.data.len() <= MAX_PICTURE_BYTES);
        assert_eq!(stream[picture.offset as usize..][..picture.data.len()], picture.data);
        picture.captured_at();
    }
});
