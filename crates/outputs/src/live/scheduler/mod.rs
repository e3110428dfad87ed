//! Which tile's picture to send next over one connection, and when to send none.
//!
//! Input: times, messages, and which tile has something new. Output: whose turn it is, the picture's sequence number,
//! and the deadline for acknowledgements. The scheduler sends a picture when the tile's rate, the tile's window and the
//! connection's budget of unacknowledged bytes allow it, so that the screen never shows old pictures. Pictures, sockets
//! and clocks do not belong here.

#[cfg(test)]
mod tests;
mod tile;

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use super::throughput::Throughput;
use tile::{SentPicture, TileSchedule};

/// The most tiles of a connection.
pub const MAX_TILES: usize = 256;

/// The most unacknowledged pictures of a tile: one is on its way while the client paints the one before.
pub const WINDOW: usize = 2;

/// The least budget of unacknowledged bytes: what a link of 2 Mbit/s carries in a quarter of a second.
pub const MIN_BUDGET_BYTES: u64 = 64 * 1024;

/// The greatest budget, whatever the acknowledgements of a client suggest.
const MAX_BUDGET_BYTES: u64 = 64 * 1024 * 1024;

/// How long a client may acknowledge nothing while pictures are on their way.
pub const ACK_TIMEOUT: Duration = Duration::from_secs(10);

/// How fast, and with what share, a tile gets pictures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TilePace {
    /// The least time between two pictures.
    pub interval: Duration,
    /// The tile's share of the turns, 1 or more; 0 pauses it.
    pub priority: u8,
    /// The latency budget: how long pictures may be on their way. The smallest of all tiles counts for the connection.
    pub latency_budget: Duration,
}

/// The connection has [`MAX_TILES`] already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooManyTiles;

/// The client acknowledged a picture that was not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotSent;

/// The result of an acknowledgement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Acknowledged {
    /// The number of pictures that are no longer on their way.
    pub pictures: usize,
    /// The capture time of the picture that the acknowledgement names; `None` if it had been acknowledged before.
    pub captured_at: Option<SystemTime>,
}

/// The tiles of one connection, and their pictures that are on their way.
#[derive(Debug, Default)]
pub struct Scheduler {
    tiles: BTreeMap<u16, TileSchedule>,
    /// The number of pictures sent for each tile. Kept after a tile is removed, because acknowledgements may still
    /// arrive.
    counts: BTreeMap<u16, u64>,
    in_flight: usize,
    in_flight_bytes: u64,
    throughput: Throughput,
    /// The start of the last turn, in shares.
    virtual_time: u64,
    turns: u64,
    /// The start of the client's time to acknowledge: the last picture was sent, or the last acknowledgement arrived.
    ack_awaited_since: Option<Instant>,
}

impl Scheduler {
    /// A connection without tiles.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a tile, or sets another pace for an existing one.
    ///
    /// # Errors
    /// [`TooManyTiles`] for a new tile beyond [`MAX_TILES`].
    pub fn subscribe(&mut self, tile: u16, pace: TilePace) -> Result<(), TooManyTiles> {
        if let Some(known) = self.tiles.get_mut(&tile) {
            known.pace = pace;
            return Ok(());
        }
        if self.tiles.len() >= MAX_TILES {
            return Err(TooManyTiles);
        }
        self.tiles.insert(tile, TileSchedule::new(pace, self.virtual_time));
        Ok(())
    }

    /// Removes a tile; its pictures on their way do not count any more. Returns whether the tile existed.
    pub fn unsubscribe(&mut self, tile: u16) -> bool {
        let Some(gone) = self.tiles.remove(&tile) else { return false };
        self.in_flight_bytes -= gone.in_flight_bytes();
        self.in_flight -= gone.outstanding.len();
        true
    }

    /// `tile` has a new picture.
    pub fn announce(&mut self, tile: u16) {
        if let Some(known) = self.tiles.get_mut(&tile) {
            known.announce(self.virtual_time);
        }
    }

    /// `tile` has nothing to show after all.
    pub fn withdraw(&mut self, tile: u16) {
        if let Some(known) = self.tiles.get_mut(&tile) {
            known.is_ready = false;
        }
    }

    /// The tile that sends next at `now`: of those that have something new and may send, the one that has used the
    /// least of its share. Among equals, the one of higher priority; then the one whose last turn is longest ago. So on
    /// a link that cannot carry everything, each tile's part is in proportion to its priority, and none waits for ever.
    pub fn next_tile(&self, now: Instant) -> Option<u16> {
        let may_send = self.tiles.iter().filter(|(_, tile)| tile.may_send());
        may_send
            .filter(|(_, tile)| tile.due_at().is_none_or(|due| due <= now))
            .min_by_key(|(_, tile)| (tile.start, Reverse(tile.pace.priority), tile.last_turn))
            .map(|(number, _)| *number)
    }

