//! Which tile's picture goes next over one connection, and when none may.
//!
//! Time, messages and "this tile has something new" in; a turn, a number for a picture, or the end of patience out. A
//! picture is sent when its tile's rate, its tile's window and the connection's budget of unacknowledged bytes allow it,
//! so that what is on the screen is not old. Pictures, sockets and clocks do not belong here.

#[cfg(test)]
mod tests;
mod tile;

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use super::throughput::Throughput;
use tile::{Sent, Tile};

/// How many tiles a connection may have.
pub const MAX_TILES: usize = 256;

/// How many pictures of a tile may be unacknowledged: one on its way while the one before is painted.
pub const WINDOW: usize = 2;

/// So many bytes may always be unacknowledged: what a link of 2 Mbit/s carries in a quarter of a second.
pub const LEAST_BUDGET_BYTES: u64 = 64 * 1024;

/// The most, whatever a client's acknowledgements claim.
const MOST_BUDGET_BYTES: u64 = 64 * 1024 * 1024;

/// How long a client may leave everything unacknowledged.
pub const ACK_TIMEOUT: Duration = Duration::from_secs(10);

/// How a tile's pictures follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// The least time between two pictures.
    pub interval: Duration,
    /// The tile's share of the turns, from 1; 0 pauses it.
    pub priority: u8,
    /// How long pictures may be on their way: the least of all tiles' counts for the connection.
    pub freshness: Duration,
}

/// A connection has [`MAX_TILES`] already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooManyTiles;

/// A picture was acknowledged that was not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotSent;

/// What an acknowledgement brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Acknowledged {
    /// Pictures that are no longer on their way.
    pub pictures: usize,
    /// When the picture that it names was captured; `None` for one that had been acknowledged before.
    pub captured_at: Option<SystemTime>,
}

/// The tiles of one connection, and what of theirs is on its way.
#[derive(Debug, Default)]
pub struct Scheduler {
    tiles: BTreeMap<u16, Tile>,
    /// How many pictures of each tile were sent. Kept for tiles that are gone, whose acknowledgements may still come.
    counts: BTreeMap<u16, u64>,
    in_flight: usize,
    in_flight_bytes: u64,
    throughput: Throughput,
    /// The start of the turn that was given last, in shares.
    virtual_time: u64,
    turns: u64,
    /// When the client was last expected to begin acknowledging: the last picture was out, or it did acknowledge.
    patient_since: Option<Instant>,
}

impl Scheduler {
    /// A connection without tiles.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a tile, or gives one that is there another pace.
    ///
    /// # Errors
    /// [`TooManyTiles`] for a new one beyond [`MAX_TILES`].
    pub fn subscribe(&mut self, tile: u16, pace: Pace) -> Result<(), TooManyTiles> {
        if let Some(known) = self.tiles.get_mut(&tile) {
            known.pace = pace;
            return Ok(());
        }
        if self.tiles.len() >= MAX_TILES {
            return Err(TooManyTiles);
        }
        self.tiles.insert(tile, Tile::new(pace, self.virtual_time));
        Ok(())
    }

    /// Takes a tile away; what is on its way for it counts no longer. Whether it was there.
    pub fn unsubscribe(&mut self, tile: u16) -> bool {
        let Some(gone) = self.tiles.remove(&tile) else { return false };
        self.in_flight_bytes -= gone.in_flight_bytes();
        self.in_flight -= gone.outstanding.len();
        true
    }

    /// `tile` has a picture that it has not sent.
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

    /// Whose turn it is at `now`: of those that have something new and may send, the one that has had least of its share;
    /// among equals the one of higher priority, then the one whose last turn is longest ago. So each tile's part of a link
    /// that cannot carry all is in proportion to its priority, and none waits for ever.
    pub fn turn(&self, now: Instant) -> Option<u16> {
        let may_send = self.tiles.iter().filter(|(_, tile)| tile.may_send());
        may_send
            .filter(|(_, tile)| tile.due_at().is_none_or(|due| due <= now))
            .min_by_key(|(_, tile)| (tile.start, Reverse(tile.pace.priority), tile.last_turn))
            .map(|(number, _)| *number)
    }

