//! What must hold for any bytes: the scanner, the door, the finder and the decoder agree and never panic.
//! The fuzz target checks the same on bytes of its own making.

use framecast_media::codec::jpeg::{self, Finder, Problem};
use framecast_media::{Bytes, Error};

const PICTURES: [&[u8]; 4] = [
    include_bytes!("../../../testdata/ffmpeg-mjpeg.jpg"),
    include_bytes!("../../../testdata/ffmpeg-mjpeg-no-dht.jpg"),
    include_bytes!("../../../testdata/ffmpeg-exif-thumbnail.jpg"),
    include_bytes!("../../../testdata/imagemagick-progressive.jpg"),
];

/// Gives `data` to a finder in pieces whose sizes follow from `seed`.
fn find_in_pieces(data: &[u8], seed: usize) -> Result<Option<usize>, Error> {
    let mut finder = Finder::new();
    let (mut len, mut step) = (0, seed);
    while len < data.len() {
        if let Some(end) = finder.advance(&data[..len])? {
            return Ok(Some(end));
        }
        step = step.wrapping_mul(1_103_515_245).wrapping_add(12_345) % 4096;
        len += 1 + step % 997;
    }
    finder.advance(data)
}

fn check(data: &[u8], seed: usize) {
    let scanned = jpeg::scan(data);
    match find_in_pieces(data, seed) {
        Ok(Some(end)) => assert_eq!(scanned.as_ref().map(|header| header.len_bytes), Ok(end)),
        Ok(None) => {
            let truncated = Error::Jpeg { offset: data.len(), problem: Problem::Truncated };
            assert_eq!(scanned.as_ref(), Err(&truncated));
        }
        Err(error) => assert_eq!(scanned.as_ref(), Err(&error)),
    }
    let whole = Bytes::copy_from_slice(data);
    match (jpeg::admit(whole.clone()), scanned) {
        (Ok(admitted), Ok(scanned)) => {
            let header = admitted.header;
            assert_eq!(jpeg::scan(&admitted.data), Ok(header));
            assert!(admitted.data.len() <= scanned.len_bytes + 420);
            assert_eq!((header.width_px, header.height_px), (scanned.width_px, scanned.height_px));
        }
        // A whole picture behind one that is damaged, or behind padding.
        (Ok(admitted), Err(_)) => {
            assert!(admitted.is_repaired || data.starts_with(&[0]));
            assert_eq!(jpeg::scan(&admitted.data), Ok(admitted.header));
        }
        (Err(admitted), Err(scanned)) => {
            let hidden = Error::Jpeg { offset: 0, problem: Problem::NoSoi };
            assert!(admitted == scanned || scanned == hidden, "{scanned:?}, but {admitted:?}");
        }
        (admitted, scanned) => panic!("{scanned:?}, but {admitted:?}"),
    }
    if let Ok(admitted) = jpeg::admit_complete(whole) {
        assert_eq!(jpeg::scan(&admitted.data), Ok(admitted.header));
    }
}

#[test]
fn all_readers_agree_about_damaged_pictures() {
    for picture in PICTURES {
        let mut damaged = picture.to_vec();
        for at in 0..picture.len() {
            for value in [0x00, 0xD9, 0xFF, picture[at] ^ 0x10] {
                damaged[at] = value;
                check(&damaged, at);
            }
            damaged[at] = picture[at];
        }
    }
}

#[test]
fn all_readers_agree_about_pictures_cut_off_or_run_together() {
    for picture in PICTURES {
        for len in (0..picture.len()).step_by(3) {
            check(&picture[..len], len);
            check(&[&picture[..len], PICTURES[0]].concat(), len);
        }
    }
}

#[test]
fn all_readers_agree_about_pictures_with_bytes_between_segments() {
    for picture in PICTURES {
        for stray in [&[0; 3][..], &[0xFF, 0], &[0xFF, 0xD0, 9], &[0; 80]] {
            // The segments of all four begin within the first bytes; what is put inside one damages it.
            for at in 0..picture.len().min(700) {
                check(&[&picture[..at], stray, &picture[at..]].concat(), at);
            }
        }
    }
}

#[test]
fn a_picture_full_of_markers_costs_one_pass() {
    let fill = [&[0xFF, 0xD8][..], &vec![0xFF; 8 << 20]].concat();
    check(&fill, 1);
    let stuffing = [&PICTURES[0][..PICTURES[0].len() - 2], &[0xFF, 0x00].repeat(4 << 20)].concat();
    check(&stuffing, 2);
}
