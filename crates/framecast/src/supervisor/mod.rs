//! A camera's life: idle → opening → live → lost → live, and idle again when nobody watches.
//!
//! [`Supervisor::run`] is the only retry policy; `run_once` is one opening of the camera, from the first byte to the
//! last. Driver code runs on the [`reader`]'s thread, never here, so that a driver that blocks or panics hurts
//! nobody else.

mod backoff;
mod notice;
mod passage;
mod reader;
mod throttle;

use std::future::pending;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use framecast_drivers::Capture;
use framecast_hub::{Event, EventKind, Feed, State, Stats, Status};
use framecast_media::Frame;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tracing::{Instrument, debug, info, info_span, warn};

use crate::camera::Camera;
use crate::config::CameraSettings;
use crate::reason::one_line;
use backoff::Backoff;
use notice::Notices;
use passage::Passage;
use reader::{Reader, Report};

/// How long a driver may take to let go of its device before the camera goes on without it.
const CLOSE_TIMEOUT: Duration = Duration::from_millis(1500);

/// How many threads of one camera may hang in a driver before no more are started.
const MAX_STUCK_READERS: usize = 4;

/// The task that keeps one camera open while someone watches.
pub(crate) struct Supervisor {
    camera: Arc<Camera>,
    feed: Arc<Feed>,
    settings: CameraSettings,
    shutdown: CancellationToken,
    demand: watch::Receiver<usize>,
    notices: Notices,
    /// Readers whose driver did not let go in time.
    stuck: Vec<Reader>,
}

/// How one opening of the camera ended.
enum Outcome {
    /// Nobody watched for `idle_timeout`; how long it had been live.
    Unwatched { live_for: Duration },
    /// The server shuts down.
    Shutdown,
    /// It failed for this reason; how long it had been live, and whether trying again soon can help.
    Failed { reason: String, live_for: Duration, is_transient: bool },
}

impl Supervisor {
    pub(crate) fn new(camera: Arc<Camera>, shutdown: CancellationToken) -> Self {
        let (feed, settings) = (Arc::clone(&camera.feed), camera.settings.clone());
        let demand = feed.demand();
        let notices = Notices::new(Arc::clone(&feed));
        Self { camera, feed, settings, shutdown, demand, notices, stuck: Vec::new() }
    }

    /// Runs until shutdown.
    pub(crate) async fn run(mut self) {
        let span = info_span!("camera", id = self.feed.name());
        async {
            let mut backoff = Backoff::default();
            while self.wait_for_viewer().await {
                match self.run_once().await {
                    Outcome::Shutdown => break,
                    Outcome::Unwatched { live_for } => {
                        backoff.succeeded_for(live_for);
                        self.go_idle();
                    }
                    Outcome::Failed { reason, live_for, is_transient } => {
                        backoff.succeeded_for(live_for);
                        let delay = if is_transient {
                            backoff.next_delay(fastrand::f64())
                        } else {
                            Backoff::longest()
                        };
                        if !self.wait_lost(reason, delay, &mut backoff).await {
                            self.go_idle();
                        }
                    }
                }
            }
            self.feed.end();
        }
        .instrument(span)
        .await;
    }

    /// Waits until someone watches; false at shutdown.
    async fn wait_for_viewer(&mut self) -> bool {
        if self.settings.idle_timeout.is_none() {
            return !self.shutdown.is_cancelled();
        }
        let is_unwatched = *self.demand.borrow() == 0 && !self.shutdown.is_cancelled();
        if is_unwatched && self.feed.status().state != State::Idle {
            // The last viewer left just as a lost camera was to be tried again.
            self.go_idle();
        }
        tokio::select! {
            biased;
            () = self.shutdown.cancelled() => false,
            watched = self.demand.wait_for(|viewers| *viewers > 0) => watched.is_ok(),
        }
    }

