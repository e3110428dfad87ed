//! A picture is complete when its end marker has arrived, whatever happens to the rest of the body.

use framecast_testkit::blocking::pause;
use framecast_testkit_server::camera_server::{AfterAnswer, INTERVAL, Wire};

use crate::show::{Case, show};

/// Sends a picture without a length, so that only its end marker shows that it is complete.
fn send_endless(wire: &mut Wire) -> std::io::Result<()> {
    let picture = wire.picture();
    wire.send("HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\nConnection: close\r\n\r\n")?;
    wire.send(picture)
}

#[test]
fn a_picture_is_shown_although_its_body_does_not_end_as_declared() {
    let too_long = |by: usize| {
        move |wire: &mut Wire| {
            let picture = wire.picture();
            let length = picture.len() + by;
            wire.send(format!(
                "HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\nContent-Length: {length}\r\n\r\n"
            ))?;
            wire.send(picture)?;
            Ok(AfterAnswer::Close)
        }
    };
    let (by_48, by_32) = (too_long(48), too_long(32));
    show(vec![
        Case::new("length-48-too-large", "/snapshot?channel=1#fps=10", move |_, wire| by_48(wire)),
        Case::new("length-32-too-large", "/snapshot?channel=1#fps=10", move |_, wire| by_32(wire)),
        Case::new("last-chunk-missing", "/#fps=10", |_, wire| {
            let picture = wire.picture();
            wire.send("HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\nTransfer-Encoding: chunked\r\n\r\n")?;
            wire.send(format!("{:x}\r\n", picture.len()))?;
            wire.send([&picture[..], b"\r\n"].concat())?;
            Ok(AfterAnswer::Close)
        }),
        Case::new("half-of-the-last-chunk", "/#fps=10", |_, wire| {
            let picture = wire.picture();
            wire.send("HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\nTransfer-Encoding: chunked\r\n\r\n")?;
            wire.send(format!("{:x}\r\n", picture.len() + 4096))?;
            wire.send(picture)?;
            Ok(AfterAnswer::Close)
        }),
        Case::new("reset-behind-the-picture", "/#fps=10", |_, wire| {
            send_endless(wire)?;
            Ok(AfterAnswer::Reset)
        }),
    ]);
}

#[test]
fn a_picture_is_shown_while_its_connection_lingers() {
    // Each server ends a connection only after the client does, so a client that waits for the end would show no
    // picture.
    show(vec![
        Case::new("no-length", "/jpg#fps=10", |_, wire| {
            send_endless(wire)?;
            Ok(AfterAnswer::Linger)
        }),
        Case::new("length-too-large", "/jpg#fps=10", |_, wire| {
            let picture = wire.picture();
            wire.send(format!(
                "HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\nContent-Length: {}\r\n\r\n",
                1 << 20
            ))?;
            wire.send(picture)?;
            Ok(AfterAnswer::Linger)
        }),
        Case::new("no-last-chunk", "/jpg#fps=10", |_, wire| {
            let picture = wire.picture();
            wire.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
            wire.send(format!("{:x}\r\n", picture.len()))?;
            wire.send([&picture[..], b"\r\n"].concat())?;
            Ok(AfterAnswer::Linger)
        }),
    ]);
}

#[test]
fn a_picture_is_taken_for_what_it_is_whatever_its_type_says() {
    let typed = |head: &'static str, is_chunked: bool| {
        move |wire: &mut Wire| {
            let picture = wire.picture();
            wire.send(format!("HTTP/1.1 200 OK\r\nConnection: close\r\n{head}\r\n"))?;
            if is_chunked {
                wire.send(format!("{:x}\r\n", picture.len()))?;
                wire.send([&picture[..], b"\r\n0\r\n\r\n"].concat())?;
            } else {
                wire.send(picture)?;
            }
            Ok(AfterAnswer::Close)
        }
    };
    let chunked = typed("Content-Type: application/octet-stream\r\nTransfer-Encoding: chunked\r\n", true);
    let closed = typed("Content-Type: application/octet-stream\r\n", false);
    let untyped = typed("", false);
    let multipart = typed("Content-Type: multipart/x-mixed-replace;boundary=ipcam264\r\n", false);
    show(vec![
        Case::new("octets-in-chunks", "/?cmd=getCamshot#fps=10", move |_, wire| chunked(wire)),
        Case::new("octets-to-the-end", "/?cmd=getCamshot#fps=10", move |_, wire| closed(wire)),
        Case::new("no-type", "/#fps=10", move |_, wire| untyped(wire)),
        Case::new("multipart-to-the-end", "/snapshot#fps=10", move |_, wire| multipart(wire)),
        Case::new("multipart-with-length", "/snapshot#fps=10", |_, wire| {
            let picture = wire.picture();
            let head = "HTTP/1.1 200 OK\r\nContent-Type: multipart/x-mixed-replace;boundary=ipcam264\r\n";
            wire.send(format!("{head}Content-Length: {}\r\n\r\n", picture.len()))?;
            wire.send(picture)?;
            Ok(AfterAnswer::Keep)
        }),
    ]);
}

#[test]
fn pictures_that_follow_each_other_without_boundaries_are_all_shown() {
    let endless = |kind: &'static str| {
        move |wire: &mut Wire| {
            wire.send(format!("HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\n\r\n"))?;
            loop {
                let picture = wire.picture();
                wire.send(picture)?;
                pause(INTERVAL);
            }
        }
    };
    let (as_stream, as_octets, as_still) =
        (endless("multipart/x-mixed-replace"), endless("application/octet-stream"), endless("image/jpeg"));
    show(vec![
        Case::new("as-multipart", "/", move |_, wire| as_stream(wire)),
        Case::new("as-octets", "/", move |_, wire| as_octets(wire)),
        Case::new("as-a-still", "/", move |_, wire| as_still(wire)),
    ]);
}
