//! Checks a JPEG image: is it whole, is it plausible, and how many pixels does it have?

use super::end_finder::EndFinder;
use super::header::Header;
use super::problem::Problem;
use crate::Error;

/// Walks all markers of the picture at the start of `data`, from SOI to EOI, and returns what the markers say.
///
/// Entropy-coded data is skipped, without a check that it can be decoded.
///
/// # Errors
///
/// [`Error::Jpeg`] with the offset of the first fault. If `data` ends before the EOI and there is no earlier fault, the
/// error is [`Problem::Truncated`] at the end of `data`.
pub fn parse_markers(data: &[u8]) -> Result<Header, Error> {
    let mut finder = EndFinder::new();
    finder.advance(data)?;
    finder.header().ok_or(Error::Jpeg { offset: data.len(), problem: Problem::Truncated })
}

#[cfg(test)]
mod tests {
    use super::super::samples::{self, JpegBuilder};
    use super::super::{Marker, Process};
    use super::*;

    const TAIL: &[u8] = &[0x12, 0x34, 0xFF, 0xD9];

    fn problem(data: &[u8]) -> (usize, Problem) {
        match parse_markers(data) {
            Err(Error::Jpeg { offset, problem }) => (offset, problem),
            other => panic!("{other:?} is not a JPEG error"),
        }
    }

    #[test]
    fn a_header_says_what_the_markers_say() {
        let header = parse_markers(samples::PLAIN).unwrap();
        assert_eq!((header.width_px, header.height_px, header.components), (96, 64, 3));
        assert_eq!(header.process, Process::Baseline);
        assert!(header.has_huffman_tables);
        assert_eq!(header.len_bytes, samples::PLAIN.len());
        assert_eq!(parse_markers(samples::PROGRESSIVE).unwrap().process, Process::Progressive);
    }

    #[test]
    fn the_end_of_a_thumbnail_does_not_end_the_picture() {
        let header = parse_markers(samples::THUMBNAIL).unwrap();
        assert_eq!(header.len_bytes, samples::THUMBNAIL.len());
        assert_eq!((header.width_px, header.height_px), (96, 64));
    }

    #[test]
    fn coded_data_may_hold_stuffing_restarts_and_fill_bytes() {
        let tail = [1, 0xFF, 0x00, 2, 0xFF, 0xD0, 3, 0xFF, 0xD7, 4, 0xFF, 0xFF, 0xFF, 0xD9];
        let data = JpegBuilder::minimal().before(0xDD, &[0, 1]).bytes(&tail);
        assert_eq!(parse_markers(&data).unwrap().len_bytes, data.len());
    }

    #[test]
    fn fill_bytes_may_precede_any_marker() {
        let mut data = JpegBuilder::minimal().bytes(TAIL);
        data.splice(2..2, [0xFF; 5]);
        assert_eq!(parse_markers(&data).unwrap().len_bytes, data.len());
    }

    #[test]
    fn a_picture_without_soi_is_refused() {
        assert_eq!(problem(b"<html>"), (0, Problem::NoSoi));
        assert_eq!(problem(&[0xFF, 0xD9]), (0, Problem::NoSoi));
    }

    #[test]
    fn every_cut_off_picture_ends_before_its_end() {
        for picture in samples::ALL {
            for len in 0..picture.len() {
                assert_eq!(problem(&picture[..len]), (len, Problem::Truncated));
            }
        }
    }

    #[test]
    fn a_segment_shorter_than_its_length_field_is_refused_where_it_is() {
        let mut data = JpegBuilder::minimal().bytes(TAIL);
        let dht = memchr::memmem::find(&data, &[0xFF, 0xC4]).unwrap();
        data[dht + 3] = 1;
        assert_eq!(
            parse_markers(&data).unwrap_err().to_string(),
            format!("byte {dht}: DHT length 1 is below 2")
        );
    }

    #[test]
    fn a_table_must_fill_its_segment_exactly() {
        let short = JpegBuilder::minimal().with(0xDB, &[0; 64]).bytes(TAIL);
        assert_eq!(problem(&short).1, Problem::TooShort { marker: Marker(0xDB), length: 66, least: 67 });
        let long = JpegBuilder::minimal().with(0xC0, &[8, 0, 8, 0, 16, 1, 1, 0x11, 0, 0]).bytes(TAIL);
        assert_eq!(problem(&long).1, Problem::TooLong { marker: Marker(0xC0), length: 12, most: 11 });
        let codes = JpegBuilder::minimal().with(0xC4, &[&[0][..], &[255; 16]].concat()).bytes(TAIL);
        assert!(problem(&codes).1.to_string().contains("number of codes 4080"));
    }

    #[test]
    fn a_size_of_zero_is_refused() {
        let height = JpegBuilder::minimal().with(0xC0, &[8, 0, 0, 0, 16, 1, 1, 0x11, 0]).bytes(TAIL);
        assert_eq!(problem(&height).1, Problem::ZeroHeight);
        let width = JpegBuilder::minimal().with(0xC0, &[8, 0, 8, 0, 0, 1, 1, 0x11, 0]).bytes(TAIL);
        assert_eq!(problem(&width).1, Problem::ZeroWidth);
    }