    /// One opening of the camera.
    async fn run_once(&mut self) -> Outcome {
        self.stuck.retain_mut(|reader| !reader.has_ended());
        if self.stuck.len() >= MAX_STUCK_READERS {
            let reason =
                format!("the driver hangs in {} threads; waiting for one to return", self.stuck.len());
            self.mark_lost(&reason);
            return Outcome::Failed { reason, live_for: Duration::ZERO, is_transient: true };
        }
        // A lost camera stays lost until a frame comes, and its attempts do not fill the log.
        if self.feed.status().state == State::Lost {
            debug!(source = %self.settings.source, "trying again");
        } else {
            info!(source = %self.settings.source, "opening");
            self.feed.set_status(Status::new(State::Opening, SystemTime::now()));
        }
        let mut reader = match Reader::spawn(&self.camera) {
            Ok(reader) => reader,
            Err(error) => {
                let reason = format!("cannot start a thread: {error}");
                self.mark_lost(&reason);
                return Outcome::Failed { reason, live_for: Duration::ZERO, is_transient: true };
            }
        };
        let outcome = self.read(&mut reader).await;
        reader.passage().close();
        if let Outcome::Failed { reason, .. } = &outcome {
            // Before the device is closed, which may take a while: its last picture must not pass for live.
            self.mark_lost(reason);
        }
        self.close(reader).await;
        outcome
    }

    /// Publishes what the reader reports until the camera fails or is no longer wanted.
    async fn read(&mut self, reader: &mut Reader) -> Outcome {
        let mut opening = Opening::new(self.feed.stats().broken);
        self.notices.begin_opening();
        loop {
            let (viewers, was_asked) = self.viewers();
            opening.note_viewers(viewers, was_asked, Instant::now());
            opening.note_passed(reader.passage().passed_at());
            let idle_at = opening.idle_at(&self.settings);
            let stalled_at = opening.stalled_at(&self.settings);
            let quiet_at = opening.quiet_at(&self.settings);
            let status = self.feed.status();
            tokio::select! {
                biased;
                () = self.shutdown.cancelled() => return Outcome::Shutdown,
                report = reader.next() => {
                    let is_frame = matches!(report, Some(Report::Frame(_)));
                    if let Some(outcome) = self.take(report, &mut opening) {
                        return outcome;
                    }
                    if is_frame {
                        reader.passage().published();
                        reader.passage().open();
                    }
                }
                // Marked again, for the look at the top of the loop.
                _ = self.demand.changed() => self.demand.mark_changed(),
                () = sleep_until_some(idle_at) => {
                    return Outcome::Unwatched { live_for: opening.live_for() };
                }
                () = sleep_until_some(stalled_at) => {
                    if opening.has_passed(reader.passage()) {
                        continue;
                    }
                    let reason = opening.stall_reason(&self.settings, &self.feed.stats());
                    if status.reason.as_ref() != Some(&reason) {
                        self.tell(EventKind::Stalled, Some(&reason));
                    }
                    return Outcome::Failed { reason, live_for: opening.live_for(), is_transient: true };
                }
                () = sleep_until_some(quiet_at), if !opening.is_quiet => {
                    if !opening.has_passed(reader.passage()) {
                        opening.is_quiet = true;
                        self.notices.begin();
                    }
                }
                () = self.notices.show(&status), if opening.is_quiet && viewers > 0 => {}
            }
        }
    }

    /// Takes one report; an outcome ends this opening.
    fn take(&mut self, report: Option<Report>, opening: &mut Opening) -> Option<Outcome> {
        match report {
            Some(Report::Opened { longest_pause }) => {
                opening.longest_pause = longest_pause;
                opening.last_sign = Instant::now();
                self.feed.count_opened();
                // As in the log: a lost camera stays lost until a frame comes.
                if self.feed.status().state != State::Lost {
                    self.tell(EventKind::Opened, None);
                }
                None
            }
            Some(Report::Capture(capture)) => {
                log_capture(&capture);
                self.camera.set_capture(Some(capture));
                None
            }
            Some(Report::Frame(frame)) => {
                self.publish(frame, opening);
                None
            }
            Some(Report::Ended(result)) => {
                let (reason, is_transient) = match result {
                    Ok(()) => ("the source has ended".to_owned(), true),
                    Err(error) => (one_line(&error), error.is_transient()),
                };
                Some(Outcome::Failed { reason, live_for: opening.live_for(), is_transient })
            }
            None => {
                let reason = "the driver's thread ended without a word".to_owned();
                Some(Outcome::Failed { reason, live_for: opening.live_for(), is_transient: true })
            }
        }
    }

