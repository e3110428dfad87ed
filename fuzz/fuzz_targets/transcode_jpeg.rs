//! Any bytes as a picture to scale down, by libjpeg-turbo and by the pure Rust codec: nothing panics, all sizes stay
//! within bounds, and the result is a whole image of the requested size.
#![no_main]

use std::cell::RefCell;
use std::sync::Arc;
use std::time::SystemTime;

use framecast_media::codec::jpeg::{Normalized, normalize, parse_markers};
use framecast_media::{Bytes, Codec, Format, Frame, Timestamp};
use framecast_transcode::{Backend, Decoder, Transcoder, TargetFormat};
use libfuzzer_sys::fuzz_target;

/// Small enough that a decoded picture costs the fuzzer little.
const MAX_PIXELS: usize = 1 << 16;

thread_local! {
    static CODECS: RefCell<Vec<(Decoder, Transcoder)>> = RefCell::new(
        [Backend::best(), Backend::pure_rust()]
            .map(|backend| (Decoder::new(backend).expect("a handle"), Transcoder::new(backend).expect("a handle")))
            .into(),
    );
}

fuzz_target!(|data: &[u8]| {
    // The first two bytes are the target; the rest is the picture, tried unchanged and after the frame check.
    let Some((target, data)) = data.split_first_chunk::<2>() else { return };
    let target = (u32::from(target[0]), u32::from(target[1]));
    let normalized = normalize(Bytes::copy_from_slice(data));
    CODECS.with_borrow_mut(|codecs| {
        for (decoder, transcoder) in codecs {
            for jpeg in [data].into_iter().chain(normalized.as_ref().ok().map(|normalized| &normalized.data[..])) {
                if let Ok(planar) = decoder.decode_scaled(jpeg, MAX_PIXELS, target) {
                    assert!(planar.width() * planar.height() <= MAX_PIXELS);
                }
                let _ = decoder.decode_luma_scaled(jpeg, MAX_PIXELS, target);
            }
            let Ok(Normalized { data: normalized, header, .. }) = &normalized else { continue };
            if header.width_px as usize * header.height_px as usize > MAX_PIXELS {
                continue;
            }
            let (width_px, height_px) = (header.width_px, header.height_px);
            let frame = Frame::new(normalized.clone(), Timestamp::default(), SystemTime::UNIX_EPOCH, Arc::new(Format::new(Codec::Jpeg, width_px, height_px)));
            let target_format = TargetFormat { width_px: Some(target.0.max(1)), quality: Some(50), ..TargetFormat::default() };
            if let Ok(output) = transcoder.transcode(&frame, &target_format) {
                let header = parse_markers(&output.data).expect("the encoder returned a complete picture");
                assert_eq!((header.width_px, header.height_px), target_format.fit(width_px, height_px));
            }
        }
    });
});
