//! The behaviour of a history in any database: the same tests for each kind of place.
//!
//! `tests!` makes the tests for one kind.
#![allow(dead_code, reason = "each place uses some of it")]

#[cfg(feature = "postgres")]
pub(crate) mod broken;
mod clock;
pub(crate) mod driven;
pub(crate) mod version_1;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Wake, Waker};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use framecast_history::table::{Compression, PlainPage, Table, TableFormat, TruncatedTable, Writer};
use framecast_history::{
    Config, Entry, Error, Filter, History, Key, Listener, Location, Notification, Order, Query, Rows,
    StoredEvent, Tasks,
};
use framecast_hub::{Event, EventKind, Events};
use framecast_testkit::{cut_short, pause, soon, until, until_async};
use futures_util::StreamExt;

pub(crate) use clock::*;

/// A place for events while this value lives.
pub(crate) trait Place {
    fn location(&self) -> Location;
}

/// A time near that of all events of a test.
pub(crate) const NOON_MS: u64 = 1_795_442_400_000;

pub(crate) async fn open_at(location: Location) -> Result<(History, Tasks), Error> {
    open_with(location, None, None).await
}

/// Creates the database.
pub(crate) async fn open_and_close(location: Location) {
    let (history, tasks) = open_at(location).await.unwrap();
    tasks.close().await;
    drop(history);
}

pub(crate) async fn open_with(
    location: Location,
    max_age: Option<Duration>,
    max_rows: Option<u64>,
) -> Result<(History, Tasks), Error> {
    let events = Events::default();
    let opening = History::open(Config { location, max_age, max_rows }, events.subscribe());
    soon("the history opens", opening).await
}

pub(crate) fn event(ms: u64, kind: EventKind) -> Event {
    Event::new(kind, UNIX_EPOCH + Duration::from_millis(NOON_MS + ms))
}

/// Records `count` events, two for each millisecond, and waits until they are written.
pub(crate) async fn fill(history: &History, count: u64) {
    for n in 0..count {
        let kind = if n % 10 == 0 { EventKind::Lost } else { EventKind::Live };
        let camera = ["front", "yard", "gate"][usize::try_from(n % 3).unwrap()];
        let event = event(n / 2, kind).with_camera(camera).with_text(format!("number {n}"));
        history.record(event).unwrap();
        // No more than fit into the queue while the disk is slow.
        if n % 5_000 == 4_999 {
            soon("the events are written", history.flushed()).await;
        }
    }
    soon("the events are written", history.flushed()).await;
}

pub(crate) type EventTable = Table<Rows, PlainPage>;

pub(crate) fn export(history: &History) -> EventTable {
    let writer = Writer::new(TableFormat::Csv, Compression::None, PlainPage::new("Events"));
    Table::new(history.rows(Query::default()), writer)
}

/// The error for which the history broke a table off.
pub(crate) fn cause(broken: TruncatedTable) -> Error {
    *broken.source.downcast().expect("an error of the history")
}

pub(crate) async fn next_piece(export: &mut EventTable) -> Option<Result<Bytes, TruncatedTable>> {
    soon("a piece of the table", export.next()).await
}

/// All events of `query`, read in pages of `limit`.
pub(crate) async fn all(history: &History, query: &Query, limit: usize) -> Vec<Entry> {
    let (mut entries, mut after) = (Vec::new(), None);
    loop {
        let (page, next) = soon("a page", history.page(query, after, limit)).await.unwrap();
        assert!(page.len() <= limit);
        let last = page.last().map(|entry| Key { at_ms: entry.at_ms, id: entry.id });
        entries.extend(page);
        if next.is_none() {
            return entries;
        }
        assert_eq!(next, last);
        after = next;
    }
}

pub(crate) fn query(order: Order, change: impl FnOnce(&mut Filter)) -> Query {
    let mut query = Query { order, ..Query::default() };
    change(&mut query.filter);
    query
}