    /// Sends a picture of `tile`, whose turn it is. Returns the picture's sequence number, from 1; or `None` if it must
    /// wait for an acknowledgement.
    ///
    /// # Panics
    /// If there is no such tile.
    pub fn send(&mut self, tile: u16, bytes: u64, captured_at: SystemTime, now: Instant) -> Option<u32> {
        let budget = self.budget_bytes();
        let (is_alone, after) = (self.in_flight == 0, self.in_flight_bytes.saturating_add(bytes));
        // A picture larger than the budget may go when nothing else is on its way.
        if !is_alone && after > budget {
            return None;
        }
        let mark = self.throughput.mark(now, is_alone, after >= budget / 2);
        let count = self.counts.entry(tile).or_default();
        *count += 1;
        self.turns += 1;
        let known = self.tiles.get_mut(&tile).expect("a tile whose turn it is");
        self.virtual_time = known.start;
        known.send(SentPicture { count: *count, bytes, captured_at, mark }, now, self.turns);
        (self.in_flight, self.in_flight_bytes) = (self.in_flight + 1, after);
        if is_alone {
            self.ack_awaited_since = Some(now);
        }
        Some(wire_sequence(*count))
    }

    /// The last picture was sent completely at `now`: the client's time to acknowledge starts again.
    pub fn on_flushed(&mut self, now: Instant) {
        self.ack_awaited_since = Some(now);
    }

    /// The client has painted picture `sequence` of `tile`, and with it all before.
    ///
    /// # Errors
    /// [`NotSent`] for a picture that was not sent over this connection.
    pub fn acknowledge(&mut self, tile: u16, sequence: u32, now: Instant) -> Result<Acknowledged, NotSent> {
        let sent = self.counts.get(&tile).copied().unwrap_or_default();
        let back = u64::from(wire_sequence(sent).wrapping_sub(sequence));
        let count = sent.checked_sub(back).filter(|count| *count > 0).ok_or(NotSent)?;
        let nothing = Acknowledged { pictures: 0, captured_at: None };
        let Some(known) = self.tiles.get_mut(&tile) else { return Ok(nothing) };
        let covered = known.acknowledge(count);
        let Some(last) = covered.last() else { return Ok(nothing) };
        let bytes = covered.iter().map(|sent| sent.bytes).sum();
        self.in_flight_bytes -= bytes;
        self.in_flight -= covered.len();
        self.throughput.delivered(bytes, last.mark, now);
        self.ack_awaited_since = Some(now);
        Ok(Acknowledged { pictures: covered.len(), captured_at: Some(last.captured_at) })
    }

    /// The deadline for an acknowledgement; `None` if nothing is on its way.
    pub fn ack_deadline(&self) -> Option<Instant> {
        self.ack_awaited_since.filter(|_| self.in_flight > 0).map(|since| since + ACK_TIMEOUT)
    }

    /// The first time after `now` at which a tile's rate lets it send. Does not cover acknowledgements and
    /// announcements, which cause a new look themselves.
    pub fn next_due(&self, now: Instant) -> Option<Instant> {
        let waiting = self.tiles.values().filter(|tile| tile.may_send());
        waiting.filter_map(TileSchedule::due_at).filter(|due| *due > now).min()
    }

    /// Bytes on their way, over all tiles.
    pub fn in_flight_bytes(&self) -> u64 {
        self.in_flight_bytes
    }

    /// Bytes of `tile` on their way.
    pub fn in_flight_of(&self, tile: u16) -> u64 {
        self.tiles.get(&tile).map(TileSchedule::in_flight_bytes).unwrap_or_default()
    }

    /// Bytes a second from the server to the screen; `None` before the first acknowledgement.
    pub fn bytes_per_second(&self) -> Option<u64> {
        self.throughput.bytes_per_second()
    }

    /// The most bytes that may be on their way at once.
    pub fn budget_bytes(&self) -> u64 {
        let latency_budget =
            self.tiles.values().map(|tile| tile.pace.latency_budget).min().unwrap_or_default();
        let rate = self.throughput.bytes_per_second().unwrap_or_default();
        let bytes = rate as f64 * latency_budget.as_secs_f64();
        (bytes as u64).clamp(MIN_BUDGET_BYTES, MAX_BUDGET_BYTES)
    }

    /// The number of tiles.
    pub fn tiles(&self) -> usize {
        self.tiles.len()
    }
}

/// A picture's sequence number for clients: it wraps to 0 after 4294967295.
fn wire_sequence(count: u64) -> u32 {
    count as u32
}
