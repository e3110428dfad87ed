//! Wakes a channel's subscribers in groups. The publisher wakes the first group itself; a thread of the channel wakes
//! the others. So publishing costs the same for a thousand subscribers as for a few hundred.
//!
//! This module only wakes subscribers. A woken subscriber reads the channel's frames itself.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;

use tokio::sync::watch;

use crate::channel::lock;

/// The maximum number of subscribers that are woken together as a group. Waking a full group takes a few tens of
/// microseconds. Only channels with more than one group start a thread.
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
        if self.first.receiver_count() < GROUP_SIZE {
            return self.first.subscribe();
        }
        let mut state = lock(&self.overflow.state);
        if let Some(group) = state.groups.iter().find(|group| group.receiver_count() < GROUP_SIZE) {
            return group.subscribe();
        }
        let (group, receiver) = watch::channel(());
        state.groups.push(Arc::new(group));
        if !state.has_thread {
            let overflow = Arc::clone(&self.overflow);
            let started = thread::Builder::new().name("notifier".to_owned()).spawn(move || overflow.run());
            state.has_thread = started.is_ok();
        }
        receiver
    }

    /// Wakes all receivers. The first group is woken before this function returns, the other groups soon after.
    pub(crate) fn notify(&self) {
        self.first.send_replace(());
        let mut state = lock(&self.overflow.state);
        if state.groups.is_empty() {
            return;
        }
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
            state = self.due.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.is_due = false;
        // `listen` adds receivers under this lock, so an empty group stays empty.
        while state.groups.last().is_some_and(|group| group.receiver_count() == 0) {
            state.groups.pop();
        }
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
    use std::sync::atomic::{AtomicUsize, Ordering};

    use framecast_testkit::{frame, number_of, soon, until};
    use tokio::task::JoinSet;

    use super::*;
    use crate::{Channel, Delivery};

    /// Subscribes and reads until frame number `last`; counts each update on the way in `seen`.
    fn watch_until(viewers: &mut JoinSet<()>, channel: &Channel, last: u64, seen: &Arc<AtomicUsize>) {
        let mut subscriber = channel.subscribe(Delivery::Latest);
        let seen = Arc::clone(seen);
        viewers.spawn(async move {
            while let Some(update) = subscriber.next_update().await {
                seen.fetch_add(1, Ordering::Relaxed);
                if number_of(&update.frame.data) == Some(last) {
                    return;
                }
            }
        });
    }

    async fn join_all(viewers: &mut JoinSet<()>) {
        while let Some(viewer) = soon("a viewer sees the last frame", viewers.join_next()).await {
            viewer.unwrap();
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn ten_thousand_subscribers_who_wait_see_every_frame_that_they_are_given_time_for() {
        let (channel, seen) = (Channel::new(), Arc::default());
        let mut viewers = JoinSet::new();
        for _ in 0..10_000 {
            watch_until(&mut viewers, &channel, 10, &seen);
        }
        for number in 1..=10 {
            channel.publish(frame(number));
            until("all have seen it", || seen.load(Ordering::Relaxed) == 10_000 * number as usize).await;
        }
        join_all(&mut viewers).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn ten_thousand_subscribers_see_the_last_of_many_frames() {
        let (channel, seen) = (Channel::new(), Arc::default());
        let mut viewers = JoinSet::new();
        for _ in 0..10_000 {
            watch_until(&mut viewers, &channel, 1000, &seen);
        }
        (1..=1000).for_each(|number| channel.publish(frame(number)));
        join_all(&mut viewers).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn subscribers_who_come_and_go_while_frames_come_keep_nobody_from_the_last() {
        let (channel, seen) = (Channel::new(), Arc::default());
        let (mut viewers, mut passers_by) = (JoinSet::new(), JoinSet::new());
        for number in 1..=200 {
            for _ in 0..5 {
                watch_until(&mut viewers, &channel, 200, &seen);
            }
            for _ in 0..20 {
                watch_until(&mut passers_by, &channel, u64::MAX, &seen);
            }
            channel.publish(frame(number));
            if number % 20 == 0 {
                passers_by.shutdown().await;
            }
        }
        join_all(&mut viewers).await;
        assert_eq!(channel.subscriber_count(), 0);
    }

    #[tokio::test]
    async fn the_thread_is_there_only_while_more_than_one_group_listens() {
        let notifier = Notifier::default();
        let has_thread = || lock(&notifier.overflow.state).has_thread;
        for _ in 0..3 {
            let receivers: Vec<_> = (0..GROUP_SIZE).map(|_| notifier.listen()).collect();
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
        let receivers: Vec<_> = (0..4 * GROUP_SIZE).map(|_| notifier.listen()).collect();
        drop(receivers);
        let _receivers: Vec<_> = (0..4 * GROUP_SIZE).map(|_| notifier.listen()).collect();
        assert_eq!(lock(&notifier.overflow.state).groups.len(), 3);
    }

    #[tokio::test]
    async fn without_a_thread_the_publisher_wakes_all() {
        let notifier = Notifier::default();
        let _receivers: Vec<_> = (0..GROUP_SIZE).map(|_| notifier.listen()).collect();
        lock(&notifier.overflow.state).has_thread = true;
        let mut beyond = notifier.listen();
        lock(&notifier.overflow.state).has_thread = false;
        notifier.notify();
        soon("it is woken", beyond.changed()).await.unwrap();
    }
}
