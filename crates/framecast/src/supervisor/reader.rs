//! The thread on which a camera's driver runs.
//!
//! Each camera that is open has one thread with a runtime of its own: a driver that blocks holds up nobody else, one
//! that panics ends its thread alone, and one that does not let go can be left behind.

use std::future::Future;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use framecast_drivers::blocking::panic_message;
use framecast_drivers::{Drivers, Error, Source, SourceUrl};
use framecast_hub::Feed;
use framecast_media::Frame;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tracing::{Span, warn};

use super::throttle::Throttle;
use crate::config::CameraSettings;

/// What the reader tells its supervisor.
#[derive(Debug)]
pub(crate) enum Report {
    /// The device is open.
    Opened { longest_pause: Duration },
    /// The next frame.
    Frame(Frame),
    /// The source has ended or failed; nothing follows.
    Ended(Result<(), Error>),
}

/// A running thread that opens a source and reads it.
#[derive(Debug)]
pub(crate) struct Reader {
    reports: mpsc::Receiver<Report>,
    cancel: CancellationToken,
    ended: oneshot::Receiver<()>,
    was_opened: bool,
}

impl Reader {
    pub(crate) fn spawn(feed: &Arc<Feed>, drivers: &Drivers, settings: &CameraSettings) -> io::Result<Self> {
        let (reports_to, reports) = mpsc::channel(2);
        let (end, ended) = oneshot::channel();
        let cancel = CancellationToken::new();
        let work = Work {
            feed: Arc::clone(feed),
            drivers: drivers.clone(),
            url: settings.source.clone(),
            max_fps: settings.max_fps,
            reports: reports_to,
            cancel: cancel.clone(),
        };
        let span = Span::current();
        // Linux shows fifteen characters of a thread's name.
        let name: String = format!("cam-{}", feed.name()).chars().take(15).collect();
        thread::Builder::new().name(name).spawn(move || {
            let _entered = span.enter();
            work.run();
            // Nobody may be left to hear that the thread has ended.
            end.send(()).ok();
        })?;
        Ok(Self { reports, cancel, ended, was_opened: false })
    }

    /// The next report; `None` when the thread has ended. Cancel safe.
    pub(crate) async fn next(&mut self) -> Option<Report> {
        let report = self.reports.recv().await;
        self.was_opened |= matches!(report, Some(Report::Opened { .. }));
        report
    }

    pub(crate) fn was_opened(&self) -> bool {
        self.was_opened
    }

    /// Asks the thread to drop its source and end.
    pub(crate) fn cancel(&mut self) {
        self.cancel.cancel();
        self.reports.close();
    }

    /// Waits until the thread has ended and its source is dropped.
    pub(crate) async fn ended(&mut self) {
        (&mut self.ended).await.ok();
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        !matches!(self.ended.try_recv(), Err(oneshot::error::TryRecvError::Empty))
    }
}

struct Work {
    feed: Arc<Feed>,
    drivers: Drivers,
    url: SourceUrl,
    max_fps: f64,
    reports: mpsc::Sender<Report>,
    cancel: CancellationToken,
}

impl Work {
    fn run(self) {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| self.run_to_end())) {
            self.end(Err(Error::Panicked { message: panic_message(panic.as_ref()) }));
        }
    }

    /// Opens and reads the source until it ends or is cancelled.
    fn run_to_end(&self) {
        let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(source) => {
                return self
                    .end(Err(Error::CannotRun { program: "the driver's runtime".to_owned(), source }));
            }
        };
        if let Some(result) = runtime.block_on(self.read()) {
            self.end(result);
        }
        // Waits for what the driver has left blocking, a file system that hangs for instance: as long as that lasts, this
        // thread counts as stuck, and there are not many of these.
        drop(runtime);
    }

    /// Tells how the source ended.
    fn end(&self, result: Result<(), Error>) {
        // Nobody listens any more where the camera was closed in the meantime.
        self.reports.blocking_send(Report::Ended(result)).ok();
    }

    /// Reads the source to its end; `None` when cancelled before.
    async fn read(&self) -> Option<Result<(), Error>> {
        let source = match self.unless_cancelled(self.drivers.open(&self.url)).await? {
            Ok(source) => source,
            Err(error) => return Some(Err(error)),
        };
        self.report(Report::Opened { longest_pause: source.longest_pause() }).await?;
        let mut frames = Frames::new(source, self.max_fps);
        let mut said_broken = false;
        loop {
            match self.unless_cancelled(frames.next(&self.feed)).await? {
                Ok(Some(frame)) => self.report(Report::Frame(frame)).await?,
                Ok(None) => return Some(Ok(())),
                Err(error) if error.is_picture() => {
                    if !said_broken {
                        warn!(%error, "broken; later ones are only counted");
                        said_broken = true;
                    }
                    self.feed.count_broken(error.to_string());
                }
                Err(error) => return Some(Err(error)),
            }
            // A source that always has something ready must not keep its own runtime from hearing of the end.
            tokio::task::consume_budget().await;
        }
    }

    async fn report(&self, report: Report) -> Option<()> {
        self.reports.send(report).await.ok()
    }

    async fn unless_cancelled<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            () = self.cancel.cancelled() => None,
            result = work => Some(result),
        }
    }
}

/// A source held to a rate. Of pictures that come too fast the newest is kept until it may pass, so that the last one
/// of a burst is shown.
struct Frames {
    source: Box<dyn Source>,
    throttle: Throttle,
    kept: Option<Frame>,
    /// How the source ended, while its last picture is kept.
    end: Option<Result<(), Error>>,
}

impl Frames {
    fn new(source: Box<dyn Source>, max_fps: f64) -> Self {
        Self { source, throttle: Throttle::new(max_fps, Instant::now()), kept: None, end: None }
    }

    /// The next frame that may pass. Cancel safe, as the source is.
    async fn next(&mut self, feed: &Feed) -> Result<Option<Frame>, Error> {
        loop {
            if let Some(end) = self.end.take() {
                return end.map(|()| None);
            }
            let ready_at = tokio::time::Instant::from_std(self.throttle.ready_at());
            let frame = tokio::select! {
                biased;
                next = self.source.next_frame() => match next {
                    Ok(Some(frame)) => frame,
                    Err(error) if error.is_picture() => return Err(error),
                    end => {
                        self.end = Some(end.map(|_| ()));
                        match self.kept.take() {
                            Some(frame) => return Ok(Some(frame)),
                            None => continue,
                        }
                    }
                },
                () = tokio::time::sleep_until(ready_at), if self.kept.is_some() => {
                    match self.kept.take() {
                        Some(frame) if self.throttle.admits(Instant::now()) => return Ok(Some(frame)),
                        kept => {
                            self.kept = kept;
                            continue;
                        }
                    }
                }
            };
            if self.kept.replace(frame).is_some() {
                // Counted here and not reported: a flood must cost its supervisor nothing.
                feed.count_over_rate();
            }
            if self.throttle.admits(Instant::now()) {
                return Ok(self.kept.take());
            }
        }
    }
}
