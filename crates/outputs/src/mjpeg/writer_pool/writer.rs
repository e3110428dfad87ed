//! A writer: the thread that owns the sockets of its viewers and writes to them.
//!
//! The thread waits in one system call for its sockets and for its [`WakeFd`]. It needs no async runtime, which would
//! wait for the same with a second epoll instance and timers of its own.

use std::future::Future;
use std::io;
use std::os::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::connection::{Progress, ViewerConnection};
use super::deadlines::Deadlines;
use super::group::Groups;
use super::wake_fd::WakeFd;
use super::{Join, WriterConfig};
use crate::EndReason;

/// The time limit for viewers to receive the end of their streams when the server shuts down. It is shorter than the
/// time that the server then gives all connections to end.
const ENDING_TIMEOUT: Duration = Duration::from_millis(1100);

/// The maximum number of events taken from the kernel at once.
const MAX_EVENTS: usize = 256;

/// The number of the [`WakeFd`] in the kernel's events, which otherwise have the numbers of viewers.
const WAKE: u64 = u64::MAX;

pub(super) struct Writer {
    config: WriterConfig,
    /// The epoll instance that watches the viewers' sockets, edge-triggered. The kernel reports a socket when data
    /// arrives, or when a full socket has room again. So sending a frame needs no change of the registration.
    epoll: OwnedFd,
    /// Wakes the writer for all work that no socket reports.
    wake_fd: Arc<WakeFd>,
    connections: Vec<Option<ViewerConnection>>,
    free: Vec<usize>,
    count: usize,
    groups: Groups,
    deadlines: Deadlines,
    /// When the writer drops the viewers that have not received the end of their streams; `None` until the server shuts
    /// down.
    end_deadline: Option<Instant>,
    /// A buffer for the order in which the viewers of a group are served, kept to reuse its memory.
    order: Vec<usize>,
}

/// The work besides the sockets that is ready when a writer wakes up: at most one item of each kind.
struct ReadyWork {
    is_ending: bool,
    /// The number of a group (viewers of the same channel) in whose channel a frame was published.
    group: Option<usize>,
    /// A new viewer; the outer `None` means that none has come since the last time, the inner `None` that none will
    /// come any more.
    join: Option<Option<Join>>,
}

impl ReadyWork {
    fn is_any(&self) -> bool {
        self.is_ending || self.group.is_some() || self.join.is_some()
    }
}

impl Writer {
    /// Creates a writer without viewers.
    pub(super) fn new(config: WriterConfig) -> io::Result<Self> {
        let (epoll, wake_fd) = (epoll::create(CreateFlags::CLOEXEC)?, Arc::new(WakeFd::new()?));
        epoll::add(&epoll, &*wake_fd, EventData::new_u64(WAKE), EventFlags::IN | EventFlags::ET)?;
        Ok(Self {
            config,
            epoll,
            wake_fd,
            connections: Vec::new(),
            free: Vec::new(),
            count: 0,
            groups: Groups::default(),
            deadlines: Deadlines::default(),
            end_deadline: None,
            order: Vec::new(),
        })
    }

    /// Runs the writer until the server shuts down, or until no viewers are left and no more can come.
    pub(super) fn run(mut self, mut joins: mpsc::UnboundedReceiver<Join>) {
        let waker = Waker::from(Arc::clone(&self.wake_fd));
        let mut cx = Context::from_waker(&waker);
        let shutdown = self.config.shutdown.clone();
        let mut ending = pin!(shutdown.cancelled());
        let mut joining = Some(&mut joins);
        let mut events = Vec::with_capacity(MAX_EVENTS);
        let mut has_waited = false;
        while joining.is_some() || self.count > 0 {
            let due = self.poll_work(&mut cx, ending.as_mut(), joining.as_deref_mut());
            // Everything that is due gets its turn before anything gets a second one. So the sockets get theirs at
            // least every second time, even if there is always other work.
            has_waited = !(due.is_any() && has_waited);
            if has_waited {
                self.wait(&mut events, due.is_any());
                self.handle_events(&mut events);
                self.run_deadlines();
            }
            if let Some(number) = due.group {
                self.serve_group(number);
            }
            match due.join {
                Some(Some(join)) => self.add_viewer(join),
                Some(None) => joining = None,
                None => {}
            }
            if due.is_ending {
                if let Some(joins) = joining.take() {
                    joins.close();
                }
                self.end();
            }
            if self.end_deadline.is_some_and(|end_deadline| end_deadline <= Instant::now()) {
                return;
            }
        }
    }

    /// Returns the work besides the sockets that is ready now. Work of each kind that comes later wakes the
    /// thread through `cx`.
    fn poll_work(
        &self,
        cx: &mut Context<'_>,
        ending: Pin<&mut impl Future<Output = ()>>,
        joining: Option<&mut mpsc::UnboundedReceiver<Join>>,
    ) -> ReadyWork {
        ReadyWork {
            is_ending: self.end_deadline.is_none() && ending.poll(cx).is_ready(),
            group: ready(self.groups.poll_changed(cx)),
            join: joining.and_then(|joins| ready(joins.poll_recv(cx))),
        }
    }

