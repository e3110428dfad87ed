//! Streams with parts and pictures that are expensive to parse.

use std::io;

use framecast_testkit::jpeg;
use framecast_testkit_server::camera_server::{STREAM_HEAD, Wire};

use crate::talk::{Kind, begin, flood};

/// A picture that repeats this segment for ever and never reaches its coded data.
const SEGMENT: [u8; 19] =
    [0xFF, 0xC0, 0, 17, 8, 0xFF, 0xFF, 0xFF, 0xFF, 3, 1, 0x22, 0, 2, 0x11, 1, 3, 0x11, 1];

pub(crate) fn kinds() -> Vec<Kind> {
    vec![
        Kind::any("part-header-of-a-gigabyte", |connection, wire| {
            begin(connection, wire, format!("{STREAM_HEAD}--frame\r\nContent-Type: image/jpeg\r\nX: "))?;
            flood(wire, "x")
        }),
        Kind::any("part-without-an-end", |connection, wire| {
            begin(connection, wire, format!("{STREAM_HEAD}--frame\r\n\r\n"))?;
            flood(wire, "no picture ")
        }),
        Kind::any("nothing-before-the-first-boundary", |connection, wire| {
            begin(connection, wire, STREAM_HEAD)?;
            flood(wire, "\r\n-frame")
        }),
        Kind::lost("boundary-of-a-megabyte", |connection, wire| {
            let boundary = "b".repeat(1 << 20);
            begin(connection, wire, STREAM_HEAD.replace("boundary=frame", &format!("boundary={boundary}")))?;
            flood(wire, format!("--{boundary}\r\n\r\n"))
        }),
        Kind::any("millions-of-empty-parts", |connection, wire| {
            begin(connection, wire, STREAM_HEAD)?;
            flood(wire, "--frame\r\nContent-Length: 0\r\n\r\n\r\n")
        }),
        Kind::any("picture-of-a-gigabyte", |connection, wire| {
            begin(connection, wire, STREAM_HEAD)?;
            endless_picture(wire, "Content-Length: 1073741824\r\n")
        }),
        Kind::any("picture-without-an-end", |connection, wire| {
            begin(connection, wire, STREAM_HEAD)?;
            endless_picture(wire, "")
        }),
        Kind::any("picture-of-4-gigapixels", |connection, wire| {
            let mut picture = jpeg(64, 48, 1).to_vec();
            let size = picture.windows(2).position(|marker| marker == [0xFF, 0xC0]);
            let size = size.ok_or(io::ErrorKind::NotFound)? + 5;
            picture[size..size + 4].fill(0xFF);
            begin(connection, wire, STREAM_HEAD)?;
            flood(wire, [b"--frame\r\n\r\n", &picture[..], b"\r\n"].concat())
        }),
        Kind::any("picture-of-segments-alone", |connection, wire| {
            begin(connection, wire, "HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\n\r\n")?;
            wire.send([0xFF, 0xD8])?;
            flood(wire, SEGMENT)
        }),
        Kind::any("tiny-pictures-at-full-speed", |connection, wire| {
            begin(connection, wire, STREAM_HEAD)?;
            flood(wire, [b"--frame\r\n\r\n", &jpeg(16, 16, 1)[..], b"\r\n"].concat())
        }),
    ]
}

/// A part with a picture whose coded data never end.
fn endless_picture(wire: &mut Wire, length: &str) -> io::Result<()> {
    let picture = jpeg(64, 48, 1);
    wire.send(format!("--frame\r\nContent-Type: image/jpeg\r\n{length}\r\n"))?;
    wire.send(&picture[..picture.len() - 20])?;
    flood(wire, [0x55])
}
