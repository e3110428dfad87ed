//! One viewer at a writer: its socket, and the rest of the part that the kernel has not taken yet.

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

/// How many times the write timeout one part may take in all. That is enough for a large picture over a poor link, and
/// it ends a client that takes a byte now and then.
const PART_TIMEOUTS: u32 = 6;

/// How often to sample a viewer that takes nothing at all.
const STALLED_LOOK: Duration = Duration::from_millis(200);

/// How many reads one turn makes of the viewer's data, and how large each is. Nobody needs the data; unread data only
/// fills the client's own buffers.
const READS: usize = 16;
const READ_BYTES: usize = 4096;

/// One viewer.
pub(super) struct Client {
    socket: OwnedFd,
    pub(super) stream: Stream,
    pub(super) group: usize,
    pub(super) deadline: Deadline,
    /// The bytes that the kernel has not taken yet: the whole part, if it has taken none.
    rest: Bytes,
    /// When the kernel last took something, and when the writer began the part in `rest`.
    taken_at: Instant,
    begun_at: Instant,
    is_closing: bool,
    /// Whether its stream has changed to another channel than that of its group.
    pub(super) has_moved: bool,
    flow: Flow,
    /// The viewer gets no next picture before this time.
    held_until: Option<Instant>,
    _seat: super::Seat,
    /// The viewer's permit among the server's connections.
    _place: Place,
}

/// The result of a viewer's turn.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// The viewer's next turn is when something is published, when there is room, or at this time.
    Until(Option<Instant>),
    /// The viewer has left, or it was sent everything.
    Gone,
}

impl Client {
    /// Takes over the socket; the stream's opening is sent first.
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

    /// Sends what it can: the rest of a part first, then the newest picture if one is due.
    pub(super) fn advance(&mut self, now: Instant, write_timeout: Duration) -> Turn {
        let mut is_newest = false;
        loop {
            if !self.rest.is_empty() {
                match self.hand_over(now) {
                    // A frame that is published meanwhile wakes the writer again.
                    Ok(true) if is_newest => return Turn::Until(self.stream.look_at(now)),
                    Ok(true) => {}
                    Ok(false) => return self.stalled(now, write_timeout),
                    Err(_) => return Turn::Gone,
                }
            }
            if self.is_closing {
                // The kernel still sends what it took, and then the end of the stream.
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

    /// Sends the stream's end after the current part.
    pub(super) fn close(&mut self, why: Ending) {
        self.stream.ends(why);
        if self.is_closing {
            return;
        }
        self.is_closing = true;
        let closing = self.stream.closing();
        // This copies at most once in a viewer's life.
        self.rest = if self.rest.is_empty() { closing } else { [&self.rest[..], &closing].concat().into() };
    }

    /// Gives the rest to the kernel; true if the kernel took all of it.
    fn hand_over(&mut self, now: Instant) -> Result<bool, Errno> {
        match rustix::net::send(&self.socket, &self.rest, SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
            Ok(len) => {
                self.taken_at = now;
                self.flow.wrote(len, now);
                if len == self.rest.len() {
                    // Drop the part now, and not only when the next one comes.
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

    /// The turn's result for a viewer that may not have the next picture yet.
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

    /// Whether the next picture may go. Samples the kernel only for viewers that need it.
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

    /// The deadline for the rest of a part, or the viewer's end if the deadline has passed.
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

    /// Reads and discards what the viewer sends; false when the viewer has left.
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
