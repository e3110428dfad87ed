//! Streams whose parts violate the standard. Framecast still uses the pictures in these parts.

use std::io;

use framecast_testkit::blocking::pause;
use framecast_testkit_server::camera_server::{AfterAnswer, INTERVAL, Wire};

use crate::show::{Case, show};

/// A stream of parts that `part` writes around each picture, by the picture's number from 0.
fn stream(
    name: &'static str,
    boundary: &'static str,
    part: impl Fn(u64, &[u8]) -> Vec<u8> + Send + Sync + 'static,
) -> Case {
    Case::new(name, "/stream", move |_, wire| send_parts(wire, boundary, &part))
}

fn send_parts(
    wire: &mut Wire,
    boundary: &str,
    part: impl Fn(u64, &[u8]) -> Vec<u8>,
) -> io::Result<AfterAnswer> {
    wire.send(format!(
        "HTTP/1.0 200 OK\r\nContent-Type: multipart/x-mixed-replace;boundary={boundary}\r\n\r\n"
    ))?;
    for number in 0.. {
        let picture = wire.picture();
        wire.send(part(number, &picture))?;
        pause(INTERVAL);
    }
    Ok(AfterAnswer::Close)
}

/// A part with this head (each line with its end), body and end.
fn framed(head: impl AsRef<str>, body: &[u8], end: &str) -> Vec<u8> {
    [head.as_ref().as_bytes(), b"\r\n", body, end.as_bytes()].concat()
}

/// The head of a part with its length.
fn head(length: usize) -> String {
    format!("--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {length}\r\n")
}

const HEAD: &str = "--frame\r\nContent-Type: image/jpeg\r\n";

/// Bytes that belong to no picture.
const JUNK: [u8; 40] = [7; 40];
const TRAILER: &[u8] = b"dhav\x59\x19\x01\x00";

#[test]
fn what_stands_around_a_picture_in_its_part_is_left_out() {
    let behind = |picture: &[u8]| [picture, TRAILER].concat();
    show(vec![
        stream("junk-before-with-length", "frame", |_, picture| {
            framed(head(picture.len() + JUNK.len()), &[&JUNK, picture].concat(), "\r\n")
        })
        .repaired(),
        stream("junk-before", "frame", |_, picture| framed(HEAD, &[&JUNK, picture].concat(), "\r\n"))
            .repaired(),
        stream("one-ff-before", "frame", |_, picture| {
            framed(head(picture.len() + 1), &[b"\xFF", picture].concat(), "\r\n")
        })
        .repaired(),
        stream("trailer-with-length", "frame", move |_, picture| {
            framed(head(picture.len() + TRAILER.len()), &behind(picture), "\r\n")
        })
        .repaired(),
        stream("trailer", "frame", move |_, picture| framed(HEAD, &behind(picture), "\r\n")).repaired(),
        stream("trailer-and-no-line-end", "frame", move |_, picture| framed(HEAD, &behind(picture), ""))
            .repaired(),
    ]);
}

#[test]
fn a_picture_without_an_end_marker_that_has_its_declared_length_is_shown() {
    show(vec![
        stream("length-and-boundary", "frame", |_, picture| {
            let data = &picture[..picture.len() - 2];
            framed(head(data.len()), data, "\r\n")
        })
        .repaired(),
    ]);
}

#[test]
fn boundaries_that_are_not_as_declared_part_pictures_all_the_same() {
    let dashed = |_, picture: &[u8]| {
        let length = picture.len();
        framed(
            format!("--data-boundary--\r\nContent-Type: image/jpeg\r\nContent-Length: {length}\r\n"),
            picture,
            "\r\n",
        )
    };
    show(vec![
        stream("ends-in-dashes-as-declared", "data-boundary--", dashed),
        stream("ends-in-dashes-without-a-word", "data-boundary", dashed),
        stream("first-is-missing", "frame", |number, picture| {
            let head = head(picture.len());
            framed(if number == 0 { head.trim_start_matches("--frame\r\n") } else { &head }, picture, "\r\n")
        }),
        stream("first-is-there-twice", "frame", |number, picture| {
            let twice = if number == 0 { "--frame\r\n" } else { "" };
            framed(format!("{twice}{}", head(picture.len())), picture, "\r\n")
        }),
        stream("no-line-end-behind-it", "--jpgboundary", |_, picture| {
            let length = picture.len();
            framed(
                format!("--jpgboundaryContent-type: image/jpeg\r\nContent-length: {length}\r\n"),
                picture,
                "\r\n",
            )
        }),
        stream("spaces-in-it", "--video boundary--", |number, picture| {
            let line = if number == 0 { "" } else { "--video boundary--\r\n" };
            let date = "Date: 01-01-2011 03:30:45 AM IO_00000000_PT_003_000\r\n";
            let head =
                format!("{line}Content-length: {}\r\n{date}Content-type: image/jpeg\r\n", picture.len());
            framed(head, picture, "\0\0\r\n\r\n")
        }),
    ]);
}

#[test]
fn lengths_of_parts_that_are_wrong_cost_no_picture() {
    show(vec![
        stream("500-too-large", "frame", |_, picture| framed(head(picture.len() + 500), picture, "\r\n")),
        stream("counts-the-line-end", "frame", |_, picture| framed(head(picture.len() + 2), picture, "\r\n")),
        stream("two-of-them", "frame", |_, picture| {
            let length = picture.len();
            framed(format!("{HEAD}Content-Length: 0\r\nContent-Length: {length}\r\n"), picture, "\r\n")
        }),
        stream("zero-in-every-second-part", "frame", |number, picture| {
            framed(head(if number % 2 == 0 { picture.len() } else { 0 }), picture, "\r\n")
        }),
        Case::new("every-second-part-empty", "/", |_, wire| {
            send_parts(wire, "frame", |_, picture| {
                [framed(head(picture.len()), picture, "\r\n"), framed(head(0), &[], "\r\n")].concat()
            })
        }),
    ]);
}
