//! Tests of the depacketizer with packets of real programs and with packets made for each rule.

mod constructed;
mod damage;
mod h265;
mod recorded;

use super::*;
use crate::rtp::RtpHeader;

const MAX_BYTES: usize = 1 << 20;

// H.264 NAL units. The first bit after the header of a slice says that its picture begins there.
const SPS: &[u8] = &[0x67, 0x64, 0x00, 0x0A, 0xAC, 0xD9];
const OTHER_SPS: &[u8] = &[0x67, 0x64, 0x00, 0x1E, 0xAC, 0xD9];
const PPS: &[u8] = &[0x68, 0xEB, 0xE3];
const SEI: &[u8] = &[0x06, 0x05, 0x01, 0x80];
const DELIMITER: &[u8] = &[0x09, 0xF0];
const FILLER: &[u8] = &[0x0C, 0xFF, 0x80];
const IDR: &[u8] = &[0x65, 0x88, 1, 2, 3];
const IDR_NEXT: &[u8] = &[0x65, 0x28, 4, 5, 6];
const P: &[u8] = &[0x41, 0x9A, 7, 8];
const P_NEXT: &[u8] = &[0x41, 0x1A, 9, 10];
const B: &[u8] = &[0x01, 0x9E, 11, 12];
const B_NEXT: &[u8] = &[0x01, 0x1E, 13, 14];

/// What came of pushing packets.
#[derive(Debug, Default)]
struct Outcome {
    units: Vec<ReceivedUnit>,
    errors: Vec<String>,
}

impl Outcome {
    fn timestamps(&self) -> Vec<u32> {
        self.units.iter().map(|unit| unit.rtp_timestamp).collect()
    }
}

/// A camera whose packets go into a depacketizer.
struct Camera {
    depacketizer: Depacketizer,
    sequence_number: u16,
    lost_before: u32,
    is_new_start: bool,
    outcome: Outcome,
}

impl Camera {
    fn new(depacketizer: Depacketizer) -> Self {
        let outcome = Outcome::default();
        Self { depacketizer, sequence_number: 0, lost_before: 0, is_new_start: false, outcome }
    }

    /// A camera with H.264 whose markers are known to be right. It has sent one picture at 0, and `SPS` and `PPS`.
    fn with_right_markers() -> Self {
        let mut camera = Self::new(Depacketizer::h264(&[], MAX_BYTES));
        camera.send(0, [SPS, PPS]).mark(0, [IDR]).mark(1, [P]).take();
        camera
    }

    fn packet(&mut self, timestamp: u32, marker: bool, payload: &[u8]) {
        let sequence_number = self.sequence_number;
        let header = RtpHeader { payload_type: 96, marker, sequence_number, timestamp, ssrc: 1 };
        let (lost_before, is_new_start) = (self.lost_before, self.is_new_start);
        let payload = Bytes::copy_from_slice(payload);
        let pushed = self.depacketizer.push(&OrderedPacket { header, payload, lost_before, is_new_start });
        self.outcome.errors.extend(pushed.err().map(|error| error.to_string()));
        self.outcome.units.extend(std::iter::from_fn(|| self.depacketizer.next_unit()));
        (self.lost_before, self.is_new_start) = (0, false);
        self.sequence_number += 1;
    }

    /// Sends packets without a marker.
    fn send<const N: usize>(&mut self, timestamp: u32, payloads: [&[u8]; N]) -> &mut Self {
        payloads.iter().for_each(|payload| self.packet(timestamp, false, payload));
        self
    }

    /// Sends packets, the last one with the marker.
    fn mark<const N: usize>(&mut self, timestamp: u32, payloads: [&[u8]; N]) -> &mut Self {
        for (at, payload) in payloads.iter().enumerate() {
            self.packet(timestamp, at == N - 1, payload);
        }
        self
    }

    fn lose(&mut self, packets: u16) -> &mut Self {
        self.sequence_number += packets;
        self.lost_before = packets.into();
        self
    }

    fn restart(&mut self) -> &mut Self {
        self.is_new_start = true;
        self
    }

    fn take(&mut self) -> Outcome {
        std::mem::take(&mut self.outcome)
    }
}

/// Returns NAL units, each behind its length.
fn joined(nals: &[&[u8]]) -> Vec<u8> {
    nals.iter().flat_map(|nal| [&(nal.len() as u32).to_be_bytes(), *nal].concat()).collect()
}
