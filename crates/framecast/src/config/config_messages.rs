//! Rewords the messages of the TOML deserialiser for users who wrote the file.

use std::ops::Range;

use framecast_drivers::nearest;

/// A kind of table in the file.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum ConfigTable {
    Top,
    Camera,
    #[cfg_attr(not(feature = "webhook"), expect(dead_code, reason = "this build has no webhooks"))]
    Webhook,
}

impl ConfigTable {
    /// Returns the name of one such table, as in `this camera has no source`.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Top => "file",
            Self::Camera => "camera",
            Self::Webhook => "webhook",
        }
    }
}

/// The keys of each kind of table.
pub(super) struct KnownKeys {
    pub(super) top: Vec<&'static str>,
    pub(super) camera: Vec<&'static str>,
    pub(super) webhook: Vec<&'static str>,
    /// Names of keys in earlier releases, each with the name of today. They still work, but messages do not suggest
    /// them.
    pub(super) old: Vec<(&'static str, &'static str)>,
}

/// Returns `text` with hidden characters escaped, so that it can be part of a message; returns `***` if the text might
/// be a URL or contain a login.
pub(super) fn redacted(text: &str) -> String {
    let may_be_secret = text.contains("://") || text.contains('@');
    if may_be_secret { "***".to_owned() } else { text.escape_debug().to_string() }
}

/// Rewords `message`, an error of the TOML parser or deserialiser, so that it helps the user.
pub(super) fn explain(message: &str) -> String {
    match message.strip_prefix("invalid type: ").or_else(|| message.strip_prefix("invalid value: ")) {
        Some(found) => {
            let found = without_url(found);
            let whole = ["expected usize", "expected u64", "expected u32", "expected u8"];
            let found =
                whole.iter().fold(found, |found, kind| found.replace(kind, "expected a whole number"));
            let found = found.replace("expected f64", "expected a number").replace("a map", "a table");
            let found = found.replace("a sequence", "a list").replace("sequence", "a list");
            let found = found.replace("a boolean", "true or false").replace(" as i128", "");
            format!("found {found}")
        }
        None => message.to_owned(),
    }
}

/// Returns `message`, an error about the bytes `at` of `text`, with the name of the affected key. These bytes are a
/// value or, if a key is set twice, the second occurrence of that key.
pub(super) fn with_key(text: &str, at: Range<usize>, message: String) -> String {
    let Some(before) = text.get(..at.start) else { return message };
    if message == "duplicate key" {
        let Some(key) = text.get(at).map(str::trim) else { return message };
        let is_it = |line: &str| line.split_once('=').is_some_and(|(name, _)| name.trim() == key);
        let lines: Vec<&str> = before.lines().collect();
        return match lines.iter().rposition(|line| is_it(line)) {
            Some(first) => format!("`{key}` is set twice; the first time on line {}", first + 1),
            None => format!("`{key}` is set twice"),
        };
    }
    let line = before.rsplit('\n').next().unwrap_or_default();
    let key = line.rsplit_once('=').map(|(key, _)| key.rsplit(['{', ',']).next().unwrap_or(key).trim());
    match key.filter(|key| message.starts_with("found ") && !key.is_empty()) {
        Some(key) => format!("{key}: {message}"),
        None => message,
    }
}

/// Returns whether `message` comes from the TOML parser's syntax check, and not from the deserialiser.
pub(super) fn is_syntax_error(message: &str) -> bool {
    [
        "string values must be quoted",
        "invalid boolean",
        "invalid float",
        "invalid mantissa",
        "invalid integer",
    ]
    .iter()
    .any(|begin| message.starts_with(begin))
}

/// Returns the advice to add quotes if the value around byte `at` of `text` is a text without quotes, otherwise `None`.
/// The TOML parser's own message does not say that quotes are missing.
pub(super) fn unquoted(text: &str, at: usize) -> Option<String> {
    let begin = text.get(..at)?.rfind('\n').map_or(0, |newline| newline + 1);
    let (key, value) = text.get(begin..)?.lines().next()?.split_once('=')?;
    let value = value.split(" #").next()?.trim();
    let is_text = value.contains(|c: char| c.is_alphabetic() || matches!(c, ':' | '/'))
        && !value.contains(['"', '\'', '\\', '[', ']', '{', '}']);
    let value = if value.contains([':', '/', '@']) { "…" } else { value };
    is_text.then(|| format!("text needs quotes: {} = \"{value}\"", key.trim()))
}

impl KnownKeys {
    /// Returns the message for the key `unknown`, which the table `table` does not have. The message suggests the most
    /// similar known key.
    pub(super) fn explain_unknown(&self, unknown: &str, table: ConfigTable) -> String {
        if let Some(place) = hint_for(unknown, table) {
            return place.to_owned();
        }
        let known = match table {
            ConfigTable::Top => &self.top,
            ConfigTable::Camera => &self.camera,
            ConfigTable::Webhook => &self.webhook,
        };
        let (other, place) = match table {
            ConfigTable::Camera | ConfigTable::Webhook => {
                (&self.top, "at the top of the file, before the first [[camera]]")
            }
            ConfigTable::Top => (&self.camera, "to a camera, below its [[camera]]"),
        };
        // In TOML a key belongs to the table above it, which users easily overlook.
        if let Some(name) = self.current_name(unknown).filter(|name| other.contains(name)) {
            return format!("`{unknown}` is now called `{name}`, and belongs {place}");
        }
        if other.contains(&unknown) {
            return format!("`{unknown}` belongs {place}");
        }
        match nearest(unknown, known).or_else(|| nearest(unknown, other)) {
            Some(nearest) => {
                format!("unknown key `{}`; did you mean `{nearest}`?", redacted(unknown))
            }
            None => format!("unknown key `{}`; known keys: {}", redacted(unknown), known.join(", ")),
        }
    }

