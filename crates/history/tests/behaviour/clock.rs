//! Clocks that are wrong and then corrected: they must not cause anything irreversible.

use framecast_history::{Clock, Error, Filter, History, Order, Query};
use framecast_hub::EventKind;
use framecast_testkit::soon;
use futures_util::StreamExt;

use super::driven::{DAY_MS, Driven, HOUR_MS, MINUTE_MS, START_MS, YEAR_MS, at};
use super::{Place, all, cause, export, hear, query};

/// A run that recorded `rows` events, one for each minute before the start, and ended.
async fn an_earlier_run(place: &impl Place, clock: &Driven, rows: i64) {
    let (history, tasks) = clock.open(place.location(), None).await;
    for n in (0..rows).rev() {
        let event = at(START_MS - n * MINUTE_MS, EventKind::Lost).with_camera("front");
        while history.record(event.clone()).is_err() {
            soon("the events are written", history.flushed()).await;
        }
    }
    soon("the events are written", history.flushed()).await;
    tasks.close().await;
}

/// How many events of the earlier run are left.
async fn left(history: &History) -> usize {
    let lost = query(Order::Oldest, |filter| filter.kinds = vec![EventKind::Lost]);
    all(history, &lost, 1000).await.len()
}

pub(crate) async fn texts_and_times(history: &History) -> Vec<(String, i64)> {
    let live = query(Order::Oldest, |filter| filter.kinds = vec![EventKind::Live]);
    let entries = all(history, &live, 1000).await;
    entries.into_iter().map(|entry| (entry.text.unwrap(), entry.at_ms)).collect()
}

pub(crate) fn told(expected: &[(&str, i64)]) -> Vec<(String, i64)> {
    expected.iter().map(|(text, at_ms)| ((*text).to_owned(), *at_ms)).collect()
}

pub(crate) async fn a_clock_that_stays_a_year_ahead_takes_a_twentieth_an_hour_after_a_day(place: impl Place) {
    let clock = Driven::new(START_MS);
    an_earlier_run(&place, &clock, 24_000).await;
    let (history, _tasks) = clock.open(place.location(), None).await;
    clock.pass(2 * HOUR_MS).await;
    clock.set_by(YEAR_MS);
    clock.pass(24 * HOUR_MS - MINUTE_MS).await;
    assert_eq!(left(&history).await, 24_000, "up to the twenty-sixth hour");
    let mut before = 24_000;
    for hour in 26..29 {
        clock.pass(HOUR_MS).await;
        let after = left(&history).await;
        assert!(after < before && before - after <= before / 20, "hour {hour}: {before}, {after}");
        before = after;
    }
    // The first event reports the first removals; a day later another one reports all since then.
    let pruned = query(Order::Oldest, |filter| filter.kinds = vec![EventKind::Pruned]);
    let first = all(&history, &pruned, 10).await;
    assert_eq!(first.len(), 1, "{first:?}");
    assert!(first[0].text.as_deref().is_some_and(|text| text.starts_with("older than history_max_age (")));
    clock.pass(24 * HOUR_MS).await;
    soon("the events are written", history.flushed()).await;
    let both = all(&history, &pruned, 10).await;
    assert_eq!(both.len(), 2, "{both:?}");
    let told: i64 = both.iter().filter_map(|entry| entry.count).sum();
    let gone = 24_000 - i64::try_from(left(&history).await).unwrap();
    assert!(told > 3_000 && told <= gone, "told of {told}, {gone} went");
}

pub(crate) async fn a_year_ahead_from_hour_2_to_hour_25_takes_nothing(place: impl Place) {
    let clock = Driven::new(START_MS);
    an_earlier_run(&place, &clock, 3_000).await;
    let (history, _tasks) = clock.open(place.location(), None).await;
    clock.pass(2 * HOUR_MS).await;
    clock.tell(&history, "right").await;
    clock.set_by(YEAR_MS);
    clock.tell(&history, "wrong").await;
    clock.pass(23 * HOUR_MS).await;
    clock.set_by(-YEAR_MS);
    clock.tell(&history, "right again").await;
    clock.pass(48 * HOUR_MS).await;
    assert_eq!(left(&history).await, 3_000);
    let hours = |hours: i64| START_MS + hours * HOUR_MS;
    // After an hour all events were moved a year ahead, and then back again.
    let expected = [("right", hours(2)), ("wrong", hours(2)), ("right again", hours(25))];
    assert_eq!(texts_and_times(&history).await, told(&expected));
}