    #[test]
    fn processes_that_browsers_do_not_show_are_refused() {
        for marker in [0xC3, 0xC5, 0xC9, 0xCC, 0xDE] {
            let data = JpegBuilder::minimal().before(marker, &[0; 9]).bytes(TAIL);
            assert_eq!(problem(&data), (2, Problem::UnsupportedProcess { marker: Marker(marker) }));
        }
        let twelve_bits = JpegBuilder::minimal().with(0xC0, &[12, 0, 8, 0, 16, 1, 1, 0x11, 0]).bytes(TAIL);
        assert!(problem(&twelve_bits).1.to_string().contains("SOF0: sample precision 12"));
    }

    #[test]
    fn a_scan_needs_what_it_refers_to() {
        let no_frame = JpegBuilder::minimal().without(0xC0).bytes(TAIL);
        assert_eq!(problem(&no_frame).1, Problem::ScanBeforeFrame);
        let no_tables = JpegBuilder::minimal().without(0xDB).bytes(TAIL);
        assert_eq!(problem(&no_tables).1, Problem::NoQuantizationTables);
        let unknown = JpegBuilder::minimal().with(0xDA, &[1, 7, 0, 0, 63, 0]).bytes(TAIL);
        assert!(problem(&unknown).1.to_string().contains("SOS: component 7"));
        let no_scan = JpegBuilder::minimal().without(0xDA).bytes(&[0xFF, 0xD9]);
        assert_eq!(problem(&no_scan).1, Problem::NoScan);
        assert_eq!(problem(&JpegBuilder::minimal().bytes(&[0xFF, 0xD9])).1, Problem::EmptyScan);
    }

    #[test]
    fn a_progressive_picture_cannot_do_without_its_huffman_tables() {
        let mut parts = JpegBuilder::minimal().without(0xC4);
        parts.0[1].0 = 0xC2;
        assert_eq!(problem(&parts.bytes(TAIL)).1, Problem::NoHuffmanTables);
    }

    #[test]
    fn the_next_picture_inside_one_that_was_cut_off_is_reported_where_it_begins() {
        let mut data = samples::PLAIN[..2000].to_vec();
        data.extend(samples::PLAIN);
        assert_eq!(problem(&data), (2000, Problem::SoiInside));
    }

    #[test]
    fn a_few_bytes_that_belong_to_nothing_may_stand_before_a_segment() {
        let strays: [&[u8]; 6] =
            [&[0; 64], b"pad", &[0xFF, 0], &[0xFF, 1], &[0xFF, 0xD3], &[7, 0xFF, 0xFF, 0, 7]];
        for (stray, segment) in strays.into_iter().flat_map(|stray| [0xDB, 0xC0, 0xDA].map(|at| (stray, at)))
        {
            let mut data = JpegBuilder::minimal().bytes(TAIL);
            let at = memchr::memmem::find(&data, &[0xFF, segment]).unwrap();
            data.splice(at..at, stray.iter().copied());
            let header = parse_markers(&data).unwrap_or_else(|error| panic!("{stray:?}: {error}"));
            assert_eq!((header.width_px, header.len_bytes), (16, data.len()));
        }
    }

    #[test]
    fn many_bytes_that_belong_to_nothing_are_refused() {
        let mut data = JpegBuilder::minimal().bytes(TAIL);
        data.splice(2..2, [7; 65]);
        assert_eq!(problem(&data), (66, Problem::NoMarker { found: 7 }));
        let mut data = JpegBuilder::minimal().bytes(TAIL);
        data.splice(2..2, [0xFF, 0xD0].repeat(33));
        assert_eq!(problem(&data), (66, Problem::UnexpectedMarker { marker: Marker(0xD0) }));
    }

    #[test]
    fn bytes_that_belong_to_nothing_never_hide_the_next_picture() {
        let cut = [&samples::PLAIN[..2], &[0, 0, 0], samples::PLAIN].concat();
        assert_eq!(problem(&cut), (5, Problem::SoiInside));
    }

    #[test]
    fn behind_coded_data_nothing_is_stepped_over() {
        let data = JpegBuilder::minimal().bytes(&[0x12, 0xFF, 0x01, 0x34, 0xFF, 0xD9]);
        let at = data.len() - 5;
        assert_eq!(problem(&data), (at, Problem::UnexpectedMarker { marker: Marker(1) }));
    }

    #[test]
    fn components_may_share_a_name() {
        let frame = [8, 0, 8, 0, 16, 3, 1, 0x11, 0, 1, 0x11, 0, 1, 0x11, 0];
        let data = JpegBuilder::minimal()
            .with(0xC0, &frame)
            .with(0xDA, &[3, 1, 0, 1, 0, 1, 0, 0, 63, 0])
            .bytes(TAIL);
        assert_eq!(parse_markers(&data).unwrap().components, 3);
    }
}
