//! Servers that ask for a login and accept none.

use framecast_testkit_server::camera_server::challenge;

use crate::talk::{Kind, always, asked, begin, flood};

pub(crate) fn kinds() -> Vec<Kind> {
    let kinds = vec![
        Kind::lost("new-nonce-each-time", |connection, wire| {
            loop {
                let number = asked(connection, wire)?.number;
                let text = format!("Digest realm=\"cam\", nonce=\"{number}\", qop=\"auth\", stale=true");
                wire.send(challenge(&[&text]))?;
            }
        }),
        Kind::lost("basic-and-digest-in-turns", |connection, wire| {
            loop {
                let is_odd = asked(connection, wire)?.number % 2 == 1;
                let digest = "Digest realm=\"cam\", nonce=\"n\", stale=true";
                wire.send(challenge(&[if is_odd { "Basic realm=\"cam\"" } else { digest }]))?;
            }
        }),
        Kind::lost("endless-page-behind-a-challenge", |connection, wire| {
            begin(
                connection,
                wire,
                "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"cam\"\r\n\r\n",
            )?;
            flood(wire, "<p>who are you?</p>")
        }),
        Kind::lost("a-thousand-challenges", |connection, wire| {
            let texts: Vec<String> =
                (0..1000).map(|n| format!("Digest realm=\"{n}\", nonce=\"{n}\"")).collect();
            let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
            always(connection, wire, challenge(&texts))
        }),
        Kind::lost("challenge-of-a-megabyte", |connection, wire| {
            let nonce = "n".repeat(1 << 20);
            always(connection, wire, challenge(&[&format!("Digest realm=\"cam\", nonce=\"{nonce}\"")]))
        }),
    ];
    kinds.into_iter().map(Kind::with_login).collect()
}
