//! Simulates a sender, a link and a reader in steps of a millisecond.

use super::*;

const PICTURE: u64 = 76_000;

/// The maximum number of bytes that wait unsent in the sender's kernel.
const UNSENT: f64 = 300_000.0;

/// A simulated connection: what both kernels buffer, and how fast the bytes move.
struct Path {
    now: Instant,
    /// The speed of the link, in bytes per second.
    link: f64,
    reader: f64,
    rtt: Duration,
    /// The size of each picture, in bytes.
    picture: u64,
    /// The size of the reader's receive buffer, in bytes.
    room: u64,
    queued: f64,
    unread: f64,
    /// The receive window that the reader last announced, in bytes.
    window: u64,
}

impl Path {
    fn new(link: f64, reader: f64, rtt: u64) -> Self {
        let room = 94_000;
        let rtt = Duration::from_millis(rtt);
        let (now, picture) = (Instant::now(), PICTURE);
        Self { now, link, reader, rtt, picture, room, queued: 0.0, unread: 0.0, window: room }
    }

    fn step(&mut self) {
        self.now += Duration::from_millis(1);
        self.unread = (self.unread - self.reader / 1000.0).max(0.0);
        let free = self.room as f64 - self.unread;
        let arrived = (self.link / 1000.0).min(self.queued).min(free);
        self.queued -= arrived;
        self.unread += arrived;
        let window = (self.room as f64 - self.unread) as u64;
        // A reader announces its window with each acknowledgement. Without one, it does so only if the window has
        // doubled.
        if arrived > 0.0 || window >= 2 * self.window {
            self.window = window;
        }
    }

    fn sample(&self) -> SocketSample {
        SocketSample { queued: self.queued as u64, window: Some(self.window), rtt: self.rtt }
    }

    /// Puts as many of `rest` bytes into the sender's kernel as it has room for. Returns the number of bytes that are
    /// left.
    fn hand_over(&mut self, rest: u64, unsent: f64, flow: &mut FlowControl) -> u64 {
        let taken = rest.min((unsent - self.queued).max(0.0) as u64);
        self.queued += taken as f64;
        flow.bytes_written(taken as usize, self.now);
        if taken < rest {
            flow.set_constrained();
        }
        rest - taken
    }

    fn taken(&self, written: u64) -> f64 {
        written as f64 - self.queued - self.unread
    }
}

/// What a simulated stream showed.
#[derive(Debug)]
struct Seen {
    pictures: u64,
    /// For each picture in order: the time from the capture until the reader has the last byte, in milliseconds.
    ages_ms: Vec<u64>,
    looks: u64,
}

impl Seen {
    fn median_ms(&self) -> u64 {
        let mut ages = self.ages_ms.clone();
        ages.sort_unstable();
        ages[ages.len() / 2]
    }
}

/// Sends the pictures of a camera that delivers one every 33 ms, for `seconds`.
fn stream(path: &mut Path, flow: &mut FlowControl, seconds: u64) -> Seen {
    stream_with(path, flow, seconds, UNSENT)
}

/// Does what `stream` does, but with at most `unsent` bytes that wait unsent in the sender's kernel.
fn stream_with(path: &mut Path, flow: &mut FlowControl, seconds: u64, unsent: f64) -> Seen {
    let mut seen = Seen { pictures: 0, ages_ms: Vec::new(), looks: 0 };
    let (mut written, mut due, mut held_until) = ((path.queued + path.unread) as u64, Vec::new(), None);
    let (mut last_sent, mut rest) = (u64::MAX, 0);
    for ms in 0..seconds * 1000 {
        path.step();
        let captured = ms / 33;
        due.retain(|(end, captured_ms)| {
            let is_there = path.taken(written - rest) >= *end as f64 - 1.0;
            if is_there {
                seen.ages_ms.push(ms - captured_ms);
            }
            !is_there
        });
        if rest > 0 {
            rest = path.hand_over(rest, unsent, flow);
        }
        if rest > 0 {
            continue;
        }
        let is_new = captured != last_sent;
        if !is_new && held_until.is_none() || held_until.is_some_and(|until| path.now < until) {
            continue;
        }
        held_until = None;
        if flow.needs_sample(path.now) {
            seen.looks += 1;
            flow.observe(path.now, path.sample());
            match flow.gate(path.now) {
                Gate::Open => {}
                Gate::Until(at) => held_until = Some(at),
                Gate::Stalled(_) => held_until = Some(path.now + MAX_RECHECK),
            }
        }
        if is_new && held_until.is_none() {
            flow.begin(path.now);
            (written, last_sent) = (written + path.picture, captured);
            rest = path.hand_over(path.picture, unsent, flow);
            due.push((written, captured * 33));
            seen.pictures += 1;
        }
    }
    seen
}

