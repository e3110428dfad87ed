//! A head that violates the standards does not hide the pictures after it.

use std::io;

use framecast_testkit::blocking::pause;
use framecast_testkit_server::camera_server::{AfterAnswer, INTERVAL, STREAM_HEAD, Wire, part, stream};

use crate::show::{Case, show};

/// The header lines of a stream with the boundary `frame`.
const TYPE: &str = "Content-Type: multipart/x-mixed-replace;boundary=frame\r\n";

/// Sends a stream after the head `head`.
fn behind(head: impl Into<Vec<u8>>) -> impl Fn(&mut Wire) -> io::Result<AfterAnswer> {
    let head = head.into();
    move |wire| {
        wire.send(&head)?;
        stream(wire)
    }
}

#[test]
fn a_length_that_cannot_be_is_no_obstacle() {
    let negative =
        behind(format!("HTTP/1.1 200 OK\r\n{TYPE}Content-Length: -1\r\nConnection: close\r\n\r\n"));
    let two =
        behind(format!("HTTP/1.1 200 OK\r\n{TYPE}Content-Length: 0\r\nContent-Length: 99999999\r\n\r\n"));
    let words = behind(format!("HTTP/1.1 200 OK\r\n{TYPE}Content-Length: unknown\r\n\r\n"));
    let huge = behind(format!("HTTP/1.1 200 OK\r\n{TYPE}Content-Length: 99999999999999999999999\r\n\r\n"));
    show(vec![
        Case::new("negative", "/Mjpeg/0", move |_, wire| negative(wire)),
        Case::new("two-of-a-stream", "/", move |_, wire| two(wire)),
        Case::new("in-words", "/", move |_, wire| words(wire)),
        Case::new("beyond-64-bits", "/", move |_, wire| huge(wire)),
        Case::new("two-of-a-still", "/#fps=10", |_, wire| {
            let picture = wire.picture();
            let length = picture.len();
            let head = "HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\nContent-Length: 0\r\n";
            wire.send(format!("{head}Content-Length: {length}\r\n\r\n"))?;
            wire.send(picture)?;
            Ok(AfterAnswer::Close)
        }),
    ]);
}

#[test]
fn a_status_line_of_another_protocol_is_taken_for_what_it_means() {
    let icy = behind(format!("ICY 200 OK\r\n{TYPE}\r\n"));
    let no_reason = behind(format!("HTTP/1.0 200\r\n{TYPE}\r\n"));
    let bare_lines = behind(format!("HTTP/1.0 200 OK\n{}\n", TYPE.replace("\r\n", "\n")));
    show(vec![
        Case::new("icy", "/", move |_, wire| icy(wire)),
        Case::new("no-reason", "/", move |_, wire| no_reason(wire)),
        Case::new("bare-line-feeds", "/", move |_, wire| bare_lines(wire)),
    ]);
}

#[test]
fn an_answer_of_http_1_0_in_chunks_is_read_as_chunks() {
    show(vec![
        Case::new("still", "/#fps=10", |_, wire| {
            let picture = wire.picture();
            wire.send("HTTP/1.0 200 OK\r\nContent-Type: image/jpeg\r\nTransfer-Encoding: chunked\r\n\r\n")?;
            let (start, end) = picture.split_at(picture.len() / 2);
            for chunk in [start, end, &[]] {
                wire.send([format!("{:x}\r\n", chunk.len()).as_bytes(), chunk, b"\r\n"].concat())?;
            }
            Ok(AfterAnswer::Close)
        }),
        Case::new("stream", "/", |_, wire| {
            wire.send(format!("HTTP/1.0 200 OK\r\n{TYPE}Transfer-Encoding: chunked\r\n\r\n"))?;
            loop {
                let picture = wire.picture();
                let part = part(&picture);
                wire.send([format!("{:x}\r\n", part.len()).as_bytes(), &part, b"\r\n"].concat())?;
                pause(INTERVAL);
            }
        }),
    ]);
}

#[test]
fn header_lines_that_are_none_are_left_out() {
    let with = |line: &str| behind(STREAM_HEAD.replacen("\r\n", &format!("\r\n{line}\r\n"), 1));
    let nameless = with(": no-cache");
    let no_colon = with("Cache-Control no-cache");
    let control = with("Server: cam\u{1}era\u{7f}");
    let control_in_name = with("X-\u{1}Server: camera");
    let space = with("Server : camera");
    let latin =
        behind([b"HTTP/1.0 200 OK\r\nServer: Kamera f\xfcr Haus\r\n", TYPE.as_bytes(), b"\r\n"].concat());
    show(vec![
        Case::new("without-a-name", "/", move |_, wire| nameless(wire)),
        Case::new("without-a-colon", "/", move |_, wire| no_colon(wire)),
        Case::new("control-bytes", "/", move |_, wire| control(wire)),
        Case::new("control-byte-in-a-name", "/", move |_, wire| control_in_name(wire)),
        Case::new("space-before-the-colon", "/", move |_, wire| space(wire)),
        Case::new("latin-1", "/", move |_, wire| latin(wire)),
    ]);
}
