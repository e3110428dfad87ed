//! The latency budget: when the writer may give the next picture to the kernel.
//!
//! The kernel here accepts more than a link can carry in good time, and so does the kernel of the reader. Bytes that
//! wait in a reader's receive buffer are already acknowledged; here, only a smaller window shows them. [`FlowControl`] takes
//! samples of what the kernel says about a connection. From these it estimates how much the reader has not read yet,
//! and how fast it reads. It lets the next picture go when the one before has nearly arrived. A viewer that keeps up is
//! sampled about twice a second and never held. A viewer is behind only if a sample showed more than its last picture
//! still on the way.
//!
//! Numbers and times in, decisions out: neither sockets nor clocks belong here.

use std::time::Duration;

use tokio::time::Instant;

/// How often to sample a viewer that keeps up.
const SAMPLE_INTERVAL: Duration = Duration::from_millis(500);

/// When the next picture goes, at most this fraction (1/n) of `latency_budget` may still be on its way.
const LEAD_DIVISOR: u32 = 8;

/// How often to sample a viewer that is held: the kernel does not report when a reader has read.
const MIN_RECHECK: Duration = Duration::from_millis(10);
const MAX_RECHECK: Duration = Duration::from_millis(50);

/// The longest that a picture is held once everything before it is acknowledged: the estimate may be wrong.
const MAX_HOLD: Duration = Duration::from_secs(1);

/// The bytes taken of a picture allow an estimate once this time has passed.
const MIN_MEASURED_TIME: Duration = Duration::from_millis(20);

/// The least time of a speed measurement, and the length at which a measurement weighs as much as all before it.
const MIN_SPAN: Duration = Duration::from_millis(60);
const SMOOTHING_TIME: Duration = Duration::from_millis(250);

/// A viewer keeps up again after this many pictures in a row that did not have to wait.
const SMOOTH_PICTURES: u32 = 16;

/// The interval of probes, in pictures. A probe waits until the reader should have taken everything. If some bytes then
/// still seem unread, the reader's buffer has shrunk.
const PROBE_EVERY: u32 = 8;

/// A sample of what the kernel says about a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SocketSample {
    /// Bytes that the kernel took and the reader's side has not acknowledged.
    pub(crate) queued: u64,
    /// The receive window that the reader offered last, in bytes. `None` if the kernel does not report it, or for a
    /// reader on this machine, which acknowledges by reading.
    pub(crate) window: Option<u64>,
    /// The least round-trip time.
    pub(crate) rtt: Duration,
}

/// Whether the next picture may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gate {
    /// Now.
    Open,
    /// Not before this time; then sample again.
    Until(Instant),
    /// The reader has taken nothing for that long.
    Stalled(Duration),
}

/// An estimate of how fast one viewer takes its pictures.
#[derive(Debug)]
pub(crate) struct FlowControl {
    /// The data that may still be on its way when the next picture goes, as time.
    lead: Duration,
    /// Bytes given to the kernel so far, and those of the last picture.
    written: u64,
    last: u64,
    /// The largest window seen: that of a reader that has read everything.
    room: u64,
    /// Bytes that the reader has taken, as the last samples showed, and when a sample first showed it.
    taken: u64,
    taken_at: Instant,
    /// Where the speed measurement starts: bytes taken, and when.
    mark: Option<(u64, Instant)>,
    bytes_per_second: Option<f64>,
    /// How often in a row the reader had taken everything before the next picture went.
    drained: u32,
    /// When the last picture went.
    begun_at: Instant,
    /// Bytes of earlier pictures that were still unread when the last picture was all acknowledged, as the window
    /// shows.
    excess: u64,
    /// Pictures since the last probe, and whether the last picture was one.
    since_probe: u32,
    is_probed: bool,
    /// Whether `settle` has judged the last picture.
    has_settled: bool,
    sampled_at: Option<Instant>,
    /// At the last sample: bytes not acknowledged, and at most this many received but not read.
    queued: u64,
    unread: u64,
    rtt: Duration,
    held_since: Option<Instant>,
    /// Whether each picture needs a sample first, and whether it may have to wait.
    is_constrained: bool,
    is_behind: bool,
    smooth: u32,
}

