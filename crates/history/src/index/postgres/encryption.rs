//! Whether and how connections are encrypted: the keys `sslmode` and `sslrootcert` of an address, with the names and
//! meanings of libpq, PostgreSQL's own client library.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use tokio_postgres::config::SslMode;

/// Whether connections are encrypted, and which certificates of the server are trusted.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Encryption {
    pub(super) mode: SslMode,
    pub(super) trust: Trust,
}

/// Which certificates of the server are trusted.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Trust {
    /// Any certificate. The connection is encrypted, but anybody could answer it.
    Any,
    /// Certificates of these authorities, whatever name they are for.
    Chain(Roots),
    /// Certificates of these authorities that are for the host in the address.
    Name(Roots),
}

/// Where the certificates of the authorities are.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Roots {
    System,
    File(PathBuf),
}

/// The value of `sslrootcert` for the system's certificates.
const SYSTEM: &str = "system";

/// Takes the keys `sslmode` and `sslrootcert` out of `url`. Returns the URL without them, and what they mean.
///
/// # Errors
/// A text that says which key or value is wrong, and what to write instead.
pub(super) fn take(url: &str) -> Result<(String, Encryption), String> {
    // The first `@` ends the user, who may have a `?`.
    let host = url.find('@').unwrap_or(0);
    let query = url[host..].find('?').map(|mark| host + mark);
    let Some(query) = query else { return Ok((url.to_owned(), read(None, None)?)) };
    let (mut mode, mut root, mut others) = (None, None, Vec::new());
    for pair in url[query + 1..].split('&') {
        match pair.split_once('=') {
            Some(("sslmode", value)) => mode = Some(percent_decoded(value)),
            Some(("sslrootcert", value)) => root = Some(percent_decoded(value)),
            Some((key, _))
                if key.starts_with("ssl") && key.bytes().all(|byte| byte.is_ascii_alphabetic()) =>
            {
                return Err(format!(
                    "the address has `{key}`, which Framecast does not support; it supports sslmode and sslrootcert"
                ));
            }
            _ => others.push(pair),
        }
    }
    let mode = mode.map(|mode| String::from_utf8_lossy(&mode).into_owned());
    let root = root.filter(|root| !root.is_empty());
    let encryption = read(mode.as_deref(), root)?;
    let others = others.join("&");
    let mark = if others.is_empty() { "" } else { "?" };
    Ok((format!("{}{mark}{others}", &url[..query]), encryption))
}

fn read(mode: Option<&str>, root: Option<Vec<u8>>) -> Result<Encryption, String> {
    let roots = root.map(roots).transpose()?;
    let default = if roots == Some(Roots::System) { "verify-full" } else { "prefer" };
    let mode = mode.unwrap_or(default);
    let encryption = |mode, trust| Ok(Encryption { mode, trust });
    match (mode, roots) {
        ("disable", None) => encryption(SslMode::Disable, Trust::Any),
        ("prefer", None) => encryption(SslMode::Prefer, Trust::Any),
        ("disable" | "prefer", Some(Roots::File(_))) => Err(format!(
            "sslrootcert has no effect with sslmode={mode}; write sslmode=verify-full, which checks the certificate \
             of the server"
        )),
        ("disable" | "prefer" | "require" | "verify-ca", Some(Roots::System)) => {
            Err(format!("sslrootcert=system does not go with sslmode={mode}; write sslmode=verify-full"))
        }
        ("require", None) => encryption(SslMode::Require, Trust::Any),
        ("require", Some(roots)) => encryption(SslMode::Require, Trust::Chain(roots)),
        ("verify-ca", roots) => {
            encryption(SslMode::Require, Trust::Chain(roots.unwrap_or(Roots::System)))
        }
        ("verify-full", roots) => {
            encryption(SslMode::Require, Trust::Name(roots.unwrap_or(Roots::System)))
        }
        _ => Err("the address has an unknown sslmode; it can be disable, prefer, require, verify-ca or verify-full"
            .to_owned()),
    }
}

fn roots(root: Vec<u8>) -> Result<Roots, String> {
    if root == SYSTEM.as_bytes() {
        return Ok(Roots::System);
    }
    let path = PathBuf::from(OsString::from_vec(root));
    if !path.is_absolute() {
        return Err(
            "sslrootcert must be the whole path of a file, which begins with `/`, or `system`".to_owned()
        );
    }
    Ok(Roots::File(path))
}

