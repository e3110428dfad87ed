use std::sync::Mutex;
use std::sync::mpsc;
use std::time::{Duration, SystemTime};

use framecast_drivers::Error;
use framecast_media::container::multipart::write_unix_seconds;

use crate::server::{STREAM_HEAD, Server, Then, answer, jpeg};
use crate::{ONE, TWO, open, open_bounded, picture};

#[tokio::test]
async fn a_still_picture_is_polled_over_one_connection() {
    let server = Server::start(|request, out| {
        out.write_all(&jpeg(if request.number % 2 == 0 { ONE } else { TWO })).unwrap();
        Then::Keep
    });
    let mut source = open(&server.url("/shot.jpg?fps=500")).await.unwrap();
    for expected in [ONE, TWO, ONE, TWO] {
        assert!(picture(&mut source).await == expected);
    }
    assert_eq!(source.longest_pause(), Duration::from_millis(2));
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
            Then::Close
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
        // Takes every second request only to close: what a client sees that polls slower than the server keeps.
        if request.number % 2 == 1 {
            return Then::Close;
        }
        out.write_all(&jpeg(ONE)).unwrap();
        Then::Keep
    });
    let mut source = open(&server.url("/#fps=500")).await.unwrap();
    for _ in 0..3 {
        assert!(picture(&mut source).await == ONE);
    }
}

#[tokio::test]
async fn the_capture_time_of_a_still_picture_is_kept() {
    let told = write_unix_seconds(SystemTime::now() - Duration::from_micros(2_000_003));
    let header = format!("X-Timestamp: {told}");
    let server = Server::sending(answer("200 OK", &["Content-Type: image/jpeg", &header], ONE));
    let mut source = open(&server.url("/")).await.unwrap();
    let frame = source.next_frame().await.unwrap().unwrap();
    assert_eq!(write_unix_seconds(frame.captured_at), told);
}

#[tokio::test]
async fn a_broken_or_too_large_still_picture_is_refused_and_polling_goes_on() {
    let server = Server::start(|request, out| {
        let body = match request.number {
            0 => {
                // Without end: only the bound stops it.
                out.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\n\r\n").unwrap();
                while out.write_all(ONE).is_ok() {}
                return Then::Close;
            }
            1 => ONE[..500].to_vec(),
            _ => ONE.to_vec(),
        };
        out.write_all(&jpeg(&body)).unwrap();
        Then::Keep
    });
    let mut source = open_bounded(&server.url("/#fps=500"), 4000).await.unwrap();
    for _ in 0..2 {
        let error = source.next_frame().await.err().unwrap();
        assert!(error.is_picture(), "{error}");
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
            released.lock().unwrap().recv().unwrap();
        }
        out.write_all(&jpeg(if request.number == 0 { ONE } else { TWO })).unwrap();
        Then::Keep
    });
    let mut source = open(&server.url("/#fps=1000")).await.unwrap();
    assert!(picture(&mut source).await == ONE);
    while is_asked.try_recv().is_err() {
        assert!(tokio::time::timeout(Duration::from_millis(5), source.next_frame()).await.is_err());
    }
    release.send(()).unwrap();
    assert!(picture(&mut source).await == TWO);
    assert_eq!(server.requests().len(), 2);
}

#[tokio::test]
async fn a_still_picture_that_becomes_something_else_is_an_error() {
    let page = answer("200 OK", &["Content-Type: text/html"], b"<html>log in</html>");
    for later in [page, STREAM_HEAD.into()] {
        let server = Server::start(move |request, out| {
            out.write_all(&if request.number == 0 { jpeg(ONE) } else { later.clone() }).unwrap();
            Then::Keep
        });
        let mut source = open(&server.url("/#fps=500")).await.unwrap();
        assert!(picture(&mut source).await == ONE);
        let error = source.next_frame().await.err().unwrap();
        assert!(error.is_transient() && !error.is_picture(), "{error}");
    }
}

#[tokio::test]
async fn the_drawn_picture_of_another_framecast_that_has_lost_its_camera_is_an_error() {
    let server = Server::start(|request, out| {
        let notice = answer("503 Service Unavailable", &["Content-Type: image/jpeg"], TWO);
        out.write_all(&if request.number == 0 { jpeg(ONE) } else { notice }).unwrap();
        Then::Keep
    });
    let mut source = open(&server.url("/snapshot.jpg#fps=500")).await.unwrap();
    assert!(picture(&mut source).await == ONE);
    let error = source.next_frame().await.err().unwrap();
    assert!(matches!(&error, Error::Answer { answer, .. } if answer.starts_with("503 ")), "{error}");
}
