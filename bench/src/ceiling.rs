//! The ceiling server: a reference server of Motion JPEG, or of coded video, that does only the minimum. Its results are an upper limit for
//! what Framecast can reach on the same machine.
//!
//! The server has one thread and one epoll. Each picture becomes one contiguous buffer (multipart header lines, JPEG,
//! next boundary), which is built once for all viewers. Each viewer costs one non-blocking `send` of this buffer. If
//! `send` takes only a part of the buffer, the server polls the viewer's socket for room. It first finishes the picture
//! that was sent in part, then sends the newest picture. The server parses no request, checks no access and serves one
//! stream: nothing that a real server must do besides sending belongs here.

use std::{
    fs,
    net::{SocketAddr, TcpListener, TcpStream},
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    rc::Rc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use axum::body::Bytes;
use framecast_media::container::fmp4::Fragment;
use framecast_testkit::rtsp::{Clip, ClipPicture, NalKind};
use rustix::{
    buffer::spare_capacity,
    event::{
        Timespec,
        epoll::{self, EventData, EventFlags},
    },
    io::Errno,
    net::{RecvFlags, SendFlags},
    time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags},
};

use crate::{http, proc};

const LISTENER: u64 = u64::MAX;
const TIMER: u64 = u64::MAX - 1;
const BACKLOG: i32 = 4096;
const REQUEST_LIMIT_BYTES: usize = 8 * 1024;
const RESPONSE_HEAD: &[u8] = b"HTTP/1.0 200 OK\r\n\
    Content-Type: multipart/x-mixed-replace; boundary=frame\r\n\
    Cache-Control: no-store\r\n\
    Connection: close\r\n\r\n\
    --frame\r\n";
const UPGRADE_HEAD: &[u8] =
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n";
const NEXT_BOUNDARY: &[u8] = b"\r\n--frame\r\n";

/// The options of the ceiling server.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Address to listen on.
    #[arg(long)]
    listen: SocketAddr,
    /// Folder of JPEG files, sent in a loop in the order of their names.
    #[arg(long, required_unless_present = "video")]
    pictures: Option<PathBuf>,
    /// File of H.264 with start codes, sent in a loop as messages of `/api/live`, in place of pictures.
    #[arg(long, conflicts_with = "pictures")]
    video: Option<PathBuf>,
    /// Frames per second to send.
    #[arg(long, default_value_t = 30)]
    fps: u32,
    /// Number of seconds after which the server stops.
    #[arg(long, default_value_t = 3600)]
    seconds: u64,
}

/// Runs the server for the number of seconds that the options give.
///
/// # Errors
///
/// The folder contains no pictures, the address is in use, or a system call that concerns all viewers fails.
pub(crate) fn run(options: &Options) -> Result<()> {
    ensure!((1..=1000).contains(&options.fps), "--fps must be between 1 and 1000");
    proc::raise_descriptor_limit();
    let (packing, pictures) = match (&options.video, &options.pictures) {
        (Some(file), _) => (Packing::Messages, read_fragments(file)?),
        (None, Some(folder)) => (Packing::Parts, read_pictures(folder)?),
        (None, None) => bail!("--pictures or --video is missing"),
    };
    let until = Instant::now() + Duration::from_secs(options.seconds);
    Ceiling::start(options.listen, options.fps, packing, pictures)?.serve(until)
}

/// How the server sends pictures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Packing {
    /// JPEGs, as parts of a multipart stream.
    Parts,
    /// Fragments of MP4, as messages of `/api/live`. The viewers acknowledge them.
    Messages,
}

impl Packing {
    fn response_head(self) -> &'static [u8] {
        match self {
            Self::Parts => RESPONSE_HEAD,
            Self::Messages => UPGRADE_HEAD,
        }
    }

    /// Returns what the server waits for at a viewer that has all that there is.
    fn idle_events(self) -> EventFlags {
        match self {
            Self::Parts => EventFlags::RDHUP,
            Self::Messages => EventFlags::IN | EventFlags::RDHUP,
        }
    }
}

