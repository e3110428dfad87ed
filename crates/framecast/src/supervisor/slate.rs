//! The slate that replaces the picture of a camera that is not live. It shows the state of the camera, the reason, when
//! the state began, and when the server tries again.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use framecast_hub::{CameraState, CameraStatus, Feed, SlatePublisher, SourceKind, Update};
use framecast_media::codec::{RgbImage, jpeg};
use framecast_media::{Codec, Format, Frame, Timestamp, draw};
use framecast_transcode::{Backend, TargetFormat, Transcoder};
use jiff::tz::TimeZone;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};
use tracing::warn;

use crate::camera::Farewell;

/// The time between two slates (pictures with a text) of a camera. Each slate shows a countdown in seconds.
const SLATE_INTERVAL: Duration = Duration::from_secs(1);

/// The age up to which the camera's last picture counts as live when a viewer connects.
const LIVE_AGE: Duration = Duration::from_secs(1);

/// How much older than the camera's newest frame a picture can be that the server made of its video, to count as the
/// camera's last picture.
const MAX_PICTURE_LAG: Duration = Duration::from_secs(1);

/// The maximum width of a slate (a picture with a text). A slate is drawn each second, and its text gains nothing from
/// a larger size.
const MAX_WIDTH_PX: u32 = 1280;
const MAX_HEIGHT_PX: u32 = 960;
const DEFAULT_SIZE_PX: (u32, u32) = (640, 480);
const MIN_SIZE_PX: (u32, u32) = (320, 180);

/// The maximum number of pixels of a camera picture that is decoded as the background of a slate (a picture with a
/// text). No camera delivers pictures with more pixels. A decoder needs three bytes per pixel.
const MAX_DECODED_PIXELS: usize = 64 * 1024 * 1024;

const QUALITY: u8 = 75;

/// How long a camera can take to open before viewers get a slate: a picture with the text that the camera is being
/// opened.
const OPENING_GRACE: Duration = Duration::from_millis(100);

/// The renderer of one camera's slates: pictures with a text, which viewers see while the camera is not live.
pub(crate) struct SlateRenderer {
    feed: Arc<Feed>,
    /// The right to show slates, which ends with the camera's next frame.
    publisher: SlatePublisher,
    due_at: Instant,
    /// The camera's last good picture, decoded once for all slates that have it as their background.
    background: Option<Background>,
    /// The slate that is being drawn, on a thread for blocking work. Drawing takes about ten milliseconds, which is too
    /// long for a thread that sends streams.
    drawing: Option<JoinHandle<(Option<Frame>, Option<Background>)>>,
}

#[derive(Clone)]
struct Background {
    update: Update,
    picture: Arc<RgbImage>,
}

impl SlateRenderer {
    pub(crate) fn new(feed: Arc<Feed>) -> Self {
        let publisher = feed.slate_publisher();
        Self { feed, publisher, due_at: Instant::now(), background: None, drawing: None }
    }

    /// Makes the first slate (a picture with a text) due at once, because the camera is not live. Slates are shown
    /// until `publisher` goes out of date.
    pub(crate) fn begin(&mut self, publisher: SlatePublisher) {
        self.publisher = publisher;
        self.due_at = Instant::now();
        // A slate that is still being drawn shows the previous state.
        self.drawing = None;
    }

    /// Makes the first slate about the opening of a camera due after [`OPENING_GRACE`]. If the camera's last picture is
    /// younger than [`LIVE_AGE`], viewers get that picture at first, and the slate is due later by [`LIVE_AGE`].
    pub(crate) fn begin_attempt(&mut self) {
        self.publisher = self.feed.slate_publisher();
        self.due_at = Instant::now() + OPENING_GRACE;
        let newest = self.feed.source_channel().newest_captured_at();
        if newest.is_some_and(|captured_at| age(captured_at, SystemTime::now()) < LIVE_AGE) {
            if self.feed.status().state != CameraState::Lost {
                self.feed.resume();
            }
            self.due_at += LIVE_AGE;
        }
    }

    /// Discards the slate (a picture with a text) that is being drawn, and its background, because the camera is now
    /// live or idle.
    pub(crate) fn end(&mut self) {
        self.drawing = None;
        self.background = None;
    }

