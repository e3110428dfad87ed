//! Reads a program's standard error. Each line goes to the log without secrets, and the driver gets the last lines, to
//! build an error from them. A program that floods its standard error is slowed down. Of the lines above the limit per
//! second, only the number is logged.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use framecast_media::{is_hidden, lock};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tracing::{Instrument, Level, debug, info};

use crate::redact::Redactor;

/// The maximum number of bytes of a line that are kept. Of these, at most [`MAX_LINE_CHARS`] characters are logged.
const MAX_LINE_BYTES: usize = 4096;
const MAX_LINE_CHARS: usize = 400;

/// The maximum number of last lines that are kept, for the error message of a failed program. One line is not enough:
/// programs report the cause first, and then its consequences.
const MAX_LAST_LINES: usize = 16;

/// The maximum number of lines that are logged per second.
const LINES_PER_SECOND: u32 = 20;

/// The size of the read buffer. A program that fills it is considered flooding, even if the output is only empty lines
/// or progress reports, to which the limit of lines per second does not apply. The output of a flooding program is read
/// at 8 KiB every 20 ms.
const READ_BYTES: usize = 8 * 1024;
const FLOOD_PAUSE: Duration = Duration::from_millis(20);

/// How long to wait for the last lines of an exited program. There is a limit because a child process that the program
/// left behind may hold the pipe open.
const STDERR_FLUSH_TIMEOUT: Duration = Duration::from_millis(200);

/// The log of a program's standard error, written by a task. Dropping this value ends the task.
pub(super) struct StderrLog {
    last_lines: LastLines,
    task: JoinHandle<()>,
}

/// The last lines of a program's standard error, oldest first.
type LastLines = Arc<Mutex<VecDeque<String>>>;

impl StderrLog {
    /// Starts a task that logs each line of `pipe`, after the name `program`. `redactor` removes secrets from the lines
    /// first. The task works in the caller's tracing span.
    pub(super) fn spawn(
        program: String,
        level: Level,
        redactor: Redactor,
        pipe: impl AsyncRead + Unpin + Send + 'static,
    ) -> Self {
        let last_lines = LastLines::default();
        let task =
            tokio::spawn(run(program, level, redactor, pipe, Arc::clone(&last_lines)).in_current_span());
        Self { last_lines, task }
    }

    /// Returns the last lines, without empty ones. They may contain secrets: for parsing only, never to be shown. Call
    /// this after the program has exited.
    pub(super) async fn last_lines(&mut self) -> Vec<String> {
        if !self.task.is_finished() {
            timeout(STDERR_FLUSH_TIMEOUT, &mut self.task).await.ok();
        }
        lock(&self.last_lines).iter().cloned().collect()
    }

    /// Stops reading and logging.
    pub(super) fn stop(&self) {
        self.task.abort();
    }
}

impl Drop for StderrLog {
    fn drop(&mut self) {
        self.stop();
    }
}

async fn run(
    program: String,
    level: Level,
    redactor: Redactor,
    mut pipe: impl AsyncRead + Unpin,
    last_lines: LastLines,
) {
    let mut lines = LineSplitter::default();
    let mut limiter = LineRateLimiter::new(Instant::now());
    let mut buffer = vec![0; READ_BYTES];
    let say = |text: String| if level == Level::DEBUG { debug!("{text}") } else { info!("{text}") };
    let log = |text: String, end: LineEnd, limiter: &mut LineRateLimiter| {
        // A line that the program overwrites again and again is a progress report.
        if end == LineEnd::CarriageReturn {
            debug!("{program}: {}", shown(&text, &redactor));
        } else {
            if limiter.allow() {
                say(format!("{program}: {}", shown(&text, &redactor)));
            }
            let mut last_lines = lock(&last_lines);
            if last_lines.len() == MAX_LAST_LINES {
                last_lines.pop_front();
            }
            last_lines.push_back(text);
        }
    };
    loop {
        let is_flooding = limiter.left_out > 0;
        let read = tokio::select! {
            read = pipe.read(&mut buffer) => Some(read.unwrap_or(0)),
            () = sleep_until(limiter.ends_at()), if is_flooding => None,
        };
        if let Some(left_out) = limiter.start_window(Instant::now()) {
            say(format!("{program}: {left_out} lines left out"));
        }
        match read {
            Some(0) => break,
            Some(len) => lines.push(&buffer[..len], |text, end| log(text, end, &mut limiter)),
            None => {}
        }
        if limiter.left_out > 0 || read == Some(READ_BYTES) {
            sleep(FLOOD_PAUSE).await;
        }
    }
    lines.finish(|text, end| log(text, end, &mut limiter));
    if limiter.left_out > 0 {
        say(format!("{program}: {} lines left out", limiter.left_out));
    }
}

