//! Reads an open camera: opens its source, reads the source until it ends, waits, and opens the source again.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::SystemTime;

use framecast_drivers::{Capture, Error, ErrorKind, Failure};
use framecast_hub::{CameraState, CameraStatus, EventKind, Publisher};
use framecast_media::{Anchor, Format, Frame};
use tokio::time::{Instant, sleep_until, timeout};
use tracing::{debug, info, warn};

use super::attempt::Attempt;
use super::frame_intervals::FrameIntervals;
use super::reader::{Reader, Report};
use super::stall_policy::rounded;
use super::{AttemptOutcome, CLOSE_TIMEOUT, Supervisor, sleep_until_or_forever};
use crate::error_chain::one_line;

/// What the supervisor of an open camera waits for: the reports of the task that reads the source or, between two
/// openings of the source, the time of the next opening.
enum Wait<'a> {
    /// The reports of the task that reads the camera's source.
    Reports(&'a mut Reader),
    /// The time at which to open the camera's source again.
    Reopening(Instant),
}

/// The next step after a source has ended or a wait is over: `Continue` with the time at which to open the source
/// again, or `Break` if the supervisor's attempt to open and read the camera has ended.
type NextStep = ControlFlow<AttemptOutcome, Instant>;

/// The result of [`Wait::next`]: what the supervisor waited for has happened.
enum WaitOutcome {
    Report(Option<Report>),
    Due,
}

impl Wait<'_> {
    /// Waits for the next report of the reader, or for the time to open the source again. Cancel safe.
    async fn next(&mut self) -> WaitOutcome {
        match self {
            Self::Reports(reader) => WaitOutcome::Report(reader.next().await),
            Self::Reopening(due_at) => {
                sleep_until(*due_at).await;
                WaitOutcome::Due
            }
        }
    }

    /// Returns the intervals between the camera's pictures so far.
    fn intervals(&self, attempt: &Attempt) -> FrameIntervals {
        match self {
            Self::Reports(reader) => reader.progress().intervals(),
            Self::Reopening(_) => attempt.intervals(),
        }
    }

    /// Returns whether a frame has arrived since the last one that `attempt` has recorded; see
    /// [`Attempt::has_new_frame`].
    fn has_new_frame(&self, attempt: &mut Attempt) -> bool {
        match self {
            Self::Reports(reader) => attempt.has_new_frame(reader.progress()),
            Self::Reopening(_) => false,
        }
    }
}

impl Supervisor {
    /// Opens the camera's source, reads it until it ends, and closes it. Returns what the supervisor does next.
    pub(super) async fn read_once(&mut self, attempt: &mut Attempt) -> NextStep {
        let mut reader = match self.spawn_reader(attempt) {
            Ok(reader) => reader,
            Err(reason) => {
                self.mark_lost(&reason);
                return failed(reason, attempt);
            }
        };
        let next = self.wait_and_publish(attempt, Wait::Reports(&mut reader)).await;
        // A frame that arrives from now on would be one that the supervisor does not hear of.
        self.feed.end_epoch();
        // The camera is marked before its device closes, which can take a while, because viewers must not mistake its
        // last picture for a live picture.
        self.mark_failed(&next);
        self.close(reader).await;
        next
    }

    /// Waits until `due_at`, when the source is due to be opened again. Returns what the supervisor does next: open the
    /// source, or end the attempt, for instance because the last viewer has left.
    pub(super) async fn wait_for_next_source(&mut self, attempt: &mut Attempt, due_at: Instant) -> NextStep {
        let next = self.wait_and_publish(attempt, Wait::Reopening(due_at)).await;
        self.mark_failed(&next);
        next
    }

    /// Starts to open and read the camera's source. If no thread can be started, the error says why.
    fn spawn_reader(&mut self, attempt: &mut Attempt) -> Result<Reader, String> {
        if let Some(refusal) = self.stuck.refusal(self.feed.name()) {
            return Err(refusal);
        }
        let intervals = attempt.begin_source();
        let publisher = self.feed.begin_epoch(Anchor::new(SystemTime::now()));
        let reader = Reader::spawn(
            &self.camera,
            &self.threads,
            publisher,
            intervals,
            attempt.reopened_since(),
            &attempt.has_logged_broken,
        );
        reader.map_err(|error| format!("cannot start a thread for the driver: {}", one_line(&error)))
    }