    /// Waits until the next slate (a picture with the text of `status`) is due, draws it and publishes it to the
    /// viewers. Cancel safe: the next call continues with the same slate.
    pub(crate) async fn show(&mut self, status: &CameraStatus) {
        if self.drawing.is_none() {
            sleep_until(self.due_at).await;
            self.due_at = Instant::now() + SLATE_INTERVAL;
            let drawing = self.slate_input(status);
            self.drawing = Some(tokio::task::spawn_blocking(|| drawing.draw()));
        }
        let Some(drawing) = self.drawing.as_mut() else { return };
        let drawn = drawing.await;
        self.drawing = None;
        match drawn {
            Ok((frame, background)) => {
                self.background = background;
                if let Some(frame) = frame {
                    self.publisher.publish(frame);
                }
            }
            Err(error) => warn!(%error, "cannot draw a slate"),
        }
    }

    fn slate_input(&mut self, status: &CameraStatus) -> SlateInput {
        let last = LastFrame::of(&self.feed);
        SlateInput {
            camera: self.feed.name().to_owned(),
            status: status.clone(),
            background: self.background.take().filter(|held| is_same_frame(last.picture.as_ref(), held)),
            last,
            now: SystemTime::now(),
            farewell: None,
        }
    }
}

/// Draws the last slate of a camera that ends, with the text `farewell` over its last picture. Returns `None` if that
/// fails.
pub(crate) async fn draw_last_slate(feed: &Feed, farewell: Farewell) -> Option<Frame> {
    let input = SlateInput {
        camera: feed.name().to_owned(),
        status: feed.status(),
        last: LastFrame::of(feed),
        background: None,
        now: SystemTime::now(),
        farewell: Some(farewell),
    };
    tokio::task::spawn_blocking(|| input.draw()).await.ok()?.0
}

/// What is known of the last frame that the camera delivered.
struct LastFrame {
    captured_at: Option<SystemTime>,
    size_px: Option<(u32, u32)>,
    /// Its picture. Of coded video, this is the newest picture that the server has made of it, if that is new enough.
    picture: Option<Update>,
}

impl LastFrame {
    fn of(feed: &Feed) -> Self {
        let source = feed.source_channel();
        let (captured_at, newest) = (source.newest_captured_at(), source.newest_update());
        let size_px = newest.as_ref().map(|newest| &newest.frame.format);
        let size_px = size_px.map(|format| (format.width_px, format.height_px));
        let picture = match feed.source_kind() {
            SourceKind::Jpeg | SourceKind::Raw => newest,
            // While all viewers watch the video, nobody makes pictures of it.
            SourceKind::Video => feed.main_channel().newest_update().filter(|made| {
                captured_at.is_some_and(|newest| age(made.frame.captured_at, newest) <= MAX_PICTURE_LAG)
            }),
        };
        Self { captured_at, size_px, picture }
    }
}

fn is_same_frame(newest: Option<&Update>, held: &Background) -> bool {
    let id = |update: &Update| (update.epoch.number, update.sequence);
    newest.is_some_and(|newest| id(newest) == id(&held.update))
}

fn age(captured_at: SystemTime, now: SystemTime) -> Duration {
    now.duration_since(captured_at).unwrap_or_default()
}

/// The data from which one slate (a picture with a text) is drawn.
struct SlateInput {
    camera: String,
    status: CameraStatus,
    last: LastFrame,
    background: Option<Background>,
    now: SystemTime,
    /// The text of the last slate; `None` if the camera goes on.
    farewell: Option<Farewell>,
}

impl SlateInput {
    fn draw(mut self) -> (Option<Frame>, Option<Background>) {
        if self.background.is_none() {
            self.background = self.last.picture.take().and_then(|update| {
                let picture = decode_frame(&update.frame)?;
                Some(Background { update, picture: Arc::new(picture) })
            });
        }
        let (width_px, height_px) = self.size();
        let lines = self.lines();
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let picture = draw::slate(&draw::Slate {
            camera: &self.camera,
            headline: self.farewell.map_or_else(|| headline(self.status.state), |farewell| farewell.headline),
            lines: &lines,
            background: self.background.as_ref().map(|background| &*background.picture),
            width_px,
            height_px,
        });
        let format = Arc::new(Format::new(Codec::Jpeg, width_px, height_px));
        let frame = jpeg::encode(&picture, QUALITY)
            .ok()
            .map(|data| Frame::new(data, Timestamp::default(), self.now, format));
        (frame, self.background)
    }

    /// Returns the width and height of the slate in pixels: the size of the camera's frames, so that a page keeps its
    /// layout, but within the minimum and maximum size of a slate.
    fn size(&self) -> (u32, u32) {
        let of_picture =
            self.background.as_ref().map(|held| (held.picture.width_px(), held.picture.height_px()));
        let Some((width, height)) = of_picture.or(self.last.size_px) else { return DEFAULT_SIZE_PX };
        let scale = (f64::from(MAX_WIDTH_PX) / f64::from(width))
            .min(f64::from(MAX_HEIGHT_PX) / f64::from(height))
            .min(1.0);
        let scaled = |side: u32, least: u32| ((f64::from(side) * scale) as u32).max(least);
        (scaled(width, MIN_SIZE_PX.0), scaled(height, MIN_SIZE_PX.1))
    }

