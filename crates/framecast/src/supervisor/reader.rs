//! Runs a camera's driver, apart from the server.
//!
//! An open camera has a thread with its own runtime, unless its driver promises never to block. So a driver that blocks
//! delays no other camera, a driver that panics ends only its own reader, and the supervisor can abandon a driver that
//! does not close its device. The readers of drivers that never block share a few [threads](SharedThreads).

use std::future::Future;
use std::io;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use framecast_drivers::blocking::panic_message;
use framecast_drivers::{Capture, Error, ErrorKind, OpenContext, Source};
use framecast_hub::{Feed, Publisher};
use framecast_media::{Format, Frame, Timestamp};
use futures_util::FutureExt;
use tokio::runtime::Builder;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, Span, warn};

use super::CLOSE_TIMEOUT;
use super::frame_intervals::FrameIntervals;
use super::progress::Progress;
use super::shared_threads::{Place, SharedThreads};
use super::throttle::Throttle;
use crate::camera::Camera;
use crate::error_chain::one_line;

/// How long a source can take to close before its reader drops it. A little less than the time that the supervisor
/// waits, so that a driver that only waits does not count as hanging.
const CLOSE_LIMIT: Duration = CLOSE_TIMEOUT.saturating_sub(Duration::from_millis(100));

/// A message from the task that reads a camera's source to the camera's supervisor.
#[derive(Debug)]
pub(crate) enum Report {
    /// The device is open. `max_frame_gap` is the longest normal time between two pictures. `awaited` says what the
    /// source waits for, if it has no picture yet.
    Opened { max_frame_gap: Duration, awaited: Option<String> },
    /// The format, picture size and frame rate that the device delivers from now on, and those that the server
    /// requested.
    Capture(Capture),
    /// A frame that the supervisor awaits. The supervisor publishes it with `publisher`, so that it can set the
    /// camera's status in the same moment, and then gives the publisher back. Until then, the task reads no further
    /// frame.
    Frame { frame: Frame, publisher: Publisher, give_back: oneshot::Sender<Publisher> },
    /// The source has ended or failed. The reader sends no further report.
    Ended(Result<(), Error>),
    /// Another camera's driver blocks the thread that this reader shares with it. The reader cannot go on.
    Displaced,
}

/// The handle of a running task that opens a source and reads it.
#[derive(Debug)]
pub(crate) struct Reader {
    reports: mpsc::Receiver<Report>,
    /// The task's place on a shared thread; `None` if the task has a thread of its own.
    place: Option<Place>,
    cancel: CancellationToken,
    progress: Arc<Progress>,
    end: ReaderEnd,
    was_opened: bool,
}

impl Reader {
    /// Starts to open and read the source of `camera`, and publishes the frames with `publisher` until `publisher` is
    /// out of date. Runs on one of `threads` if the camera's driver may share a thread. `intervals` are the intervals
    /// between the camera's pictures so far. `has_logged_broken` says whether the log already reports that the camera's
    /// pictures are broken.
    ///
    /// `reopened_since` is `None` for the first source of the supervisor's attempt to open and read the camera. For
    /// each later source, it is the time at which the attempt began. The frames' timestamps then count from that time,
    /// and the rate limit allows no burst.
    pub(crate) fn spawn(
        camera: &Arc<Camera>,
        threads: &SharedThreads,
        publisher: Publisher,
        intervals: FrameIntervals,
        reopened_since: Option<Instant>,
        has_logged_broken: &Arc<AtomicBool>,
    ) -> io::Result<Self> {
        let (reports_to, reports) = mpsc::channel(2);
        let (end, ended) = oneshot::channel();
        let cancel = CancellationToken::new();
        let progress = Arc::new(Progress::new(intervals));
        let work = ReaderTask {
            camera: Arc::clone(camera),
            reports: reports_to,
            cancel: cancel.clone(),
            progress: Arc::clone(&progress),
            reopened_since,
            has_logged_broken: Arc::clone(has_logged_broken),
        };
        let task = work.run(publisher);
        let place = if camera.shares_thread() { Some(threads.place(&camera.has_blocked)?) } else { None };
        match &place {
            Some(place) => {
                let task = async move {
                    task.await;
                    drop(end);
                };
                place.run(task.instrument(Span::current()));
            }
            None => run_on_own_thread(camera.feed.name(), task, end)?,
        }
        Ok(Self { reports, place, cancel, progress, end: ReaderEnd::new(ended), was_opened: false })
    }

