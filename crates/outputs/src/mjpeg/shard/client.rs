//! One viewer at a writer: its socket, and what of a part is still to be handed to the kernel.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use bytes::Bytes;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};
use tokio::time::Instant;

use super::super::flow::{Flow, Gate, Sample};
use super::super::stream::{Next, Stream};
use super::Join;
use super::deadlines::Deadline;
use crate::{Ending, Place, Socket};

/// How many times the write timeout one part may take in all: enough for a large picture over a poor link, and an end for
/// a client that takes a byte now and then.
const PART_TIMEOUTS: u32 = 6;

/// How often a viewer that takes nothing at all is looked at.
const STALLED_LOOK: Duration = Duration::from_millis(200);

/// How often one turn reads of what a viewer sends, and how much at once. It is nothing that anyone wants; what is not
/// read fills its own buffers.
const READS: usize = 16;
const READ_BYTES: usize = 4096;

/// One viewer.
pub(super) struct Client {
    socket: OwnedFd,
    pub(super) stream: Stream,
    pub(super) group: usize,
    pub(super) deadline: Deadline,
    /// What the kernel has not taken yet: whole when nothing of it was.
    rest: Bytes,
    /// When the kernel last took something, and when the part in `rest` was begun.
    taken_at: Instant,
    begun_at: Instant,
    is_closing: bool,
    /// Whether its stream is of another channel than its group.
    pub(super) has_moved: bool,
    flow: Flow,
    /// Until when it may not have the next picture.
    held_until: Option<Instant>,
    _seat: super::Seat,
    /// Its place among the server's connections.
    _place: Place,
}

/// What came of a viewer's turn.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// It is to be looked at when something is published, there is room, or at this time.
    Until(Option<Instant>),
    /// It has gone, or was sent all there is.
    Gone,
}

impl Client {
    /// Takes the socket over; the stream's opening is to be sent.
    pub(super) fn new(join: Join, now: Instant) -> io::Result<Self> {
        let Join { stream, taken, seat } = join;
        let socket: OwnedFd = match taken.socket {
            Socket::Tcp(stream) => stream.into_std()?.into(),
            Socket::Unix(stream) => stream.into_std()?.into(),
        };
        let (rest, flow) = (stream.opening(), Flow::new(stream.freshness(), now));
        Ok(Self {
            socket,
            stream,
            group: 0,
            deadline: Deadline::default(),
            rest,
            taken_at: now,
            begun_at: now,
            is_closing: false,
            has_moved: false,
            flow,
            held_until: None,
            _seat: seat,
            _place: taken.place,
        })
    }

    /// Hands over what can be: the rest of a part first, then the newest picture if one is due.
    pub(super) fn advance(&mut self, now: Instant, write_timeout: Duration) -> Turn {
        let mut is_newest = false;
        loop {
            if !self.rest.is_empty() {
                match self.hand_over(now) {
                    // What is published since then wakes the writer again.
                    Ok(true) if is_newest => return Turn::Until(self.stream.look_at(now)),
                    Ok(true) => {}
                    Ok(false) => return self.stalled(now, write_timeout),
                    Err(_) => return Turn::Gone,
                }
            }
            if self.is_closing {
                // What was handed over still goes; the end of the stream after it.
                rustix::net::shutdown(&self.socket, rustix::net::Shutdown::Write).ok();
                return Turn::Gone;
            }
            if let Some(turn) = self.hold(now, write_timeout) {
                return turn;
            }
            self.has_moved |= self.stream.adapt(now, self.flow.bytes_per_second());
            match self.stream.next(now) {
                Next::Part(part) => {
                    self.flow.begin(now);
                    self.rest = part;
                    (self.taken_at, self.begun_at) = (now, now);
                    is_newest = true;
                }
                Next::Due(at) => return Turn::Until(Some(at)),
                Next::Wait(at) => return Turn::Until(at),
                Next::End => self.close(Ending::CameraEnded),
            }
        }
    }

    /// Sends the stream's end after the part that is on its way.
    pub(super) fn close(&mut self, why: Ending) {
        self.stream.ends(why);
        if self.is_closing {
            return;
        }
        self.is_closing = true;
        let closing = self.stream.closing();
        // At most once in a viewer's life, so a copy does not matter.
        self.rest = if self.rest.is_empty() { closing } else { [&self.rest[..], &closing].concat().into() };
    }

    /// Gives the kernel what it takes of the rest; whether that was all.
    fn hand_over(&mut self, now: Instant) -> Result<bool, Errno> {
        match rustix::net::send(&self.socket, &self.rest, SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
            Ok(len) => {
                self.taken_at = now;
                self.flow.wrote(len, now);
                if len == self.rest.len() {
                    // The part must not be held until the next one comes.
                    self.rest = Bytes::new();
                    return Ok(true);
                }
                let _taken = self.rest.split_to(len);
                self.flow.fell_short();
                Ok(false)
            }
            Err(Errno::AGAIN | Errno::INTR) => {
                self.flow.fell_short();
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    /// What becomes of a viewer that may not have the next picture yet.
    fn hold(&mut self, now: Instant, write_timeout: Duration) -> Option<Turn> {
        if self.held_until.is_none_or(|until| until <= now) {
            self.held_until = match self.gate(now) {
                Gate::Open => None,
                Gate::Until(at) => Some(at),
                Gate::Stalled(since) if since >= write_timeout => return Some(self.gone(Ending::Stalled)),
                Gate::Stalled(_) => Some(now + STALLED_LOOK),
            };
        }
        self.held_until.map(|until| Turn::Until(Some(until)))
    }

    /// Whether the next picture may go: asks the kernel, of those viewers of whom it must be known.
    fn gate(&mut self, now: Instant) -> Gate {
        if !self.flow.wants_look(now) {
            return Gate::Open;
        }
        let Some(queued) = framecast_sys::unacknowledged_bytes(self.socket.as_fd()) else {
            return Gate::Open;
        };
        let info = framecast_sys::TcpInfo::of(self.socket.as_fd()).unwrap_or_default();
        let window = info.snd_wnd.map(u64::from);
        self.flow.observe(now, Sample { queued, window, rtt: info.min_rtt.unwrap_or_default() });
        let record = self.stream.record();
        record.queue(queued);
        if let Some(bytes_per_second) = self.flow.bytes_per_second() {
            record.throughput(bytes_per_second);
        }
        self.flow.gate(now)
    }

    /// How long a viewer may leave the rest of a part, or that it has left it too long.
    fn stalled(&mut self, now: Instant, write_timeout: Duration) -> Turn {
        let stalls_at = self.taken_at + write_timeout;
        let lasts_until = self.begun_at + write_timeout.saturating_mul(PART_TIMEOUTS);
        if stalls_at <= now {
            self.gone(Ending::Stalled)
        } else if lasts_until <= now {
            self.gone(Ending::Slow)
        } else {
            Turn::Until(Some(stalls_at.min(lasts_until)))
        }
    }

    fn gone(&mut self, why: Ending) -> Turn {
        self.stream.ends(why);
        Turn::Gone
    }

    /// Reads what the viewer sends, which is of no use; false when it has gone.
    pub(super) fn read(&self) -> bool {
        let mut piece = [0; READ_BYTES];
        for _ in 0..READS {
            match rustix::net::recv(&self.socket, &mut piece, RecvFlags::DONTWAIT) {
                Ok((0, _)) => return false,
                Ok(_) | Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return true,
                Err(_) => return false,
            }
        }
        true
    }
}

impl AsFd for Client {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
