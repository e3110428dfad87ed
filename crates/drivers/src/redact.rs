//! Removes secrets from the output of a program, which may repeat parts of a source's URL. Cuts every URL in the output
//! down to scheme, host and port, and masks every word of the source that may be a secret.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use framecast_media::Secret;
use percent_encoding::percent_decode_str;
use url::Url;

use crate::SourceUrl;
use crate::masking::{self, HostPort, MASK};

/// The minimum length, in characters, at which a secret is masked even inside a longer word. A shorter secret is masked
/// only as a whole word.
const MIN_EMBEDDED_CHARS: usize = 6;

/// The minimum length, in characters, at which a word of a source is masked. A number is masked if it has at least
/// [`MIN_SECRET_DIGITS`] digits. Masking shorter words would make every log line unreadable. User names and passwords,
/// however, are masked whatever their length.
const MIN_SECRET_CHARS: usize = 3;
const MIN_SECRET_DIGITS: usize = 4;

/// Words that are never masked, because most programs print them in most lines and they reveal nothing about a source.
const COMMON_WORDS: [&str; 12] = [
    "error",
    "warning",
    "info",
    "mjpeg",
    "jpeg",
    "image2",
    "image2pipe",
    "pipe",
    "tcp",
    "udp",
    "http",
    "rtsp",
];

/// The words to mask in a program's output. Cheap to create, because it looks nothing up and compiles no patterns.
#[derive(Clone, Default)]
pub(crate) struct Redactor {
    /// The words to mask, longest first, so that no secret is masked only in part.
    secrets: Vec<Secret>,
}

impl Redactor {
    /// Creates a redactor that masks the secrets of `url`.
    pub(crate) fn for_source(url: &SourceUrl) -> Self {
        let mut redactor = Self::default();
        if url.rest().starts_with("//") {
            redactor.add_url(url.scheme(), url.rest());
        } else {
            let words = shell_words::split(url.rest()).unwrap_or_else(|_| vec![url.rest().to_owned()]);
            // The log names the program in any case.
            redactor.add_words(words.iter().skip(usize::from(url.scheme() == "exec")));
        }
        redactor.sorted()
    }

    /// Creates a redactor that masks the secrets of the URLs in `text`.
    pub(crate) fn for_urls(text: &str) -> Self {
        let mut redactor = Self::default();
        redactor.add_urls(text);
        redactor.sorted()
    }

    /// Adds the words that `other` masks to the words that this redactor masks.
    pub(crate) fn with(mut self, other: Self) -> Self {
        self.secrets.extend(other.secrets);
        self.sorted()
    }

    /// Returns `text` with all secrets masked and all URLs cut down to scheme, host and port.
    pub(crate) fn redact(&self, text: &str) -> String {
        cut_urls(&self.mask(text))
    }

    /// Redacts `text`, which is the beginning of a longer text. Drops the last characters of `text`, as many as the
    /// longest secret has, because they may be the beginning of a secret.
    pub(crate) fn redact_beginning(&self, text: &str) -> String {
        let shown = self.redact(text);
        let longest =
            self.secrets.iter().map(|secret| secret.expose().chars().count()).max().unwrap_or_default();
        shown.chars().take(shown.chars().count().saturating_sub(longest)).collect()
    }

    fn sorted(mut self) -> Self {
        self.secrets.sort_by(|a, b| {
            let (a, b) = (a.expose(), b.expose());
            b.len().cmp(&a.len()).then_with(|| a.cmp(b))
        });
        self.secrets.dedup();
        self
    }

