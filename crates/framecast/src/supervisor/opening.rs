//! The state of one attempt: its pictures, viewers and silence.
//!
//! If a source ends cleanly after a picture, the supervisor opens it again within the same attempt, and the viewers see
//! one stream. So this state goes on.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use framecast_hub::Stats;
use tokio::time::Instant;

use super::passage::Passage;
use super::patience::{Patience, shown};
use super::rhythm::Rhythm;
use crate::config::CameraSettings;

/// The least time between two openings of a source, however fast its pictures come.
const REOPENING_INTERVAL: Duration = Duration::from_millis(100);

/// The delay after an excused failure: a network takes a moment to come back, a busy server to be free.
const FORGIVEN_RETRY: Duration = Duration::from_secs(1);

/// A frame that comes so soon after the program resumed may have waited in a socket whose peer is gone.
const WAITED: Duration = Duration::from_secs(1);

/// One attempt of the supervisor to open and read the camera.
pub(super) struct Opening {
    pub(super) live_since: Option<Instant>,
    /// The last activity: when the source opened or delivered a frame, or when the program resumed.
    last_sign: Instant,
    pub(super) patience: Patience,
    /// The intervals between the pictures until the current source was opened.
    rhythm: Rhythm,
    unwatched_since: Option<Instant>,
    /// Whether viewers see slates: no frame has come yet, or none for a while.
    pub(super) is_quiet: bool,
    /// How many broken pictures the camera had before this attempt.
    broken_before: u64,
    /// When the camera was opened.
    started_at: Instant,
    /// When the source was opened last.
    begun_at: Instant,
    /// Whether this attempt has opened a source.
    was_opened: bool,
    /// The value of `was_opened` when the current source began.
    pub(super) is_again: bool,
    /// Whether the silence until the next source begins is excused.
    is_forgiven: bool,
    /// Why the last source delivered no picture, if that source gave a reason.
    trouble: Option<String>,
    /// Whether the log already says that pictures are broken.
    pub(super) has_told_broken: Arc<AtomicBool>,
    /// Whether the log already says that the source ends repeatedly.
    has_told_ends: bool,
}

impl Opening {
    pub(super) fn new(settings: &CameraSettings, broken_before: u64) -> Self {
        let now = Instant::now();
        Self {
            live_since: None,
            last_sign: now,
            patience: Patience::of(settings),
            rhythm: Rhythm::default(),
            unwatched_since: None,
            is_quiet: true,
            broken_before,
            started_at: now,
            begun_at: now,
            was_opened: false,
            is_again: false,
            is_forgiven: false,
            trouble: None,
            has_told_broken: Arc::default(),
            has_told_ends: false,
        }
    }

    /// Records that the supervisor begins to open a source; returns the intervals between the pictures until now.
    pub(super) fn begin_source(&mut self) -> Rhythm {
        self.begun_at = Instant::now();
        self.is_again = self.was_opened;
        if std::mem::take(&mut self.is_forgiven) {
            self.last_sign = self.begun_at;
        }
        self.rhythm.interrupt();
        self.rhythm
    }

    /// Records that the source is open.
    pub(super) fn note_opened(&mut self, longest_pause: Duration) {
        self.patience.set_longest_pause(longest_pause);
        // For a reopened source, the time without a picture counts from the last picture.
        if !self.is_again {
            self.last_sign = Instant::now();
        }
        self.was_opened = true;
    }

    /// Records a frame that the supervisor published.
    pub(super) fn note_frame(&mut self, now: Instant) {
        self.last_sign = now;
    }

    pub(super) fn note_viewers(&mut self, viewers: usize, was_asked: bool, now: Instant) {
        self.unwatched_since = unwatched(self.unwatched_since, viewers, was_asked, now);
    }

    /// Records when the last frame took the fast path.
    pub(super) fn note_passed(&mut self, passed_at: Option<Instant>) {
        self.last_sign = passed_at.map_or(self.last_sign, |passed_at| passed_at.max(self.last_sign));
    }

    /// Records that the program resumed; silence counts from there. Returns whether that changed the last activity.
    pub(super) fn note_woke(&mut self, woke_at: Option<Instant>) -> bool {
        let before = self.last_sign;
        self.last_sign = woke_at.map_or(before, |woke_at| woke_at.max(before));
        self.last_sign > before
    }

    /// Excuses the silence if nothing has come since the program resumed at `woke_at`: the peer may have vanished
    /// during the suspension without closing the connection. This ends the source and stores `rhythm`. The silence then
    /// counts from the beginning of the next source, and is not excused again.
    pub(super) fn forgives_silence(&mut self, woke_at: Option<Instant>, rhythm: Rhythm) -> bool {
        if woke_at.is_none_or(|woke_at| self.last_sign > woke_at + WAITED) {
            return false;
        }
        self.end_source(rhythm);
        self.last_sign = Instant::now();
        self.is_forgiven = true;
        true
    }

    /// Records why the source that has ended delivered no picture.
    pub(super) fn note_trouble(&mut self, reason: String) {
        self.trouble = Some(reason);
    }

