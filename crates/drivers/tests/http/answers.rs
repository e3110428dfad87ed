use framecast_drivers::ErrorKind;

use crate::refusal;
use crate::server::{Server, answer};

#[tokio::test]
async fn what_is_not_a_picture_is_named_with_what_to_do() {
    for (bytes, answered, advised) in [
        (answer("404 Not Found", &[], b"no"), "404 Not Found", "/?action=stream"),
        (answer("401 Unauthorized", &[], b""), "401 Unauthorized", "user:password@host"),
        (answer("403 Forbidden", &[], b""), "403 Forbidden", "refuses"),
        (answer("503 Service Unavailable", &[], b""), "503 Service Unavailable", "no pictures now"),
        (answer("200 OK", &["Content-Type: text/html; charset=utf-8"], b"<html>"), "text/html", "web page"),
        (answer("200 OK", &["Content-Type: image/png"], b"\x89PNG\r\n"), "image/png", "JPEG"),
        (answer("200 OK", &["Content-Type: image/svg+xml"], b"<svg/>"), "image/svg+xml", "JPEG"),
        (answer("200 OK", &["Content-Type: video/mp4"], b"\0\0\0\x20ftypisom"), "video/mp4", "ffmpeg"),
        (answer("200 OK", &["Content-Type : text/html"], b"<html>"), "text/html", "web page"),
        (answer("200 OK", &[], b"hello"), "without a content type", "neither"),
        (answer("200 OK", &["Content-Type: image/jpeg"], b""), "with an empty page", "path"),
        (answer("302 Found", &[], b""), "302 Found without a Location header", "browser"),
        (
            answer("302 Found", &["Location: rtsp://u:s3cret@cam/"], b""),
            "302 Found, a redirect to rtsp://cam;",
            "follows",
        ),
    ] {
        let server = Server::sending(bytes);
        let error = refusal(&server.url("/x?token=s3cret")).await;
        let text = error.to_string();
        assert!(text.contains(answered) && text.contains(advised), "{text}");
        assert!(text.starts_with("http://127.0.0.1: ") && !text.contains("s3cret"), "{text}");
        assert_ne!(error.kind(), ErrorKind::Fatal, "{text}");
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_is_named_without_the_password() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let text = refusal(&format!("http://me:s3cret@{address}/")).await.to_string();
    assert!(text.starts_with("http://127.0.0.1: "), "{text}");
    assert!(
        text.contains("refused")
            && text.contains("check that the camera is on")
            && !text.contains("s3cret")
            && !text.contains('\n'),
        "{text}"
    );
}

#[tokio::test]
async fn a_server_that_does_not_speak_http_is_an_error() {
    for bytes in [&b"SSH-2.0-dropbear\r\n"[..], b"\0\0\0", b"HTTP/1.1 999\xFF\r\n\r\n"] {
        let server = Server::start(move |_, out| {
            out.write_all(bytes).unwrap();
            crate::server::AfterAnswer::Close
        });
        let text = refusal(&server.url("/")).await.to_string();
        assert!(text.starts_with("http://127.0.0.1: "), "{text}");
    }
}

#[tokio::test]
async fn an_option_that_the_driver_does_not_have_is_refused() {
    let text = refusal("http://127.0.0.1:1/#insecrue").await.to_string();
    assert_eq!(
        text,
        "http: unknown option `insecrue`; known options: fps, insecure, redirect, silence, timeout. Did you mean \
         `insecure`?"
    );
}
