//! Any text as a client's message of `/api/live`: it becomes a message whose fields keep their ranges, or an error with
//! a reason.
#![no_main]

use framecast_outputs::live::message::{ClientMessage, parse};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    match parse(text) {
        Ok(ClientMessage::Subscribe(wish)) => {
            assert!(wish.priority <= 100);
            assert!(wish.fps.is_none_or(|fps| (0.01..=1000.0).contains(&fps)));
            assert!(wish.rendition.width_px().is_none_or(|width| (160..=3840).contains(&width)));
            assert!(!wish.plays_mp4 || text.contains("mp4") || text.contains('\\'));
            assert!(wish.rendition.quality().is_none_or(|quality| (30..=95).contains(&quality)));
        }
        Ok(ClientMessage::Ack(ack)) => assert!(ack.paint.is_none_or(|paint| paint.as_secs() <= 86_400)),
        Ok(ClientMessage::Unsubscribe { .. }) => {}
        Err(bad) => assert!(!bad.to_string().is_empty()),
    }
});
