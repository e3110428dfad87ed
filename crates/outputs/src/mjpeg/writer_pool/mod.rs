//! The writers: one thread per core, each with one task that owns its viewers' sockets.
//!
//! A viewer comes here once HTTP is done with its connection ([`Hijack`](crate::Hijack)). A writer wakes up once
//! for each frame of a channel, walks the viewers of that channel, and gives each the same packed part by one `send`. A
//! viewer whose socket is full continues when the kernel reports room. The [`PartStream`] decides what to send, and when.

mod connection;
mod deadlines;
mod group;
#[cfg(test)]
mod tests;
mod writer;

use std::io;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::part_stream::PartStream;
use crate::{EndReason, HijackedConnection};

/// A viewer on its way to a writer.
pub(super) struct Join {
    stream: PartStream,
    hijacked: HijackedConnection,
    load_token: LoadToken,
}

/// What all writers need to know.
#[derive(Debug, Clone)]
pub(super) struct WriterConfig {
    /// How long a viewer may take none of the bytes that were sent to it.
    pub(super) write_timeout: Duration,
    /// Ends all streams.
    pub(super) shutdown: CancellationToken,
}

/// The writers of one server. They start with the first viewer, and end when this is dropped and their viewers have
/// left.
#[derive(Debug)]
pub(super) struct WriterPool {
    /// The number of writers.
    thread_count: NonZeroUsize,
    config: WriterConfig,
    writers: Mutex<Vec<WriterHandle>>,
}

/// The sending side to one writer.
#[derive(Debug)]
struct WriterHandle {
    joins: mpsc::UnboundedSender<Join>,
    /// Counts the viewers that were sent to the writer and have not left.
    load: LoadToken,
}

/// Counts a viewer at a writer until it is dropped.
type LoadToken = Arc<()>;

impl WriterPool {
    pub(super) fn new(thread_count: Option<NonZeroUsize>, config: WriterConfig) -> Self {
        let thread_count =
            thread_count.or_else(|| thread::available_parallelism().ok()).unwrap_or(NonZeroUsize::MIN);
        Self { thread_count, config, writers: Mutex::default() }
    }

    /// Gives a viewer to the writer that has the fewest.
    ///
    /// # Errors
    /// If no writer could be started; the viewer's connection is closed.
    pub(super) fn join(&self, mut stream: PartStream, hijacked: HijackedConnection) -> io::Result<()> {
        // Until a writer has the stream, it cannot end because of the client.
        stream.set_end_reason(EndReason::Failed);
        let mut writers = self.writers.lock().unwrap_or_else(PoisonError::into_inner);
        // A writer that has died serves nobody any more.
        writers.retain(|writer| !writer.joins.is_closed());
        while writers.len() < self.thread_count.get() {
            match WriterHandle::start(writers.len(), self.config.clone()) {
                Ok(writer) => writers.push(writer),
                // Fewer writers work too, only slower.
                Err(_) if !writers.is_empty() => break,
                Err(error) => return Err(error),
            }
        }
        let fewest = writers.iter().enumerate().min_by_key(|(_, writer)| Arc::strong_count(&writer.load));
        let (number, writer) = fewest.expect("there is one: the loop above ended well");
        stream.stats().set_writer_number(number);
        let load_token = Arc::clone(&writer.load);
        // A writer has ended only because the server ends. The viewer learns that from its closed connection.
        writer.joins.send(Join { stream, hijacked, load_token }).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

impl WriterHandle {
    fn start(number: usize, config: WriterConfig) -> io::Result<Self> {
        let (joins, joining) = mpsc::unbounded_channel();
        let (ready_sender, ready_receiver) = std::sync::mpsc::sync_channel(1);
        // The thread makes and drops all of it itself: a runtime must not be dropped where tasks run.
        thread::Builder::new().name(format!("writer-{number}")).spawn(move || {
            match build_writer(config) {
                Ok((runtime, writer)) => {
                    ready_sender.send(Ok(())).ok();
                    runtime.block_on(writer.run(joining));
                }
                Err(error) => drop(ready_sender.send(Err(error))),
            }
        })?;
        let started = ready_receiver.recv().unwrap_or_else(|_| Err(io::ErrorKind::BrokenPipe.into()));
        started.map(|()| Self { joins, load: Arc::default() })
    }
}

/// A writer and its runtime.
fn build_writer(config: WriterConfig) -> io::Result<(Runtime, writer::Writer)> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let writer = {
        let _within = runtime.enter();
        writer::Writer::new(config)?
    };
    Ok((runtime, writer))
}