    /// Waits for the next report. Returns `None` when the reader has ended. Cancel safe.
    pub(crate) async fn next(&mut self) -> Option<Report> {
        let report = match &self.place {
            Some(place) => tokio::select! {
                biased;
                report = self.reports.recv() => report,
                () = place.displaced() => Some(Report::Displaced),
            },
            None => self.reports.recv().await,
        };
        self.was_opened |= matches!(report, Some(Report::Opened { .. }));
        report
    }

    pub(crate) fn was_opened(&self) -> bool {
        self.was_opened
    }

    /// Returns whether the driver of another camera has blocked the thread that the reader shares with it.
    pub(crate) fn is_displaced(&self) -> bool {
        self.place.as_ref().is_some_and(Place::is_displaced)
    }

    /// Returns how far the reader has come.
    pub(crate) fn progress(&self) -> &Progress {
        &self.progress
    }

    /// Asks the task to close its source and end.
    pub(crate) fn cancel(&mut self) {
        self.cancel.cancel();
        self.reports.close();
    }

    /// Returns the end of the task, when its source is closed.
    pub(crate) fn end(&mut self) -> &mut ReaderEnd {
        &mut self.end
    }

    /// Returns the end of the task, and nothing else of it.
    pub(crate) fn into_end(self) -> ReaderEnd {
        self.end
    }
}

/// The end of a task that reads a source, and of all calls that its driver left running on the task's own thread.
#[derive(Debug)]
pub(crate) struct ReaderEnd(oneshot::Receiver<()>);

impl ReaderEnd {
    /// Creates the end that has come once the sender of `ended` is gone.
    pub(super) fn new(ended: oneshot::Receiver<()>) -> Self {
        Self(ended)
    }

    /// Waits until the task has ended and its source is closed.
    pub(crate) async fn wait(&mut self) {
        (&mut self.0).await.ok();
    }

    pub(crate) fn has_come(&mut self) -> bool {
        !matches!(self.0.try_recv(), Err(oneshot::error::TryRecvError::Empty))
    }
}

struct ReaderTask {
    camera: Arc<Camera>,
    reports: mpsc::Sender<Report>,
    cancel: CancellationToken,
    progress: Arc<Progress>,
    reopened_since: Option<Instant>,
    has_logged_broken: Arc<AtomicBool>,
}

impl ReaderTask {
    async fn run(self, publisher: Publisher) {
        let reading = AssertUnwindSafe(self.run_to_end(publisher)).catch_unwind();
        if let Err(panic) = reading.await {
            self.report(Report::Ended(Err(Error::Panicked { message: panic_message(panic.as_ref()) }))).await;
        }
    }

    /// Opens the source, reads it until it ends or the supervisor cancels it, and closes it.
    async fn run_to_end(&self, publisher: Publisher) {
        let mut source = None;
        let read = self.cancel.run_until_cancelled(self.read(publisher, &mut source)).await;
        // Reported before the source closes, which can take a while, because viewers must not mistake its last picture
        // for a live picture. If the camera was closed meanwhile, no supervisor receives the report.
        if let Some(result) = read.flatten() {
            self.report(Report::Ended(result)).await;
        }
        if let Some(source) = source {
            close(source).await;
        }
    }

    /// Opens the source, keeps it in `open_source`, and reads it until it ends. Returns how the source ended, or `None`
    /// if the supervisor no longer receives reports. The driver's timestamps count from the opening of its source. So
    /// for a reopened source, this function adds the time from `reopened_since` to the opening.
    async fn read(
        &self,
        mut publisher: Publisher,
        open_source: &mut Option<Box<dyn Source>>,
    ) -> Option<Result<(), Error>> {
        let Camera { feed, drivers, settings, controls, .. } = &*self.camera;
        let begins_at = self.reopened_since.map(|since| Timestamp::from_duration(since.elapsed()));
        let source = match self.open().await {
            Ok(source) => open_source.insert(source),
            Err(error) => return Some(Err(error)),
        };
        let max_frame_gap = source.max_frame_gap().max(min_interval(settings.max_fps));
        let awaited = source.waiting_for();
        self.report(Report::Opened { max_frame_gap, awaited }).await?;
        if let Ok(driver) = drivers.find(&settings.source) {
            controls.apply(&*driver, &settings.source).await;
        }
        let throttle = Throttle::new(settings.max_fps, Instant::now());
        let throttle = if self.reopened_since.is_some() { throttle.without_burst() } else { throttle };
        let mut frames = ThrottledSource::new(&mut **source, throttle);
        let mut reported = Reported::default();
        loop {
            let next = frames.next(feed).await;
            feed.count_dropped_by_device(reported.newly_lost(&*frames.source));
            feed.count_repaired(reported.newly_repaired(&*frames.source));
            match next {
                Ok(Some(mut frame)) => {
                    if let Some(begins_at) = begins_at {
                        frame.pts = frame.pts.saturating_add(begins_at);
                        frame.dts = frame.dts.saturating_add(begins_at);
                    }
                    if let Some(capture) = reported.new_capture(&*frames.source, &frame) {
                        self.report(Report::Capture(capture)).await?;
                    }
                    publisher = self.publish(frame, publisher).await?;
                }
                Ok(None) => return Some(Ok(())),
                Err(error) if error.kind() == ErrorKind::Frame => self.count_broken(&error),
                Err(error) => return Some(Err(error)),
            }
            // Without this call, the runtime of a source that always has a frame ready would notice no cancellation.
            tokio::task::consume_budget().await;
        }
    }

