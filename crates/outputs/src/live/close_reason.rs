//! Why a connection of `/api/live` ended: the close code and reason for the client, and how often connections ended for
//! each reason.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio_tungstenite::tungstenite;
use tokio_tungstenite::tungstenite::error::{CapacityError, ProtocolError};

use super::message::BadMessage;
use super::scheduler::{ACK_TIMEOUT, MAX_TILES};
use crate::websocket::{MAX_MESSAGE_BYTES, TooManyMessages};

/// The maximum length of a reason in bytes: the space in a close frame after the close code (RFC 6455 §5.5).
const MAX_REASON_BYTES: usize = 123;

/// Why a connection of `/api/live` ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CloseReason {
    /// The client closed the connection.
    Closed,
    /// The client disconnected without a close frame.
    Gone,
    /// The client received nothing for the server's `write_timeout`, or did not answer the pings.
    Stalled,
    /// The server shut down.
    Shutdown,
    /// The client sent bytes that are not valid WebSocket frames.
    NotWebSocket,
    /// The client sent text that is not UTF-8.
    NotUtf8,
    /// The client sent a binary message. Clients are only allowed to send text.
    Binary,
    /// The client sent a message of more than [`MAX_MESSAGE_BYTES`].
    TooLong,
    /// The client sent a text that is not a valid message of the protocol.
    Bad(BadMessage),
    /// The client subscribed to more than [`MAX_TILES`] tiles.
    TooManyTiles,
    /// The client acknowledged a picture that the server had not sent.
    NotSent {
        /// The number of the picture's tile, as the client sent it.
        tile: u16,
        /// The picture's sequence number, as the client sent it.
        sequence: u32,
    },
    /// The client acknowledged nothing for [`ACK_TIMEOUT`].
    NotAcknowledged,
    /// One picture took too long to send.
    Slow,
    /// The client sent more messages, or more bytes, per second than the server allows.
    Flood,
}

/// The names of all reasons, in the order of [`CloseReason::index`].
const NAMES: [&str; 14] = [
    "closed",
    "gone",
    "stalled",
    "shutdown",
    "not_websocket",
    "not_utf8",
    "binary",
    "too_long",
    "bad_message",
    "too_many_tiles",
    "not_sent",
    "not_acknowledged",
    "slow",
    "flood",
];

impl CloseReason {
    fn index(&self) -> usize {
        match self {
            Self::Closed => 0,
            Self::Gone => 1,
            Self::Stalled => 2,
            Self::Shutdown => 3,
            Self::NotWebSocket => 4,
            Self::NotUtf8 => 5,
            Self::Binary => 6,
            Self::TooLong => 7,
            Self::Bad(_) => 8,
            Self::TooManyTiles => 9,
            Self::NotSent { .. } => 10,
            Self::NotAcknowledged => 11,
            Self::Slow => 12,
            Self::Flood => 13,
        }
    }

    /// Returns the reason's name in metrics and logs, for example `too_long`.
    pub fn name(&self) -> &'static str {
        NAMES[self.index()]
    }

    /// Returns the close code (RFC 6455 §7.4.1) and a reason of at most 123 bytes to send to the client. Returns `None`
    /// if the server sends no close frame, for example because the client has gone.
    pub fn close_frame(&self) -> Option<(u16, String)> {
        let (code, reason): (u16, Cow<'_, str>) = match self {
            Self::Closed | Self::Gone | Self::Stalled | Self::Slow => return None,
            Self::Shutdown => (1001, "the server is shutting down".into()),
            Self::NotWebSocket => (1002, "the client sent bytes that are not WebSocket frames".into()),
            Self::Binary => (1003, "the client sent a binary message; it may send text only".into()),
            Self::NotUtf8 => (1007, "the client sent text that is not UTF-8".into()),
            Self::TooLong => {
                (1009, format!("the client sent a message of more than {MAX_MESSAGE_BYTES} bytes").into())
            }
            Self::Bad(bad) => (1008, bad.to_string().into()),
            Self::TooManyTiles => {
                (1008, format!("the client subscribed to more than {MAX_TILES} tiles").into())
            }
            Self::NotSent { tile, sequence } => (
                1008,
                format!(
                    "the client acknowledged picture {sequence} of tile {tile}, which the server did not send"
                )
                .into(),
            ),
            Self::NotAcknowledged => {
                (1008, format!("the client acknowledged no picture for {} s", ACK_TIMEOUT.as_secs()).into())
            }
            Self::Flood => (1008, "the client sent more than 1000 messages, or 4 MB, a second".into()),
        };
        let mut reason = reason.into_owned();
        reason.truncate(reason.floor_char_boundary(MAX_REASON_BYTES));
        Some((code, reason))
    }
}

