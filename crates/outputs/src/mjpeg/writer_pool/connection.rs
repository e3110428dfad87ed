//! The connection of one viewer of a writer thread: the viewer's socket, and the bytes of the current multipart part
//! that the kernel has not accepted yet.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use bytes::Bytes;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendFlags};
use tokio::time::Instant;

use super::super::client_stream::ClientStream;
use super::super::part::Part;
use super::super::part_stream::Next;
use super::Join;
use super::deadlines::Deadline;
use crate::flow_control::{FlowControl, Gate, SocketSample};
use crate::{ConnectionPermit, EndReason, Socket};

/// The maximum time to send one multipart part, as a multiple of the write timeout. It is enough for a large picture
/// over a slow link, and it ends the connection of a client that takes a byte now and then.
const PART_TIMEOUTS: u32 = 6;

/// The interval at which the kernel's figures about a connection are sampled while the viewer takes nothing at all.
const STALL_CHECK_INTERVAL: Duration = Duration::from_millis(200);

/// The maximum number of reads of the data that a viewer sends, each time the viewer is served. The data is discarded.
/// If some stays unread, it only fills the client's own buffers.
const MAX_READS: usize = 16;
/// The maximum size of one read, in bytes.
const READ_BYTES: usize = 4096;

/// The connection of one viewer, which a writer thread owns.
pub(super) struct ViewerConnection {
    socket: OwnedFd,
    pub(super) stream: ClientStream,
    pub(super) group: usize,
    pub(super) deadline: Deadline,
    /// The bytes of the current part that the kernel has not accepted yet.
    rest: Part,
    /// When the kernel last accepted bytes.
    taken_at: Instant,
    /// When the writer began to send the part in `rest`.
    begun_at: Instant,
    is_closing: bool,
    /// Whether the viewer's stream has changed to the channel of another picture size, so that the viewer must join the
    /// group of viewers of that channel.
    pub(super) has_changed_channel: bool,
    flow: FlowControl,
    /// The time until which the next picture is held back; `None` if it is not held back.
    held_until: Option<Instant>,
    _load_token: super::LoadToken,
    /// The permit for the connection, which is one of a limited number of open connections of the server.
    _permit: ConnectionPermit,
}

/// The result of serving a viewer: when the viewer must be served again.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// The viewer must be served again when a new frame is published, when the socket has room, or at this time (if
    /// one is given), whichever comes first.
    Until(Option<Instant>),
    /// The viewer need not be served again: it has left, or it was sent everything.
    Gone,
}

impl ViewerConnection {
    /// Creates the connection from the socket that was handed over. The first bytes to send are those that precede the
    /// first multipart part.
    pub(super) fn new(join: Join, now: Instant) -> io::Result<Self> {
        let Join { stream, hijacked, load_token } = join;
        let socket: OwnedFd = match hijacked.socket {
            Socket::Tcp(stream) => stream.into_std()?.into(),
            Socket::Unix(stream) => stream.into_std()?.into(),
        };
        let (rest, flow) = (stream.opening().into(), FlowControl::new(stream.latency_budget(), now));
        Ok(Self {
            socket,
            stream,
            group: 0,
            deadline: Deadline::default(),
            rest,
            taken_at: now,
            begun_at: now,
            is_closing: false,
            has_changed_channel: false,
            flow,
            held_until: None,
            _load_token: load_token,
            _permit: hijacked.permit,
        })
    }

    /// Sends as much as possible: first the rest of a part, then the newest picture if one is due.
    pub(super) fn advance(&mut self, now: Instant, write_timeout: Duration) -> Progress {
        let mut is_newest = false;
        loop {
            if !self.rest.is_empty() {
                match self.write_rest(now) {
                    // A frame that is published meanwhile wakes the writer again.
                    Ok(true) if is_newest && !self.stream.has_more() => {
                        return Progress::Until(self.stream.wake_at(now));
                    }
                    Ok(true) => {}
                    Ok(false) => return self.check_stall(now, write_timeout),
                    Err(_) => return Progress::Gone,
                }
            }
            if self.is_closing {
                // The kernel still sends the bytes that it has accepted, and then the end of the stream.
                rustix::net::shutdown(&self.socket, rustix::net::Shutdown::Write).ok();
                return Progress::Gone;
            }
            if let Some(turn) = self.hold(now, write_timeout) {
                return turn;
            }
            self.has_changed_channel |= self.stream.adapt(now, self.flow.bytes_per_second());
            match self.stream.next(now) {
                Next::Part(part) => {
                    self.flow.begin(now);
                    self.rest = part;
                    (self.taken_at, self.begun_at) = (now, now);
                    is_newest = true;
                }
                Next::Due(at) => return Progress::Until(Some(at)),
                Next::Wait(at) => return Progress::Until(at),
                Next::End => self.close(EndReason::CameraEnded),
            }
        }
    }

