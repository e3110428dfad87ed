//! Checks the path of every request: after percent-decoding, the bytes of the path must be UTF-8.

use axum::extract::Request;
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use framecast_outputs::HttpError;

/// Refuses a request if its path, after percent-decoding, is not UTF-8. To be run before the router matches the path.
pub(super) async fn check(request: Request, next: Next) -> Response {
    let path = request.uri().path();
    if std::str::from_utf8(&decoded(path)).is_ok() {
        return next.run(request).await;
    }
    let shown: String = path.chars().take(100).collect();
    let message = format!("the address {shown} is not UTF-8 text");
    HttpError { status: StatusCode::BAD_REQUEST, message }.into_response()
}

/// Returns the bytes of `path` after percent-decoding. A `%` that is not followed by two hexadecimal digits stays
/// unchanged.
pub(super) fn decoded(path: &str) -> Vec<u8> {
    let digit = |byte: &u8| char::from(*byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let (mut bytes, mut rest) = (Vec::with_capacity(path.len()), path.as_bytes());
    while let Some((&first, behind)) = rest.split_first() {
        let code = match (first, behind) {
            (b'%', [high, low, ..]) => digit(high).zip(digit(low)),
            _ => None,
        };
        match code {
            Some((high, low)) => {
                bytes.push(high << 4 | low);
                rest = &behind[2..];
            }
            None => {
                bytes.push(first);
                rest = behind;
            }
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percent_encoding_is_undone_where_it_is_one() {
        assert_eq!(decoded("/a%20b/%c3%BC"), "/a b/ü".as_bytes());
        assert_eq!(decoded("/%FF"), b"/\xFF");
        for plain in ["", "%", "/%4", "/%zz", "/%+1", "/100%"] {
            assert_eq!(decoded(plain), plain.as_bytes());
        }
    }
}