    fn lines(&self) -> Vec<String> {
        if let Some(farewell) = self.farewell {
            return vec![farewell.advice.to_owned()];
        }
        let mut lines = Vec::new();
        if let Some(reason) = &self.status.reason {
            lines.push(reason.clone());
        }
        if self.status.state == CameraState::Lost {
            let since = format!("Since {}", clock_time(self.status.since));
            lines.push(match self.status.retry_at {
                Some(at) => {
                    let left = at.duration_since(self.now).unwrap_or_default();
                    format!("{since}; next try in {} s", left.as_secs_f64().ceil())
                }
                None => format!("{since}; trying now"),
            });
        }
        if let Some(captured_at) = self.last.captured_at {
            let age = Duration::from_secs(age(captured_at, self.now).as_secs());
            lines.push(format!("Last picture {} ago", humantime::format_duration(age)));
        }
        lines
    }
}

/// Decodes the picture of a frame, which is compressed or raw. Returns `None` if that fails.
fn decode_frame(frame: &Frame) -> Option<RgbImage> {
    let coded = match frame.format.codec {
        Codec::Jpeg => frame.data.clone(),
        _ => Transcoder::new(Backend::best()).ok()?.transcode(frame, &TargetFormat::default()).ok()?.data,
    };
    jpeg::decode(&coded, MAX_DECODED_PIXELS).ok()
}

fn headline(state: CameraState) -> &'static str {
    match state {
        CameraState::Lost => "No picture",
        CameraState::Live => "No new picture",
        CameraState::Idle | CameraState::Opening => "Opening…",
    }
}

/// Formats `time` as the time of day in the server's time zone, followed by the name of the zone.
fn clock_time(time: SystemTime) -> String {
    match jiff::Timestamp::try_from(time) {
        Ok(timestamp) => timestamp.to_zoned_datetime(TimeZone::system()).strftime("%H:%M:%S %Z").to_string(),
        Err(_) => "an unknown time".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use framecast_hub::Hub;
    use framecast_media::{Anchor, Bytes, Dependency};

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn noon() -> SystemTime {
        SystemTime::UNIX_EPOCH + 43_200 * SECOND
    }

    /// A camera whose last frame of 1280x720 pixels was captured at noon, and a picture that was made of its video so
    /// long before.
    fn camera(picture_age: Option<Duration>) -> Arc<Feed> {
        let feed = Hub::new().add("door", noon()).unwrap();
        let format = Arc::new(Format::new(Codec::H264, 1280, 720));
        let data = Bytes::from_static(&[0, 0, 0, 1, 0x65]);
        let frame = Frame::coded(data, Dependency::Keyframe, Timestamp::default(), noon(), format);
        assert!(feed.begin_epoch(Anchor::of(&frame)).publish(frame));
        if let Some(age) = picture_age {
            let epoch = feed.video_channel().newest_update().unwrap().epoch;
            let format = Arc::new(Format::new(Codec::Jpeg, 64, 48));
            let data = framecast_testkit::jpeg(64, 48, 1);
            let picture = Frame::new(data, Timestamp::default(), noon() - age, format);
            assert!(feed.main_channel().publisher().publish(picture, epoch));
        }
        feed
    }

    /// Draws the slate two seconds after noon. Returns its width and height, its lines, and whether it has a background.
    fn slate(feed: Arc<Feed>) -> ((u32, u32), Vec<String>, bool) {
        let status = CameraStatus::new(CameraState::Live, noon());
        let mut input = SlateRenderer::new(feed).slate_input(&status);
        input.now = noon() + 2 * SECOND;
        let lines = input.lines();
        let (frame, background) = input.draw();
        let format = frame.unwrap().format;
        ((format.width_px, format.height_px), lines, background.is_some())
    }

    #[test]
    fn the_slate_of_a_camera_with_video_shows_only_a_picture_of_its_last_second_and_the_age_of_its_last_frame()
     {
        let told = vec!["Last picture 2s ago".to_owned()];
        for picture_age in [None, Some(3600 * SECOND), Some(SECOND * 3 / 2)] {
            assert_eq!(slate(camera(picture_age)), ((1280, 720), told.clone(), false), "{picture_age:?}");
        }
        let (_, lines, has_background) = slate(camera(Some(SECOND / 2)));
        assert_eq!((lines, has_background), (told, true));
    }
}
