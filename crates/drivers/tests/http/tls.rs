use crate::server::{Request, Server, Then, answer, jpeg};
use crate::{ONE, open, picture, refusal};

fn shot(_: &Request, out: &mut dyn std::io::Write) -> Then {
    out.write_all(&jpeg(ONE)).unwrap();
    Then::Keep
}

#[tokio::test]
async fn a_certificate_that_nobody_vouches_for_is_refused_unless_the_url_says_otherwise() {
    let server = Server::start_tls(shot);
    let error = refusal(&server.url("/")).await.to_string();
    // A system without any root certificates says so in place of the certificate's fault.
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