pub(crate) async fn pages_of_any_length_give_each_event_once_in_its_order(place: impl Place) {
    let (history, _tasks) = open_at(place.location()).await.unwrap();
    fill(&history, 1_000).await;
    let oldest = all(&history, &query(Order::Oldest, |_| {}), 1000).await;
    assert_eq!(oldest.len(), 1_000);
    let ids: Vec<i64> = oldest.iter().map(|entry| entry.id).collect();
    assert!(ids.is_sorted(), "two events of a millisecond stand by their ids");
    for limit in [1, 7, 333, 1000] {
        let mut newest = all(&history, &query(Order::Newest, |_| {}), limit).await;
        newest.reverse();
        assert_eq!(newest, oldest, "{limit}");
    }
    let text = oldest[17].text.as_deref();
    assert_eq!((text, oldest[17].camera.as_deref()), (Some("number 17"), Some("gate")));
}

pub(crate) async fn a_page_of_long_texts_ends_early_and_the_next_one_goes_on(place: impl Place) {
    let (history, _tasks) = open_at(place.location()).await.unwrap();
    for n in 0..300 {
        let long = event(n, EventKind::Mark).with_text("🦀".repeat(1000)).with_count(n);
        history.record(long).unwrap();
    }
    soon("the events are written", history.flushed()).await;
    let (page, next) = history.page(&Query::default(), None, 1000).await.unwrap();
    assert!((50..150).contains(&page.len()), "{}", page.len());
    assert!(next.is_some());
    let everything = all(&history, &query(Order::Oldest, |_| {}), 1000).await;
    let counts: Vec<_> = everything.iter().map(|entry| entry.count.unwrap()).collect();
    assert_eq!(counts, (0..300).collect::<Vec<_>>());
}

pub(crate) async fn filters_give_what_fits_and_nothing_else(place: impl Place) {
    let (history, _tasks) = open_at(place.location()).await.unwrap();
    fill(&history, 600).await;
    history.record(event(10, EventKind::Started)).unwrap().written().await;
    let everything = all(&history, &query(Order::Oldest, |_| {}), 1000).await;
    let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
    let at = |ms: u64| Some(i64::try_from(NOON_MS + ms).unwrap());
    let changes: [&dyn Fn(&mut Filter); 7] = [
        &|filter| filter.cameras = names(&["yard"]),
        &|filter| filter.cameras = names(&["yard", "gate", "nobody"]),
        &|filter| filter.kinds = vec![EventKind::Lost],
        &|filter| filter.kinds = vec![EventKind::Lost, EventKind::Started],
        &|filter| {
            (filter.cameras, filter.kinds) = (names(&["front"]), vec![EventKind::Lost, EventKind::Live])
        },
        &|filter| (filter.from_ms, filter.to_ms) = (at(10), at(20)),
        &|filter| {
            (filter.cameras, filter.from_ms, filter.to_ms) = (names(&["front"]), at(100), at(200));
        },
    ];
    for (n, change) in changes.iter().enumerate() {
        for order in [Order::Oldest, Order::Newest] {
            let query = query(order, |filter| change(filter));
            let mut expected: Vec<Entry> =
                everything.iter().filter(|entry| query.filter.wants(&entry.by_ref())).cloned().collect();
            assert!(!expected.is_empty() && expected.len() < everything.len(), "{n}");
            if order == Order::Newest {
                expected.reverse();
            }
            for limit in [3, 1000] {
                assert_eq!(all(&history, &query, limit).await, expected, "{n} {order:?} {limit}");
            }
        }
    }
}

pub(crate) async fn texts_come_back_as_they_went_in(place: impl Place) {
    let (history, _tasks) = open_at(place.location()).await.unwrap();
    let texts = [
        "'; DROP TABLE events; --",
        "\" OR 1=1",
        "line\r\nbreak\ttab",
        "<script>",
        "😀é\u{202e}",
        "%s {} \\",
        "",
    ];
    for text in texts {
        let mut recorded =
            history.record(event(1, EventKind::Mark).with_camera(text).with_text(text)).unwrap();
        assert!(recorded.written().await);
    }
    let stored = all(&history, &query(Order::Oldest, |_| {}), 100).await;
    assert_eq!(stored.iter().map(|entry| entry.text.as_deref().unwrap()).collect::<Vec<_>>(), texts);
    for text in texts {
        let found =
            all(&history, &query(Order::Newest, |filter| filter.cameras = vec![text.to_owned()]), 10).await;
        assert_eq!(found.len(), 1, "{text}");
        assert_eq!(found[0].text.as_deref(), Some(text));
    }
}

