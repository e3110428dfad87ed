//! Splits what a viewer of coded video receives into units: the messages of `/api/live`, or the boxes of `stream.mp4`.
//! This module knows no sockets.

use anyhow::{Result, bail, ensure};
use framecast_media::container::fmp4::FRAGMENT_HEAD_BYTES;

/// The number of bytes before the payload in a binary message of `/api/live`.
pub(crate) const MESSAGE_HEAD_BYTES: usize = 16;

/// The longest unit that is read; a frame of a fake camera is far smaller.
const UNIT_LIMIT_BYTES: usize = 64 * 1024 * 1024;

/// The flags of a binary message of `/api/live`.
const SLATE: u8 = 1;
const FRAGMENT: u8 = 2;
const INIT: u8 = 4;

/// What a unit is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum UnitKind {
    /// A text message.
    Text,
    /// A ping of the WebSocket.
    Ping,
    /// The end of the WebSocket.
    Close,
    /// A part of the init segment.
    Init,
    /// A drawn picture.
    Slate,
    /// One frame of coded video. Its time of decoding is in ticks of 90 kHz.
    Frame { ticks_90k: u64, is_keyframe: bool },
}

/// The beginning of a unit, which says what it is and how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct UnitHead {
    pub(crate) kind: UnitKind,
    /// The sequence number of a binary message.
    pub(crate) sequence: Option<u32>,
    /// Where the payload begins.
    pub(crate) payload_at: usize,
    /// How many bytes of the unit are needed to know its kind.
    pub(crate) head_bytes: usize,
    /// The length of the unit.
    pub(crate) total_bytes: usize,
}

/// Returns the head of the message of a WebSocket that `input` begins with; `None` if more bytes are needed.
///
/// # Errors
///
/// The server does not speak as `/api/live` does.
pub(crate) fn message_head(input: &[u8]) -> Result<Option<UnitHead>> {
    let &[first, length, ..] = input else { return Ok(None) };
    ensure!(first & 0xf0 == 0x80 && length < 0x80, "the server sent a frame of a WebSocket in parts");
    let (payload_at, length) = match length {
        126 if input.len() < 4 => return Ok(None),
        126 => (4, u64::from(u16::from_be_bytes([input[2], input[3]]))),
        127 if input.len() < 10 => return Ok(None),
        127 => (10, u64::from_be_bytes(array(input, 2))),
        _ => (2, length.into()),
    };
    ensure!(length <= UNIT_LIMIT_BYTES as u64, "the server sent a message of {length} bytes");
    let total_bytes = payload_at + length as usize;
    let whole =
        |kind| Some(UnitHead { kind, sequence: None, payload_at, head_bytes: total_bytes, total_bytes });
    match first & 0xf {
        1 => Ok(whole(UnitKind::Text)),
        8 => Ok(whole(UnitKind::Close)),
        9 => Ok(whole(UnitKind::Ping)),
        2 => binary_head(input, payload_at, total_bytes),
        opcode => bail!("the server sent a frame of a WebSocket with the opcode {opcode}"),
    }
}

fn binary_head(input: &[u8], at: usize, total_bytes: usize) -> Result<Option<UnitHead>> {
    let payload_at = at + MESSAGE_HEAD_BYTES;
    if input.len() < payload_at {
        return Ok(None);
    }
    let (flags, sequence) = (input[at + 1], u32::from_be_bytes(array(input, at + 4)));
    let is_frame = flags & FRAGMENT != 0;
    let head_bytes = if is_frame { payload_at + FRAGMENT_HEAD_BYTES } else { payload_at };
    ensure!(head_bytes <= total_bytes, "a message of {total_bytes} bytes is too short");
    if input.len() < head_bytes {
        return Ok(None);
    }
    let kind = match flags {
        _ if is_frame => frame(&input[payload_at..])?,
        INIT => UnitKind::Init,
        SLATE => UnitKind::Slate,
        _ => bail!("a message has the flags {flags}: the tile shows no coded video"),
    };
    Ok(Some(UnitHead { kind, sequence: Some(sequence), payload_at, head_bytes, total_bytes }))
}

