//! A writer: the task that owns its viewers.

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

use super::client::{Client, Turn};
use super::deadlines::Deadlines;
use super::group::Groups;
use super::{Join, Rules};
use crate::Ending;

/// How long viewers may take to receive the end of their streams. Less than the server allows all connections at its
/// end.
const ENDING_TIMEOUT: Duration = Duration::from_millis(1700);

/// The most events to take from the kernel at once.
const EVENTS: usize = 256;

/// How far ahead the timer is set when there is no deadline.
const FAR: Duration = Duration::from_secs(3600);

pub(super) struct Writer {
    rules: Rules,
    /// Watches the viewers' sockets, edge-triggered. The kernel reports a socket when data arrives, or when a full
    /// socket has room again. So a frame needs no change of the registration.
    epoll: AsyncFd<OwnedFd>,
    clients: Vec<Option<Client>>,
    free: Vec<usize>,
    count: usize,
    groups: Groups,
    deadlines: Deadlines,
    /// When the writer drops the viewers that have not received their end.
    ends_at: Option<Instant>,
    /// Kept between turns for its allocation.
    order: Vec<usize>,
}

/// What a writer has to do next: one thing of each kind.
struct Due {
    is_ending: bool,
    /// The group whose channel has published something.
    group: Option<usize>,
    has_events: bool,
    is_time: bool,
    /// A new viewer; the inner `None` means that no more will come.
    join: Option<Option<Join>>,
}

impl Due {
    fn is_any(&self) -> bool {
        self.is_ending || self.group.is_some() || self.has_events || self.is_time || self.join.is_some()
    }
}

impl Writer {
    /// A writer without viewers. Must be made within its runtime.
    pub(super) fn new(rules: Rules) -> io::Result<Self> {
        let epoll = watched(epoll::create(CreateFlags::CLOEXEC)?)?;
        Ok(Self {
            rules,
            epoll,
            clients: Vec::new(),
            free: Vec::new(),
            count: 0,
            groups: Groups::default(),
            deadlines: Deadlines::default(),
            ends_at: None,
            order: Vec::new(),
        })
    }

