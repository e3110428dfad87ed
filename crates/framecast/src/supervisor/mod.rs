//! The life of a camera: idle → opening → live → lost → live, and idle again when its viewers have left.
//!
//! [`Supervisor::run`] contains the only retry policy. `run_once` makes one attempt to open and read the camera, which
//! can include several openings of its source. [`read_loop`] publishes the frames and detects that a camera delivers
//! none; [`lost`] waits for the next attempt. Driver code runs on the threads of the [`reader`], never here, so that a
//! driver that blocks or panics affects no other camera.

mod attempt;
mod frame_intervals;
mod lost;
mod probe;
mod progress;
mod read_loop;
mod reader;
mod shared_threads;
mod slate;
mod stall_policy;
mod stuck_readers;
mod throttle;

use std::future::pending;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use framecast_hub::{CameraState, CameraStatus, DemandCounts, Event, EventKind, Feed};
use framecast_media::Backoff;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, debug, info, info_span};

use crate::camera::Camera;
use crate::config::CameraSettings;
use crate::memory;
use crate::suspend::SuspendMonitor;
use attempt::Attempt;
use lost::AfterLoss;
pub(crate) use probe::ProbePermits;
use probe::Prober;
pub(crate) use shared_threads::SharedThreads;
use slate::SlateRenderer;
pub(crate) use slate::draw_last_slate;
pub(crate) use stall_policy::DEFAULT_STALL_TIMEOUT;
pub(crate) use stuck_readers::StuckReaders;

/// How long the supervisor waits for a driver to close its device before it continues without waiting.
const CLOSE_TIMEOUT: Duration = Duration::from_millis(1500);

/// The first and the longest delay before the supervisor opens a lost camera again.
const RETRY_DELAYS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// How long a camera must be live before its next failure is treated like a first failure, with the shortest retry
/// delay.
const BACKOFF_RESET_AFTER: Duration = Duration::from_secs(10);

/// What the supervisors of all cameras of a server share.
#[derive(Debug, Clone)]
pub(crate) struct SharedWithCameras {
    pub(crate) suspend_monitor: SuspendMonitor,
    /// The threads that the readers of cameras share.
    pub(crate) threads: SharedThreads,
    /// The readers whose driver did not close its device in time.
    pub(crate) stuck: StuckReaders,
    pub(crate) probe_permits: ProbePermits,
}

/// The task that keeps one camera open while it has viewers.
pub(crate) struct Supervisor {
    camera: Arc<Camera>,
    feed: Arc<Feed>,
    settings: CameraSettings,
    stop: CancellationToken,
    demand: watch::Receiver<DemandCounts>,
    slates: SlateRenderer,
    /// The readers of all cameras whose driver did not close its device within [`CLOSE_TIMEOUT`].
    stuck: StuckReaders,
    suspend_monitor: SuspendMonitor,
    threads: SharedThreads,
    probe_permits: ProbePermits,
    /// The number of clients so far when the supervisor last looked.
    clients_seen: u64,
    /// The number of probes so far when the supervisor last learned that the camera is lost.
    probes_answered: u64,
    /// When the camera was reported as lost; `None` if it was reported as live since then.
    lost_since: Option<SystemTime>,
    /// Whether the source is open, opens or closes.
    is_busy: watch::Sender<bool>,
}

/// How one attempt to open and read the camera ended.
enum AttemptOutcome {
    /// The camera had no viewer for `idle_timeout`, after it had been live for `live_for`. With `is_quiet`, nothing was
    /// reported of this attempt: the server has only probed a camera that works.
    Unwatched { live_for: Duration, is_quiet: bool },
    /// The camera was told to stop: it was removed, or the server is shutting down.
    Stopped,
    /// The camera failed for `reason`, after it had been live for `live_for`. A retry can help if `is_transient` is
    /// true.
    Failed { reason: String, live_for: Duration, is_transient: bool },
}

