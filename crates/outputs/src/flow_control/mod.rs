//! The latency budget: when a viewer's next picture may be sent, on every transport. The budget is the maximum time
//! that the link should need for the bytes in flight.
//!
//! A writer thread owns the viewer's socket and takes samples of it ([`FlowControl::observe`]). A response body knows
//! only when each piece of a picture has left the HTTP server ([`FlowControl::piece_left`], [`FlowControl::all_left`]).
//!
//! The kernels at both ends buffer more bytes than a link can transfer within the latency budget. Bytes in the receive
//! buffer of the reader, the program at the other end, are already acknowledged; the sender sees them only as a smaller
//! window. [`FlowControl`] takes samples of what the kernel reports about a connection. From these it estimates how
//! much the reader has not read yet, and how fast the reader reads. It allows the next picture when the previous one
//! has nearly arrived. A viewer that keeps up is sampled about twice a second, and its pictures are never held back. A
//! viewer is behind only if a sample showed that more than its last picture was still in flight.
//!
//! Numbers and times in, decisions out: neither sockets nor clocks belong here.

mod hold;

use std::time::Duration;

use tokio::time::Instant;

use hold::Hold;

/// How often the kernel's figures about a connection are sampled while the viewer reads fast enough for all pictures.
const SAMPLE_INTERVAL: Duration = Duration::from_millis(500);

/// The divisor n of the latency budget: a picture is sent when the link needs at most 1/n of the budget for the bytes
/// that are still in flight.
const LEAD_DIVISOR: u32 = 8;

/// The minimum interval at which the kernel's figures about a connection are sampled while the viewer's next picture is
/// held back. Samples are needed because the kernel does not report when a reader has read.
const MIN_RECHECK: Duration = Duration::from_millis(10);
/// The maximum interval at which the kernel's figures about a connection are sampled while the viewer's next picture is
/// held back.
const MAX_RECHECK: Duration = Duration::from_millis(50);

/// The maximum time for which a picture is held back after all earlier bytes were acknowledged, because the estimate of
/// the unread bytes might be wrong.
const MAX_HOLD: Duration = Duration::from_secs(1);

/// The minimum time from the start of sending a picture until the number of its bytes that were read is used to
/// estimate the reader's speed.
const MIN_MEASURED_TIME: Duration = Duration::from_millis(20);

/// The minimum duration of a measurement of the reader's speed.
const MIN_SPAN: Duration = Duration::from_millis(60);
/// The duration at which a speed measurement weighs as much as all earlier ones together.
const SMOOTHING_TIME: Duration = Duration::from_millis(250);

/// The number of pictures in a row that must not be held back before a viewer that was too slow is treated as fast
/// enough for all pictures.
const SMOOTH_PICTURES: u32 = 16;

/// The interval of probes, in pictures. A probe is a picture that is sent only when the reader should have read all
/// earlier ones. If bytes of earlier pictures then still seem unread, the reader's buffer has shrunk.
const PROBE_EVERY: u32 = 8;

/// The maximum number of pieces in which a response body gives a picture to the HTTP server, and the minimum size of a
/// piece in bytes. More pieces show more exactly when the buffers were full, and cost more system calls.
const PIECES: usize = 16;
const MIN_PIECE_BYTES: usize = 4096;

/// A sample of what the kernel reports about a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SocketSample {
    /// Bytes that the kernel accepted and the other end has not acknowledged.
    pub(crate) queued: u64,
    /// The receive window that the other end last advertised, in bytes. `None` if the kernel does not report it. Also
    /// `None` for a reader on this machine over a UNIX socket, which acknowledges by reading.
    pub(crate) window: Option<u64>,
    /// The minimum round-trip time of the connection.
    pub(crate) rtt: Duration,
}

/// Whether the next picture can be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gate {
    /// The picture can be sent now.
    Open,
    /// The picture must wait until this time. Then the kernel must be sampled again.
    Until(Instant),
    /// The picture must wait, because the reader has read nothing for this long.
    Stalled(Duration),
}

