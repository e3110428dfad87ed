//! Checks a picture from outside and makes it readable for every decoder, or rejects it.

use bytes::Bytes;

use super::PICTURE_END;
use super::huffman::STANDARD_DHT;
use super::locate::{Missing, Place, locate};
use super::scan::{Header, scan};
use crate::Error;

/// A picture that every decoder reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admitted {
    /// The picture, from SOI to EOI.
    pub data: Bytes,
    /// What its markers say.
    pub header: Header,
    /// Whether stray bytes around it were cut off, or EOI was added. Blanks and zeros around it are padding, which is
    /// cut off without counting as a repair.
    pub is_repaired: bool,
}

/// Takes the first whole picture out of `data` and completes it: cuts off the bytes around it, and inserts standard
/// Huffman tables if there are none.
///
/// This copies nothing, unless tables are missing: then it copies the picture once, which becomes 420 bytes longer. It
/// costs one walk over the markers, and a bounded number of walks if the picture is not at the front.
///
/// # Errors
///
/// Those of [`scan`] for the first apparent picture; offsets count from the start of `data`.
pub fn admit(data: Bytes) -> Result<Admitted, Error> {
    locate(&data).map(|place| take(&data, &place)).map_err(|missing| missing.error)
}

/// Does what [`admit`] does, for `data` that is known to be a whole body. A picture whose coded data reaches to its end
/// is complete except for EOI, which some cameras never send: this adds EOI, which costs a copy.
///
/// # Errors
///
/// Those of [`admit`].
pub fn admit_complete(data: Bytes) -> Result<Admitted, Error> {
    match locate(&data) {
        Ok(place) => Ok(take(&data, &place)),
        Err(Missing { open_start: Some(start), .. }) => {
            let closed = Bytes::from([&data[start..], PICTURE_END].concat());
            let header = scan(&closed)?;
            Ok(Admitted { is_repaired: true, ..with_tables(closed, header) })
        }
        Err(missing) => Err(missing.error),
    }
}

/// Cuts a picture out of the bytes around it.
fn take(data: &Bytes, place: &Place) -> Admitted {
    let end = place.start + place.header.len_bytes;
    let is_repaired = !is_padding(&data[..place.start]) || !is_padding(&data[end..]);
    Admitted { is_repaired, ..with_tables(data.slice(place.start..end), place.header) }
}

/// Inserts standard Huffman tables into a picture that has none.
fn with_tables(data: Bytes, mut header: Header) -> Admitted {
    if header.has_huffman_tables {
        return Admitted { data, header, is_repaired: false };
    }
    let (head, scans) = data.split_at(header.first_scan_offset);
    let complete: Bytes = [head, &STANDARD_DHT, scans].concat().into();
    header.has_huffman_tables = true;
    header.first_scan_offset += STANDARD_DHT.len();
    header.len_bytes = complete.len();
    Admitted { data: complete, header, is_repaired: false }
}

/// Whether all bytes are blanks and zeros. Many zeros cost little: devices deliver whole buffers.
fn is_padding(bytes: &[u8]) -> bool {
    bytes.chunks(64).all(|chunk| {
        chunk.iter().fold(0, |all, byte| all | byte) == 0
            || chunk.iter().all(|byte| *byte == 0 || byte.is_ascii_whitespace())
    })
}

#[cfg(test)]
mod tests {
    use super::super::{Problem, samples};
    use super::*;

    #[test]
    fn a_complete_picture_is_passed_on_without_a_copy() {
        let data = Bytes::from_static(samples::PLAIN);
        let admitted = admit(data.clone()).unwrap();
        assert_eq!(admitted.data.as_ptr(), data.as_ptr());
        assert_eq!(admitted.data.len(), data.len());
        assert_eq!(admitted.header, scan(&data).unwrap());
        assert!(!admitted.is_repaired);
        assert_eq!(admit_complete(data).unwrap(), admitted);
    }

    #[test]
    fn padding_around_the_picture_is_cut_off_without_a_word() {
        for (before, behind) in [(&b""[..], &[0; 700][..]), (b"\r\n", b"\0\0\r\n"), (&[0; 4], b"\n")] {
            let admitted = admit([before, samples::PLAIN, behind].concat().into()).unwrap();
            assert_eq!(admitted.data, samples::PLAIN);
            assert_eq!(admitted.header.len_bytes, samples::PLAIN.len());
            assert!(!admitted.is_repaired);
        }
    }

    #[test]
    fn other_bytes_around_the_picture_are_cut_off_and_told() {
        let counted: Vec<u8> = (0..40).collect();
        for (before, behind) in [(&counted[..], &b""[..]), (b"\xFF", b""), (b"", b"dhav\x59\x19\x01\x00")] {
            for picture in [samples::PLAIN, samples::NO_DHT] {
                let admitted = admit([before, picture, behind].concat().into()).unwrap();
                assert_eq!(admitted.data, admit(Bytes::from_static(picture)).unwrap().data);
                assert_eq!(scan(&admitted.data).unwrap(), admitted.header);
                assert!(admitted.is_repaired);
            }
        }
    }

    #[test]
    fn an_error_counts_the_blanks_before_the_picture() {
        let blank = [b"\r\n", samples::PLAIN].concat();
        let cut = Bytes::from(blank).slice(..1000);
        assert_eq!(admit(cut), Err(Error::Jpeg { offset: 1000, problem: Problem::Truncated }));
    }

    #[test]
    fn a_missing_end_is_added_to_what_came_whole() {
        for picture in samples::ALL {
            for before in [&b""[..], b"noise"] {
                let cut: Bytes = [before, &picture[..picture.len() - 2]].concat().into();
                assert!(admit(cut.clone()).is_err());
                let admitted = admit_complete(cut).unwrap();
                assert_eq!(admitted.data, admit(Bytes::from_static(picture)).unwrap().data);
                assert_eq!(scan(&admitted.data).unwrap(), admitted.header);
                assert!(admitted.is_repaired);
            }
        }
        let half = Bytes::from_static(&samples::PLAIN[..samples::PLAIN.len() - 1]);
        assert!(admit_complete(half).unwrap().data.ends_with(PICTURE_END));
    }

    #[test]
    fn a_picture_without_coded_data_is_not_made_whole() {
        let header = scan(samples::PLAIN).unwrap();
        for len in [2, 100, header.first_scan_offset] {
            let cut = Bytes::from_static(&samples::PLAIN[..len]);
            assert_eq!(admit_complete(cut.clone()), admit(cut));
        }
    }

    #[test]
    fn missing_huffman_tables_are_put_in_before_the_scan() {
        assert!(!scan(samples::NO_DHT).unwrap().has_huffman_tables);
        let Admitted { data, header, is_repaired } = admit(Bytes::from_static(samples::NO_DHT)).unwrap();
        assert_eq!(scan(&data).unwrap(), header);
        assert!(header.has_huffman_tables && !is_repaired);
        assert_eq!(data.len(), samples::NO_DHT.len() + 420);
        assert_eq!(data[header.first_scan_offset..][..2], [0xFF, 0xDA]);
    }

    #[test]
    fn a_picture_is_admitted_once() {
        let once = admit(Bytes::from_static(samples::NO_DHT)).unwrap();
        let twice = admit(once.data.clone()).unwrap();
        assert_eq!(once.data.as_ptr(), twice.data.as_ptr());
    }
}