impl From<tungstenite::Error> for CloseReason {
    fn from(error: tungstenite::Error) -> Self {
        use tungstenite::Error;
        match error {
            Error::ConnectionClosed | Error::AlreadyClosed => Self::Closed,
            Error::Io(error) if error.kind() == std::io::ErrorKind::TimedOut => Self::Stalled,
            Error::Io(error) if error.kind() == std::io::ErrorKind::QuotaExceeded => Self::Flood,
            Error::Io(_) | Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => Self::Gone,
            Error::Utf8(_) => Self::NotUtf8,
            Error::Capacity(CapacityError::MessageTooLong { .. }) => Self::TooLong,
            _ => Self::NotWebSocket,
        }
    }
}

impl From<TooManyMessages> for CloseReason {
    fn from(_: TooManyMessages) -> Self {
        Self::Flood
    }
}

/// The number of connections that ended, by reason. Cheap to clone; all clones share the counts.
#[derive(Debug, Clone, Default)]
pub struct CloseCounts(Arc<[AtomicU64; NAMES.len()]>);

impl CloseCounts {
    pub(super) fn count(&self, close_reason: &CloseReason) {
        self.0[close_reason.index()].fetch_add(1, Ordering::Relaxed);
    }

    /// Iterates over the names of all reasons with the number of connections that ended for each, including zeros.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        NAMES.into_iter().zip(self.0.iter().map(|count| count.load(Ordering::Relaxed)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::live::message::parse;

    fn all() -> Vec<CloseReason> {
        let long = format!(r#"{{"type":"{}"}}"#, "ü".repeat(300));
        vec![
            CloseReason::Closed,
            CloseReason::Gone,
            CloseReason::Stalled,
            CloseReason::Shutdown,
            CloseReason::NotWebSocket,
            CloseReason::NotUtf8,
            CloseReason::Binary,
            CloseReason::TooLong,
            CloseReason::Bad(parse(&long).unwrap_err()),
            CloseReason::TooManyTiles,
            CloseReason::NotSent { tile: u16::MAX, sequence: u32::MAX },
            CloseReason::NotAcknowledged,
            CloseReason::Slow,
            CloseReason::Flood,
        ]
    }

    #[test]
    fn each_ending_is_counted_under_its_own_name() {
        let counts = CloseCounts::default();
        for (n, close_reason) in all().into_iter().enumerate() {
            (0..=n).for_each(|_| counts.clone().count(&close_reason));
            assert_eq!(counts.iter().nth(n), Some((close_reason.name(), n as u64 + 1)));
        }
        assert_eq!(counts.iter().count(), all().len());
    }

    #[test]
    fn reasons_fit_into_a_close_frame_and_are_cut_between_letters() {
        for (code, reason) in all().iter().filter_map(CloseReason::close_frame) {
            assert!((1001..=1009).contains(&code) && !reason.is_empty() && reason.len() <= MAX_REASON_BYTES);
        }
        let long = CloseReason::Bad(parse(&format!(r#"{{"type":"{}"}}"#, "ü".repeat(300))).unwrap_err());
        assert!(long.close_frame().unwrap().1.contains("üü"));
    }
}
