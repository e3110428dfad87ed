//! Answers that break the rules of HTTP as cameras break them, and still contain a picture.

use framecast_testkit::blocking::received;

use crate::server::{AfterAnswer, STREAM_HEAD, Server, jpeg, part};
use crate::{ONE, TWO, open, picture, refusal};

/// One chunk with `data`.
fn chunk(data: &[u8]) -> Vec<u8> {
    [format!("{:x}\r\n", data.len()).as_bytes(), data, b"\r\n"].concat()
}

fn ok(lines: &str, body: &[u8]) -> Vec<u8> {
    [b"HTTP/1.1 200 OK\r\n", lines.as_bytes(), b"\r\n", body].concat()
}

/// Answers with a snapshot, by what is wrong with each.
fn stills() -> Vec<(&'static str, Vec<u8>)> {
    let length = |len: usize| format!("Content-Type: image/jpeg\r\nContent-Length: {len}\r\n");
    let chunked = "Content-Type: image/jpeg\r\nTransfer-Encoding: chunked\r\n";
    vec![
        ("its length is 48 bytes too large", ok(&length(ONE.len() + 48), ONE)),
        ("the last chunk is missing", ok(chunked, &chunk(ONE))),
        ("it has no length", ok("Content-Type: image/jpeg\r\n", ONE)),
        ("its length is below zero", ok("Content-Type: image/jpeg\r\nContent-Length: -1\r\n", ONE)),
        ("it has two lengths", ok("Content-Length: 5\r\nContent-Length: 99999999\r\n", ONE)),
        ("its type is octet-stream", ok("Content-Type: application/octet-stream\r\n", ONE)),
        ("its type is multipart", ok("Content-Type: multipart/x-mixed-replace;boundary=ipcam264\r\n", ONE)),
        (
            "its type is multipart, with a length",
            ok(&format!("Content-Type: multipart/x-mixed-replace\r\nContent-Length: {}\r\n", ONE.len()), ONE),
        ),
        ("it says ICY", [b"ICY 200 OK\r\nContent-Type: image/jpeg\r\n\r\n", ONE].concat()),
        (
            "it has chunks under HTTP/1.0",
            [b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", &*chunk(ONE), b"0\r\n\r\n"].concat(),
        ),
        ("it has chunks without saying so", ok("", &[&*chunk(ONE), b"0\r\n\r\n"].concat())),
        ("it has no chunks and says so", ok("Transfer-Encoding: chunked\r\n", ONE)),
        ("a header has no name", ok(": nameless\r\n\x01\x02\r\nno colon\r\nServer: a\x00b\x7F\r\n", ONE)),
        ("blank lines stand before it", ok("\r\n\r\n", ONE)),
        ("line ends are line feeds", [b"HTTP/1.1 200\n\n", ONE].concat()),
        ("an answer is announced before it", [b"HTTP/1.1 100 Continue\r\n\r\n", &*jpeg(ONE)].concat()),
        ("more than the picture is sent", ok(&length(ONE.len() + 8), &[ONE, b"dhav\0\0\0\0"].concat())),
    ]
}

#[tokio::test]
async fn a_whole_picture_is_shown_whatever_is_wrong_with_its_answer_and_however_it_ends() {
    for (name, answer) in stills() {
        for then in [AfterAnswer::Keep, AfterAnswer::Close] {
            let (answer, closes) = (answer.clone(), then == AfterAnswer::Close);
            let server = Server::start(move |_, out| {
                out.write_all(&answer).unwrap();
                out.flush().unwrap();
                if closes { AfterAnswer::Close } else { AfterAnswer::Keep }
            });
            // A body that is declared as a stream and stays open is not polled again before a pause is over.
            let is_stream = !closes && name.starts_with("its type is") && !name.ends_with("length");
            let mut source =
                open(&server.url("/#fps=500")).await.unwrap_or_else(|error| panic!("{name}: {error}"));
            for _ in 0..if is_stream { 1 } else { 3 } {
                assert!(picture(&mut source).await == ONE, "{name}");
            }
        }
    }
}

#[tokio::test]
async fn a_stream_is_read_whatever_its_head_says() {
    let body = [part("", ONE), part("", TWO)].concat();
    let kind = "Content-Type: multipart/x-mixed-replace; boundary=frame\r\n";
    for head in [
        format!("HTTP/1.1 200 OK\r\n{kind}Content-Length: -1\r\nConnection: close\r\n\r\n"),
        format!("HTTP/1.1 200 OK\r\n{kind}Content-Length: 0\r\n\r\n"),
        format!("HTTP/1.1 200 OK\r\n{kind}Content-Length: 10\r\n\r\n"),
        format!("HTTP/1.1 200 OK\r\n{kind}Content-Length: 99999999999\r\n\r\n"),
        format!("HTTP/1.1 200 OK\r\n{kind}Content-Length: 1\r\nContent-Length: 2\r\n\r\n"),
        format!("HTTP/1.1 200 OK\r\n{kind}Transfer-Encoding: chunked\r\n\r\n"),
        format!("ICY 200 OK\r\n{kind}\r\n"),
        "HTTP/1.0 200 OK\r\nContent-Type: image/jpeg\r\n\r\n".to_owned(),
    ] {
        let answer = [head.as_bytes(), &body].concat();
        let server = Server::sending(answer);
        let mut source = open(&server.url("/")).await.unwrap_or_else(|error| panic!("{head}: {error}"));
        assert!(picture(&mut source).await == ONE, "{head}");
        assert!(picture(&mut source).await == TWO, "{head}");
    }
}

#[tokio::test]
async fn a_stream_that_its_server_ends_or_breaks_off_has_ended_and_not_failed() {
    let cut = part("", TWO);
    for (name, head, end) in [
        ("behind a picture", STREAM_HEAD, &b""[..]),
        ("with the last boundary", STREAM_HEAD, b"--frame--\r\n"),
        ("in the middle of a picture", STREAM_HEAD, &cut[..300]),
        (
            "before its length",
            "HTTP/1.1 200 OK\r\nContent-Type: multipart/x;boundary=frame\r\nContent-Length: 99999\r\n\r\n",
            b"",
        ),
    ] {
        let answer = [head.as_bytes(), &part("", ONE), end].concat();
        let server = Server::start(move |_, out| {
            out.write_all(&answer).unwrap();
            AfterAnswer::Close
        });
        let mut source = open(&server.url("/")).await.unwrap();
        assert!(picture(&mut source).await == ONE, "{name}");
        assert!(source.next_frame().await.unwrap().is_none(), "{name}");
    }
}

#[tokio::test]
async fn a_stream_goes_on_behind_a_length_that_is_made_up() {
    let kind = "Content-Type: multipart/x-mixed-replace; boundary=frame\r\n";
    let (more, is_wanted) = std::sync::mpsc::channel::<()>();
    let (sent, is_sent) = std::sync::mpsc::channel::<()>();
    let channels = std::sync::Mutex::new((is_wanted, sent));
    let server = Server::start(move |_, out| {
        let first = part("", ONE);
        let head = format!("HTTP/1.1 200 OK\r\n{kind}Content-Length: {}\r\n\r\n", first.len());
        out.write_all(&[head.as_bytes(), &first].concat()).unwrap();
        let (is_wanted, sent) = &*channels.lock().unwrap();
        received("the wish for more", is_wanted).unwrap();
        out.write_all(&part("", TWO)).unwrap();
        sent.send(()).unwrap();
        AfterAnswer::Keep
    });
    let mut source = open(&server.url("/")).await.unwrap();
    assert!(picture(&mut source).await == ONE);
    // The source has read the declared length; the bytes after it arrive before the source waits for them.
    more.send(()).unwrap();
    received("more was sent", &is_sent).unwrap();
    assert!(picture(&mut source).await == TWO);
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn a_stream_that_is_silent_at_its_length_has_ended() {
    let first = part("", ONE);
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=frame\r\nContent-Length: {}\r\n\r\n",
        first.len()
    );
    let server = Server::sending([head.as_bytes(), &first].concat());
    let mut source = open(&server.url("/")).await.unwrap();
    assert!(picture(&mut source).await == ONE);
    assert!(source.next_frame().await.unwrap().is_none());
}

#[tokio::test]
async fn what_is_not_http_is_named_and_has_a_way_out() {
    for (bytes, advised) in [
        (&b"SSH-2.0-dropbear\r\n"[..], "exec:curl -sSN --http0.9 ADDRESS"),
        (b"HTTP/1.1 OK\r\n\r\n", "exec:curl -sSN --http0.9 ADDRESS"),
        (b"RTSP/1.0 400 Bad Request\r\n\r\n", "rtsp://"),
        (b"\x15\x03\x01\x00\x02\x02\x46", "https://"),
    ] {
        let server = Server::start(move |_, out| {
            out.write_all(bytes).unwrap();
            AfterAnswer::Close
        });
        let text = refusal(&server.url("/")).await.to_string();
        assert!(text.contains(advised), "{text}");
    }
}
