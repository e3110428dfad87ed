//! How long to hold back the next picture after the last one has left the server. For viewers whose socket is unknown.
//!
//! The server is given a picture in pieces. Linux takes pieces for a slow link in bursts: up to about 64 KiB, whatever
//! `TCP_NOTSENT_LOWAT` says, and then nothing until it has sent nearly all of them. So when a piece leaves that had to
//! wait, the buffers hold little: the *floor*. From one such time to the next, the link has carried the bytes that were
//! given meanwhile, if it was never idle: this is its speed. From floor and speed follows what is still in the buffers
//! when a picture has left, and the next picture is held back until the link has carried that.
//!
//! A floor that is assumed too high leaves the link idle, which shows the true floor. So the assumed floor rises until
//! that happens. While the speed cannot be measured, because the link might have been idle or no piece had to wait,
//! the pictures are held back less and less.

use std::time::Duration;

use tokio::time::Instant;

/// The minimum time that a piece needs to leave if it had to wait for room in the buffers.
const MIN_WAIT: Duration = Duration::from_millis(2);

/// The minimum duration of a measurement of the link's speed.
const MIN_SPAN: Duration = Duration::from_millis(60);

/// The minimum time for which a picture is held back. A shorter time gains nothing.
const MIN_HOLD: Duration = Duration::from_millis(8);

/// The weight of a measurement of the speed or of the floor, against all earlier ones.
const WEIGHT: f64 = 0.5;

/// The divisor of the last picture's size by which the assumed floor rises with each measurement of the speed.
const FLOOR_STEP_DIVISOR: f64 = 64.0;

/// The factor by which the hold becomes shorter with each of the first [`GENTLE_PICTURES`] whose speed is not measured.
const GENTLE_SHARE: f64 = 0.96;
const GENTLE_PICTURES: i32 = 4;
/// The factor by which it becomes shorter with each picture after these. The link might be fast by now.
const STEEP_SHARE: f64 = 0.7;

/// What one viewer's buffers hold, and how fast its link empties them.
#[derive(Debug, Default)]
pub(super) struct Hold {
    /// The estimated number of bytes in the buffers at `level_at`.
    level: f64,
    level_at: Option<Instant>,
    /// The estimated number of bytes in the buffers when there is room again after a wait.
    floor: f64,
    bytes_per_second: Option<f64>,
    /// Number of bytes that have left so far.
    left: u64,
    /// The end of the last wait, and how many bytes had left before it.
    mark: Option<(u64, Instant)>,
    /// Whether the link might have been idle since `mark`.
    was_idle: bool,
    /// The start of the current picture: when, and how many bytes had left before.
    begun: Option<(u64, Instant)>,
    /// Whether the buffers seemed empty when the current picture began.
    began_empty: bool,
    last_left_at: Option<Instant>,
    /// The number of pictures that began since the speed was measured.
    unmeasured: i32,
}

impl Hold {
    /// Records that the first piece of a picture is given to the server at `now`.
    pub(super) fn begin(&mut self, now: Instant) {
        self.drain(now);
        (self.begun, self.last_left_at) = (Some((self.left, now)), Some(now));
        self.began_empty = self.level <= 0.0;
        self.unmeasured = self.unmeasured.saturating_add(1);
    }

    /// Records that a piece of `bytes` bytes of a picture of `picture` bytes has left at `now`.
    pub(super) fn piece_left(&mut self, bytes: u64, picture: u64, now: Instant) {
        let last_left_at = self.last_left_at.replace(now).unwrap_or(now);
        if now.saturating_duration_since(last_left_at) >= MIN_WAIT {
            self.waited(picture, now);
        }
        self.left += bytes;
        self.level += bytes as f64;
    }

    /// Returns the estimate of how many bytes per second the link transfers; `None` if nothing had to wait so far.
    pub(super) fn bytes_per_second(&self) -> Option<f64> {
        self.bytes_per_second
    }

    /// Returns until when the next picture is held back; `None` if it is not.
    pub(super) fn until(&self) -> Option<Instant> {
        let (level_at, bytes_per_second) = (self.level_at?, self.bytes_per_second?);
        let steep = (self.unmeasured - GENTLE_PICTURES).max(0);
        let share = GENTLE_SHARE.powi(self.unmeasured.min(GENTLE_PICTURES)) * STEEP_SHARE.powi(steep);
        let hold = Duration::try_from_secs_f64(share * self.level / bytes_per_second).ok()?;
        (hold >= MIN_HOLD).then(|| level_at + hold)
    }

    /// Brings `level` up to `now`.
    fn drain(&mut self, now: Instant) {
        let since = now.saturating_duration_since(self.level_at.replace(now).unwrap_or(now));
        self.level -= self.bytes_per_second.unwrap_or(0.0) * since.as_secs_f64();
        if self.level <= 0.0 {
            self.level = 0.0;
            self.was_idle = true;
        }
    }

    /// Records that the buffers had no room for a piece until `now`.
    fn waited(&mut self, picture: u64, now: Instant) {
        let mark = *self.mark.get_or_insert((self.left, now));
        let span = now.saturating_duration_since(mark.1);
        if span >= MIN_SPAN {
            let measured = (self.left - mark.0) as f64 / span.as_secs_f64();
            self.measure(measured, picture, now);
            self.mark = Some((self.left, now));
        }
        if span >= MIN_SPAN || span.is_zero() {
            self.was_idle = false;
        }
        (self.level, self.level_at) = (self.floor, Some(now));
    }

    /// Corrects the estimates. The link has carried `measured` bytes a second since the last wait, idle time included.
    fn measure(&mut self, measured: f64, picture: u64, now: Instant) {
        let Some(known) = self.bytes_per_second else {
            self.bytes_per_second = Some(measured);
            return;
        };
        if !self.was_idle {
            self.bytes_per_second = Some(known + (measured - known) * WEIGHT);
            self.floor += picture as f64 / FLOOR_STEP_DIVISOR;
            self.unmeasured = 0;
            return;
        }
        self.bytes_per_second = Some(known.max(measured));
        let Some((left, begun_at)) = self.begun.filter(|(left, _)| self.began_empty && *left < self.left)
        else {
            return;
        };
        // The buffers were empty, so what was given since and not carried is the floor.
        let carried = known * now.saturating_duration_since(begun_at).as_secs_f64();
        let floor = ((self.left - left) as f64 - carried).max(0.0);
        self.floor += (floor - self.floor) * WEIGHT;
    }
}
