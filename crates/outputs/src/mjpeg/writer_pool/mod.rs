//! The writers: one thread per core, each of which owns the sockets of its viewers.
//!
//! A viewer comes to a writer when the HTTP server has sent the response head and hands over the socket
//! ([`Hijack`](crate::Hijack)). A writer wakes up once for each frame of a channel and goes through the viewers of that
//! channel. Each viewer gets the same packed multipart part by one `send`. A viewer whose socket is full continues when
//! the kernel reports room. The [`ClientStream`] decides what to send, and when.

mod connection;
mod deadlines;
mod group;
#[cfg(test)]
mod tests;
mod wake_fd;
mod writer;

use std::io;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use framecast_media::lock;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::client_stream::ClientStream;
use crate::{EndReason, HijackedConnection};

/// A new viewer that is handed to a writer thread.
pub(super) struct Join {
    stream: ClientStream,
    hijacked: HijackedConnection,
    load_token: LoadToken,
}

/// The configuration of all writer threads.
#[derive(Debug, Clone)]
pub(super) struct WriterConfig {
    /// The time after which the writer closes the connection of a viewer that takes none of the bytes sent to it.
    pub(super) write_timeout: Duration,
    /// The token that ends all streams when it is cancelled.
    pub(super) shutdown: CancellationToken,
}

/// The writers of one server. Their threads start with the first viewer. They end when the pool is dropped and the last
/// viewer has left.
#[derive(Debug)]
pub(super) struct WriterPool {
    /// The number of writers.
    thread_count: NonZeroUsize,
    config: WriterConfig,
    writers: Mutex<Vec<WriterHandle>>,
}

/// The handle of one writer thread, for passing new viewers to it.
#[derive(Debug)]
struct WriterHandle {
    joins: mpsc::UnboundedSender<Join>,
    /// A token of which each viewer of the writer thread holds a clone. So the number of clones is the number of
    /// viewers.
    load: LoadToken,
}

/// A token that a viewer of a writer thread holds until the viewer leaves.
type LoadToken = Arc<()>;

impl WriterPool {
    pub(super) fn new(thread_count: Option<NonZeroUsize>, config: WriterConfig) -> Self {
        let thread_count =
            thread_count.or_else(|| thread::available_parallelism().ok()).unwrap_or(NonZeroUsize::MIN);
        Self { thread_count, config, writers: Mutex::default() }
    }

    /// Hands a viewer to the writer thread that has the fewest viewers.
    ///
    /// # Errors
    /// If no writer thread could be started. The viewer's connection is then closed.
    pub(super) fn join(&self, mut stream: ClientStream, hijacked: HijackedConnection) -> io::Result<()> {
        // Until a writer has the stream, the stream cannot end because of the client.
        stream.set_end_reason(EndReason::Failed);
        let mut writers = lock(&self.writers);
        // A writer whose thread has ended serves nobody any more.
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
        let writer = writer::Writer::new(config)?;
        thread::Builder::new().name(format!("writer-{number}")).spawn(move || writer.run(joining))?;
        Ok(Self { joins, load: Arc::default() })
    }
}
