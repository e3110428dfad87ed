//! Streams that broke other clients, grouped by what is odd about them: the parser finds their pictures however the
//! bytes arrive.

use super::picture::{PICTURE, THUMBNAIL, at_jpeg_eoi};
use super::*;
use crate::Bytes;
use crate::codec::jpeg::{normalize, normalize_complete};

/// Stray bytes, as some cameras put them around a picture. They belong to no picture.
const DHAV: &[u8] = b"dhav\x59\x19\x01\x00";

/// A kind of camera: the boundary that it declares, and how it writes part number `n` with the given picture.
struct Kind {
    name: &'static str,
    declared: Option<&'static str>,
    part: fn(usize, &[u8]) -> Vec<u8>,
    /// How many of the four parts of the test's stream are lost. The next two fields say how many are repaired because
    /// of bytes in the body, and how many have stray bytes after them.
    lost: usize,
    repaired: usize,
    tails: usize,
}

impl Kind {
    const fn new(name: &'static str, declared: &'static str, part: fn(usize, &[u8]) -> Vec<u8>) -> Self {
        Self { name, declared: Some(declared), part, lost: 0, repaired: 0, tails: 0 }
    }

    const fn undeclared(self) -> Self {
        Self { declared: None, ..self }
    }

    const fn repaired(self, repaired: usize) -> Self {
        Self { repaired, ..self }
    }

    const fn tails(self, tails: usize) -> Self {
        Self { tails, ..self }
    }

    const fn lost(self, lost: usize) -> Self {
        Self { lost, ..self }
    }
}

/// Creates a part with the boundary line `line`, a `Content-Length` for each of `lengths`, this body, and `end`.
fn sized(line: &str, lengths: &[usize], body: &[u8], end: &str) -> Vec<u8> {
    let lengths: String = lengths.iter().map(|len| format!("Content-Length: {len}\r\n")).collect();
    [format!("{line}Content-Type: image/jpeg\r\n{lengths}\r\n").as_bytes(), body, end.as_bytes()].concat()
}

fn frame(lengths: &[usize], body: &[u8]) -> Vec<u8> {
    sized("--frame\r\n", lengths, body, "\r\n")
}

/// Creates a part with the line `header` instead of `Content-Length`. In `header`, `{N}` stands for the length of the
/// picture.
fn with_header(header: &str, picture: &[u8]) -> Vec<u8> {
    let header = header.replace("{N}", &picture.len().to_string());
    [format!("--frame\r\n{header}\r\n\r\n").as_bytes(), picture, b"\r\n"].concat()
}

fn junk() -> Vec<u8> {
    (0..40).collect()
}

/// Bytes that contain what looks like the starts of pictures, but no picture.
const FALSE_STARTS: &[u8] = b"noise\xFF\xD8\xFF\xE1\x00\x02\xFF\xD8\xFF\x41..";

/// Bytes that look like the start of a picture and declare a segment that spans the start of the true picture after
/// them.
const LONG_START: &[u8] = b"noise\xFF\xD8\xFF\xFE\x40\x00";

const ODD_FRONTS: &[Kind] = &[
    Kind::new("no boundary before the first part", "frame", |n, p| {
        sized(if n == 0 { "" } else { "--frame\r\n" }, &[p.len()], p, "\r\n")
    }),
    Kind::new("no boundary and no header before the first part", "frame", |n, p| {
        if n == 0 { [p, b"\r\n"].concat() } else { frame(&[], p) }
    }),
    Kind::new("dashes behind each boundary, declared", "data-boundary--", |_, p| {
        sized("--data-boundary--\r\n", &[p.len()], p, "\r\n")
    }),
    Kind::new("dashes behind each boundary, not declared", "data-boundary", |_, p| {
        sized("--data-boundary--\r\n", &[p.len()], p, "\r\n")
    }),
    Kind::new("dashes behind each boundary and no headers", "frame", |_, p| {
        [b"--frame--\r\n", p, b"\r\n"].concat()
    }),
    Kind::new("dashes declared and not sent", "frame--", |_, p| frame(&[p.len()], p)),
    Kind::new("dashes declared and not sent, no headers", "frame--", |_, p| {
        [b"--frame\r\n\r\n", p, b"\r\n"].concat()
    }),
    Kind::new("the first boundary line twice", "ThisString", |n, p| {
        sized(
            if n == 0 { "--ThisString\r\n--ThisString\r\n" } else { "--ThisString\r\n" },
            &[p.len()],
            p,
            "\r\n",
        )
    }),
    Kind::new("each boundary line twice with a blank line between", "frame", |_, p| {
        sized("--frame\r\n\r\n--frame\r\n", &[p.len()], p, "\r\n")
    }),
    Kind::new("header on the line of the boundary", "--jpgboundary", |_, p| {
        sized("--jpgboundary", &[p.len()], p, "\r\n")
    }),
    Kind::new("length on the line of the boundary", "frame", |_, p| {
        [format!("--frameContent-Length: {}\r\n\r\n", p.len()).as_bytes(), p, b"\r\n"].concat()
    })
    .undeclared(),
    Kind::new("a boundary with a blank in it", "--video boundary--", |n, p| {
        sized(if n == 0 { "" } else { "--video boundary--\r\n" }, &[p.len()], p, "\0\0\r\n\r\n")
    }),
    Kind::new("line feeds alone", "frame", |_, p| {
        [format!("--frame\nContent-Length: {}\n\n", p.len()).as_bytes(), p, b"\n"].concat()
    }),
    Kind::new("two carriage returns", "frame", |_, p| {
        [format!("--frame\r\r\nContent-Length: {}\r\r\n\r\r\n", p.len()).as_bytes(), p, b"\r\r\n"].concat()
    }),
    Kind::new("no headers and no blank line", "frame", |_, p| [b"--frame\r\n", p, b"\r\n"].concat()),
    Kind::new("the picture on the line of the boundary", "frame", |_, p| [b"--frame", p, b"\r\n"].concat()),
    Kind::new("pictures without anything between", "frame", |_, p| p.to_vec()),
];

