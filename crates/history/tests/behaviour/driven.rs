//! Clocks that a test drives, through days in milliseconds.

use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use framecast_history::{Clock, ClockReading, Config, History, Location, Tasks};
use framecast_hub::{Event, EventKind, Events};
use tokio::sync::watch;

pub(crate) const MINUTE_MS: i64 = 60_000;
pub(crate) const HOUR_MS: i64 = 60 * MINUTE_MS;
pub(crate) const DAY_MS: i64 = 24 * HOUR_MS;
pub(crate) const YEAR_MS: i64 = 365 * DAY_MS;

/// The right time at the start of each test.
pub(crate) const START_MS: i64 = 1_795_442_400_000;

/// The default of `history_max_age`.
pub(crate) const MAX_AGE: Duration = Duration::from_secs(90 * 86_400);

/// Both clocks of a machine. All clones share them.
#[derive(Debug, Clone)]
pub(crate) struct Driven(Arc<Clocks>);

#[derive(Debug)]
struct Clocks {
    now: watch::Sender<ClockReading>,
    /// The time until which the history sleeps.
    sleeps_until: watch::Sender<i64>,
}

impl Clock for Driven {
    fn now(&self) -> ClockReading {
        *self.0.now.borrow()
    }

    fn sleep_until(&self, boot_ms: i64) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        let mut now = self.0.now.subscribe();
        self.0.sleeps_until.send_replace(boot_ms);
        Box::pin(async move {
            now.wait_for(|now| now.boot_ms >= boot_ms).await.ok();
        })
    }
}

impl Driven {
    /// A machine that has just started, whose wall clock shows `wall_ms`.
    pub(crate) fn new(wall_ms: i64) -> Self {
        let now = watch::Sender::new(ClockReading { wall_ms, boot_ms: 0 });
        Self(Arc::new(Clocks { now, sleeps_until: watch::Sender::new(0) }))
    }

    /// Sets the wall clock ahead, or back.
    pub(crate) fn set_by(&self, ms: i64) {
        self.0.now.send_modify(|now| now.wall_ms += ms);
    }

    /// Waits until the history has done everything that was due, and sleeps; returns until when.
    async fn settled(&self) -> i64 {
        let now_ms = self.now().boot_ms;
        let mut sleeps = self.0.sleeps_until.subscribe();
        *sleeps.wait_for(|until_ms| *until_ms > now_ms).await.unwrap()
    }

    fn forward_to(&self, boot_ms: i64) {
        self.0.now.send_modify(|now| {
            now.wall_ms += boot_ms - now.boot_ms;
            now.boot_ms = boot_ms;
        });
    }

    /// Lets `ms` pass in steps of ten minutes, or to the next due time if that is later. Then waits until everything
    /// due at that moment is done.
    pub(crate) async fn pass(&self, ms: i64) {
        let end_ms = self.now().boot_ms + ms;
        while self.now().boot_ms < end_ms {
            let next_ms = self.settled().await.max(self.now().boot_ms + 10 * MINUTE_MS);
            self.forward_to(next_ms.min(end_ms));
        }
        // Remaining work is due within moments, and the next reading of the clock in a minute.
        loop {
            let until_ms = self.settled().await;
            if until_ms - self.now().boot_ms >= MINUTE_MS / 2 {
                return;
            }
            self.forward_to(until_ms);
        }
    }

    /// Lets `ms` pass at once, as if the machine slept; then waits until everything due is done.
    pub(crate) async fn forward(&self, ms: i64) {
        self.wake_after(ms).await;
        self.pass(0).await;
    }

    /// Lets `ms` pass at once; then waits until the first due task is done.
    pub(crate) async fn wake_after(&self, ms: i64) {
        self.settled().await;
        self.forward_to(self.now().boot_ms + ms);
        self.settled().await;
    }

    pub(crate) async fn open(&self, location: Location, max_rows: Option<u64>) -> (History, Tasks) {
        self.open_with(location, Some(MAX_AGE), max_rows).await
    }

    pub(crate) async fn open_with(
        &self,
        location: Location,
        max_age: Option<Duration>,
        max_rows: Option<u64>,
    ) -> (History, Tasks) {
        self.begin();
        let settings = Config { location, max_age, max_rows };
        let events = Events::default();
        History::open_with_clock(settings, events.subscribe(), Arc::new(self.clone())).await.unwrap()
    }

    /// The same in memory, until the database at `location` can be opened.
    pub(crate) async fn open_in_memory(&self, location: Location, max_age: Duration) -> (History, Tasks) {
        self.begin();
        let settings = Config { location, max_age: Some(max_age), max_rows: None };
        let (events, clock) = (Events::default(), Arc::new(self.clone()));
        History::open_in_memory_with_clock(settings, events.subscribe(), clock).await.unwrap()
    }

    /// A run begins: the one before may have left this clock asleep.
    fn begin(&self) {
        self.0.sleeps_until.send_replace(0);
    }

    /// Records an event by the wall clock, and waits until it is written.
    pub(crate) async fn tell(&self, history: &History, text: &str) -> i64 {
        let event = at(self.now().wall_ms, EventKind::Live).with_camera("front").with_text(text);
        let mut recorded = history.record(event).unwrap();
        assert!(recorded.written().await);
        recorded.stored.entry.id
    }
}

pub(crate) fn at(ms: i64, kind: EventKind) -> Event {
    Event::new(kind, UNIX_EPOCH + Duration::from_millis(ms.unsigned_abs()))
}
