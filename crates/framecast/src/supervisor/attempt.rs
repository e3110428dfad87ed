//! The state of one attempt to open and read a camera: its picture intervals, its viewers, and how long it has
//! delivered no picture.
//!
//! If a source ends without an error after a picture, the supervisor opens the source again within the same attempt,
//! and viewers see one stream. So the state of the attempt continues.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use framecast_hub::{DemandCounts, Stats};
use tokio::time::Instant;

use super::frame_intervals::FrameIntervals;
use super::progress::Progress;
use super::stall_policy::{StallPolicy, rounded};
use crate::config::CameraSettings;

/// The minimum time between two openings of a source, however high its frame rate is.
const REOPENING_INTERVAL: Duration = Duration::from_millis(100);

/// The minimum time between two openings of a source after a failure for which the supervisor does not report the
/// camera as lost. A network needs a moment to recover, and a busy server a moment to become free.
const EXCUSED_RETRY_DELAY: Duration = Duration::from_secs(1);

/// The time after a suspension of the program during which an arriving frame does not prove that the connection works:
/// the frame might have waited in a socket whose peer is gone.
const RESUME_GRACE: Duration = Duration::from_secs(1);

/// One attempt of the supervisor to open and read the camera. It can include several openings of the camera's source.
pub(super) struct Attempt {
    pub(super) live_since: Option<Instant>,
    /// The time from which the supervisor counts how long the camera has delivered no picture: the time at which the
    /// source opened, the last frame arrived, or the program last continued after a suspension, whichever was latest.
    last_activity: Instant,
    pub(super) stall_policy: StallPolicy,
    /// The intervals between the camera's pictures that arrived before the current source was opened.
    intervals: FrameIntervals,
    unwatched_since: Option<Instant>,
    /// Whether the server only probes the camera: no client has needed it during this attempt.
    pub(super) is_probe: bool,
    /// What the source of a probe waits for before its first picture; `None` if it waits for nothing.
    pub(super) awaited: Option<String>,
    /// Whether viewers get slates (pictures with a text) instead of the camera's pictures: no frame has arrived yet, or
    /// the last frame arrived a while ago.
    pub(super) is_silent: bool,
    /// When this attempt to open and read the camera began.
    started_at: Instant,
    /// When the supervisor last began to open a source.
    source_began_at: Instant,
    /// Whether the camera's source was opened at least once in this attempt.
    pub(super) was_opened: bool,
    /// Whether the current source is at least the second one that this attempt opens.
    pub(super) is_reopened: bool,
    /// Whether the time without a picture starts at zero when the next source begins, because a suspension of the
    /// program might have broken the connection to the camera.
    is_silence_excused: bool,
    /// Why the previous source ended without a picture, if the reason is known.
    last_problem: Option<String>,
    /// Whether the log already says that the camera's pictures are broken.
    pub(super) has_logged_broken: Arc<AtomicBool>,
    /// Whether the log already says that the source ends repeatedly.
    has_logged_end: bool,
}

impl Attempt {
    pub(super) fn new(settings: &CameraSettings, is_probe: bool) -> Self {
        let now = Instant::now();
        Self {
            live_since: None,
            last_activity: now,
            stall_policy: StallPolicy::of(settings),
            intervals: FrameIntervals::default(),
            unwatched_since: None,
            is_probe,
            awaited: None,
            is_silent: true,
            started_at: now,
            source_began_at: now,
            was_opened: false,
            is_reopened: false,
            is_silence_excused: false,
            last_problem: None,
            has_logged_broken: Arc::default(),
            has_logged_end: false,
        }
    }

    /// Records that the supervisor begins to open a source. Returns the intervals between all pictures of the camera so
    /// far.
    pub(super) fn begin_source(&mut self) -> FrameIntervals {
        self.source_began_at = Instant::now();
        self.is_reopened = self.was_opened;
        if std::mem::take(&mut self.is_silence_excused) {
            self.last_activity = self.source_began_at;
        }
        self.intervals.mark_reopened();
        self.intervals
    }

    /// Records that the source is open. `max_frame_gap` is the longest normal time between two pictures of the source.
    pub(super) fn record_opened(&mut self, max_frame_gap: Duration) {
        self.stall_policy.set_max_frame_gap(max_frame_gap);
        // For a reopened source, the time without a picture counts from the last picture.
        if !self.is_reopened {
            self.last_activity = Instant::now();
        }
        self.was_opened = true;
    }

    /// Records that the supervisor heard of a frame at the time `now`.
    pub(super) fn record_frame(&mut self, now: Instant) {
        self.last_activity = now;
    }