impl AttemptOutcome {
    /// Returns how long the camera had been live.
    fn live_for(&self) -> Duration {
        match self {
            Self::Unwatched { live_for, .. } | Self::Failed { live_for, .. } => *live_for,
            Self::Stopped => Duration::ZERO,
        }
    }
}

impl Supervisor {
    pub(crate) fn new(camera: Arc<Camera>, shared: SharedWithCameras) -> Self {
        let SharedWithCameras { suspend_monitor, threads, stuck, probe_permits } = shared;
        let (feed, settings, stop) = (Arc::clone(&camera.feed), camera.settings.clone(), camera.stop.clone());
        let demand = feed.watch_demand();
        let slates = SlateRenderer::new(Arc::clone(&feed));
        Self {
            camera,
            feed,
            settings,
            stop,
            demand,
            slates,
            stuck,
            suspend_monitor,
            threads,
            probe_permits,
            clients_seen: 0,
            probes_answered: 0,
            lost_since: None,
            is_busy: watch::Sender::new(false),
        }
    }

    /// Keeps the camera open while it has viewers, retries after failures, and probes the camera, until it is told to
    /// stop.
    pub(crate) async fn run(self) {
        let span = info_span!("camera", id = self.feed.name());
        // A camera that never closes is opened again until it works, without probes.
        let interval = self.camera.probe_interval.filter(|_| self.settings.idle_timeout.is_some());
        let prober = interval.map(|interval| Prober {
            feed: Arc::clone(&self.feed),
            interval,
            stall_timeout: self.settings.stall_timeout,
            permits: self.probe_permits.clone(),
            is_busy: self.is_busy.subscribe(),
        });
        let probing = async {
            match prober {
                Some(prober) => prober.run().await,
                None => pending().await,
            }
        };
        async {
            tokio::select! {
                () = self.supervise() => {}
                () = probing => {}
            }
        }
        .instrument(span)
        .await;
    }

    /// Keeps the camera open while it is needed, and retries after failures, until it is told to stop.
    async fn supervise(mut self) {
        let mut backoff = Backoff::new(RETRY_DELAYS.0, RETRY_DELAYS.1);
        let mut is_retry = false;
        while is_retry || self.wait_for_viewer().await {
            is_retry = false;
            self.is_busy.send_replace(true);
            let outcome = self.run_once().await;
            self.is_busy.send_replace(false);
            if outcome.live_for() >= BACKOFF_RESET_AFTER {
                backoff.reset();
            }
            match self.unless_lost(outcome) {
                AttemptOutcome::Stopped => break,
                AttemptOutcome::Unwatched { is_quiet, .. } => self.become_idle(is_quiet),
                AttemptOutcome::Failed { reason, is_transient, .. } => {
                    let delay = match is_transient {
                        true => backoff.next_delay(fastrand::f64()),
                        // Only a change of the configuration can mend this.
                        false => backoff.longest(),
                    };
                    match self.wait_for_retry(reason, delay, &mut backoff).await {
                        AfterLoss::Retry => is_retry = true,
                        AfterLoss::BecomeIdle => self.become_idle(false),
                        AfterLoss::Stop => break,
                    }
                }
            }
        }
        self.feed.end();
        self.report_removal();
    }

    /// Changes the outcome "unwatched" into "failed" if the camera was lost before and is probed: only a picture shows
    /// that the camera is no longer lost.
    fn unless_lost(&self, outcome: AttemptOutcome) -> AttemptOutcome {
        let CameraStatus { state, reason, .. } = self.feed.status();
        match outcome {
            AttemptOutcome::Unwatched { live_for, .. }
                if state == CameraState::Lost && self.camera.probe_interval.is_some() =>
            {
                AttemptOutcome::Failed { reason: reason.unwrap_or_default(), live_for, is_transient: true }
            }
            outcome => outcome,
        }
    }

