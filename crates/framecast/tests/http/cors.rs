//! What scripts of other origins may read: nothing, unless `cors_origins` lists their origins.

use framecast::Account;
use framecast_testkit::blocking::{read_head, send};

use crate::Server;

const DASHBOARD: &str = "https://dashboard.example";
const PREFLIGHT: [(&str, &str); 2] = [("Origin", DASHBOARD), ("Access-Control-Request-Method", "GET")];

fn server(origin: &'static str) -> Server {
    Server::with(|settings| settings.cors_origins = vec![origin.parse().unwrap()])
}

#[test]
fn without_configuration_no_script_of_another_origin_is_allowed() {
    let server = Server::with(|_| {});
    for request in ["GET /api/cameras", "GET /snapshot.jpg", "OPTIONS /api/cameras"] {
        let answer = server.ask(request, &PREFLIGHT);
        assert_eq!(answer.header("access-control-allow-origin"), None, "{request}");
    }
}

#[test]
fn an_origin_that_is_named_may_read_and_others_may_not() {
    let server = server(DASHBOARD);
    for path in ["/api/cameras", "/snapshot.jpg", "/static/app.js"] {
        let answer = server.ask(&format!("GET {path}"), &[("Origin", DASHBOARD)]);
        assert_eq!(answer.header("access-control-allow-origin"), Some(DASHBOARD), "{path}");
        assert_eq!(answer.header("access-control-expose-headers"), Some("x-timestamp,retry-after"));
        assert!(answer.header("vary").unwrap().to_ascii_lowercase().contains("origin"));
        assert_eq!(answer.header("access-control-allow-credentials"), None);
        let other = server.ask(&format!("GET {path}"), &[("Origin", "https://evil.example")]);
        assert_eq!(other.header("access-control-allow-origin"), None, "{path}");
    }
}

#[test]
fn a_star_is_for_all_and_for_reading_alone() {
    let server = server("*");
    let answer = server.ask("GET /api/cameras", &[("Origin", "https://any.example")]);
    assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
    let asked =
        [PREFLIGHT[0], PREFLIGHT[1], ("Access-Control-Request-Headers", "authorization,last-event-id")];
    let answer = server.ask("OPTIONS /api/events/live", &asked);
    assert_eq!(answer.header("access-control-allow-headers"), Some("authorization"));
    assert_eq!(answer.header("access-control-allow-methods"), Some("GET,HEAD"));
    assert_eq!(server.mark("https://any.example"), 403);
    assert_eq!(server.mark("*"), 403);
}

impl Server {
    /// The status for a mark from a page of `origin`.
    fn mark(&self, origin: &str) -> u16 {
        let label = r#"{"label": "from elsewhere"}"#;
        let head = format!("POST /api/events HTTP/1.1\r\nHost: {}\r\nOrigin: {origin}\r\n", self.address);
        let rest = format!("Sec-Fetch-Site: cross-site\r\nContent-Length: {}\r\n\r\n{label}", label.len());
        read_head(&mut send(self.address, &(head + &rest))).status
    }
}

#[test]
fn a_page_of_an_origin_that_is_named_may_send_every_header_and_change_things() {
    for origins in [&[DASHBOARD][..], &["*", DASHBOARD]] {
        let server = Server::with(|settings| {
            settings.cors_origins = origins.iter().map(|origin| origin.parse().unwrap()).collect();
        });
        for wanted in
            ["last-event-id", "authorization,cache-control,last-event-id", "content-type,x-of-my-own"]
        {
            let asked = [PREFLIGHT[0], PREFLIGHT[1], ("Access-Control-Request-Headers", wanted)];
            let answer = server.ask("OPTIONS /api/events", &asked);
            assert_eq!(answer.header("access-control-allow-headers"), Some(wanted));
            assert_eq!(answer.header("access-control-allow-methods"), Some("GET,HEAD,POST,PATCH,DELETE"));
            assert_eq!(answer.header("access-control-allow-origin"), Some(DASHBOARD));
        }
        assert_eq!(server.mark(DASHBOARD), 201, "{origins:?}");
        assert_eq!(server.mark("https://evil.example"), 403, "{origins:?}");
        for request in ["PATCH /api/cameras/front/controls", "DELETE /api/cameras/front/controls/kept"] {
            let [ours, theirs, others] = [
                server.ask(request, &[]),
                server.ask(request, &[("Origin", DASHBOARD), ("Sec-Fetch-Site", "cross-site")]),
                server.ask(request, &[("Origin", "https://evil.example")]),
            ];
            assert_eq!((theirs.status, &theirs.body), (ours.status, &ours.body), "{request}");
            assert_ne!(ours.status, 403, "{request}");
            assert_eq!(others.status, 403, "{request}");
        }
    }
}

#[test]
fn a_question_for_methods_that_is_no_preflight_is_answered_as_without_cors() {
    let [with, without] = [server(DASHBOARD), Server::with(|_| {})];
    for (path, status) in
        [("/video_feed", 204), ("/api/cameras", 204), ("/nowhere", 404), ("/cameras/%FF", 400)]
    {
        let [answer, expected] =
            [&with, &without].map(|server| server.ask(&format!("OPTIONS {path}"), &[("Origin", DASHBOARD)]));
        assert_eq!(answer.status, status, "{path}");
        assert_eq!((answer.header("allow"), &answer.body), (expected.header("allow"), &expected.body));
        assert_eq!(answer.header("allow").is_some(), status == 204, "{path}");
    }
}

#[test]
fn a_preflight_needs_no_password_and_allows_to_send_one() {
    let server = Server::with(|settings| {
        settings.cors_origins = vec![DASHBOARD.parse().unwrap()];
        settings.account = Some(Account::new("me", "pw").unwrap());
    });
    let asked = [PREFLIGHT[0], PREFLIGHT[1], ("Access-Control-Request-Headers", "authorization")];
    let answer = server.ask("OPTIONS /video_feed", &asked);
    assert_eq!((answer.status, answer.header("access-control-allow-headers")), (200, Some("authorization")));
    assert_eq!(answer.header("access-control-allow-origin"), Some(DASHBOARD));
    // So a script can recognise a wrong password.
    let answer = server.ask("GET /api/cameras", &[("Origin", DASHBOARD)]);
    assert_eq!((answer.status, answer.header("access-control-allow-origin")), (401, Some(DASHBOARD)));
}