    /// Records who needs the camera at the time `now`. `had_client` says whether a client has connected since the last
    /// call. Returns whether this is the first client of an attempt that was only to check the camera.
    pub(super) fn record_demand(&mut self, demand: DemandCounts, had_client: bool, now: Instant) -> bool {
        let users = demand.clients() + demand.probes;
        self.unwatched_since = update_unwatched_since(self.unwatched_since, users, had_client, now);
        had_client && std::mem::take(&mut self.is_probe)
    }

    /// Records when the last frame arrived, according to the thread that reads the source.
    pub(super) fn record_progress(&mut self, progress: &Progress) {
        if let Some(last_at) = progress.intervals().last_at() {
            self.last_activity = self.last_activity.max(last_at);
        }
    }

    /// Records `resumed_at`, when the program last continued after a suspension; `None` if it was never suspended. The
    /// time without a picture then starts at `resumed_at` at the earliest. Returns whether this call has changed
    /// the start of the time without a picture.
    pub(super) fn record_resume(&mut self, resumed_at: Option<Instant>) -> bool {
        let before = self.last_activity;
        self.last_activity = resumed_at.map_or(before, |resumed_at| resumed_at.max(before));
        self.last_activity > before
    }

    /// Returns whether a suspension of the program might be why the camera delivers no picture: the program continued
    /// at `resumed_at`, and no frame has arrived later than [`RESUME_GRACE`] after that. The camera might have vanished
    /// during the suspension without closing the connection. If `resumed_at` is `None`, the program was never
    /// suspended, and the result is false.
    ///
    /// If the result is true, also calls [`end_source`](Self::end_source) with `intervals`, the intervals between the
    /// camera's pictures so far. The time without a picture then starts at zero when the next source begins.
    pub(super) fn excuse_silence(&mut self, resumed_at: Option<Instant>, intervals: FrameIntervals) -> bool {
        if resumed_at.is_none_or(|resumed_at| self.last_activity > resumed_at + RESUME_GRACE) {
            return false;
        }
        self.end_source(intervals);
        self.last_activity = Instant::now();
        self.is_silence_excused = true;
        true
    }

    /// Records why the source delivered no picture before it ended.
    pub(super) fn record_problem(&mut self, reason: String) {
        self.last_problem = Some(reason);
    }

    /// Returns whether a frame has arrived since the last one that the attempt has recorded. If there is none, the
    /// thread that reads the source hands over the next frame, because the caller then handles a camera that delivers
    /// no picture.
    pub(super) fn has_new_frame(&mut self, progress: &Progress) -> bool {
        let before = self.last_activity;
        progress.await_frame();
        self.record_progress(progress);
        if self.last_activity > before {
            progress.stop_awaiting();
        }
        self.last_activity > before
    }

    /// Returns when this attempt to open and read the camera began; `None` if the current source is the first source of
    /// this attempt.
    pub(super) fn reopened_since(&self) -> Option<std::time::Instant> {
        self.is_reopened.then(|| self.started_at.into_std())
    }

    /// Records the picture intervals of the camera at the end of a source. Returns whether this source delivered any
    /// pictures.
    pub(super) fn end_source(&mut self, intervals: FrameIntervals) -> bool {
        let new = intervals.pictures() - self.intervals.pictures();
        self.intervals = intervals;
        self.last_problem = self.last_problem.take().filter(|_| new == 0);
        new > 0
    }

    /// Returns when to open the source again after it ended without a known fault: when its next picture would be due
    /// according to its frame rate and to `max_fps`.
    pub(super) fn reopen_at(&self, max_fps: f64) -> Instant {
        let usual = self.intervals.interval_while_open().unwrap_or(REOPENING_INTERVAL);
        let usual = usual.max(Duration::from_secs_f64(1.0 / max_fps));
        let due_at = self.intervals.last_at().unwrap_or(self.source_began_at) + usual;
        due_at.max(self.source_began_at + REOPENING_INTERVAL)
    }

    /// Returns when to open the source again after a failure for which the supervisor does not report the camera as
    /// lost.
    pub(super) fn retry_at(&self) -> Instant {
        Instant::now().max(self.source_began_at + EXCUSED_RETRY_DELAY)
    }

    /// Returns whether to log that the source ended: true only in the first call, because the source can end
    /// repeatedly.
    pub(super) fn should_log_end(&mut self) -> bool {
        !std::mem::replace(&mut self.has_logged_end, true)
    }

    pub(super) fn idle_at(&self, settings: &CameraSettings) -> Option<Instant> {
        // A camera that was only checked need not stay open for the next client.
        let timeout =
            settings.idle_timeout.map(|timeout| if self.is_probe { Duration::ZERO } else { timeout });
        timeout.zip(self.unwatched_since).map(|(timeout, since)| since + timeout)
    }

