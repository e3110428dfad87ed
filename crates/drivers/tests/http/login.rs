use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use digest_auth::{Algorithm, AlgorithmType};

use crate::server::{AfterAnswer, ReceivedRequest, Server, answer, jpeg};
use crate::{ONE, open, picture, refusal};

const USER: &str = "me:p%40ss%3Aw%C3%B6rd";
const PASSWORD: &str = "p@ss:wörd";

/// The value of a parameter in a Digest `Authorization` header.
fn parameter<'a>(authorization: &'a str, name: &str) -> &'a str {
    let start = authorization.find(&format!("{name}=")).unwrap() + name.len() + 1;
    let rest = &authorization[start..];
    match rest.strip_prefix('"') {
        Some(quoted) => &quoted[..quoted.find('"').unwrap()],
        None => &rest[..rest.find(',').unwrap_or(rest.len())],
    }
}

/// Whether the request proves that it knows the password (RFC 7616 §3.4.1), for this nonce.
fn is_proven(request: &ReceivedRequest, kind: AlgorithmType, nonce: &str) -> bool {
    let Some(authorization) = request.header("Authorization") else { return false };
    let hash = |text: String| Algorithm::new(kind, false).hash_str(&text);
    let get = |name| parameter(authorization, name);
    let who = hash(format!("me:cam:{PASSWORD}"));
    let what = hash(format!("GET:{}", request.target));
    let expected = hash(format!("{who}:{nonce}:{}:{}:auth:{what}", get("nc"), get("cnonce")));
    get("nonce") == nonce && get("uri") == request.target && get("response") == expected
}

fn refuse(challenges: &[&str]) -> Vec<u8> {
    let headers: Vec<String> = challenges.iter().map(|c| format!("WWW-Authenticate: {c}")).collect();
    answer("401 Unauthorized", &headers.iter().map(String::as_str).collect::<Vec<_>>(), b"who?")
}

#[tokio::test]
async fn basic_is_sent_when_asked_for_and_from_then_on_at_once() {
    let expected = format!("Basic {}", BASE64.encode(format!("me:{PASSWORD}")));
    let wanted = expected.clone();
    let server = Server::start(move |request, out| {
        let is_known = request.header("Authorization") == Some(&wanted);
        out.write_all(&if is_known { jpeg(ONE) } else { refuse(&["Basic realm=\"cam\""]) }).unwrap();
        AfterAnswer::Keep
    });
    let mut source = open(&server.url_for(USER, "/#fps=500")).await.unwrap();
    for _ in 0..3 {
        assert!(picture(&mut source).await == ONE);
    }
    let requests = server.requests();
    assert_eq!(requests[0].header("Authorization"), None);
    assert!(requests[1..].iter().all(|request| request.header("Authorization") == Some(&expected)));
}

#[tokio::test]
async fn digest_is_proven_with_a_new_count_for_each_poll() {
    for (kind, name) in [(AlgorithmType::MD5, "MD5"), (AlgorithmType::SHA2_256, "SHA-256")] {
        let challenge =
            format!("Digest realm=\"cam\", nonce=\"n,1\", qop=\"auth,auth-int\", algorithm={name}");
        let server = Server::start(move |request, out| {
            let is_known = is_proven(request, kind, "n,1");
            let refused = refuse(&["Basic realm=\"cam\"", "Negotiate", &challenge]);
            out.write_all(&if is_known { jpeg(ONE) } else { refused }).unwrap();
            AfterAnswer::Keep
        });
        let mut source = open(&server.url_for(USER, "/shot?a=1#fps=500")).await.unwrap();
        for _ in 0..3 {
            assert!(picture(&mut source).await == ONE);
        }
        let requests = server.requests();
        assert_eq!(requests[0].header("Authorization"), None);
        for (count, request) in requests[1..].iter().enumerate() {
            let authorization = request.header("Authorization").unwrap();
            assert_eq!(parameter(authorization, "nc"), format!("{:08x}", count + 1));
        }
    }
}