/// Reads a file of H.264 as the fragments of MP4 that Framecast makes of it.
fn read_fragments(file: &Path) -> Result<Vec<Vec<u8>>> {
    let bytes = fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    let clip = Clip::from_annex_b(bytes);
    let fragment = |picture: &ClipPicture| {
        let is_slice =
            |nal: &&Bytes| matches!(clip.codec.kind(nal), NalKind::KeySlice | NalKind::Slice | NalKind::Sei);
        let nals = picture.nals.iter().filter(is_slice);
        let data =
            nals.flat_map(|nal| [&(nal.len() as u32).to_be_bytes(), &nal[..]].concat()).collect::<Vec<u8>>();
        let head = Fragment {
            sequence_number: 1,
            dts_90k: 0,
            composition_offset_90k: 0,
            duration_90k: 22_500,
            is_keyframe: picture.is_keyframe,
            is_disposable: false,
            data_bytes: data.len(),
        };
        Ok([&head.head()?[..], &data].concat())
    };
    clip.pictures.iter().map(fragment).collect()
}

fn read_pictures(dir: &Path) -> Result<Vec<Vec<u8>>> {
    let context = || format!("cannot read pictures from {}", dir.display());
    let mut paths = Vec::new();
    for entry in fs::read_dir(dir).with_context(context)? {
        let path = entry.with_context(context)?.path();
        if path.extension().is_some_and(|extension| extension == "jpg") {
            paths.push(path);
        }
    }
    paths.sort();
    ensure!(!paths.is_empty(), "no .jpg files in {}", dir.display());
    paths.iter().map(|path| fs::read(path).with_context(context)).collect()
}

/// One picture as the bytes that every viewer receives: multipart header lines, JPEG, next boundary; or a message.
#[derive(Debug)]
struct PackedFrame {
    number: u64,
    bytes: Vec<u8>,
}

impl PackedFrame {
    fn build(packing: Packing, number: u64, picture: &[u8]) -> Self {
        match packing {
            Packing::Parts => Self::part(number, picture),
            Packing::Messages => Self::message(number, picture),
        }
    }

    fn message(number: u64, fragment: &[u8]) -> Self {
        let length = fragment.len() + 16;
        let mut bytes = vec![0x82];
        match u16::try_from(length) {
            Ok(length) if length > 125 => {
                bytes.push(126);
                bytes.extend(length.to_be_bytes());
            }
            _ => {
                bytes.push(127);
                bytes.extend((length as u64).to_be_bytes());
            }
        }
        bytes.extend([1, 2, 0, 1]);
        bytes.extend((number as u32).to_be_bytes());
        bytes.extend(proc::now_us().to_be_bytes());
        bytes.extend_from_slice(fragment);
        Self { number, bytes }
    }

    fn part(number: u64, jpeg: &[u8]) -> Self {
        let now_us = proc::now_us();
        let head = format!(
            "Content-Type: image/jpeg\r\nContent-Length: {}\r\nX-Timestamp: {}.{:06}\r\n\r\n",
            jpeg.len(),
            now_us / 1_000_000,
            now_us % 1_000_000
        );
        let bytes = [head.as_bytes(), jpeg, NEXT_BOUNDARY].concat();
        Self { number, bytes }
    }
}

#[derive(Debug)]
struct CeilingViewer {
    stream: TcpStream,
    phase: Phase,
}

#[derive(Debug)]
enum Phase {
    /// The viewer's HTTP request is still incomplete. The value contains the bytes that have arrived so far.
    Asking(Vec<u8>),
    /// All bytes of the picture with this number have been sent to the viewer.
    Idle(u64),
    /// Only this many bytes of the picture have been sent to the viewer. Its socket is polled for room for more bytes.
    PartlySent(Rc<PackedFrame>, usize),
}

