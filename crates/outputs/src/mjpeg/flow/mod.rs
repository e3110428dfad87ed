//! Freshness: when the next picture may be handed to the kernel.
//!
//! A kernel takes more than a link can carry in good time, and so does the one at the other end: what waits in a reader's
//! receive buffer has been acknowledged and is seen here only by the window that it leaves. [`Flow`] is told what the
//! kernel says of a connection, estimates what of it the reader has not taken and how fast it takes, and lets the next
//! picture go when the one before is all but there. A viewer that keeps up is asked about twice a second, and never held:
//! only one that was seen to have more than the last picture before it is behind.
//!
//! Numbers and times in, decisions out: neither sockets nor clocks belong here.

use std::time::Duration;

use tokio::time::Instant;

/// How often a viewer that keeps up is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// The part of `freshness` that may still be on its way when the next picture goes.
const LEAD: u32 = 8;

/// How often a viewer that is held is looked at: the kernel does not say when a reader has read.
const SOON: Duration = Duration::from_millis(10);
const LATE: Duration = Duration::from_millis(50);

/// The longest that a picture is held when everything before it was acknowledged: the estimate may be wrong.
const LONGEST: Duration = Duration::from_secs(1);

/// After this time what was taken of one picture tells something.
const SETTLED: Duration = Duration::from_millis(20);

/// The least time over which speed is measured, and that which counts as much as all before it.
const SPAN: Duration = Duration::from_millis(60);
const MEMORY: Duration = Duration::from_millis(250);

/// After so many pictures that did not have to wait, a viewer keeps up.
const SMOOTH: u32 = 16;

/// Every so many pictures, one waits until the reader should have taken everything: what is left then was never there.
const PROBE_EVERY: u32 = 8;

/// What the kernel says of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sample {
    /// Bytes that were handed over and are not acknowledged.
    pub(crate) queued: u64,
    /// The room that the reader offered last, in bytes; none where the kernel does not tell, or a reader that is on this
    /// machine acknowledges by reading.
    pub(crate) window: Option<u64>,
    /// The least time to the reader and back.
    pub(crate) rtt: Duration,
}

/// Whether the next picture may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gate {
    /// Now.
    Open,
    /// Not before this time; then the kernel is to be asked again.
    Until(Instant),
    /// The reader has taken nothing for that long.
    Stalled(Duration),
}

/// What is known of how a viewer takes what it is sent.
#[derive(Debug)]
pub(crate) struct Flow {
    /// What may be on its way when the next picture goes, as time.
    lead: Duration,
    /// Bytes handed over so far, and with the last picture.
    written: u64,
    last: u64,
    /// The largest window seen: that of a reader which has read everything.
    room: u64,
    /// Bytes taken so far, as far as was seen, and when that was seen first.
    taken: u64,
    taken_at: Instant,
    /// From where speed is measured: bytes taken, and when.
    mark: Option<(u64, Instant)>,
    bytes_per_second: Option<f64>,
    /// How often in a row the reader had taken everything before it got the next picture.
    drained: u32,
    /// When the last picture went.
    begun_at: Instant,
    /// What was left of the pictures before the last one when that was all acknowledged, by the windows told.
    excess: u64,
    /// Pictures since one waited for the reader to have everything, and whether the last one did.
    since_probe: u32,
    is_probed: bool,
    /// Whether it is known of the last picture if that was so.
    has_settled: bool,
    looked_at: Option<Instant>,
    /// As of then: not acknowledged, and received but not read at most.
    queued: u64,
    unread: u64,
    rtt: Duration,
    held_since: Option<Instant>,
    /// Whether each picture has to ask, and whether it may have to wait.
    is_pressed: bool,
    is_behind: bool,
    smooth: u32,
}

impl Flow {
    /// Of a viewer that was sent nothing yet, as `freshness` is promised for its camera.
    pub(crate) fn new(freshness: Duration, now: Instant) -> Self {
        Self {
            lead: freshness / LEAD,
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
            looked_at: None,
            queued: 0,
            unread: 0,
            rtt: Duration::ZERO,
            held_since: None,
            is_pressed: false,
            is_behind: false,
            smooth: 0,
        }
    }

    /// The kernel took `bytes`.
    pub(crate) fn wrote(&mut self, bytes: usize, now: Instant) {
        self.written += bytes as u64;
        self.last += bytes as u64;
        // A picture larger than what the kernels hold waits for the reader while it is handed over.
        self.is_behind |= self.is_pressed && self.smooth == 0 && now - self.begun_at > self.lead;
    }

    /// The kernel did not take all of a picture.
    pub(crate) fn fell_short(&mut self) {
        self.is_pressed = true;
        self.smooth = 0;
    }

    /// Whether the kernel is to be asked before the next picture goes.
    pub(crate) fn wants_look(&self, now: Instant) -> bool {
        self.is_pressed || self.looked_at.is_none_or(|looked_at| now >= looked_at + LOOK_EVERY)
    }

    /// What the viewer's link carries, in bytes per second, as far as it was seen to be the link that decides.
    pub(crate) fn bytes_per_second(&self) -> Option<u64> {
        self.bytes_per_second.filter(|_| self.is_behind).map(|rate| rate as u64)
    }

