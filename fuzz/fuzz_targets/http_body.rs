//! Any bytes as the body after one of the heads that cameras send: the result is the same however the bytes are
//! divided, and contains nothing twice.
#![no_main]

use bytes::BytesMut;
use framecast_drivers::http1::{Body, Head, HeadReader};
use libfuzzer_sys::fuzz_target;

const HEADS: [&str; 7] = [
    "Transfer-Encoding: chunked",
    "Content-Length: 40",
    "Content-Length: 0",
    "Content-Length: 99999999999999",
    "Content-Length: -1",
    "Content-Length: 7\r\nContent-Type: multipart/x-mixed-replace",
    "Server: cam",
];

/// The body when it arrives in pieces of `step` bytes and the connection then closes; `None` if it cannot be parsed.
fn decode(head: &Head, bytes: &[u8], step: usize) -> Option<(Vec<u8>, bool)> {
    let (mut body, mut buf, mut found) = (Body::new(head), BytesMut::new(), Vec::new());
    for piece in bytes.chunks(step) {
        buf.extend_from_slice(piece);
        while let Some(data) = body.decode(&mut buf).ok()? {
            assert!(!data.is_empty());
            found.extend_from_slice(&data);
        }
    }
    let is_done = body.is_done();
    if !is_done {
        found.extend(body.close(&mut buf).unwrap_or_default());
    }
    Some((found, is_done))
}

/// The body when the bytes that belong to it as they are do not pass through the decoder.
fn decode_past(head: &Head, bytes: &[u8], step: usize) -> Option<(Vec<u8>, bool)> {
    let (mut body, mut buf, mut found) = (Body::new(head), BytesMut::new(), Vec::new());
    for mut piece in bytes.chunks(step) {
        while !piece.is_empty() && !body.is_done() {
            let plain_bytes = if buf.is_empty() { body.plain_bytes().min(piece.len()) } else { 0 };
            if plain_bytes > 0 {
                body.skip_plain(plain_bytes);
                found.extend_from_slice(&piece[..plain_bytes]);
                piece = &piece[plain_bytes..];
                continue;
            }
            buf.extend_from_slice(std::mem::take(&mut piece));
            while let Some(data) = body.decode(&mut buf).ok()? {
                found.extend_from_slice(&data);
            }
        }
    }
    let is_done = body.is_done();
    if !is_done {
        found.extend(body.close(&mut buf).unwrap_or_default());
    }
    Some((found, is_done))
}

fuzz_target!(|input: (u8, u8, Vec<u8>)| {
    let (head, step, bytes) = input;
    let lines = HEADS[usize::from(head) % HEADS.len()];
    let head = HeadReader::default().read(format!("HTTP/1.1 200 OK\r\n{lines}\r\n\r\n").as_bytes());
    let head = head.expect("the head is valid").expect("the head is complete").0;
    let whole = decode(&head, &bytes, bytes.len().max(1));
    assert_eq!(decode(&head, &bytes, usize::from(step).max(1)), whole);
    assert_eq!(decode_past(&head, &bytes, usize::from(step).max(1)), whole);
    if let Some((found, _)) = whole {
        assert!(found.len() <= bytes.len());
    }
});