    fn publish(&mut self, frame: Frame, opening: &mut Opening) {
        let now = Instant::now();
        opening.last_sign = now;
        opening.frames += 1;
        if opening.is_quiet {
            opening.is_quiet = false;
            self.notices.end();
        }
        let format = Arc::clone(&frame.format);
        // Published first: whoever sees the camera live finds a picture of this opening.
        self.feed.publish(frame);
        if opening.live_since.is_none() {
            opening.live_since = Some(now);
            info!(width = format.width_px, height = format.height_px, "live");
            self.feed.set_status(Status::new(State::Live, SystemTime::now()));
            self.tell(EventKind::Live, None);
        }
    }

    /// How many watch now, and whether anyone has come since this was asked last, if only for one picture.
    fn viewers(&mut self) -> (usize, bool) {
        let was_asked = self.demand.has_changed().unwrap_or(false);
        (*self.demand.borrow_and_update(), was_asked)
    }

    /// Ends the reader and waits a moment for its driver to let go of the device.
    async fn close(&mut self, mut reader: Reader) {
        let was_opened = reader.was_opened();
        reader.cancel();
        if timeout(CLOSE_TIMEOUT, reader.ended()).await.is_err() {
            warn!("the driver does not let go of its device; going on without it");
            self.stuck.push(reader);
        }
        if was_opened {
            self.feed.count_closed();
        }
    }

    fn go_idle(&mut self) {
        info!("idle");
        self.feed.suspend();
        // What is still being drawn must not be the first thing that the next viewer sees.
        self.notices.end();
        self.feed.set_status(Status::new(State::Idle, SystemTime::now()));
        self.tell(EventKind::Closed, None);
    }

    /// Tells whoever keeps events that this happened to the camera.
    fn tell(&self, kind: EventKind, text: Option<&str>) {
        self.feed.tell(Event { text: text.map(str::to_owned), ..Event::new(kind, SystemTime::now()) });
    }

    /// Tells viewers and the log that the camera is lost.
    fn mark_lost(&mut self, reason: &str) {
        let earlier = self.feed.status();
        if earlier.reason.as_deref() == Some(reason) {
            debug!(%reason, "still lost");
        } else {
            warn!(%reason, "lost");
            self.tell(EventKind::Lost, Some(reason));
        }
        let since = if earlier.state == State::Lost { earlier.since } else { SystemTime::now() };
        let reason = Some(reason.to_owned());
        self.feed.set_status(Status { state: State::Lost, since, reason, next_try: None });
        self.feed.suspend();
        self.notices.begin();
    }

    /// Waits for the next attempt, with notices to whoever watches; false when nobody has watched for
    /// `idle_timeout`.
    async fn wait_lost(&mut self, reason: String, delay: Duration, backoff: &mut Backoff) -> bool {
        debug!(retry_in = ?delay, "waiting");
        let next_try = Some(SystemTime::now() + delay);
        let status = Status { reason: Some(reason), next_try, ..self.feed.status() };
        self.feed.set_status(status.clone());
        let retry_at = Instant::now() + delay;
        let mut unwatched_since = None;
        let mut until_back = pin!(until_back(Arc::clone(&self.camera)));
        loop {
            let (viewers, was_asked) = self.viewers();
            unwatched_since = unwatched(unwatched_since, viewers, was_asked, Instant::now());
            let idle_at =
                self.settings.idle_timeout.zip(unwatched_since).map(|(timeout, since)| since + timeout);
            tokio::select! {
                () = self.shutdown.cancelled() => return true,
                // With nobody to show it to, a camera is not tried again but becomes idle.
                () = sleep_until(retry_at), if viewers > 0 || self.settings.idle_timeout.is_none() => {
                    self.feed.set_status(Status { next_try: None, ..status });
                    return true;
                }
                () = &mut until_back => {
                    info!("the device is back");
                    *backoff = Backoff::default();
                    self.feed.set_status(Status { next_try: None, ..status });
                    // With nobody to show it to, it is not lost any more, but idle.
                    return viewers > 0 || self.settings.idle_timeout.is_none();
                }
                () = sleep_until_some(idle_at) => return false,
                // Marked again, for the look at the top of the loop.
                _ = self.demand.changed() => self.demand.mark_changed(),
                () = self.notices.show(&status), if viewers > 0 => {}
            }
        }
    }
}

