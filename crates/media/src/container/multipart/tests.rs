//! Streams as the servers named in the tests send them, and rules that hold for all streams.

mod odd;
mod picture;

use bytes::BufMut;

use super::*;
use crate::Error;
use crate::codec::jpeg::parse_markers;

/// A body that looks like a JPEG image at both ends and contains line ends and dashes.
const A: &[u8] = b"\xFF\xD8 first \r\n--\r\n--fram\r\n\r\n \xFF\xD9";
const B: &[u8] = b"\xFF\xD8 \n--\n second, which is a little longer \xFF\xD9";

type Found = Vec<Result<ParserEvent, Error>>;

fn drain(parser: &mut Parser, found: &mut Found) {
    loop {
        match parser.next_event() {
            Ok(None) => return,
            Ok(Some(event)) => found.push(Ok(event)),
            Err(error) => {
                let is_final = matches!(error, Error::Multipart { problem: Problem::NoBoundary { .. }, .. });
                if is_final && found.contains(&Err(error.clone())) {
                    return;
                }
                found.push(Err(error));
            }
        }
    }
}

fn parse_in_chunks<'a>(mut parser: Parser, chunks: impl Iterator<Item = &'a [u8]>) -> Found {
    let mut found = Vec::new();
    for chunk in chunks {
        parser.push(chunk);
        drain(&mut parser, &mut found);
    }
    found.extend(parser.finish().map(|part| Ok(ParserEvent::Part(part))));
    found
}

/// Does what [`parse_in_chunks`] does, but writes each chunk into the parser's room, as a read from a socket does.
fn parse_in_writes<'a>(mut parser: Parser, chunks: impl Iterator<Item = &'a [u8]>) -> Found {
    let mut found = Vec::new();
    for mut chunk in chunks {
        while !chunk.is_empty() {
            chunk = write(&mut parser, chunk);
            drain(&mut parser, &mut found);
        }
    }
    found.extend(parser.finish().map(|part| Ok(ParserEvent::Part(part))));
    found
}

/// Writes as many of `bytes` as fit into the parser's room, and returns the rest.
fn write<'a>(parser: &mut Parser, bytes: &'a [u8]) -> &'a [u8] {
    let mut room = parser.room();
    let (head, rest) = bytes.split_at(bytes.len().min(room.remaining_mut()));
    room.put_slice(head);
    rest
}

/// Parses a stream in one piece and checks that every other division gives the same result, and that each header says
/// what the markers of its body say.
fn parse_with(parser: impl Fn() -> Parser, stream: &[u8]) -> Found {
    let whole = parse_in_chunks(parser(), std::iter::once(stream));
    assert_eq!(parse_in_writes(parser(), std::iter::once(stream)), whole, "written in one piece");
    assert_eq!(parse_in_chunks(parser(), stream.chunks(1)), whole, "byte by byte");
    assert_eq!(parse_in_writes(parser(), stream.chunks(1)), whole, "written byte by byte");
    for at in 0..=stream.len() {
        let (head, tail) = stream.split_at(at);
        assert_eq!(parse_in_chunks(parser(), [head, tail].into_iter()), whole, "cut at {at}");
    }
    let mut random = generator(stream.len() as u64);
    for _ in 0..50 {
        let mut rest = stream;
        let chunks: Vec<&[u8]> = std::iter::from_fn(|| {
            let (head, tail) = rest.split_at(rest.len().min(1 + random() as usize % 40));
            rest = tail;
            (!head.is_empty()).then_some(head)
        })
        .collect();
        assert_eq!(parse_in_chunks(parser(), chunks.iter().copied()), whole, "random cuts");
        assert_eq!(parse_in_writes(parser(), chunks.into_iter()), whole, "written at random cuts");
    }
    for event in whole.iter().flatten() {
        if let ParserEvent::Part(Part { body, jpeg_header: Some(header), .. }) = event {
            assert_eq!((parse_markers(body), body.len()), (Ok(*header), header.len_bytes));
        }
    }
    whole
}

