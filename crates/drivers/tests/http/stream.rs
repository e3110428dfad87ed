use std::io::Write;
use std::time::{Duration, SystemTime};

use framecast_drivers::{Error, ErrorKind};
use framecast_media::container::multipart::format_unix_seconds;
use framecast_testkit::blocking::received;

use crate::server::{AfterAnswer, ReceivedRequest, STREAM_HEAD, Server, part};
use crate::{ONE, TWO, open, open_bounded, picture};

/// The head of an answer and the text before and after each picture.
struct Variant {
    name: &'static str,
    head: &'static str,
    before_first: &'static str,
    between: &'static str,
    after_last: &'static str,
}

const MULTIPART: &str = "HTTP/1.1 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=frame\r\n\r\n";

const VARIANTS: &[Variant] = &[
    Variant {
        name: "no Content-Length",
        head: MULTIPART,
        before_first: "--frame\r\nContent-Type: image/jpeg\r\n\r\n",
        between: "\r\n--frame\r\nContent-Type: image/jpeg\r\n\r\n",
        after_last: "\r\n--frame--\r\n",
    },
    Variant {
        name: "boundary declared with its dashes, in quotes",
        head: "HTTP/1.1 200 OK\r\nContent-Type: multipart/x-mixed-replace;boundary=\"--frame\"\r\n\r\n",
        before_first: "--frame\r\nContent-Type: image/jpeg\r\n\r\n",
        between: "\r\n--frame\r\nContent-Type: image/jpeg\r\n\r\n",
        after_last: "\r\n--frame\r\n",
    },
    Variant {
        name: "no line end before the boundary, a preamble, the connection ends the stream",
        head: "HTTP/1.0 200 OK\r\nConnection: close\r\nContent-Type: multipart/x-mixed-replace; boundary=frame\r\n\r\n",
        before_first: "\r\nhello\r\n--frame\r\nContent-Type: image/jpeg\r\n\r\n",
        between: "--frame\r\nContent-Type: image/jpeg\r\n\r\n",
        after_last: "",
    },
    Variant {
        name: "a blank line too many",
        head: MULTIPART,
        before_first: "--frame\r\nContent-Type: image/jpeg\r\n\r\n\r\n",
        between: "\r\n--frame\r\nContent-Type: image/jpeg\r\n\r\n\r\n",
        after_last: "\r\n",
    },
    Variant {
        name: "line feeds alone",
        head: "HTTP/1.0 200 OK\nContent-Type: multipart/x-mixed-replace; boundary=frame\n\n",
        before_first: "--frame\nContent-Type: image/jpeg\n\n",
        between: "\n--frame\nContent-Type: image/jpeg\n\n",
        after_last: "\n--frame\n",
    },
    Variant {
        name: "no type at all",
        head: "HTTP/1.0 200 OK\r\n\r\n",
        before_first: "\r\n--frame\r\nContent-Type: image/jpeg\r\n\r\n",
        between: "\r\n--frame\r\nContent-Type: image/jpeg\r\n\r\n",
        after_last: "\r\n",
    },
    Variant {
        name: "another boundary than the declared one, a type that is wrong, headers that are none",
        head: "HTTP/1.1 200 OK\r\nContent-Type : text/html\r\nServer: \x01\r\nthis is no header\r\n\r\n",
        before_first: "--other\r\nContent-Type: image/jpeg\r\n\r\n",
        between: "\r\n--other\r\nContent-Type: image/jpeg\r\n\r\n",
        after_last: "\r\n--other--",
    },
    Variant {
        name: "pictures back to back under the type of one, with padding between them",
        head: "HTTP/1.0 200 OK\r\nContent-Type: image/jpeg\r\n\r\n",
        before_first: "\r\n",
        between: "\0\0\0",
        after_last: "\r\n",
    },
    Variant {
        name: "pictures back to back",
        head: "HTTP/1.0 200 OK\r\nContent-Type: application/octet-stream\r\n\r\n",
        before_first: "",
        between: "",
        after_last: "",
    },
];

#[tokio::test]
async fn every_variant_of_a_stream_yields_the_same_pictures() {
    for variant in VARIANTS {
        let text = |text: &str| text.as_bytes().to_vec();
        let body = [
            text(variant.before_first),
            ONE.into(),
            text(variant.between),
            TWO.into(),
            text(variant.after_last),
        ];
        let (head, body) = (variant.head, body.concat());
        let server = Server::start(move |_, out| {
            out.write_all(head.as_bytes()).unwrap();
            out.write_all(&body).unwrap();
            AfterAnswer::Close
        });
        let mut source =
            open(&server.url("/")).await.unwrap_or_else(|error| panic!("{}: {error}", variant.name));
        assert!(picture(&mut source).await == ONE, "{}", variant.name);
        assert!(picture(&mut source).await == TWO, "{}", variant.name);
        // A picture without boundaries is a snapshot until another one follows, and a snapshot is polled again.
        if !variant.name.starts_with("pictures back to back under") {
            assert!(source.next_frame().await.unwrap().is_none(), "{}", variant.name);
        }
    }
}

