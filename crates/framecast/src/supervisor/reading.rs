//! An open camera: reads its sources one after the other, each until it ends, and waits between them.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::SystemTime;

use framecast_drivers::{Capture, Error};
use framecast_hub::{EventKind, State, Status};
use framecast_media::Frame;
use tokio::time::{Instant, sleep_until, timeout};
use tracing::{debug, info, warn};

use super::opening::Opening;
use super::reader::{Reader, Report};
use super::rhythm::Rhythm;
use super::{CLOSE_TIMEOUT, MAX_STUCK_READERS, Outcome, Supervisor, sleep_until_some};
use crate::reason::one_line;

/// What an open camera waits for.
enum Awaited<'a> {
    /// The reports of the camera's source.
    Reports(&'a mut Reader),
    /// The time to open the camera's source again.
    Reopening(Instant),
}

/// The next step after a source or a wait: the camera's next source is due at this time, or the attempt has ended.
type Next = ControlFlow<Outcome, Instant>;

/// The result of waiting.
enum Came {
    Report(Option<Report>),
    Due,
}

impl Awaited<'_> {
    /// Cancel safe.
    async fn next(&mut self) -> Came {
        match self {
            Self::Reports(reader) => Came::Report(reader.next().await),
            Self::Reopening(due_at) => {
                sleep_until(*due_at).await;
                Came::Due
            }
        }
    }

    /// The picture intervals so far.
    fn rhythm(&self, opening: &Opening) -> Rhythm {
        match self {
            Self::Reports(reader) => reader.passage().rhythm(),
            Self::Reopening(_) => opening.rhythm(),
        }
    }

    /// Whether a frame has taken the fast path since the last activity; see [`Opening::has_passed`].
    fn has_passed(&self, opening: &mut Opening) -> bool {
        match self {
            Self::Reports(reader) => opening.has_passed(reader.passage()),
            Self::Reopening(_) => false,
        }
    }
}

impl Supervisor {
    /// Reads one source of the camera, from its opening to its closing.
    pub(super) async fn read_once(&mut self, opening: &mut Opening) -> Next {
        let mut reader = match self.spawn_reader(opening) {
            Ok(reader) => reader,
            Err(reason) => {
                self.mark_lost(&reason);
                return failed(reason, opening);
            }
        };
        let next = self.attend(opening, Awaited::Reports(&mut reader)).await;
        reader.passage().close();
        // Done before the device closes, which may take a while, because its last picture must not pass for live.
        self.mark_failed(&next);
        self.close(reader).await;
        next
    }

    /// Waits until `due_at`, when the source is to be opened again.
    pub(super) async fn wait_for_next_source(&mut self, opening: &mut Opening, due_at: Instant) -> Next {
        let next = self.attend(opening, Awaited::Reopening(due_at)).await;
        self.mark_failed(&next);
        next
    }

    /// Starts a thread that reads the camera; the error says why there is none.
    fn spawn_reader(&mut self, opening: &mut Opening) -> Result<Reader, String> {
        self.stuck.retain_mut(|reader| !reader.has_ended());
        let hangs = self.stuck.len();
        if hangs >= MAX_STUCK_READERS {
            return Err(format!("the driver hangs in {hangs} threads; waiting for one to return"));
        }
        let rhythm = opening.begin_source();
        let reader = Reader::spawn(&self.camera, rhythm, opening.again_since(), &opening.has_told_broken);
        reader.map_err(|error| format!("cannot start a thread: {error}"))
    }

    fn mark_failed(&mut self, next: &Next) {
        if let ControlFlow::Break(Outcome::Failed { reason, .. }) = next {
            self.mark_lost(reason);
        }
    }

    /// Publishes frames until the source ends, its reopening is due, the camera fails, or its last viewer has left.
    async fn attend(&mut self, opening: &mut Opening, mut awaited: Awaited<'_>) -> Next {
        loop {
            let (viewers, was_asked) = self.viewers();
            opening.note_viewers(viewers, was_asked, Instant::now());
            if let Awaited::Reports(reader) = &awaited {
                opening.note_passed(reader.passage().passed_at());
            }
            opening.note_woke(self.wake.woke_at());
            let idle_at = opening.idle_at(&self.settings);
            let stalled_at = opening.stalled_at(&awaited.rhythm(opening));
            let quiet_at = opening.quiet_at();
            let status = self.feed.status();
            tokio::select! {
                biased;
                () = self.shutdown.cancelled() => return ControlFlow::Break(Outcome::Shutdown),
                came = awaited.next() => match (came, &mut awaited) {
                    (Came::Report(report), Awaited::Reports(reader)) => {
                        if let Some(next) = self.take(report, opening, reader) {
                            return next;
                        }
                    }
                    _ => return ControlFlow::Continue(Instant::now()),
                },
                // Marked as changed again, for the check at the top of the loop.
                _ = self.demand.changed() => self.demand.mark_changed(),
                () = sleep_until_some(idle_at) => {
                    return ControlFlow::Break(Outcome::Unwatched { live_for: opening.live_for() });
                }
                () = sleep_until_some(stalled_at) => {
                    if let Some(next) = self.stall(opening, &awaited, &status) {
                        return next;
                    }
                }
                () = sleep_until_some(quiet_at), if !opening.is_quiet => self.fall_quiet(opening, &awaited),
                () = self.notices.show(&status), if opening.is_quiet && viewers > 0 => {}
            }
        }
    }

