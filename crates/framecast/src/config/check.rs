//! Checks of single values, from the file, the command line or code.

use axum::http::HeaderValue;

use super::config_messages::redacted;

/// The maximum length of a camera's or control's name, in characters, so that the name fits into URLs, logs, and the
/// pictures that show a camera's status.
const MAX_NAME_CHARS: usize = 64;

/// Parses `text`, which is a web origin in the form that browsers send, such as `https://example.com`, or `*`.
pub(super) fn parse_origin(text: &str) -> Result<HeaderValue, String> {
    // A pattern would match no origin, because the server compares the browser's origin literally.
    let is_one = is_origin(text) && (text == "*" || !text.contains('*'));
    is_one.then(|| HeaderValue::from_str(text).ok()).flatten().ok_or_else(|| {
        let shown = text.rsplit('@').next().unwrap_or_default();
        format!(
            "`{shown}` is not an origin; write it like https://dashboard.example, without a path and without \
             `*`, or write \"*\" for all origins"
        )
    })
}

/// Returns whether `text` is a web origin in the form that browsers send, such as `https://example.com`, or `*`.
pub(super) fn is_origin(text: &str) -> bool {
    text == "*"
        || text.split_once("://").is_some_and(|(scheme, host)| {
            matches!(scheme, "http" | "https") && !host.is_empty() && !host.contains(['/', ' '])
        })
}

/// Checks that `name` can be a camera's name, which appears in URLs, file names and log lines.
///
/// # Errors
/// The name breaks a rule. The message says what a name can contain.
pub fn check_camera_name(name: &str) -> Result<(), String> {
    let is_good = !name.is_empty()
        && name.chars().count() <= MAX_NAME_CHARS
        && !name.starts_with('.')
        && name.chars().all(|c| c.is_alphanumeric() || matches!(c, '-' | '_' | '.'));
    if is_good {
        return Ok(());
    }
    Err(format!(
        "`{}` is not a name for a camera; use up to {MAX_NAME_CHARS} letters, digits, `-`, `_` and `.`, as in \
         `front-door`",
        redacted(&name.chars().take(MAX_NAME_CHARS).collect::<String>())
    ))
}

/// Checks that `id` can be the name of a control. Only the device can tell whether the control exists.
pub(super) fn check_control_id(id: &str) -> Result<(), String> {
    let is_good = (1..=MAX_NAME_CHARS).contains(&id.chars().count()) && !id.contains(char::is_control);
    is_good.then_some(()).ok_or_else(|| {
        let shown: String = id.chars().take(MAX_NAME_CHARS).collect();
        format!(
            "`{}` is not a name for a control; /api/cameras/NAME/controls lists those of a camera",
            shown.escape_debug()
        )
    })
}

/// Parses a host name, with or without a port. Returns the host name and the port, if there is one, in lower case.
pub(super) fn parse_host(text: &str) -> Result<String, String> {
    let text = text.strip_suffix('.').unwrap_or(text);
    let (name, port) = text.split_once(':').unwrap_or((text, "0"));
    let is_host = !name.is_empty()
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
        && port.parse::<u16>().is_ok();
    is_host.then(|| text.to_ascii_lowercase()).ok_or_else(|| {
        format!(
            "`{}` is not a host name; write it like cam.example or cam.example:8080",
            text.rsplit('@').next().unwrap_or_default()
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_and_hosts_are_told_from_urls() {
        for text in ["*", "https://a.example", "http://a:81", "http://[::1]:81"] {
            assert_eq!(parse_origin(text).unwrap(), text);
        }
        for text in [
            "",
            "a.example",
            "https://",
            "https://a/",
            "ftp://a",
            "https://a b",
            "null",
            "https://*.a.example",
        ] {
            assert!(parse_origin(text).is_err(), "{text}");
        }
        assert_eq!(parse_host("Cam.Example:81").unwrap(), "cam.example:81");
        assert_eq!(parse_host("cam.example.").unwrap(), "cam.example");
        for text in ["", ".", ":81", "a/b", "http://a", "a:b", "a:99999", "a b", "*"] {
            assert!(parse_host(text).is_err(), "{text}");
        }
    }
}
