//! Takes the messages of an RTSP server from a stream of bytes (RFC 2326 §4 to §7, §10.12): responses, requests of the
//! server, and packets of media between them.
//!
//! The heads are written like those of HTTP, so [`http1`](crate::http1) parses them. No message takes more memory than
//! [`MAX_BODY_BYTES`] and a head.

use bytes::{Buf, Bytes, BytesMut};

use crate::http1::{self, Head, HeadReader, MAX_HEAD_BYTES};

/// The maximum number of bytes of a response's body. A description of a stream has a few kilobytes.
pub const MAX_BODY_BYTES: usize = 256 * 1024;

/// The first byte of a packet of media (RFC 2326 §10.12).
const PACKET_START: u8 = b'$';

/// The beginning of a response.
const RESPONSE_START: &[u8] = b"RTSP/";

/// The number of bytes before a packet's data: the start byte, the channel and the length.
const PACKET_HEAD_BYTES: usize = 4;

/// The maximum number of bytes that are skipped because no message begins with them. Some cameras send a few bytes too
/// many after a packet.
const MAX_SKIPPED_BYTES: usize = 4096;

/// One message of the server.
#[derive(Debug, PartialEq, Eq)]
pub enum Message {
    /// The response to a request.
    Response(RtspResponse),
    /// A request that the server makes, with its `CSeq`; `None` if the request has none.
    Request(Option<String>),
    /// A packet of media.
    Packet {
        /// The number of the channel.
        channel: u8,
        /// The packet: RTP or RTCP, by its channel.
        data: Bytes,
    },
}

/// The response to a request.
#[derive(Debug, PartialEq, Eq)]
pub struct RtspResponse {
    /// The status and the headers.
    pub head: Head,
    /// The body; empty if there is none.
    pub body: Bytes,
}

/// The reason why the bytes of a server cannot be read as RTSP.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    /// The server speaks HTTP.
    #[error(
        "the server answers with HTTP, not with RTSP: the port is that of its web page; RTSP has port 554"
    )]
    IsHttp,
    /// What the server sends is not RTSP.
    #[error("what the server sends is not RTSP; check the port, RTSP has port 554")]
    NotRtsp,
    /// A head cannot be parsed.
    #[error("the head of an RTSP message cannot be read: {0}")]
    Head(http1::Error),
    /// A body exceeds the maximum length.
    #[error("the body of an RTSP message has {len_bytes} bytes, more than the limit of {MAX_BODY_BYTES}")]
    BodyTooLong {
        /// The length that the server declares.
        len_bytes: u64,
    },
}

/// Takes messages from a growing buffer.
#[derive(Debug)]
pub struct MessageReader {
    buffer: BytesMut,
    head: HeadReader,
    /// A message whose head has arrived, and the length of its body.
    pending: Option<(Pending, usize)>,
    skipped_bytes: usize,
    /// Whether a whole message has arrived.
    has_begun: bool,
}

#[derive(Debug)]
enum Pending {
    Response(Head),
    Request(Option<String>),
}

/// What became of bytes that may begin a head.
enum HeadOutcome {
    /// They were the head of a message with a body of so many bytes.
    Taken(Pending, usize),
    /// More bytes are needed.
    Incomplete,
    /// They are no head, and the first of them was skipped.
    Skipped,
}

impl Default for MessageReader {
    fn default() -> Self {
        Self {
            buffer: BytesMut::new(),
            head: HeadReader::of_rtsp(),
            pending: None,
            skipped_bytes: 0,
            has_begun: false,
        }
    }
}

impl MessageReader {
    /// Returns the buffer to which the next bytes of the server are appended. The caller appends at most 64 KiB before
    /// it calls [`next_message`](Self::next_message) until that returns `None`.
    pub fn room(&mut self) -> &mut BytesMut {
        &mut self.buffer
    }

