//! One tile (one camera's place on the client's page): its pace, its place in the order of turns, and its pictures in
//! flight.

use std::collections::VecDeque;
use std::time::SystemTime;

use tokio::time::Instant;

use super::{TilePace, WINDOW};
use crate::live::throughput::SendMark;
use crate::schedule::Schedule;

/// The virtual time that a turn of a tile with priority 1 costs. A tile with priority n pays 1/n of it. The cost is
/// divisible by each number from 1 to 10.
const TURN_COST: u64 = 2520;

/// The schedule of one tile.
#[derive(Debug)]
pub(super) struct TileSchedule {
    pub(super) pace: TilePace,
    schedule: Schedule,
    /// Whether the tile has a picture that has not been sent yet.
    pub(super) is_ready: bool,
    /// The start of the tile's next turn in virtual time, as in start-time fair queueing. The tile with the earliest
    /// start is next.
    pub(super) start: u64,
    /// The end of the tile's last turn in virtual time.
    finish: u64,
    pub(super) last_turn: u64,
    pub(super) outstanding: VecDeque<SentPicture>,
    /// Number of bytes of the last picture that was sent; 0 before the first.
    last_bytes: u64,
}

/// A picture in flight: sent, but not acknowledged.
#[derive(Debug, Clone, Copy)]
pub(super) struct SentPicture {
    /// The picture's number in its tile. The tile's first picture has the number 1. The number does not wrap.
    pub(super) count: u64,
    pub(super) bytes: u64,
    pub(super) captured_at: SystemTime,
    pub(super) mark: SendMark,
}

impl TileSchedule {
    /// Creates the schedule of a tile that has no picture yet. The tile's first turn starts no earlier than
    /// `virtual_time`.
    pub(super) fn new(pace: TilePace, virtual_time: u64) -> Self {
        Self {
            pace,
            schedule: Schedule::default(),
            is_ready: false,
            start: virtual_time,
            finish: virtual_time,
            last_turn: 0,
            outstanding: VecDeque::new(),
            last_bytes: 0,
        }
    }

    pub(super) fn announce(&mut self, virtual_time: u64) {
        if !self.is_ready {
            self.is_ready = true;
            // A tile does not save up turns that it did not use.
            self.start = self.finish.max(virtual_time);
        }
    }

    /// Returns whether the tile has a picture and is allowed to send it as soon as the picture is due.
    pub(super) fn may_send(&self) -> bool {
        self.is_ready && self.pace.priority > 0 && self.outstanding.len() < WINDOW
    }

    /// Returns when the next picture is due; `None` before the first picture. A picture that is sent late does not
    /// delay the later ones.
    pub(super) fn due_at(&self) -> Option<Instant> {
        self.schedule.due_at(self.pace.interval)
    }

    pub(super) fn send(&mut self, sent: SentPicture, now: Instant, turn: u64) {
        self.is_ready = false;
        self.finish = self.start + TURN_COST / u64::from(self.pace.priority.max(1));
        self.last_turn = turn;
        self.schedule.sent(self.pace.interval, now);
        self.last_bytes = sent.bytes;
        self.outstanding.push_back(sent);
    }

    /// Removes picture `count` and all earlier ones from the pictures in flight, and returns them.
    pub(super) fn acknowledge(&mut self, count: u64) -> Vec<SentPicture> {
        let covered = self.outstanding.iter().take_while(|sent| sent.count <= count).count();
        self.outstanding.drain(..covered).collect()
    }

    /// Returns the tile's bytes for each turn, times its turns in proportion to those of a tile with priority 1.
    pub(super) fn weight_bytes(&self) -> f64 {
        self.last_bytes as f64 * f64::from(self.pace.priority)
    }

    pub(super) fn in_flight_bytes(&self) -> u64 {
        self.outstanding.iter().map(|sent| sent.bytes).sum()
    }
}