/// Returns the head of the box of MP4 that `input` begins with, or of the two boxes of a fragment; `None` if more bytes
/// are needed.
///
/// # Errors
///
/// The stream is not as `stream.mp4` is.
pub(crate) fn box_head(input: &[u8]) -> Result<Option<UnitHead>> {
    if input.len() < 8 {
        return Ok(None);
    }
    let size = u32::from_be_bytes(array(input, 0)) as usize;
    let unit = |kind, head_bytes, total_bytes| UnitHead {
        kind,
        sequence: None,
        payload_at: 0,
        head_bytes,
        total_bytes,
    };
    match &input[4..8] {
        b"ftyp" | b"moov" => {
            ensure!((8..UNIT_LIMIT_BYTES).contains(&size), "a box has {size} bytes");
            Ok(Some(unit(UnitKind::Init, 8, size)))
        }
        b"moof" if input.len() < FRAGMENT_HEAD_BYTES => Ok(None),
        b"moof" => {
            let media = u32::from_be_bytes(array(input, FRAGMENT_HEAD_BYTES - 8)) as usize;
            ensure!((8..UNIT_LIMIT_BYTES).contains(&media), "a frame has {media} bytes");
            Ok(Some(unit(frame(input)?, FRAGMENT_HEAD_BYTES, FRAGMENT_HEAD_BYTES - 8 + media)))
        }
        other => bail!("the stream has a box {:?}", String::from_utf8_lossy(other)),
    }
}

/// Reads the head of a fragment, as docs/live.md describes it.
fn frame(head: &[u8]) -> Result<UnitKind> {
    let ends_well = head.get(FRAGMENT_HEAD_BYTES - 4..FRAGMENT_HEAD_BYTES) == Some(b"mdat");
    ensure!(ends_well, "the head of a fragment has another length");
    let ticks_90k = u64::from_be_bytes(array(head, 72));
    // The flags of the sample: it depends on no other.
    Ok(UnitKind::Frame { ticks_90k, is_keyframe: head[56] == 2 })
}

fn array<const N: usize>(input: &[u8], at: usize) -> [u8; N] {
    input[at..at + N].try_into().expect("the caller looked at the length")
}

#[cfg(test)]
mod tests {
    use framecast_media::container::fmp4::Fragment;

    use super::*;

    fn fragment() -> Vec<u8> {
        let fragment = Fragment {
            sequence_number: 1,
            dts_90k: 903_600,
            composition_offset_90k: 0,
            duration_90k: 7200,
            is_keyframe: true,
            is_disposable: false,
            data_bytes: 500,
        };
        [&fragment.head().unwrap()[..], &[7; 500]].concat()
    }

    #[test]
    fn a_message_with_a_frame_is_known_from_its_first_bytes_alone() {
        let payload = [&[1, 10, 0, 1, 0, 0, 0, 9], &[0; 8][..], &fragment()].concat();
        let message = [&[0x82, 126][..], &(payload.len() as u16).to_be_bytes(), &payload].concat();
        let kind = UnitKind::Frame { ticks_90k: 903_600, is_keyframe: true };
        let expected =
            UnitHead { kind, sequence: Some(9), payload_at: 20, head_bytes: 132, total_bytes: message.len() };
        for length in 0..132 {
            assert_eq!(message_head(&message[..length]).unwrap(), None, "{length}");
        }
        assert_eq!(message_head(&message[..132]).unwrap(), Some(expected));
    }

    #[test]
    fn a_text_and_an_init_segment_are_not_frames() {
        let text = message_head(b"\x81\x02{}").unwrap().unwrap();
        assert_eq!((text.kind, text.total_bytes), (UnitKind::Text, 4));
        let init = [&[0x82, 20, 1, 4, 0, 1, 0, 0, 0, 1][..], &[0; 12]].concat();
        assert_eq!(message_head(&init).unwrap().unwrap().kind, UnitKind::Init);
        assert!(message_head(&[&[0x82, 20, 1, 0][..], &[0; 18]].concat()).is_err(), "a JPEG");
    }

    #[test]
    fn the_boxes_of_a_fragment_are_one_unit() {
        let fragment = fragment();
        assert_eq!(box_head(&fragment[..111]).unwrap(), None);
        let head = box_head(&fragment).unwrap().unwrap();
        assert_eq!((head.head_bytes, head.total_bytes), (112, fragment.len()));
        assert_eq!(head.kind, UnitKind::Frame { ticks_90k: 903_600, is_keyframe: true });
        assert_eq!(box_head(b"\0\0\0\x14ftyp").unwrap().unwrap().total_bytes, 20);
        assert!(box_head(b"\0\0\0\x14free").is_err());
    }
}