/// What the buffers behind a response body take: once they are full, nothing until only `low` bytes are in them.
#[derive(Clone, Copy)]
struct Buffers {
    low: f64,
    full: f64,
}

/// The buffers of Linux: a burst of 64 KiB, and nothing until the rest is in flight.
const LINUX: Buffers = Buffers { low: 30e3, full: 86e3 };

impl Buffers {
    /// Buffers that take more as soon as there is any room.
    fn steady(full: f64) -> Self {
        Self { low: full - 1.0, full }
    }
}

/// Sends pictures as a response body does, which knows only when the pieces of its last picture have left.
fn stream_as_body(path: &mut Path, flow: &mut FlowControl, seconds: u64, buffers: Buffers) -> Seen {
    stream_as_body_every(33, path, flow, seconds, buffers)
}

/// Does what `stream_as_body` does, with a camera that delivers a picture every `interval_ms` milliseconds.
fn stream_as_body_every(
    interval_ms: u64,
    path: &mut Path,
    flow: &mut FlowControl,
    seconds: u64,
    buffers: Buffers,
) -> Seen {
    let mut seen = Seen { pictures: 0, ages_ms: Vec::new(), looks: 0 };
    let (mut written, mut due) = ((path.queued + path.unread) as u64, Vec::new());
    let (mut last_sent, mut rest, mut is_full) = (u64::MAX, 0, false);
    for ms in 0..seconds * 1000 {
        path.step();
        let captured = ms / interval_ms;
        due.retain(|(end, captured_ms)| {
            let is_there = path.taken(written - rest) >= *end as f64 - 1.0;
            if is_there {
                seen.ages_ms.push(ms - captured_ms);
            }
            !is_there
        });
        if rest == 0 && captured != last_sent && flow.gate(path.now) == Gate::Open {
            flow.begin(path.now);
            flow.bytes_written(path.picture as usize, path.now);
            (written, last_sent, rest) = (written + path.picture, captured, path.picture);
            due.push((written, captured * interval_ms));
            seen.pictures += 1;
        }
        is_full &= path.queued > buffers.low;
        while rest > 0 && !is_full {
            let piece = rest.min(flow.piece_bytes(path.picture as usize) as u64);
            path.queued += piece as f64;
            is_full = path.queued >= buffers.full;
            rest -= piece;
            flow.piece_left(piece as usize, path.now);
            if rest == 0 {
                flow.all_left(path.now);
            }
        }
    }
    seen
}

fn flow(path: &Path) -> FlowControl {
    FlowControl::new(Duration::from_millis(250), path.now)
}

#[test]
fn a_viewer_that_keeps_up_is_never_held_and_hardly_looked_at() {
    for rtt in [0, 100] {
        let mut path = Path::new(50e6, 100e6, rtt);
        let mut flow = flow(&path);
        let seen = stream(&mut path, &mut flow, 10);
        assert!(seen.pictures >= 300, "{} pictures", seen.pictures);
        assert!(seen.looks <= 25, "{} looks", seen.looks);
    }
}

