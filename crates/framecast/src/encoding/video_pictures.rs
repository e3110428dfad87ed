//! Makes the JPEG pictures of a camera's main channel of its coded video, while somebody watches them: one ffmpeg for
//! each camera, however many watch.

use std::sync::Arc;
use std::time::Duration;

use framecast_drivers::{DecoderInput, Error, ErrorKind, OpenContext, VideoDecoder, VideoDecoders};
use framecast_hub::{ChannelPublisher, Delivery, Epoch, SourceKind, Subscriber, Update};
use framecast_media::{Backoff, Codec, Format, Frame};
use tokio::time::{Instant, sleep};
use tracing::{info, warn};

use super::failure;
use crate::camera::Camera;
use crate::error_chain::one_line;

/// How long ffmpeg goes on after the last viewer has left, so that the next one need not wait for it to start.
const IDLE_TIME: Duration = Duration::from_secs(10);

/// The first and the longest time between two attempts to run ffmpeg, while it fails.
const RETRY_DELAYS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// How long ffmpeg must make pictures before its next failure is reported and treated like a first failure.
const RECOVERY_TIME: Duration = Duration::from_secs(10);

/// The maximum time by which the pictures may be behind the video. A machine that is too slow for the video skips to
/// the newest keyframe.
const MAX_LAG: Duration = Duration::from_millis(500);

/// What belongs to a frame until its picture comes: the right to publish it.
type Permit = (ChannelPublisher, Epoch);

/// Why the pictures of a camera are no longer made.
enum Outcome {
    Unwatched,
    /// The video has another format, for which another decoder is needed.
    NewFormat,
    CameraEnded,
    Failed(Error),
}

/// The failures of a camera's ffmpegs, up to a time without any.
struct FailureRecord {
    backoff: Backoff,
    has_failed: bool,
    /// Since when pictures have come; `None` if none has come since the last failure.
    works_since: Option<Instant>,
}

impl FailureRecord {
    fn new() -> Self {
        let backoff = Backoff::new(RETRY_DELAYS.0, RETRY_DELAYS.1);
        Self { backoff, has_failed: false, works_since: None }
    }

    /// Records a picture. Returns whether the streak of failures has ended with this.
    fn end_by_picture(&mut self) -> bool {
        let now = Instant::now();
        let works_since = *self.works_since.get_or_insert(now);
        if !self.has_failed || now - works_since < RECOVERY_TIME {
            return false;
        }
        self.backoff.reset();
        self.has_failed = false;
        true
    }

    /// Records a failure. Returns whether it is the first of the streak, and how long to wait.
    fn record(&mut self) -> (bool, Duration) {
        self.works_since = None;
        let is_first = !std::mem::replace(&mut self.has_failed, true);
        (is_first, self.backoff.next_delay(fastrand::f64()))
    }
}

/// Makes pictures whenever the camera delivers coded video and the main channel has viewers.
pub(super) async fn run_forever(camera: Arc<Camera>) {
    let mut kind = camera.feed.watch_source_kind();
    let mut viewers = camera.feed.main_channel().watch_subscriber_count();
    let (mut failures, mut decoders) = (FailureRecord::new(), None);
    loop {
        if kind.wait_for(|kind| *kind == SourceKind::Video).await.is_err()
            || viewers.wait_for(|count| *count > 0).await.is_err()
        {
            return;
        }
        let decoders = decoders.get_or_insert_with(VideoDecoders::detect);
        match run_once(&camera, decoders, &mut failures).await {
            Outcome::NewFormat => {}
            Outcome::Unwatched => hide_last_picture(&camera),
            Outcome::CameraEnded => return,
            Outcome::Failed(error) => {
                hide_last_picture(&camera);
                let has_run = !matches!(error, Error::NotInstalled { .. });
                if has_run && decoders.give_up_hardware() {
                    log_fallback(&camera, &error);
                    continue;
                }
                let (is_first, delay) = failures.record();
                if is_first {
                    log_first(&camera, &error);
                }
                show_reason(&camera, &error);
                sleep(delay).await;
            }
        }
    }
}

/// Hides the last picture: no task updates the channel from here on, so this must not be the first picture that the next
/// viewer sees. Does nothing if the camera has begun to deliver JPEG of its own.
fn hide_last_picture(camera: &Camera) {
    if camera.feed.source_kind() == SourceKind::Video {
        camera.feed.main_channel().hide();
    }
}

