//! Writes the head of a fragment: `moof` with one sample, and the header of its `mdat`.
//!
//! A fragment is its head and the bytes of the frame. So all viewers of a frame share both buffers, and no byte of the
//! frame is copied. The boxes are those of ISO/IEC 14496-12 §8.8. Their values are those that Media Source Extensions
//! require ("ISO BMFF Byte Stream Format").

use super::TRACK_ID;
use crate::{Error, Frame};

/// The number of bytes of a fragment before the frame's bytes.
pub const FRAGMENT_HEAD_BYTES: usize = MOOF_BYTES + 8;

/// `mfhd` has 16 bytes, `traf` a header of 8, `tfhd` 28, `tfdt` 20, `trun` with one sample 24.
const TRAF_BYTES: usize = 8 + 28 + 20 + 24;
const MOOF_BYTES: usize = 8 + 16 + TRAF_BYTES;

/// default-base-is-moof, and defaults for duration, size and flags of the sample.
const TFHD_FLAGS: u32 = 0x02_0038;
/// Version 1 (signed composition offsets), with the data offset and composition offsets.
const TRUN_VERSION_AND_FLAGS: u32 = 0x0100_0801;
/// The sample depends on no other sample.
const KEYFRAME_FLAGS: u32 = 0x0200_0000;
/// The sample depends on others and is not a sync sample.
const DELTA_FLAGS: u32 = 0x0101_0000;
/// The sample is like [`DELTA_FLAGS`], and no other sample depends on it.
const DISPOSABLE_FLAGS: u32 = DELTA_FLAGS | 0x0080_0000;

/// What the head of a fragment says about the one frame in it. Times are in ticks of 90 kHz.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fragment {
    /// The number of the fragment in its stream; the first one has 1.
    pub sequence_number: u32,
    /// When to decode the frame: the time since the stream's zero.
    pub dts_90k: u64,
    /// How much later than `dts_90k` the frame is shown.
    pub composition_offset_90k: i32,
    /// How long the frame is shown if no other follows. If the next frame is decoded later than after twice this time,
    /// browsers skip all frames up to the next keyframe (Media Source Extensions, "coded frame processing"). So it must
    /// be long enough for frames that are dropped and for pauses; players end it where the next frame begins. Zero is
    /// written as 1, because Safari refuses samples without a duration.
    pub duration_90k: u32,
    /// Whether a decoder can start at the frame.
    pub is_keyframe: bool,
    /// Whether no other frame needs the frame.
    pub is_disposable: bool,
    /// The number of bytes of the frame.
    pub data_bytes: usize,
}

impl Fragment {
    /// Makes the fragment of `frame`. `zero_90k` is the decoding time at which the stream begins: a frame that is
    /// decoded before is written as one at the beginning.
    pub fn of(frame: &Frame, sequence_number: u32, zero_90k: i64, duration_90k: u32) -> Self {
        let dts = frame.dts.ticks();
        let offset = frame.pts.ticks().saturating_sub(dts);
        Self {
            sequence_number,
            dts_90k: u64::try_from(dts.saturating_sub(zero_90k)).unwrap_or(0),
            composition_offset_90k: offset.clamp(i32::MIN.into(), i32::MAX.into()) as i32,
            duration_90k,
            is_keyframe: frame.is_keyframe,
            is_disposable: frame.is_disposable,
            data_bytes: frame.data.len(),
        }
    }

    /// Writes the head. The bytes of the frame follow it.
    ///
    /// # Errors
    /// [`Error::FragmentTooLarge`] if the frame and the header of its box have 4 GiB or more.
    pub fn head(&self) -> Result<[u8; FRAGMENT_HEAD_BYTES], Error> {
        let data_bytes = self.data_bytes;
        let mdat_bytes = data_bytes.checked_add(8).and_then(|bytes| u32::try_from(bytes).ok());
        let mdat_bytes = mdat_bytes.ok_or(Error::FragmentTooLarge { data_bytes })?;
        let flags = match (self.is_keyframe, self.is_disposable) {
            (true, _) => KEYFRAME_FLAGS,
            (false, false) => DELTA_FLAGS,
            (false, true) => DISPOSABLE_FLAGS,
        };
        let mut head = Head { bytes: [0; FRAGMENT_HEAD_BYTES], len: 0 };
        head.box_header(MOOF_BYTES as u32, b"moof");
        head.box_header(16, b"mfhd");
        head.words(&[0, self.sequence_number]);
        head.box_header(TRAF_BYTES as u32, b"traf");
        head.box_header(28, b"tfhd");
        head.words(&[TFHD_FLAGS, TRACK_ID, self.duration_90k.max(1), mdat_bytes - 8, flags]);
        head.box_header(20, b"tfdt");
        head.words(&[0x0100_0000, (self.dts_90k >> 32) as u32, self.dts_90k as u32]);
        head.box_header(24, b"trun");
        head.words(&[TRUN_VERSION_AND_FLAGS, 1, FRAGMENT_HEAD_BYTES as u32]);
        head.put(self.composition_offset_90k.to_be_bytes());
        head.box_header(mdat_bytes, b"mdat");
        debug_assert_eq!(head.len, FRAGMENT_HEAD_BYTES);
        Ok(head.bytes)
    }
}

