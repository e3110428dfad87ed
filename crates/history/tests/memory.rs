//! The history in memory: permanently, or until its file can be written.
#![allow(clippy::unwrap_used)]
#![warn(clippy::disallowed_methods)]

mod behaviour;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use behaviour::driven::{DAY_MS, Driven, HOUR_MS, MAX_AGE, MINUTE_MS, START_MS, YEAR_MS, at};
use behaviour::{Place, all, event, open_and_close, open_at, query, texts_and_times, told};
use framecast_history::{Clock, Config, Entry, Filter, History, Location, Notification, Order, Query, Tasks};
use framecast_hub::{EventKind, Events};
use framecast_testkit::{soon, until};
use tempfile::TempDir;

struct Memory;

impl Place for Memory {
    fn location(&self) -> Location {
        Location::Memory
    }
}

behaviour::tests!(Memory;
    pages_of_any_length_give_each_event_once_in_its_order
    a_page_of_long_texts_ends_early_and_the_next_one_goes_on
    filters_give_what_fits_and_nothing_else
    texts_come_back_as_they_went_in
    a_table_has_all_events
    readers_that_pause_hold_up_nobody
    the_next_block_is_read_while_rows_are_taken
    a_listener_that_comes_back_misses_nothing_and_hears_nothing_twice
    a_listener_hears_what_it_wants_from_now_on
    too_many_go_while_events_come_without_a_pause
);

#[tokio::test(flavor = "multi_thread")]
async fn what_a_clock_stamped_that_was_ahead_for_a_second_has_the_time_of_now() {
    let (clock, events) = (Driven::new(START_MS), Events::default());
    let settings = Config { location: Location::Memory, max_age: None, max_rows: None };
    let opening = History::open_with_clock(settings, events.subscribe(), Arc::new(clock));
    let (history, _tasks) = opening.await.unwrap();
    let mut listener = history.listen(Filter::default(), None);
    for (told_ms, kept_ms) in [
        (START_MS + YEAR_MS, START_MS),
        (START_MS + MINUTE_MS - 1, START_MS + MINUTE_MS - 1),
        // The machine slept before the event was read.
        (START_MS - HOUR_MS, START_MS - HOUR_MS),
    ] {
        events.send(at(told_ms, EventKind::Lost));
        let Some(Notification::Event(stored)) = soon("it is heard", listener.next()).await else {
            panic!("no event")
        };
        assert_eq!(stored.entry.at_ms, kept_ms);
    }
}

/// A file that cannot be opened: a folder is in its place.
struct Blocked {
    _folder: TempDir,
    file: PathBuf,
}

impl Blocked {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("framecast.db");
        fs::create_dir(&file).unwrap();
        Self { _folder: folder, file }
    }

    /// A file that cannot be opened, whose database existed before and will be there again.
    async fn made_before(change: impl FnOnce(&rusqlite::Connection)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("framecast.db");
        open_and_close(Location::File(file.clone())).await;
        change(&rusqlite::Connection::open(&file).unwrap());
        fs::rename(&file, Self::aside(&file)).unwrap();
        fs::create_dir(&file).unwrap();
        Self { _folder: folder, file }
    }

    fn aside(file: &Path) -> PathBuf {
        file.with_extension("aside")
    }

    /// Removes the obstacle, so that the file can be opened.
    fn lift(&self) {
        fs::remove_dir(&self.file).unwrap();
        if Self::aside(&self.file).exists() {
            fs::rename(Self::aside(&self.file), &self.file).unwrap();
        }
    }

    fn location(&self) -> Location {
        Location::File(self.file.clone())
    }

    async fn open(&self) -> (History, Tasks) {
        let location = self.location();
        let error = open_at(location.clone()).await.map(drop).unwrap_err();
        assert!(error.is_unwritable(), "{error}");
        let settings = Config { location, max_age: None, max_rows: None };
        History::open_in_memory(settings, Events::default().subscribe()).await.unwrap()
    }

    /// A number from the file, read as another program would.
    fn ask(&self, text: &str) -> i64 {
        rusqlite::Connection::open(&self.file).unwrap().query_row(text, [], |row| row.get(0)).unwrap()
    }

    /// Removes what fills the file.
    fn free(&self) {
        rusqlite::Connection::open(&self.file).unwrap().execute_batch("DROP TRIGGER full").unwrap();
    }

    /// The events in the file after it was closed.
    async fn stored(&self) -> Vec<Entry> {
        let (history, _tasks) = open_at(self.location()).await.unwrap();
        all(&history, &oldest(), 1000).await
    }
}

