//! Secrets out of whatever is shown: logs, errors, API.

/// What stands in a secret's place.
const MASK: &str = "***";

/// How the names of query parameters and program options end whose value is a secret: `loginpas` is Foscam's.
const SECRET_ENDINGS: [&str; 13] = [
    "pass",
    "pas",
    "password",
    "passwd",
    "passphrase",
    "pwd",
    "token",
    "key",
    "secret",
    "auth",
    "authorization",
    "credentials",
    "signature",
];

/// `text` with the password of every `scheme://user:password@host` and the value of every `token=…`, `--password …`,
/// `-u user:password`, `Authorization: …` and the like replaced by `***`.
pub fn mask_secrets(text: &str) -> String {
    mask_header(&mask_options(&mask_parameters(&mask_user_info(text))))
}

fn mask_user_info(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        shown.push_str(before);
        let end = after
            .find(|c: char| c.is_whitespace() || matches!(c, '/' | '?' | '#' | '"' | '\''))
            .unwrap_or(after.len());
        // A password may itself hold an unescaped `@` or `/`: the last `@` before white space ends it.
        let word_end = after.find(char::is_whitespace).unwrap_or(after.len());
        let authority_end = match after[..end].rfind('@').or_else(|| early_at(&after[..word_end])) {
            Some(at) => at,
            None => {
                rest = after;
                continue;
            }
        };
        let user_info = &after[..authority_end];
        match user_info.split_once(':') {
            Some((user, _)) => {
                shown.push_str(user);
                shown.push(':');
                shown.push_str(MASK);
            }
            // A lone name may be a token.
            None => shown.push_str(MASK),
        }
        rest = &after[authority_end..];
    }
    shown.push_str(rest);
    shown
}

/// The `@` of a password with a slash or a quote in it: only where a colon before the first slash announces a password
/// that is not a port.
fn early_at(word: &str) -> Option<usize> {
    let slash = word.find(['/', '?', '#']).unwrap_or(word.len());
    let (_, after_colon) = word[..slash].split_once(':')?;
    let is_port = !after_colon.is_empty() && after_colon.bytes().all(|b| b.is_ascii_digit());
    if is_port { None } else { word.rfind('@') }
}

fn mask_parameters(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('=') {
        let name_start = rest[..at]
            .rfind(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
            .map_or(0, |i| i + rest[i..].chars().next().map_or(1, char::len_utf8));
        let name = rest[name_start..at].to_ascii_lowercase();
        let (before, after) = rest.split_at(at + 1);
        shown.push_str(before);
        rest = after;
        if is_secret(&name) {
            shown.push_str(MASK);
            rest = &after[value_len(after)..];
        }
    }
    shown.push_str(rest);
    shown
}

/// Masks what follows the options of a program: `--password s3cret`, `-u me:s3cret`.
fn mask_options(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(" -") {
        let name_at = at + 1;
        let name_end = rest[name_at..].find(char::is_whitespace).map_or(rest.len(), |len| name_at + len);
        let value_at = rest.len() - rest[name_end..].trim_start().len();
        let value_end = value_at + value_len(&rest[value_at..]);
        let name = rest[name_at..name_end].trim_start_matches('-').to_ascii_lowercase();
        let is_login = matches!(name.as_str(), "u" | "user") && rest[value_at..value_end].contains(':');
        if value_end > value_at && (is_login || is_secret(&name)) {
            shown.push_str(&rest[..value_at]);
            shown.push_str(MASK);
            rest = &rest[value_end..];
        } else {
            shown.push_str(&rest[..name_end]);
            rest = &rest[name_end..];
        }
    }
    shown.push_str(rest);
    shown
}

/// Masks the value of each `Authorization:` header, up to the quote or the line end behind it.
fn mask_header(text: &str) -> String {
    const NAME: &str = "authorization:";
    // The same length, byte by byte.
    let lower = text.to_ascii_lowercase();
    let mut shown = String::with_capacity(text.len());
    let mut done = 0;
    while let Some(at) = lower[done..].find(NAME) {
        let value_at = done + at + NAME.len();
        shown.push_str(&text[done..value_at]);
        shown.push(' ');
        shown.push_str(MASK);
        done = text[value_at..].find(['"', '\'', '\r', '\n']).map_or(text.len(), |len| value_at + len);
    }
    shown.push_str(&text[done..]);
    shown
}

fn is_secret(name: &str) -> bool {
    SECRET_ENDINGS.iter().any(|ending| name.ends_with(ending))
}

/// Length of the value at the start of `text`: all that is in quotes, or up to what separates words and parameters.
fn value_len(text: &str) -> usize {
    match text.chars().next().filter(|quote| matches!(quote, '"' | '\'')) {
        Some(quote) => text[1..].find(quote).map_or(text.len(), |at| at + 2),
        None => text
            .find(|c: char| c.is_whitespace() || matches!(c, '&' | '#' | '"' | '\''))
            .unwrap_or(text.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_in_urls_are_masked_wherever_they_stand() {
        for (text, shown) in [
            ("http://u:p@h/x", "http://u:***@h/x"),
            ("exec:ffmpeg -i rtsp://u:p@h/x -f mjpeg -", "exec:ffmpeg -i rtsp://u:***@h/x -f mjpeg -"),
            ("http://u:p@ss@h/x", "http://u:***@h/x"),
            ("http://u:p/w@h/x", "http://u:***@h/x"),
            ("http://token@h/x", "http://***@h/x"),
            ("http://h:8080/x@y", "http://h:8080/x@y"),
            ("http://h/x?user=a&pwd=b&size=1", "http://h/x?user=a&pwd=***&size=1"),
            ("a://b:c@d e://f:g@h", "a://b:***@d e://f:***@h"),
            ("no secret = here", "no secret = here"),
            ("ü=1&Token=é x", "ü=1&Token=*** x"),
            ("http://u:p'w@h", "http://u:***@h"),
            ("http://h/x?loginuse=a&loginpas=b", "http://h/x?loginuse=a&loginpas=***"),
            ("cam --rtsp-password=\"a b\" --key='c' -x", "cam --rtsp-password=*** --key=*** -x"),
            ("auth_token=\"never closed", "auth_token=***"),
            ("cam --rtsp-password 'a b' -x --token t", "cam --rtsp-password *** -x --token ***"),
            ("curl -u me:p -s --user you:p http://h/", "curl -u *** -s --user *** http://h/"),
            ("cam -u 1 --user me - --password", "cam -u 1 --user me - --password"),
            (
                "curl -H 'authorization: Basic Zm8=' -H \"Proxy-Authorization:x\"",
                "curl -H 'authorization: ***' -H \"Proxy-Authorization: ***\"",
            ),
        ] {
            assert_eq!(mask_secrets(text), shown);
        }
    }
}