pub(crate) async fn after_a_restart_all_is_there_and_no_id_is_given_twice(place: impl Place) {
    let mut highest = 0;
    for run in 1..=3 {
        let (history, tasks) = open_at(place.location()).await.unwrap();
        let name = format!("camera-{run}");
        assert!(!history.cameras().contains(&name));
        let recorded = history.record(event(run, EventKind::Live).with_camera(name.as_str())).unwrap();
        assert!(recorded.stored.entry.id > highest);
        highest = recorded.stored.entry.id;
        tasks.close().await;
        assert!(history.record(event(run, EventKind::Lost)).is_err(), "it is closed");
        drop(history);
        let (history, tasks) = open_at(place.location()).await.unwrap();
        assert!(history.cameras().contains(&name));
        let stored = all(&history, &query(Order::Oldest, |_| {}), 10).await;
        assert_eq!(stored.len(), usize::try_from(run).unwrap());
        assert_eq!(stored.last().unwrap().id, highest);
        tasks.close().await;
    }
}

pub(crate) async fn one_history_at_a_time_has_the_place(place: impl Place) {
    let (history, tasks) = open_at(place.location()).await.unwrap();
    let error = open_at(place.location()).await.map(drop).unwrap_err();
    assert!(matches!(error, Error::Locked { .. }), "{error}");
    assert!(error.to_string().contains("in use by another Framecast; stop that one"), "{error}");
    tasks.close().await;
    drop(history);
    open_at(place.location()).await.unwrap();
}

pub(crate) async fn what_is_too_old_or_too_much_goes(place: impl Place) {
    let location = place.location();
    {
        let (history, tasks) = open_at(location.clone()).await.unwrap();
        fill(&history, 12_000).await;
        tasks.close().await;
    }
    let (history, tasks) = open_with(location.clone(), None, Some(500)).await.unwrap();
    until_left(&history, 500).await;
    let stored = all(&history, &query(Order::Oldest, |_| {}), 1000).await;
    assert_eq!(stored[0].text.as_deref(), Some("number 11500"), "the oldest go first");
    tasks.close().await;
    drop(history);
    // At noon, and then 90 days later.
    let clock = driven::Driven::new(driven::START_MS + 20 * driven::DAY_MS);
    let (history, _tasks) = clock.open(location, None).await;
    clock.tell(&history, "recent").await;
    clock.pass(2 * driven::HOUR_MS).await;
    until_left(&history, 501).await;
    clock.forward(71 * driven::DAY_MS).await;
    // Two events are left: the recent one, and the one that reports the removals.
    until_left(&history, 2).await;
}

async fn until_left(history: &History, rows: usize) {
    let what = format!("{rows} events are left");
    until_async(&what, async || all(history, &Query::default(), 1000).await.len() == rows).await;
}

pub(crate) async fn a_table_has_all_events(place: impl Place) {
    let (history, _tasks) = open_at(place.location()).await.unwrap();
    fill(&history, 9_000).await;
    let mut export = export(&history);
    let mut csv = Vec::new();
    while let Some(piece) = export.next().await {
        csv.extend(piece.unwrap());
    }
    let csv = String::from_utf8(csv).unwrap();
    let mut lines = csv.lines();
    assert_eq!(lines.next(), Some("id,at,kind,camera,text,count"));
    let ids: Vec<i64> = lines.map(|line| line.split(',').next().unwrap().parse().unwrap()).collect();
    assert_eq!(ids.len(), 9_000);
    assert!(ids.is_sorted_by(|a, b| a > b), "the newest first, none twice");
}

pub(crate) async fn readers_that_pause_hold_up_nobody(place: impl Place) {
    let (history, _tasks) = open_at(place.location()).await.unwrap();
    fill(&history, 2_000).await;
    // More readers than the database has threads or connections for reading.
    let mut paused: Vec<Rows> = (0..10).map(|_| history.rows(Query::default())).collect();
    // At first each waits within a block, and then, all at the same moment, where it has asked for the next block.
    for count in [150, 200] {
        for rows in &mut paused {
            for _ in 0..count {
                soon("a row", rows.next()).await.unwrap().unwrap();
            }
        }
        assert_eq!(all(&history, &query(Order::Oldest, |_| {}), 1000).await.len(), 2_000);
    }
    for rows in paused {
        let ids: Vec<i64> = soon("the other rows", rows.map(|row| row.unwrap().entry().id).collect()).await;
        assert_eq!(ids.len(), 2_000 - 350);
        assert!(ids.is_sorted_by(|a, b| a > b), "the newest first, none twice");
    }
}

