//! An attempt that delivered pictures does not count as a failure. An occasional poll without a picture does not count
//! as a failure either.

use std::io;

use framecast_testkit::blocking::pause;
use framecast_testkit_server::camera_server::{
    AfterAnswer, INTERVAL, Request, STREAM_HEAD, Wire, answer, part,
};

use crate::show::{Case, show};

/// A stream that ends cleanly after `count` pictures.
fn send_some(wire: &mut Wire, count: usize) -> io::Result<AfterAnswer> {
    wire.send(STREAM_HEAD)?;
    for number in 0..count {
        if number > 0 {
            pause(INTERVAL);
        }
        let picture = wire.picture();
        wire.send(part(&picture))?;
    }
    Ok(AfterAnswer::Close)
}

#[test]
fn a_stream_that_ends_in_order_is_opened_again_without_a_word() {
    show(vec![
        Case::new("one-a-connection", "/stream", |_, wire| send_some(wire, 1)),
        Case::new("five-a-connection", "/stream", |_, wire| send_some(wire, 5)),
        Case::new("closing-boundary", "/stream", |_, wire| {
            send_some(wire, 5)?;
            wire.send("--frame--\r\n")?;
            Ok(AfterAnswer::Close)
        }),
        Case::new("declared-length", "/stream", |_, wire| {
            let picture = wire.picture();
            let body = [part(&picture), b"--frame--\r\n".to_vec()].concat();
            let kind = "Content-Type: multipart/x-mixed-replace;boundary=frame\r\n";
            wire.send(answer("200 OK", kind, &body))?;
            Ok(AfterAnswer::Keep)
        }),
    ]);
}

/// Answers one poll in five with `other`, and all other polls, beginning with the first, with a picture.
fn every_fifth(other: Vec<u8>) -> impl Fn(&Request, &mut Wire) -> io::Result<AfterAnswer> {
    move |request, wire| {
        if request.number % 5 == 4 {
            wire.send(&other)?;
        } else {
            wire.send_picture()?;
        }
        Ok(AfterAnswer::Keep)
    }
}

#[test]
fn a_still_that_is_empty_or_busy_now_and_then_is_asked_again() {
    let empty = answer("200 OK", "Content-Type: image/jpeg\r\n", b"");
    let busy = answer("200 OK", "Content-Type: text/plain\r\n", b"Device Busy\r\n");
    let page = answer("200 OK", "Content-Type: text/html\r\n", b"<html><body>Please wait</body></html>");
    let status = b"<ResponseStatus><statusString>Device Busy</statusString></ResponseStatus>";
    let unavailable = answer("503 Service Unavailable", "Content-Type: application/xml\r\n", status);
    // The viewer must see half of all polls, so five of the eight in ten that bring a picture.
    let share = 0.5 / 0.8;
    show(vec![
        Case::new("empty", "/picture/1/current/#fps=10", every_fifth(empty)).share(share),
        Case::new("busy", "/picture/1/current/#fps=10", every_fifth(busy)).share(share),
        Case::new("page", "/picture/1/current/#fps=10", every_fifth(page)).share(share),
        Case::new("unavailable", "/picture/1/current/#fps=10", every_fifth(unavailable)),
    ]);
}

#[test]
fn a_first_answer_without_a_picture_does_not_lose_the_camera() {
    let first = |other: Vec<u8>| {
        move |request: &Request, wire: &mut Wire| {
            if request.number == 1 {
                wire.send(&other)?;
            } else {
                wire.send_picture()?;
            }
            Ok(AfterAnswer::Keep)
        }
    };
    show(vec![
        Case::new("empty", "/#fps=10", first(answer("200 OK", "Content-Type: image/jpeg\r\n", b""))),
        Case::new(
            "busy",
            "/#fps=10",
            first(answer("200 OK", "Content-Type: text/plain\r\n", b"Device Busy")),
        ),
    ]);
}