impl FlowControl {
    /// For a viewer that was sent nothing yet; `latency_budget` is the latency budget of its camera.
    pub(crate) fn new(latency_budget: Duration, now: Instant) -> Self {
        Self {
            lead: latency_budget / LEAD_DIVISOR,
            written: 0,
            last: 0,
            room: 0,
            taken: 0,
            taken_at: now,
            mark: None,
            bytes_per_second: None,
            drained: 0,
            begun_at: now,
            excess: 0,
            since_probe: 0,
            is_probed: false,
            has_settled: true,
            sampled_at: None,
            queued: 0,
            unread: 0,
            rtt: Duration::ZERO,
            held_since: None,
            is_constrained: false,
            is_behind: false,
            smooth: 0,
        }
    }

    /// The kernel took `bytes`.
    pub(crate) fn bytes_written(&mut self, bytes: usize, now: Instant) {
        self.written += bytes as u64;
        self.last += bytes as u64;
        // A picture larger than the buffers of both kernels waits for the reader while it is handed over.
        self.is_behind |= self.is_constrained && self.smooth == 0 && now - self.begun_at > self.lead;
    }

    /// The kernel did not take all of a picture.
    pub(crate) fn note_partial_write(&mut self) {
        self.is_constrained = true;
        self.smooth = 0;
    }

    /// Whether to sample the kernel before the next picture goes.
    pub(crate) fn needs_sample(&self, now: Instant) -> bool {
        self.is_constrained || self.sampled_at.is_none_or(|sampled_at| now >= sampled_at + SAMPLE_INTERVAL)
    }

    /// What the viewer's link carries, in bytes per second; `None` unless the link was seen to be the bottleneck.
    pub(crate) fn bytes_per_second(&self) -> Option<u64> {
        self.bytes_per_second.filter(|_| self.is_behind).map(|rate| rate as u64)
    }

    /// Takes a sample.
    pub(crate) fn observe(&mut self, now: Instant, sample: SocketSample) {
        let is_first = self.sampled_at.replace(now).is_none();
        (self.queued, self.rtt) = (sample.queued, sample.rtt);
        self.unread = sample.window.map_or(0, |window| {
            self.room = self.room.max(window);
            self.room - window
        });
        let taken = self.written.saturating_sub(self.queued + self.unread);
        if taken > self.taken || is_first {
            (self.taken, self.taken_at) = (taken, now);
        }
        self.settle(sample.window.is_some());
        self.measure();
        self.measure_last(now);
    }

    /// Whether the next picture may go, by the samples so far.
    pub(crate) fn gate(&mut self, now: Instant) -> Gate {
        let rate = self.bytes_per_second.unwrap_or(0.0);
        // `unread` is as of its last change; the reader has read more since.
        let read_since = rate * (now - self.taken_at).as_secs_f64();
        let unread = (self.unread as f64 - read_since).max(0.0);
        let remaining = self.queued as f64 + unread;
        // A viewer far away has much on its way and still keeps up.
        let allowed = rate * (self.lead + self.rtt).as_secs_f64();
        if !self.is_behind {
            // Part of the last picture may have arrived without a sign yet that the reader read it.
            if remaining <= allowed + self.last as f64 * 1.25 {
                return Gate::Open;
            }
            self.note_partial_write();
            self.is_behind = true;
        }
        let probes = self.since_probe >= PROBE_EVERY;
        let is_due =
            if probes { unread < 1.0 && self.queued as f64 <= allowed } else { remaining <= allowed };
        if is_due || remaining < 1.0 {
            self.is_probed = probes;
            return Gate::Open;
        }
        let waited = now - self.taken_at.max(*self.held_since.get_or_insert(now));
        if self.queued == 0 && waited >= MAX_HOLD {
            self.is_probed = true;
            return Gate::Open;
        }
        if now - self.taken_at > MAX_HOLD {
            return Gate::Stalled(now - self.taken_at);
        }
        let beyond = if probes { remaining } else { remaining - allowed };
        let needed = if rate > 0.0 { beyond / rate } else { 0.0 };
        Gate::Until(
            now + Duration::from_secs_f64(needed.clamp(MIN_RECHECK.as_secs_f64(), MAX_RECHECK.as_secs_f64())),
        )
    }

