//! Creates real JPEG images that contain a number in a JPEG comment segment. Images of equal size with different
//! numbers differ only in this segment, so each size is encoded only once.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use framecast_media::codec::{RgbImage, jpeg as coder};
use framecast_media::{Codec, Dependency, Format, Frame, Timestamp, lock};

/// The text before the number in the JPEG comment segment.
const TAG: &[u8] = b"picture number ";

/// The number of decimal digits of the number in the comment segment, with leading zeros: enough for the largest `u64`.
const DIGITS: usize = 20;

/// The maximum length in bytes of the text in a JPEG comment segment.
const MAX_COMMENT_BYTES: usize = 65_533;

static JPEG_CACHE: Mutex<BTreeMap<(u32, u32), Bytes>> = Mutex::new(BTreeMap::new());

/// Creates a JPEG image of this size in pixels that contains `number`.
pub fn jpeg(width_px: u32, height_px: u32, number: u64) -> Bytes {
    with_number(&encoded_jpeg(width_px, height_px), 0, number)
}

/// Creates a JPEG image that is exactly `len_bytes` long and contains `number`.
///
/// # Panics
/// If `len_bytes` is below 1024.
pub fn jpeg_of_len(len_bytes: usize, number: u64) -> Bytes {
    assert!(len_bytes >= 1024, "no picture is so small");
    let picture = encoded_jpeg(16, 16);
    let bare = with_number(&picture, 0, number).len();
    with_number(&picture, len_bytes - bare, number)
}

/// Returns the number that [`jpeg`] wrote into the picture `jpeg`, or `None` if the picture contains none.
pub fn number_of(jpeg: &[u8]) -> Option<u64> {
    let digits = jpeg.get(6..6 + TAG.len() + DIGITS)?.strip_prefix(TAG)?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// Creates a frame with a JPEG picture that contains `number`. The frame's media time (`pts`) is `number` thirtieths of
/// a second, and its capture time is the start of 1970 plus the media time.
pub fn frame(number: u64) -> Frame {
    let data = jpeg(16, 16, number);
    let elapsed = Duration::from_secs(number) / 30;
    let format = Arc::new(Format::new(Codec::Jpeg, 16, 16));
    Frame::new(data, Timestamp::from_duration(elapsed), SystemTime::UNIX_EPOCH + elapsed, format)
}

/// Creates a frame like [`frame`], but with a picture that is `len_bytes` long.
pub fn frame_of_len(len_bytes: usize, number: u64) -> Frame {
    let Frame { pts, captured_at, format, .. } = frame(number);
    Frame::new(jpeg_of_len(len_bytes, number), pts, captured_at, format)
}

/// Creates a frame like [`frame`], but as a part of coded video: its picture is `len_bytes` long, and `dependency` says
/// how it and the frames around it depend on each other.
pub fn coded(number: u64, dependency: Dependency, len_bytes: usize) -> Frame {
    let Frame { pts, captured_at, format, .. } = frame(number);
    Frame::coded(jpeg_of_len(len_bytes, number), dependency, pts, captured_at, format)
}

/// Creates a frame like [`coded`]. The frame is a keyframe if `number` is a multiple of `interval`; every other frame
/// needs the frame before it.
pub fn keyframe(number: u64, interval: u64, len_bytes: usize) -> Frame {
    let is_keyframe = number.is_multiple_of(interval);
    coded(number, if is_keyframe { Dependency::Keyframe } else { Dependency::Reference }, len_bytes)
}

fn encoded_jpeg(width_px: u32, height_px: u32) -> Bytes {
    let mut encoded = lock(&JPEG_CACHE);
    let picture = encoded.entry((width_px, height_px)).or_insert_with(|| {
        let mut picture = RgbImage::new(width_px, height_px);
        for (at, byte) in picture.data_mut().iter_mut().enumerate() {
            *byte = (at % 251) as u8;
        }
        coder::encode(&picture, 80).expect("the size of a test's picture can be coded")
    });
    picture.clone()
}

/// Returns the JPEG image `picture` with comment segments after its start marker, which contain `number` and
/// `padding_bytes` bytes of padding.
fn with_number(picture: &[u8], padding_bytes: usize, number: u64) -> Bytes {
    let mut data = Vec::with_capacity(picture.len() + padding_bytes + 64);
    data.extend_from_slice(&picture[..2]);
    let mut text = TAG.to_vec();
    text.extend_from_slice(format!("{number:0DIGITS$}").as_bytes());
    let mut left = padding_bytes;
    // A separate comment costs four bytes; smaller padding goes into the number's comment.
    let own = left % (MAX_COMMENT_BYTES + 4);
    text.resize(text.len() + if own < 4 { own } else { 0 }, b' ');
    left -= if own < 4 { own } else { 0 };
    push_comment(&mut data, &text);
    while left > 0 {
        let taken = left.min(MAX_COMMENT_BYTES + 4);
        push_comment(&mut data, &vec![0; taken - 4]);
        left -= taken;
    }
    data.extend_from_slice(&picture[2..]);
    data.into()
}

fn push_comment(data: &mut Vec<u8>, text: &[u8]) {
    let len = u16::try_from(text.len() + 2).expect("a comment is cut to what its segment holds");
    data.extend_from_slice(&[0xFF, 0xFE]);
    data.extend_from_slice(&len.to_be_bytes());
    data.extend_from_slice(text);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_is_whole_and_carries_its_number() {
        for number in [0, 7, u64::MAX] {
            let data = jpeg(40, 30, number);
            let header = coder::parse_markers(&data).unwrap();
            assert_eq!((header.width_px, header.height_px, header.len_bytes), (40, 30, data.len()));
            assert_eq!(number_of(&data), Some(number));
        }
        assert_eq!(number_of(b"\xFF\xD8"), None);
    }

    #[test]
    fn a_picture_has_the_length_that_is_asked_for() {
        for len_bytes in [1024, 1025, 4096, 65_536, 66_562, 66_563, 66_564, 200_001] {
            let data = jpeg_of_len(len_bytes, 5);
            assert_eq!(data.len(), len_bytes);
            assert_eq!(coder::parse_markers(&data).unwrap().len_bytes, len_bytes);
            assert_eq!(number_of(&data), Some(5));
        }
    }
}
