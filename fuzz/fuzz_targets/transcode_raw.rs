//! Any bytes as a raw picture of any format and size: rejected, or encoded to an image of that size by both codecs.
#![no_main]

use std::cell::RefCell;
use std::sync::Arc;
use std::time::SystemTime;

use framecast_media::codec::jpeg::parse_markers;
use framecast_media::codec::raw::{PixelFormat, ColorRange};
use framecast_media::{Bytes, Codec, Format, Frame, Timestamp};
use framecast_transcode::{Backend, Transcoder, TargetFormat};
use libfuzzer_sys::fuzz_target;

thread_local! {
    static CODECS: RefCell<[Transcoder; 2]> = RefCell::new(
        [Backend::best(), Backend::pure_rust()].map(|backend| Transcoder::new(backend).expect("a handle")),
    );
}

fuzz_target!(|data: &[u8]| {
    let Some(([kind, width, height, target], data)) = data.split_first_chunk::<4>() else { return };
    let format = PixelFormat::ALL[usize::from(*kind) % PixelFormat::ALL.len()];
    let range = if kind & 0x80 == 0 { ColorRange::Full } else { ColorRange::Limited };
    let (width_px, height_px) = (u32::from(*width), u32::from(*height));
    // Some inputs get the right length; others stay as they are.
    let mut data = data.to_vec();
    let expected = format.len_bytes(width_px, height_px);
    if kind & 0x40 == 0 {
        data.resize(expected, 0x55);
    }
    let frame = Frame::new(Bytes::from(data), Timestamp::default(), SystemTime::UNIX_EPOCH, Arc::new(Format::new(Codec::Raw(format, range), width_px, height_px)));
    let may = width_px * height_px > 0 && frame.data.len() == expected;
    let target_format = TargetFormat { width_px: Some(u32::from(*target)), quality: Some(*target), ..TargetFormat::default() };
    CODECS.with_borrow_mut(|codecs| {
        for transcoder in codecs {
            let output = transcoder.transcode(&frame, &target_format);
            assert_eq!(output.is_ok(), may, "{output:?}");
            if let Ok(output) = output {
                let header = parse_markers(&output.data).expect("the encoder returned a complete picture");
                assert_eq!((header.width_px, header.height_px), target_format.fit(width_px, height_px));
            }
        }
    });
});
