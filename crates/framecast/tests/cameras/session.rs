//! Cookies, and cameras with a log-in page.

use std::io;

use framecast_testkit_server::camera_server::{AfterAnswer, CameraServer, Request, Wire, answer};

use crate::show::{Case, Refusal, refuse, show};

/// Whether the request has the cookie that the server set.
fn has_cookie(request: &Request) -> bool {
    let cookies = request.header("Cookie").unwrap_or_default();
    cookies.split(';').any(|cookie| cookie.trim() == "session=4711")
}

const COOKIE: &str = "Set-Cookie: session=4711; Path=/; HttpOnly\r\n";

/// Sends a picture to clients that have the cookie and also, if `needs_login` is set, a login. Sends `other` to all
/// other clients.
fn guarded(needs_login: bool, other: Vec<u8>) -> impl Fn(&Request, &mut Wire) -> io::Result<AfterAnswer> {
    move |request, wire| {
        if has_cookie(request) && (request.has_login() || !needs_login) {
            wire.send_picture()?;
        } else {
            wire.send(&other)?;
        }
        Ok(AfterAnswer::Keep)
    }
}

#[test]
fn a_cookie_that_comes_along_is_sent_back() {
    let challenge = answer(
        "401 Unauthorized",
        &format!("WWW-Authenticate: Digest realm=\"cam\", nonce=\"n\", qop=\"auth\"\r\n{COOKIE}"),
        b"who?",
    );
    let redirect = answer("302 Found", &format!("Location: /shot\r\n{COOKIE}"), b"");
    let page = answer("200 OK", &format!("Content-Type: text/html\r\n{COOKIE}"), b"<html>welcome</html>");
    show(vec![
        Case::with_login("with-a-challenge", "/shot#fps=10", guarded(true, challenge)),
        Case::new("with-a-redirect", "/shot#fps=10", guarded(false, redirect)),
        Case::new("with-a-page", "/shot#fps=10", guarded(false, page)),
    ]);
}

#[test]
fn a_camera_that_wants_a_log_in_page_is_told_apart_from_a_wrong_password() {
    let form = b"<html><form action=\"/login\" method=\"post\"><input name=\"user\"><input type=\"password\"></form></html>";
    let html = "Content-Type: text/html\r\n";
    let at_once = CameraServer::start(move |_, wire| {
        wire.send(answer("200 OK", html, form))?;
        Ok(AfterAnswer::Keep)
    });
    let redirects = CameraServer::start(move |request, wire| {
        let is_page = request.target.starts_with("/login");
        let to_page = answer("302 Found", "Location: /login?from=/shot\r\n", b"");
        wire.send(if is_page { answer("200 OK", html, form) } else { to_page })?;
        Ok(AfterAnswer::Keep)
    });
    let never = &["password is wrong", "made-up"];
    refuse(&[
        Refusal {
            name: "at-once",
            source: at_once.url_for("admin:made-up", "/shot#silence=1s"),
            says: &["login page"],
            never,
        },
        Refusal {
            name: "behind-a-redirect",
            source: redirects.url_for("admin:made-up", "/shot#silence=1s"),
            says: &["login page"],
            never,
        },
        Refusal {
            name: "without-a-login",
            source: at_once.url("/shot#silence=1s"),
            says: &["login page"],
            never,
        },
    ]);
}