/// Returns the bytes of `text`, with those of `%41` and the like. A `%` that encodes nothing stays as it is.
fn percent_decoded(text: &str) -> Vec<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.as_bytes();
    while let Some((&first, rest)) = bytes.split_first() {
        let encoded = match rest {
            [high, low, ..] if first == b'%' => digit(*high).zip(digit(*low)),
            _ => None,
        };
        match encoded {
            Some((high, low)) => {
                decoded.push((high * 16 + low) as u8);
                bytes = &rest[2..];
            }
            None => {
                decoded.push(first);
                bytes = rest;
            }
        }
    }
    decoded
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(query: &str) -> Result<(SslMode, Trust), String> {
        let (url, encryption) = take(&format!("postgres://cam@db/site{query}"))?;
        assert_eq!(url, "postgres://cam@db/site");
        Ok((encryption.mode, encryption.trust))
    }

    #[test]
    fn each_mode_means_what_it_means_to_libpq() {
        let file = || Roots::File("/etc/db ca.crt".into());
        for (query, mode, trust) in [
            ("", SslMode::Prefer, Trust::Any),
            ("?sslrootcert=", SslMode::Prefer, Trust::Any),
            ("?sslmode=disable", SslMode::Disable, Trust::Any),
            ("?sslmode=prefer", SslMode::Prefer, Trust::Any),
            ("?sslmode=require", SslMode::Require, Trust::Any),
            ("?sslmode=require&sslrootcert=/etc/db%20ca.crt", SslMode::Require, Trust::Chain(file())),
            ("?sslmode=verify-ca", SslMode::Require, Trust::Chain(Roots::System)),
            ("?sslrootcert=/etc/db%20ca.crt&sslmode=verify-ca", SslMode::Require, Trust::Chain(file())),
            ("?sslmode=verify-full", SslMode::Require, Trust::Name(Roots::System)),
            ("?sslmode=verify-full&sslrootcert=/etc/db ca.crt", SslMode::Require, Trust::Name(file())),
            ("?sslmode=disable&sslmode=verify%2dfull", SslMode::Require, Trust::Name(Roots::System)),
            ("?sslrootcert=system", SslMode::Require, Trust::Name(Roots::System)),
            ("?sslmode=verify-full&sslrootcert=system", SslMode::Require, Trust::Name(Roots::System)),
        ] {
            assert_eq!(taken(query), Ok((mode, trust)), "{query}");
        }
    }

    #[test]
    fn a_mode_that_would_check_less_than_it_seems_is_refused() {
        for (query, told) in [
            ("?sslmode=allow", "the address has an unknown sslmode; it can be disable, prefer"),
            ("?sslmode=", "the address has an unknown sslmode"),
            (
                "?sslrootcert=/ca.crt",
                "sslrootcert has no effect with sslmode=prefer; write sslmode=verify-full",
            ),
            ("?sslmode=disable&sslrootcert=/ca.crt", "sslrootcert has no effect with sslmode=disable"),
            (
                "?sslmode=verify-ca&sslrootcert=system",
                "sslrootcert=system does not go with sslmode=verify-ca",
            ),
            ("?sslmode=require&sslrootcert=ca.crt", "sslrootcert must be the whole path of a file"),
            ("?sslcert=/me.crt", "the address has `sslcert`, which Framecast does not support"),
        ] {
            let problem = taken(query).unwrap_err();
            assert!(problem.starts_with(told), "{query}: {problem}");
        }
    }

    #[test]
    fn the_rest_of_the_address_stays() {
        for (url, rest) in [
            ("postgres://c?m@db/site", "postgres://c?m@db/site"),
            ("postgres://c?sslmode=x@db/site?sslmode=require", "postgres://c?sslmode=x@db/site"),
            ("postgres://cam@db/site?a=1&sslmode=require&b", "postgres://cam@db/site?a=1&b"),
            ("postgres://cam@/site?host=/run&sslmode=require", "postgres://cam@/site?host=/run"),
            ("?sslmode=require", ""),
        ] {
            assert_eq!(take(url).unwrap().0, rest);
        }
    }

    #[test]
    fn only_two_digits_after_a_percent_sign_are_decoded() {
        for (text, decoded) in
            [("a%2Fb%2f", "a/b/"), ("%", "%"), ("%4", "%4"), ("%+1%zz", "%+1%zz"), ("%%41", "%A")]
        {
            assert_eq!(percent_decoded(text), decoded.as_bytes(), "{text}");
        }
    }
}
