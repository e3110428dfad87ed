//! Decides which tile's picture to send next over one connection, and when to send none.
//!
//! A tile is one place of the client's page that shows a camera. Input: times, messages, and which tile has a new
//! picture. Output: which tile's turn it is, the picture's sequence number, and the deadline for acknowledgements. The
//! scheduler sends a picture when the tile's rate, the tile's window and the connection's budget of unacknowledged
//! bytes allow it, so that the screen never shows old pictures. Pictures, sockets and clocks do not belong here.

#[cfg(test)]
mod tests;
mod tile;

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use super::throughput::{SendMark, Throughput};
use tile::{SentPicture, TileSchedule};

/// The maximum number of tiles of a connection.
pub const MAX_TILES: usize = 256;

/// The maximum number of unacknowledged pictures of a tile: one is in flight while the client paints the previous one.
pub const WINDOW: usize = 2;

/// The number of bytes that the server can always send ahead of a client's acknowledgements: what a link of 2 Mbit/s
/// transfers in a quarter of a second.
pub const MIN_BUDGET_BYTES: u64 = 64 * 1024;

/// The maximum number of bytes that the server sends ahead of a client's acknowledgements, whatever speed the
/// acknowledgements suggest.
const MAX_BUDGET_BYTES: u64 = 64 * 1024 * 1024;

/// The time after which the server closes the connection of a client that acknowledges none of the sent pictures.
pub const ACK_TIMEOUT: Duration = Duration::from_secs(10);

/// How often a tile (one camera's place on the client's page) gets pictures, and with what priority.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TilePace {
    /// The minimum time between two pictures.
    pub interval: Duration,
    /// The tile's weight when tiles compete for the link's speed, 1 or more; 0 pauses the tile.
    pub priority: u8,
    /// The latency budget: the maximum time that pictures should be in flight. The smallest budget of all tiles applies
    /// to the connection.
    pub latency_budget: Duration,
}

/// The error when the connection already has [`MAX_TILES`] tiles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooManyTiles;

/// The error when the client acknowledged a picture that was not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotSent;

/// The result of an acknowledgement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Acknowledged {
    /// The number of pictures that this acknowledgement confirmed and that no earlier acknowledgement had confirmed.
    pub pictures: usize,
    /// The capture time of the picture whose sequence number the client sent; `None` if that picture was acknowledged
    /// before.
    pub captured_at: Option<SystemTime>,
}

/// The schedule of one connection: its tiles and their unacknowledged pictures.
#[derive(Debug, Default)]
pub struct Scheduler {
    tiles: BTreeMap<u16, TileSchedule>,
    /// The number of pictures sent for each tile. The number is kept after a tile is removed, because acknowledgements
    /// might still arrive.
    counts: BTreeMap<u16, u64>,
    /// The number of unacknowledged pictures and parts of coded video.
    in_flight: usize,
    /// The number of unacknowledged pictures.
    pictures_in_flight: usize,
    /// The number of bytes of the unacknowledged pictures.
    in_flight_bytes: u64,
    /// Whether a picture waits for an acknowledgement, because it would exceed the budget. Video does not wait for it.
    is_budget_full: bool,
    throughput: Throughput,
    /// The virtual time of the fair queueing: the start of the last turn. See [`TileSchedule::start`].
    virtual_time: u64,
    turns: u64,
    /// The start of the client's time limit for an acknowledgement: when the last picture was sent or the last
    /// acknowledgement arrived, whichever is later. `None` before the first picture.
    ack_awaited_since: Option<Instant>,
}

impl Scheduler {
    /// Creates the scheduler of a connection without tiles.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a tile, or changes the pace of an existing tile.
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

    /// Sets the minimum time between two pictures of `tile`.
    pub fn set_interval(&mut self, tile: u16, interval: Duration) {
        if let Some(known) = self.tiles.get_mut(&tile) {
            known.pace.interval = interval;
        }
    }

    /// Removes a tile. From then on, the bytes in flight do not include the tile's unacknowledged pictures. Returns
    /// whether the tile existed.
    pub fn unsubscribe(&mut self, tile: u16) -> bool {
        let Some(gone) = self.tiles.remove(&tile) else { return false };
        self.settle(gone.outstanding.iter());
        true
    }