const ODD_BODIES: &[Kind] = &[
    Kind::new("bytes before the picture, counted", "frame", |_, p| {
        frame(&[40 + p.len()], &[&junk(), p].concat())
    })
    .repaired(4),
    Kind::new("bytes before the picture", "frame", |_, p| frame(&[], &[&junk(), p].concat())).repaired(4),
    Kind::new("false starts before the picture, counted", "frame", |_, p| {
        frame(&[FALSE_STARTS.len() + p.len()], &[FALSE_STARTS, p].concat())
    })
    .repaired(4),
    Kind::new("false starts before the picture", "frame", |_, p| frame(&[], &[FALSE_STARTS, p].concat()))
        .repaired(4),
    Kind::new("long false start before the picture", "frame", |_, p| frame(&[], &[LONG_START, p].concat()))
        .repaired(4),
    Kind::new("bytes before the picture and no headers", "frame", |_, p| {
        [b"--frame\r\nnoise ", p, b"\r\n"].concat()
    })
    .repaired(4),
    Kind::new("one FF before the picture", "frame", |_, p| frame(&[1 + p.len()], &[b"\xFF", p].concat()))
        .repaired(4),
    Kind::new("a second head before the picture", "frame", |_, p| {
        frame(&[], &[b"HTTP/1.0 200 OK\r\nContent-Type: image/jpeg\r\n\r\n", p].concat())
    })
    .repaired(4),
    Kind::new("half a picture before the picture", "frame", |_, p| {
        frame(&[], &[&p[..p.len() / 2], p].concat())
    })
    .repaired(4),
    Kind::new("bytes behind the picture, counted", "frame", |_, p| {
        frame(&[p.len() + DHAV.len()], &[p, DHAV].concat())
    })
    .tails(4),
    Kind::new("bytes behind the picture", "frame", |_, p| frame(&[], &[p, DHAV].concat())).tails(4),
    Kind::new("no line end before the boundary", "frame", |_, p| sized("--frame\r\n", &[], p, "")),
    Kind::new("bytes behind the picture and no line end", "frame", |_, p| {
        sized("--frame\r\n", &[], &[p, DHAV].concat(), "")
    })
    .tails(4),
    Kind::new("bytes before and behind the picture", "frame", |_, p| {
        frame(&[40 + p.len() + DHAV.len()], &[&junk(), p, DHAV].concat())
    })
    .repaired(4),
    Kind::new("zeros behind the picture, counted", "frame", |_, p| {
        frame(&[p.len() + 700], &[p, &[0; 700]].concat())
    }),
    Kind::new("no EOI", "frame", |_, p| frame(&[p.len() - 2], &p[..p.len() - 2])).repaired(4),
    Kind::new("no EOI and no line end", "frame", |_, p| {
        sized("--frame\r\n", &[p.len() - 2], &p[..p.len() - 2], "")
    })
    .repaired(4),
    Kind::new("every second without EOI", "frame", |n, p| {
        let p = if n % 2 == 1 { &p[..p.len() - 2] } else { p };
        frame(&[p.len()], p)
    })
    .repaired(2),
    Kind::new("no EOI behind other bytes", "frame", |_, p| {
        frame(&[38 + p.len()], &[&junk(), &p[..p.len() - 2]].concat())
    })
    .repaired(4),
    Kind::new("every second part empty", "frame", |n, p| {
        if n % 2 == 1 { frame(&[0], b"") } else { frame(&[p.len()], p) }
    })
    .lost(2),
    Kind::new("text between the pictures", "frame", |n, p| {
        if n % 2 == 1 { frame(&[5], b"hello") } else { frame(&[p.len()], p) }
    })
    .lost(2),
];