/// Remembers that a waker was used.
#[derive(Debug, Default)]
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

pub(crate) async fn the_next_block_is_read_while_rows_are_taken(place: impl Place) {
    let (history, _tasks) = open_at(place.location()).await.unwrap();
    fill(&history, 1_000).await;
    // If the machine is slow, the second block can be there before the first row is taken. That reader is not woken, so
    // the test tries again.
    for _ in 0..20 {
        let mut rows = history.rows(Query::default());
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(Arc::clone(&woken));
        let mut context = Context::from_waker(&waker);
        while rows.poll_next_unpin(&mut context).is_pending() {
            until("the first block has been read", || woken.0.swap(false, Ordering::Relaxed)).await;
        }
        // One row is taken, and nobody asks for another.
        let second = until("the second block has been read", || woken.0.load(Ordering::Relaxed));
        if cut_short(Duration::from_secs(1), second).await.is_some() {
            return;
        }
    }
    panic!("nobody reads the second block");
}

pub(crate) async fn a_listener_that_comes_back_misses_nothing_and_hears_nothing_twice(place: impl Place) {
    let (history, _tasks) = open_at(place.location()).await.unwrap();
    // More events than stay in memory, so that the listener must read the index.
    let total = 6_000;
    let writing = tokio::spawn({
        let history = history.clone();
        async move {
            for n in 0..total {
                history.record(event(n, EventKind::Live).with_count(n)).unwrap();
                if n % 50 == 0 {
                    pause(Duration::from_millis(1)).await;
                }
            }
        }
    });
    let (mut heard, mut after) = (Vec::new(), 0);
    let mut stays = 1;
    while heard.len() < usize::try_from(total).unwrap() {
        let mut listener = history.listen(Filter::default(), Some(after));
        for _ in 0..stays {
            if heard.len() == usize::try_from(total).unwrap() {
                break;
            }
            let stored = hear(&mut listener).await;
            after = stored.entry.id;
            heard.push(stored.entry.count.unwrap());
        }
        stays = stays * 7 % 1009;
    }
    writing.await.unwrap();
    assert_eq!(heard, (0..i64::try_from(total).unwrap()).collect::<Vec<_>>());
}

/// The next event.
async fn hear(listener: &mut Listener) -> Arc<StoredEvent> {
    match soon("an event", listener.next()).await {
        Some(Notification::Event(stored)) => stored,
        other => panic!("heard {other:?}"),
    }
}

pub(crate) async fn a_listener_is_told_that_events_are_not_kept_any_more(place: impl Place) {
    let location = place.location();
    let first = {
        let (history, tasks) = open_at(location.clone()).await.unwrap();
        fill(&history, 7_000).await;
        let first = all(&history, &query(Order::Oldest, |_| {}), 1).await[0].id;
        tasks.close().await;
        first
    };
    let (history, _tasks) = open_with(location, None, Some(100)).await.unwrap();
    until_left(&history, 100).await;
    let mut listener = history.listen(Filter::default(), Some(first));
    assert!(matches!(listener.next().await, Some(Notification::Missed)));
    let next = match listener.next().await {
        // The last rows may be gone from the database a moment before the history knows it.
        Some(Notification::Missed) => hear(&mut listener).await,
        Some(Notification::Event(stored)) => stored,
        other => panic!("heard {other:?}"),
    };
    assert_eq!(next.entry.text.as_deref(), Some("number 6900"), "and then what there is");
    assert_eq!(hear(&mut listener).await.entry.text.as_deref(), Some("number 6901"), "it is told once");
    let mut all_of_it = history.listen(Filter::default(), Some(0));
    assert_eq!(hear(&mut all_of_it).await.entry.text.as_deref(), Some("number 6900"));
}

