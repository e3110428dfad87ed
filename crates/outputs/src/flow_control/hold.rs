//! How long to hold back the next picture after the last one has left the server. For viewers whose socket is unknown.
//!
//! When a picture leaves a server whose link is too slow for all pictures, the buffers behind it are full: those of
//! TLS, of the kernel and of the routers. A pause drains them and does not slow the stream, as long as it does not
//! empty them. So the pause grows until fewer bytes a second leave, and then shrinks again.

use std::time::Duration;

use tokio::time::Instant;

/// How much longer the pause becomes with each picture that it does not slow down.
const STEP: Duration = Duration::from_millis(8);

/// The share of the best speed below which the pause was too long.
const BUSY_SHARE: f64 = 0.93;

/// The number of pictures after which the best speed of the pictures before them no longer counts.
const WINDOW_PICTURES: u32 = 16;

/// The pause after each picture of one viewer.
#[derive(Debug, Default)]
pub(super) struct Hold {
    pause: Duration,
    left_at: Option<Instant>,
    /// Whether the last picture waited for room in full buffers.
    had_waited: bool,
    /// The highest speed, in bytes a second, among the last pictures, and among those before.
    best: [f64; 2],
    pictures: u32,
}

impl Hold {
    /// Records that a picture of `bytes` bytes left at `now`. `has_waited` says whether the buffers were full, and
    /// `is_late` whether the link might have been idle before the picture.
    pub(super) fn left(&mut self, now: Instant, bytes: u64, has_waited: bool, is_late: bool) {
        let since = self.left_at.replace(now).map(|left_at| now.saturating_duration_since(left_at));
        let had_waited = std::mem::replace(&mut self.had_waited, has_waited);
        if !has_waited {
            self.pause /= 2;
        } else if let Some(since) = since.filter(|_| had_waited && !is_late) {
            self.adjust(bytes as f64 / since.as_secs_f64());
        }
    }

    /// Returns how long each picture is held back.
    pub(super) fn pause(&self) -> Duration {
        self.pause
    }

    /// Returns until when the next picture is held back; `None` if it is not.
    pub(super) fn until(&self) -> Option<Instant> {
        self.left_at.filter(|_| self.pause >= STEP).map(|left_at| left_at + self.pause)
    }

    /// Changes the pause after a picture left that began to wait as soon as the pause had ended. `bytes_per_second` is
    /// the speed since the picture before it had left.
    fn adjust(&mut self, bytes_per_second: f64) {
        let [recent, before] = self.best;
        let is_busy = bytes_per_second >= BUSY_SHARE * recent.max(before);
        self.pause = if is_busy { self.pause + STEP } else { self.pause * 3 / 4 };
        self.best[0] = recent.max(bytes_per_second);
        self.pictures += 1;
        if self.pictures >= WINDOW_PICTURES {
            (self.best, self.pictures) = ([0.0, self.best[0]], 0);
        }
    }
}
