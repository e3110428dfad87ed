//! One simulated viewer of coded video: a tile of `/api/live` that acknowledges as the page does, or a reader of
//! `stream.mp4`.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use rustix::{io::Errno, net::RecvFlags};

use super::{
    file::FPS,
    unit::{self, UnitHead, UnitKind},
};
use crate::{http, proc};

/// The shortest time between two acknowledgements, unless frames were dropped.
const ACKNOWLEDGE_EACH: Duration = Duration::from_millis(250);

/// The number of bytes that one read copies, if the kernel discards the rest of each frame.
const HEAD_READ_BYTES: usize = 1024;

/// When the first frame of an opening is decoded: two seconds of media time, and ten that `outputs` adds.
const FIRST_TICKS_90K: u64 = 12 * 90_000;

const TIMEOUT: Duration = Duration::from_secs(15);
const HEAD_LIMIT_BYTES: usize = 16 * 1024;

/// How a viewer gets its video.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub(crate) enum Door {
    /// As a tile of `/api/live`.
    Tile,
    /// From `stream.mp4`.
    Stream,
}

impl Door {
    /// Both ways.
    pub(crate) const ALL: [Self; 2] = [Self::Tile, Self::Stream];

    /// Returns the name in tables.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Tile => "/api/live",
            Self::Stream => "stream.mp4",
        }
    }
}

/// What a viewer does with the frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Media {
    /// Lets the kernel discard most bytes.
    Drop,
    /// Keeps all bytes, to decode them later.
    Keep,
}

/// The arrival of a whole frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Arrival {
    /// Microseconds since 1970.
    pub(crate) at_us: u64,
    /// The number of the frame in its session at the camera, from 0. This needs a camera that sends all frames in the
    /// order in which they are shown.
    pub(crate) number: u64,
    pub(crate) is_keyframe: bool,
}

/// What a viewer of coded video has received.
#[derive(Debug, Default, Clone)]
pub(crate) struct VideoSeen {
    pub(crate) bytes: u64,
    pub(crate) arrivals: Vec<Arrival>,
    /// How many frames the server says that it left out.
    pub(crate) told_dropped: u64,
    /// How many slates came.
    pub(crate) slates: u64,
    /// The init segments and fragments, if the viewer keeps them.
    pub(crate) media: Vec<u8>,
}

/// A simulated viewer of coded video.
#[derive(Debug)]
pub(crate) struct VideoViewer {
    stream: TcpStream,
    door: Door,
    media: Media,
    /// Bytes that were read and not understood yet.
    pending: Vec<u8>,
    /// The unit of which this many bytes are to be discarded yet.
    skipped: Option<(UnitHead, usize)>,
    /// The time of decoding of the last frame, and its number.
    last: Option<(u64, u64)>,
    newest: u32,
    acknowledged: u32,
    acknowledged_at: Instant,
    /// When the viewer began to connect, and when it asked for the video, in microseconds since 1970.
    pub(crate) connecting_us: u64,
    pub(crate) requested_us: u64,
    pub(crate) is_open: bool,
    pub(crate) seen: VideoSeen,
}

