//! Bodies that exceed the limit, or never come.

use std::io;

use flate2::{Compress, Compression, FlushCompress};
use framecast_testkit::jpeg;
use framecast_testkit_server::camera_server::{Wire, answer};

use crate::talk::{Kind, always, asked, begin, drip, flood, hold};

/// Announces a body of one terabyte.
const HEAD: &str = "HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\nContent-Length: 1099511627776\r\n\r\n";

const CHUNKED: &str = "HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\nTransfer-Encoding: chunked\r\n\r\n";

/// A picture up to its coded data.
fn start_of_picture() -> Vec<u8> {
    let picture = jpeg(64, 48, 1);
    picture[..picture.len() - 20].to_vec()
}

pub(crate) fn kinds() -> Vec<Kind> {
    [lengths(), chunks(), repeated()].into_iter().flatten().collect()
}

fn lengths() -> Vec<Kind> {
    vec![
        Kind::any("gzip-bomb", |connection, wire| {
            asked(connection, wire)?;
            explode(wire)
        }),
        Kind::any("terabyte-of-zeros", |connection, wire| {
            begin(connection, wire, HEAD)?;
            flood(wire, [0])
        }),
        Kind::any("terabyte-of-one-picture", |connection, wire| {
            begin(connection, wire, HEAD)?;
            wire.send(start_of_picture())?;
            flood(wire, [0x55])
        }),
        Kind::any("terabyte-of-silence", |connection, wire| {
            begin(connection, wire, HEAD)?;
            hold(wire)
        }),
        Kind::any("body-a-byte-a-second", |connection, wire| {
            begin(connection, wire, HEAD)?;
            drip(wire, &start_of_picture())
        }),
        Kind::any("impossible-lengths", |connection, wire| {
            let length = ["-1", "0\r\nContent-Length: 1", "99999999999999999999", "+5"][connection % 4];
            begin(connection, wire, format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n"))?;
            flood(wire, "no picture ")
        }),
    ]
}

/// Sends a gzip body without end, in which each kilobyte expands to a megabyte of zeros.
fn explode(wire: &mut Wire) -> io::Result<()> {
    let mut compress = Compress::new(Compression::best(), false);
    let mut block = Vec::with_capacity(64 * 1024);
    // After a full flush the block refers to nothing before it, so the server can repeat it.
    compress.compress_vec(&vec![0; 1 << 20], &mut block, FlushCompress::Full)?;
    wire.send("HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\nContent-Encoding: gzip\r\n\r\n")?;
    // RFC 1952 §2.3: deflate, no flags, no time, an unknown system.
    wire.send([0x1F, 0x8B, 8, 0, 0, 0, 0, 0, 0, 0xFF])?;
    flood(wire, block)
}

fn chunks() -> Vec<Kind> {
    vec![
        Kind::any("chunk-of-2-to-the-63", |connection, wire| {
            begin(connection, wire, CHUNKED)?;
            wire.send("8000000000000000\r\n")?;
            flood(wire, [0])
        }),
        Kind::any("endless-chunk-size", |connection, wire| {
            begin(connection, wire, CHUNKED)?;
            flood(wire, "0")
        }),
        Kind::any("endless-chunk-extension", |connection, wire| {
            begin(connection, wire, CHUNKED)?;
            wire.send("5;")?;
            flood(wire, "name=value;")
        }),
        Kind::any("endless-trailers", |connection, wire| {
            let picture = jpeg(64, 48, 1);
            begin(connection, wire, CHUNKED)?;
            wire.send(format!("{:x}\r\n", picture.len()))?;
            wire.send([&picture[..], b"\r\n0\r\n"].concat())?;
            flood(wire, "X-Trailer: one more\r\n")
        }),
        Kind::any("chunk-without-an-end", |connection, wire| {
            begin(connection, wire, CHUNKED)?;
            flood(wire, "5\r\nhello!")
        }),
        Kind::any("chunk-size-a-byte-a-second", |connection, wire| {
            begin(connection, wire, CHUNKED)?;
            drip(wire, b"000000000000001\r\nx\r\n")
        }),
    ]
}

fn repeated() -> Vec<Kind> {
    vec![
        Kind::any("nothing-at-full-speed", |connection, wire| {
            always(connection, wire, answer("200 OK", "Content-Type: image/jpeg\r\n", b""))
        }),
        Kind::any("status-without-a-body", |connection, wire| {
            let status = if connection % 2 == 1 { "304 Not Modified" } else { "204 No Content" };
            always(connection, wire, format!("HTTP/1.1 {status}\r\n\r\n"))
        }),
        Kind::any("reset-at-each-stage", |connection, wire| {
            let stages: [&[u8]; 5] =
                [b"", b"HTTP/1.", b"HTTP/1.1 200 OK\r\nX", HEAD.as_bytes(), CHUNKED.as_bytes()];
            begin(connection, wire, stages[connection % 5])?;
            wire.reset();
            Ok(())
        }),
    ]
}
