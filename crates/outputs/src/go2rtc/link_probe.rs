//! Finds out whether a client's link carries what was sent. The protocol of go2rtc has no acknowledgements, but every
//! client of a WebSocket answers pings in order, so an answer shows that the client has all that was sent before the
//! ping.

use std::time::Duration;

use tokio::time::Instant;

use crate::websocket::PING_INTERVAL;

/// The interval of pings while something is sent.
const PROBE_INTERVAL: Duration = Duration::from_millis(250);

/// If the client has not answered for this time, the server sends nothing more. It skips what waits meanwhile, so that
/// the client gets the newest frames when its link has room again.
const MAX_UNANSWERED: Duration = Duration::from_secs(1);

/// The pings of one connection.
#[derive(Debug)]
pub(super) struct LinkProbe {
    /// The number of the last ping.
    number: u32,
    /// When the last ping was sent; `None` if it was answered.
    unanswered_since: Option<Instant>,
    last_at: Instant,
    /// Whether anything was sent after the last ping.
    has_sent: bool,
}

impl LinkProbe {
    pub(super) fn new(now: Instant) -> Self {
        Self { number: 0, unanswered_since: None, last_at: now, has_sent: false }
    }

    /// Records that a frame is sent.
    pub(super) fn sent(&mut self) {
        self.has_sent = true;
    }

    /// Returns when the next ping is due; `None` while one is unanswered.
    pub(super) fn due_at(&self) -> Option<Instant> {
        let interval = if self.has_sent { PROBE_INTERVAL } else { PING_INTERVAL };
        self.unanswered_since.is_none().then_some(self.last_at + interval)
    }

    /// Records that a ping is sent at `now`, and returns its payload.
    pub(super) fn ping(&mut self, now: Instant) -> [u8; 4] {
        self.number = self.number.wrapping_add(1);
        (self.unanswered_since, self.last_at, self.has_sent) = (Some(now), now, false);
        self.number.to_be_bytes()
    }

    /// Records that an answer came with this `payload`.
    pub(super) fn answered(&mut self, payload: &[u8]) {
        if payload == self.number.to_be_bytes() {
            self.unanswered_since = None;
        }
    }

    /// Returns whether the link has carried enough at `now` to send more.
    pub(super) fn has_room(&self, now: Instant) -> bool {
        self.unanswered_since.is_none_or(|since| now < since + MAX_UNANSWERED)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_answer_to_the_last_ping_gives_room_again() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut probe = LinkProbe::new(start);
        assert_eq!(probe.due_at(), Some(start + PING_INTERVAL), "nothing was sent");
        probe.sent();
        assert_eq!(probe.due_at(), Some(at(250)));
        let first = probe.ping(at(250));
        assert_eq!(probe.due_at(), None);
        assert!(probe.has_room(at(1249)) && !probe.has_room(at(1250)));
        probe.answered(b"");
        assert!(!probe.has_room(at(1250)));
        probe.answered(&first);
        assert!(probe.has_room(at(9000)));
        probe.sent();
        assert_eq!(probe.due_at(), Some(at(500)));
        let second = probe.ping(at(500));
        probe.answered(&first);
        assert!(!probe.has_room(at(1500)));
        probe.answered(&second);
        assert!(probe.has_room(at(1500)));
    }
}