    /// Handles a silence that is too long. Does nothing if a frame has passed, or the program was suspended, meanwhile.
    fn stall(&mut self, opening: &mut Opening, awaited: &Awaited<'_>, status: &Status) -> Option<Next> {
        if awaited.has_passed(opening) || opening.note_woke(self.wake.woke_at()) {
            return None;
        }
        if opening.forgives_silence(self.wake.woke_at(), awaited.rhythm(opening)) {
            info!("nothing has come since the stop; the source is opened again");
            return Some(ControlFlow::Continue(opening.retry_at()));
        }
        let reason = opening.stall_reason(&awaited.rhythm(opening), &self.feed.stats());
        if status.reason.as_ref() != Some(&reason) {
            self.tell(EventKind::Stalled, Some(&reason));
        }
        Some(failed(reason, opening))
    }

    /// Starts the slates after a silence, with the same exceptions.
    fn fall_quiet(&mut self, opening: &mut Opening, awaited: &Awaited<'_>) {
        if awaited.has_passed(opening) || opening.note_woke(self.wake.woke_at()) {
            return;
        }
        opening.is_quiet = true;
        self.notices.begin();
    }

    /// Tells viewers and the log what an open source waits for.
    fn show_awaited(&self, awaited: Option<String>) {
        if let Some(awaited) = awaited {
            info!("{awaited}");
            let status = Status::new(State::Opening, SystemTime::now());
            self.feed.set_status(Status { reason: Some(awaited), ..status });
        }
    }

    /// Handles one report; returns the next step if it was the last of this source.
    fn take(&mut self, report: Option<Report>, opening: &mut Opening, reader: &mut Reader) -> Option<Next> {
        match report {
            Some(Report::Opened { longest_pause, awaited }) => {
                opening.note_opened(longest_pause);
                self.feed.count_opened();
                if !opening.is_again {
                    self.show_awaited(awaited);
                }
                // As in the log, a lost camera stays lost until a frame comes.
                if self.feed.status().state != State::Lost && !opening.is_again {
                    self.tell(EventKind::Opened, None);
                }
                None
            }
            Some(Report::Capture(capture)) => {
                if !opening.is_again {
                    log_capture(&capture);
                }
                self.camera.set_capture(Some(capture));
                None
            }
            Some(Report::Frame(frame)) => {
                self.publish(frame, opening);
                reader.passage().published();
                reader.passage().open();
                None
            }
            Some(Report::Ended(result)) => {
                let rhythm = reader.passage().rhythm();
                Some(self.end_of_source(result, opening, rhythm))
            }
            None => Some(failed("the driver's thread ended and gave no reason".to_owned(), opening)),
        }
    }

    /// Decides what follows the end of a source, by `rhythm`.
    fn end_of_source(&mut self, result: Result<(), Error>, opening: &mut Opening, rhythm: Rhythm) -> Next {
        let pictures = rhythm.pictures() - opening.rhythm().pictures();
        let gave_pictures = opening.end_source(rhythm);
        if result.is_ok() && gave_pictures {
            if opening.tells_ends() {
                info!(pictures, "the source has ended in order; it is opened again, now and each time");
            } else {
                debug!(pictures, "the source has ended in order");
            }
            return ControlFlow::Continue(opening.reopen_at(self.settings.max_fps));
        }
        let reason = match &result {
            Ok(()) => "the source has ended".to_owned(),
            Err(error) => one_line(error),
        };
        let due_at = match &result {
            // The camera answered, so its own frame rate sets the time of the next try.
            Ok(()) | Err(Error::EndedEarly { .. }) => opening.reopen_at(self.settings.max_fps),
            Err(_) => opening.retry_at(),
        };
        let error = result.err();
        // For a live camera the limit on silence decides how long it may go without a picture, whatever the number of
        // tries.
        if opening.live_since.is_some() && !gave_pictures && error.as_ref().is_none_or(Error::may_pass) {
            debug!(%reason, "no picture this time; the source is opened again");
            opening.note_trouble(reason);
            return ControlFlow::Continue(due_at);
        }
        // A camera that is lost now was already lost before the suspension.
        let may_be_forgiven =
            self.feed.status().state != State::Lost && error.as_ref().is_none_or(Error::is_of_connection);
        if may_be_forgiven && self.wake.is_recent() {
            info!(%reason, "the source did not outlive the stop; it is opened again");
            opening.note_trouble(reason);
            return ControlFlow::Continue(opening.retry_at());
        }
        let is_transient = error.is_none_or(|error| error.is_transient());
        ControlFlow::Break(Outcome::Failed { reason, live_for: opening.live_for(), is_transient })
    }

    fn publish(&mut self, frame: Frame, opening: &mut Opening) {
        let now = Instant::now();
        opening.note_frame(now);
        if opening.is_quiet {
            opening.is_quiet = false;
            self.notices.end();
        }
        let format = Arc::clone(&frame.format);
        // Published before the status, so that a client that reads "live" finds a picture of this attempt.
        self.feed.publish(frame);
        if opening.live_since.is_none() {
            opening.live_since = Some(now);
            info!(width = format.width_px, height = format.height_px, "live");
            self.feed.set_status(Status::new(State::Live, SystemTime::now()));
            self.tell(EventKind::Live, None);
        }
    }

    /// Ends the reader, and waits a moment for its driver to close the device.
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
}

/// The end of an attempt that a retry may fix.
fn failed(reason: String, opening: &Opening) -> Next {
    ControlFlow::Break(Outcome::Failed { reason, live_for: opening.live_for(), is_transient: true })
}

/// Logs what the device delivers, and what it was asked for if that differs.
fn log_capture(capture: &Capture) {
    let Capture { device, given, asked } = capture;
    if given.differs_from(asked) {
        info!(%device, %given, %asked, "the device gave something else than it was asked for");
    } else {
        info!(%device, %given, "capturing");
    }
}
