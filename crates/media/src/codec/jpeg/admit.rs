//! The door: a picture from outside becomes one that every decoder reads, or is refused.

use bytes::Bytes;

use super::huffman::STANDARD_DHT;
use super::scan::{Header, scan};
use crate::Error;

/// Checks the picture at the start of `data` and makes it complete: blanks before SOI and padding after EOI are cut
/// off, and standard Huffman tables are inserted when there are none. Returns it with the header of what is returned.
///
/// Without a copy, unless tables are missing: then the picture is copied once, and is 420 bytes longer.
///
/// # Errors
///
/// Those of [`scan`]; offsets count the blanks.
pub fn admit(data: Bytes) -> Result<(Bytes, Header), Error> {
    let blanks = data.len() - data.trim_ascii_start().len();
    let data = data.slice(blanks..);
    let mut header = scan(&data).map_err(|error| behind(blanks, error))?;
    if header.has_huffman_tables {
        return Ok((data.slice(..header.len_bytes), header));
    }
    let (head, scans) = data[..header.len_bytes].split_at(header.first_scan_offset);
    let complete: Bytes = [head, &STANDARD_DHT, scans].concat().into();
    header.has_huffman_tables = true;
    header.first_scan_offset += STANDARD_DHT.len();
    header.len_bytes = complete.len();
    Ok((complete, header))
}

/// The same error where the picture begins `blanks` bytes later.
fn behind(blanks: usize, error: Error) -> Error {
    match error {
        Error::Jpeg { offset, problem } => Error::Jpeg { offset: offset + blanks, problem },
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Problem, samples};
    use super::*;

    #[test]
    fn a_complete_picture_is_passed_on_without_a_copy() {
        let data = Bytes::from_static(samples::PLAIN);
        let (admitted, header) = admit(data.clone()).unwrap();
        assert_eq!(admitted.as_ptr(), data.as_ptr());
        assert_eq!(admitted.len(), data.len());
        assert_eq!(header, scan(&data).unwrap());
    }

    #[test]
    fn padding_after_the_end_is_cut_off() {
        let mut padded = samples::PLAIN.to_vec();
        padded.resize(padded.len() + 700, 0);
        let (admitted, header) = admit(padded.into()).unwrap();
        assert_eq!(admitted, samples::PLAIN);
        assert_eq!(header.len_bytes, samples::PLAIN.len());
    }

    #[test]
    fn blanks_before_the_picture_are_cut_off_and_counted() {
        let blank = [b"\r\n", samples::PLAIN].concat();
        assert_eq!(admit(Bytes::from(blank.clone())).unwrap().0, samples::PLAIN);
        let cut = Bytes::from(blank).slice(..1000);
        assert_eq!(admit(cut), Err(Error::Jpeg { offset: 1000, problem: Problem::Truncated }));
    }

    #[test]
    fn missing_huffman_tables_are_put_in_before_the_scan() {
        assert!(!scan(samples::NO_DHT).unwrap().has_huffman_tables);
        let (admitted, header) = admit(Bytes::from_static(samples::NO_DHT)).unwrap();
        assert_eq!(scan(&admitted).unwrap(), header);
        assert!(header.has_huffman_tables);
        assert_eq!(admitted.len(), samples::NO_DHT.len() + 420);
        assert_eq!(admitted[header.first_scan_offset..][..2], [0xFF, 0xDA]);
    }

    #[test]
    fn a_picture_is_admitted_once() {
        let (once, _) = admit(Bytes::from_static(samples::NO_DHT)).unwrap();
        let (twice, _) = admit(once.clone()).unwrap();
        assert_eq!(once.as_ptr(), twice.as_ptr());
    }
}