    /// The kernel says `sample`.
    pub(crate) fn observe(&mut self, now: Instant, sample: Sample) {
        let is_first = self.looked_at.replace(now).is_none();
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

    /// Whether the next picture may go, by what was observed.
    pub(crate) fn gate(&mut self, now: Instant) -> Gate {
        let rate = self.bytes_per_second.unwrap_or(0.0);
        // What is unread was last known when it changed; the reader went on since.
        let read_since = rate * (now - self.taken_at).as_secs_f64();
        let unread = (self.unread as f64 - read_since).max(0.0);
        let remaining = self.queued as f64 + unread;
        // A viewer far away has much on its way and still keeps up.
        let allowed = rate * (self.lead + self.rtt).as_secs_f64();
        if !self.is_behind {
            // Part of the last picture may be there and not be known to have been read.
            if remaining <= allowed + self.last as f64 * 1.25 {
                return Gate::Open;
            }
            self.fell_short();
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
        if self.queued == 0 && waited >= LONGEST {
            self.is_probed = true;
            return Gate::Open;
        }
        if now - self.taken_at > LONGEST {
            return Gate::Stalled(now - self.taken_at);
        }
        let beyond = if probes { remaining } else { remaining - allowed };
        let needed = if rate > 0.0 { beyond / rate } else { 0.0 };
        Gate::Until(now + Duration::from_secs_f64(needed.clamp(SOON.as_secs_f64(), LATE.as_secs_f64())))
    }

    /// The next picture goes.
    pub(crate) fn begin(&mut self, now: Instant) {
        self.smooth = if self.held_since.take().is_none() { self.smooth + 1 } else { 0 };
        if self.is_pressed {
            if self.queued + self.unread == 0 {
                self.speed_up();
            }
            self.is_pressed = self.smooth < SMOOTH;
            self.is_behind &= self.is_pressed;
            self.since_probe = if self.is_probed { 0 } else { self.since_probe + 1 };
        }
        self.begun_at = now;
        self.has_settled = false;
        self.last = 0;
    }

    /// Finds out, once all of the last picture is acknowledged, whether the reader had read all before it.
    fn settle(&mut self, has_window: bool) {
        if self.has_settled || self.queued > 0 || !has_window || self.last == 0 {
            return;
        }
        self.has_settled = true;
        let is_probed = std::mem::take(&mut self.is_probed);
        let excess = self.unread.saturating_sub(self.last);
        let before = std::mem::replace(&mut self.excess, excess);
        // Windows are told in steps.
        if excess <= self.last / 64 {
            // With less unread than half a picture the look came too late to tell.
            if self.unread >= self.last / 2 {
                self.speed_up();
            }
            return;
        }
        self.drained = 0;
        if is_probed && excess.abs_diff(before) <= self.last / 16 {
            // Time enough to take it made no difference: the reader's buffer has become smaller.
            self.room -= excess;
            self.unread -= excess;
            self.excess = 0;
            self.taken += excess;
            self.speed_up();
        }
    }

    /// The reader waited for the picture: it takes more than was thought.
    fn speed_up(&mut self) {
        self.drained += 1;
        let factor = match self.drained {
            ..=1 => 1.1,
            2 => 1.25,
            _ => 1.5,
        };
        // As long as nothing is known, the pauses between pictures are measured too: too little is better than nothing.
        if let Some(rate) = &mut self.bytes_per_second {
            *rate *= factor;
            self.mark = None;
        }
    }

    /// What the reader took of the last picture since that went, it took at least this fast. The time is rough and the
    /// reader's buffer may be larger than was seen yet: not more than twice what was known is believed at once.
    fn measure_last(&mut self, now: Instant) {
        let since = now - self.begun_at;
        let Some(known) = self.bytes_per_second.filter(|_| since >= SETTLED) else { return };
        let of_last = self.last.saturating_sub(self.queued + self.unread) as f64;
        let least = (of_last / since.as_secs_f64()).min(2.0 * known);
        if least > known {
            self.bytes_per_second = Some(least);
            self.mark = None;
        }
    }

    /// Measures how fast the reader takes what is there.
    fn measure(&mut self) {
        let Some((taken, at)) = self.mark else {
            self.mark = Some((self.taken, self.taken_at));
            return;
        };
        let span = self.taken_at - at;
        if span < SPAN {
            return;
        }
        let measured = (self.taken - taken) as f64 / span.as_secs_f64();
        let weight = span.as_secs_f64() / (span + MEMORY).as_secs_f64();
        let rate = self.bytes_per_second.map_or(measured, |rate| rate + (measured - rate) * weight);
        // A reader that may have had nothing to take says nothing of how fast it is, but that it is as fast as this.
        let is_idle = self.queued + self.unread == 0;
        let known = self.bytes_per_second.filter(|_| is_idle).unwrap_or(0.0);
        self.bytes_per_second = Some(rate.max(known));
        self.mark = Some((self.taken, self.taken_at));
    }
}

#[cfg(test)]
mod tests;
