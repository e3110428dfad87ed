//! A camera's life: idle → opening → live → lost → live, and idle again when nobody watches.
//!
//! [`Supervisor::run`] is the only retry policy; `run_once` is one opening of the camera, from the first byte to the
//! last, however many connections that takes. [`reading`] publishes what comes and judges silence, [`lost`] waits for the
//! next attempt. Driver code runs on the [`reader`]'s thread, never here, so that a driver that blocks or panics hurts
//! nobody else.

mod backoff;
mod lost;
mod notice;
mod opening;
mod passage;
mod patience;
mod reader;
mod reading;
mod rhythm;
mod throttle;

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use framecast_hub::{Event, EventKind, Feed, State, Status};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, debug, info, info_span};

use crate::camera::Camera;
use crate::config::CameraSettings;
use crate::memory;
use crate::wake::Wake;
use backoff::Backoff;
use notice::Notices;
use opening::Opening;
pub(crate) use patience::USUAL as DEFAULT_STALL_TIMEOUT;
use reader::Reader;

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
    wake: Wake,
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
    pub(crate) fn new(camera: Arc<Camera>, shutdown: CancellationToken, wake: Wake) -> Self {
        let (feed, settings) = (Arc::clone(&camera.feed), camera.settings.clone());
        let demand = feed.demand();
        let notices = Notices::new(Arc::clone(&feed));
        Self { camera, feed, settings, shutdown, demand, notices, stuck: Vec::new(), wake }
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

    /// One opening of the camera: sources that end in order after a picture follow each other within it.
    async fn run_once(&mut self) -> Outcome {
        // A lost camera stays lost until a frame comes, and its attempts do not fill the log.
        if self.feed.status().state == State::Lost {
            debug!(source = self.settings.source.for_debug(), "trying again");
        } else {
            info!(source = self.settings.source.for_log(), "opening");
            self.feed.set_status(Status::new(State::Opening, SystemTime::now()));
        }
        self.notices.begin_opening();
        let mut opening = Opening::new(&self.settings, self.feed.stats().broken);
        loop {
            let due_at = match self.read_once(&mut opening).await {
                ControlFlow::Continue(due_at) => due_at,
                ControlFlow::Break(outcome) => return outcome,
            };
            if let ControlFlow::Break(outcome) = self.wait_for_next_source(&mut opening, due_at).await {
                return outcome;
            }
        }
    }

    /// How many watch now, and whether anyone has come since this was asked last, if only for one picture.
    fn viewers(&mut self) -> (usize, bool) {
        let was_asked = self.demand.has_changed().unwrap_or(false);
        (*self.demand.borrow_and_update(), was_asked)
    }

    fn go_idle(&mut self) {
        info!("idle");
        self.feed.suspend();
        // What is still being drawn must not be the first thing that the next viewer sees.
        self.notices.end();
        self.feed.set_status(Status::new(State::Idle, SystemTime::now()));
        self.tell(EventKind::Closed, None);
        memory::return_soon(&Handle::current());
    }

    /// Tells whoever keeps events that this happened to the camera.
    fn tell(&self, kind: EventKind, text: Option<&str>) {
        self.feed.tell(Event { text: text.map(str::to_owned), ..Event::new(kind, SystemTime::now()) });
    }
}

/// Sleeps until `at`; for ever without one.
async fn sleep_until_some(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}
