//! One simulated viewer: a connection to a server, and counts of the data received over it.
//!
//! Bytes go from the socket through the parser of the response head, then through the parser of HTTP chunks if the body
//! is chunked, then through the parser of the multipart stream. By default the kernel discards the middle of each
//! picture without a copy (`MSG_TRUNC`), so that one core can simulate hundreds of viewers. The multipart header lines,
//! and the first KiB and the last two bytes of every picture, are always read.

use std::{
    io::Write as _,
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use anyhow::{Context as _, Result};
use rustix::{io::Errno, net::RecvFlags};

use crate::{
    http::{Chunks, HeadReader},
    parts::{Parts, Picture},
    proc,
};

/// The maximum number of bytes that one read copies, if the kernel discards the middle of each picture. It is enough
/// for the multipart header lines and the first KiB of a picture.
const HEAD_READ_BYTES: usize = 1024;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// What a simulated viewer does with the bytes of the pictures that arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bodies {
    /// Lets the kernel discard the bytes without a copy.
    Drop,
    /// Copies all bytes to user space, as a browser does.
    Read,
}

/// A simulated viewer that is connected to a server.
#[derive(Debug)]
pub(crate) struct Viewer {
    stream: TcpStream,
    body: ResponseBody,
    /// What the viewer has received since the measurement began.
    pub(crate) seen: Seen,
    newest_us: u64,
}

/// Counts of what one viewer has received.
#[derive(Debug, Default, Clone)]
pub(crate) struct Seen {
    /// Number of bytes read from the socket.
    pub(crate) bytes: u64,
    /// Number of whole pictures, repeated pictures included.
    pub(crate) frames: u64,
    /// Number of pictures whose timestamp equals that of the newest picture received before.
    pub(crate) repeats: u64,
    /// Number of pictures whose timestamp is older than that of an earlier picture.
    pub(crate) reordered: u64,
    /// Number of pictures that do not start with the JPEG marker SOI or do not end with EOI.
    pub(crate) corrupt: u64,
    /// For each picture that is newer than all before, its age on arrival (the time from capture to the last byte), and
    /// the time since 1970 when its last byte arrived. Both are in microseconds.
    pub(crate) ages_us: Vec<(u64, u64)>,
}

#[derive(Debug)]
enum ResponseBody {
    Head(HeadReader),
    Plain(Parts),
    Chunked(Chunks, Parts),
}

/// The result of reading from a viewer's socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ReadOutcome {
    /// This many bytes were read, and the connection is still open.
    Open(usize),
    /// The server closed or reset the connection.
    Closed,
}

impl Viewer {
    /// Connects to `server` and requests `path`, with an additional `header` line if one is given.
    ///
    /// # Errors
    ///
    /// No server listens on the address, or the server does not accept the connection within 5 s.
    pub(crate) fn connect(server: SocketAddr, path: &str, header: Option<&str>) -> Result<Self> {
        let context = || format!("cannot connect to {server}");
        let mut stream = TcpStream::connect_timeout(&server, CONNECT_TIMEOUT).with_context(context)?;
        let header = header.map(|header| format!("{header}\r\n")).unwrap_or_default();
        let request = format!("GET {path} HTTP/1.1\r\nHost: {server}\r\nAccept: */*\r\n{header}\r\n");
        stream.write_all(request.as_bytes()).with_context(context)?;
        stream.set_nonblocking(true).with_context(context)?;
        Ok(Self {
            stream,
            body: ResponseBody::Head(HeadReader::default()),
            seen: Seen::default(),
            newest_us: 0,
        })
    }

    /// Returns the socket, so that the caller can poll it.
    pub(crate) fn socket(&self) -> &TcpStream {
        &self.stream
    }

    /// Reads and parses the bytes that have arrived, but at most `limit` bytes. `scratch` is the buffer for the read.
    ///
    /// # Errors
    ///
    /// The response is not a multipart stream with status 200, or the stream is malformed.
    pub(crate) fn read(&mut self, bodies: Bodies, limit: usize, scratch: &mut [u8]) -> Result<ReadOutcome> {
        let mut taken = 0;
        while taken < limit {
            let droppable = match bodies {
                Bodies::Drop => self.body.droppable(),
                Bodies::Read => 0,
            };
            let (wanted, flags) = match (droppable, bodies) {
                (0, Bodies::Drop) => (HEAD_READ_BYTES, RecvFlags::DONTWAIT),
                (0, Bodies::Read) => (scratch.len(), RecvFlags::DONTWAIT),
                (droppable, _) => (droppable, RecvFlags::DONTWAIT | RecvFlags::TRUNC),
            };
            let wanted = wanted.min(limit - taken).min(scratch.len());
            let count = match rustix::net::recv(&self.stream, &mut scratch[..wanted], flags) {
                Ok((_, 0)) => return Ok(ReadOutcome::Closed),
                Ok((_, count)) => count,
                Err(Errno::AGAIN | Errno::INTR) => break,
                Err(_) => return Ok(ReadOutcome::Closed),
            };
            taken += count;
            self.seen.bytes += count as u64;
            if droppable > 0 {
                self.body.dropped(count);
            } else {
                self.feed(&scratch[..count])?;
            }
            if count < wanted {
                break;
            }
        }
        Ok(ReadOutcome::Open(taken))
    }

