//! One viewer at a writer: its socket, and what of a part is still to be handed to the kernel.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use bytes::Bytes;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};
use tokio::time::Instant;

use super::super::stream::{Next, Stream};
use super::Join;
use super::deadlines::Deadline;
use crate::{Place, Socket};

/// How many times the write timeout one part may take in all: enough for a large picture over a poor link, and an end for
/// a client that takes a byte now and then.
const PART_TIMEOUTS: u32 = 6;

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
        let rest = stream.opening();
        Ok(Self {
            socket,
            stream,
            group: 0,
            deadline: Deadline::default(),
            rest,
            taken_at: now,
            begun_at: now,
            is_closing: false,
            _seat: seat,
            _place: taken.place,
        })
    }

    /// Hands over what can be: the rest of a part first, then the newest picture if one is due.
    pub(super) fn advance(&mut self, now: Instant, write_timeout: Duration) -> Turn {
        loop {
            if !self.rest.is_empty() {
                match self.hand_over(now) {
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
            match self.stream.next(now) {
                Next::Part(part) => {
                    self.rest = part;
                    (self.taken_at, self.begun_at) = (now, now);
                }
                Next::Due(at) => return Turn::Until(Some(at)),
                Next::Wait(at) => return Turn::Until(at),
                Next::End => self.close(),
            }
        }
    }

    /// Sends the stream's end after the part that is on its way.
    pub(super) fn close(&mut self) {
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
                if len == self.rest.len() {
                    // The part must not be held until the next one comes.
                    self.rest = Bytes::new();
                    return Ok(true);
                }
                let _taken = self.rest.split_to(len);
                Ok(false)
            }
            Err(Errno::AGAIN | Errno::INTR) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// How long a viewer may leave the rest of a part, or that it has left it too long.
    fn stalled(&self, now: Instant, write_timeout: Duration) -> Turn {
        let until =
            (self.taken_at + write_timeout).min(self.begun_at + write_timeout.saturating_mul(PART_TIMEOUTS));
        if until <= now { Turn::Gone } else { Turn::Until(Some(until)) }
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
