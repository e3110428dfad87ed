//! What a client says: not too long, not too much, and something now and then.

use std::time::Duration;

use tokio::time::Instant;

/// The bound on a message from a client.
pub const MAX_MESSAGE_BYTES: usize = 4096;

/// Messages a second that a client may send.
pub const MAX_MESSAGES: u32 = 1000;

/// A client that is idle is asked so often whether it is there.
pub const PING_INTERVAL: Duration = Duration::from_secs(15);

/// After three pings without a word it is not.
const SILENCE_TIMEOUT: Duration = Duration::from_secs(45);

/// In which messages are counted.
const FLOOD_INTERVAL: Duration = Duration::from_secs(1);

/// When a client was heard, and how often of late.
#[derive(Debug)]
pub struct Speech {
    heard_at: Instant,
    /// Messages since `counting_since`.
    messages: u32,
    counting_since: Instant,
}

/// A client says more than anyone needs to say.
#[derive(Debug, PartialEq, Eq)]
pub struct Flood;

impl Speech {
    /// Of a client that comes at `now`.
    pub fn new(now: Instant) -> Self {
        Self { heard_at: now, messages: 0, counting_since: now }
    }

    /// It said something.
    pub fn hear(&mut self, now: Instant) {
        self.heard_at = now;
    }

    /// A message of those that are counted came.
    ///
    /// # Errors
    /// [`Flood`] for more than [`MAX_MESSAGES`] within a second.
    pub fn count(&mut self, now: Instant) -> Result<(), Flood> {
        if now >= self.counting_since + FLOOD_INTERVAL {
            (self.counting_since, self.messages) = (now, 0);
        }
        self.messages += 1;
        if self.messages > MAX_MESSAGES { Err(Flood) } else { Ok(()) }
    }

    /// When it is given up if nothing is heard of it.
    pub fn ends_at(&self) -> Instant {
        self.heard_at + SILENCE_TIMEOUT
    }
}