/// Creates a small linear congruential generator, which makes the same numbers on every run.
fn generator(mut seed: u64) -> impl FnMut() -> u64 {
    move || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        seed >> 33
    }
}

fn parse(declared: Option<&str>, stream: &[u8]) -> Found {
    parse_with(|| Parser::new(declared), stream)
}

fn bodies(found: &Found) -> Vec<&[u8]> {
    found
        .iter()
        .filter_map(|event| if let Ok(ParserEvent::Part(part)) = event { Some(&part.body[..]) } else { None })
        .collect()
}

fn ended(found: &Found) -> bool {
    found.iter().any(|event| *event == Ok(ParserEvent::End))
}

/// Creates a stream with one part for each picture. In `part`, `{N}` stands for the length of the picture and `{P}` for
/// the picture.
fn stream(prefix: &str, part: &str, pictures: &[&[u8]], suffix: &str) -> Vec<u8> {
    let mut out = prefix.as_bytes().to_vec();
    for picture in pictures {
        let (head, tail) = part.split_once("{P}").unwrap();
        out.extend_from_slice(head.replace("{N}", &picture.len().to_string()).as_bytes());
        out.extend_from_slice(picture);
        out.extend_from_slice(tail.as_bytes());
    }
    out.extend_from_slice(suffix.as_bytes());
    out
}

#[test]
fn axis_cameras_are_read() {
    let part = "--myboundary\r\nContent-Type: image/jpeg\r\nContent-Length: {N}\r\n\r\n{P}\r\n";
    let bytes = stream("", part, &[A, B], "--myboundary--\r\n");
    for declared in ["myboundary", "--myboundary"] {
        let found = parse(Some(declared), &bytes);
        assert_eq!(bodies(&found), [A, B]);
        assert!(ended(&found));
    }
}

#[test]
fn mjpg_streamer_is_read_with_its_timestamps() {
    let part = "Content-Type: image/jpeg\r\nContent-Length: {N}\r\nX-Timestamp: 1700000000.123456\r\n\r\n{P}\r\n--boundarydonotcross\r\n";
    let found = parse(Some("boundarydonotcross"), &stream("--boundarydonotcross\r\n", part, &[A, B, A], ""));
    assert_eq!(bodies(&found), [A, B, A]);
    let Ok(ParserEvent::Part(first)) = &found[0] else { panic!("a part comes first") };
    assert_eq!(first.header("x-timestamp"), Some("1700000000.123456"));
    assert_eq!(first.header("CONTENT-TYPE"), Some("image/jpeg"));
    assert_eq!(first.header("X-Other"), None);
}

#[test]
fn ustreamer_is_read_with_and_without_advance_headers() {
    let headers = "Content-Type: image/jpeg\r\nContent-Length: {N}\r\nX-Timestamp: 1.000001\r\nX-UStreamer-Online: true\r\n\r\n";
    let plain = format!("{headers}{{P}}\r\n--boundarydonotcross\r\n");
    let found = parse(Some("boundarydonotcross"), &stream("--boundarydonotcross\r\n", &plain, &[A, B], ""));
    assert_eq!(bodies(&found), [A, B]);
    let ahead = "{P}\r\n--boundarydonotcross\r\nContent-Type: image/jpeg\r\nX-Timestamp: 1.000001\r\n\r\n";
    let opening = "--boundarydonotcross\r\nContent-Type: image/jpeg\r\nX-Timestamp: 1.000001\r\n\r\n";
    assert_eq!(bodies(&parse(Some("boundarydonotcross"), &stream(opening, ahead, &[A, B], ""))), [A, B]);
}

