//! Chooses the picture size for a viewer that asked for pictures of a size that suits its link: many small pictures are
//! better than one large picture a second.
//!
//! A [`Ladder`] has a rung for each picture size. From the number of bytes of the sent pictures and from the speed of
//! the link, it decides when to change to a smaller or larger size. It reads no clock. The stream decides how to switch
//! between rungs.

use std::time::Duration;

use tokio::time::Instant;

/// The widths in pixels of the picture sizes below the requested one.
const WIDTHS_PX: [u32; 4] = [960, 640, 480, 320];

/// The number of pictures a second that look like motion. If the link is too slow for this number, the ladder changes
/// to a smaller picture size, unless the camera itself delivers no more pictures than the link can transfer.
const TARGET_FPS: f64 = 10.0;

/// The share of the camera's pictures that the link must be able to transfer if the camera delivers fewer pictures a
/// second than [`TARGET_FPS`], or only a few more. The share is below 1, because the speed of the link is an estimate.
const TARGET_FPS_SHARE: f64 = 0.8;

/// How many times faster the link must be than a larger picture size needs, before the ladder changes to that size.
const HEADROOM: f64 = 1.3;

/// How long the ladder keeps a new picture size before it checks whether another size would suit the link better.
const SETTLE_TIME: Duration = Duration::from_secs(1);

/// How long the link must be fast enough for a larger picture size before the ladder changes to that size. This time
/// doubles with each change to a larger size that fails.
const CLIMB_AFTER: Duration = Duration::from_secs(5);
/// The maximum time for which the link must be fast enough for a larger picture size. The time is [`CLIMB_AFTER`] at
/// first, and doubles with each change to a larger size that fails.
const MAX_CLIMB_AFTER: Duration = Duration::from_secs(80);

/// If the ladder changes to a smaller picture size within this time after a change to a larger size, the change to the
/// larger size has failed.
const FAILED_WITHIN: Duration = Duration::from_secs(10);

/// The picture sizes for one viewer, and which of them is current.
#[derive(Debug)]
pub(crate) struct Ladder {
    /// The picture width of each rung in pixels, the largest first. The first is the requested width.
    widths_px: Vec<u32>,
    rung: usize,
    since: Instant,
    /// The moving average of the number of bytes of a picture at the current size; `None` before the first picture.
    bytes: Option<f64>,
    /// Since when the link has been fast enough for the next larger picture size; `None` while it is too slow.
    well_since: Option<Instant>,
    climb_after: Duration,
    climbed_at: Option<Instant>,
}

impl Ladder {
    /// Creates the ladder for a stream whose requested pictures are `width_px` wide.
    pub(crate) fn new(width_px: u32, now: Instant) -> Self {
        let smaller = WIDTHS_PX.into_iter().filter(|width| *width < width_px);
        Self {
            widths_px: std::iter::once(width_px).chain(smaller).collect(),
            rung: 0,
            since: now,
            bytes: None,
            well_since: None,
            climb_after: CLIMB_AFTER,
            climbed_at: None,
        }
    }

    /// Records that a picture of the current size was sent, with `bytes` bytes.
    pub(crate) fn sent(&mut self, bytes: usize) {
        let bytes = bytes as f64;
        self.bytes = Some(self.bytes.map_or(bytes, |mean| mean + (bytes - mean) / 8.0));
    }

    /// Returns the number of the rung (picture size) to change to; `None` if no change is due. `bytes_per_second` is
    /// the speed of the link, or `None` if the link is fast enough for all pictures. `max_fps` is the number of
    /// pictures a second that there are to send.
    ///
    /// Further calls return the rung again until the caller reports [`switched`](Self::switched) or
    /// [`switch_failed`](Self::switch_failed).
    pub(crate) fn propose(
        &mut self,
        now: Instant,
        bytes_per_second: Option<u64>,
        max_fps: f64,
    ) -> Option<usize> {
        let wanted = TARGET_FPS.min(max_fps * TARGET_FPS_SHARE);
        let bytes = self.bytes.filter(|_| now >= self.since + SETTLE_TIME)?;
        let carries = |rung: usize, wanted: f64| {
            bytes_per_second.is_none_or(|rate| rate as f64 >= wanted * self.estimate(bytes, rung))
        };
        if !carries(self.rung, wanted) {
            let mut smaller = self.rung + 1..self.widths_px.len();
            let proposal = smaller.clone().find(|rung| carries(*rung, wanted)).or(smaller.next_back());
            self.well_since = None;
            return proposal;
        }
        let larger = self.rung.checked_sub(1)?;
        if !carries(larger, wanted * HEADROOM) {
            self.well_since = None;
            return None;
        }
        let well_since = *self.well_since.get_or_insert(now);
        (now >= well_since + self.climb_after).then_some(larger)
    }

    /// Estimates how many bytes a picture has at the size of rung `rung`, if a picture of the current size has `bytes`
    /// bytes. The bytes grow with the number of pixels.
    fn estimate(&self, bytes: f64, rung: usize) -> f64 {
        let ratio = f64::from(self.widths_px[rung]) / f64::from(self.widths_px[self.rung]);
        bytes * ratio * ratio
    }

