//! Chooses the picture size of a tile (one camera's place on the client's page) that asked for a size that suits the
//! link.
//!
//! The [`Ladder`] decides, from the sizes of the pictures and from the part of the link's speed that the tile gets. The
//! tiles carry out the change.

use framecast_hub::Rendition;
use tokio::time::Instant;

use crate::ladder::Ladder;

/// The number of pictures in a row without a skipped frame before them, after which the link counts as fast enough for
/// all pictures.
const SMOOTH_PICTURES: u32 = 16;

/// The adaptation of one tile to the link.
#[derive(Debug)]
pub(super) struct TileAdaptation {
    /// The size and quality that the client requested.
    requested: Rendition,
    /// The size and quality that the tile shows now.
    current: Rendition,
    /// The picture sizes to choose from. The largest is the size of the tile's first picture, so this is `None` before
    /// that picture.
    ladder: Option<Ladder>,
    /// The number of the picture size to which the tile is changing; `None` if no change is under way.
    pending: Option<usize>,
    /// The number of pictures sent since the tile last skipped a frame.
    smooth: u32,
    skipped_frames: u64,
}

/// A picture that was just sent, and what is known about its tile.
#[derive(Debug, Clone, Copy)]
pub(super) struct SentTile {
    pub(super) bytes: usize,
    pub(super) width_px: u32,
    /// The number of frames that the tile has skipped so far.
    pub(super) skipped_frames: u64,
    /// The number of pictures a second that there are to send.
    pub(super) max_fps: f64,
    /// How much of the link's speed the tile gets; `None` if that is not known yet.
    pub(super) bytes_per_second: Option<u64>,
}

impl TileAdaptation {
    pub(super) fn new(requested: Rendition) -> Self {
        let (smooth, skipped_frames) = (SMOOTH_PICTURES, 0);
        Self { requested, current: requested, ladder: None, pending: None, smooth, skipped_frames }
    }

    /// Returns the size and quality that the client requested.
    pub(super) fn requested(&self) -> Rendition {
        self.requested
    }

    /// Gives up the change under way, if there is one. Returns the size and quality that the tile shows.
    pub(super) fn stay(&mut self) -> Rendition {
        self.pending = None;
        self.current
    }

    /// Records that the change under way is complete, if there is one. Returns the size that the tile shows now.
    pub(super) fn switched(&mut self, now: Instant) -> Option<Rendition> {
        let (rung, ladder) = (self.pending.take()?, self.ladder.as_mut()?);
        ladder.switched(now, rung);
        self.current = of_rung(self.requested, ladder, rung);
        Some(self.current)
    }

    /// Records that a picture was sent at `now`. Returns the size to change to, if a change is due.
    pub(super) fn sent(&mut self, now: Instant, sent: SentTile) -> Option<Rendition> {
        self.smooth =
            if sent.skipped_frames > self.skipped_frames { 0 } else { self.smooth.saturating_add(1) };
        self.skipped_frames = sent.skipped_frames;
        let ladder = self.ladder.get_or_insert_with(|| Ladder::new(sent.width_px, now));
        ladder.sent(sent.bytes);
        let is_behind = self.smooth < SMOOTH_PICTURES;
        let bytes_per_second = sent.bytes_per_second.filter(|_| is_behind);
        // The link need not carry more pictures than there are.
        let max_fps = bytes_per_second.map_or(f64::INFINITY, |_| sent.max_fps);
        let rung = ladder.propose(now, bytes_per_second, max_fps).filter(|_| self.pending.is_none())?;
        self.pending = Some(rung);
        Some(of_rung(self.requested, ladder, rung))
    }

    /// Records that the size that [`sent`](Self::sent) returned cannot be had.
    pub(super) fn failed(&mut self, now: Instant) {
        self.pending = None;
        if let Some(ladder) = &mut self.ladder {
            ladder.switch_failed(now);
        }
    }
}

fn of_rung(requested: Rendition, ladder: &Ladder, rung: usize) -> Rendition {
    ladder.width_px(rung).map_or(requested, |width_px| requested.with_width(width_px))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_tile_that_skips_frames_gets_smaller_pictures_and_one_that_skips_none_gets_its_own_again() {
        let (mut tile, mut now) = (TileAdaptation::new(Rendition::default()), Instant::now());
        let mut skipped_frames = 0;
        let mut play = |tile: &mut TileAdaptation, pictures: u32, skips: u64, bytes: usize| {
            let mut asked = None;
            for _ in 0..pictures {
                now += Duration::from_millis(100);
                skipped_frames += skips;
                let (width_px, bytes_per_second) = (1280, Some(250_000));
                let sent = SentTile { bytes, width_px, skipped_frames, max_fps: 30.0, bytes_per_second };
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
