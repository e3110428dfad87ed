//! Simulates one direction of a slow link: the caller puts packets in, and takes each packet out at the time when it
//! arrives. The caller also passes in the current time.
//!
//! A packet waits until the packets before it have been sent. Then it is sent at the link's rate, and arrives one link
//! delay later. A packet is dropped if the queue is full, as in a home router.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// The rate, delay and queue of a simulated link, which are the same in both directions.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Shape {
    /// Rate of the link in bits per second, IP headers included.
    pub(crate) bits_per_second: u64,
    /// Time from when the last bit of a packet is sent until that bit arrives.
    pub(crate) delay: Duration,
    /// Size in bytes of the queue of packets that wait to be sent.
    pub(crate) queue_bytes: usize,
}

impl Shape {
    /// Returns how long it takes to send this many bytes at the link's rate.
    pub(crate) fn time_for(&self, bytes: usize) -> Duration {
        Duration::from_secs_f64(bytes as f64 * 8.0 / self.bits_per_second as f64)
    }
}

/// One direction of a simulated link.
#[derive(Debug)]
pub(crate) struct Pipe {
    shape: Shape,
    /// The time when the last packet in the queue will have been sent, so that the link is free.
    free_at: Instant,
    /// Packets that were accepted and have not been taken out yet, oldest first.
    under_way: VecDeque<Packet>,
}

#[derive(Debug)]
struct Packet {
    arrives: Instant,
    bytes: Vec<u8>,
}

impl Pipe {
    /// Creates one direction of a link, with nothing to send at `now`.
    pub(crate) fn new(shape: Shape, now: Instant) -> Self {
        Self { shape, free_at: now, under_way: VecDeque::new() }
    }

    /// Sets the rate for packets that are put into the queue from now on.
    pub(crate) fn set_rate(&mut self, bits_per_second: u64) {
        self.shape.bits_per_second = bits_per_second;
    }

    /// Puts a packet into the queue at the time `now`. If the queue is full, drops the packet and returns false.
    pub(crate) fn enqueue(&mut self, now: Instant, packet: &[u8]) -> bool {
        let waiting = self.free_at.saturating_duration_since(now);
        let time = self.shape.time_for(packet.len());
        if waiting + time > self.shape.time_for(self.shape.queue_bytes) {
            return false;
        }
        self.free_at = self.free_at.max(now) + time;
        let arrives = self.free_at + self.shape.delay;
        self.under_way.push_back(Packet { arrives, bytes: packet.to_vec() });
        true
    }

    /// Removes and returns the oldest packet if it has arrived by `now`; otherwise returns `None`.
    pub(crate) fn take(&mut self, now: Instant) -> Option<Vec<u8>> {
        self.under_way.pop_front_if(|packet| packet.arrives <= now).map(|packet| packet.bytes)
    }

    /// Returns the time when the oldest packet arrives; `None` if no packet is on its way.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.under_way.front().map(|packet| packet.arrives)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A thousand bytes take 4 ms.
    const SHAPE: Shape =
        Shape { bits_per_second: 2_000_000, delay: Duration::from_millis(20), queue_bytes: 10_000 };

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn a_packet_arrives_after_its_time_on_the_link_and_the_delay() {
        let start = Instant::now();
        let mut pipe = Pipe::new(SHAPE, start);
        assert!(pipe.enqueue(start, &[1; 1000]));
        assert_eq!(pipe.next(), Some(start + ms(24)));
        assert_eq!(pipe.take(start + ms(23)), None);
        assert_eq!(pipe.take(start + ms(24)), Some(vec![1; 1000]));
        assert_eq!(pipe.take(start + ms(100)), None);
    }

    #[test]
    fn packets_follow_each_other_at_the_rate_of_the_link_and_in_order() {
        let start = Instant::now();
        let mut pipe = Pipe::new(SHAPE, start);
        for number in 0..5 {
            assert!(pipe.enqueue(start, &[number; 1000]));
        }
        for number in 0..5 {
            let arrives = start + ms(24 + 4 * u64::from(number));
            assert_eq!(pipe.next(), Some(arrives));
            assert_eq!(pipe.take(arrives), Some(vec![number; 1000]));
        }
        assert!(pipe.enqueue(start + ms(500), &[9; 1000]));
        assert_eq!(pipe.next(), Some(start + ms(524)), "an idle link does not save its time");
    }

    #[test]
    fn what_finds_the_queue_full_is_dropped_and_there_is_room_again_later() {
        let start = Instant::now();
        let mut pipe = Pipe::new(SHAPE, start);
        let taken = (0..15).filter(|_| pipe.enqueue(start, &[0; 1000])).count();
        assert_eq!(taken, 10);
        assert!(pipe.enqueue(start + ms(4), &[0; 1000]));
        assert!(!pipe.enqueue(start + ms(4), &[0; 1000]));
    }
}