/// Returns a line in the form in which it is logged: without secrets and control characters, and shortened.
fn shown(line: &str, redactor: &Redactor) -> String {
    let is_cut = line.len() >= MAX_LINE_BYTES;
    escape(&if is_cut { redactor.redact_beginning(line) } else { redactor.redact(line) })
}

/// The character that ended a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LineEnd {
    LineFeed,
    CarriageReturn,
}

/// Splits bytes into lines of limited length and skips empty lines.
#[derive(Default)]
struct LineSplitter {
    line: Vec<u8>,
    /// Whether the last byte was CR. The next byte tells whether the CR alone ends the line or is part of CR LF.
    ends_in_cr: bool,
}

impl LineSplitter {
    fn push(&mut self, mut bytes: &[u8], mut each: impl FnMut(String, LineEnd)) {
        if self.ends_in_cr && !bytes.is_empty() {
            self.end_at_cr(bytes, &mut each);
        }
        while let Some(at) = bytes.iter().position(|byte| matches!(byte, b'\n' | b'\r')) {
            self.extend(&bytes[..at]);
            let is_cr = bytes[at] == b'\r';
            bytes = &bytes[at + 1..];
            if !is_cr {
                self.flush(LineEnd::LineFeed, &mut each);
            } else if bytes.is_empty() {
                self.ends_in_cr = true;
            } else {
                self.end_at_cr(bytes, &mut each);
            }
        }
        self.extend(bytes);
    }

    /// Ends the line at a CR. `next` is the text after the CR. If it begins with LF, this is a normal line end; the LF
    /// then ends a second, empty line, which is skipped. If it begins with another byte, the line is a progress report.
    fn end_at_cr(&mut self, next: &[u8], each: &mut impl FnMut(String, LineEnd)) {
        self.ends_in_cr = false;
        self.flush(if next.starts_with(b"\n") { LineEnd::LineFeed } else { LineEnd::CarriageReturn }, each);
    }

    /// Ends the last line, which may have no line end.
    fn finish(&mut self, mut each: impl FnMut(String, LineEnd)) {
        self.flush(if self.ends_in_cr { LineEnd::CarriageReturn } else { LineEnd::LineFeed }, &mut each);
    }

    fn extend(&mut self, bytes: &[u8]) {
        let room = MAX_LINE_BYTES - self.line.len();
        self.line.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    fn flush(&mut self, end: LineEnd, each: &mut impl FnMut(String, LineEnd)) {
        let text = String::from_utf8_lossy(&self.line);
        // A line of maximum length is not trimmed: its length shows that it may be cut.
        let text = if self.line.len() == MAX_LINE_BYTES { &text } else { text.trim() };
        if !text.is_empty() {
            each(text.to_owned(), end);
        }
        self.line.clear();
    }
}

/// Returns the first [`MAX_LINE_CHARS`] characters of `text` with control characters made visible, because a program's
/// output must not control the terminal that shows the log.
fn escape(text: &str) -> String {
    let mut shown = String::with_capacity(text.len().min(MAX_LINE_CHARS));
    for (index, c) in text.chars().enumerate() {
        if index == MAX_LINE_CHARS {
            shown.push('…');
            break;
        }
        match c {
            '\t' => shown.push(' '),
            c if is_hidden(c) => shown.extend(c.escape_unicode()),
            c => shown.push(c),
        }
    }
    shown
}

/// Limits the number of lines logged per second and counts the lines left out.
struct LineRateLimiter {
    began_at: Instant,
    logged: u32,
    left_out: u64,
}

impl LineRateLimiter {
    fn new(now: Instant) -> Self {
        Self { began_at: now, logged: 0, left_out: 0 }
    }

    fn ends_at(&self) -> Instant {
        self.began_at + Duration::from_secs(1)
    }