    /// Publishes `frame`, or hands it over to a supervisor that awaits one. Returns `publisher`, or `None` if the
    /// supervisor no longer receives reports.
    async fn publish(&self, frame: Frame, mut publisher: Publisher) -> Option<Publisher> {
        if self.progress.record_frame(tokio::time::Instant::now()) {
            let (give_back, given_back) = oneshot::channel();
            self.report(Report::Frame { frame, publisher, give_back }).await?;
            return given_back.await.ok();
        }
        publisher.publish(frame);
        Some(publisher)
    }

    /// Counts a broken picture, and logs the first one.
    fn count_broken(&self, error: &Error) {
        if !self.has_logged_broken.swap(true, Ordering::Relaxed) {
            warn!(
                %error,
                "a picture is broken. Further broken pictures are not logged; /api/cameras has their number"
            );
        }
        self.progress.record_broken();
        self.camera.feed.count_broken(one_line(error));
    }

    async fn open(&self) -> Result<Box<dyn Source>, Error> {
        let Camera { drivers, settings, .. } = &*self.camera;
        let context = OpenContext::default().with_max_picture_bytes(settings.max_picture_bytes);
        drivers.open(&context, &settings.source).await
    }

    async fn report(&self, report: Report) -> Option<()> {
        self.reports.send(report).await.ok()
    }
}

/// Runs `task` to its end on a new thread, for the camera with this `name`, and drops `end` when the thread ends. The
/// whole thread is within the caller's tracing span, so that the task need not enter the span for each picture.
fn run_on_own_thread(
    name: &str,
    task: impl Future<Output = ()> + Send + 'static,
    end: oneshot::Sender<()>,
) -> io::Result<()> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    // Linux shows fifteen characters of a thread's name.
    let name: String = format!("cam-{name}").chars().take(15).collect();
    let span = Span::current();
    thread::Builder::new().name(name).spawn(move || {
        let _within = span.enter();
        runtime.block_on(task);
        // Waits for blocking calls that the driver left running, for instance in a file system that hangs.
        drop(runtime);
        drop(end);
    })?;
    Ok(())
}

/// Closes `source`. Drops it after [`CLOSE_LIMIT`].
async fn close(source: Box<dyn Source>) {
    if timeout(CLOSE_LIMIT, source.close()).await.is_err() {
        warn!("the driver did not close its device within {CLOSE_LIMIT:?}; the server dropped the device");
    }
}

/// Returns the minimum time between two pictures if `max_fps` is less than one frame per second, otherwise zero.
fn min_interval(max_fps: f64) -> Duration {
    if max_fps < 1.0 { Duration::from_secs_f64(1.0 / max_fps) } else { Duration::ZERO }
}

/// The values of an open source that the reader has already reported to the supervisor.
#[derive(Default)]
struct Reported {
    dropped_frames: u64,
    repaired_frames: u64,
    /// The format of the pictures when the reader last reported what the device delivers.
    format: Option<Arc<Format>>,
}

impl Reported {
    /// Returns how many frames the device has lost since the last call.
    fn newly_lost(&mut self, source: &dyn Source) -> u64 {
        let before = std::mem::replace(&mut self.dropped_frames, source.dropped_frames());
        self.dropped_frames.saturating_sub(before)
    }

    /// Returns how many frames came from repaired pictures since the last call.
    fn newly_repaired(&mut self, source: &dyn Source) -> u64 {
        let before = std::mem::replace(&mut self.repaired_frames, source.repaired_frames());
        self.repaired_frames.saturating_sub(before)
    }

