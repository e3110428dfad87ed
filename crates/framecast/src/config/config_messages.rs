//! Rewords the messages of the TOML deserialiser for users who wrote the file.

use std::ops::Range;

/// The keys at the top of the file.
const TOP_KEYS: &[&str] = &[
    "listen",
    "allowed_hosts",
    "cors_origins",
    "user",
    "write_timeout",
    "header_timeout",
    "max_connections",
    "max_connections_per_address",
    "trusted_proxies",
    "frame_ancestors",
    "marks_per_minute",
    "max_viewers",
    "max_viewers_per_address",
    "latency_budget",
    "writer_threads",
    "drop_in",
    "state_dir",
    "history",
    "history_max_age",
    "history_max_rows",
    "camera",
    "webhook",
];

/// The keys of a `[[camera]]` table.
const CAMERA_KEYS: &[&str] = &[
    "name",
    "source",
    "idle_timeout",
    "stall_timeout",
    "max_fps",
    "quality",
    "max_viewers",
    "latency_budget",
    "max_picture",
    "controls",
];

/// The keys of a `[[webhook]]` table.
const WEBHOOK_KEYS: &[&str] = &["url", "kinds", "cameras"];

/// Names of keys in earlier releases, each with the name of today. They still work, but messages do not suggest them.
const OLD_KEYS: [(&str, &str); 2] = [("freshness", "latency_budget"), ("writers", "writer_threads")];

/// A kind of table in the file.
#[derive(Debug, Clone, Copy, PartialEq)]
enum ConfigTable {
    Top,
    Camera,
    Webhook,
}

impl ConfigTable {
    /// Returns the kind of table whose known keys are `keys`.
    fn with(keys: &[&str]) -> Self {
        if keys.contains(&"source") {
            Self::Camera
        } else if keys == WEBHOOK_KEYS {
            Self::Webhook
        } else {
            Self::Top
        }
    }
}

/// The minimum Jaro–Winkler similarity between an unknown key and a known key at which a message suggests the known
/// key.
const MIN_SIMILARITY: f64 = 0.7;

/// Returns `text` with hidden characters escaped, so that it can be part of a message; returns `***` if the text might
/// be a URL or contain a login.
pub(super) fn redacted(text: &str) -> String {
    let may_be_secret = text.contains("://") || text.contains('@');
    if may_be_secret { "***".to_owned() } else { text.escape_debug().to_string() }
}