#[test]
fn esp32_cam_is_read_though_its_boundary_comes_with_the_next_picture() {
    let boundary = "123456789000000000000987654321";
    let part = format!("\r\n--{boundary}\r\nContent-Type: image/jpeg\r\nContent-Length: {{N}}\r\n\r\n{{P}}");
    let found = parse(Some(boundary), &stream("", &part, &[A, B], ""));
    assert_eq!(bodies(&found), [A, B]);
}

#[test]
fn ffmpeg_mpjpeg_is_read_without_a_declared_boundary() {
    let part = "Content-type: image/jpeg\r\nContent-length: {N}\r\n\r\n{P}\r\n--ffmpeg\r\n";
    assert_eq!(bodies(&parse(None, &stream("--ffmpeg\r\n", part, &[A, B], ""))), [A, B]);
}

#[test]
fn the_flask_app_is_read_in_its_old_and_its_new_form() {
    let old = "--frame\r\nContent-Type: image/jpeg\r\n\r\n{P}\r\n";
    assert_eq!(bodies(&parse(Some("frame"), &stream("", old, &[A, B, A], ""))), [A, B, A]);
    let new = "Content-Type: image/jpeg\r\n\r\n{P}\r\n--frame\r\n";
    assert_eq!(bodies(&parse(Some("frame"), &stream("--frame\r\n", new, &[A, B, A], ""))), [A, B, A]);
}

#[test]
fn ip_webcam_is_read_whose_declared_boundary_has_the_dashes_in_it() {
    let part = "--Ba4oTvQMY8ew04N8dcnM\r\nContent-Type: image/jpeg\r\n\r\n{P}\r\n";
    let bytes = stream("", part, &[A, B], "");
    assert_eq!(bodies(&parse(Some("--Ba4oTvQMY8ew04N8dcnM"), &bytes)), [A, B]);
    let doubled = stream("", &part.replacen("--", "----", 1), &[A, B], "");
    assert_eq!(bodies(&parse(Some("--Ba4oTvQMY8ew04N8dcnM"), &doubled)), [A, B]);
}

#[test]
fn go2rtc_is_read() {
    let part = "--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {N}\r\n\r\n{P}\r\n";
    assert_eq!(bodies(&parse(Some("frame"), &stream("", part, &[A, B], ""))), [A, B]);
}

#[test]
fn bare_line_feeds_are_line_ends_too() {
    let part = "--frame\nContent-Type: image/jpeg\n\n{P}\n";
    let found = parse(Some("frame"), &stream("", part, &[A, B], "--frame--\n"));
    assert_eq!(bodies(&found), [A, B]);
    assert!(ended(&found));
}

#[test]
fn preamble_epilogue_and_blanks_behind_the_boundary_are_skipped() {
    let part = "--frame \t\r\nContent-Type: image/jpeg\r\n\r\n{P}\r\n";
    let bytes = stream("This is multipart.\r\n\r\n", part, &[A], "--frame--\r\nThank you.\r\n");
    let found = parse(Some("frame"), &bytes);
    assert_eq!(bodies(&found), [A]);
    assert_eq!(found.last(), Some(&Ok(ParserEvent::End)));
}

#[test]
fn a_camera_that_goes_on_after_the_end_is_read_on() {
    let part = "--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {N}\r\n\r\n{P}\r\n--frame--\r\n";
    let found = parse(Some("frame"), &stream("", part, &[A, B], ""));
    assert_eq!(bodies(&found), [A, B]);
    assert_eq!(found.iter().filter(|event| **event == Ok(ParserEvent::End)).count(), 2);
}

#[test]
fn missing_headers_and_a_missing_blank_line_do_no_harm() {
    for part in [
        "--frame\r\n\r\n{P}\r\n",
        "--frame\r\n{P}\r\n",
        "--frame\r\n--frame\r\nHTTP/1.0 200 OK\r\n\r\n{P}\r\n",
    ] {
        assert_eq!(bodies(&parse(Some("frame"), &stream("", part, &[A, B], ""))), [A, B], "{part}");
    }
}

