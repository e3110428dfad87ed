use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use digest_auth::{Algorithm, AlgorithmType};

use crate::server::{Request, Server, Then, answer, jpeg};
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
fn is_proven(request: &Request, kind: AlgorithmType, nonce: &str) -> bool {
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
        Then::Keep
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
            Then::Keep
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
            // Each nonce is good for one request.
            let nonce = format!("n{}", request.number.saturating_sub(1));
            let refused = format!("Digest realm=\"cam\", nonce=\"n{}\", qop=\"auth\"{stale}", request.number);
            let is_known = is_proven(request, AlgorithmType::MD5, &nonce);
            out.write_all(&if is_known { jpeg(ONE) } else { refuse(&[&refused]) }).unwrap();
            Then::Keep
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
