use std::sync::Mutex;
use std::sync::mpsc;
use std::time::{Duration, SystemTime};

use framecast_drivers::{Error, ErrorKind};
use framecast_media::container::multipart::format_unix_seconds;
use framecast_testkit::blocking::received;
use framecast_testkit::cut_short;

use crate::server::{AfterAnswer, STREAM_HEAD, Server, answer, jpeg, part};
use crate::{ONE, TWO, open, open_bounded, picture};

#[tokio::test]
async fn a_still_picture_is_polled_over_one_connection() {
    let server = Server::start(|request, out| {
        out.write_all(&jpeg(if request.number % 2 == 0 { ONE } else { TWO })).unwrap();
        AfterAnswer::Keep
    });
    let mut source = open(&server.url("/shot.jpg?fps=500")).await.unwrap();
    for expected in [ONE, TWO, ONE, TWO] {
        assert!(picture(&mut source).await == expected);
    }
    assert_eq!(source.max_frame_gap(), Duration::from_millis(2));
    for request in server.requests() {
        assert_eq!((request.connection, request.target.as_str()), (0, "/shot.jpg?fps=500"));
    }
}

#[tokio::test]
async fn a_server_that_closes_after_each_picture_is_polled_too() {
    let heads = [
        "HTTP/1.0 200 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: image/jpeg\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n\r\n",
    ];
    for head in heads {
        let server = Server::start(move |_, out| {
            out.write_all(&[head.as_bytes(), ONE].concat()).unwrap();
            AfterAnswer::Close
        });
        let mut source = open(&server.url("/#fps=500")).await.unwrap();
        for _ in 0..3 {
            assert!(picture(&mut source).await == ONE, "{head}");
        }
    }
}

#[tokio::test]
async fn a_kept_connection_that_the_server_drops_is_opened_again() {
    let server = Server::start(|request, out| {
        // Accepts every second request only to close the connection, as a server does whose keep-alive is shorter than
        // the poll interval.
        if request.number % 2 == 1 {
            return AfterAnswer::Close;
        }
        out.write_all(&jpeg(ONE)).unwrap();
        AfterAnswer::Keep
    });
    let mut source = open(&server.url("/#fps=500")).await.unwrap();
    for _ in 0..3 {
        assert!(picture(&mut source).await == ONE);
    }
}

#[tokio::test]
async fn the_capture_time_of_a_still_picture_is_kept() {
    let told = format_unix_seconds(SystemTime::now() - Duration::from_micros(2_000_003));
    let header = format!("X-Timestamp: {told}");
    let server = Server::sending(answer("200 OK", &["Content-Type: image/jpeg", &header], ONE));
    let mut source = open(&server.url("/")).await.unwrap();
    let frame = source.next_frame().await.unwrap().unwrap();
    assert_eq!(format_unix_seconds(frame.captured_at), told);
}

#[tokio::test]
async fn a_broken_or_too_large_still_picture_is_refused_and_polling_goes_on() {
    let server = Server::start(|request, out| {
        let body = match request.number {
            0 => {
                // Endless: only the bound stops it.
                out.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\n\r\n").unwrap();
                out.write_all(&ONE[..ONE.len() - 2]).ok();
                while out.write_all(&[7; 4096]).is_ok() {}
                return AfterAnswer::Close;
            }
            1 => ONE[..500].to_vec(),
            _ => ONE.to_vec(),
        };
        out.write_all(&jpeg(&body)).unwrap();
        AfterAnswer::Keep
    });
    let mut source = open_bounded(&server.url("/#fps=500"), 4000).await.unwrap();
    for _ in 0..2 {
        let error = source.next_frame().await.err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Frame, "{error}");
    }
    assert!(picture(&mut source).await == ONE);
}

#[tokio::test]
async fn a_caller_who_gives_up_waiting_loses_no_poll() {
    let (asked, is_asked) = mpsc::channel();
    let (release, released) = mpsc::channel::<()>();
    let (asked, released) = (Mutex::new(asked), Mutex::new(released));
    let server = Server::start(move |request, out| {
        if request.number == 1 {
            asked.lock().unwrap().send(()).unwrap();
            received("the release", &released.lock().unwrap()).unwrap();
        }
        out.write_all(&jpeg(if request.number == 0 { ONE } else { TWO })).unwrap();
        AfterAnswer::Keep
    });
    let mut source = open(&server.url("/#fps=1000")).await.unwrap();
    assert!(picture(&mut source).await == ONE);
    while is_asked.try_recv().is_err() {
        assert!(cut_short(Duration::from_millis(5), source.next_frame()).await.is_none());
    }
    release.send(()).unwrap();
    assert!(picture(&mut source).await == TWO);
    assert_eq!(server.requests().len(), 2);
}

#[tokio::test]
async fn a_still_picture_that_becomes_a_stream_ends_so_that_it_is_opened_as_one() {
    let server = Server::start(move |request, out| {
        let stream = [STREAM_HEAD.as_bytes(), &part("", TWO)].concat();
        out.write_all(&if request.number == 0 { jpeg(ONE) } else { stream }).unwrap();
        AfterAnswer::Keep
    });
    let mut source = open(&server.url("/#fps=500")).await.unwrap();
    assert!(picture(&mut source).await == ONE);
    assert!(source.next_frame().await.unwrap().is_none());
}

