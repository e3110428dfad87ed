//! Any bytes as packets of RTP and RTCP: nothing panics, and what comes out is within the bounds. Each payload of the
//! input has two bytes before it, which choose marker, sequence number, timestamp and source.
#![no_main]

use std::collections::VecDeque;
use std::time::Duration;

use framecast_media::rtp::{
    Depacketizer, JpegDepacketizer, ReceivedUnit, Reception, ReorderBuffer, ReorderLimits, RtpClock, RtpPacket,
    h264_parameter_sets, h265_parameter_sets, rtcp_packets,
};
use framecast_media::{Bytes, Dependency};
use libfuzzer_sys::fuzz_target;

const MAX_BYTES: usize = 600;

/// Takes a piece of `input`: its first byte is the length.
fn piece<'a>(input: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, rest) = input.split_first()?;
    let (piece, rest) = rest.split_at(rest.len().min(usize::from(*length)));
    *input = rest;
    Some(piece)
}

/// Makes packets of `input`: each has two bytes of control and a payload.
fn packets(mut input: &[u8]) -> Vec<Bytes> {
    let (mut sequence_number, mut timestamp) = (65_530_u16, 0_u32);
    let next = || {
        let &[control, step, ref payload @ ..] = piece(&mut input)? else { return Some(Bytes::new()) };
        // Mostly the next packet, seldom a gap, an older one or a jump.
        sequence_number = match control & 0x07 {
            0 => sequence_number.wrapping_add(u16::from(step)),
            1 => sequence_number.wrapping_sub(u16::from(step & 0x0F)),
            2 => sequence_number.wrapping_add(u16::from(step) << 8),
            _ => sequence_number.wrapping_add(1),
        };
        timestamp = match control & 0x18 {
            0 => timestamp.wrapping_add(u32::from(step) << 24),
            8 => timestamp.wrapping_add(3600),
            _ => timestamp,
        };
        let ssrc = if control & 0x60 == 0 { step } else { 1 };
        let mut packet = vec![0x80, control & 0x80 | 96];
        packet.extend(sequence_number.to_be_bytes());
        packet.extend(timestamp.to_be_bytes());
        packet.extend([0, 0, 0, ssrc]);
        packet.extend_from_slice(payload);
        Some(Bytes::from(packet))
    };
    std::iter::from_fn(next).collect()
}

/// Checks an access unit, and returns whether it has a slice.
fn check(unit: &ReceivedUnit, is_h264: bool) {
    // Beside parameter sets that changed.
    assert!(unit.data.len() <= MAX_BYTES + (300 << 10));
    let mut rest = &unit.data[..];
    let mut has_slice = false;
    while let Some((length, after)) = rest.split_first_chunk() {
        let (nal, after) = after.split_at(u32::from_be_bytes(*length) as usize);
        let nal_type = if is_h264 { nal[0] & 0x1F } else { nal[0] >> 1 & 0x3F };
        let unwanted: &[u8] = if is_h264 { &[7, 9, 12] } else { &[32, 33, 35, 38] };
        assert!(!unwanted.contains(&nal_type));
        assert!(!nal.windows(3).any(|bytes| bytes == [0, 0, 1]));
        has_slice |= if is_h264 { (1..=5).contains(&nal_type) } else { nal_type < 32 };
        rest = after;
    }
    assert!(has_slice && rest.is_empty());
    for sets in unit.parameter_sets.iter() {
        assert!((2..=300).contains(&sets.len()) && sets.iter().all(|set| set.len() <= 4096));
    }
}

fn run(packets: &[Bytes], limits: ReorderLimits, is_h264: bool, fmtp: &str) {
    let mut reorder = ReorderBuffer::new(limits);
    let sets = if is_h264 { h264_parameter_sets(fmtp) } else { h265_parameter_sets(fmtp) };
    let mut depacketizer =
        if is_h264 { Depacketizer::h264(&sets, MAX_BYTES) } else { Depacketizer::h265(&sets, MAX_BYTES) };
    let mut jpegs = JpegDepacketizer::new(MAX_BYTES);
    let (mut clock, mut reception) = (RtpClock::new(90_000), Reception::new(90_000));
    let (mut arrival, mut units) = (Duration::ZERO, VecDeque::new());
    for bytes in packets {
        arrival += Duration::from_millis(u64::from(bytes.first().copied().unwrap_or_default()));
        if let Ok(RtpPacket { header, .. }) = RtpPacket::parse(bytes) {
            reception.record(&header, arrival);
        }
        let _ = reorder.push(bytes);
        if bytes.last().is_some_and(|last| last % 16 == 0) {
            reorder.flush();
        }
        while let Some(packet) = reorder.next_packet() {
            let _ = depacketizer.push(&packet);
            units.extend(std::iter::from_fn(|| depacketizer.next_unit()));
            let _ = jpegs.push(&packet);
            for picture in std::iter::from_fn(|| jpegs.next_picture()) {
                // The end marker comes on top.
                assert!(picture.len() <= MAX_BYTES + 2 && picture.starts_with(&[0xFF, 0xD8]));
                assert!(picture.ends_with(&[0xFF, 0xD9]));
            }
        }
    }
    let _ = reception.report(1, arrival);
    assert_eq!(units.len() as u64, depacketizer.counts().whole);
    assert!(units.front().is_none_or(|unit| unit.dependency == Dependency::Keyframe));
    assert!(units.front().is_none_or(|unit| unit.parameter_sets.is_some()));
    let mut latest = -1;
    for unit in &units {
        check(unit, is_h264);
        let reading = clock.read(unit.rtp_timestamp, arrival);
        assert!(!reading.has_jumped || reading.timestamp.ticks() > latest);
        latest = latest.max(reading.timestamp.ticks());
    }
}

fuzz_target!(|data: &[u8]| {
    let &[choice, ref input @ ..] = data else { return };
    for packet in rtcp_packets(input) {
        let _ = packet.map(|packet| packet.is_goodbye_of(1));
    }
    let _ = RtpPacket::parse(input);
    let is_h264 = choice & 1 == 0;
    let mut rest = input;
    let fmtp = if choice & 2 == 0 { &[] } else { piece(&mut rest).unwrap_or_default() };
    let fmtp = String::from_utf8_lossy(fmtp);
    let limits = if choice & 4 == 0 { ReorderLimits::TCP } else { ReorderLimits::UDP };
    run(&packets(rest), limits, is_h264, &fmtp);
    // The same bytes as packets with headers of their own.
    let raw: Vec<_> = std::iter::from_fn(|| piece(&mut rest)).map(Bytes::copy_from_slice).collect();
    run(&raw, limits, is_h264, &fmtp);
});