struct Ceiling {
    epoll: OwnedFd,
    listener: TcpListener,
    timer: OwnedFd,
    viewers: Vec<Option<CeilingViewer>>,
    free: Vec<usize>,
    packing: Packing,
    pictures: Vec<Vec<u8>>,
    newest: Rc<PackedFrame>,
}

impl Ceiling {
    fn start(listen: SocketAddr, fps: u32, packing: Packing, pictures: Vec<Vec<u8>>) -> Result<Self> {
        let listener = TcpListener::bind(listen).with_context(|| format!("cannot listen on {listen}"))?;
        listener.set_nonblocking(true)?;
        // The standard library's own backlog is too short for hundreds of viewers at once.
        rustix::net::listen(&listener, BACKLOG)?;
        let timer = rustix::time::timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK)?;
        let period =
            Timespec { tv_sec: i64::from(1 / fps), tv_nsec: i64::from(1_000_000_000 / fps % 1_000_000_000) };
        let ticks = Itimerspec { it_interval: period, it_value: period };
        rustix::time::timerfd_settime(&timer, TimerfdTimerFlags::empty(), &ticks)?;
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let watch = EventFlags::IN;
        epoll::add(&epoll, &listener, EventData::new_u64(LISTENER), watch)?;
        epoll::add(&epoll, &timer, EventData::new_u64(TIMER), watch)?;
        let newest = Rc::new(PackedFrame::build(packing, 0, &pictures[0]));
        Ok(Self { epoll, listener, timer, viewers: Vec::new(), free: Vec::new(), packing, pictures, newest })
    }

    fn serve(&mut self, until: Instant) -> Result<()> {
        let mut events = Vec::with_capacity(256);
        while Instant::now() < until {
            let timeout = Timespec { tv_sec: 1, tv_nsec: 0 };
            match epoll::wait(&self.epoll, spare_capacity(&mut events), Some(&timeout)) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            for event in events.drain(..) {
                match event.data.u64() {
                    LISTENER => self.accept(),
                    TIMER => self.tick(),
                    slot => self.viewer_event(slot as usize, event.flags),
                }
            }
        }
        Ok(())
    }

    fn accept(&mut self) {
        // An error here means that a viewer has already left or that no file descriptor is left; the next event
        // retries.
        while let Ok((stream, _)) = self.listener.accept() {
            if stream.set_nonblocking(true).is_err() || stream.set_nodelay(true).is_err() {
                continue;
            }
            let slot = self.free.pop().unwrap_or(self.viewers.len());
            let data = EventData::new_u64(slot as u64);
            let watched = epoll::add(&self.epoll, &stream, data, EventFlags::IN);
            if slot == self.viewers.len() {
                self.viewers.push(None);
            }
            if watched.is_err() {
                self.free.push(slot);
                continue;
            }
            self.viewers[slot] = Some(CeilingViewer { stream, phase: Phase::Asking(Vec::new()) });
        }
    }

    fn tick(&mut self) {
        let mut expirations = [0; 8];
        if rustix::io::read(&self.timer, &mut expirations).is_err() {
            return;
        }
        let number = self.newest.number + 1;
        let picture = &self.pictures[(number % self.pictures.len() as u64) as usize];
        self.newest = Rc::new(PackedFrame::build(self.packing, number, picture));
        for slot in 0..self.viewers.len() {
            let is_idle = |viewer: &CeilingViewer| matches!(viewer.phase, Phase::Idle(_));
            if self.viewers[slot].as_ref().is_some_and(is_idle) {
                self.advance(slot, false);
            }
        }
    }

    fn viewer_event(&mut self, slot: usize, flags: EventFlags) {
        let Some(viewer) = self.viewers.get_mut(slot).and_then(Option::as_mut) else {
            return;
        };
        if flags.intersects(EventFlags::ERR | EventFlags::HUP | EventFlags::RDHUP) {
            return self.drop_viewer(slot);
        }
        match &mut viewer.phase {
            Phase::Asking(request) => match read_request(&viewer.stream, request) {
                Ok(false) => {}
                Ok(true) => self.accept_viewer(slot),
                Err(_) => self.drop_viewer(slot),
            },
            Phase::PartlySent(..) => self.advance(slot, true),
            Phase::Idle(_) if self.packing == Packing::Messages => {
                if read_acknowledgements(&viewer.stream).is_err() {
                    self.drop_viewer(slot);
                }
            }
            Phase::Idle(_) => {}
        }
    }

    /// Sends the response head and the newest picture to the viewer in `slot`.
    fn accept_viewer(&mut self, slot: usize) {
        let Some(viewer) = &mut self.viewers[slot] else {
            return;
        };
        viewer.phase = Phase::Idle(self.newest.number.wrapping_sub(1));
        // A fresh socket has room for the head.
        let head = self.packing.response_head();
        let sent = send(&viewer.stream, head);
        if sent != Ok(head.len()) || self.watch(slot, self.packing.idle_events()).is_err() {
            return self.drop_viewer(slot);
        }
        self.advance(slot, false);
    }

    /// Sends the viewer the rest of a picture that was sent in part. Then sends the newest picture, unless the viewer
    /// already has it.
    fn advance(&mut self, slot: usize, is_watched_for_room: bool) {
        loop {
            let Some(viewer) = &mut self.viewers[slot] else {
                return;
            };
            let (shot, done) = match &viewer.phase {
                Phase::PartlySent(shot, done) => (Rc::clone(shot), *done),
                Phase::Idle(number) if *number != self.newest.number => (Rc::clone(&self.newest), 0),
                Phase::Idle(_) | Phase::Asking(_) => break,
            };
            let sent = match send(&viewer.stream, &shot.bytes[done..]) {
                Ok(sent) => sent,
                Err(Errno::AGAIN) => 0,
                Err(_) => return self.drop_viewer(slot),
            };
            if done + sent < shot.bytes.len() {
                viewer.phase = Phase::PartlySent(shot, done + sent);
                let room = EventFlags::OUT | EventFlags::RDHUP;
                if !is_watched_for_room && self.watch(slot, room).is_err() {
                    self.drop_viewer(slot);
                }
                return;
            }
            viewer.phase = Phase::Idle(shot.number);
        }
        if is_watched_for_room && self.watch(slot, self.packing.idle_events()).is_err() {
            self.drop_viewer(slot);
        }
    }

    fn watch(&self, slot: usize, flags: EventFlags) -> Result<(), Errno> {
        match &self.viewers[slot] {
            Some(viewer) => {
                let data = EventData::new_u64(slot as u64);
                epoll::modify(&self.epoll, &viewer.stream, data, flags)
            }
            None => Ok(()),
        }
    }

    fn drop_viewer(&mut self, slot: usize) {
        if self.viewers[slot].take().is_some() {
            self.free.push(slot);
        }
    }
}