    /// Returns what the device delivers, and what the server requested, if `frame` is the first frame or has another
    /// format than the frame before; otherwise `None`.
    fn new_capture(&mut self, source: &dyn Source, frame: &Frame) -> Option<Capture> {
        if self.format.as_ref().is_some_and(|format| Arc::ptr_eq(format, &frame.format)) {
            return None;
        }
        self.format = Some(Arc::clone(&frame.format));
        source.capture()
    }
}

/// A source with a rate limit. If pictures arrive too fast, this object holds the newest picture until the limit allows
/// it, so that viewers see the last picture of a burst. Frames of coded video that other frames need always pass.
struct ThrottledSource<'s> {
    source: &'s mut dyn Source,
    throttle: Throttle,
    held: Option<Frame>,
    /// How the source ended; `None` if it has not ended. [`next`](Self::next) reports the end after the picture that
    /// the rate limit still holds.
    end: Option<Result<(), Error>>,
}

impl<'s> ThrottledSource<'s> {
    fn new(source: &'s mut dyn Source, throttle: Throttle) -> Self {
        Self { source, throttle, held: None, end: None }
    }

    /// Waits for the next frame that the rate limit allows. Cancel safe if the source's `next_frame` is cancel safe.
    async fn next(&mut self, feed: &Feed) -> Result<Option<Frame>, Error> {
        loop {
            // The rate limit also applies to the last picture of a source that ended cleanly.
            if let Some(end) = self.end.take_if(|_| self.held.is_none()) {
                return end.map(|()| None);
            }
            let next = if self.held.is_none() {
                // There is nothing else to wait for, and a timer for each frame would cost as much as the frame.
                self.source.next_frame().await
            } else {
                let ready_at = tokio::time::Instant::from_std(self.throttle.ready_at());
                tokio::select! {
                    biased;
                    next = self.source.next_frame(), if self.end.is_none() => next,
                    () = tokio::time::sleep_until(ready_at) => {
                        if self.throttle.admits(Instant::now()) {
                            return Ok(self.held.take());
                        }
                        continue;
                    }
                }
            };
            let frame = match next {
                Ok(Some(frame)) => frame,
                Err(error) if error.kind() == ErrorKind::Frame => return Err(error),
                end => {
                    // A failure is reported at once, so the last picture is published now.
                    let last = self.held.take_if(|_| end.is_err());
                    self.end = Some(end.map(|_| ()));
                    if last.is_some() {
                        return Ok(last);
                    }
                    continue;
                }
            };
            let passes = self.throttle.lets_pass(&frame, Instant::now());
            if self.held.replace(frame).is_some() {
                // Counted here without a report: a flood must cost its supervisor nothing.
                feed.count_over_rate();
            }
            if passes {
                return Ok(self.held.take());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![warn(clippy::disallowed_methods)]

    use std::collections::VecDeque;
    use std::time::SystemTime;

    use framecast_drivers::BoxFuture;
    use framecast_hub::Hub;
    use framecast_media::Dependency;
    use framecast_testkit::{CodedDecoder, CodedStream, soon};

    use super::*;

    /// A source that delivers all its frames at once.
    struct Flood(VecDeque<Frame>);

    impl Source for Flood {
        fn next_frame(&mut self) -> BoxFuture<'_, Result<Option<Frame>, Error>> {
            let next = self.0.pop_front();
            Box::pin(async { Ok(next) })
        }
    }

    #[tokio::test]
    async fn the_rate_limit_drops_only_frames_that_no_other_frame_needs() {
        let mut stream = CodedStream::default();
        let frames = (0..60).map(|number| {
            let dependency = match number % 6 {
                0 => Dependency::Keyframe,
                3 => Dependency::Reference,
                _ => Dependency::Disposable,
            };
            stream.next(dependency, 100)
        });
        let mut flood = Flood(frames.collect());
        let throttle = Throttle::new(5.0, Instant::now());
        let mut source = ThrottledSource::new(&mut flood, throttle);
        let feed = Hub::new().add("door", SystemTime::UNIX_EPOCH).unwrap();
        let (mut decoder, mut needed, mut disposable) = (CodedDecoder::default(), 0, 0);
        while let Some(frame) = soon("the next frame", source.next(&feed)).await.unwrap() {
            decoder.decode(&frame).unwrap();
            *if frame.is_disposable { &mut disposable } else { &mut needed } += 1;
        }
        assert_eq!(needed, 20);
        assert!(disposable < 10, "{disposable} passed");
        assert_eq!(feed.stats().over_rate, 40 - disposable);
    }
}
