//! Any parameter sets and numbers: the writer refuses them, or writes what the reader reads back.
#![no_main]

use bytes::Bytes;
use framecast_media::codec::nal::push_unit;
use framecast_media::container::fmp4::{Fmp4Reader, Fragment, content_type, init_segment};
use framecast_media::{Codec, Format};
use libfuzzer_sys::fuzz_target;

/// Takes a number of `N` bytes from the front of `data`; missing bytes are 0.
fn number<const N: usize>(data: &mut &[u8]) -> [u8; N] {
    let (head, rest) = data.split_at(data.len().min(N));
    *data = rest;
    let mut bytes = [0; N];
    bytes[..head.len()].copy_from_slice(head);
    bytes
}

fuzz_target!(|data: &[u8]| {
    let mut data = data;
    let [choice, flags] = number(&mut data);
    let codec = if choice & 1 == 0 { Codec::H264 } else { Codec::H265 };
    let fragment = Fragment {
        sequence_number: u32::from_be_bytes(number(&mut data)),
        dts_90k: u64::from_be_bytes(number(&mut data)) >> (flags >> 2),
        composition_offset_90k: i32::from_be_bytes(number(&mut data)),
        duration_90k: u32::from_be_bytes(number(&mut data)),
        is_keyframe: flags & 1 != 0,
        is_disposable: flags & 2 != 0,
        data_bytes: 0,
    };
    let mut sets = Vec::new();
    while !data.is_empty() {
        let [len] = number(&mut data);
        let (set, rest) = data.split_at(data.len().min(len.into()));
        sets.push(Bytes::copy_from_slice(set));
        data = rest;
    }
    let format = Format::new(codec, 0, 0).with_parameter_sets(sets);
    let (Ok(init), Ok(content_type)) = (init_segment(&format), content_type(&format)) else {
        assert_eq!(init_segment(&format).err(), content_type(&format).err());
        return;
    };
    assert!(content_type.starts_with("video/mp4; codecs=\""));
    // An IDR slice in H.264, and in H.265.
    let mut frame = Vec::new();
    push_unit(&mut frame, if codec == Codec::H264 { &[0x65, 0x88] } else { &[0x26, 1, 0x80] });
    let head = Fragment { data_bytes: frame.len(), ..fragment }.head().expect("the frame is small");
    let mut reader = Fmp4Reader::default();
    reader.push(&init);
    reader.push(&head);
    reader.push(&frame);
    match reader.next_sample() {
        Ok(Some(sample)) => {
            assert_eq!(sample.data, frame);
            let dts = i64::try_from(fragment.dts_90k).unwrap_or(i64::MAX);
            assert_eq!(sample.dts.ticks(), dts);
            let pts = i128::from(fragment.dts_90k) + i128::from(fragment.composition_offset_90k);
            assert_eq!(sample.pts.ticks(), i64::try_from(pts).unwrap_or(i64::MAX));
            assert!(sample.format.width_px > 0 && sample.format.height_px > 0);
        }
        other => assert!(fragment.dts_90k.checked_add(fragment.duration_90k.max(1).into()).is_none(), "{other:?}"),
    }
});
