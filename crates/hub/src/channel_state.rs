//! What the handle of a channel and the channel's subscribers share: the frames, and whom to wake.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard};

use framecast_media::lock;
use tokio::sync::watch;

use crate::notifier::Notifier;
use crate::ring::{Ring, RingLimits};

#[derive(Debug)]
pub(crate) struct ChannelState {
    ring: Mutex<Ring>,
    pub(crate) notifier: Notifier,
    pub(crate) subscriber_count: watch::Sender<usize>,
    pub(crate) in_order_subscribers: AtomicUsize,
}

impl ChannelState {
    pub(crate) fn new(limits: RingLimits) -> Self {
        Self {
            ring: Mutex::new(Ring::new(limits)),
            notifier: Notifier::default(),
            subscriber_count: watch::Sender::new(0),
            in_order_subscribers: AtomicUsize::new(0),
        }
    }

    pub(crate) fn ring(&self) -> MutexGuard<'_, Ring> {
        lock(&self.ring)
    }

    pub(crate) fn has_in_order_subscribers(&self) -> bool {
        self.in_order_subscribers.load(Ordering::SeqCst) > 0
    }

    pub(crate) fn end(&self) {
        self.ring().end();
        self.notifier.notify();
    }
}