    /// Returns the current name of a key if `key` is its name in earlier releases, otherwise `None`.
    fn current_name(&self, key: &str) -> Option<&'static str> {
        self.old.iter().find(|(old, _)| *old == key).map(|(_, name)| *name)
    }
}

/// Returns where a setting really is, if users often look for that setting under the key `unknown` of `table`. Returns
/// `None` for any other key.
fn hint_for(unknown: &str, table: ConfigTable) -> Option<&'static str> {
    Some(match (unknown, table) {
        ("fps", ConfigTable::Camera) => {
            "`fps` is part of the source: source = \"/dev/video0?fps=5\", or after a camera's address \
             \"http://ADDRESS#fps=5\"; max_fps limits the rate of any source"
        }
        ("size" | "resolution" | "width" | "height", ConfigTable::Camera) => {
            "a size is part of the source: source = \"/dev/video0?size=1280x720\", or after an RTSP camera's \
             address \"rtsp://ADDRESS#size=640x360\""
        }
        ("timeout", ConfigTable::Camera) => {
            "`stall_timeout` limits how long any camera may deliver no frames; a network camera's own `timeout` is \
             part of its source: source = \"http://ADDRESS#timeout=20s\""
        }
        ("silence" | "redirect" | "insecure" | "transport", ConfigTable::Camera) => {
            "this is part of the source, after a # at the end: source = \"http://ADDRESS#silence=60s\", \
             \"rtsp://ADDRESS#transport=udp\"; join several with &"
        }
        ("enabled" | "enable" | "disabled", ConfigTable::Camera) => {
            "the server serves every camera in the file, and opens it when someone watches; to leave one out, put a # \
             before each line of its [[camera]]"
        }
        ("enabled" | "enable" | "disabled", ConfigTable::Webhook) => {
            "the server sends events to every webhook in the file; to leave one out, put a # before each line of its \
             [[webhook]]"
        }
        ("password" | "username", ConfigTable::Camera) => {
            "a camera's login is part of its source: source = \"http://USER:PASSWORD@HOST/…\""
        }
        ("user", ConfigTable::Camera) => {
            "a camera's login is part of its source: source = \"http://USER:PASSWORD@HOST/…\"; the server's `user` \
             belongs at the top of the file, before the first [[camera]]"
        }
        ("password", ConfigTable::Top) => {
            "the server's password does not belong in the file: set FRAMECAST_PASSWORD in the environment"
        }
        _ => return None,
    })
}

/// Returns `found`, a message that quotes the value in the file. Replaces the quoted value by `***` if it might be a
/// URL in the wrong place, because a URL can contain a login.
fn without_url(found: &str) -> String {
    let quoted = found.split_once("string \"").and_then(|(before, rest)| {
        let (text, behind) = rest.rsplit_once("\", expected")?;
        Some(format!("{before}string \"{}\", expected{behind}", redacted(text)))
    });
    quoted.unwrap_or_else(|| found.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys() -> KnownKeys {
        KnownKeys {
            top: vec!["listen", "writer_threads", "max_viewers", "camera"],
            camera: vec!["name", "source", "max_fps", "max_viewers"],
            webhook: vec!["url", "kinds"],
            old: vec![("writers", "writer_threads")],
        }
    }

    #[test]
    fn only_text_is_asked_to_be_quoted() {
        assert_eq!(unquoted("a = 1\nb = x#y # z", 10).as_deref(), Some("text needs quotes: b = \"x#y\""));
        for line in ["a = 1.2.3", "a = 'x", "a = [x]", "a =", "[[camera]", ""] {
            assert_eq!(unquoted(line, line.len()), None, "{line}");
        }
    }

    #[test]
    fn what_is_said_of_a_key_fits_its_table() {
        use ConfigTable::{Camera, Top, Webhook};
        let said = |key: &str, table| keys().explain_unknown(key, table);
        assert!(said("enabled", Camera).contains("[[camera]]"));
        assert!(said("enabled", Webhook).contains("[[webhook]]"));
        assert!(said("enabled", Top).starts_with("unknown key `enabled`"));
        assert!(said("timeout", Camera).contains("stall_timeout"));
        assert!(said("silence", Camera).contains("#silence="));
        assert!(said("user", Camera).contains("USER:PASSWORD@HOST"));
        assert!(said("password", Top).contains("FRAMECAST_PASSWORD"));
        assert!(said("password", Webhook).starts_with("unknown key `password`"));
        let at_top = "`listen` belongs at the top of the file, before the first [[camera]]";
        assert_eq!(said("listen", Webhook), at_top);
    }

    #[test]
    fn an_old_key_in_the_wrong_table_is_told_its_name_and_its_place() {
        let message = keys().explain_unknown("writers", ConfigTable::Camera);
        let expected = "`writers` is now called `writer_threads`, and belongs at the top of the file, before the first [[camera]]";
        assert_eq!(message, expected);
    }

    #[test]
    fn a_key_that_nothing_resembles_is_told_what_there_is() {
        let message = keys().explain_unknown("qqqq", ConfigTable::Webhook);
        assert_eq!(message, "unknown key `qqqq`; known keys: url, kinds");
    }
}
