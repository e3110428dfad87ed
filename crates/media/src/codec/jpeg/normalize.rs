//! Checks a picture from an untrusted source and makes it readable for every decoder, or rejects it.
//!
//! The picture is nearly always at the front. If other bytes precede the picture, the search takes the first SOI from
//! which the markers lead to an EOI. Bytes that only look like an SOI (a false start) can declare a segment that spans
//! the true SOI, so the search goes back after a few false starts. The search never goes back into a truncated picture,
//! because the thumbnail in it would be taken for the picture. So a picture whose coded data has begun is not a false
//! start, and the search always continues after the last whole APPn segment, which might contain the thumbnail. The
//! search treats a truncated picture as a false start only if other bytes precede the picture and it breaks off within
//! the segment that contains its thumbnail.

use bytes::Bytes;
use memchr::memmem;

use super::check::parse_markers;
use super::end_finder::EndFinder;
use super::header::Header;
use super::huffman::STANDARD_DHT;
use super::{PICTURE_END, PICTURE_START, Problem};
use crate::Error;

/// How many times the search goes back after bytes that only looked like the start of a picture. Each time costs a pass
/// over the bytes.
const MAX_FALSE_STARTS: usize = 16;

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
/// If the tables are missing, the picture is copied once and becomes 420 bytes longer. A picture that is less than half
/// of `data` is copied too, so that the rest need not stay in memory. Otherwise nothing is copied. The markers are
/// walked once, or a limited number of times if the picture is not at the start of `data`.
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

/// Does what [`normalize`] does, for a picture whose markers have been walked, without walking them again. `header` is
/// what [`parse_markers`] returns for `data`, and its `len_bytes` is the length of `data`.
///
/// # Panics
///
/// If the offset of the first scan in `header` is larger than the length of `data`.
pub fn normalize_walked(data: Bytes, header: Header) -> Normalized {
    debug_assert_eq!((parse_markers(&data), data.len()), (Ok(header), header.len_bytes));
    with_huffman_tables(data, header)
}