impl VideoViewer {
    /// Connects to `server` and asks for the video of `camera`.
    ///
    /// # Errors
    ///
    /// The server cannot be reached, or refuses the viewer.
    pub(crate) fn connect(server: SocketAddr, camera: &str, door: Door, media: Media) -> Result<Self> {
        let connecting_us = proc::now_us();
        let mut stream = TcpStream::connect_timeout(&server, TIMEOUT).context("cannot connect")?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        let mut requested_us = proc::now_us();
        let pending = match door {
            Door::Stream => ask(
                &mut stream,
                &format!("GET /cameras/{camera}/stream.mp4 HTTP/1.1\r\nHost: {server}\r\n\r\n"),
                200,
            )?,
            Door::Tile => {
                let request = format!(
                    "GET /api/live HTTP/1.1\r\nHost: {server}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                     Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
                );
                let pending = ask(&mut stream, &request, 101)?;
                requested_us = proc::now_us();
                let subscribe =
                    format!(r#"{{"type":"subscribe","tile":1,"camera":"{camera}","video":"mp4"}}"#);
                stream.write_all(&masked(1, subscribe.as_bytes()))?;
                pending
            }
        };
        stream.set_nonblocking(true)?;
        let mut viewer = Self {
            stream,
            door,
            media,
            pending,
            skipped: None,
            last: None,
            newest: 0,
            acknowledged: 0,
            acknowledged_at: Instant::now(),
            connecting_us,
            requested_us,
            is_open: true,
            seen: VideoSeen::default(),
        };
        viewer.parse()?;
        Ok(viewer)
    }

    /// Returns the socket, so that the caller can poll it.
    pub(crate) fn socket(&self) -> &TcpStream {
        &self.stream
    }

    /// Reads all that has arrived. `scratch` is the buffer for that.
    ///
    /// # Errors
    ///
    /// The server sent something else than coded video.
    pub(crate) fn read(&mut self, scratch: &mut [u8]) -> Result<()> {
        while self.is_open {
            let (wanted, flags) = match (&self.skipped, self.media) {
                (Some((_, left)), _) => ((*left).min(scratch.len()), RecvFlags::DONTWAIT | RecvFlags::TRUNC),
                (None, Media::Drop) => (HEAD_READ_BYTES, RecvFlags::DONTWAIT),
                (None, Media::Keep) => (scratch.len(), RecvFlags::DONTWAIT),
            };
            let count = match rustix::net::recv(&self.stream, &mut scratch[..wanted], flags) {
                Ok((_, count)) if count > 0 => count,
                Err(Errno::AGAIN | Errno::INTR) => break,
                Ok(_) | Err(_) => {
                    self.is_open = false;
                    break;
                }
            };
            self.seen.bytes += count as u64;
            if let Some((head, left)) = &mut self.skipped {
                *left -= count;
                if *left == 0 {
                    let head = *head;
                    self.skipped = None;
                    self.take(head, &[])?;
                }
            } else {
                self.pending.extend_from_slice(&scratch[..count]);
                self.parse()?;
            }
            if count < wanted {
                break;
            }
        }
        self.acknowledge(false)
    }

    /// Acknowledges what has arrived, if it is time for that.
    ///
    /// # Errors
    ///
    /// The server does not read.
    pub(crate) fn acknowledge(&mut self, is_urgent: bool) -> Result<()> {
        let is_due = is_urgent || self.acknowledged_at.elapsed() >= ACKNOWLEDGE_EACH;
        if self.newest == self.acknowledged || !is_due || !self.is_open {
            return Ok(());
        }
        (self.acknowledged, self.acknowledged_at) = (self.newest, Instant::now());
        let text = format!(r#"{{"type":"ack","tile":1,"sequence":{}}}"#, self.newest);
        self.send(1, text.as_bytes())
    }

    fn send(&mut self, opcode: u8, payload: &[u8]) -> Result<()> {
        match self.stream.write(&masked(opcode, payload)) {
            Ok(written) if written == payload.len() + 6 => Ok(()),
            Ok(_) => bail!("the server does not read"),
            // The next read says that the server has gone.
            Err(_) => Ok(()),
        }
    }

    /// Takes the units at the front of what was read.
    fn parse(&mut self) -> Result<()> {
        let mut at = 0;
        let pending = std::mem::take(&mut self.pending);
        loop {
            let rest = &pending[at..];
            let head = match self.door {
                Door::Tile => unit::message_head(rest)?,
                Door::Stream => unit::box_head(rest)?,
            };
            let Some(head) = head else { break };
            if rest.len() >= head.total_bytes {
                self.take(head, &rest[head.payload_at..head.total_bytes])?;
                at += head.total_bytes;
            } else if self.media == Media::Drop && rest.len() >= head.head_bytes {
                self.skipped = Some((head, head.total_bytes - rest.len()));
                at = pending.len();
                break;
            } else {
                break;
            }
        }
        self.pending = pending;
        self.pending.drain(..at);
        Ok(())
    }

    /// Counts a unit that has arrived. Its payload is empty if it was discarded.
    fn take(&mut self, head: UnitHead, payload: &[u8]) -> Result<()> {
        if let Some(sequence) = head.sequence {
            let expected = self.newest.wrapping_add(1);
            ensure!(
                self.newest == 0 || sequence == expected,
                "message {sequence} came in place of {expected}"
            );
            self.newest = sequence;
        }
        if self.media == Media::Keep && matches!(head.kind, UnitKind::Init | UnitKind::Frame { .. }) {
            self.seen.media.extend_from_slice(payload);
        }
        match head.kind {
            UnitKind::Frame { ticks_90k, is_keyframe } => {
                let number = number_of(ticks_90k, self.last);
                self.last = Some((ticks_90k, number));
                self.seen.arrivals.push(Arrival { at_us: proc::now_us(), number, is_keyframe });
            }
            UnitKind::Text => self.take_text(payload)?,
            UnitKind::Slate => self.seen.slates += 1,
            UnitKind::Ping => self.send(10, payload)?,
            UnitKind::Close => self.is_open = false,
            UnitKind::Init => {}
        }
        Ok(())
    }

    fn take_text(&mut self, text: &[u8]) -> Result<()> {
        let message: serde_json::Value = serde_json::from_slice(text).context("a text is not JSON")?;
        match message["type"].as_str() {
            Some("dropped") => {
                self.seen.told_dropped += message["frames"].as_u64().context("`dropped` has no number")?;
                self.acknowledge(true)
            }
            Some("error") => bail!("the server says: {}", message["message"]),
            _ => Ok(()),
        }
    }
}

/// Returns the number of the frame that is decoded at `ticks_90k`. `last` is that time of the frame before, and its
/// number. The server's clock may differ a little from the camera's, so only the distance counts.
fn number_of(ticks_90k: u64, last: Option<(u64, u64)>) -> u64 {
    let (last_ticks, last_number) = last.unwrap_or((FIRST_TICKS_90K, 0));
    let frame_ticks = 90_000 / FPS;
    match ticks_90k.checked_sub(last_ticks) {
        Some(passed) => last_number + (passed + frame_ticks / 2) / frame_ticks,
        // The camera was opened again.
        None => ticks_90k.saturating_sub(FIRST_TICKS_90K) / frame_ticks,
    }
}

/// Sends a request, waits for the head of the answer, and returns what came behind it.
fn ask(stream: &mut TcpStream, request: &str, status: u16) -> Result<Vec<u8>> {
    stream.write_all(request.as_bytes()).context("cannot send the request")?;
    let (mut answer, mut piece) = (Vec::new(), [0; 4096]);
    loop {
        let count = stream.read(&mut piece).context("no answer came")?;
        ensure!(count > 0, "the server ended the connection");
        answer.extend_from_slice(&piece[..count]);
        if let Some(end) = http::find(&answer, b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&answer[..end]).to_ascii_lowercase();
            let line = head.lines().next().unwrap_or_default();
            ensure!(line.split(' ').nth(1) == Some(&status.to_string()), "the server answered {line:?}");
            ensure!(!head.contains("transfer-encoding"), "the body comes in chunks");
            return Ok(answer.split_off(end + 4));
        }
        ensure!(answer.len() < HEAD_LIMIT_BYTES, "the head of the answer does not end");
    }
}

/// Returns a short message of a WebSocket from a client. Its mask is zero.
fn masked(opcode: u8, payload: &[u8]) -> Vec<u8> {
    assert!(payload.len() < 126, "{} bytes", payload.len());
    [&[0x80 | opcode, 0x80 | payload.len() as u8, 0, 0, 0, 0], payload].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_numbered_by_their_distance_from_the_one_before() {
        assert_eq!(number_of(FIRST_TICKS_90K, None), 0);
        assert_eq!(number_of(FIRST_TICKS_90K + 100 * 3600, None), 100);
        let drifted = FIRST_TICKS_90K + 5 * 3600 + 2500;
        assert_eq!(number_of(drifted + 3601, Some((drifted, 5))), 6);
        assert_eq!(number_of(drifted + 4 * 3600 - 1, Some((drifted, 5))), 9);
        assert_eq!(number_of(FIRST_TICKS_90K + 3600, Some((drifted, 5))), 1, "another opening");
    }
}
