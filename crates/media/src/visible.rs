//! Characters that nobody sees, made visible: text from outside must neither steer a terminal nor reorder or break a line
//! of a log, a page or a picture so that it reads as something else.

use std::borrow::Cow;

/// `text` with each [hidden](is_hidden) character escaped as in Rust: `\n`, `\u{202e}`. Borrowed where there is none.
pub fn visible(text: &str) -> Cow<'_, str> {
    visible_but(text, |_| false)
}

/// As [`visible`], but leaves tabs and the ends of lines, for where lines may be.
pub fn visible_lines(text: &str) -> Cow<'_, str> {
    visible_but(text, |c| matches!(c, '\t' | '\n' | '\r'))
}

/// Whether `c` is a control character, or one that reorders a line or breaks it where others do not see it (Unicode
/// UAX #9 §2, UAX #14 class BK), or the mark of a byte order.
pub fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

fn visible_but(text: &str, stays: impl Fn(char) -> bool) -> Cow<'_, str> {
    let is_escaped = |c: char| is_hidden(c) && !stays(c);
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
            assert_eq!(visible(text), shown);
        }
        assert_eq!(visible_lines("a\n\t\rb\u{202e}\0"), "a\n\t\rb\\u{202e}\\u{0}");
    }
}