    /// Whether a frame has taken the fast path since the last activity. If not, this closes the fast path, because what
    /// follows assumes a silent camera.
    pub(super) fn has_passed(&mut self, passage: &Passage) -> bool {
        let before = self.last_sign;
        passage.close();
        self.note_passed(passage.passed_at());
        if self.last_sign > before {
            passage.open();
        }
        self.last_sign > before
    }

    /// When the attempt began, if it has opened a source before the current one.
    pub(super) fn again_since(&self) -> Option<std::time::Instant> {
        self.is_again.then(|| self.started_at.into_std())
    }

    /// Stores the picture intervals at the end of a source; returns whether this source delivered any pictures.
    pub(super) fn end_source(&mut self, rhythm: Rhythm) -> bool {
        let new = rhythm.pictures() - self.rhythm.pictures();
        self.rhythm = rhythm;
        self.trouble = self.trouble.take().filter(|_| new == 0);
        new > 0
    }

    /// When to open a source again that ended without a known fault: when its next picture would be due.
    pub(super) fn reopen_at(&self, max_fps: f64) -> Instant {
        let usual = self.rhythm.interval_within_opening().unwrap_or(REOPENING_INTERVAL);
        let usual = usual.max(Duration::from_secs_f64(1.0 / max_fps));
        let due_at = self.rhythm.last_at().unwrap_or(self.begun_at) + usual;
        due_at.max(self.begun_at + REOPENING_INTERVAL)
    }

    /// When to open a source again after an excused failure.
    pub(super) fn retry_at(&self) -> Instant {
        Instant::now().max(self.begun_at + FORGIVEN_RETRY)
    }

    /// Whether to log that the source ends after so many pictures; true only once.
    pub(super) fn tells_ends(&mut self) -> bool {
        !std::mem::replace(&mut self.has_told_ends, true)
    }

    pub(super) fn idle_at(&self, settings: &CameraSettings) -> Option<Instant> {
        settings.idle_timeout.zip(self.unwatched_since).map(|(timeout, since)| since + timeout)
    }

    /// When the camera counts as stalled, by `rhythm`. `None` if the time between its pictures depends on outside
    /// events alone.
    pub(super) fn stalled_at(&self, rhythm: &Rhythm) -> Option<Instant> {
        self.last_sign.checked_add(self.patience.until_lost(rhythm)?)
    }

    /// When viewers get a slate: while the last picture might still pass for live.
    pub(super) fn quiet_at(&self) -> Option<Instant> {
        self.last_sign.checked_add(self.patience.until_told()?)
    }

    pub(super) fn stall_reason(&self, rhythm: &Rhythm, stats: &Stats) -> String {
        let broken = stats.broken - self.broken_before;
        let reason = match (&stats.last_broken, self.patience.until_lost(rhythm)) {
            (Some(problem), Some(within)) if rhythm.pictures() == 0 && broken > 0 => {
                let (within, advice) = (shown(within), self.patience.advice(within));
                format!("no whole picture within {within}, {broken} broken ones: {problem}; {advice}")
            }
            _ => self.patience.reason(rhythm),
        };
        // The reason of an earlier source is out of date once a picture has come.
        match self.trouble.as_ref().filter(|_| rhythm.pictures() == self.rhythm.pictures()) {
            Some(trouble) => format!("{reason}; at the last try: {trouble}"),
            None => reason,
        }
    }

    /// The picture intervals until the current source was opened.
    pub(super) fn rhythm(&self) -> Rhythm {
        self.rhythm
    }

    pub(super) fn live_for(&self) -> Duration {
        self.live_since.map(|since| since.elapsed()).unwrap_or_default()
    }
}

