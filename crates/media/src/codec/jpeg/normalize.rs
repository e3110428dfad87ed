//! Checks a picture from an untrusted source and makes it readable for every decoder, or rejects it.

use bytes::Bytes;

use super::PICTURE_END;
use super::check::parse_markers;
use super::header::Header;
use super::huffman::STANDARD_DHT;
use super::locate::{Located, NotFound, locate};
use crate::Error;

/// A picture that every decoder can read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Normalized {
    /// The coded picture, from SOI to EOI.
    pub data: Bytes,
    /// What the picture's markers say.
    pub header: Header,
    /// Whether the picture needed a repair: stray bytes around it were cut off, or a missing EOI was added. Blanks and
    /// zeros around the picture are also cut off, but as padding, not as a repair.
    pub is_repaired: bool,
}

/// Cuts the first whole picture out of the bytes around it, and inserts the standard Huffman tables if the picture has
/// none.
///
/// If the tables are missing, the picture is copied once and becomes 420 bytes longer; otherwise nothing is copied. The
/// markers are walked once, or a limited number of times if the picture is not at the start of `data`.
///
/// # Errors
///
/// If `data` contains no whole picture, the error of [`parse_markers`] for the first bytes that look like a picture.
/// The offset in the error counts from the start of `data`.
pub fn normalize(data: Bytes) -> Result<Normalized, Error> {
    locate(&data).map(|located| cut_out(&data, &located)).map_err(|missing| missing.error)
}

/// Does what [`normalize`] does, for `data` that is known to be the whole body of an HTTP response or multipart part.
/// Some cameras never send the EOI. If the coded data of the picture reaches to the end of `data`, the EOI is added,
/// which costs a copy.
///
/// # Errors
///
/// Those of [`normalize`].
pub fn normalize_complete(data: Bytes) -> Result<Normalized, Error> {
    match locate(&data) {
        Ok(located) => Ok(cut_out(&data, &located)),
        Err(NotFound { unterminated_start: Some(start), .. }) => {
            let closed = Bytes::from([&data[start..], PICTURE_END].concat());
            let header = parse_markers(&closed)?;
            Ok(Normalized { is_repaired: true, ..with_huffman_tables(closed, header) })
        }
        Err(missing) => Err(missing.error),
    }
}

/// Cuts a picture out of the bytes around it and inserts missing Huffman tables.
fn cut_out(data: &Bytes, located: &Located) -> Normalized {
    let end = located.start + located.header.len_bytes;
    let is_repaired = !is_padding(&data[..located.start]) || !is_padding(&data[end..]);
    Normalized { is_repaired, ..with_huffman_tables(data.slice(located.start..end), located.header) }
}

/// Inserts the standard Huffman tables if the picture has none.
fn with_huffman_tables(data: Bytes, mut header: Header) -> Normalized {
    if header.has_huffman_tables {
        return Normalized { data, header, is_repaired: false };
    }
    let (head, scans) = data.split_at(header.first_scan_offset);
    let complete: Bytes = [head, &STANDARD_DHT, scans].concat().into();
    header.has_huffman_tables = true;
    header.first_scan_offset += STANDARD_DHT.len();
    header.len_bytes = complete.len();
    Normalized { data: complete, header, is_repaired: false }
}

/// Returns whether all bytes are blanks or zeros. A long run of zeros is checked quickly, because some devices deliver
/// whole buffers, filled up with zeros.
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
        let normalized = normalize(data.clone()).unwrap();
        assert_eq!(normalized.data.as_ptr(), data.as_ptr());
        assert_eq!(normalized.data.len(), data.len());
        assert_eq!(normalized.header, parse_markers(&data).unwrap());
        assert!(!normalized.is_repaired);
        assert_eq!(normalize_complete(data).unwrap(), normalized);
    }

    #[test]
    fn padding_around_the_picture_is_cut_off_without_a_word() {
        for (before, behind) in [(&b""[..], &[0; 700][..]), (b"\r\n", b"\0\0\r\n"), (&[0; 4], b"\n")] {
            let normalized = normalize([before, samples::PLAIN, behind].concat().into()).unwrap();
            assert_eq!(normalized.data, samples::PLAIN);
            assert_eq!(normalized.header.len_bytes, samples::PLAIN.len());
            assert!(!normalized.is_repaired);
        }
    }

    #[test]
    fn other_bytes_around_the_picture_are_cut_off_and_told() {
        let counted: Vec<u8> = (0..40).collect();
        for (before, behind) in [(&counted[..], &b""[..]), (b"\xFF", b""), (b"", b"dhav\x59\x19\x01\x00")] {
            for picture in [samples::PLAIN, samples::NO_DHT] {
                let normalized = normalize([before, picture, behind].concat().into()).unwrap();
                assert_eq!(normalized.data, normalize(Bytes::from_static(picture)).unwrap().data);
                assert_eq!(parse_markers(&normalized.data).unwrap(), normalized.header);
                assert!(normalized.is_repaired);
            }
        }
    }

    #[test]
    fn an_error_counts_the_blanks_before_the_picture() {
        let blank = [b"\r\n", samples::PLAIN].concat();
        let cut = Bytes::from(blank).slice(..1000);
        assert_eq!(normalize(cut), Err(Error::Jpeg { offset: 1000, problem: Problem::Truncated }));
    }

    #[test]
    fn a_missing_end_is_added_to_what_came_whole() {
        for picture in samples::ALL {
            for before in [&b""[..], b"noise"] {
                let cut: Bytes = [before, &picture[..picture.len() - 2]].concat().into();
                assert!(normalize(cut.clone()).is_err());
                let normalized = normalize_complete(cut).unwrap();
                assert_eq!(normalized.data, normalize(Bytes::from_static(picture)).unwrap().data);
                assert_eq!(parse_markers(&normalized.data).unwrap(), normalized.header);
                assert!(normalized.is_repaired);
            }
        }
        let half = Bytes::from_static(&samples::PLAIN[..samples::PLAIN.len() - 1]);
        assert!(normalize_complete(half).unwrap().data.ends_with(PICTURE_END));
    }

    #[test]
    fn a_picture_without_coded_data_is_not_made_whole() {
        let header = parse_markers(samples::PLAIN).unwrap();
        for len in [2, 100, header.first_scan_offset] {
            let cut = Bytes::from_static(&samples::PLAIN[..len]);
            assert_eq!(normalize_complete(cut.clone()), normalize(cut));
        }
    }

    #[test]
    fn missing_huffman_tables_are_put_in_before_the_scan() {
        assert!(!parse_markers(samples::NO_DHT).unwrap().has_huffman_tables);
        let Normalized { data, header, is_repaired } =
            normalize(Bytes::from_static(samples::NO_DHT)).unwrap();
        assert_eq!(parse_markers(&data).unwrap(), header);
        assert!(header.has_huffman_tables && !is_repaired);
        assert_eq!(data.len(), samples::NO_DHT.len() + 420);
        assert_eq!(data[header.first_scan_offset..][..2], [0xFF, 0xDA]);
    }

    #[test]
    fn a_picture_is_admitted_once() {
        let once = normalize(Bytes::from_static(samples::NO_DHT)).unwrap();
        let twice = normalize(once.data.clone()).unwrap();
        assert_eq!(once.data.as_ptr(), twice.data.as_ptr());
    }
}
