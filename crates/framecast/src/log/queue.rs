//! The way of a line from the task that writes it to standard error, which nobody waits for.
//!
//! A line goes into a queue, bounded in lines and bytes, and a thread of its own writes it. Where standard error takes
//! nothing (a terminal that is held, a pipe that nobody reads), the queue fills, and what comes then is lost and counted.
//! The thread alone may block, and the end of the program waits for it for a bounded time.

use std::io::{self, ErrorKind, Write};
use std::mem::ManuallyDrop;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use framecast::LostLines;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::stdio::stderr;
use tracing::warn;
use tracing_appender::non_blocking::{ErrorCounter, NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::fmt::MakeWriter;

use super::{Format, line};

/// Lines that wait to be written: more than a start with a hundred cameras writes at once.
const MAX_LINES: usize = 4096;

/// What these lines may hold together.
const MAX_BYTES: usize = 1 << 20;

/// What standard error may take for a line at the end of the program before nobody seems to read it.
const STALLED: Duration = Duration::from_millis(500);

/// Where the log's lines go in.
#[derive(Debug, Clone)]
pub(super) struct Queue {
    shared: Arc<Shared>,
    to_writer: NonBlocking,
    refused: ErrorCounter,
    format: Format,
    has_colours: bool,
}

/// The queue's other end: for waiting until it is empty.
#[derive(Debug)]
pub(super) struct Rest {
    shared: Arc<Shared>,
    /// Its drop may wait for a second, and write to standard output: it is never dropped.
    _guard: ManuallyDrop<WorkerGuard>,
}

#[derive(Debug, Default)]
struct Shared {
    waiting: Mutex<Waiting>,
    /// A line was written, or could not be.
    written: Condvar,
    lost: LostLines,
}

/// What was queued and is not written yet.
#[derive(Debug, Default)]
struct Waiting {
    lines: usize,
    bytes: usize,
}

impl Shared {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A queue whose lines are written to standard error.
pub(super) fn to_standard_error(format: Format, has_colours: bool) -> (Queue, Rest) {
    let shared = Arc::<Shared>::default();
    let builder =
        NonBlockingBuilder::default().lossy(true).buffered_lines_limit(MAX_LINES).thread_name("log");
    let (to_writer, guard) = builder.finish(Writer { shared: Arc::clone(&shared), told: 0, is_taken: false });
    let refused = to_writer.error_counter();
    let queue = Queue { shared: Arc::clone(&shared), to_writer, refused, format, has_colours };
    (queue, Rest { shared, _guard: ManuallyDrop::new(guard) })
}

impl Queue {
    /// Lines that nobody will read.
    pub(super) fn lost(&self) -> &LostLines {
        &self.shared.lost
    }
}

impl Write for Queue {
    /// Takes one line, with its end; never blocks and never fails.
    fn write(&mut self, given: &[u8]) -> io::Result<usize> {
        if given.is_empty() {
            return Ok(0);
        }
        let line = line::shown(given, self.format, self.has_colours);
        let mut waiting = self.shared.waiting();
        let refused = self.refused.dropped_lines();
        let has_place = waiting.bytes + line.len() <= MAX_BYTES;
        if has_place {
            self.to_writer.write_all(&line)?;
        }
        // Under the lock nobody else is refused meanwhile.
        if has_place && self.refused.dropped_lines() == refused {
            waiting.lines += 1;
            waiting.bytes += line.len();
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

impl Rest {
    /// Waits until all lines are written, until `deadline` at the most, and no longer than [`STALLED`] where none is taken.
    /// Lines that come later may be lost.
    pub(super) fn wait_until(&self, deadline: Instant) {
        let mut waiting = self.shared.waiting();
        let (mut left, mut gives_up_at) = (waiting.lines, Instant::now() + STALLED);
        while waiting.lines > 0 {
            let patience = deadline.min(gives_up_at).saturating_duration_since(Instant::now());
            if patience.is_zero() {
                break;
            }
            let woken = self.shared.written.wait_timeout(waiting, patience);
            waiting = woken.unwrap_or_else(PoisonError::into_inner).0;
            if waiting.lines < left {
                (left, gives_up_at) = (waiting.lines, Instant::now() + STALLED);
            }
        }
    }
}

/// What the thread writes with.
struct Writer {
    shared: Arc<Shared>,
    /// How many lost lines the log has told of.
    told: u64,
    /// Whether the last line could be written: to one that has gone nothing is told.
    is_taken: bool,
}

impl Write for Writer {
    /// Takes a whole line. One that cannot be written, because its reader has gone or a disk is full, is lost.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.is_taken = StandardError.write_all(line).is_ok();
        if !self.is_taken {
            self.shared.lost.add(1);
        }
        let mut waiting = self.shared.waiting();
        waiting.lines -= 1;
        waiting.bytes -= line.len();
        self.shared.written.notify_all();
        Ok(line.len())
    }

    /// Called when no line waits: what was lost would have come here.
    fn flush(&mut self) -> io::Result<()> {
        let lost = self.shared.lost.count();
        if self.is_taken && lost > self.told {
            let lines = lost - self.told;
            // Before it is told: where this line is lost too, that is one more.
            self.told = lost;
            warn!(lines, "lines of the log were lost here, because standard error did not take them");
        }
        Ok(())
    }
}

/// The descriptor itself. The standard library's handle has a lock, which a write that blocks would keep from everyone
/// who has something else to say there.
struct StandardError;

impl Write for StandardError {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            match rustix::io::write(stderr(), bytes).map_err(io::Error::from) {
                // Another program has the same terminal or pipe, and set it so.
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
