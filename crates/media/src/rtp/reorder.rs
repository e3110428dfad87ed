//! Puts the packets of one stream back into order.
//!
//! Packets go in as they arrive, and come out in the order of their sequence numbers, each with the number of packets
//! that are missing before it. Over UDP the buffer waits for a missing packet until it is full, or until the caller
//! gives up. Over TCP nothing is reordered, so there the depth is 0 and every packet comes out at once.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;

use super::packet::{RtpHeader, RtpPacket};
use crate::Error;

/// A step of the sequence number from which on the sender has started anew (RFC 3550, appendix A.1: MAX_DROPOUT).
const MAX_DROPOUT: i32 = 3000;
/// How far behind a packet may be and still be a late one (RFC 3550, appendix A.1: MAX_MISORDER).
const MAX_MISORDER: i32 = 100;

/// How much a [`ReorderBuffer`] holds while it waits for a missing packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReorderLimits {
    /// The number of packets. With 0, a missing packet is given up at once.
    pub max_packets: usize,
    /// The bytes of their payloads.
    pub max_bytes: usize,
}

impl ReorderLimits {
    /// For packets over TCP, which arrive in order.
    pub const TCP: Self = Self { max_packets: 0, max_bytes: 0 };
    /// For packets over UDP.
    pub const UDP: Self = Self { max_packets: 32, max_bytes: 128 << 10 };
}

/// A packet in its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderedPacket {
    /// What the header says.
    pub header: RtpHeader,
    /// The payload, which shares the bytes that were pushed.
    pub payload: Bytes,
    /// The number of packets that are missing between the packet before and this one.
    pub lost_before: u32,
    /// Whether the sender has started anew with this packet: another SSRC, or a sequence number far from the last.
    pub is_new_start: bool,
}

/// Puts the packets of one stream back into order. After each [`push`](Self::push) and [`flush`](Self::flush), take out
/// all packets with [`next_packet`](Self::next_packet): they are not counted in the limits.
#[derive(Debug)]
pub struct ReorderBuffer {
    limits: ReorderLimits,
    /// The sequence number that comes next, extended by the number of wraps, and the SSRC. None before the first
    /// packet.
    expected: Option<(u64, u32)>,
    /// Packets behind a missing one, by extended sequence number.
    waiting: BTreeMap<u64, OrderedPacket>,
    waiting_bytes: usize,
    /// A packet far from all others. If another one follows it, the sender has started anew.
    candidate: Option<OrderedPacket>,
    ready: VecDeque<OrderedPacket>,
}

impl ReorderBuffer {
    /// Makes an empty buffer.
    pub const fn new(limits: ReorderLimits) -> Self {
        Self {
            limits,
            expected: None,
            waiting: BTreeMap::new(),
            waiting_bytes: 0,
            candidate: None,
            ready: VecDeque::new(),
        }
    }

    /// Adds a packet as it arrived.
    ///
    /// # Errors
    ///
    /// Returns the fault of a packet that is not RTP. Such a packet is dropped.
    pub fn push(&mut self, bytes: &Bytes) -> Result<(), Error> {
        let RtpPacket { header, payload } = RtpPacket::parse(bytes)?;
        let payload = bytes.slice_ref(payload);
        let packet = OrderedPacket { header, payload, lost_before: 0, is_new_start: false };
        let Some((expected, ssrc)) = self.expected else {
            self.start(packet);
            return Ok(());
        };
        let step = sequence_step(expected as u16, header.sequence_number);
        if header.ssrc != ssrc || !(-MAX_MISORDER..MAX_DROPOUT).contains(&step) {
            self.push_far(packet);
            return Ok(());
        }
        let extended = expected.wrapping_add_signed(i64::from(step));
        if step < 0 || self.waiting.contains_key(&extended) {
            return Ok(());
        }
        self.waiting_bytes += packet.payload.len();
        self.waiting.insert(extended, packet);
        self.release();
        while self.waiting.len() > self.limits.max_packets || self.waiting_bytes > self.limits.max_bytes {
            self.give_up_gap();
        }
        Ok(())
    }

    /// Gives up the missing packets for which the buffer waits: all packets that it holds come out.
    pub fn flush(&mut self) {
        while !self.waiting.is_empty() {
            self.give_up_gap();
        }
    }

    /// Takes out the next packet in order, if it is there.
    pub fn next_packet(&mut self) -> Option<OrderedPacket> {
        self.ready.pop_front()
    }

    /// Returns whether the buffer waits for a missing packet. Then the caller should call [`flush`](Self::flush) after
    /// some time without it.
    pub fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Begins a stream with `packet`.
    fn start(&mut self, packet: OrderedPacket) {
        // One wrap ahead, so that a packet from before the first one has a number too.
        let extended = (1 << 16) + u64::from(packet.header.sequence_number);
        self.expected = Some((extended + 1, packet.header.ssrc));
        self.ready.push_back(packet);
    }

    /// Holds a packet that is far from all others, or begins anew with it and the one before it.
    fn push_far(&mut self, packet: OrderedPacket) {
        let before = self.candidate.take();
        let follows = |before: &OrderedPacket| {
            before.header.ssrc == packet.header.ssrc
                && before.header.sequence_number.wrapping_add(1) == packet.header.sequence_number
        };
        match before {
            Some(before) if follows(&before) => {
                self.flush();
                self.start(OrderedPacket { is_new_start: true, ..before });
                self.start(packet);
            }
            _ => self.candidate = Some(packet),
        }
    }

