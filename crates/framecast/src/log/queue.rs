//! The queue between the tasks that log and standard error. No task waits for standard error.
//!
//! A log line goes into a queue, which is bounded in lines and bytes. A separate thread takes lines from the queue and
//! writes them. If standard error accepts nothing (a paused terminal, a pipe that nobody reads), the queue fills up;
//! further lines are lost, and the log later says how many. Only the thread can block. At its end, the program waits
//! for the thread, but only for a bounded time.

use std::io::{self, ErrorKind, Write};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

use framecast::LostLines;
use framecast_media::{lock, unpoisoned};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::stdio::stderr;
use tracing::warn;
use tracing_subscriber::fmt::MakeWriter;

use super::{LogFormat, line};

/// The maximum number of lines in the queue. A start with a hundred cameras writes fewer lines at once.
const MAX_LINES: usize = 4096;

/// The maximum total size of the lines in the queue, in bytes.
const MAX_BYTES: usize = 1 << 20;

/// How long, at the end of the program, the log waits for standard error to accept a line before it gives up.
const STALL_TIMEOUT: Duration = Duration::from_millis(500);

/// The input of the queue: the writer to which tasks log.
#[derive(Debug, Clone)]
pub(super) struct Queue {
    shared: Arc<Shared>,
    to_writer: SyncSender<Vec<u8>>,
    format: LogFormat,
    has_colours: bool,
}

/// A handle that waits, at the end of the program, until the queue is empty.
#[derive(Debug)]
pub(super) struct QueueFlush {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    waiting: Mutex<Backlog>,
    /// Signalled when the thread has written a line to standard error, or has failed to write it.
    written: Condvar,
    lost: LostLines,
}

/// The number and total size of the lines in the queue, which are not written to standard error yet.
#[derive(Debug, Default)]
struct Backlog {
    lines: usize,
    bytes: usize,
}

impl Shared {
    fn waiting(&self) -> MutexGuard<'_, Backlog> {
        lock(&self.waiting)
    }
}

/// Creates a queue, and starts the thread that writes the queued lines to standard error.
///
/// # Errors
/// The operating system starts no thread.
pub(super) fn to_standard_error(format: LogFormat, has_colours: bool) -> io::Result<(Queue, QueueFlush)> {
    let shared = Arc::<Shared>::default();
    let (to_writer, lines) = sync_channel(MAX_LINES);
    let writer = StderrWriter { shared: Arc::clone(&shared), told: 0, is_taken: false };
    thread::Builder::new().name("log".to_owned()).spawn(move || writer.run(&lines))?;
    let queue = Queue { shared: Arc::clone(&shared), to_writer, format, has_colours };
    Ok((queue, QueueFlush { shared }))
}

impl Queue {
    /// Returns the counter of lost lines.
    pub(super) fn lost(&self) -> &LostLines {
        &self.shared.lost
    }
}

impl Write for Queue {
    /// Queues one line, including its newline. If the queue is full, the line is lost, and the counter of lost lines
    /// goes up by one. Never waits for standard error and never fails.
    fn write(&mut self, given: &[u8]) -> io::Result<usize> {
        if given.is_empty() {
            return Ok(0);
        }
        let line = line::escape(given, self.format, self.has_colours);
        let len = line.len();
        let mut waiting = self.shared.waiting();
        let has_place = waiting.bytes + len <= MAX_BYTES;
        // The lock is held, so the thread cannot subtract the line before it is added.
        if has_place && self.to_writer.try_send(line.into()).is_ok() {
            waiting.lines += 1;
            waiting.bytes += len;
        } else {
            self.shared.lost.add(1);
        }
        Ok(given.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Queue {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

impl QueueFlush {
    /// Waits until all queued lines are written to standard error, but not beyond `deadline`. Gives up earlier if
    /// standard error accepts no line for [`STALL_TIMEOUT`]. Lines that are logged after this call can be lost.
    pub(super) fn wait_until(&self, deadline: Instant) {
        let mut waiting = self.shared.waiting();
        let (mut left, mut gives_up_at) = (waiting.lines, Instant::now() + STALL_TIMEOUT);
        while waiting.lines > 0 {
            let patience = deadline.min(gives_up_at).saturating_duration_since(Instant::now());
            if patience.is_zero() {
                break;
            }
            let woken = self.shared.written.wait_timeout(waiting, patience);
            waiting = unpoisoned(woken).0;
            if waiting.lines < left {
                (left, gives_up_at) = (waiting.lines, Instant::now() + STALL_TIMEOUT);
            }
        }
    }
}

/// The output of the queue: what the thread does.
struct StderrWriter {
    shared: Arc<Shared>,
    /// How many lost lines the log has already reported.
    told: u64,
    /// Whether standard error accepted the last line. If it did not, the log does not report lost lines, because
    /// probably nobody reads standard error any more.
    is_taken: bool,
}

impl StderrWriter {
    /// Writes the lines that come, until no task can log any more.
    fn run(mut self, lines: &Receiver<Vec<u8>>) {
        while let Ok(line) = lines.recv() {
            self.write(&line);
            lines.try_iter().for_each(|line| self.write(&line));
            self.report_lost();
        }
    }

    /// Writes a whole line to standard error. If that fails, because nobody reads standard error any more or a disk is
    /// full, the line is lost.
    fn write(&mut self, line: &[u8]) {
        self.is_taken = RawStderr.write_all(line).is_ok();
        if !self.is_taken {
            self.shared.lost.add(1);
        }
        let mut waiting = self.shared.waiting();
        waiting.lines -= 1;
        waiting.bytes -= line.len();
        self.shared.written.notify_all();
    }

    /// Logs how many lines were lost since the last report about lost lines. The thread calls this function when the
    /// queue is empty, so the report appears where the lines are missing.
    fn report_lost(&mut self) {
        let lost = self.shared.lost.count();
        if self.is_taken && lost > self.told {
            let lines = lost - self.told;
            // Set before the warning, because the warning itself can be lost, which adds one more lost line.
            self.told = lost;
            warn!(lines, "log lines are missing here, because standard error did not accept them");
        }
    }
}

/// The file descriptor of standard error, without the lock of the standard library's handle. A blocked write would hold
/// that lock, and would block everything else that writes to standard error.
struct RawStderr;

impl Write for RawStderr {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            match rustix::io::write(stderr(), bytes).map_err(io::Error::from) {
                // Another program shares the terminal or pipe, and has set it to non-blocking.
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    poll(&mut [PollFd::from_borrowed_fd(stderr(), PollFlags::OUT)], None)?;
                }
                written => return written,
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
