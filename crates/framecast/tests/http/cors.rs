//! What scripts of other origins may read: nothing, unless the configuration names them.

use framecast::Account;

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
        assert_eq!(answer.header("access-control-expose-headers"), Some("x-timestamp"));
        assert!(answer.header("vary").unwrap().to_ascii_lowercase().contains("origin"));
        assert_eq!(answer.header("access-control-allow-credentials"), None);
        let other = server.ask(&format!("GET {path}"), &[("Origin", "https://evil.example")]);
        assert_eq!(other.header("access-control-allow-origin"), None, "{path}");
    }
}

#[test]
fn a_star_is_for_all() {
    let server = server("*");
    let answer = server.ask("GET /api/cameras", &[("Origin", "https://any.example")]);
    assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
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
    let answer = server.ask("OPTIONS /video_feed", &PREFLIGHT);
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("access-control-allow-origin"), Some(DASHBOARD));
    assert_eq!(answer.header("access-control-allow-headers"), Some("authorization"));
    assert_eq!(answer.header("access-control-allow-methods"), Some("GET,HEAD"));
    // A script can then tell that the password was wrong.
    let answer = server.ask("GET /api/cameras", &[("Origin", DASHBOARD)]);
    assert_eq!((answer.status, answer.header("access-control-allow-origin")), (401, Some(DASHBOARD)));
}