/// Waits for the device of a lost camera, in a task of its own: of a driver that panics there nothing more is heard.
async fn until_back(camera: Arc<Camera>) {
    let waiting = AbortOnDropHandle::new(tokio::spawn(async move {
        match camera.drivers.find(&camera.settings.source) {
            Ok(driver) => driver.until_back(&camera.settings.source).await,
            Err(_) => pending().await,
        }
    }));
    if waiting.await.is_err() {
        pending().await
    }
}

/// Says what the device gave, and what it was asked for where that is something else.
fn log_capture(capture: &Capture) {
    let Capture { device, given, asked } = capture;
    if given.differs_from(asked) {
        info!(%device, %given, %asked, "the device gave something else than it was asked for");
    } else {
        info!(%device, %given, "capturing");
    }
}

/// What one opening of the camera has brought so far.
struct Opening {
    live_since: Option<Instant>,
    /// When the source last showed that it lives: it opened, or yielded a frame.
    last_sign: Instant,
    longest_pause: Duration,
    unwatched_since: Option<Instant>,
    /// Whether notices are shown: no frame has come yet, or none for a while.
    is_quiet: bool,
    frames: u64,
    /// How many broken pictures the camera had had before.
    broken_before: u64,
}

impl Opening {
    fn new(broken_before: u64) -> Self {
        Self {
            live_since: None,
            last_sign: Instant::now(),
            longest_pause: Duration::ZERO,
            unwatched_since: None,
            is_quiet: true,
            frames: 0,
            broken_before,
        }
    }

    fn note_viewers(&mut self, viewers: usize, was_asked: bool, now: Instant) {
        self.unwatched_since = unwatched(self.unwatched_since, viewers, was_asked, now);
    }

    /// Notes when the last frame went to the viewers by itself.
    fn note_passed(&mut self, passed_at: Option<Instant>) {
        self.last_sign = passed_at.map_or(self.last_sign, |passed_at| passed_at.max(self.last_sign));
    }

    /// Whether a frame has gone to the viewers by itself since the last sign. Otherwise the passage is closed now: what
    /// follows is decided about a camera that is silent.
    fn has_passed(&mut self, passage: &Passage) -> bool {
        let before = self.last_sign;
        passage.close();
        self.note_passed(passage.passed_at());
        if self.last_sign > before {
            passage.open();
        }
        self.last_sign > before
    }

    fn idle_at(&self, settings: &CameraSettings) -> Option<Instant> {
        settings.idle_timeout.zip(self.unwatched_since).map(|(timeout, since)| since + timeout)
    }

    /// When the camera counts as stalled; never for one whose pauses only the outside world bounds.
    fn stalled_at(&self, settings: &CameraSettings) -> Option<Instant> {
        let allowed = self.longest_pause.checked_add(settings.stall_timeout)?;
        self.last_sign.checked_add(allowed)
    }

    /// When viewers are told that nothing comes: half-way to the stall, while the last picture might still pass for live.
    fn quiet_at(&self, settings: &CameraSettings) -> Option<Instant> {
        let allowed = self.longest_pause.checked_add(settings.stall_timeout / 2)?;
        self.last_sign.checked_add(allowed)
    }

    fn stall_reason(&self, settings: &CameraSettings, stats: &Stats) -> String {
        let within = humantime::format_duration(settings.stall_timeout);
        let broken = stats.broken - self.broken_before;
        match &stats.last_broken {
            Some(problem) if self.frames == 0 && broken > 0 => {
                format!("no whole picture within {within}, {broken} broken ones: {problem}")
            }
            _ => format!("no picture for {within}"),
        }
    }

    fn live_for(&self) -> Duration {
        self.live_since.map(|since| since.elapsed()).unwrap_or_default()
    }
}

/// Since when nobody watches: a request for one picture, come and gone, counts as watching until now.
fn unwatched(since: Option<Instant>, viewers: usize, was_asked: bool, now: Instant) -> Option<Instant> {
    match (viewers, was_asked) {
        (0, true) => Some(now),
        (0, false) => since.or(Some(now)),
        _ => None,
    }
}

/// Sleeps until `at`; for ever without one.
async fn sleep_until_some(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}