#[test]
fn a_part_with_a_length_is_complete_before_its_boundary_comes() {
    let bytes =
        stream("--frame\r\n", "Content-Type: text/plain\r\nContent-Length: {N}\r\n\r\n{P}", &[b"hello"], "");
    let mut parser = Parser::new(Some("frame"));
    parser.push(&bytes);
    let Ok(Some(ParserEvent::Part(part))) = parser.next_event() else { panic!("the part is complete") };
    assert_eq!(&part.body[..], b"hello");
    assert_eq!(part.offset as usize, bytes.len() - 5);
}

#[test]
fn a_part_without_a_length_is_complete_when_its_boundary_has_come() {
    let mut parser = Parser::new(Some("frame"));
    parser.push(b"--frame\r\nContent-Type: image/jpeg\r\n\r\npicture\r\n--fram");
    assert_eq!(parser.next_event(), Ok(None));
    parser.push(b"e");
    let Ok(Some(ParserEvent::Part(part))) = parser.next_event() else { panic!("the part is complete") };
    assert_eq!(&part.body[..], b"picture");
}

#[test]
fn a_wrong_length_gives_way_to_the_boundary() {
    for wrong in ["3", "9", "{N}0"] {
        let part = format!("--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {wrong}\r\n\r\n{{P}}\r\n");
        let pictures = [A; 20];
        let found = parse(Some("frame"), &stream("", &part, &pictures, "--frame--\r\n"));
        assert_eq!(bodies(&found), pictures, "Content-Length: {wrong}");
    }
}

#[test]
fn a_length_that_is_right_is_believed_though_the_picture_has_no_end() {
    let part = "--frame\r\nContent-Length: {N}\r\n\r\n{P}\r\n";
    let cut = &A[..A.len() - 2];
    assert_eq!(
        bodies(&parse(Some("frame"), &stream("", part, &[cut, cut, b"with\r\n--frame\r\ninside"], ""))).len(),
        3
    );
}

#[test]
fn a_length_that_lies_about_text_costs_no_more_than_that_part() {
    let bytes = b"--f\r\nContent-Length: 2\r\n\r\nhello\r\n--f\r\nContent-Length: 2\r\n\r\nworld\r\n--f--";
    let found = parse(Some("f"), bytes);
    assert_eq!(bodies(&found), [&b"he"[..], b"world"]);
}

#[test]
fn the_last_part_comes_at_the_end_of_the_stream_if_only_its_boundary_is_missing() {
    let part = "--frame\r\nContent-Type: image/jpeg\r\n\r\n{P}\r\n";
    assert_eq!(bodies(&parse(Some("frame"), &stream("", part, &[A], ""))), [A]);
    let short = "--frame\r\nContent-Length: 1{N}\r\n\r\n{P}\r\n";
    assert!(parse(Some("frame"), &stream("", short, &[A], "")).is_empty());
}

