//! A sender, a link and a reader as numbers, in steps of a millisecond.

use super::*;

const PICTURE: u64 = 76_000;

/// What the two kernels hold, and how fast it moves.
struct Path {
    now: Instant,
    /// Bytes a second that the link and the reader take.
    link: f64,
    reader: f64,
    rtt: Duration,
    /// The reader's receive buffer.
    room: u64,
    queued: f64,
    unread: f64,
    /// The window that was told last.
    window: u64,
}

impl Path {
    fn new(link: f64, reader: f64, rtt: u64) -> Self {
        let room = 94_000;
        let rtt = Duration::from_millis(rtt);
        Self { now: Instant::now(), link, reader, rtt, room, queued: 0.0, unread: 0.0, window: room }
    }

    fn step(&mut self) {
        self.now += Duration::from_millis(1);
        self.unread = (self.unread - self.reader / 1000.0).max(0.0);
        let free = self.room as f64 - self.unread;
        let arrived = (self.link / 1000.0).min(self.queued).min(free);
        self.queued -= arrived;
        self.unread += arrived;
        let window = (self.room as f64 - self.unread) as u64;
        // A window is told with each acknowledgement, and by itself only once it is twice that of the last word.
        if arrived > 0.0 || window >= 2 * self.window {
            self.window = window;
        }
    }

    fn sample(&self) -> Sample {
        Sample { queued: self.queued as u64, window: Some(self.window), rtt: self.rtt }
    }

    fn taken(&self, written: u64) -> f64 {
        written as f64 - self.queued - self.unread
    }
}

/// What came of a stream.
#[derive(Debug)]
struct Seen {
    pictures: u64,
    /// Of each picture in turn, from its capture to its last byte at the reader.
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

/// Sends pictures of a camera that makes one every 33 ms, as the writer does, for so many seconds.
fn stream(path: &mut Path, flow: &mut Flow, seconds: u64) -> Seen {
    let mut seen = Seen { pictures: 0, ages_ms: Vec::new(), looks: 0 };
    let (mut written, mut due, mut held_until) = ((path.queued + path.unread) as u64, Vec::new(), None);
    let mut last_sent = u64::MAX;
    for ms in 0..seconds * 1000 {
        path.step();
        let captured = ms / 33;
        due.retain(|(end, captured_ms)| {
            let is_there = path.taken(written) >= *end as f64 - 1.0;
            if is_there {
                seen.ages_ms.push(ms - captured_ms);
            }
            !is_there
        });
        let is_new = captured != last_sent;
        if !is_new && held_until.is_none() || held_until.is_some_and(|until| path.now < until) {
            continue;
        }
        held_until = None;
        if flow.wants_look(path.now) {
            seen.looks += 1;
            flow.observe(path.now, path.sample());
            match flow.gate(path.now) {
                Gate::Open => {}
                Gate::Until(at) => held_until = Some(at),
                Gate::Stalled(_) => held_until = Some(path.now + LATE),
            }
        }
        if is_new && held_until.is_none() {
            flow.begin(path.now);
            (written, last_sent) = (written + PICTURE, captured);
            path.queued += PICTURE as f64;
            flow.wrote(PICTURE as usize);
            if path.queued > 300_000.0 {
                flow.fell_short();
            }
            due.push((written, captured * 33));
            seen.pictures += 1;
        }
    }
    seen
}

fn flow(path: &Path) -> Flow {
    Flow::new(Duration::from_millis(250), path.now)
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
    // And when it is fast again, it is held no longer.
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
        // The last window is told before all is read, and none after it.
        let mut path = Path::new(20e6, 100e6, 0);
        (path.room, path.window) = (room, room);
        let mut flow = flow(&path);
        flow.fell_short();
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