    /// Waits until the kernel has something to report, or a deadline has come, and puts the kernel's events into
    /// `events`. Does not wait if there `is_other_work`.
    fn wait(&self, events: &mut Vec<Event>, is_other_work: bool) {
        let wake_at = self.end_deadline.into_iter().chain(self.deadlines.next()).min();
        let timeout = if is_other_work {
            Some(Duration::ZERO)
        } else {
            wake_at.map(|wake_at| wake_at.saturating_duration_since(Instant::now()))
        };
        let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
        // On failure, for instance by a signal, there are no events; the kernel reports them again.
        epoll::wait(&self.epoll, spare_capacity(events), timeout.as_ref()).ok();
    }

    /// Adds a viewer and sends it the newest picture at once.
    fn add_viewer(&mut self, join: Join) {
        let now = Instant::now();
        let Ok(mut connection) = ViewerConnection::new(join, now) else { return };
        let slot = self.free.pop().unwrap_or_else(|| {
            self.connections.push(None);
            self.connections.len() - 1
        });
        let flags = EventFlags::IN | EventFlags::RDHUP | EventFlags::OUT | EventFlags::ET;
        if epoll::add(&self.epoll, &connection, EventData::new_u64(slot as u64), flags).is_err() {
            // Without epoll events the writer could neither serve the client nor notice that it left.
            self.free.push(slot);
            return;
        }
        connection.stream.set_end_reason(EndReason::Left);
        connection.group = self.groups.join(&connection.stream, slot);
        self.connections[slot] = Some(connection);
        self.count += 1;
        self.advance(slot, now);
    }

    /// Serves each viewer of group `number`, after a frame was published in the channel that the group watches.
    fn serve_group(&mut self, number: usize) {
        let now = Instant::now();
        let mut order = std::mem::take(&mut self.order);
        self.groups.rotate(number, &mut order);
        for (n, slot) in order.iter().enumerate() {
            self.prefetch(order.get(n + 2), order.get(n + 1));
            self.advance(*slot, now);
        }
        self.order = order;
    }

    /// Makes the CPU prefetch the data of the next two viewers. Each picture passes through the cache on its way to the
    /// kernel and evicts that data. Without the prefetch, waiting for the data would cost as much as all other work of
    /// the writer.
    fn prefetch(&self, after_next: Option<&usize>, next: Option<&usize>) {
        let connection = |slot: Option<&usize>| slot.and_then(|slot| self.connections.get(*slot));
        if let Some(connection) = connection(after_next) {
            framecast_sys::prefetch(connection);
        }
        if let Some(Some(connection)) = connection(next) {
            framecast_sys::prefetch(connection.stream.stats());
        }
    }

    /// Handles the events of sockets that have data, have room, or were closed.
    fn handle_events(&mut self, events: &mut Vec<Event>) {
        let now = Instant::now();
        for event in events.drain(..) {
            let (slot, flags) = (event.data.u64() as usize, event.flags);
            let Some(connection) = self.connections.get(slot).and_then(Option::as_ref) else { continue };
            let has_gone = flags.intersects(EventFlags::ERR | EventFlags::HUP | EventFlags::RDHUP)
                || flags.contains(EventFlags::IN) && !connection.read();
            if has_gone {
                self.drop_connection(slot);
            } else if flags.contains(EventFlags::OUT) {
                self.advance(slot, now);
            }
        }
    }

    fn run_deadlines(&mut self) {
        let now = Instant::now();
        while let Some((at, slot)) = self.deadlines.pop(now) {
            let Some(connection) = self.connections.get_mut(slot).and_then(Option::as_mut) else { continue };
            if self.deadlines.is_due(slot, &mut connection.deadline, at, now) {
                self.advance(slot, now);
            }
        }
    }

    /// Serves viewer number `slot`. A panic ends only that viewer's connection.
    fn advance(&mut self, slot: usize, now: Instant) {
        let write_timeout = self.config.write_timeout;
        while let Some(connection) = self.connections.get_mut(slot).and_then(Option::as_mut) {
            match catch_unwind(AssertUnwindSafe(|| connection.advance(now, write_timeout))) {
                Ok(Progress::Until(at)) => self.deadlines.set(slot, &mut connection.deadline, at),
                Ok(Progress::Gone) => return self.drop_connection(slot),
                Err(_) => {
                    connection.stream.set_end_reason(EndReason::Failed);
                    return self.drop_connection(slot);
                }
            }
            if !std::mem::take(&mut connection.has_changed_channel) {
                return;
            }
            // Give the viewer another turn: its new group does not report what was published before the viewer joined.
            self.groups.leave(connection.group, slot);
            connection.group = self.groups.join(&connection.stream, slot);
        }
    }

    fn drop_connection(&mut self, slot: usize) {
        if let Some(mut connection) = self.connections[slot].take() {
            if self.config.shutdown.is_cancelled() {
                // This replaces any other reason: the camera might have ended first, or the client left at once.
                connection.stream.set_end_reason(EndReason::Shutdown);
            }
            self.groups.leave(connection.group, slot);
            self.free.push(slot);
            self.count -= 1;
        }
    }

    /// Begins to end all streams, because the server shuts down.
    fn end(&mut self) {
        let now = Instant::now();
        self.end_deadline = Some(now + ENDING_TIMEOUT);
        for slot in 0..self.connections.len() {
            if let Some(connection) = &mut self.connections[slot] {
                connection.close(EndReason::Shutdown);
                self.advance(slot, now);
            }
        }
    }
}

fn ready<T>(poll: Poll<T>) -> Option<T> {
    match poll {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}
