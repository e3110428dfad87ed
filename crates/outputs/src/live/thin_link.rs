//! Tells whether a link is too slow for the main stream of a camera, so that a tile should show the sub stream.
//!
//! A tile whose link is too slow jumps from keyframe to keyframe. If this happens again and again, the link is thin.
//! After a while the main stream is tried again, and if that fails soon, after twice as long the next time.

use std::time::Duration;

use tokio::time::Instant;

/// The number of times that frames of the main stream must be dropped within [`WINDOW`] before the link counts as thin.
/// A page that stalled once is not on a thin link.
const MAX_DROPS: usize = 3;

/// The time within which drops count together. It is longer than a few of the longest usual keyframe intervals, because
/// a viewer that is behind jumps once in each of them.
const WINDOW: Duration = Duration::from_secs(30);

/// Drops that follow each other within this time are one.
const SINGLE_DROP: Duration = Duration::from_secs(1);

/// The first and the longest time for which the link counts as thin.
const PAUSES: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(600));

/// How long the main stream must be shown before the next thin link is treated like a first one.
const FORGET_AFTER: Duration = Duration::from_secs(120);

/// What is known about the link of one tile.
#[derive(Debug)]
pub(super) struct ThinLink {
    /// Whether the last recorded stream was the main one, and how many of its frames had been dropped then.
    last: (bool, u64),
    /// When frames of the main stream were dropped within [`WINDOW`].
    drops: Vec<Instant>,
    /// Until when the link counts as thin; `None` while it does not.
    thin_until: Option<Instant>,
    /// For how long the link counts as thin the next time.
    pause: Duration,
    /// When the link ceased to count as thin.
    thick_since: Option<Instant>,
}

impl Default for ThinLink {
    fn default() -> Self {
        Self { last: (true, 0), drops: Vec::new(), thin_until: None, pause: PAUSES.0, thick_since: None }
    }
}

impl ThinLink {
    /// Returns whether the link is too slow for the main stream, as far as is known.
    pub(super) fn is_thin(&self) -> bool {
        self.thin_until.is_some()
    }

    /// Records that so many frames of the stream that is shown, the main one or the sub stream, were dropped so far.
    pub(super) fn record(&mut self, is_main: bool, dropped: u64, now: Instant) {
        let (was_main, before) = std::mem::replace(&mut self.last, (is_main, dropped));
        let has_dropped = dropped > if was_main == is_main { before } else { 0 };
        if let Some(until) = self.thin_until {
            // The sub stream is too much for the link, too.
            if has_dropped {
                self.thin_until = Some(until.max(now + PAUSES.0));
            } else if now >= until {
                (self.thin_until, self.thick_since) = (None, Some(now));
            }
            return;
        }
        if !is_main || !has_dropped || self.drops.last().is_some_and(|last| now < *last + SINGLE_DROP) {
            return;
        }
        self.drops.retain(|drop| now < *drop + WINDOW);
        self.drops.push(now);
        if self.drops.len() >= MAX_DROPS {
            self.begin_thin(now);
        }
    }

    fn begin_thin(&mut self, now: Instant) {
        self.drops.clear();
        if self.thick_since.is_some_and(|since| now >= since + FORGET_AFTER) {
            self.pause = PAUSES.0;
        }
        self.thin_until = Some(now + self.pause);
        self.pause = (self.pause * 2).min(PAUSES.1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// A link, and what was recorded of it.
    struct Played {
        link: ThinLink,
        now: Instant,
        is_main: bool,
        dropped: u64,
    }

    impl Played {
        fn new() -> Self {
            Self { link: ThinLink::default(), now: Instant::now(), is_main: true, dropped: 0 }
        }

        /// Records ten times a second, and drops frames each `every` seconds; never if that is 0. Returns after how many
        /// seconds the link was first as `is_thin` says.
        fn until(&mut self, is_thin: bool, every: u64) -> Option<u64> {
            for tenths in 0..36_000 {
                if self.link.is_thin() == is_thin {
                    return Some(tenths / 10);
                }
                self.now += SECOND / 10;
                if every > 0 && tenths % (every * 10) < 3 {
                    self.dropped += 5;
                }
                self.link.record(self.is_main, self.dropped, self.now);
            }
            None
        }

        fn switch(&mut self, is_main: bool) {
            (self.is_main, self.dropped) = (is_main, 0);
            self.link.record(is_main, 0, self.now);
        }
    }

    #[test]
    fn a_link_that_drops_frames_again_and_again_is_thin_and_one_that_does_so_now_and_then_is_not() {
        for (every, expected) in [(1, Some(2)), (4, Some(8)), (14, Some(28)), (16, None), (0, None)] {
            assert_eq!(Played::new().until(true, every), expected, "{every}");
        }
    }

    #[test]
    fn the_main_stream_is_tried_again_later_and_later() {
        let mut link = Played::new();
        for pause in [30, 60, 120, 240, 480, 600, 600] {
            link.switch(true);
            assert!(link.until(true, 4).is_some());
            link.switch(false);
            assert_eq!(link.until(false, 0), Some(pause));
        }
        link.switch(true);
        link.now += FORGET_AFTER;
        assert!(link.until(true, 4).is_some());
        link.switch(false);
        assert_eq!(link.until(false, 0), Some(30), "the link was good for a while");
    }

    #[test]
    fn a_link_that_is_too_slow_even_for_the_sub_stream_stays_thin() {
        let mut link = Played::new();
        assert!(link.until(true, 4).is_some());
        link.switch(false);
        assert_eq!(link.until(false, 20), None);
    }
}