pub(crate) async fn a_year_ahead_at_the_start_takes_nothing_until_a_restart_with_the_right_time(
    place: impl Place,
) {
    let clock = Driven::new(START_MS);
    an_earlier_run(&place, &clock, 3_000).await;
    clock.set_by(YEAR_MS);
    {
        let (history, tasks) = clock.open(place.location(), None).await;
        clock.tell(&history, "a year ahead").await;
        clock.pass(23 * HOUR_MS).await;
        assert_eq!(left(&history).await, 3_000);
        tasks.close().await;
    }
    clock.set_by(-YEAR_MS);
    let (history, _tasks) = clock.open(place.location(), None).await;
    clock.pass(48 * HOUR_MS).await;
    assert_eq!(left(&history).await, 3_000);
    assert_eq!(texts_and_times(&history).await, told(&[("a year ahead", START_MS + YEAR_MS)]));
}

pub(crate) async fn a_clock_that_was_right_while_all_was_kept_is_not_doubted_once_an_age_is_set(
    place: impl Place,
) {
    let clock = Driven::new(START_MS);
    an_earlier_run(&place, &clock, 3_000).await;
    let (history, tasks) = clock.open_with(place.location(), None, None).await;
    clock.pass(2 * HOUR_MS).await;
    clock.forward(100 * DAY_MS).await;
    assert_eq!(left(&history).await, 3_000);
    tasks.close().await;
    drop(history);
    let (history, _tasks) = clock.open(place.location(), None).await;
    clock.pass(HOUR_MS + 10 * MINUTE_MS).await;
    assert_eq!(left(&history).await, 2_000);
}

pub(crate) async fn a_restart_with_a_clock_that_is_still_a_year_ahead_takes_nothing(place: impl Place) {
    let clock = Driven::new(START_MS);
    an_earlier_run(&place, &clock, 3_000).await;
    clock.set_by(YEAR_MS);
    for _ in 0..3 {
        let (history, tasks) = clock.open(place.location(), None).await;
        clock.tell(&history, "a year ahead").await;
        clock.pass(2 * HOUR_MS).await;
        assert_eq!(left(&history).await, 3_000);
        tasks.close().await;
    }
}

pub(crate) async fn events_of_a_run_a_year_ahead_do_not_make_the_next_one_rely_on_such_a_clock(
    place: impl Place,
) {
    let clock = Driven::new(START_MS);
    an_earlier_run(&place, &clock, 3_000).await;
    // A whole run whose times stay as they are.
    clock.set_by(YEAR_MS);
    let (history, tasks) = clock.open(place.location(), None).await;
    clock.tell(&history, "a year ahead").await;
    clock.pass(5 * HOUR_MS).await;
    tasks.close().await;
    drop(history);
    clock.set_by(-YEAR_MS);
    let (history, tasks) = clock.open(place.location(), None).await;
    clock.pass(2 * HOUR_MS).await;
    clock.set_by(YEAR_MS);
    clock.pass(3 * HOUR_MS).await;
    assert_eq!(left(&history).await, 3_000);
    tasks.close().await;
    drop(history);
    let (history, _tasks) = clock.open(place.location(), None).await;
    clock.pass(3 * HOUR_MS).await;
    assert_eq!(left(&history).await, 3_000);
}

