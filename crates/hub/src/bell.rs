//! Bells: how one task that serves the subscribers of many channels hears to which of them something was published.
//!
//! Ringing is cheap for the publisher and the same for any number of subscribers: a number is put into the task's list
//! unless it is there, and the task is woken once. What there is to see, the task asks for each subscriber.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, Weak};
use std::task::{Context, Poll, Waker};

use crate::channel::lock;

/// The task's end: the bells that rang, by the numbers that the task gave them.
#[derive(Debug, Default)]
pub struct Bells(Arc<Mutex<Rung>>);

#[derive(Debug, Default)]
struct Rung {
    /// In the order in which they rang; none twice.
    numbers: VecDeque<usize>,
    waker: Option<Waker>,
}

impl Bells {
    /// The number of a bell that rang since it was given here last. A bell that is gone may be given once more.
    pub fn poll_rung(&self, cx: &mut Context<'_>) -> Poll<usize> {
        let mut rung = lock(&self.0);
        if let Some(number) = rung.numbers.pop_front() {
            return Poll::Ready(number);
        }
        if !rung.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            rung.waker = Some(cx.waker().clone());
        }
        Poll::Pending
    }

    /// A bell for a channel to ring.
    pub(crate) fn bell(&self, number: usize) -> Arc<Hammer> {
        Arc::new(Hammer { number, rung: Arc::clone(&self.0) })
    }
}

/// What rings a bell.
#[derive(Debug)]
pub(crate) struct Hammer {
    number: usize,
    rung: Arc<Mutex<Rung>>,
}

impl Hammer {
    fn ring(&self) {
        let mut rung = lock(&self.rung);
        if rung.numbers.contains(&self.number) {
            return;
        }
        rung.numbers.push_back(self.number);
        let waker = rung.waker.take();
        drop(rung);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// The bells of one channel.
#[derive(Debug, Default)]
pub(crate) struct Hammers(Mutex<Vec<Weak<Hammer>>>);

impl Hammers {
    pub(crate) fn add(&self, hammer: &Arc<Hammer>) {
        let mut hammers = lock(&self.0);
        // Those that are gone go here: adding is seldom, ringing is not.
        hammers.retain(|hammer| hammer.strong_count() > 0);
        hammers.push(Arc::downgrade(hammer));
    }

    pub(crate) fn ring(&self) {
        for hammer in lock(&self.0).iter().filter_map(Weak::upgrade) {
            hammer.ring();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use framecast_testkit::{frame, soon};

    use super::*;
    use crate::{Channel, Delivery};

    async fn rung(bells: &Bells) -> usize {
        soon("a bell rings", poll_fn(|cx| bells.poll_rung(cx))).await
    }

    fn is_silent(bells: &Bells) -> bool {
        bells.poll_rung(&mut Context::from_waker(Waker::noop())).is_pending()
    }

    #[tokio::test]
    async fn each_channel_rings_its_own_bell_once_until_it_is_heard() {
        let (bells, front, back) = (Bells::default(), Channel::new(), Channel::new());
        let (at_front, at_back) = (front.subscribe(Delivery::Latest), back.subscribe(Delivery::Latest));
        let _bells = [at_front.bell(&bells, 1), at_back.bell(&bells, 2)];
        assert!(is_silent(&bells));
        for number in 1..=3 {
            back.publish(frame(number));
        }
        front.publish(frame(4));
        assert_eq!((rung(&bells).await, rung(&bells).await), (2, 1));
        assert!(is_silent(&bells));
        drop(front);
        assert_eq!(rung(&bells).await, 1, "the end of a channel rings too");
        assert!(at_front.has_ended());
    }

    #[tokio::test]
    async fn a_task_that_waits_is_woken_by_a_publisher_on_another_thread() {
        let (bells, channel) = (Bells::default(), Channel::new());
        let _bell = channel.subscribe(Delivery::Latest).bell(&bells, 7);
        let publisher = std::thread::spawn(move || channel.publish(frame(1)));
        assert_eq!(rung(&bells).await, 7);
        publisher.join().unwrap();
    }

    #[test]
    fn a_bell_that_is_gone_does_not_ring() {
        let (bells, channel) = (Bells::default(), Channel::new());
        let subscriber = channel.subscribe(Delivery::Latest);
        let (kept, gone) = (subscriber.bell(&bells, 1), subscriber.bell(&bells, 2));
        drop(gone);
        channel.publish(frame(1));
        let mut cx = Context::from_waker(Waker::noop());
        assert_eq!(bells.poll_rung(&mut cx), Poll::Ready(1));
        assert!(is_silent(&bells));
        assert!(kept.is_of(&subscriber));
        assert!(!kept.is_of(&Channel::new().subscribe(Delivery::Latest)));
    }
}
