//! Finds a JPEG image within arbitrary bytes.
//!
//! The picture is nearly always at the front. If other bytes precede the picture, the search takes the first SOI from
//! which the markers lead to an EOI. Bytes that only look like an SOI (a false start) can declare a segment that spans
//! the true SOI, so the search goes back after a few false starts. The search never goes back into a truncated picture,
//! because the thumbnail in it would be taken for the picture. So a picture whose coded data has begun is not a false
//! start, and the search always continues after the last whole APPn segment, which might contain the thumbnail. The
//! search treats a truncated picture as a false start only if other bytes precede the picture and it breaks off within
//! the segment that contains its thumbnail.

use memchr::memmem;

use super::end_finder::EndFinder;
use super::header::Header;
use super::{PICTURE_START, Problem};
use crate::Error;

/// How many times the search goes back after bytes that only looked like the start of a picture. Each time costs a pass
/// over the bytes.
const MAX_FALSE_STARTS: usize = 16;

/// A whole picture that was found within other bytes.
pub(super) struct Located {
    /// Offset of the picture's SOI, in bytes from the start of the searched bytes.
    pub(super) start: usize,
    /// The content of the picture's markers. Offsets in the header count from the SOI.
    pub(super) header: Header,
}

/// The reason why no whole picture was found.
pub(super) struct NotFound {
    /// What is wrong with the first bytes that look like a picture.
    pub(super) error: Error,
    /// Offset of the SOI of a picture that lacks only the EOI and reaches to the end of the searched bytes; `None` if
    /// there is no such picture.
    pub(super) unterminated_start: Option<usize>,
}

/// Finds the first whole picture in `data`.
pub(super) fn locate(data: &[u8]) -> Result<Located, NotFound> {
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
        let header = super::super::parse_markers(picture).unwrap();
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
