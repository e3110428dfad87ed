//! One tile (one camera's place on the client's page): its pace, its place in the order of turns, and its pictures in
//! flight.

use std::collections::VecDeque;
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use super::{TilePace, WINDOW};
use crate::live::throughput::SendMark;
use crate::schedule::Schedule;

/// The virtual time that a turn of a tile with priority 1 costs. A tile with priority n pays 1/n of it. The cost is
/// divisible by each number from 1 to 10.
const TURN_COST: u64 = 2520;

/// How long a tile of coded video is sent frames without an acknowledgement, beside the time that acknowledgements take
/// anyway. A client acknowledges coded video only a few times a second.
const MAX_VIDEO_WAIT: Duration = Duration::from_secs(1);

/// The part of [`MAX_VIDEO_WAIT`] and the time that acknowledgements take which is for the latter, at most.
const MAX_ACK_DELAY: Duration = Duration::from_secs(1);

/// How long after an acknowledgement a tile of coded video may send one more message, if it may send nothing else. A client
/// that acknowledges four times a second, and only when something comes, thus acknowledges the rest.
const PROBE_AFTER: Duration = Duration::from_millis(300);

/// The maximum number of unacknowledged bytes of a tile of coded video: those of a camera's newest GOP, as the hub keeps
/// it, with which a tile starts.
const MAX_VIDEO_BYTES: u64 = 16 * 1024 * 1024;

/// The schedule of one tile.
#[derive(Debug)]
pub(super) struct TileSchedule {
    pub(super) pace: TilePace,
    schedule: Schedule,
    /// Whether the tile has a picture that has not been sent yet.
    pub(super) is_ready: bool,
    /// Whether what the tile has to send is coded video, of which no frame may be left out.
    is_video: bool,
    /// The start of the tile's next turn in virtual time, as in start-time fair queueing. The tile with the earliest
    /// start is next.
    pub(super) start: u64,
    /// The end of the tile's last turn in virtual time.
    finish: u64,
    pub(super) last_turn: u64,
    pub(super) outstanding: VecDeque<SentPicture>,
    /// The shortest time of late from sending coded video to its acknowledgement: that of a link without a queue.
    ack_delay: Duration,
    /// When one more message of coded video may be sent, whatever is unacknowledged; `None` if none may.
    probe_at: Option<Instant>,
    /// Number of bytes of the last picture that was sent; 0 before the first, and for coded video.
    last_bytes: u64,
}

/// A picture or a part of coded video in flight: sent, but not acknowledged.
#[derive(Debug, Clone, Copy)]
pub(super) struct SentPicture {
    /// Its number in its tile, from 1. The number does not wrap.
    pub(super) count: u64,
    pub(super) bytes: u64,
    pub(super) captured_at: SystemTime,
    pub(super) sent_at: Instant,
    /// The mark by which the speed of the link is measured; `None` for coded video, which has limits of its own.
    pub(super) mark: Option<SendMark>,
}

impl SentPicture {
    /// Returns whether it is a part of coded video.
    pub(super) fn is_video(&self) -> bool {
        self.mark.is_none()
    }

    /// Returns the number of bytes that count for the budget of the connection.
    pub(super) fn budget_bytes(&self) -> u64 {
        if self.is_video() { 0 } else { self.bytes }
    }
}

impl TileSchedule {
    /// Creates the schedule of a tile that has no picture yet. The tile's first turn starts no earlier than
    /// `virtual_time`.
    pub(super) fn new(pace: TilePace, virtual_time: u64) -> Self {
        Self {
            pace,
            schedule: Schedule::default(),
            is_ready: false,
            is_video: false,
            start: virtual_time,
            finish: virtual_time,
            last_turn: 0,
            outstanding: VecDeque::new(),
            ack_delay: Duration::ZERO,
            probe_at: None,
            last_bytes: 0,
        }
    }

    pub(super) fn announce(&mut self, virtual_time: u64, is_video: bool) {
        self.is_video = is_video;
        if !self.is_ready {
            self.is_ready = true;
            // A tile does not save up turns that it did not use.
            self.start = self.finish.max(virtual_time);
        }
    }

    /// Returns whether what the tile has to send is coded video.
    pub(super) fn is_video(&self) -> bool {
        self.is_video
    }

    /// Returns whether the tile has something to send and is allowed to send it as soon as it is due.
    pub(super) fn may_send(&self, now: Instant) -> bool {
        let has_room = if self.is_video { self.has_video_room(now) } else { self.outstanding.len() < WINDOW };
        self.is_ready && self.pace.priority > 0 && has_room
    }

    /// Returns whether the client acknowledges coded video fast enough for more of it.
    fn has_video_room(&self, now: Instant) -> bool {
        let Some(oldest) = self.outstanding.front() else { return true };
        let wait = MAX_VIDEO_WAIT + self.ack_delay.min(MAX_ACK_DELAY);
        let is_in_time = now < oldest.sent_at + wait && self.in_flight_bytes() < MAX_VIDEO_BYTES;
        is_in_time || self.probe_at.is_some_and(|probe_at| probe_at <= now)
    }

    /// Returns the first time after `now` at which the tile may send what it has, if nothing is acknowledged until then;
    /// `None` if it may send that now, or if no time changes it.
    pub(super) fn next_due(&self, now: Instant) -> Option<Instant> {
        let due_at = if self.may_send(now) {
            self.due_at()
        } else if self.is_video && self.is_ready && self.pace.priority > 0 {
            self.probe_at
        } else {
            None
        };
        due_at.filter(|due_at| *due_at > now)
    }

    /// Returns when the next picture is due; `None` before the first picture, and for coded video, which is due at once.
    /// A picture that is sent late does not delay the later ones.
    pub(super) fn due_at(&self) -> Option<Instant> {
        self.schedule.due_at(self.pace.interval).filter(|_| !self.is_video)
    }

    pub(super) fn send(&mut self, sent: SentPicture, now: Instant, turn: u64) {
        self.is_ready = false;
        self.finish = self.start + TURN_COST / u64::from(self.pace.priority.max(1));
        self.last_turn = turn;
        self.schedule.sent(self.pace.interval, now);
        self.last_bytes = sent.budget_bytes();
        self.outstanding.push_back(sent);
        self.probe_at = None;
    }

    /// Removes picture `count` and all earlier ones from the pictures in flight, and returns them.
    pub(super) fn acknowledge(&mut self, count: u64, now: Instant) -> Vec<SentPicture> {
        let covered = self.outstanding.iter().take_while(|sent| sent.count <= count).count();
        let covered: Vec<SentPicture> = self.outstanding.drain(..covered).collect();
        if let Some(last) = covered.last().filter(|sent| sent.is_video()) {
            let delay = now.saturating_duration_since(last.sent_at);
            let longer = delay.saturating_sub(self.ack_delay) / 32;
            self.ack_delay = delay.min(self.ack_delay + longer);
            self.probe_at = Some(now + PROBE_AFTER);
        }
        covered
    }

    /// Returns the tile's bytes for each turn, times its turns in proportion to those of a tile with priority 1.
    pub(super) fn weight_bytes(&self) -> f64 {
        self.last_bytes as f64 * f64::from(self.pace.priority)
    }

    /// Returns the number of unacknowledged bytes.
    pub(super) fn in_flight_bytes(&self) -> u64 {
        self.outstanding.iter().map(|sent| sent.bytes).sum()
    }
}