    fn mask(&self, text: &str) -> String {
        let mut shown = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            let before = text[..text.len() - rest.len()].chars().next_back();
            let mut secrets = self.secrets.iter().map(Secret::expose);
            let found = secrets.find(|secret| starts_with_secret(rest, secret, before));
            let len = match found {
                Some(secret) => {
                    shown.push_str(MASK);
                    secret.len()
                }
                None => {
                    shown.push(first);
                    first.len_utf8()
                }
            };
            rest = &rest[len..];
        }
        shown
    }

    fn add_urls(&mut self, text: &str) {
        for url in urls(text) {
            let (scheme, rest) = url.split_once(':').unwrap_or((url, ""));
            self.add_url(scheme, rest);
        }
    }

    /// Adds all parts of `scheme:rest`, the URL of a server, that may be secrets.
    fn add_url(&mut self, scheme: &str, rest: &str) {
        let address = rest.trim_start_matches('/');
        // If the parts of the URL cannot be told apart, each of them counts as a secret.
        if masking::host_port(scheme, rest).is_none() {
            address.split(|c: char| "/?#&=:@\\".contains(c)).for_each(|part| self.add_login(part));
        }
        let (authority, behind) = address.split_at(address.find(['/', '?', '#']).unwrap_or(address.len()));
        if let Some((login, _)) = authority.rsplit_once('@') {
            self.add_credentials(login);
        }
        // Also adds the parts in the form in which libraries print the URL, with some characters escaped.
        if let Ok(url) = Url::parse(&format!("{scheme}:{rest}")) {
            self.add_login(url.username());
            self.add_login(url.password().unwrap_or_default());
            url.path_segments().into_iter().flatten().for_each(|part| self.add(part));
            let values = url.query().unwrap_or_default().split('&').filter_map(|pair| pair.split_once('='));
            values.for_each(|(_, value)| self.add(value));
        }
        for part in behind.split(['/', '?', '#', '&', ';']).filter(|part| !part.is_empty()) {
            match part.split_once('=') {
                Some((_, value)) if !value.is_empty() => {
                    self.add(value);
                    self.add(&value.replace('+', " "));
                }
                _ => self.add(part),
            }
        }
    }

    /// Adds the user and the password in `login`, which has the form `user:password`, and the encoded form of `login`
    /// in an HTTP header.
    fn add_credentials(&mut self, login: &str) {
        for login in [login.to_owned(), percent_decoded(login)] {
            self.add_login(&STANDARD.encode(&login));
            let (user, password) = login.split_once(':').unwrap_or((&login, ""));
            self.add_login(user);
            self.add_login(password);
        }
    }

    fn add_words<'a>(&mut self, words: impl IntoIterator<Item = &'a String>) {
        for word in words {
            if !word.starts_with('-') {
                self.add(word);
            } else if let Some(glued) = word.get(2..).filter(|_| !word.starts_with("--")) {
                self.add_option_value(glued);
            }
            for (_, value) in [word.split_once('='), word.split_once(':')].into_iter().flatten() {
                self.add(value.trim());
            }
            if word.contains(':') {
                self.add(&STANDARD.encode(word));
            }
            self.add_urls(word);
            // A single argument may contain a script or a header. The names of options in it are not secret.
            let pieces = word.split(|c: char| c.is_whitespace() || "'\"=:@,;&|?/<>()".contains(c));
            pieces.filter(|piece| !piece.starts_with('-')).for_each(|piece| self.add(piece));
        }
    }

    /// Adds `part`, for example a user or password, as a secret, whatever its length.
    fn add_login(&mut self, part: &str) {
        for part in [part.to_owned(), part.replace('\'', "%27"), percent_decoded(part)] {
            if !part.is_empty() {
                self.secrets.push(Secret::new(part));
            }
        }
    }

    /// Adds `part` as a secret if it has at least [`MIN_SECRET_CHARS`] characters (or [`MIN_SECRET_DIGITS`], if it is a
    /// number) and is not one of the [`COMMON_WORDS`].
    fn add(&mut self, part: &str) {
        let is_number = part.bytes().all(|b| b.is_ascii_digit());
        let least = if is_number { MIN_SECRET_DIGITS } else { MIN_SECRET_CHARS };
        let is_word = part.contains(char::is_alphanumeric);
        if is_word && part.chars().count() >= least && !COMMON_WORDS.contains(&part) {
            self.add_login(part);
        }
    }

    /// Adds `glued` as a secret. It is the text after the letter in an argument such as `-pVALUE`, and is left out if
    /// it seems to be the rest of an option's name, as in `-acodec`.
    fn add_option_value(&mut self, glued: &str) {
        if !glued.bytes().all(|b| b.is_ascii_lowercase() || b == b'_') || glued.len() >= MIN_EMBEDDED_CHARS {
            self.add(glued);
        }
    }
}

/// Returns whether `rest` begins with `secret`. A short secret must be a whole word, so `before` is needed: the
/// character in front of `rest`.
fn starts_with_secret(rest: &str, secret: &str, before: Option<char>) -> bool {
    let Some(behind) = rest.strip_prefix(secret) else { return false };
    let goes_on = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
    secret.chars().count() >= MIN_EMBEDDED_CHARS || !(goes_on(before) || goes_on(behind.chars().next()))
}

/// Returns `text` with each URL cut down to its scheme, host and port.
fn cut_urls(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(url) = urls(rest).next() {
        let at = url.as_ptr().addr() - rest.as_ptr().addr();
        shown.push_str(&rest[..at]);
        rest = &rest[at + url.len()..];
        let (scheme, behind) = url.split_once(':').unwrap_or((url, ""));
        let cut = match masking::host_port(scheme, behind) {
            Some(HostPort { host, port: Some(port) }) => format!("{scheme}://{host}:{port}"),
            Some(HostPort { host, port: None }) => format!("{scheme}://{host}"),
            // The URL is only a scheme, as in a hint.
            None if behind == "//" => url.to_owned(),
            None => format!("{scheme}:"),
        };
        // Keeps the URL as written if nothing was cut off.
        shown.push_str(if cut.eq_ignore_ascii_case(url) { url } else { &cut });
    }
    shown.push_str(rest);
    shown
}