    /// Writes until the server ends, or until no viewers are left and no more can come.
    pub(super) async fn run(mut self, mut joins: mpsc::UnboundedReceiver<Join>) {
        let shutdown = self.rules.shutdown.clone();
        let mut ending = pin!(shutdown.cancelled());
        let mut sleep = pin!(sleep_until(Instant::now() + FAR));
        let mut is_open = true;
        let mut events = Vec::with_capacity(EVENTS);
        while is_open || self.count > 0 {
            let wake_at = self.ends_at.into_iter().chain(self.deadlines.next()).min();
            // The time rarely changes: resetting the timer for each frame would be a wasted step.
            if let Some(wake_at) = wake_at.filter(|wake_at| *wake_at != sleep.deadline()) {
                sleep.as_mut().reset(wake_at);
            }
            let due = poll_fn(|cx| {
                let due = Due {
                    is_ending: self.ends_at.is_none() && ending.as_mut().poll(cx).is_ready(),
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
                self.group(number);
            }
            if due.has_events {
                self.serve(&mut events);
            }
            if due.is_time {
                self.meet_deadlines();
            }
            match due.join {
                Some(Some(join)) => self.join(join),
                Some(None) => is_open = false,
                None => {}
            }
            if due.is_ending {
                is_open = false;
                joins.close();
                self.end();
            }
            if self.ends_at.is_some_and(|ends_at| ends_at <= Instant::now()) {
                return;
            }
        }
    }

    /// Takes the kernel's reports about the sockets.
    fn poll_events(&self, cx: &mut Context<'_>, events: &mut Vec<Event>) -> Poll<()> {
        while let Poll::Ready(Ok(mut ready)) = self.epoll.poll_read_ready(cx) {
            if take(&self.epoll, events) < events.capacity() {
                ready.clear_ready();
            }
            if !events.is_empty() {
                return Poll::Ready(());
            }
        }
        Poll::Pending
    }

    /// Adds a viewer and sends it the newest picture at once.
    fn join(&mut self, join: Join) {
        let now = Instant::now();
        let Ok(mut client) = Client::new(join, now) else { return };
        let slot = self.free.pop().unwrap_or_else(|| {
            self.clients.push(None);
            self.clients.len() - 1
        });
        let flags = EventFlags::IN | EventFlags::RDHUP | EventFlags::OUT | EventFlags::ET;
        if epoll::add(self.epoll.get_ref(), &client, EventData::new_u64(slot as u64), flags).is_err() {
            // Without epoll events the writer could neither serve the client nor notice that it left.
            self.free.push(slot);
            return;
        }
        client.stream.ends(Ending::Left);
        client.group = self.groups.join(&client.stream, slot);
        self.clients[slot] = Some(client);
        self.count += 1;
        self.advance(slot, now);
    }

    /// Serves a group whose channel has published something.
    fn group(&mut self, number: usize) {
        let now = Instant::now();
        let mut order = std::mem::take(&mut self.order);
        self.groups.turn(number, &mut order);
        for (n, slot) in order.iter().enumerate() {
            self.prepare(order.get(n + 2), order.get(n + 1));
            self.advance(*slot, now);
        }
        self.order = order;
    }

    /// Lets the CPU prefetch the data of the next two viewers. Each picture passes through the cache on its way to the
    /// kernel and evicts that data; waiting for it costs as much as everything else here.
    fn prepare(&self, after_next: Option<&usize>, next: Option<&usize>) {
        let client = |slot: Option<&usize>| slot.and_then(|slot| self.clients.get(*slot));
        if let Some(client) = client(after_next) {
            framecast_sys::prefetch(client);
        }
        if let Some(Some(client)) = client(next) {
            framecast_sys::prefetch(client.stream.record());
        }
    }

    /// Serves the sockets that have data, have room, or have closed.
    fn serve(&mut self, events: &mut Vec<Event>) {
        let now = Instant::now();
        for event in events.drain(..) {
            let (slot, flags) = (event.data.u64() as usize, event.flags);
            let Some(client) = self.clients.get(slot).and_then(Option::as_ref) else { continue };
            let has_gone = flags.intersects(EventFlags::ERR | EventFlags::HUP | EventFlags::RDHUP)
                || flags.contains(EventFlags::IN) && !client.read();
            if has_gone {
                self.drop_client(slot);
            } else if flags.contains(EventFlags::OUT) {
                self.advance(slot, now);
            }
        }
    }

    fn meet_deadlines(&mut self) {
        let now = Instant::now();
        while let Some((at, slot)) = self.deadlines.pop(now) {
            let Some(client) = self.clients.get_mut(slot).and_then(Option::as_mut) else { continue };
            if self.deadlines.has_come(slot, &mut client.deadline, at, now) {
                self.advance(slot, now);
            }
        }
    }

    /// One viewer's turn. A panic ends only that viewer.
    fn advance(&mut self, slot: usize, now: Instant) {
        let write_timeout = self.rules.write_timeout;
        while let Some(client) = self.clients.get_mut(slot).and_then(Option::as_mut) {
            match catch_unwind(AssertUnwindSafe(|| client.advance(now, write_timeout))) {
                Ok(Turn::Until(at)) => self.deadlines.set(slot, &mut client.deadline, at),
                Ok(Turn::Gone) => return self.drop_client(slot),
                Err(_) => {
                    client.stream.ends(Ending::Failed);
                    return self.drop_client(slot);
                }
            }
            if !std::mem::take(&mut client.has_moved) {
                return;
            }
            // Give the viewer another turn: its new group does not report what was published before the viewer joined.
            self.groups.leave(client.group, slot);
            client.group = self.groups.join(&client.stream, slot);
        }
    }

    fn drop_client(&mut self, slot: usize) {
        if let Some(mut client) = self.clients[slot].take() {
            if self.rules.shutdown.is_cancelled() {
                // Whatever the turn returned: its camera may have ended first, or its client left at once.
                client.stream.ends(Ending::Shutdown);
            }
            self.groups.leave(client.group, slot);
            self.free.push(slot);
            self.count -= 1;
        }
    }

    /// Ends all streams.
    fn end(&mut self) {
        let now = Instant::now();
        self.ends_at = Some(now + ENDING_TIMEOUT);
        for slot in 0..self.clients.len() {
            if let Some(client) = &mut self.clients[slot] {
                client.close(Ending::Shutdown);
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

/// `epoll` in a form that a task can await.
#[allow(
    deprecated,
    reason = "what is asked of the caller now holds: it owns its file, and never another one"
)]
fn watched(epoll: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::with_interest(epoll, Interest::READABLE)
}

/// Takes the pending events from the kernel; returns their number.
fn take(epoll: &AsyncFd<OwnedFd>, events: &mut Vec<Event>) -> usize {
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    // On failure there are no events; the kernel reports them again.
    epoll::wait(epoll.get_ref(), spare_capacity(events), Some(&at_once)).unwrap_or(0)
}