/// Runs one ffmpeg while the main channel has viewers. Returns why it has ended.
async fn run_once(camera: &Camera, decoders: &VideoDecoders, failures: &mut FailureRecord) -> Outcome {
    let mut video = camera.feed.video_channel().subscribe(Delivery::InOrder).with_max_lag(MAX_LAG);
    let mut viewers = camera.feed.main_channel().watch_subscriber_count();
    let first = tokio::select! {
        first = video.next_update() => first,
        _ = viewers.wait_for(|count| *count == 0) => return Outcome::Unwatched,
    };
    let Some(first) = first else { return Outcome::CameraEnded };
    let context = OpenContext::default();
    let (mut decoder, input) = match decoders.start(&context, &first.frame.format).await {
        Ok(started) => started,
        Err(error) => return Outcome::Failed(error),
    };
    let outcome = tokio::select! {
        outcome = write_video(camera, &mut video, first, input) => outcome,
        outcome = publish_pictures(camera, &mut decoder, failures) => outcome,
        () = wait_until_unwatched(camera) => Outcome::Unwatched,
    };
    decoder.close().await;
    outcome
}

/// Passes the camera's video to ffmpeg.
async fn write_video(
    camera: &Camera,
    video: &mut Subscriber,
    first: Update,
    mut input: DecoderInput<Permit>,
) -> Outcome {
    let format = Arc::clone(&first.frame.format);
    let mut next = Some(first);
    while let Some(update) = next {
        if !is_decoded_alike(&format, &update.frame.format) {
            return Outcome::NewFormat;
        }
        // The publisher is taken before the second look at the source, because the supervisor suspends the source
        // before its channels: what was read before the camera was lost is not published after.
        let permit = (camera.feed.main_channel().publisher(), update.epoch);
        if input.write(&update.frame, permit).await.is_err() {
            // The reading side says why ffmpeg has ended.
            std::future::pending::<()>().await;
        }
        next = video.next_update().await;
    }
    Outcome::CameraEnded
}

/// Returns whether one decoder can decode video of both formats one after the other.
fn is_decoded_alike(one: &Format, other: &Format) -> bool {
    let kind = |format: &Format| (format.codec, format.width_px, format.height_px);
    kind(one) == kind(other)
}

/// Publishes the pictures that ffmpeg makes.
async fn publish_pictures(
    camera: &Camera,
    decoder: &mut VideoDecoder<Permit>,
    failures: &mut FailureRecord,
) -> Outcome {
    loop {
        match decoder.next_picture().await {
            Ok(Some((picture, permit))) => {
                if failures.end_by_picture() {
                    info!(camera = camera.feed.name(), "ffmpeg makes pictures of the video again");
                }
                publish(camera, picture, permit);
            }
            Ok(None) => {
                let problem = "the program ended although its input goes on".to_owned();
                return Outcome::Failed(Error::Unusable { what: "`ffmpeg`".to_owned(), problem });
            }
            Err(error) if error.kind() == ErrorKind::Frame => camera.feed.count_broken(one_line(&error)),
            Err(error) => return Outcome::Failed(error),
        }
    }
}

fn publish(camera: &Camera, picture: Frame, (publisher, epoch): Permit) {
    // Counted before the publication, so that a viewer who sees the picture finds it in the count.
    camera.feed.count_encoded();
    publisher.publish(picture, epoch);
}

/// Returns once nobody has watched the main channel for [`IDLE_TIME`].
async fn wait_until_unwatched(camera: &Camera) {
    let mut viewers = camera.feed.main_channel().watch_subscriber_count();
    loop {
        if viewers.wait_for(|count| *count == 0).await.is_err() {
            return;
        }
        tokio::select! {
            () = sleep(IDLE_TIME) => return,
            _ = viewers.wait_for(|count| *count > 0) => {}
        }
    }
}

/// Writes to the log that ffmpeg no longer uses the machine's hardware.
fn log_fallback(camera: &Camera, error: &Error) {
    warn!(
        camera = camera.feed.name(),
        error = one_line(error),
        "ffmpeg failed with the hardware that decodes video; from now on, ffmpeg decodes this camera's video in \
         software"
    );
}

/// Writes the first of several failures to the log.
fn log_first(camera: &Camera, error: &Error) {
    warn!(
        camera = camera.feed.name(),
        error = one_line(error),
        "cannot make pictures of the video; until that succeeds, further failures are not logged"
    );
}

/// Tells the viewers why there is no picture.
fn show_reason(camera: &Camera, error: &Error) {
    let reason = one_line(error);
    camera.feed.count_broken(reason.clone());
    let newest = camera.feed.video_channel().newest();
    let format = newest.map_or_else(|| Arc::new(Format::new(Codec::Jpeg, 640, 360)), |newest| newest.format);
    if let Some(slate) = failure::draw_slate(camera.feed.name(), &format, &reason) {
        camera.feed.main_channel().publisher().publish_slate(slate);
    }
}