#[tokio::test]
async fn a_nonce_that_runs_out_is_replaced() {
    for stale in ["", ", stale=true"] {
        let server = Server::start(move |request, out| {
            // Each nonce is valid for one request.
            let nonce = format!("n{}", request.number.saturating_sub(1));
            let refused = format!("Digest realm=\"cam\", nonce=\"n{}\", qop=\"auth\"{stale}", request.number);
            let is_known = is_proven(request, AlgorithmType::MD5, &nonce);
            out.write_all(&if is_known { jpeg(ONE) } else { refuse(&[&refused]) }).unwrap();
            AfterAnswer::Keep
        });
        let mut source = open(&server.url_for(USER, "/#fps=500")).await.unwrap();
        for _ in 0..3 {
            assert!(picture(&mut source).await == ONE);
        }
    }
}

#[tokio::test]
async fn a_wrong_password_is_tried_once_and_never_shown() {
    for challenge in ["Basic realm=\"cam\"", "Digest realm=\"cam\", nonce=\"n\", qop=\"auth\""] {
        let server = Server::sending(refuse(&[challenge]));
        let error = refusal(&server.url_for("me:wr0ng", "/")).await.to_string();
        assert!(error.contains("401 Unauthorized; user or password is wrong"), "{error}");
        assert!(!error.contains("wr0ng"), "{error}");
        assert_eq!(server.requests().len(), 2);
    }
}

#[tokio::test]
async fn a_nonce_that_is_good_for_one_request_is_asked_for_each_time() {
    for (refused_again, requests_per_poll) in [("401 Unauthorized", 2), ("403 Forbidden", 2)] {
        let good = std::sync::Mutex::new(String::new());
        let server = Server::start(move |request, out| {
            let mut good = good.lock().unwrap();
            let is_proven = !good.is_empty() && is_proven(request, AlgorithmType::MD5, &good);
            let answer = match request.header("Authorization") {
                Some(_) if is_proven => {
                    good.clear();
                    jpeg(ONE)
                }
                Some(_) => answer(refused_again, &[], b"used"),
                None => {
                    *good = format!("n{}", request.number);
                    refuse(&[&format!("Digest realm=\"cam\", nonce=\"{good}\", qop=\"auth\"")])
                }
            };
            out.write_all(&answer).unwrap();
            AfterAnswer::Keep
        });
        let mut source = open(&server.url_for(USER, "/#fps=500")).await.unwrap();
        for _ in 0..4 {
            assert!(picture(&mut source).await == ONE, "{refused_again}");
        }
        // The second poll learns this; each later poll begins without a login.
        assert_eq!(server.requests().len(), 2 + 3 + 2 * requests_per_poll, "{refused_again}");
    }
}

#[tokio::test]
async fn a_connection_that_ends_or_goes_wrong_behind_a_challenge_is_replaced() {
    const PAGE: &[u8] = b"<html>401 Unauthorized</html>";
    let head = "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"cam\"\r\n";
    for (name, lines, then) in [
        ("closes early", format!("Content-Length: {}\r\n\r\n", PAGE.len()), AfterAnswer::Close),
        (
            "says that it closes",
            format!("Connection: close\r\nContent-Length: {}\r\n\r\n", PAGE.len()),
            AfterAnswer::Close,
        ),
        (
            "sends more than its length",
            format!("Content-Length: {}\r\n\r\n", PAGE.len() - 9),
            AfterAnswer::Keep,
        ),
        ("sends no length and stays open", "\r\n".to_owned(), AfterAnswer::Keep),
        ("announces more than it sends", "Content-Length: 5000\r\n\r\n".to_owned(), AfterAnswer::Keep),
    ] {
        let closes = then == AfterAnswer::Close;
        let server = Server::start(move |request, out| {
            if request.header("Authorization").is_some() {
                out.write_all(&jpeg(ONE)).unwrap();
                return AfterAnswer::Keep;
            }
            out.write_all(&[head.as_bytes(), lines.as_bytes(), PAGE].concat()).unwrap();
            if closes { AfterAnswer::Close } else { AfterAnswer::Keep }
        });
        let mut source = open(&server.url_for("me:pw", "/#fps=500")).await.unwrap();
        for _ in 0..2 {
            assert!(picture(&mut source).await == ONE, "{name}");
        }
    }
}

