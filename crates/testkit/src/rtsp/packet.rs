//! Splits pictures into the payloads of RTP packets: RFC 6184 for H.264, RFC 7798 for H.265.

use bytes::Bytes;

use super::annex_b::{ClipCodec, NalKind};
use super::jpeg;

/// The maximum length of a payload. With all headers, a packet fits into an Ethernet frame.
const MAX_PAYLOAD_BYTES: usize = 1400;

/// What one packet contains behind its RTP header.
pub(super) struct Payload {
    pub(super) bytes: Vec<u8>,
    /// Whether this is the last packet of the picture.
    pub(super) has_marker: bool,
    /// Whether this is the last packet with supplemental information.
    pub(super) ends_sei: bool,
}

/// The payloads of the picture with these NAL units.
pub(super) fn payloads(codec: ClipCodec, nals: &[Bytes]) -> Vec<Payload> {
    let mut payloads = Vec::new();
    let mut rest = nals;
    while let Some(nal) = rest.first() {
        let is_set = |nal: &&Bytes| codec == ClipCodec::H264 && codec.kind(nal) == NalKind::ParameterSet;
        let sets = rest.iter().take_while(is_set).count();
        let bytes: usize = rest[..sets].iter().map(|set| set.len() + 2).sum();
        if sets > 1 && bytes < MAX_PAYLOAD_BYTES {
            payloads.push(Payload { bytes: aggregate(&rest[..sets]), has_marker: false, ends_sei: false });
            rest = &rest[sets..];
            continue;
        }
        let parts = match codec {
            ClipCodec::Jpeg => jpeg::parts(nal, MAX_PAYLOAD_BYTES),
            _ if nal.len() <= MAX_PAYLOAD_BYTES => vec![nal.to_vec()],
            _ => fragments(codec, nal),
        };
        payloads.extend(parts.into_iter().map(|bytes| Payload { bytes, has_marker: false, ends_sei: false }));
        if let Some(last) = payloads.last_mut() {
            last.ends_sei = codec.kind(nal) == NalKind::Sei;
        }
        rest = &rest[1..];
    }
    if let Some(last) = payloads.last_mut() {
        last.has_marker = true;
    }
    payloads
}

/// One packet for several NAL units: STAP-A, RFC 6184 section 5.7.1.
fn aggregate(nals: &[Bytes]) -> Vec<u8> {
    let importance = nals.iter().map(|nal| nal[0] & 0x60).max().unwrap_or_default();
    let mut bytes = vec![importance | 24];
    for nal in nals {
        bytes.extend((nal.len() as u16).to_be_bytes());
        bytes.extend_from_slice(nal);
    }
    bytes
}

/// Several packets for one NAL unit: FU-A, RFC 6184 section 5.8, and FU, RFC 7798 section 4.4.3.
fn fragments(codec: ClipCodec, nal: &Bytes) -> Vec<Vec<u8>> {
    let nal_type = codec.nal_type(nal);
    let (head, rest) = match codec {
        ClipCodec::H264 => (vec![nal[0] & 0xe0 | 28], &nal[1..]),
        _ => (vec![nal[0] & 0x81 | 49 << 1, nal[1]], &nal[2..]),
    };
    let count = rest.len().div_ceil(MAX_PAYLOAD_BYTES);
    let parts = rest.chunks(MAX_PAYLOAD_BYTES).enumerate().map(|(at, part)| {
        let (start, end) = (u8::from(at == 0) << 7, u8::from(at + 1 == count) << 6);
        [&head, &[start | end | nal_type][..], part].concat()
    });
    parts.collect()
}