fn oldest() -> Query {
    query(Order::Oldest, |_| {})
}

async fn is_home(history: &History) {
    until("the events are in the file", || !history.is_in_memory()).await;
}

/// Records a mark of a thousand characters of four bytes.
fn mark(history: &History, ms: u64) {
    let mark = event(ms, EventKind::Mark).with_text("🦀".repeat(1000)).with_count(ms);
    history.record(mark).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn in_memory_the_oldest_events_make_room_and_a_listener_is_told() {
    let (history, _tasks) = open_at(Location::Memory).await.unwrap();
    mark(&history, 0);
    let first = history.listen(Filter::default(), None);
    for ms in 1..6_000 {
        mark(&history, ms);
        if ms % 100 == 0 {
            soon("the events are written", history.flushed()).await;
        }
    }
    soon("the events are written", history.flushed()).await;
    let stored = all(&history, &oldest(), 1000).await;
    assert_eq!(stored.last().unwrap().count, Some(5_999));
    let bytes: usize = stored.iter().map(|entry| entry.text.as_ref().unwrap().len()).sum();
    assert!((4 << 20..=16 << 20).contains(&bytes), "{bytes}");
    let mut first = first;
    assert!(matches!(soon("it is told", first.next()).await, Some(Notification::Missed)));
    let Some(Notification::Event(next)) = soon("what is next", first.next()).await else {
        panic!("no event")
    };
    assert_eq!(next.entry.count, stored[0].count);
    assert_eq!(history.stats().dropped, 0, "it is all that was asked for");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_in_memory_goes_to_the_file_once_it_can_be_written() {
    let place = Blocked::new();
    let (history, tasks) = place.open().await;
    let mut listener = history.listen(Filter::default(), None);
    behaviour::fill(&history, 3_000).await;
    assert!(history.is_in_memory() && history.stats().is_unavailable);
    assert_eq!((history.stats().waiting, history.stats().written), (3_000, 0));
    let in_memory = all(&history, &oldest(), 1000).await;
    assert_eq!(in_memory.len(), 3_000);
    place.lift();
    is_home(&history).await;
    assert_eq!(all(&history, &oldest(), 1000).await, in_memory, "with their ids, in their order");
    let stats = history.stats();
    assert_eq!((stats.waiting, stats.written, stats.is_unavailable), (0, 3_000, false));
    behaviour::fill(&history, 10).await;
    for n in (0..3_000).chain(0..10) {
        let Some(Notification::Event(stored)) = soon("it is heard", listener.next()).await else {
            panic!("no event")
        };
        assert_eq!(stored.entry.text.as_deref(), Some(format!("number {n}").as_str()));
    }
    tasks.close().await;
    drop((listener, history));
    assert_eq!(place.stored().await.len(), 3_010);
}

#[tokio::test(flavor = "multi_thread")]
async fn where_the_file_has_given_ids_as_high_events_get_higher_ones() {
    const GIVEN: i64 = 4_000_000_000_000_000;
    let place = Blocked::made_before(|file| {
        file.execute("UPDATE state SET value = ?1 WHERE key = 'reserved'", [GIVEN]).unwrap();
        file.execute("INSERT INTO events VALUES (5, ?1, 'mark', NULL, 'before', NULL)", [GIVEN]).unwrap();
    })
    .await;
    let (history, tasks) = place.open().await;
    let mut listener = history.listen(Filter::default(), None);
    behaviour::fill(&history, 2_000).await;
    let in_memory = all(&history, &oldest(), 1000).await;
    assert!(in_memory.iter().all(|entry| entry.id < GIVEN));
    place.lift();
    is_home(&history).await;
    // A client that returns remembers the id in memory, and gets only the later events.
    for (after, next) in [(in_memory[1_989].id, 1_990), (in_memory[5].id, 6)] {
        let mut back = history.listen(Filter::default(), Some(after));
        let Some(Notification::Event(stored)) = soon("it is heard", back.next()).await else {
            panic!("no event")
        };
        assert_eq!(stored.entry.text, Some(format!("number {next}")));
    }
    behaviour::fill(&history, 10).await;
    let mut before = 0;
    for n in (0..2_000).chain(0..10) {
        let Some(Notification::Event(stored)) = soon("it is heard", listener.next()).await else {
            panic!("no event")
        };
        assert_eq!(stored.entry.text.as_deref(), Some(format!("number {n}").as_str()), "each once");
        assert!(stored.entry.id > before);
        before = stored.entry.id;
    }
    tasks.close().await;
    drop((listener, history));
    let stored = place.stored().await;
    assert_eq!(stored.len(), 2_011);
    assert!(stored[1..].iter().all(|entry| entry.id > GIVEN));
}

/// Records more events than fit into the memory; returns how many were evicted.
async fn overfill(history: &History) -> u64 {
    for ms in 0..5_000 {
        mark(history, ms);
        if ms % 100 == 0 {
            soon("the events are written", history.flushed()).await;
        }
    }
    soon("the events are written", history.flushed()).await;
    let dropped = history.stats().dropped;
    assert!((1_000..5_000).contains(&dropped), "{dropped}");
    dropped
}

/// Checks that one event in the file reports the `dropped` events, and that the other events of [`overfill`] are there.
fn assert_dropped(stored: &[Entry], dropped: u64) {
    let told: Vec<&Entry> = stored.iter().filter(|entry| entry.kind == EventKind::Dropped).collect();
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(told[0].count, Some(i64::try_from(dropped).unwrap()));
    assert_eq!(stored.len() as u64, 5_000 - dropped + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_made_room_in_memory_is_told_in_the_file() {
    let place = Blocked::new();
    let (history, tasks) = place.open().await;
    let dropped = overfill(&history).await;
    place.lift();
    is_home(&history).await;
    tasks.close().await;
    drop(history);
    assert_dropped(&place.stored().await, dropped);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_made_room_in_memory_is_told_where_the_file_can_be_written_only_at_the_end() {
    let place = Blocked::new();
    let (history, tasks) = place.open().await;
    let dropped = overfill(&history).await;
    place.lift();
    tasks.close().await;
    drop(history);
    assert_dropped(&place.stored().await, dropped);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_in_memory_at_the_end_is_written_where_it_can_be() {
    let place = Blocked::new();
    let (history, tasks) = place.open().await;
    behaviour::fill(&history, 5).await;
    place.lift();
    tasks.close().await;
    drop(history);
    assert_eq!(place.stored().await.len(), 5);
}

/// The first event of a run by the right clock: its text and time.
type First = (&'static str, i64);

/// A run in memory whose clock is 100 days behind at its start, and is corrected after ten minutes.
async fn a_run_that_starts_behind(place: &Blocked) -> (Driven, History, Tasks, First) {
    let clock = Driven::new(START_MS - 100 * DAY_MS);
    let (history, tasks) = clock.open_in_memory(place.location(), MAX_AGE).await;
    for n in 0..3_000 {
        let event = at(clock.now().wall_ms, EventKind::Lost).with_camera("front").with_count(n);
        history.record(event).unwrap();
    }
    clock.tell(&history, "behind").await;
    clock.pass(10 * MINUTE_MS).await;
    assert!(history.is_in_memory());
    clock.set_by(100 * DAY_MS);
    clock.tell(&history, "set").await;
    let set = ("set", clock.now().wall_ms);
    (clock, history, tasks, set)
}

/// Checks that the file has each event of `texts` once, with its right time.
fn assert_right(stored: &[Entry], texts: &[(&str, i64)]) {
    let lost: Vec<&Entry> = stored.iter().filter(|entry| entry.kind == EventKind::Lost).collect();
    let counts: Vec<Option<i64>> = lost.iter().map(|entry| entry.count).collect();
    assert_eq!(counts, (0..3_000).map(Some).collect::<Vec<_>>());
    let at_ms = lost[0].at_ms;
    assert!(lost.iter().all(|entry| entry.at_ms == START_MS), "{at_ms} and so on in {stored:?}");
    let live = stored.iter().filter(|entry| entry.kind == EventKind::Live);
    let live: Vec<_> = live.map(|entry| (entry.text.clone().unwrap(), entry.at_ms)).collect();
    assert_eq!(live, told(texts));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_was_set_while_events_were_in_memory_puts_them_right_in_the_file() {
    const GIVEN: i64 = 4_000_000_000_000_000;
    // The file has an older event whose time an earlier run left for correction.
    let earlier = Blocked::made_before(|file| {
        let before_ms = START_MS - 50 * DAY_MS;
        file.execute("UPDATE state SET value = ?1 WHERE key = 'reserved'", [GIVEN]).unwrap();
        file.execute("UPDATE state SET value = 1 WHERE key = 'rows'", []).unwrap();
        file.execute("INSERT INTO events VALUES (?1, ?2, 'live', NULL, 'earlier', NULL)", [before_ms, GIVEN])
            .unwrap();
        let seen_ms = START_MS - 10 * DAY_MS;
        file.execute("INSERT INTO shifts VALUES (?1, ?1, ?2, ?3)", [GIVEN, 40 * DAY_MS, seen_ms]).unwrap();
    })
    .await;
    for (place, has_earlier) in [(Blocked::new(), false), (earlier, true)] {
        let (clock, history, tasks, set) = a_run_that_starts_behind(&place).await;
        place.lift();
        clock.pass(5 * MINUTE_MS).await;
        is_home(&history).await;
        clock.tell(&history, "in the file").await;
        let told_ms = clock.now().wall_ms;
        clock.pass(HOUR_MS - 10 * MINUTE_MS).await;
        let behind = ("behind", START_MS - 100 * DAY_MS);
        assert!(texts_and_times(&history).await.contains(&told(&[behind])[0]), "the hour is not over");
        clock.pass(20 * MINUTE_MS).await;
        tasks.close().await;
        drop(history);
        let texts =
            [("earlier", START_MS - 10 * DAY_MS), ("behind", START_MS), set, ("in the file", told_ms)];
        assert_right(&place.stored().await, if has_earlier { &texts } else { &texts[1..] });
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn times_that_were_put_right_in_memory_are_right_in_the_file() {
    let place = Blocked::new();
    let (clock, history, tasks, set) = a_run_that_starts_behind(&place).await;
    clock.pass(HOUR_MS + 2 * MINUTE_MS).await;
    assert!(history.is_in_memory());
    assert_eq!(texts_and_times(&history).await, told(&[("behind", START_MS), set]));
    place.lift();
    clock.pass(2 * HOUR_MS).await;
    is_home(&history).await;
    tasks.close().await;
    drop(history);
    assert_right(&place.stored().await, &[("behind", START_MS), set]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_not_put_right_in_memory_is_put_right_by_the_next_run() {
    let place = Blocked::new();
    let (clock, history, tasks, set) = a_run_that_starts_behind(&place).await;
    clock.pass(5 * MINUTE_MS).await;
    place.lift();
    tasks.close().await;
    drop(history);
    let (history, tasks) = clock.open(place.location(), None).await;
    assert_eq!(texts_and_times(&history).await, told(&[("behind", START_MS - 100 * DAY_MS), set]));
    clock.pass(HOUR_MS + 2 * MINUTE_MS).await;
    tasks.close().await;
    drop(history);
    assert_right(&place.stored().await, &[("behind", START_MS), set]);
}

/// A run that starts behind, and whose disk fills up when 2,500 of its events are there.
async fn a_run_that_is_broken_off_midway() -> (Blocked, Driven, History, Tasks, First) {
    let place = Blocked::made_before(|file| {
        file.execute_batch(
            "CREATE TRIGGER full BEFORE INSERT ON events WHEN (SELECT count(*) FROM events) >= 2500
             BEGIN SELECT RAISE(ABORT, 'full'); END;",
        )
        .unwrap();
    })
    .await;
    let (clock, history, tasks, set) = a_run_that_starts_behind(&place).await;
    clock.pass(MINUTE_MS).await;
    place.lift();
    clock.pass(5 * MINUTE_MS).await;
    let count = place.ask("SELECT count(*) FROM events");
    assert!(history.is_in_memory() && (1..3_000).contains(&count), "{count}");
    (place, clock, history, tasks, set)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_becomes_full_midway_leaves_no_time_wrong() {
    let (place, clock, history, tasks, set) = a_run_that_is_broken_off_midway().await;
    // The hour ends while some events are in memory and some in the file.
    clock.pass(2 * HOUR_MS).await;
    assert!(history.is_in_memory());
    place.free();
    clock.pass(5 * MINUTE_MS).await;
    is_home(&history).await;
    assert_eq!(texts_and_times(&history).await, told(&[("behind", START_MS), set]));
    tasks.close().await;
    drop(history);
    assert_right(&place.stored().await, &[("behind", START_MS), set]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_makes_room_in_memory_but_is_in_the_file_already_is_not_dropped() {
    let (place, clock, history, tasks, _) = a_run_that_is_broken_off_midway().await;
    let brought = place.ask("SELECT count(*) FROM events").unsigned_abs();
    for n in 0..5_000 {
        let long = at(clock.now().wall_ms, EventKind::Controls).with_text("🦀".repeat(1000));
        history.record(long).unwrap();
        if n % 100 == 0 {
            soon("the events are written", history.flushed()).await;
        }
    }
    soon("the events are written", history.flushed()).await;
    let dropped = history.stats().dropped;
    assert!(dropped > 3_000 - brought, "{dropped}");
    place.free();
    clock.pass(5 * MINUTE_MS).await;
    is_home(&history).await;
    tasks.close().await;
    drop(history);
    let stored = place.stored().await;
    let told: Vec<_> = stored.iter().filter(|entry| entry.kind == EventKind::Dropped).collect();
    assert_eq!((told.len(), told[0].count), (1, Some(i64::try_from(dropped).unwrap())));
    // 3,000 lost events, two events about the clock, 5,000 long ones, and the one that reports the loss.
    assert_eq!(stored.len() as u64, 8_003 - dropped);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_ends_midway_has_the_next_one_put_right_what_it_brought() {
    let (place, clock, history, tasks, _) = a_run_that_is_broken_off_midway().await;
    tasks.close().await;
    drop(history);
    place.free();
    let (history, tasks) = clock.open(place.location(), None).await;
    clock.pass(HOUR_MS + 20 * MINUTE_MS).await;
    tasks.close().await;
    drop(history);
    let stored = place.stored().await;
    assert!(stored.len() >= 1_000 && stored.iter().all(|entry| entry.at_ms == START_MS), "{}", stored.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_goes_for_its_age_in_memory_is_told_in_the_file() {
    let place = Blocked::new();
    let clock = Driven::new(START_MS);
    let max_age = Duration::from_secs(3 * 3_600);
    let (history, tasks) = clock.open_in_memory(place.location(), max_age).await;
    for _ in 0..10 {
        clock.tell(&history, "old").await;
    }
    clock.pass(4 * HOUR_MS).await;
    clock.tell(&history, "new").await;
    assert_eq!(all(&history, &oldest(), 100).await.len(), 1, "and none that tells of it");
    place.lift();
    clock.pass(5 * MINUTE_MS).await;
    is_home(&history).await;
    soon("the events are written", history.flushed()).await;
    tasks.close().await;
    drop(history);
    let stored = place.stored().await;
    let told: Vec<_> = stored.iter().map(|entry| (entry.kind, entry.count)).collect();
    assert_eq!(told, [(EventKind::Live, None), (EventKind::Pruned, Some(10))]);
    assert_eq!(place.ask("SELECT value FROM state WHERE key = 'untold'"), 0);
}
