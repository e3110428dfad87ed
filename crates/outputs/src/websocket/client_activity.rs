//! Limits on what a client sends: no long messages, not too many, and no long silence.

use std::time::Duration;

use tokio::time::Instant;

/// The greatest length of a message from a client.
pub const MAX_MESSAGE_BYTES: usize = 4096;

/// The most messages a second from a client.
pub const MAX_MESSAGES_PER_SECOND: u32 = 1000;

/// The interval of pings.
pub const PING_INTERVAL: Duration = Duration::from_secs(15);

/// A client that does not answer three pings has gone.
const IDLE_TIMEOUT: Duration = Duration::from_secs(45);

/// The time over which messages are counted.
const COUNT_INTERVAL: Duration = Duration::from_secs(1);

/// When a client last sent something, and how much it sent lately.
#[derive(Debug)]
pub struct ClientActivity {
    heard_at: Instant,
    /// Messages since `counting_since`.
    messages: u32,
    counting_since: Instant,
}

/// A client sent more messages than allowed.
#[derive(Debug, PartialEq, Eq)]
pub struct TooManyMessages;

impl ClientActivity {
    /// For a client that connects at `now`.
    pub fn new(now: Instant) -> Self {
        Self { heard_at: now, messages: 0, counting_since: now }
    }

    /// The client sent something.
    pub fn message_received(&mut self, now: Instant) {
        self.heard_at = now;
    }

    /// Counts a message against the limit.
    ///
    /// # Errors
    /// [`TooManyMessages`] for more than [`MAX_MESSAGES_PER_SECOND`] within a second.
    pub fn count_message(&mut self, now: Instant) -> Result<(), TooManyMessages> {
        if now >= self.counting_since + COUNT_INTERVAL {
            (self.counting_since, self.messages) = (now, 0);
        }
        self.messages += 1;
        if self.messages > MAX_MESSAGES_PER_SECOND { Err(TooManyMessages) } else { Ok(()) }
    }

    /// When the client counts as gone unless it sends something.
    pub fn idle_deadline(&self) -> Instant {
        self.heard_at + IDLE_TIMEOUT
    }
}