#[test]
fn over_the_bounds_is_an_error_and_the_next_part_is_read() {
    let limits = Limits { max_body_bytes: 60, max_header_bytes: 80, max_headers: 2 };
    let parser = || Parser::new(Some("frame")).with_limits(limits);
    let good = "--frame\r\nContent-Length: {N}\r\n\r\n{P}\r\n--frame--\r\n";
    let large = Error::TooLarge { offset: 0, limit_bytes: 60 };
    let headers = |problem| Error::Multipart { offset: 0, problem };
    for (bad, expected) in [
        (format!("--frame\r\n\r\n{}\r\n", "x".repeat(61)), large.clone()),
        (format!("--frame\r\nContent-Length: 61\r\n\r\n{}\r\n", "x".repeat(61)), large.clone()),
        ("--frame\r\nContent-Length: 18446744073709551615\r\n\r\n\r\n".into(), large),
        (
            format!("--frame\r\nA: {}\r\n\r\n\r\n", "x".repeat(80)),
            headers(Problem::HeaderTooLong { limit_bytes: 80 }),
        ),
        (
            "--frame\r\nA: 1\r\nB: 2\r\nC: 3\r\n\r\nx\r\n".into(),
            headers(Problem::TooManyHeaders { limit: 2 }),
        ),
    ] {
        let found = parse_with(parser, &stream(&bad, good, &[A], ""));
        match (&found[0], &expected) {
            (Err(Error::TooLarge { limit_bytes: a, .. }), Error::TooLarge { limit_bytes: b, .. }) => {
                assert_eq!(a, b)
            }
            (Err(Error::Multipart { problem: a, .. }), Error::Multipart { problem: b, .. }) => {
                assert_eq!(a, b)
            }
            (other, _) => panic!("{bad:?} gave {other:?}"),
        }
        assert_eq!(bodies(&found), [A], "{bad:?}");
    }
    let exact = format!("--frame\r\n\r\n{}\r\n--frame--", "x".repeat(60));
    assert_eq!(bodies(&parse_with(parser, exact.as_bytes()))[0].len(), 60);
}

#[test]
fn what_never_shows_a_boundary_is_refused_and_holds_no_memory() {
    let limits = Limits { max_body_bytes: 100, ..Limits::default() };
    let found =
        parse_with(|| Parser::new(Some("frame")).with_limits(limits), &b"no multipart here ".repeat(20));
    assert_eq!(
        found,
        [Err(Error::Multipart { offset: 0, problem: Problem::NoBoundary { limit_bytes: 100 } })]
    );
}

#[test]
fn what_the_writer_wrote_in_order_comes_back() {
    let writer = Writer::new("frame").unwrap();
    let mut bytes = writer.opening().to_vec();
    for body in [A, B, b"", b"\r\n", b"\n--frame", b"text"] {
        let len = body.len().to_string();
        bytes.extend_from_slice(
            &writer.part(&[("Content-Type", "a/b"), ("Content-Length", &len)], body).unwrap(),
        );
    }
    bytes.extend_from_slice(&writer.closing());
    let found = parse(Some("frame"), &bytes);
    assert_eq!(bodies(&found), [A, B, b"", b"\r\n", b"\n--frame", b"text"]);
    assert_eq!(found.last(), Some(&Ok(ParserEvent::End)));
}

#[test]
fn what_the_writer_wrote_ahead_of_time_comes_back() {
    let writer = Writer::new("frame").unwrap();
    let headers = [("Content-Type", "image/jpeg")];
    let mut bytes = writer.opening_ahead(&headers).unwrap().to_vec();
    for body in [A, b"", B] {
        bytes.extend_from_slice(&writer.part_ahead(&headers, body).unwrap());
    }
    bytes.extend_from_slice(&writer.closing());
    let found = parse(Some("frame"), &bytes);
    assert_eq!(bodies(&found), [A, b"", B], "the part that was announced but not sent is none");
    assert_eq!(found.last(), Some(&Ok(ParserEvent::End)));
}

#[test]
fn a_body_is_handed_out_from_the_buffer_it_was_copied_to() {
    let part = "--frame\r\nContent-Length: {N}\r\n\r\n{P}\r\n";
    let picture = [b"\xFF\xD8".as_slice(), &[7; 50_000], b"\xFF\xD9"].concat();
    let bytes = stream("", part, &[&picture[..]; 3], "--frame--\r\n");
    let mut parser = Parser::new(Some("frame"));
    for chunk in bytes.chunks(1500) {
        parser.push(chunk);
        while let Ok(Some(event)) = parser.next_event() {
            let ParserEvent::Part(part) = event else { break };
            assert_eq!(part.body, picture);
            let held = part.body.try_into_mut().map_or(0, |buffer| buffer.capacity());
            assert!(held < 60_000, "{held} bytes are held for a picture of {}", picture.len());
        }
    }
}