const ODD_LENGTHS: &[Kind] = &[
    Kind::new("larger by 500", "frame", |_, p| frame(&[p.len() + 500], p)),
    Kind::new("larger than two pictures", "frame", |_, p| frame(&[3 * p.len()], p)),
    Kind::new("larger by the line end", "frame", |_, p| frame(&[p.len() + 2], p)),
    Kind::new("true, then larger", "frame", |n, p| frame(&[p.len() + 500 * (n / 2)], p)),
    Kind::new("smaller by 2", "frame", |_, p| frame(&[p.len() - 2], p)),
    Kind::new("true, then smaller", "frame", |n, p| frame(&[p.len() - 500 * (n / 2)], p)),
    Kind::new("every second zero", "frame", |n, p| frame(&[if n % 2 == 1 { 0 } else { p.len() }], p)),
    Kind::new("zero", "frame", |_, p| frame(&[0], p)),
    Kind::new("zero, then the true one", "frame", |_, p| frame(&[0, p.len()], p)),
    Kind::new("the true one, then another", "frame", |_, p| frame(&[p.len(), 7], p)),
    Kind::new("another, then the true one", "frame", |_, p| frame(&[p.len() + 9, p.len()], p)),
    Kind::new("the same twice", "frame", |_, p| frame(&[p.len(), p.len()], p)),
    Kind::new("larger than the bound", "frame", |_, p| frame(&[usize::MAX], p)),
    Kind::new("larger than any number", "frame", |_, p| {
        with_header("Content-Length: 184467440737095516160", p)
    }),
    Kind::new("negative", "frame", |_, p| with_header("Content-Length: -1", p)),
    Kind::new("with a plus", "frame", |_, p| with_header("Content-Length: +{N}", p)),
    Kind::new("with a unit", "frame", |_, p| with_header("Content-Length: {N} bytes", p)),
    Kind::new("without a blank", "frame", |_, p| with_header("content-length:{N}", p)),
    Kind::new("with a blank before the colon", "frame", |_, p| with_header("Content-Length : {N}", p)),
    Kind::new("no number", "frame", |_, p| with_header("Content-Length: ", p)),
    Kind::new("hexadecimal", "frame", |_, p| with_header("Content-Length: 0x1000", p)),
];

/// Gives a stream to a parser in pieces of `piece_bytes` and extracts the pictures from the parts, as drivers do.
fn pictures(kind: &Kind, stream: &[u8], piece_bytes: usize) -> (Vec<Bytes>, usize, u64) {
    let mut parser = Parser::new(kind.declared).with_part_end(PartEnd::AtJpegEoi);
    let (mut parts, mut found) = (Vec::new(), Vec::new());
    for piece in stream.chunks(piece_bytes) {
        parser.push(piece);
        drain(&mut parser, &mut found);
    }
    let tails = parser.trailing_junk_count();
    found.extend(parser.finish().map(|part| Ok(ParserEvent::Part(part))));
    for event in found {
        if let ParserEvent::Part(part) = event.unwrap_or_else(|error| panic!("{}: {error}", kind.name)) {
            parts.push(part);
        }
    }
    let is_other = |part: &Part| part.body.is_empty() || part.body == b"hello"[..];
    let normalized = parts.into_iter().filter(|part| !is_other(part)).map(|part| {
        let normalize = if part.is_complete { normalize_complete } else { normalize };
        normalize(part.body).unwrap_or_else(|error| panic!("{}: {error}", kind.name))
    });
    let normalized: Vec<_> = normalized.collect();
    let repaired = normalized.iter().filter(|picture| picture.is_repaired).count();
    (normalized.into_iter().map(|picture| picture.data).collect(), repaired, tails)
}

