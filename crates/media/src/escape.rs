//! Makes invisible characters visible. Text from outside must not control a terminal. It must not reorder or break a
//! line of a log, a page or a picture so that the line reads as something else.

use std::borrow::Cow;
use std::fmt::Write;

/// Escapes each [hidden](is_hidden) character of `text` as in Rust: `\n`, `\u{202e}`. Returns `text` itself, borrowed,
/// if it has no hidden character.
pub fn escape_hidden(text: &str) -> Cow<'_, str> {
    escape_hidden_except(text, |_| false)
}

/// Does what [`escape_hidden`] does, but keeps tabs and line ends, for text that is allowed to have several lines.
pub fn escape_hidden_multiline(text: &str) -> Cow<'_, str> {
    escape_hidden_except(text, |c| matches!(c, '\t' | '\n' | '\r'))
}

/// Escapes each [hidden](is_hidden) character in the strings of `json` in JSON syntax, as in `\u202e`. The value that
/// `json` stands for stays the same. Returns `json` itself, borrowed, if it has no hidden character. Outside strings,
/// the only hidden characters in JSON are tabs and line ends, which are kept.
pub fn escape_hidden_json(json: &str) -> Cow<'_, str> {
    // JSON writers already escape the characters below U+0020.
    let is_escaped = |c: char| c >= ' ' && is_hidden(c);
    let Some(first) = json.find(is_escaped) else { return Cow::Borrowed(json) };
    let (before, rest) = json.split_at(first);
    let mut shown = String::with_capacity(json.len() + 16);
    shown.push_str(before);
    for c in rest.chars() {
        if is_escaped(c) {
            // The codes of all hidden characters have at most four hexadecimal digits.
            write!(shown, "\\u{:04x}", u32::from(c)).expect("a String takes all that is written");
        } else {
            shown.push(c);
        }
    }
    Cow::Owned(shown)
}

/// Returns whether `c` is a control character, a character that invisibly reorders or breaks a line (Unicode UAX #9 §2,
/// UAX #14 class BK), or the byte order mark.
pub fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

fn escape_hidden_except(text: &str, keep: impl Fn(char) -> bool) -> Cow<'_, str> {
    let is_escaped = |c: char| is_hidden(c) && !keep(c);
    let Some(first) = text.find(is_escaped) else { return Cow::Borrowed(text) };
    let (before, rest) = text.split_at(first);
    let mut shown = String::with_capacity(text.len() + 16);
    shown.push_str(before);
    for c in rest.chars() {
        match c {
            c if !is_escaped(c) => shown.push(c),
            '\t' | '\n' | '\r' => shown.extend(c.escape_default()),
            c => shown.extend(c.escape_unicode()),
        }
    }
    Cow::Owned(shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_stays_json_of_the_same_value_with_nothing_hidden_in_it() {
        let hidden: String = (' '..=char::MAX).filter(|c| is_hidden(*c)).collect();
        let json = format!("{{\n  \"a\": \"\\n{hidden}ü\\u001b\"\r\n}}");
        let shown = escape_hidden_json(&json);
        assert!(!shown.contains(|c: char| c >= ' ' && is_hidden(c)), "{shown}");
        assert!(
            shown.starts_with("{\n  \"a\": \"\\n\\u007f\\u0080") && shown.ends_with("\\ufeffü\\u001b\"\r\n}"),
            "{shown}"
        );
        assert_eq!(shown.matches("\\u").count(), hidden.chars().count() + 1);
        assert!(matches!(escape_hidden_json("{\"a\": \"grüße 日本語\"}\n"), Cow::Borrowed(_)));
    }

    #[test]
    fn what_reorders_breaks_or_steers_is_escaped_and_nothing_else() {
        for (text, shown) in [
            ("", ""),
            (
                "grüße, 日本語, \u{1f4f7}\u{200d}\u{1f469} עברית",
                "grüße, 日本語, \u{1f4f7}\u{200d}\u{1f469} עברית",
            ),
            ("gpj.\u{202e}exe", "gpj.\\u{202e}exe"),
            ("a\u{2066}b\u{2069}\u{61c}\u{200e}\u{200f}", "a\\u{2066}b\\u{2069}\\u{61c}\\u{200e}\\u{200f}"),
            ("a\u{2028}b\u{2029}c\u{85}d", "a\\u{2028}b\\u{2029}c\\u{85}d"),
            ("a\nb\r\tc\0\u{1b}[31m\u{7f}", "a\\nb\\r\\tc\\u{0}\\u{1b}[31m\\u{7f}"),
        ] {
            assert_eq!(escape_hidden(text), shown);
        }
        assert_eq!(escape_hidden_multiline("a\n\t\rb\u{202e}\0"), "a\n\t\rb\\u{202e}\\u{0}");
    }
}