    /// Sends a picture of `tile`, whose turn it is: its number, from 1, or `None` when it must wait until something is
    /// acknowledged.
    ///
    /// # Panics
    /// When there is no such tile.
    pub fn send(&mut self, tile: u16, bytes: u64, captured_at: SystemTime, now: Instant) -> Option<u32> {
        let budget = self.budget_bytes();
        let (is_alone, after) = (self.in_flight == 0, self.in_flight_bytes.saturating_add(bytes));
        // A picture that is larger than the budget goes when nothing else is on its way.
        if !is_alone && after > budget {
            return None;
        }
        let mark = self.throughput.mark(now, is_alone, after >= budget / 2);
        let count = self.counts.entry(tile).or_default();
        *count += 1;
        self.turns += 1;
        let known = self.tiles.get_mut(&tile).expect("a tile whose turn it is");
        self.virtual_time = known.start;
        known.send(Sent { count: *count, bytes, captured_at, mark }, now, self.turns);
        (self.in_flight, self.in_flight_bytes) = (self.in_flight + 1, after);
        if is_alone {
            self.patient_since = Some(now);
        }
        Some(on_the_wire(*count))
    }

    /// The last picture has left the program at `now`: the client is to acknowledge it from now on.
    pub fn left(&mut self, now: Instant) {
        self.patient_since = Some(now);
    }

    /// The client has painted picture `sequence` of `tile`, and what came before it.
    ///
    /// # Errors
    /// [`NotSent`] for one that has not been sent over this connection.
    pub fn acknowledge(&mut self, tile: u16, sequence: u32, now: Instant) -> Result<Acknowledged, NotSent> {
        let sent = self.counts.get(&tile).copied().unwrap_or_default();
        let back = u64::from(on_the_wire(sent).wrapping_sub(sequence));
        let count = sent.checked_sub(back).filter(|count| *count > 0).ok_or(NotSent)?;
        let nothing = Acknowledged { pictures: 0, captured_at: None };
        let Some(known) = self.tiles.get_mut(&tile) else { return Ok(nothing) };
        let covered = known.acknowledge(count);
        let Some(last) = covered.last() else { return Ok(nothing) };
        let bytes = covered.iter().map(|sent| sent.bytes).sum();
        self.in_flight_bytes -= bytes;
        self.in_flight -= covered.len();
        self.throughput.delivered(bytes, last.mark, now);
        self.patient_since = Some(now);
        Ok(Acknowledged { pictures: covered.len(), captured_at: Some(last.captured_at) })
    }

    /// When the client's time to acknowledge is over, if something is on its way.
    pub fn patience_ends(&self) -> Option<Instant> {
        self.patient_since.filter(|_| self.in_flight > 0).map(|since| since + ACK_TIMEOUT)
    }

    /// The first time after `now` at which a tile's rate lets it send; acknowledgements and announcements come by
    /// themselves.
    pub fn next_due(&self, now: Instant) -> Option<Instant> {
        let waiting = self.tiles.values().filter(|tile| tile.may_send());
        waiting.filter_map(Tile::due_at).filter(|due| *due > now).min()
    }

    /// Bytes on their way, of all tiles.
    pub fn in_flight_bytes(&self) -> u64 {
        self.in_flight_bytes
    }

    /// Bytes of `tile` on their way.
    pub fn in_flight_of(&self, tile: u16) -> u64 {
        self.tiles.get(&tile).map(Tile::in_flight_bytes).unwrap_or_default()
    }

    /// Bytes a second from the server to the screen; `None` before anything was acknowledged.
    pub fn bytes_per_second(&self) -> Option<u64> {
        self.throughput.bytes_per_second()
    }

    /// How many bytes may be on their way at once.
    pub fn budget_bytes(&self) -> u64 {
        let freshness = self.tiles.values().map(|tile| tile.pace.freshness).min().unwrap_or_default();
        let rate = self.throughput.bytes_per_second().unwrap_or_default();
        let bytes = rate as f64 * freshness.as_secs_f64();
        (bytes as u64).clamp(LEAST_BUDGET_BYTES, MOST_BUDGET_BYTES)
    }

    /// How many tiles there are.
    pub fn tiles(&self) -> usize {
        self.tiles.len()
    }
}

/// A picture's number as clients see it: after four thousand million it begins again at 0.
fn on_the_wire(count: u64) -> u32 {
    count as u32
}