/// Estimates how fast one viewer reads its pictures, and decides when to send the next one.
#[derive(Debug)]
pub(crate) struct FlowControl {
    /// The next picture is sent only if the link needs at most this time for the bytes that are still in flight.
    lead: Duration,
    /// Number of bytes given to the kernel so far.
    written: u64,
    /// Number of bytes of the last picture that were given to the kernel so far.
    last: u64,
    /// The largest receive window seen so far, in bytes. It is the window of a reader that has read everything.
    room: u64,
    /// Number of bytes that the reader has read, according to the last sample.
    taken: u64,
    /// When a sample first showed the current value of `taken`.
    taken_at: Instant,
    /// The start of the measurement of the reader's speed: the value of `taken` and its time. `None` if no measurement
    /// is under way.
    mark: Option<(u64, Instant)>,
    bytes_per_second: Option<f64>,
    /// How many times in a row the reader had read every earlier picture before the next picture was sent.
    drained: u32,
    /// When the sending of the last picture began.
    begun_at: Instant,
    /// Number of bytes of earlier pictures that were still unread, judging by the receive window, when all of the last
    /// picture was acknowledged.
    excess: u64,
    /// The number of pictures since the last probe, a picture that waited until the reader should have read everything.
    since_probe: u32,
    /// Whether the last picture was a probe, which waited until the reader should have read everything.
    is_probed: bool,
    /// Whether [`settle`](Self::settle) has already checked if the reader had read all pictures before the last one.
    has_settled: bool,
    sampled_at: Option<Instant>,
    /// Number of bytes that were given to the kernel but not acknowledged, at the last sample.
    queued: u64,
    /// The estimated number of bytes that the reader's kernel had acknowledged but the reader had not read, at the last
    /// sample. The true number can be smaller.
    unread: u64,
    rtt: Duration,
    held_since: Option<Instant>,
    /// Whether the kernel's figures about the connection must be sampled before each picture.
    is_constrained: bool,
    /// Whether the link is too slow for all pictures, so that pictures can be held back.
    is_behind: bool,
    smooth: u32,
    /// Whether the caller knows what has arrived at the other end, and not only what has left the server.
    sees_arrival: bool,
    /// How long the next picture is held back after the last one has left, where only that is known. Most viewers have
    /// a socket that tells more, so they must not pay for its memory.
    hold: Option<Box<Hold>>,
}