/// Cuts a picture out of the bytes around it and inserts missing Huffman tables.
fn cut_out(data: &Bytes, located: &Located) -> Normalized {
    let end = located.start + located.header.len_bytes;
    let is_repaired = !is_padding(&data[..located.start]) || !is_padding(&data[end..]);
    let picture = &data[located.start..end];
    // A slice keeps all of `data` in memory for as long as somebody holds the picture.
    let is_small = picture.len() < data.len() / 2;
    let picture = if is_small { Bytes::copy_from_slice(picture) } else { data.slice_ref(picture) };
    Normalized { is_repaired, ..with_huffman_tables(picture, located.header) }
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

/// A whole picture that was found within other bytes.
struct Located {
    /// Offset of the picture's SOI, in bytes from the start of the searched bytes.
    start: usize,
    /// The content of the picture's markers. Offsets in the header count from the SOI.
    header: Header,
}

/// The reason why no whole picture was found.
struct NotFound {
    /// What is wrong with the first bytes that look like a picture.
    error: Error,
    /// Offset of the SOI of a picture that lacks only the EOI and reaches to the end of the searched bytes; `None` if
    /// there is no such picture.
    unterminated_start: Option<usize>,
}

/// Finds the first whole picture in `data`.
fn locate(data: &[u8]) -> Result<Located, NotFound> {
    let front = data.len() - data.trim_ascii_start().len();
    let (mut missing, mut false_starts) = (None, 0);
    let mut next = Some(front);
    while let Some(start) = next {
        let mut finder = EndFinder::new();
        let (offset, problem) = match finder.advance(&data[start..]) {
            Err(Error::Jpeg { offset, problem }) => (start + offset, problem),
            _ => match finder.header() {
                Some(header) => return Ok(Located { start, header }),
                None => (data.len(), Problem::Truncated),
            },
        };
        let unterminated_start = (problem == Problem::Truncated && finder.lacks_only_eoi()).then_some(start);
        keep_first(&mut missing, Error::Jpeg { offset, problem }, unterminated_start);
        let is_false_start = start > front && !finder.has_scan() && false_starts < MAX_FALSE_STARTS;
        let from =
            if is_false_start { start + finder.application_end().max(1) } else { offset.max(start + 1) };
        false_starts += usize::from(is_false_start);
        next = find_start(data, from);
    }
    Err(missing.expect("there was one attempt at least"))
}

/// Stores `error` in `missing`, unless an earlier error is there already. An earlier error which only says that there
/// is no picture at the front is replaced.
fn keep_first(missing: &mut Option<NotFound>, error: Error, unterminated_start: Option<usize>) {
    match missing {
        Some(noted) if !matches!(noted.error, Error::Jpeg { problem: Problem::NoSoi, .. }) => {
            noted.unterminated_start = unterminated_start.or(noted.unterminated_start);
        }
        _ => *missing = Some(NotFound { error, unterminated_start }),
    }
}

fn find_start(data: &[u8], from: usize) -> Option<usize> {
    memmem::find(data.get(from..)?, PICTURE_START).map(|at| from + at)
}

#[cfg(test)]
mod tests {
    use super::super::samples;
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
    fn a_picture_that_was_walked_is_not_walked_again() {
        for picture in samples::ALL {
            let data = Bytes::from_static(picture);
            let header = parse_markers(picture).unwrap();
            assert_eq!(normalize_walked(data.clone(), header), normalize(data).unwrap());
        }
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
    fn a_small_picture_does_not_keep_large_padding_in_memory() {
        let is_shared = |padding_bytes: usize| {
            let padded = Bytes::from([samples::PLAIN, &vec![0; padding_bytes]].concat());
            let picture = normalize(padded.clone()).unwrap().data;
            assert_eq!(picture, samples::PLAIN);
            picture.as_ptr() == padded.as_ptr()
        };
        assert!(is_shared(samples::PLAIN.len() - 1));
        assert!(!is_shared(samples::PLAIN.len() + 2));
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

    fn start(data: &[u8]) -> Option<usize> {
        locate(data).ok().map(|place| place.start)
    }

    #[test]
    fn a_picture_is_found_behind_bytes_of_any_kind() {
        let nearly_start = [0xFF, 0xD8];
        let false_start = [0xFF, 0xD8, 0xFF, 0xFE, 0x10, 0x00, 1, 2];
        let cut = &samples::PLAIN[..samples::PLAIN.len() / 2];
        let all: Vec<u8> = (0..=255).collect();
        for before in
            [&b""[..], b"\r\n", &[0xFF], &nearly_start, &all, &[0; 4096], cut, b"HTTP/1.0 200 OK\r\n\r\n"]
        {
            for picture in samples::ALL {
                let place = locate(&[before, picture, b"behind"].concat()).ok().expect("there is a picture");
                assert_eq!(
                    (place.start, place.header.len_bytes),
                    (before.len(), picture.len()),
                    "{before:?}"
                );
            }
        }
        // A false start at the very front counts as a truncated picture, unless bytes precede it.
        assert_eq!(start(&[b"x", &false_start[..], samples::PLAIN].concat()), Some(9));
    }

    #[test]
    fn the_thumbnail_of_a_picture_that_breaks_off_does_not_pass_for_it() {
        let cut = &samples::THUMBNAIL[..samples::THUMBNAIL.len() - 2];
        assert_eq!(start(cut), None);
        assert_eq!(start(&[b"\r\n", cut].concat()), None);
        assert_eq!(start(&[&[1, 2, 3][..], cut].concat()), None);
    }

    #[test]
    fn the_thumbnail_of_a_picture_that_breaks_off_before_its_scan_does_not_pass_for_it_either() {
        let picture = samples::THUMBNAIL;
        let header = parse_markers(picture).unwrap();
        let end =
            |marker: u8, from: usize| from + memmem::find(&picture[from..], &[0xFF, marker]).unwrap() + 2;
        let tables = end(0xDB, end(0xD9, 0));
        assert!(tables < header.first_scan_offset, "the first EOI is that of the thumbnail");
        for cut_at in tables..header.first_scan_offset {
            let cut = [b"junk", &picture[..cut_at]].concat();
            assert_eq!(start(&cut), None, "{cut_at}");
        }
        // The rest of a cut segment seems to span the next picture, which is found all the same.
        let cut = [b"junk", &picture[..tables]].concat();
        assert_eq!(start(&[&cut[..], samples::PLAIN].concat()), Some(cut.len()));
    }

    #[test]
    fn the_error_is_that_of_the_picture_and_not_of_what_is_before_it() {
        let cut = [b"noise", &samples::PLAIN[..1000]].concat();
        let missing = locate(&cut).err().expect("the picture is cut");
        assert_eq!(missing.error, Error::Jpeg { offset: 1005, problem: Problem::Truncated });
        assert_eq!(missing.unterminated_start, Some(5));
        let nothing = locate(b"noise").err().expect("there is no picture");
        assert_eq!(nothing.error, Error::Jpeg { offset: 0, problem: Problem::NoSoi });
    }

    /// This would take minutes if each false start cost a walk to the end.
    #[test]
    fn bytes_full_of_starts_cost_a_few_passes() {
        // Each start begins an endless chain of comments; the next start hides in the previous comment.
        let chain = b"\xFF\xFE\x00\x07\xFF\xD8\xFF\x00\x00".repeat(1 << 17);
        assert_eq!(start(&[b"x\xFF\xD8", &chain[..]].concat()), None);
        let short = b"\xFF\xD8\xFF\xFE\x00\x02".repeat(1 << 17);
        assert_eq!(start(&[b"x", &short[..]].concat()), None);
    }
}