fn assert_read(kind: &Kind) {
    let sent = [PICTURE, THUMBNAIL, PICTURE, THUMBNAIL];
    let mut stream: Vec<u8> = sent.iter().enumerate().flat_map(|(n, p)| (kind.part)(n, p)).collect();
    // The start of the next part.
    stream.extend_from_slice(b"--frame\r\n");
    for piece_bytes in [stream.len(), 1, 2, 3, 7, 61, 1000, 1460] {
        let (found, repaired, tails) = pictures(kind, &stream, piece_bytes);
        let place = format!("{} in pieces of {piece_bytes}", kind.name);
        assert!(found.iter().all(|picture| sent.contains(&&picture[..])), "{place}");
        assert_eq!(found.len(), sent.len() - kind.lost, "{place}");
        assert_eq!((repaired, tails), (kind.repaired, kind.tails as u64), "{place}");
    }
}

#[test]
fn pictures_behind_odd_boundaries_and_headers_are_read() {
    ODD_FRONTS.iter().for_each(assert_read);
}

#[test]
fn pictures_in_odd_bodies_are_read() {
    ODD_BODIES.iter().for_each(assert_read);
}

#[test]
fn pictures_with_odd_lengths_are_read() {
    ODD_LENGTHS.iter().for_each(assert_read);
}

#[test]
fn a_picture_is_complete_at_its_end_whatever_its_length_says() {
    let kinds = ODD_LENGTHS.iter().chain(ODD_FRONTS).chain(ODD_BODIES);
    // These end in another way.
    let others = ["no EOI", "without EOI", "long false start"];
    for kind in kinds.filter(|kind| kind.lost == 0 && !others.iter().any(|other| kind.name.contains(other))) {
        let mut parser = Parser::new(kind.declared).with_part_end(PartEnd::AtJpegEoi);
        for (n, picture) in [PICTURE, THUMBNAIL, PICTURE].into_iter().enumerate() {
            let part = (kind.part)(n, picture);
            let end = memchr::memmem::rfind(&part, &picture[picture.len() - 8..]).unwrap() + 8;
            let (to_eoi, behind) = part.split_at(end);
            parser.push(to_eoi);
            let mut found = Vec::new();
            drain(&mut parser, &mut found);
            let bodies = bodies(&found);
            assert_eq!(bodies.len(), 1, "{}, picture {n}", kind.name);
            assert!(bodies[0].ends_with(picture), "{}, picture {n}", kind.name);
            parser.push(behind);
        }
    }
}

#[test]
fn a_picture_that_is_padded_behind_soi_is_complete_at_its_end() {
    let padded = [&PICTURE[..2], &[0; 3], &PICTURE[2..]].concat();
    for lengths in [&[][..], &[padded.len()], &[padded.len() + 9]] {
        let part = frame(lengths, &padded);
        for piece_bytes in [1, 100, part.len()] {
            let mut parser = at_jpeg_eoi();
            let mut found = Vec::new();
            for piece in part[..part.len() - 2].chunks(piece_bytes) {
                parser.push(piece);
                drain(&mut parser, &mut found);
            }
            assert_eq!(bodies(&found), [&padded], "{lengths:?} in pieces of {piece_bytes}");
        }
    }
}

#[test]
fn a_picture_without_eoi_is_complete_at_its_length_once_one_was() {
    let mut parser = at_jpeg_eoi();
    let cut = &PICTURE[..PICTURE.len() - 2];
    let part = frame(&[cut.len()], cut);
    parser.push(&part);
    let mut found = Vec::new();
    drain(&mut parser, &mut found);
    assert!(found.is_empty(), "the length may be wrong");
    parser.push(&part[..part.len() - 2]);
    drain(&mut parser, &mut found);
    assert_eq!(bodies(&found), [cut, cut]);
}

#[test]
fn the_headers_of_a_first_part_without_a_boundary_are_its_own() {
    let first = b"X-Timestamp: 12.5\r\nContent-Type: image/jpeg\r\n\r\n";
    let bytes = [first, PICTURE, b"\r\n--frame\r\nContent-Type: image/jpeg\r\n\r\n", PICTURE].concat();
    let found = parse_in_chunks(at_jpeg_eoi(), bytes.chunks(100));
    let times: Vec<_> = found
        .iter()
        .map(|event| match event {
            Ok(ParserEvent::Part(part)) => part.header("x-timestamp"),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(times, [Some("12.5"), None]);
}

#[test]
fn what_looks_like_a_first_picture_does_not_hide_the_boundary() {
    let cut = &PICTURE[..PICTURE.len() - 2];
    let bytes = [cut, b"\r\n", &frame(&[PICTURE.len()], PICTURE), &frame(&[], THUMBNAIL)].concat();
    for piece_bytes in [1, 100, bytes.len()] {
        let found = parse_in_chunks(at_jpeg_eoi(), bytes.chunks(piece_bytes));
        assert_eq!(bodies(&found), [PICTURE, THUMBNAIL]);
    }
}
