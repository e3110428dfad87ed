//! Wakes a channel's subscribers, and the tasks that registered with the channel. The publisher wakes the first of them
//! itself; a thread of the channel wakes the others. So publishing costs the same for a thousand as for a few dozen.
//!
//! This module only wakes. A woken subscriber reads the channel's frames itself.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, Weak};
use std::thread;

use framecast_media::{lock, unpoisoned};
use tokio::sync::watch;

use crate::ready_set::WakeHandle;

/// The maximum number of subscribers, and that of registered tasks, that the publisher wakes itself. Waking one takes a
/// few tenths of a microsecond, and more once subscribers run that were woken. So waking this many costs about as much
/// as waking the thread that wakes all others. Channels without others have no such thread.
const FIRST_GROUP_SIZE: usize = 32;

/// The maximum number of subscribers that the thread wakes together as a group.
const GROUP_SIZE: usize = 256;

/// Whom to wake when one channel publishes a frame or slate, or ends.
#[derive(Debug, Default)]
pub(crate) struct Notifier {
    first: watch::Sender<()>,
    first_handles: Mutex<Vec<Weak<WakeHandle>>>,
    overflow: Arc<Overflow>,
}

/// The subscribers beyond the first group, and the registered tasks beyond the first ones. A thread of the channel
/// wakes them.
#[derive(Debug, Default)]
struct Overflow {
    state: Mutex<OverflowState>,
    /// Whether there are any; written under the lock of `state`. So a channel without them, which most channels are,
    /// costs its publisher no lock.
    is_used: AtomicBool,
    due: Condvar,
}

/// The subscribers and registered tasks that the thread wakes.
#[derive(Debug, Default, Clone)]
struct Listeners {
    groups: Vec<Arc<watch::Sender<()>>>,
    handles: Vec<Weak<WakeHandle>>,
}

#[derive(Debug, Default)]
struct OverflowState {
    listeners: Listeners,
    /// Whether the channel was updated, and the thread has not yet begun to wake the listeners for this update.
    is_due: bool,
    has_thread: bool,
    has_ended: bool,
}

impl Notifier {
    /// Returns a receiver that every later call of [`notify`](Self::notify) wakes. The receiver joins the first group
    /// that is not full.
    pub(crate) fn listen(&self) -> watch::Receiver<()> {
        // Two concurrent calls can both take the last place of a group: the bound is not a hard one.
        if self.first.receiver_count() < FIRST_GROUP_SIZE {
            return self.first.subscribe();
        }
        let mut state = lock(&self.overflow.state);
        let groups = &mut state.listeners.groups;
        if let Some(group) = groups.iter().find(|group| group.receiver_count() < GROUP_SIZE) {
            return group.subscribe();
        }
        let (group, receiver) = watch::channel(());
        groups.push(Arc::new(group));
        self.use_overflow(&mut state);
        receiver
    }

    /// Makes every later call of [`notify`](Self::notify) wake the task behind `handle`, until `handle` is dropped.
    pub(crate) fn add(&self, handle: &Arc<WakeHandle>) {
        // Dropped handles are removed here, because adding is rare and waking is not.
        let add_to = |handles: &mut Vec<Weak<WakeHandle>>, max_len| {
            handles.retain(|known| known.strong_count() > 0);
            let has_room = handles.len() < max_len;
            if has_room {
                handles.push(Arc::downgrade(handle));
            }
            has_room
        };
        if !add_to(&mut lock(&self.first_handles), FIRST_GROUP_SIZE) {
            let mut state = lock(&self.overflow.state);
            add_to(&mut state.listeners.handles, usize::MAX);
            self.use_overflow(&mut state);
        }
    }

    /// Starts the thread, unless it runs.
    fn use_overflow(&self, state: &mut MutexGuard<'_, OverflowState>) {
        self.overflow.is_used.store(true, Ordering::SeqCst);
        if !state.has_thread {
            let overflow = Arc::clone(&self.overflow);
            let started = thread::Builder::new().name("notifier".to_owned()).spawn(move || overflow.run());
            state.has_thread = started.is_ok();
        }
    }

    /// Wakes all. The first ones are woken before this function returns, the others soon after.
    pub(crate) fn notify(&self) {
        lock(&self.first_handles).iter().filter_map(Weak::upgrade).for_each(|handle| handle.wake());
        // A subscriber listens before it reads the ring. So a subscriber that is not counted here yet reads the update.
        if self.first.receiver_count() > 0 {
            self.first.send_replace(());
        }
        if !self.overflow.is_used.load(Ordering::SeqCst) {
            return;
        }
        let mut state = lock(&self.overflow.state);
        if state.has_thread {
            state.is_due = true;
            drop(state);
            self.overflow.due.notify_one();
        } else {
            // The thread could not be started: wake all from here, which is slow but misses nobody.
            let listeners = state.listeners.clone();
            drop(state);
            listeners.wake_all();
        }
    }
}

