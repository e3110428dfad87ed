//! Tests with short timeouts; they assert which of them ran out.

use std::net::{TcpListener, TcpStream};

use framecast_drivers::Error;

use crate::server::{AfterAnswer, STREAM_HEAD, Server, jpeg, part};
use crate::{ONE, open, picture, refusal};

fn awaited(error: Error) -> &'static str {
    match error {
        Error::TimedOut { awaited, .. } => awaited,
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn a_connection_that_is_not_accepted_times_out() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    // A backlog of one connection; the kernel silently lets the next ones wait.
    rustix::net::listen(&listener, 0).unwrap();
    let address = listener.local_addr().unwrap();
    let _first = TcpStream::connect(address).unwrap();
    assert_eq!(awaited(refusal(&format!("http://{address}/#timeout=100ms")).await), "a connection");
}

#[tokio::test]
async fn a_server_that_does_not_answer_times_out() {
    let server = Server::sending("");
    assert_eq!(awaited(refusal(&server.url("/#timeout=1s")).await), "an answer");
}

#[tokio::test]
async fn a_body_that_does_not_begin_times_out() {
    let server = Server::sending("HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\nContent-Length: 9\r\n\r\n");
    assert_eq!(awaited(refusal(&server.url("/#timeout=1s")).await), "the first picture");
}

#[tokio::test]
async fn a_stream_that_begins_without_a_picture_times_out() {
    let server = Server::sending([STREAM_HEAD.as_bytes(), &part("", ONE)[..300]].concat());
    let mut source = open(&server.url("/#timeout=1s")).await.unwrap();
    assert_eq!(awaited(source.next_frame().await.err().unwrap()), "the first picture");
}

#[tokio::test]
async fn a_stream_that_falls_silent_times_out() {
    let server = Server::sending([STREAM_HEAD.as_bytes(), &part("", ONE)].concat());
    let mut source = open(&server.url("/#silence=50ms")).await.unwrap();
    assert!(picture(&mut source).await == ONE);
    assert_eq!(awaited(source.next_frame().await.err().unwrap()), "the next picture");
}

#[tokio::test]
async fn a_poll_that_hangs_times_out() {
    for (sent_bytes, expected) in [(0, "an answer"), (500, "the rest of the picture")] {
        let server = Server::start(move |request, out| {
            let whole = jpeg(ONE);
            out.write_all(if request.number == 0 { &whole } else { &whole[..sent_bytes] }).unwrap();
            AfterAnswer::Keep
        });
        let mut source = open(&server.url("/#fps=500&timeout=1s&silence=50ms")).await.unwrap();
        assert!(picture(&mut source).await == ONE);
        assert_eq!(awaited(source.next_frame().await.err().unwrap()), expected);
    }
}