/// Since when the camera has had no viewer. A request for one picture that came and went counts as a viewer until now.
pub(super) fn unwatched(
    since: Option<Instant>,
    viewers: usize,
    was_asked: bool,
    now: Instant,
) -> Option<Instant> {
    match (viewers, was_asked) {
        (0, true) => Some(now),
        (0, false) => since.or(Some(now)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use framecast_drivers::SourceUrl;
    use framecast_hub::Hub;

    use super::*;

    const ANY_RATE: f64 = 120.0;

    fn opening() -> Opening {
        Opening::new(&CameraSettings::new("door", SourceUrl::parse("http://cam/").unwrap()), 0)
    }

    /// Opens the source once more and lets it deliver `pictures`, the first after `after`, the others `every` so often;
    /// then it ends.
    async fn open_once(opening: &mut Opening, pictures: u32, every: Duration, after: Duration) {
        let mut rhythm = opening.begin_source();
        opening.note_opened(Duration::ZERO);
        tokio::time::advance(after).await;
        for n in 0..pictures {
            if n > 0 {
                tokio::time::advance(every).await;
            }
            rhythm.note(Instant::now());
        }
        assert_eq!(opening.end_source(rhythm), pictures > 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_source_that_ends_is_opened_again_when_its_next_picture_would_be_due() {
        let (mut opening, second) = (opening(), Duration::from_secs(1));
        for _ in 0..5 {
            open_once(&mut opening, 5, second, second / 5).await;
            assert_eq!(opening.reopen_at(ANY_RATE), Instant::now() + second);
            tokio::time::advance(second).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn one_picture_each_opening_is_fetched_ten_times_a_second_and_that_never_slows_down() {
        let mut opening = opening();
        for _ in 0..20 {
            let begun_at = Instant::now();
            open_once(&mut opening, 1, Duration::ZERO, Duration::from_millis(30)).await;
            assert_eq!(opening.reopen_at(ANY_RATE), begun_at + Duration::from_millis(130));
            tokio::time::advance(Duration::from_millis(100)).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_source_is_never_opened_more_than_ten_times_a_second_nor_faster_than_max_fps() {
        let mut opening = opening();
        let begun_at = Instant::now();
        open_once(&mut opening, 9, Duration::from_millis(1), Duration::ZERO).await;
        assert_eq!(opening.reopen_at(ANY_RATE), begun_at + REOPENING_INTERVAL);
        assert_eq!(opening.reopen_at(0.5), Instant::now() + Duration::from_secs(2));
    }

    #[tokio::test(start_paused = true)]
    async fn the_time_between_two_openings_is_silence() {
        let mut opening = opening();
        open_once(&mut opening, 3, Duration::from_secs(1), Duration::ZERO).await;
        opening.note_frame(Instant::now());
        let stalled_at = opening.stalled_at(&opening.rhythm());
        tokio::time::advance(Duration::from_secs(1)).await;
        let rhythm = opening.begin_source();
        opening.note_opened(Duration::ZERO);
        assert_eq!(opening.stalled_at(&rhythm), stalled_at);
    }

    #[tokio::test(start_paused = true)]
    async fn silence_counts_from_when_the_program_woke() {
        let mut opening = opening();
        let allowed = Duration::from_secs(30);
        assert_eq!(opening.stalled_at(&Rhythm::default()), Some(Instant::now() + allowed));
        tokio::time::advance(Duration::from_secs(3600)).await;
        let woke_at = Instant::now();
        assert!(opening.note_woke(Some(woke_at)) && !opening.note_woke(Some(woke_at)));
        assert_eq!(opening.stalled_at(&Rhythm::default()), Some(woke_at + allowed));
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_brings_nothing_after_the_program_woke_is_forgiven_once() {
        let mut opening = opening();
        open_once(&mut opening, 3, Duration::from_secs(1), Duration::ZERO).await;
        tokio::time::advance(Duration::from_secs(3600)).await;
        let woke_at = Some(Instant::now());
        assert!(opening.note_woke(woke_at));
        tokio::time::advance(Duration::from_secs(5)).await;
        assert!(opening.forgives_silence(woke_at, opening.rhythm()));
        // The old source closes late.
        tokio::time::advance(Duration::from_secs(1)).await;
        let rhythm = opening.begin_source();
        assert_eq!(opening.stalled_at(&rhythm), Some(Instant::now() + Duration::from_secs(5)));
        tokio::time::advance(Duration::from_secs(5)).await;
        assert!(!opening.note_woke(woke_at) && !opening.forgives_silence(woke_at, rhythm));
    }

    #[tokio::test(start_paused = true)]
    async fn a_camera_that_gave_a_picture_since_the_program_woke_is_not_forgiven() {
        let mut opening = opening();
        tokio::time::advance(Duration::from_secs(3600)).await;
        let woke_at = Some(Instant::now());
        assert!(opening.note_woke(woke_at));
        tokio::time::advance(WAITED * 2).await;
        opening.note_frame(Instant::now());
        tokio::time::advance(Duration::from_secs(5)).await;
        let rhythm = opening.rhythm();
        assert!(!opening.forgives_silence(woke_at, rhythm) && !opening.forgives_silence(None, rhythm));
    }

    #[tokio::test(start_paused = true)]
    async fn a_source_that_never_opened_is_not_opened_again_but_for_the_first_time() {
        let mut opening = opening();
        opening.begin_source();
        opening.begin_source();
        assert!(!opening.is_again);
        opening.note_opened(Duration::ZERO);
        assert!(!opening.is_again, "what this source says is news");
        opening.begin_source();
        assert!(opening.is_again);
    }

    #[tokio::test(start_paused = true)]
    async fn a_reason_tells_broken_pictures_what_to_write_and_the_last_try() {
        let mut opening = opening();
        let feed = Hub::new().add("door", SystemTime::UNIX_EPOCH).unwrap();
        let none_broken = feed.stats();
        (1..=2).for_each(|number| feed.count_broken(format!("picture {number}: no SOI")));
        let reason = opening.stall_reason(&Rhythm::default(), &feed.stats());
        assert_eq!(
            reason,
            "no whole picture within 30s, 2 broken ones: picture 2: no SOI; allow more with stall_timeout = \"1m\""
        );
        opening.note_trouble("503".to_owned());
        let reason = opening.stall_reason(&opening.rhythm(), &none_broken);
        assert!(
            reason.starts_with("no picture for 30s; ") && reason.ends_with("; at the last try: 503"),
            "{reason}"
        );
        open_once(&mut opening, 1, Duration::ZERO, Duration::ZERO).await;
        assert!(!opening.stall_reason(&opening.rhythm(), &none_broken).contains("503"));
    }
}