    /// Makes the connection end after the current part and the closing bytes of the stream. `why` is the reason for the
    /// end. When the connection ends, the camera's count for this reason goes up by one.
    pub(super) fn close(&mut self, why: EndReason) {
        self.stream.set_end_reason(why);
        if self.is_closing {
            return;
        }
        self.is_closing = true;
        let closing = self.stream.closing();
        // This copies at most once in a viewer's life.
        let rest = std::mem::take(&mut self.rest).into_bytes();
        self.rest = if rest.is_empty() { closing } else { Bytes::from([rest, closing].concat()) }.into();
    }

    /// Gives the bytes in `rest` to the kernel. Returns whether the kernel accepted all of them.
    fn write_rest(&mut self, now: Instant) -> Result<bool, Errno> {
        let (mut control, flags) =
            (SendAncillaryBuffer::default(), SendFlags::DONTWAIT | SendFlags::NOSIGNAL);
        match rustix::net::sendmsg(&self.socket, &self.rest.slices(), &mut control, flags) {
            Ok(len) => {
                self.taken_at = now;
                self.flow.bytes_written(len, now);
                // Drops what was sent now, and not only when the next part comes.
                self.rest.advance(len);
                if self.rest.is_empty() {
                    return Ok(true);
                }
                self.flow.set_constrained();
                Ok(false)
            }
            Err(Errno::AGAIN | Errno::INTR) => {
                self.flow.set_constrained();
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    /// Returns when the viewer must be served again, if the next picture must be held back; `None` if it can be sent
    /// now.
    fn hold(&mut self, now: Instant, write_timeout: Duration) -> Option<Progress> {
        if self.held_until.is_none_or(|until| until <= now) {
            self.held_until = match self.gate(now) {
                Gate::Open => None,
                Gate::Until(at) => Some(at),
                Gate::Stalled(since) if since >= write_timeout => {
                    return Some(self.disconnect(EndReason::Stalled));
                }
                Gate::Stalled(_) => Some(now + STALL_CHECK_INTERVAL),
            };
        }
        self.held_until.map(|until| Progress::Until(Some(until)))
    }

    /// Returns whether the next picture can be sent. Samples the kernel's figures about the connection only if the flow
    /// control needs a sample.
    fn gate(&mut self, now: Instant) -> Gate {
        if !self.flow.needs_sample(now) {
            return Gate::Open;
        }
        let Some(queued) = framecast_sys::unacknowledged_bytes(self.socket.as_fd()) else {
            return Gate::Open;
        };
        let info = framecast_sys::TcpInfo::query(self.socket.as_fd()).unwrap_or_default();
        let window = info.snd_wnd.map(u64::from);
        self.flow.observe(now, SocketSample { queued, window, rtt: info.min_rtt.unwrap_or_default() });
        let stats = self.stream.stats();
        stats.set_queue_bytes(queued);
        if let Some(bytes_per_second) = self.flow.bytes_per_second() {
            stats.set_bytes_per_second(bytes_per_second);
        }
        self.flow.gate(now)
    }

    /// Returns the deadline by which the kernel must accept the bytes in `rest`. If the deadline has passed, ends the
    /// connection.
    fn check_stall(&mut self, now: Instant, write_timeout: Duration) -> Progress {
        let stall_deadline = self.taken_at + write_timeout;
        let part_deadline = self.begun_at + write_timeout.saturating_mul(PART_TIMEOUTS);
        if stall_deadline <= now {
            self.disconnect(EndReason::Stalled)
        } else if part_deadline <= now {
            self.disconnect(EndReason::Slow)
        } else {
            Progress::Until(Some(stall_deadline.min(part_deadline)))
        }
    }

    fn disconnect(&mut self, why: EndReason) -> Progress {
        self.stream.set_end_reason(why);
        Progress::Gone
    }

    /// Reads and discards what the viewer sends. Returns false if the viewer has left.
    pub(super) fn read(&self) -> bool {
        let mut piece = [0; READ_BYTES];
        for _ in 0..MAX_READS {
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

impl AsFd for ViewerConnection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