    /// Moves the packets that are next in order to those that are ready.
    fn release(&mut self) {
        let Some((expected, _)) = &mut self.expected else { return };
        while let Some(packet) = self.waiting.remove(expected) {
            self.waiting_bytes -= packet.payload.len();
            *expected += 1;
            self.ready.push_back(packet);
        }
    }

    /// Goes on with the first packet after the missing ones.
    fn give_up_gap(&mut self) {
        let Some((expected, _)) = &mut self.expected else { return };
        let Some(mut first) = self.waiting.first_entry() else { return };
        let lost = *first.key() - *expected;
        *expected = *first.key();
        first.get_mut().lost_before = u32::try_from(lost).unwrap_or(u32::MAX);
        self.release();
    }
}

/// Returns how far `found` is after `expected`, negative if it is before.
fn sequence_step(expected: u16, found: u16) -> i32 {
    i32::from(found.wrapping_sub(expected).cast_signed())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(sequence_number: u16, ssrc: u8) -> Bytes {
        let [high, low] = sequence_number.to_be_bytes();
        Bytes::copy_from_slice(&[0x80, 96, high, low, 0, 0, 0, 0, 0, 0, 0, ssrc, high, low])
    }

    /// Pushes packets of the source 1, and returns the sequence numbers that come out, each with the loss before it.
    fn pushed(buffer: &mut ReorderBuffer, numbers: &[u16]) -> Vec<(u16, u32)> {
        numbers.iter().for_each(|number| buffer.push(&packet(*number, 1)).expect("valid"));
        taken(buffer)
    }

    fn taken(buffer: &mut ReorderBuffer) -> Vec<(u16, u32)> {
        let next = || buffer.next_packet();
        std::iter::from_fn(next).map(|packet| (packet.header.sequence_number, packet.lost_before)).collect()
    }

    #[test]
    fn packets_come_out_in_order_across_a_wrap() {
        let mut buffer = ReorderBuffer::new(ReorderLimits::UDP);
        assert_eq!(pushed(&mut buffer, &[65533, 65535, 1, 0]), [(65533, 0)]);
        assert!(buffer.is_waiting());
        assert_eq!(pushed(&mut buffer, &[65534]), [(65534, 0), (65535, 0), (0, 0), (1, 0)]);
        assert!(!buffer.is_waiting());
    }

    #[test]
    fn a_packet_that_comes_twice_or_too_late_is_dropped() {
        let mut buffer = ReorderBuffer::new(ReorderLimits::UDP);
        assert_eq!(pushed(&mut buffer, &[10, 10, 12, 12, 9]), [(10, 0)]);
        buffer.flush();
        assert_eq!(taken(&mut buffer), [(12, 1)]);
        assert_eq!(pushed(&mut buffer, &[11, 13]), [(13, 0)]);
    }

    #[test]
    fn a_full_buffer_gives_up_the_missing_packets() {
        let limits = ReorderLimits { max_packets: 2, max_bytes: 100 };
        let mut buffer = ReorderBuffer::new(limits);
        assert_eq!(pushed(&mut buffer, &[1, 3, 6]), [(1, 0)]);
        assert_eq!(pushed(&mut buffer, &[7]), [(3, 1)]);
        assert_eq!(pushed(&mut buffer, &[8]), [(6, 2), (7, 0), (8, 0)]);
        let mut small = ReorderBuffer::new(ReorderLimits { max_bytes: 3, ..limits });
        assert_eq!(pushed(&mut small, &[1, 3, 5]), [(1, 0), (3, 1)]);
    }

    #[test]
    fn without_depth_every_packet_comes_out_at_once() {
        let mut buffer = ReorderBuffer::new(ReorderLimits::TCP);
        assert_eq!(pushed(&mut buffer, &[1, 4, 5]), [(1, 0), (4, 2), (5, 0)]);
        assert!(!buffer.is_waiting());
    }

    #[test]
    fn a_sender_that_starts_anew_is_followed_and_a_stray_packet_is_not() {
        for (far, ssrc) in [(40_000, 1), (3004, 1), (65_000, 1), (2, 9)] {
            let mut buffer = ReorderBuffer::new(ReorderLimits::UDP);
            assert_eq!(pushed(&mut buffer, &[1, 3]), [(1, 0)]);
            buffer.push(&packet(far, ssrc)).expect("valid");
            buffer.push(&packet(20_000, 5)).expect("valid");
            assert_eq!(pushed(&mut buffer, &[2]), [(2, 0), (3, 0)]);
            buffer.push(&packet(far, ssrc)).expect("valid");
            buffer.push(&packet(far + 1, ssrc)).expect("valid");
            let first = buffer.next_packet().expect("the sender has started anew");
            assert!(first.is_new_start && first.header.sequence_number == far);
            assert_eq!(taken(&mut buffer), [(far + 1, 0)]);
        }
    }

    #[test]
    fn payloads_share_the_bytes_that_came() {
        let mut buffer = ReorderBuffer::new(ReorderLimits::UDP);
        let bytes = packet(1, 1);
        buffer.push(&bytes).expect("valid");
        assert_eq!(buffer.next_packet().expect("in order").payload.as_ptr(), bytes[12..].as_ptr());
    }
}