#[tokio::test]
async fn answers_without_a_picture_are_forgiven_until_the_silence_is_too_long() {
    for (kind, body) in [
        ("image/jpeg", ""),
        ("image/jpeg", "Device Busy"),
        ("text/plain", "Device Busy"),
        ("text/html", "<html>wait</html>"),
    ] {
        let nothing = answer("200 OK", &[&format!("Content-Type: {kind}")], body.as_bytes());
        let server = Server::start(move |request, out| {
            let is_picture = request.number % 5 != 4 && request.number < 10;
            out.write_all(&if is_picture { jpeg(ONE) } else { nothing.clone() }).unwrap();
            AfterAnswer::Keep
        });
        let mut source = open(&server.url("/#fps=500&silence=50ms")).await.unwrap();
        for _ in 0..8 {
            assert!(picture(&mut source).await == ONE, "{kind}");
        }
        let error = source.next_frame().await.err().unwrap();
        assert!(matches!(error, Error::UnexpectedAnswer { .. }), "{kind}: {error}");
    }
}

#[tokio::test]
async fn a_camera_that_has_nothing_for_the_first_who_asks_is_asked_again() {
    let server = Server::start(|request, out| {
        let nothing = answer("200 OK", &["Content-Type: image/jpeg"], b"");
        out.write_all(&if request.number == 0 { nothing } else { jpeg(ONE) }).unwrap();
        AfterAnswer::Keep
    });
    let mut source = open(&server.url("/")).await.unwrap();
    assert!(picture(&mut source).await == ONE);
}

#[tokio::test]
async fn the_drawn_picture_of_another_framecast_that_has_lost_its_camera_is_an_error() {
    let server = Server::start(|request, out| {
        let slate = answer("503 Service Unavailable", &["Content-Type: image/jpeg"], TWO);
        out.write_all(&if request.number == 0 { jpeg(ONE) } else { slate }).unwrap();
        AfterAnswer::Keep
    });
    let mut source = open(&server.url("/snapshot.jpg#fps=500&silence=50ms")).await.unwrap();
    assert!(picture(&mut source).await == ONE);
    let error = source.next_frame().await.err().unwrap();
    assert!(
        matches!(&error, Error::UnexpectedAnswer { answer, .. } if answer.starts_with("503 ")),
        "{error}"
    );
}

#[tokio::test]
async fn polls_that_fail_now_and_then_do_not_lose_the_camera() {
    let server = Server::start(|request, out| {
        match request.number {
            1 => out.write_all(&answer("503 Service Unavailable", &[], b"busy")).unwrap(),
            // The second time on a new connection: the client retries by itself when an idle connection was closed.
            2 | 3 => return AfterAnswer::Close,
            4 => {
                out.write_all(&jpeg(ONE)[..500]).unwrap();
                return AfterAnswer::Close;
            }
            5 => out.write_all(&answer("429 Too Many Requests", &[], b"")).unwrap(),
            6 => out.write_all(&jpeg(TWO)).unwrap(),
            _ => out.write_all(&jpeg(ONE)).unwrap(),
        }
        AfterAnswer::Keep
    });
    let mut source = open(&server.url("/#fps=500&silence=1h")).await.unwrap();
    for expected in [ONE, TWO, ONE] {
        assert!(picture(&mut source).await == expected);
    }
    assert_eq!(source.max_frame_gap(), Duration::from_secs(3600) + Duration::from_millis(2));
}

#[tokio::test]
async fn a_camera_that_refuses_is_lost_at_once() {
    for status in ["401 Unauthorized", "403 Forbidden", "404 Not Found"] {
        let server = Server::start(move |request, out| {
            let refusal = answer(status, &[], b"");
            out.write_all(&if request.number == 0 { jpeg(ONE) } else { refusal }).unwrap();
            AfterAnswer::Keep
        });
        let mut source = open(&server.url("/#fps=500&silence=1h")).await.unwrap();
        assert!(picture(&mut source).await == ONE);
        let error = source.next_frame().await.err().unwrap();
        assert!(matches!(&error, Error::UnexpectedAnswer { answer, .. } if answer == status), "{error}");
    }
}

#[tokio::test]
async fn a_first_picture_that_fails_is_an_error_at_once() {
    let server = Server::start(|_, out| {
        out.write_all(&jpeg(ONE)[..500]).unwrap();
        AfterAnswer::Close
    });
    let mut source = open(&server.url("/#fps=500&silence=1h")).await.unwrap();
    assert!(matches!(source.next_frame().await, Err(Error::EndedEarly { .. })));
}

#[tokio::test]
async fn a_picture_that_its_server_calls_unchanged_keeps_its_time_of_capture() {
    let server = Server::start(|request, out| {
        let (changed, body) = match request.number {
            0 | 1 => ("Last-Modified: Mon, 23 Nov 2026 10:00:00 GMT", ONE),
            2 => ("Last-Modified: Mon, 23 Nov 2026 10:00:01 GMT", ONE),
            3 => ("Last-Modified: Mon, 23 Nov 2026 10:00:01 GMT", TWO),
            _ => ("Server: undated", TWO),
        };
        out.write_all(&answer("200 OK", &["Content-Type: image/jpeg", changed], body)).unwrap();
        AfterAnswer::Keep
    });
    let mut source = open(&server.url("/#fps=500")).await.unwrap();
    let mut times = Vec::new();
    for _ in 0..6 {
        times.push(source.next_frame().await.unwrap().unwrap().captured_at);
    }
    assert_eq!(times[0], times[1], "the same picture");
    for pair in times[1..].windows(2) {
        assert!(pair[0] < pair[1], "a new one, or one that nothing is known of");
    }
}
