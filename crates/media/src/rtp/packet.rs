//! The RTP packet (RFC 3550, section 5.1).

use super::problem::Problem;
use crate::Error;

/// The length of the header without sources and extension.
const FIXED_BYTES: usize = 12;

/// What the header of an RTP packet says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RtpHeader {
    /// Which format the payload has: a number that the SDP explains.
    pub payload_type: u8,
    /// In video: the packet is said to be the last of its access unit.
    pub marker: bool,
    /// The number of the packet; it wraps after 65535.
    pub sequence_number: u16,
    /// The media time in ticks of the clock that the SDP names; it wraps.
    pub timestamp: u32,
    /// The sender's identifier of the stream.
    pub ssrc: u32,
}

/// An RTP packet that borrows the bytes in which it came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RtpPacket<'a> {
    /// What the header says.
    pub header: RtpHeader,
    /// The payload, without extension and padding. It may be empty.
    pub payload: &'a [u8],
}

impl<'a> RtpPacket<'a> {
    /// Parses one packet. Contributing sources, the header extension and the padding are skipped.
    ///
    /// # Errors
    ///
    /// Returns the offset and the fault if the packet is not of version 2 or ends too early.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Error> {
        let Some(fixed) = bytes.first_chunk::<FIXED_BYTES>() else {
            return Err(truncated(bytes, FIXED_BYTES, "its header"));
        };
        let version = fixed[0] >> 6;
        if version != 2 {
            return Err(Error::Rtp { offset: 0, problem: Problem::Version { version } });
        }
        let mut start = FIXED_BYTES + 4 * usize::from(fixed[0] & 0x0F);
        if fixed[0] & 0x10 != 0 {
            let Some(&[_, _, high, low]) = bytes.get(start..start + 4) else {
                return Err(truncated(bytes, start + 4, "its header extension"));
            };
            start += 4 + 4 * usize::from(u16::from_be_bytes([high, low]));
        }
        if bytes.len() < start {
            return Err(truncated(bytes, start, "its header"));
        }
        let end = if fixed[0] & 0x20 == 0 { bytes.len() } else { without_padding(bytes, start)? };
        let header = RtpHeader {
            payload_type: fixed[1] & 0x7F,
            marker: fixed[1] & 0x80 != 0,
            sequence_number: u16::from_be_bytes([fixed[2], fixed[3]]),
            timestamp: u32::from_be_bytes([fixed[4], fixed[5], fixed[6], fixed[7]]),
            ssrc: u32::from_be_bytes([fixed[8], fixed[9], fixed[10], fixed[11]]),
        };
        Ok(Self { header, payload: &bytes[start..end] })
    }
}

/// Returns where the payload ends that begins at `start` and is followed by padding.
fn without_padding(bytes: &[u8], start: usize) -> Result<usize, Error> {
    let padding_bytes = bytes[bytes.len() - 1];
    let end = bytes.len().checked_sub(usize::from(padding_bytes)).filter(|end| *end >= start);
    end.filter(|_| padding_bytes > 0).ok_or(Error::Rtp {
        offset: bytes.len() - 1,
        problem: Problem::Padding { padding_bytes, len_bytes: bytes.len() },
    })
}

fn truncated(bytes: &[u8], needed: usize, what: &'static str) -> Error {
    Error::Rtp {
        offset: bytes.len(),
        problem: Problem::Truncated { what, missing_bytes: needed - bytes.len() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Version 2, marker, payload type 96, sequence number 0x0102, timestamp 0x03040506, source 0x0708090A.
    const HEADER: [u8; 12] = [0x80, 0xE0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10];

    fn packet(first: u8, rest: &[u8]) -> Vec<u8> {
        [&[first], &HEADER[1..], rest].concat()
    }

    #[test]
    fn a_header_is_read_and_the_payload_borrowed() {
        let bytes = packet(0x80, b"payload");
        let packet = RtpPacket::parse(&bytes).expect("valid");
        let header = RtpHeader {
            payload_type: 96,
            marker: true,
            sequence_number: 0x0102,
            timestamp: 0x0304_0506,
            ssrc: 0x0708_090A,
        };
        assert_eq!(packet, RtpPacket { header, payload: b"payload" });
        assert_eq!(packet.payload.as_ptr(), bytes[12..].as_ptr());
    }

    #[test]
    fn sources_extension_and_padding_are_skipped() {
        let extension = [0xBE, 0xDE, 0, 1, 9, 9, 9, 9];
        let with_all = packet(0xB2, &[&[1; 8][..], &extension, b"payload", &[0, 0, 3]].concat());
        assert_eq!(RtpPacket::parse(&with_all).expect("valid").payload, b"payload");
        assert_eq!(RtpPacket::parse(&packet(0xA0, &[0, 0, 3])).expect("valid").payload, b"");
    }

    #[test]
    fn a_fault_is_named_with_its_byte() {
        let message = |bytes: &[u8]| RtpPacket::parse(bytes).expect_err("invalid").to_string();
        assert_eq!(
            message(&HEADER[..11]),
            "byte 11 of the packet: the packet ends 1 bytes too early for its header"
        );
        assert_eq!(
            message(&packet(0x40, b"")),
            "byte 0 of the packet: RTP version 1; only version 2 is in use"
        );
        assert_eq!(
            message(&packet(0x82, &[0; 7])),
            "byte 19 of the packet: the packet ends 1 bytes too early for its header"
        );
        assert_eq!(
            message(&packet(0x90, &[0, 0, 0])),
            "byte 15 of the packet: the packet ends 1 bytes too early for its header extension"
        );
        assert_eq!(
            message(&packet(0x90, &[0, 0, 0xFF, 0xFF])),
            "byte 16 of the packet: the packet ends 262140 bytes too early for its header"
        );
        for padding in [0, 4, 16, 255] {
            let expected =
                format!("byte 14 of the packet: {padding} bytes of padding in a packet of 15 bytes");
            assert_eq!(message(&packet(0xA0, &[1, 1, padding])), expected);
        }
    }
}