    /// Returns when the camera counts as stalled if no picture arrives, given its picture `intervals` so far. Returns
    /// `None` if only outside events decide when a picture arrives, as in a watched folder.
    pub(super) fn stalled_at(&self, intervals: &FrameIntervals) -> Option<Instant> {
        self.last_activity.checked_add(self.stall_policy.lost_after(intervals)?)
    }

    /// Returns when viewers get a slate (a picture with a text) if no picture arrives: early enough that they do not
    /// mistake the last picture for a live picture. Returns `None` if only outside events decide when a picture
    /// arrives, as in a watched folder.
    pub(super) fn slate_at(&self) -> Option<Instant> {
        self.last_activity.checked_add(self.stall_policy.slate_after()?)
    }

    pub(super) fn stall_reason(&self, intervals: &FrameIntervals, stats: &Stats) -> String {
        let broken = intervals.broken();
        let reason = match (&stats.last_broken, self.stall_policy.lost_after(intervals)) {
            (Some(problem), Some(within)) if broken > 0 => {
                let (within, advice) = (rounded(within), self.stall_policy.advice(within));
                format!(
                    "no complete picture within {within}; broken pictures: {broken}, the last with this \
                     problem: {problem}; if a complete picture needs longer, {advice}"
                )
            }
            _ => self.stall_policy.reason(intervals),
        };
        // The problem of an earlier source is out of date once a picture has arrived.
        match self.last_problem.as_ref().filter(|_| intervals.pictures() == self.intervals.pictures()) {
            Some(problem) => format!("{reason}; the last attempt failed: {problem}"),
            None => reason,
        }
    }

    /// Returns the intervals between the camera's pictures that arrived before the current source was opened.
    pub(super) fn intervals(&self) -> FrameIntervals {
        self.intervals
    }

    pub(super) fn live_for(&self) -> Duration {
        self.live_since.map(|since| since.elapsed()).unwrap_or_default()
    }
}

