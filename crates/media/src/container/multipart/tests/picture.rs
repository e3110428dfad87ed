//! Parts that are known to be pictures end where the pictures end.

use super::*;

/// Creates a stream as the old Flask app, ESP32-CAM and others send it: the boundary comes only before the next
/// picture.
fn late_boundaries(pictures: &[&[u8]]) -> Vec<u8> {
    stream("", "--frame\r\nContent-Type: image/jpeg\r\n\r\n{P}\r\n", pictures, "")
}

pub(super) fn at_jpeg_eoi() -> Parser {
    Parser::new(Some("frame")).with_part_end(PartEnd::AtJpegEoi)
}

pub(super) const PICTURE: &[u8] = include_bytes!("../../../../../../testdata/ffmpeg-mjpeg.jpg");
pub(super) const THUMBNAIL: &[u8] = include_bytes!("../../../../../../testdata/ffmpeg-exif-thumbnail.jpg");

#[test]
fn a_picture_is_complete_at_its_end_though_the_boundary_comes_a_frame_late() {
    let mut parser = at_jpeg_eoi();
    let bytes = late_boundaries(&[THUMBNAIL]);
    let end = bytes.len() - 2;
    parser.push(&bytes[..end - 1]);
    assert_eq!(parser.next_event(), Ok(None));
    parser.push(&bytes[end - 1..end]);
    let Ok(Some(ParserEvent::Part(part))) = parser.next_event() else { panic!("the picture is complete") };
    assert_eq!(part.body, THUMBNAIL);
}

#[test]
fn a_picture_that_was_walked_comes_with_its_header_and_any_other_without() {
    let sized = "--frame\r\nContent-Length: {N}\r\n\r\n{P}\r\n";
    let cut = &PICTURE[..PICTURE.len() - 2];
    let noisy = [b"noise", PICTURE].concat();
    let padded = [PICTURE, b"\0\0"].concat();
    // The declared length ends inside a segment, right after bytes that look like EOI.
    let in_segment = [&PICTURE[..20], b"\xFF\xFE\x10\x00", &PICTURE[30..], b"\xFF\xD9"].concat();
    let pictures: [(&[u8], bool); 6] = [
        (PICTURE, true),
        (THUMBNAIL, true),
        (&padded, true),
        (&noisy, false),
        (cut, false),
        (&in_segment, false),
    ];
    for (picture, has_header) in pictures {
        for part in [sized, "--frame\r\n\r\n{P}\r\n"] {
            let found = parse_with(at_jpeg_eoi, &stream("", part, &[picture, picture], "--frame--\r\n"));
            for event in &found[..2] {
                let Ok(ParserEvent::Part(part)) = event else { panic!("{event:?}") };
                assert_eq!(part.jpeg_header.is_some(), has_header, "{part:?}");
            }
        }
    }
    let first_without_boundary = [PICTURE, b"\r\n--frame\r\n\r\n", THUMBNAIL].concat();
    for event in parse_with(at_jpeg_eoi, &first_without_boundary) {
        let Ok(ParserEvent::Part(part)) = event else { panic!("{event:?}") };
        assert!(part.jpeg_header.is_some());
    }
}

#[test]
fn a_picture_stays_where_it_was_written() {
    let mut parser = at_jpeg_eoi();
    for _ in 0..3 {
        parser.push(format!("--frame\r\nContent-Length: {}\r\n\r\n", THUMBNAIL.len()).as_bytes());
        assert_eq!(parser.next_event(), Ok(None));
        let place = parser.room().chunk_mut().as_mut_ptr();
        assert!(write(&mut parser, THUMBNAIL).is_empty());
        let Ok(Some(ParserEvent::Part(part))) = parser.next_event() else {
            panic!("the picture is complete")
        };
        assert_eq!(part.body.as_ptr(), place.cast_const());
    }
}

#[test]
fn a_part_that_is_no_whole_picture_still_ends_at_the_boundary() {
    let cut = &PICTURE[..700];
    let bytes = late_boundaries(&[PICTURE, cut, b"text", THUMBNAIL]);
    let found = parse_with(at_jpeg_eoi, &bytes);
    assert_eq!(bodies(&found), [PICTURE, cut, b"text", THUMBNAIL]);
}

#[test]
fn a_blank_line_too_many_before_a_picture_costs_neither_the_picture_nor_a_frame_of_time() {
    let open =
        stream("", "--frame\r\nContent-Type: image/jpeg\r\n\r\n\r\n{P}\r\n", &[PICTURE, b"", THUMBNAIL], "");
    assert_eq!(bodies(&parse_with(at_jpeg_eoi, &open)), [PICTURE, b"", THUMBNAIL]);
    // The length excludes the line end before the picture.
    let sized = stream("", "--frame\r\nContent-Length: {N}\r\n\r\n\r\n{P}\r\n", &[PICTURE, THUMBNAIL], "");
    assert_eq!(bodies(&parse_with(at_jpeg_eoi, &sized)), [PICTURE, THUMBNAIL]);
    let mut parser = at_jpeg_eoi();
    parser.push(sized.strip_suffix(b"\r\n").unwrap());
    assert_eq!(
        [parser.next_event(), parser.next_event()].map(|found| found.unwrap().is_some()),
        [true, true]
    );
}

#[test]
fn a_picture_over_the_bound_is_left_out_wherever_it_would_have_ended() {
    let limits = Limits { max_body_bytes: PICTURE.len() - 1, ..Limits::default() };
    let found = parse_with(|| at_jpeg_eoi().with_limits(limits), &late_boundaries(&[PICTURE, A, PICTURE, A]));
    assert_eq!(found.iter().filter(|event| matches!(event, Err(Error::TooLarge { .. }))).count(), 2);
    assert_eq!(bodies(&found), [A, A]);
}

/// Fails by its duration: it would take minutes if each arriving byte caused a search of the body from its start.
#[test]
fn a_body_that_comes_byte_by_byte_is_searched_once() {
    let body = vec![b'-'; 2 << 20];
    let mut parser = at_jpeg_eoi();
    let bytes = late_boundaries(&[&body, b""]);
    let mut found = Vec::new();
    for byte in bytes.chunks(1) {
        parser.push(byte);
        drain(&mut parser, &mut found);
    }
    assert_eq!(bodies(&found), [body]);
}
