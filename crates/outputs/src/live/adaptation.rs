//! Chooses the picture size of a tile (one camera's place on the client's page) that asked for a size that suits the
//! link.
//!
//! The [`Ladder`] decides, from the sizes of the pictures and from the part of the link's speed that the tile gets. The
//! tiles carry out the change.

use framecast_hub::Rendition;
use tokio::time::Instant;

use crate::ladder::Ladder;
use crate::rendition;

/// The number of pictures in a row without a skipped frame before them, after which the link counts as fast enough for
/// all pictures.
const SMOOTH_PICTURES: u32 = 16;

/// Whether the link is too slow for all pictures of a tile.
#[derive(Debug)]
pub(super) struct Lag {
    /// The number of pictures sent since the tile last skipped a frame.
    smooth: u32,
    /// The number of frames that the tile had skipped when the last picture was sent.
    skipped_frames: u64,
}

impl Lag {
    /// Creates the state of a tile that has skipped no frame yet.
    pub(super) fn new() -> Self {
        Self { smooth: SMOOTH_PICTURES, skipped_frames: 0 }
    }

    /// Records that a picture was sent. The tile has skipped `skipped_frames` frames so far.
    pub(super) fn sent(&mut self, skipped_frames: u64) {
        self.smooth = if skipped_frames > self.skipped_frames { 0 } else { self.smooth.saturating_add(1) };
        self.skipped_frames = skipped_frames;
    }

    /// Returns whether the tile has skipped frames of late.
    pub(super) fn is_behind(&self) -> bool {
        self.smooth < SMOOTH_PICTURES
    }
}

/// The adaptation of one tile to the link.
#[derive(Debug)]
pub(super) struct TileAdaptation {
    /// The size and quality that the client requested.
    requested: Rendition,
    /// The maximum number of pictures a second that the client takes; `None` for no limit.
    fps: Option<f64>,
    /// The width of the pictures that the tile shows now, in pixels; `None` for the requested size.
    width_px: Option<u32>,
    /// The picture sizes to choose from. The largest is the size of the tile's first picture, so this is `None` before
    /// that picture.
    ladder: Option<Ladder>,
    /// The number of the picture size to which the tile is changing; `None` if no change is under way.
    pending: Option<usize>,
}

/// A picture that was just sent, and what is known about its tile.
#[derive(Debug, Clone, Copy)]
pub(super) struct SentTile {
    pub(super) bytes: usize,
    pub(super) width_px: u32,
    /// The number of pictures a second that there are to send.
    pub(super) max_fps: f64,
    /// How much of the link's speed the tile gets; `None` if that is not known, or if the link is fast enough for all
    /// pictures.
    pub(super) bytes_per_second: Option<u64>,
}

impl TileAdaptation {
    pub(super) fn new(requested: Rendition, fps: Option<f64>) -> Self {
        Self { requested, fps, width_px: None, ladder: None, pending: None }
    }

    /// Returns the size and quality that the client requested.
    pub(super) fn requested(&self) -> Rendition {
        self.requested
    }

    /// Returns whether a change of the picture size is under way that [`sent`](Self::sent) has proposed.
    pub(super) fn is_changing(&self) -> bool {
        self.pending.is_some()
    }

    /// Gives up the change under way, if there is one. Returns the size and quality that the tile shows, for a client
    /// that takes at most `fps` pictures a second.
    pub(super) fn stay(&mut self, fps: Option<f64>) -> Rendition {
        (self.pending, self.fps) = (None, fps);
        self.of_width(self.width_px)
    }

    /// Records that the change under way is complete, if there is one. Returns the size that the tile shows now.
    pub(super) fn switched(&mut self, now: Instant) -> Option<Rendition> {
        let (rung, ladder) = (self.pending.take()?, self.ladder.as_mut()?);
        ladder.switched(now, rung);
        self.width_px = ladder.width_px(rung);
        Some(self.of_width(self.width_px))
    }

    /// Records that a picture was sent at `now`. Returns the size to change to, if a change is due.
    pub(super) fn sent(&mut self, now: Instant, sent: SentTile) -> Option<Rendition> {
        let ladder = self.ladder.get_or_insert_with(|| Ladder::new(sent.width_px, now));
        ladder.sent(sent.bytes);
        let rung = ladder.propose(now, sent.bytes_per_second, sent.max_fps);
        let rung = rung.filter(|_| self.pending.is_none())?;
        let width_px = ladder.width_px(rung);
        self.pending = Some(rung);
        Some(self.of_width(width_px))
    }

    /// Records that the size that [`sent`](Self::sent) returned cannot be had.
    pub(super) fn failed(&mut self, now: Instant) {
        self.pending = None;
        if let Some(ladder) = &mut self.ladder {
            ladder.switch_failed(now);
        }
    }

    /// Returns the requested pictures in a width of `width_px` pixels, or unchanged for `None`.
    fn of_width(&self, width_px: Option<u32>) -> Rendition {
        width_px.map_or(self.requested, |width_px| rendition::narrowed(self.requested, width_px, self.fps))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_tile_that_skips_frames_gets_smaller_pictures_and_one_that_skips_none_gets_its_own_again() {
        let (mut tile, mut now) = (TileAdaptation::new(Rendition::default(), None), Instant::now());
        let (mut lag, mut skipped_frames) = (Lag::new(), 0);
        let mut play = |tile: &mut TileAdaptation, pictures: u32, skips: u64, bytes: usize| {
            let mut asked = None;
            for _ in 0..pictures {
                now += Duration::from_millis(100);
                skipped_frames += skips;
                lag.sent(skipped_frames);
                let (width_px, bytes_per_second) = (1280, lag.is_behind().then_some(250_000));
                let sent = SentTile { bytes, width_px, max_fps: 30.0, bytes_per_second };
                asked = asked.or(tile.sent(now, sent));
            }
            (asked, tile.switched(now))
        };
        assert_eq!(play(&mut tile, 30, 0, 76_000), (None, None), "the link carries all");
        let smaller = Some(Rendition::default().with_width(640));
        assert_eq!(play(&mut tile, 30, 2, 76_000), (smaller, smaller));
        let larger = Some(Rendition::default().with_width(960));
        assert_eq!(play(&mut tile, 90, 0, 20_000), (larger, larger));
        let own = Some(Rendition::default());
        assert_eq!(play(&mut tile, 90, 0, 40_000), (own, own));
    }
}
