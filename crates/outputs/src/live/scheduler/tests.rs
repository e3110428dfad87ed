//! Tests of the scheduler alone, on a clock that the test sets.

use super::*;

const FAST: TilePace =
    TilePace { interval: Duration::ZERO, priority: 1, latency_budget: Duration::from_millis(250) };
const SMALL: u64 = 1000;

struct Connection {
    scheduler: Scheduler,
    now: Instant,
}

impl Connection {
    /// Creates a connection with these tiles.
    fn with(tiles: &[(u16, TilePace)]) -> Self {
        let mut connection = Self { scheduler: Scheduler::new(), now: Instant::now() };
        for (tile, pace) in tiles {
            connection.scheduler.subscribe(*tile, *pace).unwrap();
        }
        connection
    }

    fn wait(&mut self, time: Duration) {
        self.now += time;
    }

    /// Sends a picture of the tile whose turn it is. Returns the numbers of the tile and of the picture; `None` if no
    /// picture can be sent.
    fn send(&mut self, bytes: u64) -> Option<(u16, u32)> {
        let tile = self.scheduler.next_tile(self.now)?;
        let sequence = self.scheduler.send(tile, bytes, SystemTime::UNIX_EPOCH, self.now)?;
        self.scheduler.on_flushed(self.now);
        Some((tile, sequence))
    }

    fn announce(&mut self, tiles: impl IntoIterator<Item = u16>) {
        tiles.into_iter().for_each(|tile| self.scheduler.announce(tile));
    }

    fn ack(&mut self, (tile, sequence): (u16, u32)) {
        self.scheduler.acknowledge(tile, sequence, self.now).unwrap();
    }
}

#[test]
fn two_pictures_of_a_tile_are_sent_ahead_and_an_acknowledgement_covers_those_before() {
    let mut connection = Connection::with(&[(5, FAST)]);
    for n in 1..=2 {
        connection.announce([5]);
        assert_eq!(connection.send(SMALL), Some((5, n)));
        assert_eq!(connection.send(SMALL), None, "there is nothing new");
    }
    connection.announce([5]);
    assert_eq!(connection.send(SMALL), None, "the window is full");
    let acknowledged = connection.scheduler.acknowledge(5, 2, connection.now).unwrap();
    assert_eq!(acknowledged, Acknowledged { pictures: 2, captured_at: Some(SystemTime::UNIX_EPOCH) });
    assert_eq!(connection.scheduler.in_flight_bytes(), 0);
    assert_eq!(connection.send(SMALL), Some((5, 3)));
    let again = connection.scheduler.acknowledge(5, 1, connection.now).unwrap();
    assert_eq!(again, Acknowledged { pictures: 0, captured_at: None });
}

#[test]
fn what_was_not_sent_cannot_be_acknowledged_and_what_was_can_at_any_time() {
    let mut connection = Connection::with(&[(5, FAST)]);
    connection.announce([5]);
    connection.send(SMALL).unwrap();
    for (tile, sequence) in [(5, 0), (5, 2), (5, u32::MAX), (6, 0), (6, 1)] {
        assert_eq!(connection.scheduler.acknowledge(tile, sequence, connection.now), Err(NotSent));
    }
    // The tile was removed while its acknowledgement was on its way.
    assert!(connection.scheduler.unsubscribe(5));
    assert_eq!(connection.scheduler.in_flight_bytes(), 0);
    connection.ack((5, 1));
    connection.scheduler.subscribe(5, FAST).unwrap();
    connection.announce([5]);
    assert_eq!(connection.send(SMALL), Some((5, 2)), "numbers go on");
}

#[test]
fn numbers_may_overflow_on_the_wire() {
    let mut connection = Connection::with(&[(0, FAST)]);
    connection.scheduler.counts.insert(0, u64::from(u32::MAX) - 1);
    for sequence in [u32::MAX, 0, 1] {
        connection.announce([0]);
        assert_eq!(connection.send(SMALL), Some((0, sequence)));
        connection.ack((0, sequence));
    }
    assert_eq!(connection.scheduler.in_flight_bytes(), 0);
}

#[test]
fn no_more_is_on_its_way_than_the_link_carries_within_the_latency_budget() {
    let tiles: Vec<(u16, TilePace)> = (0..100).map(|tile| (tile, FAST)).collect();
    let mut connection = Connection::with(&tiles);
    let picture = 10_000;
    let mut outstanding = Vec::new();
    let mut most = 0;
    // 100 KB/s: one picture every 100 ms.
    for _ in 0..200 {
        connection.announce(0..100);
        while let Some(sent) = connection.send(picture) {
            outstanding.push(sent);
        }
        let in_flight = connection.scheduler.in_flight_bytes();
        assert!(in_flight <= connection.scheduler.budget_bytes());
        most = in_flight;
        connection.wait(Duration::from_millis(100));
        connection.ack(outstanding.remove(0));
    }
    assert_eq!(most, MIN_BUDGET_BYTES / picture * picture, "the least budget, which is more than 25 KB");
    // The link becomes faster: 5 MB/s; a quarter of a second carries 1.25 MB.
    for _ in 0..5000 {
        connection.announce(0..100);
        while let Some(sent) = connection.send(picture) {
            outstanding.push(sent);
        }
        most = connection.scheduler.in_flight_bytes();
        connection.wait(Duration::from_millis(2));
        connection.ack(outstanding.remove(0));
    }
    assert!((1_000_000..=1_250_000).contains(&most), "{most}");
}