pub(crate) async fn too_many_go_while_events_come_without_a_pause(place: impl Place) {
    let location = place.location();
    {
        let (history, tasks) = open_at(location.clone()).await.unwrap();
        fill(&history, 12_000).await;
        tasks.close().await;
    }
    let (history, _tasks) = open_with(location, None, Some(1_000)).await.unwrap();
    let is_over = Arc::new(AtomicBool::new(false));
    let telling = tokio::spawn({
        let (history, is_over) = (history.clone(), Arc::clone(&is_over));
        async move {
            while !is_over.load(Ordering::Relaxed) {
                // Events that do not fit are reported later.
                history.record(Event::new(EventKind::Controls, SystemTime::now())).ok();
                tokio::task::yield_now().await;
            }
        }
    });
    // The first five thousand old events are removed at once, at the start; the other old events while new ones come.
    let old = query(Order::Oldest, |filter| filter.kinds = vec![EventKind::Live, EventKind::Lost]);
    until_async("the old events are gone", async || all(&history, &old, 1000).await.is_empty()).await;
    is_over.store(true, Ordering::Relaxed);
    telling.await.unwrap();
}

pub(crate) async fn a_listener_hears_what_it_wants_from_now_on(place: impl Place) {
    let (history, _tasks) = open_at(place.location()).await.unwrap();
    fill(&history, 5).await;
    let filter = Filter { kinds: vec![EventKind::Mark], ..Filter::default() };
    let mut listener = history.listen(filter, None);
    history.record(event(0, EventKind::Live)).unwrap();
    history.record(event(0, EventKind::Mark).with_text("a fox")).unwrap();
    let stored = hear(&mut listener).await;
    assert_eq!(stored.entry.text.as_deref(), Some("a fox"));
    assert!(stored.json().starts_with(b"{\"id\":"));
}

/// Makes a test of each behaviour for the place that `$place` makes.
macro_rules! tests {
    ($place:expr) => {
        $crate::behaviour::tests!($place;
            pages_of_any_length_give_each_event_once_in_its_order
            a_page_of_long_texts_ends_early_and_the_next_one_goes_on
            filters_give_what_fits_and_nothing_else
            texts_come_back_as_they_went_in
            after_a_restart_all_is_there_and_no_id_is_given_twice
            one_history_at_a_time_has_the_place
            what_is_too_old_or_too_much_goes
            a_table_has_all_events
            readers_that_pause_hold_up_nobody
            the_next_block_is_read_while_rows_are_taken
            a_listener_that_comes_back_misses_nothing_and_hears_nothing_twice
            a_listener_hears_what_it_wants_from_now_on
            a_listener_is_told_that_events_are_not_kept_any_more
            too_many_go_while_events_come_without_a_pause
            a_clock_that_stays_a_year_ahead_takes_a_twentieth_an_hour_after_a_day
            a_year_ahead_from_hour_2_to_hour_25_takes_nothing
            a_year_ahead_at_the_start_takes_nothing_until_a_restart_with_the_right_time
            a_clock_that_was_right_while_all_was_kept_is_not_doubted_once_an_age_is_set
            a_restart_with_a_clock_that_is_still_a_year_ahead_takes_nothing
            events_of_a_run_a_year_ahead_do_not_make_the_next_one_rely_on_such_a_clock
            a_year_ahead_for_90_seconds_takes_nothing_and_what_came_then_gets_its_time
            a_machine_that_starts_100_days_behind_keeps_what_came_before_its_clock_was_set
            a_clock_that_is_set_again_and_again_has_all_events_in_their_right_order
            what_was_not_put_right_when_a_run_ended_is_put_right_by_the_next
            a_run_that_ends_while_times_are_put_right_moves_none_twice
            a_table_that_begins_while_times_are_put_right_waits_and_is_whole
            what_a_run_ended_with_is_not_believed_where_the_next_clock_contradicts_it
            a_clock_that_was_set_back_and_right_again_between_runs_moves_nothing
            events_of_this_run_go_by_the_time_that_it_lasts
            marks_do_not_push_out_what_happened
        );
    };
    ($place:expr; $($name:ident)*) => {
        $(
            #[tokio::test(flavor = "multi_thread")]
            async fn $name() {
                $crate::behaviour::$name($place).await;
            }
        )*
    };
}
pub(crate) use tests;