    /// Waits until the camera has a viewer. If the camera has no `idle_timeout`, it stays open without viewers, and
    /// this function does not wait. Returns true to open the camera, and false if it is told to stop.
    async fn wait_for_viewer(&mut self) -> bool {
        if self.settings.idle_timeout.is_none() {
            return !self.stop.is_cancelled();
        }
        tokio::select! {
            biased;
            () = self.stop.cancelled() => false,
            needed = self.demand.wait_for(DemandCounts::is_any) => needed.is_ok(),
        }
    }

    /// Makes one attempt to open and read the camera. If a source ends without an error after a picture, the supervisor
    /// opens the source again within the same attempt.
    async fn run_once(&mut self) -> AttemptOutcome {
        let (demand, _) = self.demand();
        let is_probe = demand.probes > 0 && demand.clients() == 0;
        // A lost camera stays lost until a frame arrives, and the log does not repeat the attempts.
        if self.feed.status().state == CameraState::Lost {
            debug!(source = self.settings.source.for_debug(), "opening the lost camera again");
        } else if is_probe {
            debug!(source = self.settings.source.for_debug(), "opening, to check the camera");
        } else {
            info!(source = self.settings.source.for_log(), "opening");
            let opening = self.feed.status().followed_by(CameraState::Opening, SystemTime::now());
            self.feed.set_status(opening);
        }
        self.slates.begin_attempt();
        let mut attempt = Attempt::new(&self.settings, is_probe);
        loop {
            let due_at = match self.read_once(&mut attempt).await {
                ControlFlow::Continue(due_at) => due_at,
                ControlFlow::Break(outcome) => return outcome,
            };
            if let ControlFlow::Break(outcome) = self.wait_for_next_source(&mut attempt, due_at).await {
                return outcome;
            }
        }
    }

    /// Returns who needs the camera now, and whether any client has connected since the last call, even if the client
    /// has left again after one picture.
    fn demand(&mut self) -> (DemandCounts, bool) {
        let counts = *self.demand.borrow_and_update();
        let clients_seen = std::mem::replace(&mut self.clients_seen, counts.clients_so_far);
        (counts, counts.clients_so_far > clients_seen)
    }

    /// Closes the camera. The log and the history are told unless `is_quiet`: they do not list each probe.
    fn become_idle(&mut self, is_quiet: bool) {
        self.feed.suspend();
        // A slate that is still being drawn must not be the first picture that the next viewer sees.
        self.slates.end();
        let (earlier, now) = (self.feed.status(), SystemTime::now());
        let checked_at = match earlier.state {
            CameraState::Live => Some(now),
            CameraState::Idle => earlier.checked_at,
            // Whether it works now is not known.
            CameraState::Lost | CameraState::Opening => None,
        };
        self.lost_since = self.lost_since.filter(|_| earlier.state != CameraState::Lost);
        // During a probe of a camera that works, the camera counts as idle.
        let since = if earlier.state == CameraState::Idle { earlier.since } else { now };
        self.feed.set_status(CameraStatus { checked_at, ..earlier.followed_by(CameraState::Idle, since) });
        if !is_quiet {
            info!("idle");
            self.send_event(EventKind::Closed, None);
        }
        memory::schedule_return(&Handle::current());
    }

    /// Tells the history that the camera was removed or replaced.
    fn report_removal(&self) {
        let Some(removal) = self.camera.removal() else { return };
        self.send_event(EventKind::Removed, Some(removal.as_str()));
        if self.feed.status().state != CameraState::Idle {
            self.feed.set_status(CameraStatus::new(CameraState::Idle, SystemTime::now()));
            memory::schedule_return(&Handle::current());
        }
    }

    /// Sends an event about the camera to the history and other listeners.
    fn send_event(&self, kind: EventKind, text: Option<&str>) {
        self.feed.send(Event { text: text.map(str::to_owned), ..Event::new(kind, SystemTime::now()) });
    }
}

/// Sleeps until `at`, or forever if `at` is `None`.
async fn sleep_until_or_forever(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}