    /// Returns the picture width of rung `rung` in pixels; `None` for rung 0, which keeps the requested size.
    pub(crate) fn width_px(&self, rung: usize) -> Option<u32> {
        (rung > 0).then(|| self.widths_px[rung])
    }

    /// Records that the stream sends pictures of the size of rung `rung` from now on.
    pub(crate) fn switched(&mut self, now: Instant, rung: usize) {
        if rung < self.rung {
            self.climbed_at = Some(now);
        } else if self.climbed_at.take().is_some_and(|climbed_at| now < climbed_at + FAILED_WITHIN) {
            self.climb_after = (self.climb_after * 2).min(MAX_CLIMB_AFTER);
        } else {
            self.climb_after = CLIMB_AFTER;
        }
        (self.rung, self.since, self.bytes, self.well_since) = (rung, now, None, None);
    }

    /// Records that the stream could not change its picture size. The ladder then keeps the current size for some
    /// seconds.
    pub(crate) fn switch_failed(&mut self, now: Instant) {
        (self.since, self.well_since) = (now + CLIMB_AFTER, None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A link, and pictures that take some bytes for each pixel.
    struct Link {
        ladder: Ladder,
        now: Instant,
        bytes_per_second: f64,
        /// Bytes of a picture that is 1280 wide.
        picture: f64,
        /// Pictures a second that the camera gives.
        fps: f64,
        changes: u32,
    }

    impl Link {
        fn new(bytes_per_second: f64) -> Self {
            let now = Instant::now();
            Self {
                ladder: Ladder::new(1280, now),
                now,
                bytes_per_second,
                picture: 76e3,
                fps: 30.0,
                changes: 0,
            }
        }

        fn bytes(&self) -> f64 {
            let ratio = f64::from(self.ladder.widths_px[self.ladder.rung]) / 1280.0;
            // Small pictures take somewhat more bytes for each pixel.
            self.picture * ratio.powf(1.8)
        }

        /// Pictures a second that arrive.
        fn rate(&self) -> f64 {
            (self.bytes_per_second / self.bytes()).min(self.fps)
        }

        fn pass(&mut self, seconds: u32) {
            for _ in 0..seconds * 10 {
                self.now += Duration::from_millis(100);
                self.ladder.sent(self.bytes() as usize);
                let carried = (self.rate() < 30.0).then_some(self.bytes_per_second as u64);
                if let Some(rung) = self.ladder.propose(self.now, carried, self.fps) {
                    self.ladder.switched(self.now, rung);
                    self.changes += 1;
                }
            }
        }

        fn width_px(&self) -> Option<u32> {
            self.ladder.width_px(self.ladder.rung)
        }
    }

    #[test]
    fn a_link_that_carries_all_is_sent_what_was_asked_for() {
        let mut link = Link::new(10e6);
        link.pass(60);
        assert_eq!((link.width_px(), link.changes), (None, 0));
    }

    #[test]
    fn of_a_slow_camera_all_pictures_are_all_that_is_wanted() {
        let mut link = Link::new(250e3);
        link.fps = 2.0;
        link.pass(60);
        assert_eq!((link.width_px(), link.changes), (None, 0), "it carries three a second");
        link.bytes_per_second = 100e3;
        link.pass(10);
        assert!(link.width_px().is_some() && link.rate() >= 2.0 * TARGET_FPS_SHARE, "{:?}", link.width_px());
    }

    #[test]
    fn a_narrow_link_gets_enough_small_pictures_within_seconds_and_then_rest() {
        let mut link = Link::new(250e3);
        link.pass(4);
        assert!(link.rate() >= TARGET_FPS, "{} a second", link.rate());
        assert!(link.width_px().is_some_and(|width| width >= 480), "{:?}", link.width_px());
        let before = link.changes;
        link.pass(120);
        assert!(link.changes <= before + 2, "{} changes in two minutes", link.changes - before);
        assert!(link.rate() >= TARGET_FPS);
    }

    #[test]
    fn a_link_that_recovers_is_sent_the_full_size_again() {
        let mut link = Link::new(250e3);
        link.pass(10);
        link.bytes_per_second = 20e6;
        link.pass(40);
        assert_eq!(link.width_px(), None);
    }

    #[test]
    fn steps_up_that_fail_become_rare() {
        // At 960 too few pictures arrive, so the ladder goes down; at 640 all of them arrive.
        let mut link = Link::new(1.0);
        link.picture = 100e3;
        link.bytes_per_second = 450e3;
        link.pass(10);
        // A link that seems to carry all pictures at the smaller size, but cannot carry the larger one.
        let mut changes = Vec::new();
        for _ in 0..4 {
            let before = link.changes;
            link.pass(60);
            changes.push(link.changes - before);
        }
        assert!(changes.iter().all(|count| *count <= 6) && changes[3] <= 2, "{changes:?}");
    }

    #[test]
    fn the_smallest_is_kept_however_narrow_the_link_is() {
        let mut link = Link::new(20e3);
        link.pass(20);
        assert_eq!(link.width_px(), Some(320));
        assert!(Ladder::new(320, Instant::now()).widths_px == [320]);
    }
}