#[test]
fn a_slow_reader_gets_as_many_pictures_as_it_takes_and_none_of_them_old() {
    let mut path = Path::new(50e6, 300e3, 0);
    let mut flow = flow(&path);
    stream(&mut path, &mut flow, 5);
    let seen = stream(&mut path, &mut flow, 60);
    // A picture takes 253 ms at this rate.
    assert!(seen.median_ms() <= 400, "{} ms", seen.median_ms());
    assert!(seen.pictures >= 60 * 3, "{} pictures", seen.pictures);
    let (early, late) = seen.ages_ms.split_at(seen.ages_ms.len() / 2);
    let mean = |ages: &[u64]| ages.iter().sum::<u64>() / ages.len() as u64;
    assert!(mean(late) <= mean(early) + 20, "{} ms, then {} ms", mean(early), mean(late));
}

#[test]
fn what_waits_in_a_large_receive_buffer_is_known_too() {
    let mut path = Path::new(50e6, 100e6, 0);
    (path.room, path.window) = (1_500_000, 1_500_000);
    let mut flow = flow(&path);
    stream(&mut path, &mut flow, 3);
    path.reader = 300e3;
    stream(&mut path, &mut flow, 10);
    let seen = stream(&mut path, &mut flow, 30);
    assert!(seen.median_ms() <= 450, "{} ms", seen.median_ms());
    assert!(seen.pictures >= 30 * 3, "{} pictures", seen.pictures);
    // When the reader is fast again, its pictures are not held any more.
    path.reader = 100e6;
    stream(&mut path, &mut flow, 5);
    let seen = stream(&mut path, &mut flow, 5);
    assert!(seen.pictures >= 5 * 28, "{} pictures", seen.pictures);
}

#[test]
fn a_slow_link_is_kept_busy_and_holds_hardly_more_than_a_picture() {
    let mut path = Path::new(250e3, 100e6, 40);
    let mut flow = flow(&path);
    stream(&mut path, &mut flow, 5);
    let seen = stream(&mut path, &mut flow, 30);
    // A picture takes 304 ms.
    assert!(seen.median_ms() <= 2 * 304 + 40, "{} ms", seen.median_ms());
    assert!(seen.pictures >= 30 * 3, "{} pictures", seen.pictures);
    let rate = flow.bytes_per_second().unwrap();
    assert!((200_000..320_000).contains(&rate), "{rate} bytes per second");
}

#[test]
fn a_reader_that_takes_nothing_is_seen_to() {
    let mut path = Path::new(50e6, 300e3, 0);
    let mut flow = flow(&path);
    stream(&mut path, &mut flow, 3);
    path.reader = 0.0;
    stream(&mut path, &mut flow, 12);
    flow.observe(path.now, path.sample());
    let gate = flow.gate(path.now);
    assert!(matches!(gate, Gate::Stalled(since) if since >= Duration::from_secs(10)), "{gate:?}");
}

#[test]
fn a_viewer_whose_first_pictures_fell_short_is_not_held_for_what_it_read_since() {
    for room in [94_000, 1_500_000] {
        // The reader announces the last window before it has read all, and none afterwards.
        let mut path = Path::new(20e6, 100e6, 0);
        (path.room, path.window) = (room, room);
        let mut flow = flow(&path);
        flow.set_constrained();
        let seen = stream(&mut path, &mut flow, 10);
        assert!(seen.pictures >= 300, "{} pictures", seen.pictures);
    }
}

#[test]
fn a_reader_whose_buffer_shrinks_is_not_taken_for_a_slow_one_for_long() {
    let mut path = Path::new(50e6, 100e6, 0);
    (path.room, path.window) = (1_500_000, 1_500_000);
    let mut flow = flow(&path);
    stream(&mut path, &mut flow, 3);
    (path.room, path.window) = (700_000, 700_000);
    let seen = stream(&mut path, &mut flow, 10);
    assert!(seen.pictures >= 220, "{} pictures", seen.pictures);
    let seen = stream(&mut path, &mut flow, 10);
    assert!(seen.pictures >= 300, "{} pictures", seen.pictures);
}