    fn mark_failed(&mut self, next: &NextStep) {
        if let ControlFlow::Break(AttemptOutcome::Failed { reason, .. }) = next {
            self.mark_lost(reason);
        }
    }

    /// While the source is open, publishes its frames until the source ends. While the source is closed, waits until
    /// its next opening is due. Returns earlier if the camera fails, its last viewer has left, or the server shuts
    /// down. The return value says what the supervisor does next.
    async fn wait_and_publish(&mut self, attempt: &mut Attempt, mut awaited: Wait<'_>) -> NextStep {
        loop {
            let (demand, had_client) = self.demand();
            if attempt.record_demand(demand, had_client, Instant::now()) {
                self.announce_watched(attempt);
            }
            if let Wait::Reports(reader) = &awaited {
                attempt.record_progress(reader.progress());
            }
            attempt.record_resume(self.suspend_monitor.resumed_at());
            let idle_at = attempt.idle_at(&self.settings);
            let stalled_at = attempt.stalled_at(&awaited.intervals(attempt));
            let slate_at = attempt.slate_at();
            let status = self.feed.status();
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return ControlFlow::Break(AttemptOutcome::Stopped),
                outcome = awaited.next() => match (outcome, &mut awaited) {
                    (WaitOutcome::Report(report), Wait::Reports(reader)) => {
                        if let Some(next) = self.handle_report(report, attempt, reader) {
                            return next;
                        }
                    }
                    _ => return ControlFlow::Continue(Instant::now()),
                },
                _ = self.demand.changed() => {}
                () = sleep_until_or_forever(idle_at) => {
                    let is_quiet = self.feed.status().state == CameraState::Idle;
                    let live_for = attempt.live_for();
                    return ControlFlow::Break(AttemptOutcome::Unwatched { live_for, is_quiet });
                }
                () = sleep_until_or_forever(stalled_at) => {
                    if let Some(next) = self.handle_stall(attempt, &awaited, &status) {
                        return next;
                    }
                }
                () = sleep_until_or_forever(slate_at), if !attempt.is_silent => self.handle_silence(attempt, &awaited),
                () = self.slates.show(&status), if attempt.is_silent && demand.clients() > 0 => {}
            }
        }
    }

    /// Handles a camera that seems to have delivered no picture for too long. Returns `None` if a picture has in fact
    /// arrived, or if the program was suspended during that time. Otherwise returns what the supervisor does next.
    fn handle_stall(
        &mut self,
        attempt: &mut Attempt,
        awaited: &Wait<'_>,
        status: &CameraStatus,
    ) -> Option<NextStep> {
        if awaited.has_new_frame(attempt) || attempt.record_resume(self.suspend_monitor.resumed_at()) {
            return None;
        }
        if attempt.excuse_silence(self.suspend_monitor.resumed_at(), awaited.intervals(attempt)) {
            info!(
                "the server did not run for a while, and the camera has delivered no frame since then; the server \
                 reopens the source"
            );
            return Some(ControlFlow::Continue(attempt.retry_at()));
        }
        let reason = attempt.stall_reason(&awaited.intervals(attempt), &self.feed.stats());
        if status.reason.as_ref() != Some(&reason) && !attempt.is_probe {
            self.send_event(EventKind::Stalled, Some(&reason));
        }
        Some(failed(reason, attempt))
    }

    /// Shows viewers slates (pictures with a text), because the camera seems to have delivered no picture for a while.
    /// Does nothing if a picture has in fact arrived, or if the program was suspended during that time.
    fn handle_silence(&mut self, attempt: &mut Attempt, awaited: &Wait<'_>) {
        // Taken before the last look for a frame, so that no slate covers a frame that arrives after it.
        let slates = self.feed.slate_publisher();
        if awaited.has_new_frame(attempt) || attempt.record_resume(self.suspend_monitor.resumed_at()) {
            return;
        }
        attempt.is_silent = true;
        self.slates.begin(slates);
    }

    /// Tells viewers and the log what an open source waits for before its first picture. `awaited` is `None` if the
    /// source waits for nothing.
    fn show_awaited(&self, awaited: Option<String>) {
        if let Some(awaited) = awaited {
            info!("{awaited}");
            let status = self.feed.status().followed_by(CameraState::Opening, SystemTime::now());
            self.feed.set_status(CameraStatus { reason: Some(awaited), ..status });
        }
    }

    /// Ends a probe of a source that is open and waits for its first picture, as an empty folder does: it works.
    fn record_awaited(&self, awaited: Option<String>, attempt: &mut Attempt) {
        if awaited.is_some() {
            attempt.awaited = awaited;
            self.feed.set_status(CameraStatus { checked_at: Some(SystemTime::now()), ..self.feed.status() });
        }
    }

    /// Handles one report of the reader. Returns what the supervisor does next if this was the last report of
    /// the source, otherwise `None`.
    fn handle_report(
        &mut self,
        report: Option<Report>,
        attempt: &mut Attempt,
        reader: &mut Reader,
    ) -> Option<NextStep> {
        match report {
            Some(Report::Opened { max_frame_gap, awaited }) => {
                attempt.record_opened(max_frame_gap);
                self.feed.count_opened();
                match attempt.is_probe {
                    true => self.record_awaited(awaited, attempt),
                    false if attempt.is_reopened => {}
                    false => self.show_awaited(awaited),
                }
                // As in the log, a lost camera stays lost until a frame arrives.
                if self.feed.status().state != CameraState::Lost && !attempt.is_reopened && !attempt.is_probe
                {
                    self.send_event(EventKind::Opened, None);
                }
                None
            }
            Some(Report::Capture(capture)) => {
                if !attempt.is_reopened {
                    log_capture(&capture);
                }
                self.camera.set_capture(Some(capture));
                None
            }
            Some(Report::Frame { frame, mut publisher, give_back }) => {
                self.publish_awaited(frame, &mut publisher, attempt);
                // The thread may have ended meanwhile.
                give_back.send(publisher).ok();
                None
            }
            Some(Report::Ended(result)) => {
                let intervals = reader.progress().intervals();
                Some(self.handle_end(result, attempt, intervals))
            }
            Some(Report::Displaced) => {
                info!("the server opens the source again on another thread");
                attempt.end_source(reader.progress().intervals());
                Some(ControlFlow::Continue(Instant::now()))
            }
            None => Some(failed("the driver's thread ended without an error".to_owned(), attempt)),
        }
    }

    /// Returns the next step after a source has ended: to open the source again, or to end the attempt to open and read
    /// the camera. `intervals` are the intervals between the camera's pictures so far.
    fn handle_end(
        &mut self,
        result: Result<(), Error>,
        attempt: &mut Attempt,
        intervals: FrameIntervals,
    ) -> NextStep {
        let pictures = intervals.pictures() - attempt.intervals().pictures();
        let gave_pictures = attempt.end_source(intervals);
        if result.is_ok() && gave_pictures {
            if attempt.should_log_end() {
                info!(
                    pictures,
                    "the source ended without an error; the server reopens the source. Further ends \
                     without an error are logged at level debug"
                );
            } else {
                debug!(pictures, "the source ended without an error");
            }
            return ControlFlow::Continue(attempt.reopen_at(self.settings.max_fps));
        }
        let reason = match &result {
            Ok(()) => "the source has ended".to_owned(),
            Err(error) => one_line(error),
        };
        let due_at = match &result {
            // The camera responded, so its own frame rate sets the time of the next opening.
            Ok(()) | Err(Error::EndedEarly { .. }) => attempt.reopen_at(self.settings.max_fps),
            Err(_) => attempt.retry_at(),
        };
        let error = result.err();
        // A live camera can deliver no picture for up to `stall_timeout`, whatever the number of openings.
        if attempt.live_since.is_some() && !gave_pictures && error.as_ref().is_none_or(may_recover_soon) {
            debug!(%reason, "the source ended without a picture; the server reopens the source");
            attempt.record_problem(reason);
            return ControlFlow::Continue(due_at);
        }
        // A camera that is lost now was already lost before the suspension.
        let may_be_excused =
            self.feed.status().state != CameraState::Lost && error.as_ref().is_none_or(is_connection_failure);
        if may_be_excused && self.suspend_monitor.has_resumed_recently() {
            info!(%reason, "the source failed while the server was suspended; the server reopens the source");
            attempt.record_problem(reason);
            return ControlFlow::Continue(attempt.retry_at());
        }
        let is_transient = error.is_none_or(|error| error.kind() != ErrorKind::Fatal);
        ControlFlow::Break(AttemptOutcome::Failed { reason, live_for: attempt.live_for(), is_transient })
    }

    /// Publishes a frame that the supervisor awaited: the camera is live, if it was not.
    fn publish_awaited(&mut self, frame: Frame, publisher: &mut Publisher, attempt: &mut Attempt) {
        let now = Instant::now();
        attempt.record_frame(now);
        if attempt.is_silent {
            attempt.is_silent = false;
            self.slates.end();
        }
        let format = Arc::clone(&frame.format);
        // Published before the status, so that a client that reads "live" finds a picture of this attempt.
        publisher.publish(frame);
        if attempt.live_since.is_none() {
            attempt.live_since = Some(now);
            self.mark_live(&format, attempt.is_probe);
        }
    }

    /// Reports that the camera delivers pictures. If the server only probes the camera, reports this only of a camera
    /// that was lost, and leaves it idle otherwise.
    fn mark_live(&mut self, format: &Format, is_probe: bool) {
        let (earlier, now) = (self.feed.status(), SystemTime::now());
        let lost_since = self.lost_since.take();
        if is_probe && lost_since.is_none() {
            debug!(width = format.width_px, height = format.height_px, "the camera works");
            self.feed.set_status(CameraStatus { checked_at: Some(now), ..earlier });
            return;
        }
        info!(width = format.width_px, height = format.height_px, "live");
        if self.camera.is_sub && !format.codec.is_video() {
            warn!(
                "the sub stream is neither H.264 nor H.265, so nobody gets it: choose one of these in the camera's own \
                 settings, or remove `sub`"
            );
        }
        let live = CameraStatus::new(CameraState::Live, now);
        self.feed.set_status(CameraStatus { checked_at: Some(now), ..live });
        let away = lost_since.map(|since| now.duration_since(since).unwrap_or_default());
        let text = away.map(|away| format!("lost for {}", rounded(away)));
        self.send_event(EventKind::Live, text.as_deref());
    }

    /// Reports that a client needs a camera that the server had opened only to probe it.
    fn announce_watched(&mut self, attempt: &mut Attempt) {
        let earlier = self.feed.status();
        // As in the log, a lost camera stays lost until a frame arrives.
        if earlier.state != CameraState::Idle {
            return;
        }
        info!(source = self.settings.source.for_log(), "opening");
        // If the source is not open yet, the report that it is open sends this event.
        if attempt.was_opened {
            self.send_event(EventKind::Opened, None);
        }
        let is_live = attempt.live_since.is_some();
        let state = if is_live { CameraState::Live } else { CameraState::Opening };
        self.feed.set_status(earlier.followed_by(state, SystemTime::now()));
        if !is_live {
            self.show_awaited(attempt.awaited.take());
        }
        if is_live {
            info!("live");
            self.send_event(EventKind::Live, None);
        }
    }

    /// Asks the reader to end, and waits up to [`CLOSE_TIMEOUT`] for its driver to close the device.
    async fn close(&mut self, mut reader: Reader) {
        let was_opened = reader.was_opened();
        reader.cancel();
        // A displaced reader cannot run until its thread does, and has no device that another reader needs.
        if !reader.is_displaced() && timeout(CLOSE_TIMEOUT, reader.end().wait()).await.is_err() {
            warn!("the driver did not close its device in time; the server stopped waiting");
            self.stuck.add(self.feed.name(), reader.into_end());
        }
        if was_opened {
            self.feed.count_closed();
        }
    }
}

/// Returns the next step for a failure that a retry might fix: the supervisor ends its attempt to open and read the
/// camera.
fn failed(reason: String, attempt: &Attempt) -> NextStep {
    ControlFlow::Break(AttemptOutcome::Failed { reason, live_for: attempt.live_for(), is_transient: true })
}

/// Returns whether a camera that has delivered pictures is likely to deliver one again within moments after `error`.
fn may_recover_soon(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Transient(Failure::Busy | Failure::Interrupted))
}

/// Returns whether `error` may come from a connection that broke while the machine slept.
fn is_connection_failure(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Transient(Failure::Connection | Failure::Interrupted))
}

/// Logs the format, picture size and frame rate that the device delivers, and what the server requested if that
/// differs.
fn log_capture(capture: &Capture) {
    let Capture { device, given, asked } = capture;
    if given.differs_from(asked) {
        info!(%device, %given, %asked, "the device did not apply the requested format, size or frame rate");
    } else {
        info!(%device, %given, "capturing");
    }
}