    /// Starts the next picture.
    pub(crate) fn begin(&mut self, now: Instant) {
        self.smooth = if self.held_since.take().is_none() { self.smooth + 1 } else { 0 };
        if self.is_constrained {
            if self.queued + self.unread == 0 {
                self.speed_up();
            }
            self.is_constrained = self.smooth < SMOOTH_PICTURES;
            self.is_behind &= self.is_constrained;
            self.since_probe = if self.is_probed { 0 } else { self.since_probe + 1 };
        }
        self.begun_at = now;
        self.has_settled = false;
        self.last = 0;
    }

    /// Judges, once all of the last picture is acknowledged, whether the reader had read all pictures before it.
    fn settle(&mut self, has_window: bool) {
        if self.has_settled || self.queued > 0 || !has_window || self.last == 0 {
            return;
        }
        self.has_settled = true;
        let is_probed = std::mem::take(&mut self.is_probed);
        let excess = self.unread.saturating_sub(self.last);
        let before = std::mem::replace(&mut self.excess, excess);
        // Readers announce windows in steps, so a small excess means nothing.
        if excess <= self.last / 64 {
            // If less than half a picture is unread, the sample came too late to judge.
            if self.unread >= self.last / 2 {
                self.speed_up();
            }
            return;
        }
        self.drained = 0;
        if is_probed && excess.abs_diff(before) <= self.last / 16 {
            // The reader had time to take it, and the excess stayed: the reader's buffer has become smaller.
            self.room -= excess;
            self.unread -= excess;
            self.excess = 0;
            self.taken += excess;
            self.speed_up();
        }
    }

    /// The reader waited for the picture, so it is faster than estimated.
    fn speed_up(&mut self) {
        self.drained += 1;
        let factor = match self.drained {
            ..=1 => 1.1,
            2 => 1.25,
            _ => 1.5,
        };
        // Before there is an estimate, the measurement includes the pauses between pictures: a rate that is too low is
        // better than none.
        if let Some(rate) = &mut self.bytes_per_second {
            *rate *= factor;
            self.mark = None;
        }
    }

    /// Raises the estimate to the speed at which the reader took the last picture. The time is rough, and the reader's
    /// buffer may be larger than seen so far; so the estimate at most doubles at once.
    fn measure_last(&mut self, now: Instant) {
        let since = now - self.begun_at;
        let Some(known) = self.bytes_per_second.filter(|_| since >= MIN_MEASURED_TIME) else { return };
        let of_last = self.last.saturating_sub(self.queued + self.unread) as f64;
        let least = (of_last / since.as_secs_f64()).min(2.0 * known);
        if least > known {
            self.bytes_per_second = Some(least);
            self.mark = None;
        }
    }

    /// Measures how fast the reader takes the bytes that are there.
    fn measure(&mut self) {
        let Some((taken, at)) = self.mark else {
            self.mark = Some((self.taken, self.taken_at));
            return;
        };
        let span = self.taken_at - at;
        if span < MIN_SPAN {
            return;
        }
        let measured = (self.taken - taken) as f64 / span.as_secs_f64();
        let weight = span.as_secs_f64() / (span + SMOOTHING_TIME).as_secs_f64();
        let rate = self.bytes_per_second.map_or(measured, |rate| rate + (measured - rate) * weight);
        // A reader that may have been idle gives only a lower bound for its speed.
        let is_idle = self.queued + self.unread == 0;
        let known = self.bytes_per_second.filter(|_| is_idle).unwrap_or(0.0);
        self.bytes_per_second = Some(rate.max(known));
        self.mark = Some((self.taken, self.taken_at));
    }
}

#[cfg(test)]
mod tests;
