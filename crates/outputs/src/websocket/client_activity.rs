//! Limits on what a client sends: no long messages, not too many messages, and no long silence.

use std::time::Duration;

use tokio::time::Instant;

/// The maximum length of a client's message, in bytes.
pub const MAX_MESSAGE_BYTES: usize = 4096;

/// The maximum number of messages a client is allowed to send in a second.
pub const MAX_MESSAGES_PER_SECOND: u32 = 1000;

/// The interval at which the server sends pings.
pub const PING_INTERVAL: Duration = Duration::from_secs(15);

/// The time after which the server disconnects a client that sends nothing, not even responses to three pings.
const IDLE_TIMEOUT: Duration = Duration::from_secs(45);

/// The length of the periods for which the number of messages is limited.
const COUNT_INTERVAL: Duration = Duration::from_secs(1);

/// When a client last sent something, and how many messages it sent recently.
#[derive(Debug)]
pub struct ClientActivity {
    heard_at: Instant,
    /// The number of messages since `counting_since`.
    messages: u32,
    counting_since: Instant,
}

/// The error when a client sent more messages than allowed.
#[derive(Debug, PartialEq, Eq)]
pub struct TooManyMessages;

impl ClientActivity {
    /// Creates the record of a client that connects at `now`.
    pub fn new(now: Instant) -> Self {
        Self { heard_at: now, messages: 0, counting_since: now }
    }

    /// Records that the client sent something at `now`.
    pub fn message_received(&mut self, now: Instant) {
        self.heard_at = now;
    }

    /// Records that the client sent a message at `now`, for the limit on messages per second.
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

    /// Returns the time at which the server must disconnect the client, unless the client sends something before.
    pub fn idle_deadline(&self) -> Instant {
        self.heard_at + IDLE_TIMEOUT
    }
}
