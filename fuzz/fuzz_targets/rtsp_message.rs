//! The messages of an RTSP server are the same however their bytes are cut, and no message is longer than its limit.
#![no_main]

use framecast_drivers::rtsp_message::{MAX_BODY_BYTES, Message, MessageReader};
use libfuzzer_sys::fuzz_target;

/// Reads `bytes` in pieces of `size`. Returns the messages, and whether the rest was unreadable.
fn read(bytes: &[u8], size: usize) -> (Vec<Message>, bool) {
    let (mut reader, mut messages) = (MessageReader::default(), Vec::new());
    for piece in bytes.chunks(size) {
        reader.room().extend_from_slice(piece);
        loop {
            match reader.next_message() {
                Ok(Some(message)) => messages.push(message),
                Ok(None) => break,
                Err(_) => return (messages, true),
            }
        }
    }
    (messages, false)
}

fuzz_target!(|input: (u8, &[u8])| {
    let (size, bytes) = input;
    let (whole, _) = read(bytes, bytes.len().max(1));
    for message in &whole {
        match message {
            Message::Response(response) => assert!(response.body.len() <= MAX_BODY_BYTES),
            Message::Packet { data, .. } => assert!(data.len() <= usize::from(u16::MAX)),
            Message::Request(_) => {}
        }
    }
    let (cut, _) = read(bytes, usize::from(size).max(1));
    assert_eq!(whole, cut);
});
