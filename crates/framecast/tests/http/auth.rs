//! The account: HTTP Basic over everything.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use framecast::Account;
use framecast_testkit::blocking::MultipartStream;

use crate::{Server, error};

fn server() -> Server {
    Server::with(|settings| settings.account = Some(Account::new("me", "pw:ü").unwrap()))
}

fn basic(credentials: &str) -> String {
    format!("Basic {}", STANDARD.encode(credentials))
}

#[test]
fn everything_asks_for_the_account() {
    let server = server();
    for path in [
        "/",
        "/cameras/front",
        "/static/app.js",
        "/video_feed",
        "/snapshot.jpg",
        "/api/cameras",
        "/healthz",
        "/readyz",
        "/nowhere",
    ] {
        for method in ["GET", "HEAD", "OPTIONS", "POST"] {
            let answer = server.ask(&format!("{method} {path}"), &[]);
            assert_eq!(answer.status, 401, "{method} {path}");
            let challenge = answer.header("www-authenticate");
            assert_eq!(challenge, Some("Basic realm=\"Framecast\", charset=\"UTF-8\""));
            if method == "GET" {
                assert_eq!(error(&answer), "user and password needed");
            }
        }
    }
}

#[test]
fn the_right_credentials_pass_however_they_are_written() {
    let server = server();
    let right = basic("me:pw:ü");
    for value in [right.clone(), right.replacen("Basic", "bAsIc", 1), right.replacen(' ', "  ", 1)] {
        assert_eq!(server.ask("GET /api/cameras", &[("Authorization", &value)]).status, 200, "{value}");
    }
    let mut stream = MultipartStream::open(server.address, "/video_feed", &[("Authorization", &right)]);
    assert!(stream.next().is_some());
}

#[test]
fn a_password_with_an_umlaut_passes_in_every_form_in_which_clients_send_it() {
    let server = server();
    // Browsers and curl; some keyboards and file systems; Python's requests and aiohttp.
    for given in ["me:pw:ü".as_bytes(), "me:pw:u\u{308}".as_bytes(), b"me:pw:\xFC"] {
        let value = format!("Basic {}", STANDARD.encode(given));
        assert_eq!(server.ask("GET /api/cameras", &[("Authorization", &value)]).status, 200, "{given:?}");
    }
}

#[test]
fn wrong_and_malformed_credentials_do_not() {
    let server = server();
    let right = basic("me:pw:ü");
    let wrong = ["me:pw", "me:pw:u", "ME:pw:ü", "me", "", ":", "me:pw:ü\0", "me:pw:üü"].map(basic);
    let malformed = [
        "Basic".to_owned(),
        "Basic ".to_owned(),
        "Basic !!!!".to_owned(),
        "Basic bWU6cHc6w7w".to_owned() + "====",
        "me:pw:ü".to_owned(),
        right.replacen("Basic", "Bearer", 1),
        right.replacen("Basic ", "Basic", 1),
    ];
    for (number, value) in wrong.iter().chain(&malformed).enumerate() {
        let address = format!("192.0.2.{number}");
        let headers = [("Authorization", value.as_str()), ("X-Forwarded-For", &address)];
        let answer = server.ask("GET /api/cameras", &headers);
        assert_eq!(answer.status, 401, "{value}");
        let expected = match value.starts_with("Bearer ") {
            true => "a token does not open this path: user and password needed",
            false => "wrong user or password",
        };
        assert_eq!(error(&answer), expected);
    }
}

#[test]
fn names_are_not_checked_where_a_password_is_asked_for() {
    let server = server();
    let authorization = basic("me:pw:ü");
    let headers = [("Host", "any.example"), ("Authorization", authorization.as_str())];
    assert_eq!(server.ask("GET /api/cameras", &headers).status, 200);
    // The server still refuses a change from another origin: browsers add credentials to a request of any page.
    let headers = [("Origin", "http://evil.example"), ("Authorization", authorization.as_str())];
    assert_eq!(server.ask("POST /api/cameras", &headers).status, 403);
}
