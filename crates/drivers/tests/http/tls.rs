use std::io::{Read, Write};

use crate::server::{AfterAnswer, ReceivedRequest, Server, answer, jpeg};
use crate::{ONE, open, picture, refusal};

fn shot(_: &ReceivedRequest, out: &mut dyn Write) -> AfterAnswer {
    out.write_all(&jpeg(ONE)).unwrap();
    AfterAnswer::Keep
}

#[tokio::test]
async fn a_certificate_that_nobody_vouches_for_is_refused_unless_the_url_says_otherwise() {
    let server = Server::start_tls(shot);
    let error = refusal(&server.url("/")).await.to_string();
    // A system without any root certificates reports that instead of the fault of the certificate.
    assert!(error.contains("certificate") && error.contains("#insecure"), "{error}");
    assert!(server.requests().is_empty());

    let mut source = open(&server.url("/#insecure&fps=500")).await.unwrap();
    for _ in 0..2 {
        assert!(picture(&mut source).await == ONE);
    }
}

#[tokio::test]
async fn a_redirect_to_https_is_followed() {
    let protected = Server::start_tls(shot);
    let location = format!("Location: {}", protected.url("/"));
    let server = Server::sending(answer("301 Moved Permanently", &[&location], b""));
    let mut source = open(&server.url("/#insecure")).await.unwrap();
    assert!(picture(&mut source).await == ONE);
}

#[tokio::test]
async fn a_server_that_hangs_up_while_tls_is_set_up_has_a_way_out() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let (mut tcp, _) = listener.accept().unwrap();
        tcp.read_exact(&mut [0; 5]).unwrap();
    });
    let error = refusal(&format!("https://{address}/")).await.to_string();
    assert!(
        error.contains("closed the connection during the TLS handshake") && error.contains("`exec:curl "),
        "{error}"
    );
}

#[tokio::test]
async fn a_server_without_tls_is_said_to_be_one() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let (mut tcp, _) = listener.accept().unwrap();
        tcp.read_exact(&mut [0; 5]).unwrap();
        tcp.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap();
        // Stays open until the other side closes.
        tcp.read_to_end(&mut Vec::new()).ok();
    });
    let error = refusal(&format!("https://{address}/")).await.to_string();
    assert!(error.ends_with("the server does not speak TLS here; try http://"), "{error}");
}
