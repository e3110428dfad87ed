//! The writers: one thread per core, each with one task that owns its viewers' sockets.
//!
//! A viewer comes here once HTTP is done with its connection ([`Handover`](crate::Handover)). A writer wakes up once
//! for each frame of a channel, walks the viewers of that channel, and gives each the same packed part by one `send`. A
//! viewer whose socket is full continues when the kernel reports room. The [`Stream`] decides what to send, and when.

mod client;
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

use super::stream::Stream;
use crate::{Ending, Taken};

/// A viewer on its way to a writer.
pub(super) struct Join {
    stream: Stream,
    taken: Taken,
    seat: Seat,
}

/// What all writers need to know.
#[derive(Debug, Clone)]
pub(super) struct Rules {
    /// How long a viewer may take none of the bytes that were sent to it.
    pub(super) write_timeout: Duration,
    /// Ends all streams.
    pub(super) shutdown: CancellationToken,
}

/// The writers of one server. They start with the first viewer, and end when this is dropped and their viewers have
/// left.
#[derive(Debug)]
pub(super) struct Shards {
    /// The number of writers.
    wanted: NonZeroUsize,
    rules: Rules,
    shards: Mutex<Vec<Shard>>,
}

/// The sending side to one writer.
#[derive(Debug)]
struct Shard {
    joins: mpsc::UnboundedSender<Join>,
    /// Counts the viewers that were sent to the writer and have not left.
    seats: Seat,
}

/// Counts a viewer at a writer until it is dropped.
type Seat = Arc<()>;

impl Shards {
    pub(super) fn new(wanted: Option<NonZeroUsize>, rules: Rules) -> Self {
        let wanted = wanted.or_else(|| thread::available_parallelism().ok()).unwrap_or(NonZeroUsize::MIN);
        Self { wanted, rules, shards: Mutex::default() }
    }

    /// Gives a viewer to the writer that has the fewest.
    ///
    /// # Errors
    /// If no writer could be started; the viewer's connection is closed.
    pub(super) fn join(&self, mut stream: Stream, taken: Taken) -> io::Result<()> {
        // Until a writer has the stream, it cannot end because of the client.
        stream.ends(Ending::Failed);
        let mut shards = self.shards.lock().unwrap_or_else(PoisonError::into_inner);
        // A writer that has died serves nobody any more.
        shards.retain(|shard| !shard.joins.is_closed());
        while shards.len() < self.wanted.get() {
            match Shard::start(shards.len(), self.rules.clone()) {
                Ok(shard) => shards.push(shard),
                // Fewer writers work too, only slower.
                Err(_) if !shards.is_empty() => break,
                Err(error) => return Err(error),
            }
        }
        let fewest = shards.iter().enumerate().min_by_key(|(_, shard)| Arc::strong_count(&shard.seats));
        let (number, shard) = fewest.expect("there is one: the loop above ended well");
        stream.record().set_shard(number);
        let seat = Arc::clone(&shard.seats);
        // A writer has ended only because the server ends. The viewer learns that from its closed connection.
        shard.joins.send(Join { stream, taken, seat }).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

impl Shard {
    fn start(number: usize, rules: Rules) -> io::Result<Self> {
        let (joins, joining) = mpsc::unbounded_channel();
        let (tell, told) = std::sync::mpsc::sync_channel(1);
        // The thread makes and drops all of it itself: a runtime must not be dropped where tasks run.
        thread::Builder::new().name(format!("writer-{number}")).spawn(move || match make(rules) {
            Ok((runtime, writer)) => {
                tell.send(Ok(())).ok();
                runtime.block_on(writer.run(joining));
            }
            Err(error) => drop(tell.send(Err(error))),
        })?;
        let started = told.recv().unwrap_or_else(|_| Err(io::ErrorKind::BrokenPipe.into()));
        started.map(|()| Self { joins, seats: Arc::default() })
    }
}

/// A writer and its runtime.
fn make(rules: Rules) -> io::Result<(Runtime, writer::Writer)> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let writer = {
        let _within = runtime.enter();
        writer::Writer::new(rules)?
    };
    Ok((runtime, writer))
}
