//! The threads that the readers of many cameras share. Only sources of drivers that promise never to block run here.
//!
//! A driver that breaks its promise would stop its neighbours. So a watchdog asks each thread for a sign of life, once
//! a second. If none comes, the pool gives the thread up and displaces its readers; their supervisors open their
//! sources again on other threads. The reader that blocks is not displaced: its supervisor finds that it has stalled,
//! and gives it a thread of its own the next time.

use std::future::{Future, poll_fn};
use std::io;
use std::num::NonZeroUsize;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::thread;
use std::time::Duration;

use framecast_media::lock;
use tokio::runtime::{Builder, Handle};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::sleep;
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::warn;

/// The maximum number of shared threads. Reading a network camera takes about a thousandth of a CPU for each picture a
/// second, so more threads would only cost memory.
const MAX_THREADS: usize = 4;

/// The maximum number of threads on which the readers of one shared thread look up host names.
const MAX_LOOKUP_THREADS: usize = 16;

/// How often the watchdog asks each thread for a sign of life, and how long it waits for the signs.
const WATCHDOG_INTERVAL: Duration = Duration::from_secs(1);

/// The number of no reader.
const NOBODY: u64 = 0;

/// The threads that the readers of a server share. A thread starts when it is needed, and ends with its last reader.
/// All clones share the threads.
#[derive(Debug, Clone, Default)]
pub(crate) struct SharedThreads(Arc<Pool>);

#[derive(Debug, Default)]
struct Pool {
    state: Mutex<PoolState>,
    /// Tells the watchdog that there is a reader.
    has_readers: Notify,
}

#[derive(Debug, Default)]
struct PoolState {
    /// The threads that have readers. The readers keep their threads running.
    threads: Vec<Weak<SharedThread>>,
    last_id: u64,
}

/// One thread and its async runtime. The thread ends when this value is dropped.
#[derive(Debug)]
struct SharedThread {
    runtime: Handle,
    running: Arc<Running>,
    readers: Mutex<Vec<Weak<PlaceState>>>,
    _end: DropGuard,
}

/// A reader's place, as its thread and the watchdog know it.
#[derive(Debug)]
struct PlaceState {
    id: u64,
    thread: Arc<SharedThread>,
    /// Cancelled when another reader blocks the thread.
    displaced: CancellationToken,
    /// Set when this reader blocks the thread.
    has_blocked: Arc<AtomicBool>,
}

/// A reader's place on a shared thread.
#[derive(Debug)]
pub(super) struct Place(Arc<PlaceState>);

impl Place {
    /// Runs `task` on the thread.
    pub(super) fn run(&self, task: impl Future<Output = ()> + Send + 'static) {
        let (id, running) = (self.0.id, Arc::clone(&self.0.thread.running));
        self.0.thread.runtime.spawn(async move {
            let mut task = pin!(task);
            poll_fn(|cx| {
                running.begin(id);
                let poll = task.as_mut().poll(cx);
                running.end();
                poll
            })
            .await;
        });
    }

    /// Waits until the reader cannot go on, because another reader blocks the thread. Cancel safe.
    pub(super) async fn displaced(&self) {
        self.0.displaced.cancelled().await;
    }

    /// Returns whether another reader blocks the thread.
    pub(super) fn is_displaced(&self) -> bool {
        self.0.displaced.is_cancelled()
    }
}

impl SharedThreads {
    /// Returns a place on the thread that has the fewest readers. The watchdog sets `has_blocked` if the reader blocks
    /// the thread.
    ///
    /// # Errors
    /// Why no thread could be started, if there is none.
    pub(super) fn place(&self, has_blocked: &Arc<AtomicBool>) -> io::Result<Place> {
        let mut state = lock(&self.0.state);
        let thread = state.thread()?;
        state.last_id += 1;
        let reader = Arc::new(PlaceState {
            id: state.last_id,
            thread: Arc::clone(&thread),
            displaced: CancellationToken::new(),
            has_blocked: Arc::clone(has_blocked),
        });
        lock(&thread.readers).push(Arc::downgrade(&reader));
        self.0.has_readers.notify_one();
        Ok(Place(reader))
    }

    /// Watches the threads until `shutdown` is cancelled.
    pub(crate) async fn watch(self, shutdown: CancellationToken) {
        shutdown.run_until_cancelled(self.watch_forever()).await;
    }