    /// Begins a new second if the current one is over. Returns how many lines were left out in the second that ended,
    /// or `None` if there were none.
    fn start_window(&mut self, now: Instant) -> Option<u64> {
        if now < self.ends_at() {
            return None;
        }
        let left_out = self.left_out;
        *self = Self::new(now);
        (left_out > 0).then_some(left_out)
    }

    /// Returns whether one more line is allowed in the log during this second. If it is, adds one to the number of
    /// logged lines; otherwise, to the number of lines left out.
    fn allow(&mut self) -> bool {
        let may = self.logged < LINES_PER_SECOND;
        if may {
            self.logged += 1;
        } else {
            self.left_out += 1;
        }
        may
    }
}

#[cfg(test)]
mod tests {
    #![warn(clippy::disallowed_methods)]

    use super::*;

    fn lines(pieces: &[&[u8]]) -> Vec<(String, LineEnd)> {
        let (mut lines, mut seen) = (LineSplitter::default(), Vec::new());
        for piece in pieces {
            lines.push(piece, |text, end| seen.push((text, end)));
        }
        lines.finish(|text, end| seen.push((text, end)));
        seen
    }

    fn texts(pieces: &[&[u8]]) -> Vec<String> {
        lines(pieces).into_iter().map(|(text, _)| text).collect()
    }

    #[test]
    fn lines_are_put_together_from_pieces_and_the_last_needs_no_end() {
        assert_eq!(texts(&[b"one\ntw", b"o\n\n  \r\nthree"]), ["one", "two", "three"]);
    }

    #[test]
    fn a_line_that_is_written_over_is_progress() {
        let seen = lines(&[b"frame=1\rframe=2\rdone\r\n"]);
        let ends: Vec<LineEnd> = seen.into_iter().map(|(_, end)| end).collect();
        assert_eq!(ends, [LineEnd::CarriageReturn, LineEnd::CarriageReturn, LineEnd::LineFeed]);
    }

    #[test]
    fn what_a_line_is_does_not_depend_on_where_its_bytes_are_cut() {
        let text = b"frame=1\rno lens\r\n\r\nframe=2\r";
        let whole = lines(&[text]);
        let ends: Vec<LineEnd> = whole.iter().map(|(_, end)| *end).collect();
        assert_eq!(ends, [LineEnd::CarriageReturn, LineEnd::LineFeed, LineEnd::CarriageReturn]);
        for at in 0..=text.len() {
            assert_eq!(lines(&[&text[..at], b"", &text[at..]]), whole, "cut at {at}");
        }
    }

    #[test]
    fn a_line_without_end_is_cut() {
        let flood = vec![b'x'; 100_000];
        let seen = texts(&[&flood, &flood, b"\nnext"]);
        assert_eq!(seen[0].len(), MAX_LINE_BYTES);
        assert_eq!(escape(&seen[0]).len(), MAX_LINE_CHARS + '…'.len_utf8());
        assert_eq!(seen[1], "next");
    }

    #[test]
    fn control_characters_are_not_shown() {
        let seen = texts(&[b"\x1b[31mopening\x07 \xff\n"]);
        assert_eq!(escape(&seen[0]), "\\u{1b}[31mopening\\u{7} \u{fffd}");
        assert_eq!(escape("a\u{202e}b\u{2028}c"), "a\\u{202e}b\\u{2028}c");
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_of_empty_lines_and_progress_is_slowed_down() {
        let flood: Vec<u8> = b"\n\rframe\r".iter().copied().cycle().take(10 * READ_BYTES).collect();
        let began_at = Instant::now();
        run("cam".to_owned(), Level::INFO, Redactor::default(), flood.as_slice(), LastLines::default()).await;
        assert_eq!(began_at.elapsed(), 10 * FLOOD_PAUSE);
    }

    #[test]
    fn a_flood_is_counted_and_not_logged() {
        let start = Instant::now();
        let mut limiter = LineRateLimiter::new(start);
        assert_eq!((0..100).filter(|_| limiter.allow()).count(), LINES_PER_SECOND as usize);
        assert_eq!(limiter.start_window(start + Duration::from_millis(999)), None);
        assert_eq!(limiter.start_window(start + Duration::from_secs(1)), Some(80));
        assert!(limiter.allow());
        assert_eq!(limiter.start_window(start + Duration::from_secs(2)), None);
    }
}
