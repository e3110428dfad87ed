//! How well a stream arrives, and the receiver report that tells the sender (RFC 3550, section 6.4.2 and appendix A).

use std::time::Duration;

use super::packet::RtpHeader;
use super::rtcp::SenderReport;

/// The name of the receiver in its reports (CNAME). A sender must get one, and does not compare it with anything.
const NAME: &[u8; 9] = b"framecast";
/// The length of a receiver report with one block, in bytes, and of the description that follows it.
const REPORT_BYTES: usize = 32;
const DESCRIPTION_BYTES: usize = 20;

/// Counts what arrives of one stream, and writes receiver reports about it.
#[derive(Debug)]
pub struct Reception {
    rate_hz: u32,
    source: Option<Sender>,
    /// The last sender report, and when it came.
    sender_report: Option<(SenderReport, Duration)>,
}

/// What arrived of one source.
#[derive(Debug)]
struct Sender {
    ssrc: u32,
    /// The first and the highest sequence number, extended by the number of wraps.
    first: u64,
    highest: u64,
    received: u64,
    expected_before: u64,
    received_before: u64,
    /// Arrival less timestamp of the packet before, in RTP ticks.
    transit: u32,
    /// The jitter in sixteenths of RTP ticks.
    jitter: u32,
}

impl Reception {
    /// Begins to count a stream whose timestamps have `rate_hz` ticks per second.
    pub const fn new(rate_hz: u32) -> Self {
        Self { rate_hz, source: None, sender_report: None }
    }

    /// Counts a packet that came at `arrival` after a fixed moment. Give packets in the order in which they arrive.
    pub fn record(&mut self, header: &RtpHeader, arrival: Duration) {
        let ticks = arrival.as_nanos() * u128::from(self.rate_hz) / 1_000_000_000;
        let transit = (ticks as u32).wrapping_sub(header.timestamp);
        match &mut self.source {
            Some(source) if source.ssrc == header.ssrc => source.record(header.sequence_number, transit),
            _ => self.source = Some(Sender::new(header, transit)),
        }
    }

    /// Keeps the last sender report, which receiver reports refer to.
    pub const fn record_sender_report(&mut self, report: SenderReport, arrival: Duration) {
        self.sender_report = Some((report, arrival));
    }

    /// Writes a compound packet with a receiver report and the receiver's name. `own_ssrc` is any number that no sender
    /// has. `now` is measured as `arrival` is. None before the first packet.
    pub fn report(&mut self, own_ssrc: u32, now: Duration) -> Option<[u8; REPORT_BYTES + DESCRIPTION_BYTES]> {
        let sender_report = self.sender_report;
        let source = self.source.as_mut()?;
        let (fraction_lost, lost) = source.losses();
        let heard =
            sender_report.filter(|(report, _)| report.ssrc == source.ssrc).map(|(report, arrival)| {
                let delay = now.saturating_sub(arrival).as_nanos() * 65_536 / 1_000_000_000;
                ((report.ntp_time >> 16) as u32, u32::try_from(delay).unwrap_or(u32::MAX))
            });
        let (last_report, delay) = heard.unwrap_or_default();
        let words = [
            0x81C9_0007,
            own_ssrc,
            source.ssrc,
            u32::from(fraction_lost) << 24 | lost,
            source.highest as u32,
            source.jitter >> 4,
            last_report,
            delay,
            0x81CA_0004,
            own_ssrc,
        ];
        let mut packet = [0; REPORT_BYTES + DESCRIPTION_BYTES];
        for (place, word) in packet.as_chunks_mut::<4>().0.iter_mut().zip(words) {
            *place = word.to_be_bytes();
        }
        packet[REPORT_BYTES + 8..][..2].copy_from_slice(&[1, NAME.len() as u8]);
        packet[REPORT_BYTES + 10..][..NAME.len()].copy_from_slice(NAME);
        Some(packet)
    }
}

impl Sender {
    fn new(header: &RtpHeader, transit: u32) -> Self {
        // One wrap ahead, so that a packet from before the first one has a number too.
        let first = (1 << 16) + u64::from(header.sequence_number);
        let (ssrc, highest) = (header.ssrc, first);
        Self { ssrc, first, highest, received: 1, expected_before: 0, received_before: 0, transit, jitter: 0 }
    }