#[tokio::test]
async fn control_bytes_in_a_challenge_do_not_hide_it() {
    let server = Server::start(|request, out| {
        let challenge = "Digest qop=\"auth\", realm=\"cam\", nonce=\"n\", opaque=\"\u{1}\"";
        let is_known = is_proven(request, AlgorithmType::MD5, "n");
        out.write_all(&if is_known { jpeg(ONE) } else { refuse(&[challenge]) }).unwrap();
        AfterAnswer::Keep
    });
    let mut source = open(&server.url_for(USER, "/")).await.unwrap();
    assert!(picture(&mut source).await == ONE);
    assert_eq!(parameter(server.requests()[1].header("Authorization").unwrap(), "opaque"), "\u{1}");
}

#[tokio::test]
async fn a_login_that_we_do_not_have_is_not_called_a_wrong_password() {
    for challenge in ["Bearer realm=\"cam\"", "Digest realm=\"cam\", nonce=\"n\", algorithm=WHIRLPOOL"] {
        let server = Server::sending(refuse(&[challenge]));
        let error = refusal(&server.url_for("me:pw", "/")).await.to_string();
        assert!(error.contains("offers neither Basic nor Digest") && !error.contains("wrong"), "{error}");
        assert_eq!(server.requests().len(), 1);
    }
}

#[tokio::test]
async fn a_log_in_page_is_not_called_a_wrong_password() {
    let page = b"<html><form><input name=pw\ntype = 'Password'></form></html>";
    let server = Server::start(|request, out| {
        let page = answer("200 OK", &["Content-Type: text/html"], page);
        let moved = answer("302 Found", &["Location: /login.html"], b"");
        out.write_all(&if request.target == "/login.html" { page } else { moved }).unwrap();
        AfterAnswer::Keep
    });
    let error = refusal(&server.url_for("me:pw", "/")).await.to_string();
    assert!(error.contains("a login page") && !error.contains("wrong"), "{error}");
}

#[tokio::test]
async fn a_page_that_comes_with_a_cookie_is_asked_again_with_it() {
    let server = Server::start(|request, out| {
        let page =
            answer("200 OK", &["Content-Type: text/html", "Set-Cookie: seen=1"], b"<html>welcome</html>");
        let has_cookie = request.header("Cookie") == Some("seen=1");
        out.write_all(&if has_cookie { jpeg(ONE) } else { page }).unwrap();
        AfterAnswer::Keep
    });
    let mut source = open(&server.url("/")).await.unwrap();
    assert!(picture(&mut source).await == ONE);
    let server =
        Server::sending(answer("200 OK", &["Content-Type: text/html", "Set-Cookie: seen=1"], b"<html>"));
    assert!(refusal(&server.url("/")).await.to_string().contains("web page"));
    assert_eq!(server.requests().len(), 2, "the cookie changed nothing");
}

#[tokio::test]
async fn cookies_of_a_challenge_a_redirect_or_a_page_are_sent_back() {
    let server = Server::start(|request, out| {
        let has = |cookie: &str| request.header("Cookie").is_some_and(|cookies| cookies.contains(cookie));
        let refused = answer(
            "401 Unauthorized",
            &["WWW-Authenticate: Basic realm=\"cam\"", "Set-Cookie: first=1; Path=/"],
            b"",
        );
        let answer = match request.target.as_str() {
            _ if !has("first=1") || request.header("Authorization").is_none() => refused,
            "/" => answer("302 Found", &["Location: /shot", "Set-Cookie: second=2"], b""),
            _ if has("second=2") => {
                answer("200 OK", &["Content-Type: image/jpeg", "Set-Cookie: third=3"], ONE)
            }
            _ => answer("403 Forbidden", &[], b""),
        };
        out.write_all(&answer).unwrap();
        AfterAnswer::Keep
    });
    let mut source = open(&server.url_for("me:pw", "/#fps=500")).await.unwrap();
    for _ in 0..2 {
        assert!(picture(&mut source).await == ONE);
    }
    assert_eq!(server.requests().last().unwrap().header("Cookie"), Some("first=1; second=2; third=3"));
}