    fn feed(&mut self, mut input: &[u8]) -> Result<()> {
        if let ResponseBody::Head(reader) = &mut self.body {
            let Some((head, used)) = reader.feed(input)? else {
                return Ok(());
            };
            input = &input[used..];
            self.body = if head.chunked {
                ResponseBody::Chunked(Chunks::default(), Parts::default())
            } else {
                ResponseBody::Plain(Parts::default())
            };
        }
        let (seen, newest_us) = (&mut self.seen, &mut self.newest_us);
        let mut whole = |picture| seen.note(picture, newest_us, proc::now_us());
        match &mut self.body {
            ResponseBody::Head(_) => Ok(()),
            ResponseBody::Plain(parts) => parts.feed(input, whole),
            ResponseBody::Chunked(chunks, parts) => chunks.feed(input, |data| parts.feed(data, &mut whole)),
        }
    }
}

impl ResponseBody {
    fn droppable(&self) -> usize {
        match self {
            Self::Head(_) => 0,
            Self::Plain(parts) => parts.droppable(),
            Self::Chunked(chunks, parts) => parts.droppable().min(chunks.left()),
        }
    }

    fn dropped(&mut self, count: usize) {
        match self {
            Self::Head(_) => {}
            Self::Plain(parts) => parts.dropped(count),
            Self::Chunked(chunks, parts) => {
                chunks.dropped(count);
                parts.dropped(count);
            }
        }
    }
}

impl Seen {
    /// Records that `picture` has arrived at `now_us`. `newest_us` is the newest capture time so far, which this call
    /// updates. Both times are in microseconds since 1970.
    pub(crate) fn note(&mut self, picture: Picture, newest_us: &mut u64, now_us: u64) {
        self.frames += 1;
        self.corrupt += u64::from(!picture.is_intact);
        let Some(captured_us) = picture.captured_us else {
            return;
        };
        if captured_us == *newest_us {
            self.repeats += 1;
        } else if captured_us < *newest_us {
            self.reordered += 1;
        } else {
            *newest_us = captured_us;
            let age_us = now_us.saturating_sub(captured_us);
            self.ages_us.push((now_us, age_us));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    fn jpeg() -> Vec<u8> {
        let mut jpeg = vec![7; 200_000];
        jpeg[..2].copy_from_slice(&[0xff, 0xd8]);
        jpeg[199_998..].copy_from_slice(&[0xff, 0xd9]);
        jpeg
    }

    fn part(timestamp: &str) -> Vec<u8> {
        let head =
            format!("Content-Type: image/jpeg\r\nContent-Length: 200000\r\nX-Timestamp: {timestamp}\r\n\r\n");
        [head.as_bytes(), &jpeg(), b"\r\n--frame\r\n"].concat()
    }

    const TYPE: &str = "Content-Type: multipart/x-mixed-replace; boundary=frame\r\n";

    /// What a viewer receives of `response` until the server closes.
    fn watch(response: Vec<u8>, bodies: Bodies, limit: usize) -> Seen {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = listener.local_addr().unwrap();
        let mut viewer = Viewer::connect(server, "/", None).unwrap();
        let serving = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.write_all(&response).unwrap();
            // If the request were unread, closing would reset the viewer's connection.
            stream.shutdown(std::net::Shutdown::Write).unwrap();
            std::io::copy(&mut stream, &mut std::io::sink()).unwrap();
        });
        viewer.stream.set_nonblocking(false).unwrap();
        let mut scratch = vec![0; 64 * 1024];
        loop {
            let mut byte = [0];
            // Waits for bytes, since `read` does not.
            let _ = rustix::net::recv(&viewer.stream, &mut byte, RecvFlags::PEEK);
            if viewer.read(bodies, limit, &mut scratch).unwrap() == ReadOutcome::Closed {
                break;
            }
        }
        let seen = viewer.seen.clone();
        drop(viewer);
        serving.join().unwrap();
        seen
    }

    #[test]
    fn dropping_bodies_in_the_kernel_sees_the_same_pictures_as_reading_them() {
        let parts = [b"--frame\r\n".to_vec(), part("1.5"), part("2.5")].concat();
        let plain = [format!("HTTP/1.0 200 OK\r\n{TYPE}\r\n").as_bytes(), &parts].concat();
        let mut chunked = format!("HTTP/1.1 200 OK\r\n{TYPE}Transfer-Encoding: chunked\r\n\r\n").into_bytes();
        for piece in parts.chunks(150_000) {
            chunked.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
            chunked.extend_from_slice(piece);
            chunked.extend_from_slice(b"\r\n");
        }
        for response in [plain, chunked] {
            for bodies in [Bodies::Drop, Bodies::Read] {
                for limit in [usize::MAX, 777] {
                    let seen = watch(response.clone(), bodies, limit);
                    assert_eq!((seen.frames, seen.corrupt), (2, 0), "{bodies:?} {limit}");
                    assert_eq!(seen.bytes, response.len() as u64);
                    assert_eq!(seen.ages_us.len(), 2);
                }
            }
        }
    }

    #[test]
    fn repeats_and_older_pictures_are_told_from_new_ones() {
        let parts = [part("5.0"), part("5.0"), part("4.0"), part("6.0")].concat();
        let head = format!("HTTP/1.0 200 OK\r\n{TYPE}\r\n--frame\r\n");
        let seen = watch([head.as_bytes(), &parts].concat(), Bodies::Drop, usize::MAX);
        assert_eq!((seen.frames, seen.repeats, seen.reordered, seen.ages_us.len()), (4, 1, 1, 2));
    }
}