impl Drop for Notifier {
    fn drop(&mut self) {
        lock(&self.overflow.state).has_ended = true;
        self.overflow.due.notify_one();
    }
}

impl Overflow {
    /// Runs in the thread that wakes these listeners: wakes them after each update of the channel, until no listener is
    /// left or the channel is dropped.
    fn run(&self) {
        let mut listeners = Listeners::default();
        while self.next_round(&mut listeners) {
            listeners.wake_all();
        }
    }

    /// Waits for an update of the channel, then fills `listeners` with those to wake. Returns false when the thread
    /// must end.
    ///
    /// Clears `is_due` before it copies the listeners. So an update that happens while they are woken causes another
    /// round, which also wakes listeners that were added meanwhile.
    fn next_round(&self, listeners: &mut Listeners) -> bool {
        let mut state = lock(&self.state);
        while !state.is_due && !state.has_ended {
            state = unpoisoned(self.due.wait(state));
        }
        state.is_due = false;
        let is_used = state.listeners.retain_used();
        self.is_used.store(is_used, Ordering::SeqCst);
        if !is_used || state.has_ended {
            state.has_thread = false;
            return false;
        }
        listeners.clone_from(&state.listeners);
        true
    }
}

impl Listeners {
    /// Removes dropped handles, and groups without a receiver at the end. Returns whether anything is left. Must be
    /// called with the lock under which listeners are added, so that an empty group stays empty.
    fn retain_used(&mut self) -> bool {
        while self.groups.last().is_some_and(|group| group.receiver_count() == 0) {
            self.groups.pop();
        }
        self.handles.retain(|handle| handle.strong_count() > 0);
        !self.groups.is_empty() || !self.handles.is_empty()
    }

    fn wake_all(&self) {
        self.handles.iter().filter_map(Weak::upgrade).for_each(|handle| handle.wake());
        for group in &self.groups {
            group.send_replace(());
        }
    }
}

#[cfg(test)]
mod tests {
    #![warn(clippy::disallowed_methods)]

    use std::future::poll_fn;

    use framecast_testkit::{soon, until};

    use super::*;
    use crate::ready_set::ReadySet;

    #[tokio::test]
    async fn the_thread_is_there_only_while_more_than_one_group_listens() {
        let notifier = Notifier::default();
        let has_thread = || lock(&notifier.overflow.state).has_thread;
        for _ in 0..3 {
            let receivers: Vec<_> = (0..FIRST_GROUP_SIZE).map(|_| notifier.listen()).collect();
            assert!(!has_thread());
            let mut beyond = notifier.listen();
            assert!(has_thread());
            notifier.notify();
            soon("it is woken", beyond.changed()).await.unwrap();
            drop((receivers, beyond));
            notifier.notify();
            until("the thread ends", || Arc::strong_count(&notifier.overflow) == 1).await;
            assert!(!has_thread());
        }
    }

    #[tokio::test]
    async fn a_place_that_is_free_again_is_given_again() {
        let notifier = Notifier::default();
        let count = FIRST_GROUP_SIZE + 3 * GROUP_SIZE;
        let receivers: Vec<_> = (0..count).map(|_| notifier.listen()).collect();
        drop(receivers);
        let _receivers: Vec<_> = (0..count).map(|_| notifier.listen()).collect();
        assert_eq!(lock(&notifier.overflow.state).listeners.groups.len(), 3);
    }

    #[tokio::test]
    async fn without_a_thread_the_publisher_wakes_all() {
        let notifier = Notifier::default();
        let _receivers: Vec<_> = (0..FIRST_GROUP_SIZE).map(|_| notifier.listen()).collect();
        lock(&notifier.overflow.state).has_thread = true;
        let mut beyond = notifier.listen();
        lock(&notifier.overflow.state).has_thread = false;
        notifier.notify();
        soon("it is woken", beyond.changed()).await.unwrap();
    }

    #[tokio::test]
    async fn tasks_beyond_the_first_ones_are_woken_by_the_thread_while_they_are_registered() {
        let (notifier, ready_set) = (Notifier::default(), ReadySet::default());
        let handles: Vec<_> = (0..=FIRST_GROUP_SIZE).map(|token| ready_set.handle(token)).collect();
        handles.iter().for_each(|handle| notifier.add(handle));
        assert!(lock(&notifier.overflow.state).has_thread);
        notifier.notify();
        for expected in 0..=FIRST_GROUP_SIZE {
            assert_eq!(soon("the token", poll_fn(|cx| ready_set.poll_ready(cx))).await, expected);
        }
        drop(handles);
        notifier.notify();
        until("the thread ends", || Arc::strong_count(&notifier.overflow) == 1).await;
        assert!(!lock(&notifier.overflow.state).has_thread);
    }
}