pub(crate) async fn a_year_ahead_for_90_seconds_takes_nothing_and_what_came_then_gets_its_time(
    place: impl Place,
) {
    let clock = Driven::new(START_MS);
    an_earlier_run(&place, &clock, 3_000).await;
    let (history, _tasks) = clock.open(place.location(), None).await;
    let before = clock.tell(&history, "before").await;
    clock.pass(3 * HOUR_MS).await;
    clock.set_by(YEAR_MS);
    clock.tell(&history, "a year ahead").await;
    clock.pass(90_000).await;
    clock.set_by(-YEAR_MS);
    let after_ms = clock.now().wall_ms;
    clock.tell(&history, "after").await;
    clock.pass(HOUR_MS - MINUTE_MS).await;
    let hours_3 = START_MS + 3 * HOUR_MS;
    let wrong = [("before", START_MS), ("after", after_ms), ("a year ahead", hours_3 + YEAR_MS)];
    assert_eq!(texts_and_times(&history).await, told(&wrong), "the hour is not over");
    clock.pass(5 * MINUTE_MS).await;
    let right = [("before", START_MS), ("a year ahead", hours_3), ("after", after_ms)];
    assert_eq!(texts_and_times(&history).await, told(&right));
    // Listeners get the same.
    let mut listener = history.listen(Filter::default(), Some(before));
    let stored = hear(&mut listener).await;
    assert_eq!((stored.entry.text.as_deref(), stored.entry.at_ms), (Some("a year ahead"), hours_3));
    assert!(String::from_utf8_lossy(stored.json()).contains(r#""at":"2026-11-23T"#), "{stored:?}");
    clock.pass(48 * HOUR_MS).await;
    assert_eq!(left(&history).await, 3_000);
}

pub(crate) async fn a_machine_that_starts_100_days_behind_keeps_what_came_before_its_clock_was_set(
    place: impl Place,
) {
    let clock = Driven::new(START_MS);
    an_earlier_run(&place, &clock, 10).await;
    clock.set_by(-100 * DAY_MS);
    let (history, _tasks) = clock.open(place.location(), None).await;
    clock.tell(&history, "first").await;
    // More events than are moved at once.
    for _ in 0..6_000 {
        history.record(at(clock.now().wall_ms, EventKind::Controls)).unwrap();
    }
    soon("the events are written", history.flushed()).await;
    clock.pass(10 * MINUTE_MS).await;
    clock.tell(&history, "second").await;
    clock.set_by(100 * DAY_MS);
    clock.tell(&history, "set by NTP").await;
    clock.pass(HOUR_MS - MINUTE_MS).await;
    // A table that is being read while times are corrected would miss some events.
    let mut table = export(&history);
    for _ in 0..2 {
        table.next().await.unwrap().unwrap();
    }
    clock.pass(40 * HOUR_MS).await;
    let minutes_10 = START_MS + 10 * MINUTE_MS;
    let expected = [("first", START_MS), ("second", minutes_10), ("set by NTP", minutes_10)];
    assert_eq!(texts_and_times(&history).await, told(&expected));
    let from_start = query(Order::Newest, |filter| filter.from_ms = Some(START_MS));
    assert_eq!(all(&history, &from_start, 1000).await.len(), 6_003 + 1, "one of the earlier run");
    let ended = loop {
        match table.next().await {
            Some(Ok(_)) => {}
            Some(Err(broken)) => break cause(broken),
            None => panic!("the table ends as if it were whole"),
        }
    };
    assert!(matches!(ended, Error::Corrected), "{ended}");
    assert!(all(&history, &Query::default(), 1000).await.is_sorted_by(|a, b| a.at_ms >= b.at_ms));
}

pub(crate) async fn a_clock_that_is_set_again_and_again_has_all_events_in_their_right_order(
    place: impl Place,
) {
    let clock = Driven::new(START_MS - 100 * DAY_MS);
    let (history, _tasks) = clock.open(place.location(), None).await;
    let mut right = Vec::new();
    let told_of = [("100 days behind", 100), ("a day behind", 1), ("two days behind", 2), ("right", 0)];
    let mut behind_days = 100;
    for (text, days) in told_of {
        clock.set_by((behind_days - days) * DAY_MS);
        behind_days = days;
        right.push((text, clock.now().wall_ms + days * DAY_MS));
        clock.tell(&history, text).await;
        clock.pass(10 * MINUTE_MS).await;
    }
    clock.pass(HOUR_MS + 10 * MINUTE_MS).await;
    assert_eq!(texts_and_times(&history).await, told(&right));
}

pub(crate) async fn what_was_not_put_right_when_a_run_ended_is_put_right_by_the_next(place: impl Place) {
    let clock = Driven::new(START_MS - 100 * DAY_MS);
    {
        let (history, tasks) = clock.open(place.location(), None).await;
        clock.tell(&history, "behind").await;
        clock.pass(5 * MINUTE_MS).await;
        clock.set_by(100 * DAY_MS);
        clock.pass(5 * MINUTE_MS).await;
        tasks.close().await;
    }
    let (history, _tasks) = clock.open(place.location(), None).await;
    clock.pass(HOUR_MS - MINUTE_MS).await;
    assert_eq!(texts_and_times(&history).await, told(&[("behind", START_MS - 100 * DAY_MS)]));
    clock.pass(40 * HOUR_MS).await;
    assert_eq!(texts_and_times(&history).await, told(&[("behind", START_MS)]));
}

pub(crate) async fn a_run_that_ends_while_times_are_put_right_moves_none_twice(place: impl Place) {
    let clock = Driven::new(START_MS - 100 * DAY_MS);
    {
        let (history, tasks) = clock.open(place.location(), None).await;
        for n in 0..6_000 {
            history.record(at(clock.now().wall_ms, EventKind::Lost).with_count(n)).unwrap();
        }
        soon("the events are written", history.flushed()).await;
        clock.pass(5 * MINUTE_MS).await;
        clock.set_by(100 * DAY_MS);
        clock.pass(5 * MINUTE_MS).await;
        clock.wake_after(HOUR_MS).await;
        tasks.close().await;
        let right = query(Order::Oldest, |filter| filter.from_ms = Some(START_MS));
        assert_eq!(all(&history, &right, 1000).await.len(), 5_000, "the first step is made");
    }
    let (history, _tasks) = clock.open(place.location(), None).await;
    clock.pass(2 * HOUR_MS).await;
    let lost = query(Order::Oldest, |filter| filter.kinds = vec![EventKind::Lost]);
    let entries = all(&history, &lost, 1000).await;
    assert!(entries.iter().all(|entry| entry.at_ms == START_MS));
    let counts: Vec<i64> = entries.iter().filter_map(|entry| entry.count).collect();
    assert_eq!(counts, (0..6_000).collect::<Vec<i64>>());
}

pub(crate) async fn a_table_that_begins_while_times_are_put_right_waits_and_is_whole(place: impl Place) {
    let clock = Driven::new(START_MS - 100 * DAY_MS);
    let (history, _tasks) = clock.open(place.location(), None).await;
    for n in 0..6_000 {
        history.record(at(clock.now().wall_ms, EventKind::Lost).with_count(n)).unwrap();
    }
    soon("the events are written", history.flushed()).await;
    clock.pass(5 * MINUTE_MS).await;
    clock.set_by(100 * DAY_MS);
    clock.pass(5 * MINUTE_MS).await;
    clock.wake_after(HOUR_MS).await;
    // The first step is done, and the second is not.
    let mut table = export(&history);
    let head = table.next().await.unwrap().unwrap();
    let reading = tokio::spawn(async move {
        let mut text = head.to_vec();
        while let Some(piece) = table.next().await {
            text.extend(piece.unwrap());
        }
        String::from_utf8(text).unwrap()
    });
    tokio::task::yield_now().await;
    assert!(!reading.is_finished(), "it waits");
    clock.pass(10 * MINUTE_MS).await;
    let text = reading.await.unwrap();
    assert_eq!(text.lines().count(), 6_001);
    assert!(text.lines().skip(1).all(|line| line.contains("2026-11-23T")), "by the right clock");
}

pub(crate) async fn what_a_run_ended_with_is_not_believed_where_the_next_clock_contradicts_it(
    place: impl Place,
) {
    let clock = Driven::new(START_MS);
    {
        let (history, tasks) = clock.open(place.location(), None).await;
        clock.tell(&history, "right").await;
        clock.pass(5 * MINUTE_MS).await;
        clock.set_by(YEAR_MS);
        clock.pass(5 * MINUTE_MS).await;
        tasks.close().await;
    }
    clock.set_by(-YEAR_MS);
    for _ in 0..2 {
        let (history, tasks) = clock.open(place.location(), None).await;
        clock.pass(40 * HOUR_MS).await;
        assert_eq!(texts_and_times(&history).await, told(&[("right", START_MS)]));
        tasks.close().await;
    }
}

pub(crate) async fn a_clock_that_was_set_back_and_right_again_between_runs_moves_nothing(place: impl Place) {
    let clock = Driven::new(START_MS);
    let (history, tasks) = clock.open(place.location(), None).await;
    clock.tell(&history, "right").await;
    clock.pass(50 * HOUR_MS).await;
    clock.set_by(-DAY_MS);
    clock.tell(&history, "a day behind").await;
    let behind_ms = clock.now().wall_ms;
    clock.pass(5 * MINUTE_MS).await;
    tasks.close().await;
    drop(history);
    clock.set_by(DAY_MS);
    let (history, _tasks) = clock.open(place.location(), None).await;
    clock.pass(3 * HOUR_MS).await;
    assert_eq!(texts_and_times(&history).await, told(&[("right", START_MS), ("a day behind", behind_ms)]));
}

pub(crate) async fn events_of_this_run_go_by_the_time_that_it_lasts(place: impl Place) {
    let clock = Driven::new(START_MS);
    let (history, _tasks) = clock.open(place.location(), None).await;
    clock.tell(&history, "old").await;
    // An event of this run, whatever its time says.
    history.record(at(START_MS - 200 * DAY_MS, EventKind::Live).with_text("early")).unwrap();
    soon("the events are written", history.flushed()).await;
    clock.pass(2 * HOUR_MS).await;
    assert_eq!(texts_and_times(&history).await.len(), 2);
    clock.forward(89 * DAY_MS).await;
    clock.tell(&history, "young").await;
    assert_eq!(texts_and_times(&history).await.len(), 3);
    clock.forward(DAY_MS).await;
    assert_eq!(texts_and_times(&history).await, told(&[("young", START_MS + 89 * DAY_MS + 2 * HOUR_MS)]));
}

pub(crate) async fn marks_do_not_push_out_what_happened(place: impl Place) {
    let clock = Driven::new(START_MS);
    let (history, _tasks) = clock.open(place.location(), Some(1_000)).await;
    let record = async |kind: EventKind, count: usize| {
        for n in 0..count {
            let text = n.to_string();
            history.record(at(clock.now().wall_ms, kind).with_camera("front").with_text(text)).unwrap();
        }
        soon("the events are written", history.flushed()).await;
        clock.pass(MINUTE_MS).await;
    };
    let of = async |kind: EventKind| {
        let query = query(Order::Oldest, |filter| filter.kinds = vec![kind]);
        let entries = all(&history, &query, 1000).await;
        (entries.len(), entries.first().and_then(|entry| entry.text.clone()).unwrap_or_default())
    };
    record(EventKind::Lost, 300).await;
    record(EventKind::Mark, 3_000).await;
    assert_eq!(of(EventKind::Lost).await, (300, "0".to_owned()));
    assert_eq!(of(EventKind::Mark).await, (700, "2300".to_owned()), "the oldest marks went");
    record(EventKind::Lost, 500).await;
    assert_eq!((of(EventKind::Lost).await.0, of(EventKind::Mark).await.0), (800, 200));
    record(EventKind::Lost, 200).await;
    assert_eq!((of(EventKind::Lost).await.0, of(EventKind::Mark).await.0), (900, 100), "a tenth stays");
    clock.pass(MINUTE_MS).await;
    record(EventKind::Stalled, 200).await;
    // From then on the oldest events are removed, of any kind.
    let rest = of(EventKind::Lost).await.0 + of(EventKind::Mark).await.0;
    assert_eq!((rest, of(EventKind::Stalled).await.0), (800, 200));
}