#[tokio::test]
async fn pictures_back_to_back_are_shown_as_they_come_whatever_their_type() {
    let (more, is_wanted) = std::sync::mpsc::channel::<()>();
    let is_wanted = std::sync::Mutex::new(is_wanted);
    let server = Server::start(move |_, out| {
        out.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\n\r\n").unwrap();
        for piece in [ONE, &TWO[..1], &TWO[1..]] {
            out.write_all(piece).unwrap();
        }
        received("the wish for more", &is_wanted.lock().unwrap()).unwrap();
        out.write_all(ONE).unwrap();
        AfterAnswer::Keep
    });
    let mut source = open(&server.url("/")).await.unwrap();
    assert!(picture(&mut source).await == ONE);
    assert!(picture(&mut source).await == TWO);
    more.send(()).unwrap();
    assert!(picture(&mut source).await == ONE);
}

#[tokio::test]
async fn chunks_need_not_follow_the_parts() {
    let server = Server::start(|_, out| {
        out.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=frame\r\n")
            .unwrap();
        out.write_all(b"Transfer-Encoding: chunked\r\n\r\n").unwrap();
        for piece in [part("", ONE), part("", TWO)].concat().chunks(700) {
            write!(out, "{:x}\r\n", piece.len()).unwrap();
            out.write_all(&[piece, b"\r\n"].concat()).unwrap();
        }
        AfterAnswer::Keep
    });
    let mut source = open(&server.url("/")).await.unwrap();
    assert!(picture(&mut source).await == ONE);
    assert!(picture(&mut source).await == TWO);
}

/// The stream is longer than the first reads, so most of it is read to where its pictures stay.
#[tokio::test]
async fn a_long_stream_arrives_whole_whatever_its_head_says_about_its_length() {
    let body = [part("", ONE), part("", TWO)].concat().repeat(100);
    let pictures = [ONE, TWO].concat().repeat(100);
    let kind = "Content-Type: multipart/x-mixed-replace; boundary=frame";
    let unbound = "--frame\r\nContent-Type: image/jpeg\r\n\r\n".as_bytes();
    let unsized_parts = [unbound, ONE, b"\r\n", unbound, TWO, b"\r\n"].concat().repeat(100);
    let answers = [
        (kind.to_owned(), body.clone()),
        (format!("{kind}\r\nContent-Length: {}", body.len()), body.clone()),
        (format!("{kind}\r\nContent-Length: {}", body.len() / 2 + 99), body),
        (kind.to_owned(), unsized_parts),
        ("Content-Type: video/x-motion-jpeg".to_owned(), pictures),
    ];
    for (headers, body) in answers {
        for is_tls in [false, true] {
            let answer = [format!("HTTP/1.1 200 OK\r\n{headers}\r\n\r\n").as_bytes(), &body].concat();
            let send = move |_: &ReceivedRequest, out: &mut dyn Write| {
                for piece in answer.chunks(7001) {
                    out.write_all(piece).unwrap();
                }
                AfterAnswer::Close
            };
            let server = if is_tls { Server::start_tls(send) } else { Server::start(send) };
            let mut source = open(&server.url(if is_tls { "/#insecure" } else { "/" })).await.unwrap();
            for number in 0..200 {
                let expected = [ONE, TWO][number % 2];
                assert!(picture(&mut source).await == expected, "{headers}: picture {number}");
            }
            assert!(source.next_frame().await.unwrap().is_none(), "{headers}");
            assert_eq!(source.repaired_frames(), 0, "{headers}");
        }
    }
}

#[tokio::test]
async fn a_picture_is_there_before_anything_follows_it() {
    let open_part = [b"--frame\r\nContent-Type: image/jpeg\r\n\r\n", ONE].concat();
    let sized_part = part("", ONE).strip_suffix(b"\r\n").unwrap().to_vec();
    for first in [open_part, sized_part] {
        let server = Server::sending([STREAM_HEAD.as_bytes(), &first].concat());
        let mut source = open(&server.url("/")).await.unwrap();
        assert!(picture(&mut source).await == ONE);
    }
}

