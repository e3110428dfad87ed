//! A writer: the task that owns the sockets of its viewers and writes to them.

use std::future::{Future as _, poll_fn};
use std::io;
use std::os::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::{Context, Poll};
use std::time::Duration;

use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::connection::{Progress, ViewerConnection};
use super::deadlines::Deadlines;
use super::group::Groups;
use super::{Join, WriterConfig};
use crate::EndReason;

/// The time limit for viewers to receive the end of their streams when the server shuts down. It is shorter than the
/// time that the server then gives all connections to end.
const ENDING_TIMEOUT: Duration = Duration::from_millis(1700);

/// The maximum number of events taken from the kernel at once.
const MAX_EVENTS: usize = 256;

/// How far ahead the timer is set when there is no deadline.
const IDLE_TIMEOUT: Duration = Duration::from_secs(3600);

pub(super) struct Writer {
    config: WriterConfig,
    /// The epoll instance that watches the viewers' sockets, edge-triggered. The kernel reports a socket when data
    /// arrives, or when a full socket has room again. So sending a frame needs no change of the registration.
    epoll: AsyncFd<OwnedFd>,
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

/// The work that is ready when a writer wakes up: at most one item of each kind.
struct ReadyWork {
    is_ending: bool,
    /// The number of a group (viewers of the same channel) in whose channel a frame was published.
    group: Option<usize>,
    has_events: bool,
    is_time: bool,
    /// A new viewer; the outer `None` means that none has come since the last time, the inner `None` that none will
    /// come any more.
    join: Option<Option<Join>>,
}

impl ReadyWork {
    fn is_any(&self) -> bool {
        self.is_ending || self.group.is_some() || self.has_events || self.is_time || self.join.is_some()
    }
}

impl Writer {
    /// Creates a writer without viewers. Must be called within the writer's runtime.
    pub(super) fn new(config: WriterConfig) -> io::Result<Self> {
        let epoll = async_epoll(epoll::create(CreateFlags::CLOEXEC)?)?;
        Ok(Self {
            config,
            epoll,
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
    pub(super) async fn run(mut self, mut joins: mpsc::UnboundedReceiver<Join>) {
        let shutdown = self.config.shutdown.clone();
        let mut ending = pin!(shutdown.cancelled());
        let mut sleep = pin!(sleep_until(Instant::now() + IDLE_TIMEOUT));
        let mut is_open = true;
        let mut events = Vec::with_capacity(MAX_EVENTS);
        while is_open || self.count > 0 {
            let wake_at = self.end_deadline.into_iter().chain(self.deadlines.next()).min();
            // The time rarely changes: resetting the timer for each frame would be a wasted step.
            if let Some(wake_at) = wake_at.filter(|wake_at| *wake_at != sleep.deadline()) {
                sleep.as_mut().reset(wake_at);
            }
            let due = poll_fn(|cx| {
                let due = ReadyWork {
                    is_ending: self.end_deadline.is_none() && ending.as_mut().poll(cx).is_ready(),
                    group: ready(self.groups.poll_changed(cx)),
                    has_events: self.poll_events(cx, &mut events).is_ready(),
                    is_time: wake_at.is_some() && sleep.as_mut().poll(cx).is_ready(),
                    join: if is_open { ready(joins.poll_recv(cx)) } else { None },
                };
                if due.is_any() { Poll::Ready(due) } else { Poll::Pending }
            });
            // Everything that is due gets its turn before anything gets a second one.
            let due = due.await;
            if let Some(number) = due.group {
                self.serve_group(number);
            }
            if due.has_events {
                self.handle_events(&mut events);
            }
            if due.is_time {
                self.run_deadlines();
            }
            match due.join {
                Some(Some(join)) => self.add_viewer(join),
                Some(None) => is_open = false,
                None => {}
            }
            if due.is_ending {
                is_open = false;
                joins.close();
                self.end();
            }
            if self.end_deadline.is_some_and(|end_deadline| end_deadline <= Instant::now()) {
                return;
            }
        }
    }

    /// Polls the kernel's events for the viewers' sockets and puts them into `events`.
    fn poll_events(&self, cx: &mut Context<'_>, events: &mut Vec<Event>) -> Poll<()> {
        while let Poll::Ready(Ok(mut ready)) = self.epoll.poll_read_ready(cx) {
            if take_events(&self.epoll, events) < events.capacity() {
                ready.clear_ready();
            }
            if !events.is_empty() {
                return Poll::Ready(());
            }
        }
        Poll::Pending
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
        if epoll::add(self.epoll.get_ref(), &connection, EventData::new_u64(slot as u64), flags).is_err() {
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

/// Wraps the file descriptor of `epoll` so that a task can await it.
#[allow(
    deprecated,
    reason = "what is asked of the caller now holds: it owns its file, and never another one"
)]
fn async_epoll(epoll: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::with_interest(epoll, Interest::READABLE)
}

/// Takes the pending events from the kernel without waiting, and returns their number.
fn take_events(epoll: &AsyncFd<OwnedFd>, events: &mut Vec<Event>) -> usize {
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    // On failure there are no events; the kernel reports them again.
    epoll::wait(epoll.get_ref(), spare_capacity(events), Some(&at_once)).unwrap_or(0)
}