#[test]
fn pictures_larger_than_what_the_kernels_hold_tell_what_the_reader_takes() {
    let mut path = Path::new(50e6, 600e3, 0);
    path.picture = 380_000;
    let mut flow = flow(&path);
    stream_with(&mut path, &mut flow, 5, 16e3);
    let rate = flow.bytes_per_second().unwrap();
    assert!((500_000..720_000).contains(&rate), "{rate} bytes per second");
}

#[test]
fn a_slow_readers_speed_is_known() {
    for room in [32_000, 94_000, 1_500_000] {
        for unsent in [16e3, UNSENT] {
            let mut path = Path::new(50e6, 300e3, 0);
            (path.room, path.window) = (room, room);
            let mut flow = flow(&path);
            stream_with(&mut path, &mut flow, 12, unsent);
            let rate = flow.bytes_per_second().unwrap();
            assert!((250_000..450_000).contains(&rate), "{rate} bytes per second of {room}, {unsent}");
        }
    }
}

#[test]
fn a_body_whose_link_keeps_up_is_never_held() {
    let mut path = Path::new(50e6, 100e6, 0);
    let mut flow = flow(&path);
    let seen = stream_as_body(&mut path, &mut flow, 10, LINUX);
    assert!(seen.pictures >= 300, "{} pictures", seen.pictures);
    assert_eq!(flow.bytes_per_second(), None);
}

#[test]
fn a_body_over_a_slow_link_fills_the_link_and_not_the_buffers() {
    for buffers in [20e3, 40e3, 60e3, 100e3].map(Buffers::steady).into_iter().chain([LINUX]) {
        let mut path = Path::new(250e3, 100e6, 0);
        let mut flow = flow(&path);
        stream_as_body(&mut path, &mut flow, 30, buffers);
        let seen = stream_as_body(&mut path, &mut flow, 60, buffers);
        let rate = flow.bytes_per_second().unwrap();
        assert!(rate.abs_diff(250_000) < 25_000, "{rate} bytes a second");
        // A picture takes 304 ms on this link.
        assert!(seen.median_ms() <= 380, "{} ms", seen.median_ms());
        assert!(seen.pictures >= 60 * 3, "{} pictures", seen.pictures);
    }
}

#[test]
fn a_body_follows_a_link_that_becomes_slower_and_faster() {
    for buffers in [Buffers::steady(60e3), LINUX] {
        let mut path = Path::new(250e3, 100e6, 0);
        let mut flow = flow(&path);
        stream_as_body(&mut path, &mut flow, 30, buffers);
        path.link = 125e3;
        stream_as_body(&mut path, &mut flow, 30, buffers);
        let slower = stream_as_body(&mut path, &mut flow, 60, buffers);
        assert!(slower.median_ms() <= 960, "{} ms", slower.median_ms());
        assert!(flow.bytes_per_second().unwrap().abs_diff(125_000) < 13_000, "{:?}", flow.bytes_per_second());
        path.link = 50e6;
        stream_as_body(&mut path, &mut flow, 5, buffers);
        let faster = stream_as_body(&mut path, &mut flow, 10, buffers);
        assert!(faster.pictures >= 300, "{} pictures", faster.pictures);
        assert_eq!(flow.bytes_per_second(), None);
    }
}

#[test]
fn the_pictures_of_a_slow_camera_do_not_make_a_link_look_slow() {
    for buffers in [Buffers::steady(20e3), LINUX] {
        let mut path = Path::new(250e3, 100e6, 0);
        let mut flow = flow(&path);
        stream_as_body(&mut path, &mut flow, 10, buffers);
        let known = flow.bytes_per_second().unwrap();
        stream_as_body_every(1000, &mut path, &mut flow, 10, buffers);
        let then = flow.bytes_per_second().unwrap();
        assert!(then >= known - known / 20, "{known}, then {then}");
    }
}