#[tokio::test]
async fn a_capture_time_is_relayed_to_the_microsecond_unless_it_cannot_be_true() {
    let told = format_unix_seconds(SystemTime::now() - Duration::from_micros(5_123_457));
    let parts = [part(&format!("X-Timestamp: {told}\r\n"), ONE), part("X-Timestamp: 86400.5\r\n", TWO)];
    let server = Server::sending([STREAM_HEAD.as_bytes(), &parts.concat()].concat());
    let mut source = open(&server.url("/")).await.unwrap();
    let before = SystemTime::now();
    let frame = source.next_frame().await.unwrap().unwrap();
    assert_eq!(format_unix_seconds(frame.captured_at), told);
    let frame = source.next_frame().await.unwrap().unwrap();
    assert!(frame.captured_at >= before, "an uptime is not a time of day");
}

#[tokio::test]
async fn a_broken_or_too_large_picture_is_refused_and_the_next_one_shown() {
    let sound = b"--frame\r\nContent-Type: audio/basic\r\n\r\nnoise\r\n".to_vec();
    let parts = [part("", &ONE[..300]), part("", &[7; 5000]), sound, part("", ONE)];
    let server = Server::sending([STREAM_HEAD.as_bytes(), &parts.concat()].concat());
    let mut source = open_bounded(&server.url("/"), 4000).await.unwrap();
    for number in [1, 2] {
        let error = source.next_frame().await.err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Frame, "{error}");
        assert!(error.to_string().contains(&format!("picture {number}: byte ")), "{error}");
    }
    assert!(picture(&mut source).await == ONE);
}

#[tokio::test]
async fn a_stream_without_a_boundary_ends_at_the_bound() {
    let server = Server::start(|_, out| {
        out.write_all(STREAM_HEAD.as_bytes()).unwrap();
        while out.write_all(&[b'x'; 4096]).is_ok() {}
        AfterAnswer::Close
    });
    let mut source = open_bounded(&server.url("/"), 100_000).await.unwrap();
    let error = source.next_frame().await.err().unwrap();
    assert!(matches!(error, Error::Stream(_)), "{error}");
}

#[tokio::test]
async fn the_server_sees_the_query_but_not_the_options() {
    let server = Server::sending([STREAM_HEAD.as_bytes(), &part("", ONE)].concat());
    let url = server.url("/a%20b/?action=stream&x=%2F#timeout=5s&silence=7s");
    let source = open(&url).await.unwrap();
    assert_eq!(server.requests()[0].target, "/a%20b/?action=stream&x=%2F");
    assert_eq!(source.max_frame_gap(), Duration::from_secs(7));
}

#[tokio::test]
async fn dropping_a_source_closes_its_connection() {
    let (gone, is_gone) = tokio::sync::oneshot::channel();
    let gone = std::sync::Mutex::new(Some(gone));
    let server = Server::start(move |_, out| {
        out.write_all(STREAM_HEAD.as_bytes()).unwrap();
        while out.write_all(&part("", ONE)).is_ok() {}
        gone.lock().unwrap().take().unwrap().send(()).unwrap();
        AfterAnswer::Close
    });
    let mut source = open(&server.url("/")).await.unwrap();
    assert!(picture(&mut source).await == ONE);
    drop(source);
    is_gone.await.unwrap();
}

const SLATE_HEADER: &str = "X-Framecast-Notice: 1\r\n";

#[tokio::test]
async fn what_another_framecast_drew_is_not_passed_off_as_the_cameras() {
    let server = Server::start(|_, out| {
        let slate = part(SLATE_HEADER, TWO);
        let stream = [STREAM_HEAD.as_bytes(), &slate, &slate, &slate, &part("", ONE), &slate].concat();
        out.write_all(&[&stream, &*part("X-Framecast-Notice: 0\r\n", ONE)].concat()).unwrap();
        out.write_all(b"--frame--\r\n").unwrap();
        AfterAnswer::Close
    });
    let mut source = open(&server.url("/video_feed")).await.unwrap();
    for _ in 0..2 {
        assert!(picture(&mut source).await == ONE);
    }
    assert!(source.next_frame().await.unwrap().is_none());
}

#[tokio::test]
async fn a_camera_that_another_framecast_has_lost_is_lost_here_with_that_reason() {
    let server = Server::start(|_, out| {
        out.write_all(&[STREAM_HEAD.as_bytes(), &part("", ONE), &part(SLATE_HEADER, TWO).repeat(4)].concat())
            .unwrap();
        AfterAnswer::Keep
    });
    let mut source = open(&server.url("/video_feed")).await.unwrap();
    assert!(picture(&mut source).await == ONE);
    let error = source.next_frame().await.err().unwrap();
    let problem = "the source is another Framecast server, which has no picture of the camera";
    assert!(matches!(&error, Error::Connection { problem: told, .. } if told == problem), "{error}");
}