/// Returns since when the camera has had no viewer; `None` if the camera has a viewer now. `since` is the result of the
/// last call. `had_viewer` says whether a viewer has connected since the last call. If that viewer has already left, as
/// after a request for one picture, the result is `now`, as if the viewer had only just left.
pub(super) fn update_unwatched_since(
    since: Option<Instant>,
    viewers: usize,
    had_viewer: bool,
    now: Instant,
) -> Option<Instant> {
    match (viewers, had_viewer) {
        (0, true) => Some(now),
        (0, false) => since.or(Some(now)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![warn(clippy::disallowed_methods)]

    use std::time::SystemTime;

    use framecast_drivers::SourceUrl;
    use framecast_hub::Hub;

    use super::*;

    const ANY_RATE: f64 = 120.0;

    fn attempt() -> Attempt {
        Attempt::new(&CameraSettings::new("door", SourceUrl::parse("http://cam/").unwrap()), false)
    }

    /// Opens the source once more and lets it deliver this number of `pictures`: the first one after the time `after`,
    /// and each further one after the time `every`. Then the source ends.
    async fn open_once(attempt: &mut Attempt, pictures: u32, every: Duration, after: Duration) {
        let mut intervals = attempt.begin_source();
        attempt.record_opened(Duration::ZERO);
        tokio::time::advance(after).await;
        for n in 0..pictures {
            if n > 0 {
                tokio::time::advance(every).await;
            }
            intervals.record(Instant::now());
        }
        assert_eq!(attempt.end_source(intervals), pictures > 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_source_that_ends_is_opened_again_when_its_next_picture_would_be_due() {
        let (mut attempt, second) = (attempt(), Duration::from_secs(1));
        for _ in 0..5 {
            open_once(&mut attempt, 5, second, second / 5).await;
            assert_eq!(attempt.reopen_at(ANY_RATE), Instant::now() + second);
            tokio::time::advance(second).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn one_picture_each_opening_is_fetched_ten_times_a_second_and_that_never_slows_down() {
        let mut attempt = attempt();
        for _ in 0..20 {
            let source_began_at = Instant::now();
            open_once(&mut attempt, 1, Duration::ZERO, Duration::from_millis(30)).await;
            assert_eq!(attempt.reopen_at(ANY_RATE), source_began_at + Duration::from_millis(130));
            tokio::time::advance(Duration::from_millis(100)).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_source_is_never_opened_more_than_ten_times_a_second_nor_faster_than_max_fps() {
        let mut attempt = attempt();
        let source_began_at = Instant::now();
        open_once(&mut attempt, 9, Duration::from_millis(1), Duration::ZERO).await;
        assert_eq!(attempt.reopen_at(ANY_RATE), source_began_at + REOPENING_INTERVAL);
        assert_eq!(attempt.reopen_at(0.5), Instant::now() + Duration::from_secs(2));
    }

    #[tokio::test(start_paused = true)]
    async fn the_time_between_two_openings_is_silence() {
        let mut attempt = attempt();
        open_once(&mut attempt, 3, Duration::from_secs(1), Duration::ZERO).await;
        attempt.record_frame(Instant::now());
        let stalled_at = attempt.stalled_at(&attempt.intervals());
        tokio::time::advance(Duration::from_secs(1)).await;
        let intervals = attempt.begin_source();
        attempt.record_opened(Duration::ZERO);
        assert_eq!(attempt.stalled_at(&intervals), stalled_at);
    }

    #[tokio::test(start_paused = true)]
    async fn silence_counts_from_when_the_program_woke() {
        let mut attempt = attempt();
        let allowed = Duration::from_secs(30);
        assert_eq!(attempt.stalled_at(&FrameIntervals::default()), Some(Instant::now() + allowed));
        tokio::time::advance(Duration::from_secs(3600)).await;
        let resumed_at = Instant::now();
        assert!(attempt.record_resume(Some(resumed_at)) && !attempt.record_resume(Some(resumed_at)));
        assert_eq!(attempt.stalled_at(&FrameIntervals::default()), Some(resumed_at + allowed));
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_brings_nothing_after_the_program_woke_is_forgiven_once() {
        let mut attempt = attempt();
        open_once(&mut attempt, 3, Duration::from_secs(1), Duration::ZERO).await;
        tokio::time::advance(Duration::from_secs(3600)).await;
        let resumed_at = Some(Instant::now());
        assert!(attempt.record_resume(resumed_at));
        tokio::time::advance(Duration::from_secs(5)).await;
        assert!(attempt.excuse_silence(resumed_at, attempt.intervals()));
        // The old source closes late.
        tokio::time::advance(Duration::from_secs(1)).await;
        let intervals = attempt.begin_source();
        assert_eq!(attempt.stalled_at(&intervals), Some(Instant::now() + Duration::from_secs(5)));
        tokio::time::advance(Duration::from_secs(5)).await;
        assert!(!attempt.record_resume(resumed_at) && !attempt.excuse_silence(resumed_at, intervals));
    }

    #[tokio::test(start_paused = true)]
    async fn a_camera_that_gave_a_picture_since_the_program_woke_is_not_forgiven() {
        let mut attempt = attempt();
        tokio::time::advance(Duration::from_secs(3600)).await;
        let resumed_at = Some(Instant::now());
        assert!(attempt.record_resume(resumed_at));
        tokio::time::advance(RESUME_GRACE * 2).await;
        attempt.record_frame(Instant::now());
        tokio::time::advance(Duration::from_secs(5)).await;
        let intervals = attempt.intervals();
        assert!(!attempt.excuse_silence(resumed_at, intervals) && !attempt.excuse_silence(None, intervals));
    }

    #[tokio::test(start_paused = true)]
    async fn a_source_that_never_opened_is_not_opened_again_but_for_the_first_time() {
        let mut attempt = attempt();
        attempt.begin_source();
        attempt.begin_source();
        assert!(!attempt.is_reopened);
        attempt.record_opened(Duration::ZERO);
        assert!(!attempt.is_reopened, "what this source says is news");
        attempt.begin_source();
        assert!(attempt.is_reopened);
    }

    #[tokio::test(start_paused = true)]
    async fn a_reason_tells_broken_pictures_what_to_write_and_the_last_try() {
        let mut attempt = attempt();
        let feed = Hub::new().add("door", SystemTime::UNIX_EPOCH).unwrap();
        let none_broken = feed.stats();
        let mut intervals = FrameIntervals::default();
        for number in 1..=2 {
            feed.count_broken(format!("picture {number}: no SOI"));
            intervals.record_broken();
        }
        let reason = attempt.stall_reason(&intervals, &feed.stats());
        assert_eq!(
            reason,
            "no complete picture within 30s; broken pictures: 2, the last with this problem: picture 2: no \
             SOI; if a complete picture needs longer, allow more time with stall_timeout = \"1m\""
        );
        intervals.record(Instant::now());
        let reason = attempt.stall_reason(&intervals, &feed.stats());
        assert!(
            reason.starts_with("no picture for 30s; "),
            "a whole picture came after the broken ones: {reason}"
        );
        intervals.record_broken();
        let reason = attempt.stall_reason(&intervals, &feed.stats());
        assert!(reason.contains("broken pictures: 1, the last"), "the camera was live before: {reason}");
        attempt.record_problem("503".to_owned());
        let reason = attempt.stall_reason(&attempt.intervals(), &none_broken);
        assert!(
            reason.starts_with("no picture for 30s; ") && reason.ends_with("; the last attempt failed: 503"),
            "{reason}"
        );
        open_once(&mut attempt, 1, Duration::ZERO, Duration::ZERO).await;
        assert!(!attempt.stall_reason(&attempt.intervals(), &none_broken).contains("503"));
    }
}