    fn record(&mut self, sequence_number: u16, transit: u32) {
        let step = sequence_number.wrapping_sub(self.highest as u16).cast_signed();
        self.highest += u64::try_from(step).unwrap_or_default();
        self.received += 1;
        let difference = transit.wrapping_sub(self.transit).cast_signed().unsigned_abs();
        self.transit = transit;
        let decayed = self.jitter - ((self.jitter + 8) >> 4).min(self.jitter);
        // A jump of the camera's clock is no jitter.
        self.jitter = (decayed + difference.min(1 << 24)).min(1 << 30);
    }

    /// Returns the fraction of packets lost since the last report, in 256ths, and the number lost in all, as 24 bits.
    fn losses(&mut self) -> (u8, u32) {
        let expected = self.highest - self.first + 1;
        let since = (expected - self.expected_before, self.received - self.received_before);
        (self.expected_before, self.received_before) = (expected, self.received);
        let fraction = (since.0.saturating_sub(since.1) * 256).checked_div(since.0).unwrap_or_default();
        // Packets that came twice can make the number negative.
        let lost = (expected.cast_signed() - self.received.cast_signed()).clamp(-0x80_0000, 0x7F_FFFF);
        (fraction.min(255) as u8, lost as u32 & 0xFF_FFFF)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rtp::{RtcpPacket, rtcp_packets};

    fn header(sequence_number: u16, timestamp: u32) -> RtpHeader {
        RtpHeader { payload_type: 96, marker: false, sequence_number, timestamp, ssrc: 0x0102_0304 }
    }

    fn words(packet: &[u8]) -> Vec<u32> {
        packet.as_chunks::<4>().0.iter().map(|word| u32::from_be_bytes(*word)).collect()
    }

    #[test]
    fn a_report_says_what_was_lost_and_when_the_sender_was_heard() {
        let mut reception = Reception::new(90_000);
        assert_eq!(reception.report(9, Duration::ZERO), None);
        for (at, sequence_number) in (0..).zip([65_534, 65_535, 1, 0, 5]) {
            reception.record(&header(sequence_number, at * 3600), Duration::from_millis(40 * u64::from(at)));
        }
        let report = SenderReport { ssrc: 0x0102_0304, ntp_time: 0x1111_2222_3333_4444, rtp_timestamp: 0 };
        reception.record_sender_report(report, Duration::from_secs(1));
        let packet = reception.report(9, Duration::from_millis(3500)).expect("packets came");
        let expected = [0x81C9_0007, 9, 0x0102_0304, 0x6000_0003, 0x0002_0005, 0, 0x2222_3333, 0x0002_8000];
        assert_eq!(words(&packet[..REPORT_BYTES]), expected);
        assert_eq!(packet[REPORT_BYTES..], *b"\x81\xCA\0\x04\0\0\0\x09\x01\x09framecast\0");
        let packets: Vec<_> = rtcp_packets(&packet).collect();
        assert_eq!(packets, [Ok(RtcpPacket::Other), Ok(RtcpPacket::Other)]);
        // The fraction is of the packets since the last report; one that comes twice makes none negative.
        reception.record(&header(6, 0), Duration::ZERO);
        reception.record(&header(6, 0), Duration::ZERO);
        assert_eq!(words(&reception.report(9, Duration::ZERO).expect("packets came"))[3], 0x0000_0002);
    }

    #[test]
    fn jitter_is_the_mean_deviation_of_the_transit_time() {
        let mut reception = Reception::new(90_000);
        for at in 0..500_u32 {
            let late_ms = if at % 2 == 0 { 0 } else { 10 };
            reception
                .record(&header(at as u16, at * 3600), Duration::from_millis(u64::from(40 * at + late_ms)));
        }
        let jitter = words(&reception.report(9, Duration::ZERO).expect("packets came"))[5];
        assert!((880..=900).contains(&jitter), "{jitter} ticks are not about 10 ms");
    }

    #[test]
    fn another_source_is_counted_from_its_first_packet() {
        let mut reception = Reception::new(90_000);
        reception.record(&header(1, 0), Duration::ZERO);
        reception.record(&RtpHeader { ssrc: 7, ..header(5000, 0) }, Duration::ZERO);
        let packet = words(&reception.report(9, Duration::ZERO).expect("packets came"));
        assert_eq!(packet[2..5], [7, 0, 0x0001_1388]);
    }
}
