//! Any bytes as the head of a camera's answer: the result is the same however the bytes are divided, and within its
//! bounds.
#![no_main]

use framecast_drivers::http1::{HeadReader, MAX_HEAD_BYTES};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (Vec<u8>, u8)| {
    let (bytes, step) = input;
    let whole = HeadReader::default().read(&bytes);
    let mut reader = HeadReader::default();
    let step = usize::from(step).max(1);
    let mut piecewise = Ok(None);
    for end in (0..bytes.len()).step_by(step).chain([bytes.len()]) {
        piecewise = reader.read(&bytes[..end]);
        if !matches!(piecewise, Ok(None)) {
            break;
        }
    }
    if let (Ok(whole), Ok(piecewise)) = (&whole, &piecewise) {
        assert_eq!(whole, piecewise);
    }
    assert_eq!(whole.is_ok(), piecewise.is_ok());
    if let Ok(Some((head, len))) = whole {
        assert!(len <= bytes.len() && len <= MAX_HEAD_BYTES);
        assert!((100..1000).contains(&head.status()) && head.status_line().len() <= 60);
        for name in ["Content-Type", "WWW-Authenticate", "Set-Cookie", "Location"] {
            assert!(head.get_all(name).all(|value| !value.contains(['\n', '\r', '\0'])));
        }
    }
});
