use framecast_drivers::Error;

use crate::server::{AfterAnswer, ReceivedRequest, Server, answer, jpeg};
use crate::{ONE, open, picture, refusal};

fn sent_to(location: &str) -> Vec<u8> {
    answer("302 Found", &[&format!("Location: {location}")], b"")
}

/// Accepts every request that sends a password, and challenges all others.
fn ask(request: &ReceivedRequest, out: &mut dyn std::io::Write) -> AfterAnswer {
    let is_known = request.header("Authorization").is_some();
    let refused = answer("401 Unauthorized", &["WWW-Authenticate: Basic realm=\"cam\""], b"");
    out.write_all(&if is_known { jpeg(ONE) } else { refused }).unwrap();
    AfterAnswer::Keep
}

#[tokio::test]
async fn another_host_is_asked_without_the_password() {
    let other = Server::start(ask);
    let elsewhere = [
        other.url("/"),
        // Another name of the same machine counts as another host.
        format!("http://localhost:{}/", other.address.port()),
        other.url_for("planted:password", "/"),
    ];
    for location in elsewhere {
        let server = Server::sending(sent_to(&location));
        let error = refusal(&server.url_for("me:s3cret", "/")).await.to_string();
        assert!(error.contains("401 Unauthorized from http://"), "{error}");
    }
    assert_eq!(other.requests().len(), 3);
    assert!(other.requests().iter().all(|request| request.header("Authorization").is_none()));
}

#[tokio::test]
async fn the_same_server_is_asked_with_the_password() {
    let server = Server::start(|request, out| match request.target.as_str() {
        "/" => {
            out.write_all(&sent_to("cgi/shot?x=1")).unwrap();
            AfterAnswer::Keep
        }
        _ => ask(request, out),
    });
    let mut source = open(&server.url_for("me:s3cret", "/")).await.unwrap();
    assert!(picture(&mut source).await == ONE);
    let targets: Vec<_> = server.requests().into_iter().map(|request| request.target).collect();
    assert_eq!(targets, ["/", "/cgi/shot?x=1", "/cgi/shot?x=1"]);
}

#[tokio::test]
async fn a_circle_of_redirects_ends() {
    let server = Server::sending(sent_to("/"));
    let error = refusal(&server.url("/")).await.to_string();
    assert!(error.contains("more than 5 redirects"), "{error}");
    assert_eq!(server.requests().len(), 6);
}

#[tokio::test]
async fn a_password_is_not_sent_from_https_to_http() {
    let open_server = Server::start(ask);
    let location = open_server.url("/");
    let server = Server::start_tls(move |_, out| {
        out.write_all(&sent_to(&location)).unwrap();
        AfterAnswer::Keep
    });
    let error = refusal(&server.url_for("me:s3cret", "/#insecure")).await.to_string();
    assert!(
        error.contains(
            "302 Found, a redirect to http://127.0.0.1; Framecast does not send the password unencrypted"
        ),
        "{error}"
    );
    assert!(open_server.requests().is_empty());
}

#[tokio::test]
async fn another_host_gets_no_cookies_and_may_set_none() {
    let other = Server::start(|_, out| {
        out.write_all(&answer("200 OK", &["Content-Type: image/jpeg", "Set-Cookie: planted=1"], ONE))
            .unwrap();
        AfterAnswer::Keep
    });
    let location = format!("Location: {}", other.url("/"));
    let server = Server::start(move |_, out| {
        out.write_all(&answer("302 Found", &[&location, "Set-Cookie: session=s3cret"], b"")).unwrap();
        AfterAnswer::Keep
    });
    let mut source = open(&server.url("/#fps=500")).await.unwrap();
    for _ in 0..2 {
        assert!(picture(&mut source).await == ONE);
    }
    assert!(other.requests().iter().all(|request| request.header("Cookie").is_none()));
    assert_eq!(server.requests()[1].header("Cookie"), Some("session=s3cret"));
}

#[tokio::test]
async fn the_url_may_forbid_other_servers() {
    let other = Server::start(ask);
    let server = Server::sending(sent_to(&other.url("/token/s3cret")));
    let error = refusal(&server.url("/#redirect=same")).await.to_string();
    assert!(error.contains("302 Found, a redirect to http://127.0.0.1;"), "{error}");
    assert!(error.contains("#redirect=any"), "{error}");
    assert!(!error.contains("s3cret"), "{error}");
    assert!(other.requests().is_empty());
}

#[tokio::test]
async fn no_redirect_leads_to_a_clouds_metadata() {
    for location in
        ["http://169.254.169.254/latest/meta-data/", "http://[fe80::1]/", "http://[::ffff:169.254.169.254]/"]
    {
        let server = Server::sending(sent_to(location));
        let error = refusal(&server.url("/#timeout=2s")).await.to_string();
        assert!(
            error.contains("a redirect to http://") && error.contains("does not follow redirects"),
            "{error}"
        );
    }
}

#[tokio::test]
async fn a_server_behind_a_redirect_that_gives_nothing_for_once_is_told_from_one_that_is_not_there() {
    let hangs_up = Server::start(|_, _| AfterAnswer::Close);
    let server = Server::sending(sent_to(&hangs_up.url("/")));
    let error = refusal(&server.url("/")).await;
    assert!(matches!(error, Error::EndedEarly { .. }), "{error}");
    let told = "http://127.0.0.1: after a redirect to another port of the same host: the server closed the \
                connection without an answer";
    assert_eq!(error.to_string(), told);

    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let server = Server::sending(sent_to(&format!("http://{free}/")));
    let error = refusal(&server.url("/")).await;
    assert!(matches!(error, Error::Connection { .. }), "{error}");
    assert!(error.to_string().ends_with("of the same host: connection refused"), "{error}");
}