/// Rewords `message`, an error of the TOML deserialiser, so that it helps the user. For an unknown key, the result
/// suggests the most similar known key.
pub(super) fn explain(message: &str) -> String {
    if let Some(rest) = message.strip_prefix("unknown field ") {
        return unknown_key(rest).unwrap_or_else(|| message.to_owned());
    }
    if let Some(key) = message.strip_prefix("missing field ") {
        let table = if key == "`url`" { "webhook" } else { "camera" };
        return format!("this {table} has no {key}");
    }
    if message == "invalid type: map, expected a sequence" {
        return "found one table, expected a list; a camera begins with [[camera]], in two brackets"
            .to_owned();
    }
    match message.strip_prefix("invalid type: ").or_else(|| message.strip_prefix("invalid value: ")) {
        Some(found) => {
            let found = without_url(found);
            let found = found.replace("expected usize", "expected a whole number");
            let found = found.replace("expected u64", "expected a whole number");
            // `quality` is the only key of this type.
            let found = found.replace("expected u8", "expected a whole number from 1 to 100");
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

/// Returns the message for an unknown key. `rest` is the end of the deserialiser's message: the unknown key and then
/// the known keys of the table, each in back quotes. Returns `None` if `rest` contains no key.
fn unknown_key(rest: &str) -> Option<String> {
    let mut names = rest.split('`').skip(1).step_by(2);
    let unknown = names.next()?;
    let known: Vec<&str> = names.filter(|name| current_name(name).is_none()).collect();
    let table = ConfigTable::with(&known);
    if let Some(place) = hint_for(unknown, table) {
        return Some(place.to_owned());
    }
    let (other, place) = match table {
        ConfigTable::Camera | ConfigTable::Webhook => {
            (TOP_KEYS, "at the top of the file, before the first [[camera]]")
        }
        ConfigTable::Top => (CAMERA_KEYS, "to a camera, below its [[camera]]"),
    };
    // In TOML a key belongs to the table above it, which users easily overlook.
    if let Some(name) = current_name(unknown).filter(|name| other.contains(name)) {
        return Some(format!("`{unknown}` is now called `{name}`, and belongs {place}"));
    }
    if other.contains(&unknown) {
        return Some(format!("`{unknown}` belongs {place}"));
    }
    Some(match nearest_key(unknown, &known).or_else(|| nearest_key(unknown, other)) {
        Some(nearest_key) => format!("unknown key `{}`; did you mean `{nearest_key}`?", redacted(unknown)),
        None => format!("unknown key `{}`; known keys: {}", redacted(unknown), known.join(", ")),
    })
}

/// Returns the current name of a key if `key` is its name in earlier releases, otherwise `None`.
fn current_name(key: &str) -> Option<&'static str> {
    OLD_KEYS.iter().find(|(old, _)| *old == key).map(|(_, name)| *name)
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

fn nearest_key<'a>(unknown: &str, known: &[&'a str]) -> Option<&'a str> {
    known
        .iter()
        .map(|name| (strsim::jaro_winkler(unknown, name), *name))
        .filter(|(similarity, _)| *similarity >= MIN_SIMILARITY)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::file::{CameraFile, File};
    use crate::config::webhook::WebhookFile;

    /// The keys that the deserialiser of `T` names when it meets an unknown one.
    fn keys_of<T: serde::de::DeserializeOwned + std::fmt::Debug>() -> Vec<String> {
        let error = toml::from_str::<T>("qqqq = 1").unwrap_err();
        let names = error.message().split('`').skip(1).step_by(2).skip(1);
        names.filter(|name| current_name(name).is_none()).map(str::to_owned).collect()
    }

    #[test]
    fn the_keys_named_here_are_those_of_the_file() {
        assert_eq!(keys_of::<File>(), TOP_KEYS);
        assert_eq!(keys_of::<CameraFile>(), CAMERA_KEYS);
        assert_eq!(keys_of::<WebhookFile>(), WEBHOOK_KEYS);
    }

    #[test]
    fn only_text_is_asked_to_be_quoted() {
        assert_eq!(unquoted("a = 1\nb = x#y # z", 10).as_deref(), Some("text needs quotes: b = \"x#y\""));
        for line in ["a = 1.2.3", "a = 'x", "a = [x]", "a =", "[[camera]", ""] {
            assert_eq!(unquoted(line, line.len()), None, "{line}");
        }
    }

    #[test]
    fn a_webhook_is_not_taken_for_a_camera() {
        assert_eq!(explain("missing field `url`"), "this webhook has no `url`");
        let message = explain("unknown field `listen`, expected one of `url`, `kinds`, `cameras`");
        assert_eq!(message, "`listen` belongs at the top of the file, before the first [[camera]]");
    }

    #[test]
    fn what_is_said_of_a_key_fits_its_table() {
        let said = |key: &str, known: &[&str]| {
            let known: Vec<String> = known.iter().map(|key| format!("`{key}`")).collect();
            explain(&format!("unknown field `{key}`, expected one of {}", known.join(", ")))
        };
        assert!(said("enabled", CAMERA_KEYS).contains("[[camera]]"));
        assert!(said("enabled", WEBHOOK_KEYS).contains("[[webhook]]"));
        assert!(said("enabled", TOP_KEYS).starts_with("unknown key `enabled`"));
        assert!(said("timeout", CAMERA_KEYS).contains("stall_timeout"));
        assert!(said("silence", CAMERA_KEYS).contains("#silence="));
        assert!(said("user", CAMERA_KEYS).contains("USER:PASSWORD@HOST"));
        assert!(said("password", TOP_KEYS).contains("FRAMECAST_PASSWORD"));
        assert!(said("password", WEBHOOK_KEYS).starts_with("unknown key `password`"));
    }

    #[test]
    fn an_old_key_in_the_wrong_table_is_told_its_name_and_its_place() {
        let known = |keys: &[&str]| keys.iter().map(|key| format!("`{key}`")).collect::<Vec<_>>().join(", ");
        let message = explain(&format!("unknown field `writers`, expected one of {}", known(CAMERA_KEYS)));
        let expected = "`writers` is now called `writer_threads`, and belongs at the top of the file, before the first [[camera]]";
        assert_eq!(message, expected);
    }

    #[test]
    fn a_key_that_nothing_resembles_is_told_what_there_is() {
        let message = explain("unknown field `qqqq`, expected one of `name`, `source`");
        assert_eq!(message, "unknown key `qqqq`; known keys: name, source");
    }
}