fn send(stream: &TcpStream, bytes: &[u8]) -> Result<usize, Errno> {
    rustix::net::send(stream, bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL)
}

/// Reads and forgets what the viewer has sent.
fn read_acknowledgements(stream: &TcpStream) -> Result<(), Errno> {
    match rustix::net::recv(stream, &mut [0; 1024], RecvFlags::DONTWAIT) {
        Ok((0, _)) => Err(Errno::PIPE),
        Ok(_) | Err(Errno::AGAIN) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Reads the bytes that have arrived and appends them to `request`. Returns true once the head of the request is
/// complete.
fn read_request(stream: &TcpStream, request: &mut Vec<u8>) -> Result<bool, Errno> {
    let mut piece = [0; 1024];
    match rustix::net::recv(stream, &mut piece, RecvFlags::DONTWAIT) {
        Ok((0, _)) => Err(Errno::PIPE),
        Ok((read, _)) => {
            request.extend_from_slice(&piece[..read]);
            if request.len() > REQUEST_LIMIT_BYTES {
                return Err(Errno::NOBUFS);
            }
            Ok(http::find(request, b"\r\n\r\n").is_some())
        }
        Err(Errno::AGAIN) => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;
    use crate::{
        client::{Bodies, ReadOutcome, Viewer as Client},
        load,
    };

    /// Starts a ceiling that shows one picture of this many bytes and leaves it running until the tests end.
    fn start(picture_bytes: usize, fps: u32) -> SocketAddr {
        let (address, started) = mpsc::channel();
        std::thread::spawn(move || {
            let mut jpeg = vec![7; picture_bytes];
            jpeg[..2].copy_from_slice(&[0xff, 0xd8]);
            jpeg[picture_bytes - 2..].copy_from_slice(&[0xff, 0xd9]);
            let any = "127.0.0.1:0".parse().unwrap();
            let mut ceiling = Ceiling::start(any, fps, Packing::Parts, vec![jpeg]).unwrap();
            address.send(ceiling.listener.local_addr().unwrap()).unwrap();
            ceiling.serve(Instant::now() + Duration::from_secs(60)).unwrap();
        });
        started.recv().unwrap()
    }

    /// Reads until `enough` returns true.
    fn read_until(client: &mut Client, mut enough: impl FnMut(&Client) -> bool) {
        let mut scratch = vec![0; 64 * 1024];
        while !enough(client) {
            let outcome = client.read(Bodies::Drop, usize::MAX, &mut scratch).unwrap();
            assert_ne!(outcome, ReadOutcome::Closed);
            if outcome == ReadOutcome::Open(0) {
                std::thread::yield_now();
            }
        }
    }

    #[test]
    fn a_viewer_that_fell_behind_gets_whole_frames_and_few_of_the_old_ones() {
        let server = start(2_000_000, 50);
        let mut behind = Client::connect(server, "/", None).unwrap();
        let mut steady = Client::connect(server, "/", None).unwrap();
        // 60 MB, many times what the buffers of two sockets hold.
        read_until(&mut steady, |client| client.seen.frames >= 30);
        let newest_us = proc::now_us();
        let captured_us = |client: &Client| client.seen.ages_us.last().map_or(0, |(now, age)| now - age);
        read_until(&mut behind, |client| captured_us(client) >= newest_us);
        assert!(behind.seen.frames < 15, "{} frames", behind.seen.frames);
        assert_eq!((behind.seen.corrupt, behind.seen.reordered, behind.seen.repeats), (0, 0, 0));
        assert_eq!((steady.seen.corrupt, steady.seen.reordered, steady.seen.repeats), (0, 0, 0));
    }

    #[test]
    fn a_new_viewer_gets_the_frame_that_there_is_without_waiting_for_the_next() {
        // The next frame is a second away; if each connection of this loop waited for a frame, the test would be slow.
        let server = start(1000, 1);
        let captured: Vec<u64> = (0..20)
            .map(|_| {
                let mut client = Client::connect(server, "/", None).unwrap();
                read_until(&mut client, |client| client.seen.frames == 1);
                let (now_us, age_us) = client.seen.ages_us[0];
                now_us - age_us
            })
            .collect();
        assert!(captured.windows(2).any(|pair| pair[0] == pair[1]), "each viewer waited for a new frame");
    }

    #[test]
    fn the_load_generator_sees_every_kind_of_viewer_served() {
        let server = start(50_000, 100);
        let options = load::Options {
            slow: 1,
            rate: 1_000_000,
            stall: 1,
            ..load::Options::full(format!("http://{server}/"), 3, 1, std::process::id())
        };
        let report = load::run(&options).unwrap();
        let slow = report.slow.unwrap();
        assert!(report.full.fps_min > 0.0 && slow.frames > 0);
        assert_eq!((report.full.corrupt, report.full.closed, slow.corrupt), (0, 0, 0));
        assert!(report.stalled.is_some() && report.server.unwrap().cpu_seconds > 0.0);
    }
}