#[test]
fn a_picture_larger_than_the_budget_goes_alone() {
    let mut connection = Connection::with(&[(0, FAST), (1, FAST)]);
    connection.announce([0, 1]);
    let first = connection.send(1 << 20).unwrap();
    assert_eq!(connection.send(SMALL), None);
    connection.ack(first);
    assert!(connection.send(SMALL).is_some());
}

#[test]
fn turns_go_round_among_equals() {
    let mut connection = Connection::with(&[(3, FAST), (9, FAST), (4, FAST)]);
    let mut turns = Vec::new();
    for _ in 0..4 {
        connection.announce([3, 4, 9]);
        while let Some(sent) = connection.send(SMALL) {
            turns.push(sent.0);
            connection.ack(sent);
        }
    }
    assert_eq!(turns, [3, 4, 9, 3, 4, 9, 3, 4, 9, 3, 4, 9]);
}

#[test]
fn a_link_for_one_is_shared_by_priority_and_none_starves() {
    let pace = |priority| TilePace { priority, ..FAST };
    let mut connection = Connection::with(&[(0, pace(1)), (1, pace(3)), (2, pace(1)), (3, pace(0))]);
    let mut counts = [0; 4];
    let mut order = Vec::new();
    for _ in 0..500 {
        // Each tile always has something new, and one picture fills the link.
        connection.announce(0..4);
        let sent = connection.send(1 << 20).unwrap();
        assert_eq!(connection.send(1 << 20), None);
        counts[usize::from(sent.0)] += 1;
        order.push(sent.0);
        connection.wait(Duration::from_secs(1));
        connection.ack(sent);
    }
    assert_eq!(counts, [100, 300, 100, 0]);
    assert_eq!(order[0], 1, "the higher priority goes first");
    assert!(order.windows(6).all(|turns| turns.contains(&0) && turns.contains(&2)));
}

#[test]
fn a_tile_that_was_idle_has_saved_no_turns() {
    let mut connection = Connection::with(&[(0, FAST), (1, FAST)]);
    for _ in 0..100 {
        connection.announce([0]);
        let sent = connection.send(SMALL).unwrap();
        connection.ack(sent);
    }
    let turns: Vec<u16> = (0..6)
        .map(|_| {
            connection.announce([0, 1]);
            let sent = connection.send(SMALL).unwrap();
            connection.ack(sent);
            sent.0
        })
        .collect();
    assert!(turns.windows(3).all(|turns| turns.contains(&0) && turns.contains(&1)), "{turns:?}");
}

#[test]
fn a_rate_is_kept_without_drift_and_a_pause_is_not_followed_by_a_burst() {
    let interval = Duration::from_millis(100);
    let mut connection = Connection::with(&[(0, TilePace { interval, ..FAST })]);
    let start = connection.now;
    let mut times = Vec::new();
    let mut play = |connection: &mut Connection, millis: u32| {
        for _ in 0..millis / 7 {
            connection.announce([0]);
            if let Some(sent) = connection.send(SMALL) {
                connection.ack(sent);
                times.push((connection.now - start).as_millis());
            }
            connection.wait(Duration::from_millis(7));
        }
        std::mem::take(&mut times)
    };
    let sent = play(&mut connection, 7000);
    assert_eq!(sent.len(), 70);
    assert!(sent.iter().zip(0..).all(|(at, n)| (n * 100..n * 100 + 7).contains(at)), "{sent:?}");
    connection.wait(Duration::from_secs(60));
    let after = play(&mut connection, 700);
    assert!((7..=8).contains(&after.len()), "{after:?}");
}

#[test]
fn the_next_time_is_that_of_the_tile_that_waits_for_its_rate() {
    let interval = Duration::from_millis(100);
    let mut connection = Connection::with(&[(0, TilePace { interval, ..FAST })]);
    assert_eq!(connection.scheduler.next_due(connection.now), None);
    connection.announce([0]);
    connection.send(SMALL).unwrap();
    assert_eq!(connection.scheduler.next_due(connection.now), None, "nothing is new");
    connection.announce([0]);
    assert_eq!(connection.scheduler.next_due(connection.now), Some(connection.now + interval));
    // A faster pace counts from the last picture.
    connection.scheduler.subscribe(0, FAST).unwrap();
    assert_eq!(connection.scheduler.next_tile(connection.now), Some(0));
    connection.scheduler.withdraw(0);
    assert_eq!(connection.scheduler.next_tile(connection.now), None);
}

