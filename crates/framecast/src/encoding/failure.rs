//! Handles pictures that cannot be encoded. Viewers must not wait forever, and must not mistake the last good picture
//! for a live picture. So after a while they get a slate: a picture with a text that says what is wrong.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use framecast_hub::Rendition;
use framecast_media::codec::jpeg;
use framecast_media::{Codec, Format, Frame, Timestamp, draw, lock};
use framecast_transcode::Error;
use tracing::warn;

use crate::camera::Camera;
use crate::supervisor::DEFAULT_STALL_TIMEOUT;

/// The time between two slates (pictures with a text) that report that pictures cannot be encoded.
const SLATE_INTERVAL: Duration = Duration::from_secs(1);

/// The maximum width and height of a slate, the picture with a text that reports that pictures cannot be encoded.
const MAX_SIDE_PX: u32 = 1280;

const QUALITY: u8 = 75;

/// The streak of failures of one channel: all its pictures since a certain time could not be encoded. `None` if the
/// last picture was encoded.
#[derive(Debug, Default)]
pub(super) struct Failures(Mutex<Option<FailureStreak>>);

#[derive(Debug, Clone, Copy)]
struct FailureStreak {
    since: Instant,
    /// When viewers last got a slate (a picture with a text) about this streak of failures; `None` before the first
    /// slate.
    slate_at: Option<Instant>,
}

impl Failures {
    /// Ends the streak of failures, because a picture was encoded.
    pub(super) fn clear(&self) {
        *lock(&self.0) = None;
    }

    /// Records one more failure. Logs the first failure of a streak. When a streak has lasted for half the camera's
    /// `stall_timeout`, returns a slate (a picture with the error) for the viewers, at most once a second. Otherwise
    /// returns `None`.
    pub(super) fn record(
        &self,
        camera: &Camera,
        rendition: Rendition,
        format: &Format,
        error: &Error,
    ) -> Option<Frame> {
        let now = Instant::now();
        {
            let mut streak = lock(&self.0);
            let streak = streak.get_or_insert_with(|| {
                let (camera, rendition) = (camera.feed.name(), rendition.to_string());
                warn!(
                    camera,
                    rendition,
                    %error,
                    "cannot encode a picture; until encoding succeeds, further failures are not logged"
                );
                FailureStreak { since: now, slate_at: None }
            });
            let stall_timeout = camera.settings.stall_timeout.unwrap_or(DEFAULT_STALL_TIMEOUT);
            let is_quiet = now.duration_since(streak.since) >= stall_timeout / 2;
            if !is_quiet || streak.slate_at.is_some_and(|told| now.duration_since(told) < SLATE_INTERVAL) {
                return None;
            }
            streak.slate_at = Some(now);
        }
        draw_slate(camera.feed.name(), format, &error.to_string())
    }
}

/// Draws a slate: a picture with a text. The text says that the camera's picture cannot be encoded, and why. Returns
/// `None` if the slate cannot be encoded either.
pub(super) fn draw_slate(camera: &str, format: &Format, reason: &str) -> Option<Frame> {
    let picture = draw::slate(&draw::Slate {
        camera,
        headline: "Cannot encode the picture",
        lines: &[reason],
        background: None,
        width_px: format.width_px.min(MAX_SIDE_PX),
        height_px: format.height_px.min(MAX_SIDE_PX),
    });
    let (width_px, height_px) = (picture.width_px(), picture.height_px());
    let format = Arc::new(Format::new(Codec::Jpeg, width_px, height_px));
    let data = jpeg::encode(&picture, QUALITY).ok()?;
    Some(Frame::new(data, Timestamp::default(), SystemTime::now(), format))
}
