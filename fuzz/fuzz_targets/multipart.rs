//! Any bytes as a multipart stream: the result is the same however the bytes are divided, and within the bounds; the
//! parser also reads back what the writer wrote. The first byte of the input chooses boundary and rule, the second the
//! division.
#![no_main]

use bytes::BufMut;
use framecast_fuzz::pieces;
use framecast_media::Error;
use framecast_media::codec::jpeg::parse_markers;
use framecast_media::container::multipart::{
    ParserEvent, Limits, Parser, PartEnd, Problem, Writer, boundary_from_content_type,
};
use libfuzzer_sys::fuzz_target;

const LIMITS: Limits = Limits { max_body_bytes: 3000, max_header_bytes: 300, max_headers: 8 };

fn parse<'a>(parser: Parser, pieces: impl Iterator<Item = &'a [u8]>) -> Vec<Result<ParserEvent, Error>> {
    parse_added(parser, pieces, Parser::push)
}

/// Writes `bytes` into the parser's room, as reads from a socket do.
fn write(parser: &mut Parser, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        let mut room = parser.room();
        let (head, rest) = bytes.split_at(bytes.len().min(room.remaining_mut()));
        room.put_slice(head);
        bytes = rest;
    }
}

/// Parses a stream that arrives in pieces, which `add` adds to the parser.
fn parse_added<'a>(
    mut parser: Parser,
    pieces: impl Iterator<Item = &'a [u8]>,
    add: fn(&mut Parser, &[u8]),
) -> Vec<Result<ParserEvent, Error>> {
    let mut found = Vec::new();
    'stream: for piece in pieces {
        add(&mut parser, piece);
        while let Some(next) = parser.next_event().transpose() {
            let is_final = matches!(next, Err(Error::Multipart { problem: Problem::NoBoundary { .. }, .. }));
            found.push(next);
            if is_final {
                break 'stream;
            }
        }
    }
    found.extend(parser.finish().map(|part| Ok(ParserEvent::Part(part))));
    found
}

/// Arbitrary boundary, arbitrary stream.
fn any_stream(choice: u8, seed: u8, stream: &[u8]) {
    let of_the_stream =
        std::str::from_utf8(&stream[..stream.len().min(60)]).ok().and_then(boundary_from_content_type);
    let declared = [None, Some("frame"), Some("--frame"), of_the_stream.as_deref()][usize::from(choice & 3)];
    let part_end = if choice & 4 == 0 { PartEnd::AtBoundary } else { PartEnd::AtJpegEoi };
    let parser = || Parser::new(declared).with_limits(LIMITS).with_part_end(part_end);
    let whole = parse(parser(), std::iter::once(stream));
    assert_eq!(parse(parser(), pieces(stream, seed)), whole);
    assert_eq!(parse_added(parser(), pieces(stream, seed), write), whole);
    for event in whole.iter().flatten() {
        let ParserEvent::Part(part) = event else { continue };
        assert!(part.body.len() <= LIMITS.max_body_bytes);
        assert!(part.headers.len() <= LIMITS.max_headers);
        let written = part.headers.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>();
        // A byte that is not UTF-8 is replaced by a character of three bytes.
        assert!(written <= 3 * LIMITS.max_header_bytes);
        assert_eq!(stream[part.offset as usize..][..part.body.len()], part.body);
        if let Some(header) = part.jpeg_header {
            assert_eq!((parse_markers(&part.body), part.body.len()), (Ok(header), header.len_bytes));
        }
        // A part that begins with a picture ends with it.
        if part_end == PartEnd::AtJpegEoi
            && let Ok(header) = parse_markers(&part.body)
        {
            assert_eq!(header.len_bytes, part.body.len());
        }
    }
}

/// The parser finds the pictures of any camera whole, whatever bytes surround them.
fn odd_parts(choice: u8, seed: u8, around: &[u8]) {
    const PICTURE: &[u8] = include_bytes!("../../testdata/ffmpeg-mjpeg.jpg");
    let has = |what: &[u8]| around.windows(what.len()).any(|bytes| bytes == what);
    if has(b"--frame") || has(b"\xFF\xD8") || around.ends_with(b"\xFF") || around.len() > 300 {
        return; // Then the picture may validly seem to begin or end elsewhere.
    }
    let length = match choice & 3 {
        0 => String::new(),
        1 => format!("Content-Length: {}\r\n", PICTURE.len() + around.len()),
        2 => format!("Content-Length: {}\r\n", usize::from(seed) * 37),
        _ => format!("Content-Length: 0\r\nContent-Length: {}\r\n", PICTURE.len()),
    };
    let head = format!("--frame\r\nContent-Type: image/jpeg\r\n{length}\r\n");
    let part = match choice & 4 {
        0 => [head.as_bytes(), around, PICTURE, b"\r\n"].concat(),
        _ => [head.as_bytes(), PICTURE, around, b"\r\n"].concat(),
    };
    let stream = part.repeat(3);
    let limits = Limits { max_body_bytes: 1 << 16, ..LIMITS };
    let parser = Parser::new(Some("frame")).with_limits(limits).with_part_end(PartEnd::AtJpegEoi);
    let found = parse(parser, pieces(&stream, seed));
    assert_eq!(found.len(), 3);
    for event in found {
        let Ok(ParserEvent::Part(part)) = event else { panic!("{event:?}") };
        assert!(part.body.ends_with(PICTURE));
    }
}

/// The parser reads what the writer writes, in both ways of writing.
fn round_trip(seed: u8, stream: &[u8]) {
    let bodies: Vec<&[u8]> = pieces(stream, seed.wrapping_add(1)).collect();
    let writer = Writer::new("frame").expect("the boundary is allowed");
    let text = [("Content-Type", "text/plain")];
    let mut in_order = writer.opening().to_vec();
    for body in &bodies {
        let length = body.len().to_string();
        let headers = [text[0], ("Content-Length", &length)];
        in_order.extend_from_slice(&writer.part(&headers, body).expect("the headers are allowed"));
    }
    in_order.extend_from_slice(&writer.closing());
    assert_comes_back(&in_order, seed, &bodies);
    if bodies.iter().any(|body| body.windows(7).any(|bytes| bytes == b"--frame")) {
        return; // Without a length, a body must not contain the boundary.
    }
    let mut ahead = writer.opening_ahead(&text).expect("the headers are allowed").to_vec();
    for body in &bodies {
        ahead.extend_from_slice(&writer.part_ahead(&text, body).expect("the headers are allowed"));
    }
    ahead.extend_from_slice(&writer.closing());
    assert_comes_back(&ahead, seed, &bodies);
}

fn assert_comes_back(written: &[u8], seed: u8, bodies: &[&[u8]]) {
    let found = parse(Parser::new(Some("frame")), pieces(written, seed));
    let (end, parts) = found.split_last().expect("a stream that was closed has an end");
    assert_eq!(*end, Ok(ParserEvent::End));
    assert_eq!(parts.len(), bodies.len());
    for (part, body) in parts.iter().zip(bodies) {
        let Ok(ParserEvent::Part(part)) = part else { panic!("{part:?}") };
        assert_eq!(part.body, *body);
        assert_eq!(part.header("content-type"), Some("text/plain"));
    }
}

fuzz_target!(|data: &[u8]| {
    let &[choice, seed, ref stream @ ..] = data else { return };
    any_stream(choice, seed, stream);
    round_trip(seed, stream);
    odd_parts(choice, seed, stream);
});
