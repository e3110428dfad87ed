//! The ceiling server: a reference server of Motion JPEG that does only the minimum. Its results are an upper limit for
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

use anyhow::{Context as _, Result, ensure};
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
const NEXT_BOUNDARY: &[u8] = b"\r\n--frame\r\n";

/// The options of the ceiling server.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Address to listen on.
    #[arg(long)]
    listen: SocketAddr,
    /// Folder of JPEG files, sent in a loop in the order of their names.
    #[arg(long)]
    pictures: PathBuf,
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
    let pictures = read_pictures(&options.pictures)?;
    let until = Instant::now() + Duration::from_secs(options.seconds);
    Ceiling::start(options.listen, options.fps, pictures)?.serve(until)
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

/// One picture as the bytes that every viewer receives: multipart header lines, JPEG, next boundary.
#[derive(Debug)]
struct PackedFrame {
    number: u64,
    bytes: Vec<u8>,
}

impl PackedFrame {
    fn build(number: u64, jpeg: &[u8]) -> Self {
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
    pictures: Vec<Vec<u8>>,
    newest: Rc<PackedFrame>,
}

impl Ceiling {
    fn start(listen: SocketAddr, fps: u32, pictures: Vec<Vec<u8>>) -> Result<Self> {
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
        let newest = Rc::new(PackedFrame::build(0, &pictures[0]));
        Ok(Self { epoll, listener, timer, viewers: Vec::new(), free: Vec::new(), pictures, newest })
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
        let jpeg = &self.pictures[(number % self.pictures.len() as u64) as usize];
        self.newest = Rc::new(PackedFrame::build(number, jpeg));
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
        let sent = send(&viewer.stream, RESPONSE_HEAD);
        if sent != Ok(RESPONSE_HEAD.len()) || self.watch(slot, EventFlags::RDHUP).is_err() {
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
        if is_watched_for_room && self.watch(slot, EventFlags::RDHUP).is_err() {
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
            let mut ceiling = Ceiling::start(any, fps, vec![jpeg]).unwrap();
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