impl FlowControl {
    /// Creates the flow control for a viewer that was sent nothing yet. `latency_budget` is the maximum time that the
    /// link should need for the bytes in flight.
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
            sees_arrival: true,
            hold: None,
        }
    }

    /// Records that the kernel accepted `bytes` bytes.
    pub(crate) fn bytes_written(&mut self, bytes: usize, now: Instant) {
        self.written += bytes as u64;
        self.last += bytes as u64;
        // A picture larger than the buffers of both kernels waits for the reader while it is handed over.
        self.is_behind |= self.is_constrained && self.smooth == 0 && now - self.begun_at > self.lead;
    }

    /// Records that the kernel's buffer had no room for all of a picture.
    pub(crate) fn set_constrained(&mut self) {
        self.is_constrained = true;
        self.smooth = 0;
    }

    /// Returns whether the kernel's figures about the connection must be sampled before the next picture is sent.
    pub(crate) fn needs_sample(&self, now: Instant) -> bool {
        self.is_constrained || self.sampled_at.is_none_or(|sampled_at| now >= sampled_at + SAMPLE_INTERVAL)
    }

    /// Returns the estimate of how many bytes per second the viewer's link transfers; `None` while the link is not the
    /// bottleneck.
    pub(crate) fn bytes_per_second(&self) -> Option<u64> {
        self.bytes_per_second.filter(|_| self.is_behind).map(|rate| rate as u64)
    }

    /// Updates the estimates from a sample that was taken at `now`.
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
        self.measure(self.queued + self.unread == 0);
        self.measure_last(now);
    }

    /// Returns the size of the pieces, in bytes, in which to give a picture of `bytes` bytes to the HTTP server. A
    /// picture for a link that is fast enough is one piece.
    pub(crate) fn piece_bytes(&self, bytes: usize) -> usize {
        if self.is_constrained { (bytes / PIECES).max(MIN_PIECE_BYTES) } else { bytes }
    }

    /// Records that a piece of `bytes` bytes of the last picture left the server at `now`, on a transport that tells
    /// nothing else.
    pub(crate) fn piece_left(&mut self, bytes: usize, now: Instant) {
        let begun_at = self.begun_at;
        let hold = self.hold.get_or_insert_with(|| {
            let mut hold = Box::<Hold>::default();
            hold.begin(begun_at);
            hold
        });
        hold.piece_left(bytes as u64, self.last, now);
    }

    /// Records that the last piece of the last picture left the server at `now`. The link is too slow for all pictures
    /// if a picture takes long to leave: it then waits for room in full buffers.
    pub(crate) fn all_left(&mut self, now: Instant) {
        self.sees_arrival = false;
        self.sampled_at = Some(now);
        (self.queued, self.unread) = (0, 0);
        (self.taken, self.taken_at) = (self.written, now);
        if now.saturating_duration_since(self.begun_at) > self.lead {
            self.set_constrained();
            self.is_behind = true;
        }
        self.bytes_per_second = self.hold.as_ref().and_then(|hold| hold.bytes_per_second());
    }

    /// Returns whether the next picture can be sent, according to the samples so far.
    pub(crate) fn gate(&mut self, now: Instant) -> Gate {
        let held_until = self.hold.as_ref().and_then(|hold| hold.until());
        if let Some(until) = held_until.filter(|until| now < *until) {
            self.held_since.get_or_insert(now);
            return Gate::Until(until);
        }
        let rate = self.bytes_per_second.unwrap_or(0.0);
        // `unread` is the value at its last change. The reader has read more since then.
        let read_since = rate * (now - self.taken_at).as_secs_f64();
        let unread = (self.unread as f64 - read_since).max(0.0);
        let remaining = self.queued as f64 + unread;
        // A viewer with a long round trip has many bytes in flight and still keeps up.
        let allowed = rate * (self.lead + self.rtt).as_secs_f64();
        if !self.is_behind {
            // Part of the last picture might have been read, although no sample shows that yet.
            if remaining <= allowed + self.last as f64 * 1.25 {
                return Gate::Open;
            }
            self.set_constrained();
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

    /// Records that the sending of the next picture begins.
    pub(crate) fn begin(&mut self, now: Instant) {
        self.smooth = if self.held_since.take().is_none() { self.smooth + 1 } else { 0 };
        if self.is_constrained {
            if self.queued + self.unread == 0 && self.sees_arrival {
                self.speed_up();
            }
            self.is_constrained = self.smooth < SMOOTH_PICTURES;
            self.is_behind &= self.is_constrained;
            self.since_probe = if self.is_probed { 0 } else { self.since_probe + 1 };
        }
        if let Some(hold) = &mut self.hold {
            if !self.is_constrained {
                **hold = Hold::default();
            }
            hold.begin(now);
        }
        self.begun_at = now;
        self.has_settled = false;
        self.last = 0;
    }

    /// Checks whether the reader had read all earlier pictures by the time that all of the last picture was
    /// acknowledged, and corrects the estimates accordingly.
    fn settle(&mut self, has_window: bool) {
        if self.has_settled || self.queued > 0 || !has_window || self.last == 0 {
            return;
        }
        self.has_settled = true;
        let is_probed = std::mem::take(&mut self.is_probed);
        let excess = self.unread.saturating_sub(self.last);
        let before = std::mem::replace(&mut self.excess, excess);
        // Readers advertise windows in steps, so a small excess means nothing.
        if excess <= self.last / 64 {
            // If less than half a picture is unread, the sample came too late to judge.
            if self.unread >= self.last / 2 {
                self.speed_up();
            }
            return;
        }
        self.drained = 0;
        if is_probed && excess.abs_diff(before) <= self.last / 16 {
            // The reader had time to read the excess, but it stayed: the reader's buffer has become smaller.
            self.room -= excess;
            self.unread -= excess;
            self.excess = 0;
            self.taken += excess;
            self.speed_up();
        }
    }

    /// Raises the estimate of the reader's speed, because the reader had read all pictures before the next one arrived.
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

    /// Raises the estimate of the reader's speed to the speed at which the reader took the last picture. The estimate
    /// at most doubles at once, because the time is imprecise and the reader's buffer might be larger than seen so far.
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

    /// Measures the speed at which the reader reads, once enough time has passed since the last measurement. A reader
    /// that `is_idle`, or might have been, gives only a lower bound for its speed.
    fn measure(&mut self, is_idle: bool) {
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
        let known = self.bytes_per_second.filter(|_| is_idle).unwrap_or(0.0);
        self.bytes_per_second = Some(rate.max(known));
        self.mark = Some((self.taken, self.taken_at));
    }
}

#[cfg(test)]
mod tests;