    /// Returns the next message; `None` while more bytes are needed.
    ///
    /// # Errors
    /// What is wrong with the bytes. The rest of the stream is then unreadable.
    pub fn next_message(&mut self) -> Result<Option<Message>, MessageError> {
        loop {
            if let Some((pending, body_bytes)) = self.pending.take() {
                if self.buffer.len() < body_bytes {
                    self.pending = Some((pending, body_bytes));
                    return Ok(None);
                }
                let body = self.buffer.split_to(body_bytes).freeze();
                self.has_begun = true;
                return Ok(Some(match pending {
                    Pending::Response(head) => Message::Response(RtspResponse { head, body }),
                    Pending::Request(cseq) => Message::Request(cseq),
                }));
            }
            match self.buffer.first() {
                None => return Ok(None),
                Some(&PACKET_START) => return Ok(self.take_packet()),
                Some(b'\r' | b'\n') => self.buffer.advance(1),
                Some(byte) if byte.is_ascii_uppercase() => match self.take_head()? {
                    HeadOutcome::Taken(pending, body_bytes) => self.pending = Some((pending, body_bytes)),
                    HeadOutcome::Incomplete => return Ok(None),
                    HeadOutcome::Skipped => {}
                },
                Some(_) => self.skip()?,
            }
        }
    }

    fn take_packet(&mut self) -> Option<Message> {
        let [_, channel, high, low] = *self.buffer.first_chunk::<PACKET_HEAD_BYTES>()?;
        let len = usize::from(u16::from_be_bytes([high, low]));
        if self.buffer.len() < PACKET_HEAD_BYTES + len {
            return None;
        }
        self.buffer.advance(PACKET_HEAD_BYTES);
        (self.has_begun, self.skipped_bytes) = (true, 0);
        Some(Message::Packet { channel, data: self.buffer.split_to(len).freeze() })
    }

    /// Takes the head of a response or of a request from the buffer.
    fn take_head(&mut self) -> Result<HeadOutcome, MessageError> {
        if !starts_like(&self.buffer, RESPONSE_START) {
            return self.take_request();
        }
        // The reader of heads must see only bytes of a response.
        if self.buffer.len() < RESPONSE_START.len() {
            return Ok(HeadOutcome::Incomplete);
        }
        let Some((head, len)) = self.head.read(&self.buffer).map_err(MessageError::Head)? else {
            return Ok(HeadOutcome::Incomplete);
        };
        self.buffer.advance(len);
        self.head = HeadReader::of_rtsp();
        self.skipped_bytes = 0;
        let body_bytes = body_bytes(&head)?;
        Ok(HeadOutcome::Taken(Pending::Response(head), body_bytes))
    }

    /// Takes the head of a request. Few cameras make requests, and none needs more than a refusal, so only the `CSeq`
    /// and the length of the body matter.
    fn take_request(&mut self) -> Result<HeadOutcome, MessageError> {
        if self.buffer.starts_with(b"HTTP/") {
            return Err(MessageError::IsHttp);
        }
        let line_end = self.buffer.iter().take(MAX_HEAD_BYTES).position(|byte| *byte == b'\n');
        let Some(line_end) = line_end else {
            let is_too_long = self.buffer.len() > MAX_HEAD_BYTES;
            return if is_too_long { Err(MessageError::NotRtsp) } else { Ok(HeadOutcome::Incomplete) };
        };
        let line = self.buffer[..line_end].trim_ascii_end();
        if !line.ends_with(b" RTSP/1.0") {
            return self.skip().map(|()| HeadOutcome::Skipped);
        }
        // The parser of heads knows responses alone.
        let line_bytes = line.len();
        let mut response = BytesMut::from(&b"RTSP/1.0 200 OK"[..]);
        let status_bytes = response.len();
        response.extend_from_slice(&self.buffer[line_bytes..]);
        let Some((head, len)) = HeadReader::of_rtsp().read(&response).map_err(MessageError::Head)? else {
            return Ok(HeadOutcome::Incomplete);
        };
        self.buffer.advance(line_bytes + (len - status_bytes));
        let body_bytes = body_bytes(&head)?;
        Ok(HeadOutcome::Taken(Pending::Request(head.get("CSeq").map(str::to_owned)), body_bytes))
    }

    /// Skips the first byte of the buffer, because no message begins with it.
    fn skip(&mut self) -> Result<(), MessageError> {
        self.skipped_bytes += 1;
        self.buffer.advance(1);
        if !self.has_begun || self.skipped_bytes > MAX_SKIPPED_BYTES {
            return Err(MessageError::NotRtsp);
        }
        Ok(())
    }
}

