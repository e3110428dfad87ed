//! Wake-ups: a frame wakes each subscriber and task that waits for its channel.

#![warn(clippy::disallowed_methods)]
#![expect(clippy::unwrap_used, reason = "tests")]

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::SystemTime;

use framecast_hub::{Channel, Delivery, Epoch, ReadySet};
use framecast_media::{Anchor, Frame};
use framecast_testkit::blocking::joined;
use framecast_testkit::{frame, number_of, soon, until};
use tokio::task::JoinSet;

fn publish(channel: &Channel, frame: Frame) {
    let epoch = Epoch { number: 1, anchor: Anchor::new(SystemTime::UNIX_EPOCH) };
    assert!(channel.publisher().publish(frame, epoch));
}

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
        publish(&channel, frame(number));
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
    (1..=1000).for_each(|number| publish(&channel, frame(number)));
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
        publish(&channel, frame(number));
        if number % 20 == 0 {
            passers_by.shutdown().await;
        }
    }
    join_all(&mut viewers).await;
    assert_eq!(channel.subscriber_count(), 0);
}

async fn next_ready(ready_set: &ReadySet) -> usize {
    soon("a wake-up comes", poll_fn(|cx| ready_set.poll_ready(cx))).await
}

fn none_ready(ready_set: &ReadySet) -> bool {
    ready_set.poll_ready(&mut Context::from_waker(Waker::noop())).is_pending()
}

#[tokio::test]
async fn each_channel_wakes_its_own_handle_once_until_it_is_polled() {
    let (ready_set, front, back) = (ReadySet::default(), Channel::new(), Channel::new());
    let (at_front, at_back) = (front.subscribe(Delivery::Latest), back.subscribe(Delivery::Latest));
    let _registrations = [at_front.register(&ready_set, 1), at_back.register(&ready_set, 2)];
    assert!(none_ready(&ready_set));
    for number in 1..=3 {
        publish(&back, frame(number));
    }
    publish(&front, frame(4));
    assert_eq!((next_ready(&ready_set).await, next_ready(&ready_set).await), (2, 1));
    assert!(none_ready(&ready_set));
    drop(front);
    assert_eq!(next_ready(&ready_set).await, 1, "the end of a channel rings too");
    assert!(at_front.has_ended());
}

#[tokio::test]
async fn a_task_that_waits_is_woken_by_a_publisher_on_another_thread() {
    let (ready_set, channel) = (ReadySet::default(), Channel::new());
    let _registration = channel.subscribe(Delivery::Latest).register(&ready_set, 7);
    let publisher = std::thread::spawn(move || publish(&channel, frame(1)));
    assert_eq!(next_ready(&ready_set).await, 7);
    joined("the publisher ends", publisher);
}

#[test]
fn a_handle_that_is_dropped_does_not_wake() {
    let (ready_set, channel) = (ReadySet::default(), Channel::new());
    let subscriber = channel.subscribe(Delivery::Latest);
    let (kept, gone) = (subscriber.register(&ready_set, 1), subscriber.register(&ready_set, 2));
    drop(gone);
    publish(&channel, frame(1));
    let mut cx = Context::from_waker(Waker::noop());
    assert_eq!(ready_set.poll_ready(&mut cx), Poll::Ready(1));
    assert!(none_ready(&ready_set));
    assert!(kept.is_same_channel(&subscriber));
    assert!(!kept.is_same_channel(&Channel::new().subscribe(Delivery::Latest)));
}

#[test]
fn a_registration_that_pauses_does_not_wake_until_it_resumes() {
    let (ready_set, channel) = (ReadySet::default(), Channel::new());
    let registration = channel.subscribe(Delivery::Latest).register(&ready_set, 1);
    registration.pause();
    publish(&channel, frame(1));
    assert!(none_ready(&ready_set));
    registration.resume();
    assert!(none_ready(&ready_set), "the caller asks the subscriber for what came meanwhile");
    publish(&channel, frame(2));
    assert_eq!(ready_set.poll_ready(&mut Context::from_waker(Waker::noop())), Poll::Ready(1));
}
