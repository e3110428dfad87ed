//! Any text as a message of a player of go2rtc: it becomes a request with a short type, or an error with a reason.
#![no_main]

use framecast_media::Codec;
use framecast_outputs::go2rtc::message::{PlayerMessage, parse};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    match parse(text) {
        Ok(PlayerMessage::Mse(codecs)) => assert!(!codecs.contains(Codec::Jpeg)),
        Ok(PlayerMessage::Mjpeg) => {}
        Ok(PlayerMessage::Other(kind)) => {
            assert!(kind.chars().count() <= 30 && kind != "mse" && kind != "mjpeg");
        }
        Err(bad) => assert!(!bad.to_string().is_empty()),
    }
});
