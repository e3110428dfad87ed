//! Escapes hidden characters in log lines. Parts of a log line come from outside, such as a request's path or a
//! camera's message. These parts must not end the line, reorder its text, or control the terminal that displays it.

use std::borrow::Cow;
use std::fmt::Write;

use framecast::is_hidden;

use super::LogFormat;

/// The escape sequences with which the log formatter sets its colours (ECMA-48 §8.3.117): all attributes off, bold,
/// faint, italic, and the colours of the levels. The formatter makes control sequences harmless in messages but not in
/// fields. So [`escape`] processes the whole formatted line and makes every control sequence harmless except these. If
/// a field contains one of these, the worst effect is another colour.
const COLOURS: [&str; 9] = [
    "\u{1b}[0m",
    "\u{1b}[1m",
    "\u{1b}[2m",
    "\u{1b}[3m",
    "\u{1b}[31m",
    "\u{1b}[32m",
    "\u{1b}[33m",
    "\u{1b}[34m",
    "\u{1b}[35m",
];

/// Returns `line`, including its newline if it has one, with each hidden character escaped. If `has_colours` is true,
/// the sequences of [`COLOURS`] stay unescaped.
pub(super) fn escape(line: &[u8], format: LogFormat, has_colours: bool) -> Cow<'_, [u8]> {
    let (text, end) = match line.split_last() {
        Some((b'\n', text)) => (text, "\n"),
        _ => (line, ""),
    };
    if text.iter().all(|byte| (b' '..=b'~').contains(byte)) {
        return Cow::Borrowed(line);
    }
    let text = String::from_utf8_lossy(text);
    let mut shown = String::with_capacity(line.len() + 32);
    for (at, c) in text.char_indices() {
        let is_colour = || has_colours && COLOURS.iter().any(|colour| text[at..].starts_with(colour));
        let escaped = match format {
            _ if !is_hidden(c) || is_colour() => {
                shown.push(c);
                continue;
            }
            LogFormat::Human if matches!(c, '\t' | '\n' | '\r') => write!(shown, "{}", c.escape_default()),
            LogFormat::Human => write!(shown, "{}", c.escape_unicode()),
            // This escape is valid only within strings. But a hidden character between strings would not be valid JSON
            // anyway.
            LogFormat::Json => write!(shown, "\\u{:04x}", u32::from(c)),
        };
        escaped.expect("a String takes all that is written");
    }
    shown.push_str(end);
    Cow::Owned(shown.into_bytes())
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Seek};
    use std::sync::Arc;

    use super::*;

    fn text(line: &str, format: LogFormat, has_colours: bool) -> String {
        String::from_utf8(escape(line.as_bytes(), format, has_colours).into_owned()).unwrap()
    }

    #[test]
    fn what_reorders_or_ends_a_line_is_shown_as_a_number() {
        let line = "WARN no camera `x\u{202e}\u{2028}\u{85}\nINFO forged` grüße\n";
        let told = "WARN no camera `x\\u{202e}\\u{2028}\\u{85}\\nINFO forged` grüße\n";
        assert_eq!(text(line, LogFormat::Human, false), told);
        let plain = "INFO listening on 127.0.0.1:5000\n";
        assert!(matches!(escape(plain.as_bytes(), LogFormat::Human, true), Cow::Borrowed(_)));
    }

    #[test]
    fn colours_stay_where_there_are_colours() {
        assert_eq!(
            text("\u{1b}[31mERROR\u{1b}[0m ü\n", LogFormat::Human, true),
            "\u{1b}[31mERROR\u{1b}[0m ü\n"
        );
        assert_eq!(text("\u{1b}[31mERROR ü\n", LogFormat::Human, false), "\\u{1b}[31mERROR ü\n");
    }

    #[test]
    fn what_a_field_has_for_the_terminal_does_not_reach_it() {
        let line = "\u{1b}[32m INFO\u{1b}[0m at \u{1b}[3mpath\u{1b}[0m\u{1b}[2m=\u{1b}[0m\u{1b}]0;title\u{7}\u{1b}[2J\u{1b}[8m\n";
        let told = "\u{1b}[32m INFO\u{1b}[0m at \u{1b}[3mpath\u{1b}[0m\u{1b}[2m=\u{1b}[0m\\u{1b}]0;title\\u{7}\\u{1b}[2J\\u{1b}[8m\n";
        assert_eq!(text(line, LogFormat::Human, true), told);
    }

    #[test]
    fn a_formatter_with_colours_and_a_field_from_outside_write_a_line_that_steers_nothing() {
        let file = Arc::new(tempfile::tempfile().unwrap());
        let subscriber = tracing_subscriber::fmt().with_ansi(true).with_writer(Arc::clone(&file)).finish();
        tracing::subscriber::with_default(subscriber, || {
            tracing::error!(path = %"\u{1b}]0;title\u{7}", count = 3, "no such camera");
            tracing::warn!("w");
            tracing::info!("i");
        });
        let (mut file, mut line) = (&*file, Vec::new());
        file.rewind().unwrap();
        file.read_to_end(&mut line).unwrap();
        let shown = String::from_utf8(escape(&line, LogFormat::Human, true).into_owned()).unwrap();
        assert!(shown.contains("\\u{1b}]0;title\\u{7}") && shown.contains("no such camera"), "{shown:?}");
        // The formatter's colours stay.
        assert_eq!(shown.matches("\\u{1b}").count(), 1, "{shown:?}");
    }

    #[test]
    fn json_stays_json_with_the_same_text() {
        let message = "a\u{202e}b\u{2029}c\u{7f}ü";
        let shown = text(&format!("{{\"message\":\"{message}\"}}\n"), LogFormat::Json, false);
        assert_eq!(shown, "{\"message\":\"a\\u202eb\\u2029c\\u007fü\"}\n");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&shown).unwrap()["message"], message);
    }

    #[test]
    fn bytes_that_are_no_text_are_no_panic() {
        assert_eq!(text("", LogFormat::Human, false), "");
        assert_eq!(escape(b"\xFF\xFE\n", LogFormat::Human, false), "\u{fffd}\u{fffd}\n".as_bytes());
    }
}