    /// Removes `sent` from what is in flight.
    fn settle<'s>(&mut self, sent: impl Iterator<Item = &'s SentPicture>) {
        self.is_budget_full = false;
        for sent in sent {
            self.in_flight -= 1;
            self.pictures_in_flight -= usize::from(!sent.is_video());
            self.in_flight_bytes -= sent.budget_bytes();
        }
    }

    /// Records that `tile` has a new picture.
    pub fn announce(&mut self, tile: u16) {
        if let Some(known) = self.tiles.get_mut(&tile) {
            known.announce(self.virtual_time, false);
        }
    }

    /// Records that `tile` has coded video to send. It is sent without regard to the tile's frame rate, the window and
    /// the budget, as long as acknowledgements come in time.
    pub fn announce_video(&mut self, tile: u16) {
        if let Some(known) = self.tiles.get_mut(&tile) {
            known.announce(self.virtual_time, true);
        }
    }

    /// Records that `tile` no longer has a picture to send.
    pub fn withdraw(&mut self, tile: u16) {
        if let Some(known) = self.tiles.get_mut(&tile) {
            known.is_ready = false;
        }
    }

    /// Returns the tile whose turn it is at `now`. Only tiles that have a new picture and are allowed to send it are
    /// considered. Among these, the tile that has used the least of its share comes first. Among equals, the tile with
    /// the highest priority comes first, then the tile whose last turn is longest ago.
    ///
    /// So on a link that cannot carry everything, each tile gets a share in proportion to its priority, and no tile
    /// waits for ever.
    pub fn next_tile(&self, now: Instant) -> Option<u16> {
        let may_send = self
            .tiles
            .iter()
            .filter(|(_, tile)| tile.may_send(now) && (tile.is_video() || !self.is_budget_full));
        may_send
            .filter(|(_, tile)| tile.due_at().is_none_or(|due| due <= now))
            .min_by_key(|(_, tile)| (tile.start, Reverse(tile.pace.priority), tile.last_turn))
            .map(|(number, _)| *number)
    }

    /// Checks whether the next picture of `tile`, whose turn it is, can be sent now. If so, records the picture as
    /// sent. Returns the picture's sequence number, from 1. Returns `None`, and records nothing, if the picture must
    /// wait for an acknowledgement.
    ///
    /// # Panics
    /// If the connection has no tile with the number `tile`.
    pub fn send(&mut self, tile: u16, bytes: u64, captured_at: SystemTime, now: Instant) -> Option<u32> {
        let budget = self.budget_bytes();
        let (is_alone, after) = (self.pictures_in_flight == 0, self.in_flight_bytes.saturating_add(bytes));
        // A picture larger than the budget is allowed when no other picture is in flight.
        if !is_alone && after > budget {
            self.is_budget_full = true;
            return None;
        }
        let mark = self.throughput.mark(now, is_alone, after >= budget / 2);
        (self.pictures_in_flight, self.in_flight_bytes) = (self.pictures_in_flight + 1, after);
        Some(self.record(tile, bytes, captured_at, now, Some(mark)))
    }

    /// Records that a part of coded video of `tile`, whose turn it is, is sent now. Returns its sequence number: pictures
    /// and parts of video are numbered together.
    ///
    /// # Panics
    /// If the connection has no tile with the number `tile`.
    pub fn send_video(&mut self, tile: u16, bytes: u64, captured_at: SystemTime, now: Instant) -> u32 {
        self.record(tile, bytes, captured_at, now, None)
    }

    fn record(
        &mut self,
        tile: u16,
        bytes: u64,
        captured_at: SystemTime,
        now: Instant,
        mark: Option<SendMark>,
    ) -> u32 {
        let count = self.counts.entry(tile).or_default();
        *count += 1;
        self.turns += 1;
        let known = self.tiles.get_mut(&tile).expect("a tile whose turn it is");
        self.virtual_time = known.start;
        known.send(SentPicture { count: *count, bytes, captured_at, sent_at: now, mark }, now, self.turns);
        if self.in_flight == 0 {
            self.ack_awaited_since = Some(now);
        }
        self.in_flight += 1;
        wire_sequence(*count)
    }

    /// Records that the last picture was sent completely at `now`, so that the client's time limit for an
    /// acknowledgement starts again.
    pub fn on_flushed(&mut self, now: Instant) {
        self.ack_awaited_since = Some(now);
    }

    /// Records that the client has painted picture `sequence` of `tile`. This also acknowledges all earlier pictures of
    /// the tile.
    ///
    /// # Errors
    /// [`NotSent`] for a picture that was not sent over this connection.
    pub fn acknowledge(&mut self, tile: u16, sequence: u32, now: Instant) -> Result<Acknowledged, NotSent> {
        let sent = self.counts.get(&tile).copied().unwrap_or_default();
        let back = u64::from(wire_sequence(sent).wrapping_sub(sequence));
        let count = sent.checked_sub(back).filter(|count| *count > 0).ok_or(NotSent)?;
        let nothing = Acknowledged { pictures: 0, captured_at: None };
        let Some(known) = self.tiles.get_mut(&tile) else { return Ok(nothing) };
        let covered = known.acknowledge(count, now);
        let Some(last) = covered.last() else { return Ok(nothing) };
        let before = self.in_flight_bytes;
        self.settle(covered.iter());
        if let Some(mark) = covered.iter().rev().find_map(|sent| sent.mark) {
            self.throughput.delivered(before - self.in_flight_bytes, mark, now);
        }
        self.ack_awaited_since = Some(now);
        Ok(Acknowledged { pictures: covered.len(), captured_at: Some(last.captured_at) })
    }

    /// Returns the deadline for the next acknowledgement; `None` if no picture is in flight.
    pub fn ack_deadline(&self) -> Option<Instant> {
        self.ack_awaited_since.filter(|_| self.in_flight > 0).map(|since| since + ACK_TIMEOUT)
    }

    /// Returns the first time after `now` at which the frame rate of some tile allows this tile's next picture. An
    /// acknowledgement or a new picture can allow a picture earlier, but after each of these the caller calls this
    /// method again.
    pub fn next_due(&self, now: Instant) -> Option<Instant> {
        self.tiles.values().filter_map(|tile| tile.next_due(now)).min()
    }

    /// Returns the number of bytes of pictures in flight (sent, but not acknowledged), over all tiles.
    pub fn in_flight_bytes(&self) -> u64 {
        self.in_flight_bytes
    }

    /// Returns the number of bytes in flight (sent, but not acknowledged) of `tile`.
    pub fn in_flight_of(&self, tile: u16) -> u64 {
        self.tiles.get(&tile).map(TileSchedule::in_flight_bytes).unwrap_or_default()
    }

    /// Returns the estimated number of bytes per second from the server to the screen; `None` before the first
    /// acknowledgement.
    pub fn bytes_per_second(&self) -> Option<u64> {
        self.throughput.bytes_per_second()
    }

    /// Returns how many of the [`bytes_per_second`](Self::bytes_per_second) `tile` gets while all tiles compete for the
    /// link; `None` before the first acknowledgement. Tiles take turns by priority, so a tile with larger pictures gets
    /// more.
    pub fn bytes_per_second_of(&self, tile: u16) -> Option<u64> {
        let all: f64 = self.tiles.values().map(TileSchedule::weight_bytes).sum();
        let own = self.tiles.get(&tile)?.weight_bytes();
        let rate = self.throughput.bytes_per_second()?;
        (all > 0.0).then(|| (rate as f64 * own / all) as u64)
    }

    /// Returns the maximum number of bytes of pictures in flight (sent, but not acknowledged) at once.
    pub fn budget_bytes(&self) -> u64 {
        let latency_budget =
            self.tiles.values().map(|tile| tile.pace.latency_budget).min().unwrap_or_default();
        let rate = self.throughput.bytes_per_second().unwrap_or_default();
        let bytes = rate as f64 * latency_budget.as_secs_f64();
        (bytes as u64).clamp(MIN_BUDGET_BYTES, MAX_BUDGET_BYTES)
    }

    /// Returns the number of the connection's tiles.
    pub fn tiles(&self) -> usize {
        self.tiles.len()
    }
}

/// Returns the sequence number that clients see for picture number `count` of a tile. It wraps to 0 after 4294967295.
fn wire_sequence(count: u64) -> u32 {
    count as u32
}