/// Returns whether `bytes` begin with `start`, or are the beginning of it.
fn starts_like(bytes: &[u8], start: &[u8]) -> bool {
    let len = start.len().min(bytes.len());
    bytes[..len] == start[..len]
}

fn body_bytes(head: &Head) -> Result<usize, MessageError> {
    let len_bytes = head.get("Content-Length").and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
    let fits = usize::try_from(len_bytes).ok().filter(|len| *len <= MAX_BODY_BYTES);
    fits.ok_or(MessageError::BodyTooLong { len_bytes })
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &[u8] = b"RTSP/1.0 200 OK\r\nCSeq: 1\r\nContent-Length: 3\r\n\r\nv=0$\x00\x00\x02ab\r\n\
        OPTIONS rtsp://me/ RTSP/1.0\r\nCSeq: 7\r\n\r\n$\x01\x00\x00RTSP/1.0 454 \r\nCSeq:2\r\n\r\n";

    fn read(pieces: impl Iterator<Item = impl AsRef<[u8]>>) -> Result<Vec<Message>, MessageError> {
        let (mut reader, mut messages) = (MessageReader::default(), Vec::new());
        for piece in pieces {
            reader.room().extend_from_slice(piece.as_ref());
            while let Some(message) = reader.next_message()? {
                messages.push(message);
            }
        }
        Ok(messages)
    }

    fn describe(messages: &[Message]) -> Vec<String> {
        let describe_one = |message: &Message| match message {
            Message::Response(RtspResponse { head, body }) => format!("{} {}", head.status(), body.len()),
            Message::Request(cseq) => format!("request {cseq:?}"),
            Message::Packet { channel, data } => format!("packet {channel} {}", data.len()),
        };
        messages.iter().map(describe_one).collect()
    }

    #[test]
    fn messages_are_the_same_however_they_are_cut() {
        let expected = ["200 3", "packet 0 2", "request Some(\"7\")", "packet 1 0", "454 0"];
        for size in [1, 2, 3, 7, 1000] {
            assert_eq!(describe(&read(STREAM.chunks(size)).unwrap()), expected, "{size}");
        }
    }

    #[test]
    fn what_is_not_rtsp_is_named() {
        for (bytes, expected) in [
            (&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], MessageError::IsHttp),
            (b"SSH-2.0-OpenSSH_9.2\r\n", MessageError::NotRtsp),
            (b"\x16\x03\x01", MessageError::NotRtsp),
            (
                b"RTSP/1.0 200 OK\r\nContent-Length: 99999999999\r\n\r\n",
                MessageError::BodyTooLong { len_bytes: 99_999_999_999 },
            ),
        ] {
            assert_eq!(read(std::iter::once(bytes)).unwrap_err(), expected);
        }
        let endless = std::iter::repeat_n([b'A'; 1024], 100);
        assert_eq!(read(endless).unwrap_err(), MessageError::NotRtsp);
    }

    #[test]
    fn bytes_that_only_begin_like_a_response_do_no_harm() {
        let bytes = b"RTSP/1.0 200 OK\r\n\r\nRTSP\x01x L RTSP/1.0\r\n\r\n$\x00\x00\x01aRT";
        for size in [1, 2, 3, 100] {
            let messages = describe(&read(bytes.chunks(size)).unwrap());
            assert_eq!(messages, ["200 0", "request None", "packet 0 1"], "{size}");
        }
    }

    #[test]
    fn a_few_stray_bytes_between_messages_are_skipped() {
        let bytes = b"RTSP/1.0 200 OK\r\n\r\n\x00\xffodd$\x00\x00\x01a";
        assert_eq!(describe(&read(std::iter::once(bytes)).unwrap()), ["200 0", "packet 0 1"]);
        let noise = std::iter::once(b"RTSP/1.0 200 OK\r\n\r\n".to_vec())
            .chain(std::iter::repeat_n(vec![0; 1024], 100));
        assert_eq!(read(noise).unwrap_err(), MessageError::NotRtsp);
    }
}