/// A head that is being written.
struct Head {
    bytes: [u8; FRAGMENT_HEAD_BYTES],
    len: usize,
}

impl Head {
    fn put(&mut self, word: [u8; 4]) {
        self.bytes[self.len..self.len + 4].copy_from_slice(&word);
        self.len += 4;
    }

    fn words(&mut self, words: &[u32]) {
        for word in words {
            self.put(word.to_be_bytes());
        }
    }

    fn box_header(&mut self, size_bytes: u32, kind: &[u8; 4]) {
        self.put(size_bytes.to_be_bytes());
        self.put(*kind);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::SystemTime;

    use bytes::Bytes;
    use mp4_atom::{Decode, Header, Moof};

    use super::*;
    use crate::{Codec, Dependency, Format, Timestamp};

    const FRAGMENT: Fragment = Fragment {
        sequence_number: 7,
        dts_90k: 0x1_2345_6789,
        composition_offset_90k: -3000,
        duration_90k: 3600,
        is_keyframe: true,
        is_disposable: false,
        data_bytes: 1000,
    };

    fn parse(fragment: Fragment) -> (Moof, Header) {
        let head = fragment.head().unwrap();
        let mut rest = &head[..];
        let moof = Moof::decode(&mut rest).unwrap();
        let mdat = Header::decode(&mut rest).unwrap();
        assert!(rest.is_empty());
        (moof, mdat)
    }

    #[test]
    fn another_parser_reads_what_the_head_says() {
        let (moof, mdat) = parse(FRAGMENT);
        assert_eq!(moof.mfhd.sequence_number, 7);
        let [traf] = &moof.traf[..] else { panic!("{moof:?}") };
        assert_eq!(traf.tfhd.track_id, TRACK_ID);
        assert_eq!(traf.tfhd.base_data_offset, None);
        assert_eq!(traf.tfhd.default_sample_duration, Some(3600));
        assert_eq!(traf.tfhd.default_sample_size, Some(1000));
        assert_eq!(traf.tfhd.default_sample_flags, Some(0x0200_0000));
        assert_eq!(traf.tfdt.as_ref().unwrap().base_media_decode_time, 0x1_2345_6789);
        let [trun] = &traf.trun[..] else { panic!("{traf:?}") };
        assert_eq!(trun.data_offset, Some(FRAGMENT_HEAD_BYTES as i32));
        let samples: Vec<_> = trun.samples.iter().map(|sample| sample.cts).collect();
        assert_eq!(samples, [Some(-3000)]);
        assert_eq!((mdat.kind, mdat.size), (b"mdat".into(), Some(1000)));
    }

    #[test]
    fn the_flags_say_what_a_decoder_may_skip() {
        let flags = |is_keyframe, is_disposable| {
            let (moof, _) = parse(Fragment { is_keyframe, is_disposable, ..FRAGMENT });
            moof.traf[0].tfhd.default_sample_flags.unwrap()
        };
        assert_eq!(flags(false, false), 0x0101_0000);
        assert_eq!(flags(false, true), 0x0181_0000);
        assert_eq!(flags(true, true), 0x0200_0000);
    }

    #[test]
    fn a_duration_is_never_zero() {
        let (moof, _) = parse(Fragment { duration_90k: 0, ..FRAGMENT });
        assert_eq!(moof.traf[0].tfhd.default_sample_duration, Some(1));
    }

    #[test]
    fn four_gibibytes_do_not_fit() {
        let head = |data_bytes| Fragment { data_bytes, ..FRAGMENT }.head();
        assert!(head(u32::MAX as usize - 8).is_ok());
        for data_bytes in [u32::MAX as usize - 7, usize::MAX] {
            assert_eq!(head(data_bytes), Err(Error::FragmentTooLarge { data_bytes }));
        }
    }

    #[test]
    fn the_fragment_of_a_frame_counts_its_time_from_the_zero_of_the_stream() {
        let format = Arc::new(Format::new(Codec::H264, 16, 16));
        let pts = Timestamp::from_ticks(10_000);
        let data = Bytes::from_static(b"data");
        let mut frame = Frame::coded(data, Dependency::Disposable, pts, SystemTime::UNIX_EPOCH, format);
        frame.dts = Timestamp::from_ticks(7000);
        let expected = Fragment {
            sequence_number: 3,
            dts_90k: 6000,
            composition_offset_90k: 3000,
            duration_90k: 3600,
            is_keyframe: false,
            is_disposable: true,
            data_bytes: 4,
        };
        assert_eq!(Fragment::of(&frame, 3, 1000, 3600), expected);
        assert_eq!(Fragment::of(&frame, 3, 8000, 3600), Fragment { dts_90k: 0, ..expected });
    }
}
