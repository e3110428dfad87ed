//! Logins at servers that violate the standards, and the cases in which Framecast reports a wrong password.

use std::collections::BTreeSet;
use std::io;
use std::sync::Mutex;
use std::time::Duration;

use framecast_testkit::blocking;
use framecast_testkit_server::camera_server::{
    AfterAnswer, CameraServer, Request, STREAM_HEAD, Wire, answer, challenge, stream,
};

use crate::show::{Case, Refusal, refuse, show};

const BASIC: &str = "Basic realm=\"cam\"";
const PAGE: &str = "<html><body>401 Unauthorized</body></html>\r\n";

#[test]
fn a_connection_that_is_no_use_behind_a_refusal_is_replaced() {
    let refusal = |length: Option<usize>| {
        let length = length.map_or(String::new(), |length| format!("Content-Length: {length}\r\n"));
        format!(
            "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: {BASIC}\r\nContent-Type: text/html\r\n{length}\r\n{PAGE}"
        )
    };
    // The server ends a connection on which it refused a request, whatever its headers say.
    let then = |refusal: String, then: AfterAnswer, pause: Duration| {
        move |request: &Request, wire: &mut Wire| {
            if request.has_login() {
                wire.send(STREAM_HEAD)?;
                return stream(wire);
            }
            wire.send(&refusal)?;
            blocking::pause(pause);
            Ok(then)
        }
    };
    let none = Duration::ZERO;
    let (whole, soon) = (refusal(Some(PAGE.len())), Duration::from_millis(2));
    show(vec![
        Case::with_login("closed-at-once", "/video.cgi", then(whole.clone(), AfterAnswer::Close, none)),
        Case::with_login(
            "closed-a-moment-later",
            "/video.cgi",
            then(whole.clone(), AfterAnswer::Close, soon),
        ),
        Case::with_login("reset", "/video.cgi", then(whole, AfterAnswer::Reset, none)),
        Case::with_login(
            "more-than-its-length",
            "/video.cgi",
            then(refusal(Some(PAGE.len() - 20)), AfterAnswer::Keep, none),
        ),
        Case::with_login("no-length-and-open", "/video.cgi", then(refusal(None), AfterAnswer::Linger, none)),
    ]);
}

/// The answer of a camera with one-time nonces to a second request with the same nonce.
#[derive(Clone, Copy)]
enum ReusedNonceAnswer {
    ChildGuard,
    Challenge,
    Forbidden,
}

/// A snapshot URL behind Digest with one-time nonces.
fn once_only(reused: ReusedNonceAnswer) -> impl Fn(&Request, &mut Wire) -> io::Result<AfterAnswer> {
    let used = Mutex::<BTreeSet<String>>::default();
    move |request, wire| {
        let nonce = request.header("Authorization").and_then(|text| text.split("nonce=\"").nth(1));
        let nonce = nonce.and_then(|text| text.split('"').next());
        let is_fresh = nonce.is_some_and(|nonce| used.lock().unwrap().insert(nonce.to_owned()));
        if is_fresh {
            wire.send_picture()?;
            return Ok(AfterAnswer::Keep);
        }
        let fresh =
            format!("Digest qop=\"auth\", realm=\"cam\", nonce=\"{:032x}\", stale=\"FALSE\"", request.number);
        wire.send(match (nonce, reused) {
            (None, _) | (_, ReusedNonceAnswer::Challenge) => challenge(&[&fresh]),
            (_, ReusedNonceAnswer::ChildGuard) => challenge(&[]),
            (_, ReusedNonceAnswer::Forbidden) => answer("403 Forbidden", "", b"no"),
        })?;
        Ok(AfterAnswer::Keep)
    }
}

#[test]
fn a_nonce_that_is_good_for_one_request_is_replaced() {
    show(vec![
        Case::with_login("bare-refusal", "/picture#fps=10", once_only(ReusedNonceAnswer::ChildGuard)),
        Case::with_login("new-challenge", "/picture#fps=10", once_only(ReusedNonceAnswer::Challenge)),
        Case::with_login("forbidden", "/picture#fps=10", once_only(ReusedNonceAnswer::Forbidden)),
    ]);
}

#[test]
fn a_challenge_that_holds_what_no_header_may_hold_is_answered() {
    let odd = |challenge: &'static str| {
        move |request: &Request, wire: &mut Wire| {
            if request.has_login() {
                wire.send_picture()?;
            } else {
                wire.send(format!(
                    "HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\nWWW-Authenticate: {challenge}\r\n\r\n"
                ))?;
            }
            Ok(AfterAnswer::Keep)
        }
    };
    show(vec![
        Case::with_login(
            "control-byte",
            "/#fps=10",
            odd("Digest realm=\"cam\", nonce=\"n\", opaque=\"\u{1}\", qop=\"auth\""),
        ),
        Case::with_login("control-byte-in-basic", "/#fps=10", odd("Basic realm=\"c\u{1}am\"")),
    ]);
}

/// Refuses every login with the nonce of a challenge.
fn always_refuse(request: &Request, wire: &mut Wire) -> io::Result<AfterAnswer> {
    wire.send(challenge(&[&format!("Digest realm=\"cam\", nonce=\"{}\", qop=\"auth\"", request.number)]))?;
    Ok(AfterAnswer::Keep)
}

#[test]
fn a_password_is_called_wrong_only_when_a_fresh_challenge_was_answered() {
    let wrong = CameraServer::start(always_refuse);
    let wrong_basic = CameraServer::start(|_, wire| {
        wire.send(challenge(&[BASIC]))?;
        Ok(AfterAnswer::Keep)
    });
    // From the third picture on the server refuses all requests, without a challenge.
    let refuses_later = CameraServer::start(|request, wire| {
        match (request.has_login(), request.number) {
            (_, 5..) => wire.send(challenge(&[]))?,
            (true, _) => wire.send_picture()?,
            (false, _) => return always_refuse(request, wire),
        }
        Ok(AfterAnswer::Keep)
    });
    let source = |server: &CameraServer| server.url_for("admin:made-up", "/#fps=10&silence=1s");
    let wrong_word = &["password is wrong"];
    refuse(&[
        Refusal {
            name: "wrong",
            source: source(&wrong),
            says: &["401", "password is wrong"],
            never: &["made-up"],
        },
        Refusal { name: "wrong-basic", source: source(&wrong_basic), says: wrong_word, never: &["made-up"] },
        Refusal { name: "no-challenge", source: source(&refuses_later), says: &["401"], never: wrong_word },
    ]);
}
