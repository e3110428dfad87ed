//! Any bytes as one picture: the scanner and the finder agree, an accepted picture is complete, nothing panics.
#![no_main]

use framecast_media::Bytes;
use framecast_media::codec::jpeg::{Normalized, EndFinder, Problem, normalize, normalize_complete, decode, parse_markers};
use libfuzzer_sys::fuzz_target;

/// Small enough that a decoded picture costs the fuzzer little.
const MAX_PIXELS: usize = 1 << 16;

fuzz_target!(|data: &[u8]| {
    let scanned = parse_markers(data);
    let mut finder = EndFinder::new();
    let found =
        (0..=data.len()).map(|len| finder.advance(&data[..len])).find(|found| !matches!(found, Ok(None)));
    match (&scanned, found) {
        (Ok(header), Some(Ok(Some(len)))) => assert_eq!(header.len_bytes, len),
        (Err(framecast_media::Error::Jpeg { problem: Problem::Truncated, .. }), None) => {}
        (Err(scanned), Some(Err(found))) => assert_eq!(*scanned, found),
        (scanned, found) => panic!("scan: {scanned:?}, finder: {found:?}"),
    }
    let whole = Bytes::copy_from_slice(data);
    let (found, completed) = (normalize(whole.clone()), normalize_complete(whole));
    match (&scanned, &found) {
        (Ok(_), Err(error)) => panic!("the scanner accepts what the frame builder refuses: {error}"),
        (_, Ok(found)) => assert_eq!(completed.as_ref(), Ok(found)),
        (Err(_), Err(_)) => {}
    }
    if let Ok(Normalized { data: normalized, header, is_repaired }) = completed {
        assert!(is_repaired || found.is_ok());
        let again = parse_markers(&normalized).expect("the frame builder returned a complete picture");
        assert!(again.has_huffman_tables);
        assert_eq!(again.len_bytes, normalized.len());
        assert_eq!((again.width_px, again.height_px), (header.width_px, header.height_px));
        if let Ok(picture) = decode(&normalized, MAX_PIXELS) {
            assert_eq!((picture.width_px(), picture.height_px()), (header.width_px, header.height_px));
        }
    }
    let _ = decode(data, MAX_PIXELS);
});