#[test]
fn patience_ends_when_nothing_is_acknowledged_and_only_then() {
    let mut connection = Connection::with(&[(0, FAST)]);
    assert_eq!(connection.scheduler.ack_deadline(), None);
    connection.announce([0]);
    let sent = connection.send(SMALL).unwrap();
    connection.wait(ACK_TIMEOUT / 2);
    connection.announce([0]);
    let last = connection.send(SMALL).unwrap();
    assert_eq!(connection.scheduler.ack_deadline(), Some(connection.now + ACK_TIMEOUT));
    connection.wait(ACK_TIMEOUT / 2);
    connection.ack(sent);
    assert_eq!(connection.scheduler.ack_deadline(), Some(connection.now + ACK_TIMEOUT));
    connection.ack(last);
    assert_eq!(connection.scheduler.ack_deadline(), None);
    // The next picture gets its own deadline.
    connection.wait(ACK_TIMEOUT * 100);
    connection.announce([0]);
    connection.send(SMALL).unwrap();
    assert_eq!(connection.scheduler.ack_deadline(), Some(connection.now + ACK_TIMEOUT));
}

#[test]
fn there_are_no_more_tiles_than_there_may_be() {
    let mut connection = Connection::with(&[]);
    for tile in 0..MAX_TILES as u16 {
        connection.scheduler.subscribe(tile, FAST).unwrap();
    }
    assert_eq!(connection.scheduler.subscribe(1000, FAST), Err(TooManyTiles));
    assert_eq!(connection.scheduler.subscribe(0, FAST), Ok(()), "it is there");
    assert!(connection.scheduler.unsubscribe(7) && !connection.scheduler.unsubscribe(7));
    assert_eq!(connection.scheduler.subscribe(1000, FAST), Ok(()));
    assert_eq!(connection.scheduler.tiles(), MAX_TILES);
}

/// Sends coded video of tile 5 every 40 ms for `time`, while the scheduler allows it. Returns the number of messages.
fn play(connection: &mut Connection, time: Duration) -> usize {
    let (end, mut sent) = (connection.now + time, 0);
    while connection.now < end {
        connection.scheduler.announce_video(5);
        if connection.scheduler.next_tile(connection.now) == Some(5) {
            connection.scheduler.send_video(5, SMALL, SystemTime::UNIX_EPOCH, connection.now);
            sent += 1;
        }
        connection.wait(Duration::from_millis(40));
    }
    sent
}

#[test]
fn video_is_sent_without_a_window_for_a_second_and_the_time_that_acknowledgements_take() {
    let slow = TilePace { interval: Duration::from_secs(1), ..FAST };
    let mut connection = Connection::with(&[(5, slow)]);
    assert_eq!(play(&mut connection, Duration::from_secs(5)), 25);
    assert_eq!(
        connection.scheduler.next_due(connection.now),
        None,
        "no time makes it due, but an acknowledgement"
    );
    connection.ack((5, 24));
    assert_eq!(
        play(&mut connection, Duration::from_secs(5)),
        1,
        "the client has a reason to acknowledge the rest"
    );
    connection.ack((5, 26));
    assert_eq!(play(&mut connection, Duration::from_millis(360)), 9);
    // Acknowledgements that come half a second late become usual.
    let mut last = 35;
    for _ in 0..200 {
        let sent = play(&mut connection, Duration::from_millis(480)) as u32;
        connection.ack((5, last));
        last += sent;
    }
    // The oldest message was sent half a second ago: of the second and a half that it has now, a second is left.
    let ahead = play(&mut connection, Duration::from_secs(5));
    assert!((25..=28).contains(&ahead), "{ahead}");
    let deadline = connection.scheduler.ack_deadline();
    assert!(deadline.is_some_and(|at| at > connection.now), "a client that acknowledges nothing is given up");
}

#[test]
fn video_takes_nothing_of_the_budget_and_pictures_nothing_of_its_time() {
    let mut connection = Connection::with(&[(5, FAST), (6, FAST)]);
    connection.scheduler.announce_video(5);
    assert_eq!(connection.scheduler.next_tile(connection.now), Some(5));
    connection.scheduler.send_video(5, 10 * MIN_BUDGET_BYTES, SystemTime::UNIX_EPOCH, connection.now);
    assert_eq!(connection.scheduler.in_flight_bytes(), 0);
    assert_eq!(connection.scheduler.in_flight_of(5), 10 * MIN_BUDGET_BYTES);
    connection.announce([6]);
    assert_eq!(
        connection.send(2 * MIN_BUDGET_BYTES),
        Some((6, 1)),
        "a large picture goes alone among pictures"
    );
    connection.announce([6]);
    assert_eq!(connection.send(SMALL), None);
    assert_eq!(play(&mut connection, Duration::from_secs(1)), 25, "the last one 960 ms after the first");
    assert!(connection.scheduler.unsubscribe(5));
    connection.ack((6, 1));
    assert_eq!((connection.scheduler.in_flight_bytes(), connection.scheduler.ack_deadline()), (0, None));
}