    async fn watch_forever(&self) {
        loop {
            let threads = self.busy_threads();
            if threads.is_empty() {
                self.0.has_readers.notified().await;
                continue;
            }
            let asked: Vec<_> = threads.iter().map(|thread| thread.ask_for_sign()).collect();
            sleep(WATCHDOG_INTERVAL).await;
            for (thread, asked) in threads.iter().zip(asked) {
                if let Some(id) = thread.blocking_reader(&asked) {
                    self.give_up(thread, id);
                }
            }
        }
    }

    fn busy_threads(&self) -> Vec<Arc<SharedThread>> {
        lock(&self.0.state).threads.iter().filter_map(Weak::upgrade).collect()
    }

    /// Takes `thread` out of the pool, because the reader with number `blocking` blocks it. Displaces the others.
    fn give_up(&self, thread: &Arc<SharedThread>, blocking: u64) {
        lock(&self.0.state).threads.retain(|known| known.as_ptr() != Arc::as_ptr(thread));
        let readers = std::mem::take(&mut *lock(&thread.readers));
        let readers: Vec<_> = readers.iter().filter_map(Weak::upgrade).collect();
        warn!(
            cameras = readers.len(),
            "a driver blocks a thread that several cameras share; the server opens the other cameras on another thread"
        );
        for reader in readers {
            if reader.id == blocking {
                reader.has_blocked.store(true, Ordering::Relaxed);
            } else {
                reader.displaced.cancel();
            }
        }
    }
}

impl PoolState {
    /// Starts a thread, or returns the one with the fewest readers if there is no room for another.
    fn thread(&mut self) -> io::Result<Arc<SharedThread>> {
        self.threads.retain(|thread| thread.strong_count() > 0);
        let threads = self.threads.iter().filter_map(Weak::upgrade);
        let idlest = threads.min_by_key(|thread| thread.reader_count());
        if let Some(idlest) = idlest.as_ref().filter(|_| self.threads.len() >= max_threads()) {
            return Ok(Arc::clone(idlest));
        }
        match SharedThread::start() {
            Ok(thread) => {
                let thread = Arc::new(thread);
                self.threads.push(Arc::downgrade(&thread));
                Ok(thread)
            }
            Err(error) => idlest.ok_or(error),
        }
    }
}

/// What the watchdog knew of a thread when it asked for a sign of life.
struct Asked {
    /// Has ended once the thread has given the sign.
    sign: JoinHandle<()>,
    turns: u64,
}

impl SharedThread {
    fn start() -> io::Result<Self> {
        let runtime =
            Builder::new_current_thread().enable_all().max_blocking_threads(MAX_LOOKUP_THREADS).build()?;
        let (handle, stop) = (runtime.handle().clone(), CancellationToken::new());
        let stopped = stop.clone();
        thread::Builder::new()
            .name("cameras".to_owned())
            .spawn(move || runtime.block_on(stopped.cancelled()))?;
        Ok(Self {
            runtime: handle,
            running: Arc::default(),
            readers: Mutex::default(),
            _end: stop.drop_guard(),
        })
    }

    /// Returns the number of readers that have a place on the thread.
    fn reader_count(&self) -> usize {
        let mut readers = lock(&self.readers);
        readers.retain(|reader| reader.strong_count() > 0);
        readers.len()
    }

    fn ask_for_sign(&self) -> Asked {
        Asked { sign: self.runtime.spawn(async {}), turns: self.running.turns.load(Ordering::Relaxed) }
    }

    /// Returns the number of the reader that has had the thread without a pause since it was `asked`, if there is one.
    fn blocking_reader(&self, asked: &Asked) -> Option<u64> {
        // A whole program that was suspended has given no sign either, but it blocks nobody.
        if asked.sign.is_finished() || self.running.turns.load(Ordering::Relaxed) != asked.turns {
            return None;
        }
        Some(self.running.id.load(Ordering::Relaxed)).filter(|id| *id != NOBODY)
    }
}

/// Which reader a thread runs.
#[derive(Debug, Default)]
struct Running {
    /// The number of the reader that runs now.
    id: AtomicU64,
    /// The number of turns that readers have had.
    turns: AtomicU64,
}

impl Running {
    fn begin(&self, id: u64) {
        self.turns.fetch_add(1, Ordering::Relaxed);
        self.id.store(id, Ordering::Relaxed);
    }

    fn end(&self) {
        self.id.store(NOBODY, Ordering::Relaxed);
    }
}

/// Returns the maximum number of shared threads on this machine.
fn max_threads() -> usize {
    thread::available_parallelism().map_or(1, NonZeroUsize::get).min(MAX_THREADS)
}