/// Returns the URLs in `text`. A URL ends at white space, a quote or a bracket, and does not include the punctuation
/// that ends a sentence.
fn urls(text: &str) -> impl Iterator<Item = &str> {
    let mut from = 0;
    std::iter::from_fn(move || {
        let at = from + text[from..].find("://")?;
        let is_scheme = |c: char| c.is_ascii_alphanumeric() || "+-.".contains(c);
        let begin = text[from..at].rfind(|c: char| !is_scheme(c)).map_or(from, |before| {
            from + before + text[from + before..].chars().next().map_or(1, char::len_utf8)
        });
        let ends = |c: char| c.is_whitespace() || "'\"`<>()[]{}".contains(c);
        let host = at + "://".len();
        // An IPv6 host is in brackets.
        let skip = if text[host..].starts_with('[') { 1 } else { 0 };
        let bracket = text[host + skip..].find(|c: char| if skip == 1 { c == ']' } else { ends(c) });
        let end = match bracket {
            Some(len) if skip == 1 => {
                let behind = host + skip + len + 1;
                behind + text[behind..].find(ends).unwrap_or(text.len() - behind)
            }
            Some(len) => host + len,
            None => text.len(),
        };
        from = end;
        Some(text[begin..end].trim_end_matches([':', ',', ';', '.']))
    })
}

fn percent_decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn redact(source: &str, text: &str) -> String {
        Redactor::for_source(&SourceUrl::parse(source).unwrap()).redact(text)
    }

    #[test]
    fn every_url_is_cut_down_to_its_server() {
        for (text, shown) in [
            ("Connection to tcp://cam:554?timeout=4500000 failed", "Connection to tcp://cam:554 failed"),
            ("open 'rtsp://me:pw@cam/1': no", "open 'rtsp://cam': no"),
            ("http://cam/x: 404, (http://[::1]:80/x)", "http://cam: 404, (http://[::1])"),
            ("a://b:c@d/e f://g:h@i.", "a://d f://i."),
            ("://x é://y http://u:1/w@h", ": é: http:"),
            ("try http://, or http://ADDRESS", "try http://, or http://ADDRESS"),
            ("nothing here", "nothing here"),
        ] {
            assert_eq!(cut_urls(text), shown);
        }
    }

    #[test]
    fn words_of_a_servers_url_are_masked_as_written_and_decoded() {
        let source = "rtsp://me:s%40cr'et@cam:554/MadeUp/ch1?token=x%20yz&q=0&KEY#timeout=4s";
        for (text, shown) in [
            ("login me with s@cr'et", "login *** with ***"),
            ("401 for s%40cr'et and s%40cr%27et", "401 for *** and ***"),
            ("some men, q=0 at cam", "some men, q=0 at cam"),
            ("path /MadeUp/ch1, x yz or x%20yz, KEY", "path /***/***, *** or ***, ***"),
            ("sent bWU6c0BjcidldA==", "sent ***"),
        ] {
            assert_eq!(redact(source, text), shown);
        }
    }

    #[test]
    fn words_of_a_programs_arguments_are_masked() {
        let source =
            "exec:curl -v error -H 'X-Key: made-up' --password=hunter2 -u a:bcd -pglued1 http://h/tok/en";
        for (text, shown) in [
            ("header X-Key: made-up", "header ***"),
            ("with made-up and hunter2", "with *** and ***"),
            ("user bcd, a:bcd, glued1", "user ***, ***, ***"),
            ("error: token at http://h/tok/en", "error: token at ***"),
            ("curl: abcd", "curl: abcd"),
        ] {
            assert_eq!(redact(source, text), shown);
        }
    }

    #[test]
    fn a_secret_that_is_cut_through_is_not_shown() {
        let redactor = Redactor::for_source(&SourceUrl::parse("http://me:hunter2hunter2@cam/").unwrap());
        let shown = redactor.redact_beginning("a line that ends within hunter2hunt");
        assert!(shown.starts_with("a line") && !shown.contains("hunter"), "{shown}");
    }

    #[test]
    fn where_a_password_begins_is_of_no_matter() {
        let shown = redact("http://me:12/s3c?ret@cam/", "no such host me, 12/s3c, ret@cam");
        assert!(!shown.contains("s3c") && !shown.contains("ret") && !shown.contains("me"), "{shown}");
    }
}
