//! Wakes a channel's subscribers in groups. The publisher wakes the first group itself; a thread of the channel wakes
//! the others. So publishing costs the same for a thousand subscribers as for a few dozen.
//!
//! This module only wakes subscribers. A woken subscriber reads the channel's frames itself.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;

use framecast_media::{lock, unpoisoned};
use tokio::sync::watch;

/// The maximum number of subscribers that the publisher wakes itself. Waking one takes a few tenths of a microsecond,
/// and more once subscribers run that were woken. So waking this many costs about as much as waking the thread that
/// wakes all further subscribers. Channels without further subscribers have no such thread.
const FIRST_GROUP_SIZE: usize = 32;

/// The maximum number of subscribers that the thread wakes together as a group.
const GROUP_SIZE: usize = 256;

/// The subscribers to wake when one channel publishes a frame or slate, or ends.
#[derive(Debug, Default)]
pub(crate) struct Notifier {
    first: watch::Sender<()>,
    overflow: Arc<OverflowGroups>,
}

/// The subscribers beyond the first group, in groups. A thread of the channel wakes them.
#[derive(Debug, Default)]
struct OverflowGroups {
    state: Mutex<OverflowState>,
    /// Whether there are groups; written under the lock of `state`. So a channel without such groups, which most
    /// channels are, costs its publisher no lock.
    has_groups: AtomicBool,
    due: Condvar,
}

#[derive(Debug, Default)]
struct OverflowState {
    groups: Vec<Arc<watch::Sender<()>>>,
    /// Whether the channel was updated, and the thread has not yet begun to wake the groups for this update.
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
        if let Some(group) = state.groups.iter().find(|group| group.receiver_count() < GROUP_SIZE) {
            return group.subscribe();
        }
        let (group, receiver) = watch::channel(());
        state.groups.push(Arc::new(group));
        self.overflow.has_groups.store(true, Ordering::SeqCst);
        if !state.has_thread {
            let overflow = Arc::clone(&self.overflow);
            let started = thread::Builder::new().name("notifier".to_owned()).spawn(move || overflow.run());
            state.has_thread = started.is_ok();
        }
        receiver
    }

    /// Wakes all receivers. The first group is woken before this function returns, the other groups soon after.
    pub(crate) fn notify(&self) {
        // A subscriber listens before it reads the ring. So a subscriber that is not counted here yet reads the update.
        if self.first.receiver_count() > 0 {
            self.first.send_replace(());
        }
        if !self.overflow.has_groups.load(Ordering::SeqCst) {
            return;
        }
        let mut state = lock(&self.overflow.state);
        if state.has_thread {
            state.is_due = true;
            drop(state);
            self.overflow.due.notify_one();
        } else {
            // The thread could not be started: wake all groups from here, which is slow but misses nobody.
            let groups = state.groups.clone();
            drop(state);
            wake_groups(&groups);
        }
    }
}

impl Drop for Notifier {
    fn drop(&mut self) {
        lock(&self.overflow.state).has_ended = true;
        self.overflow.due.notify_one();
    }
}

impl OverflowGroups {
    /// Runs in the thread that wakes these groups: wakes them after each update of the channel, until no group has a
    /// receiver left or the channel is dropped.
    fn run(&self) {
        let mut groups = Vec::new();
        while self.next_round(&mut groups) {
            wake_groups(&groups);
        }
    }

    /// Waits for an update of the channel, then fills `groups` with the groups to wake. Returns false when the thread
    /// that wakes the groups must end.
    ///
    /// Clears `is_due` before it copies the groups. So an update that happens while the groups are woken causes another
    /// round, which also wakes groups that were added meanwhile.
    fn next_round(&self, groups: &mut Vec<Arc<watch::Sender<()>>>) -> bool {
        let mut state = lock(&self.state);
        while !state.is_due && !state.has_ended {
            state = unpoisoned(self.due.wait(state));
        }
        state.is_due = false;
        // `listen` adds receivers under this lock, so an empty group stays empty.
        while state.groups.last().is_some_and(|group| group.receiver_count() == 0) {
            state.groups.pop();
        }
        self.has_groups.store(!state.groups.is_empty(), Ordering::SeqCst);
        if state.groups.is_empty() || state.has_ended {
            state.has_thread = false;
            return false;
        }
        groups.clone_from(&state.groups);
        true
    }
}

fn wake_groups(groups: &[Arc<watch::Sender<()>>]) {
    for group in groups {
        group.send_replace(());
    }
}

#[cfg(test)]
mod tests {
    #![warn(clippy::disallowed_methods)]

    use framecast_testkit::{soon, until};

    use super::*;

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
        assert_eq!(lock(&notifier.overflow.state).groups.len(), 3);
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
}
