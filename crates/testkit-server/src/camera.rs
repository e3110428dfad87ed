//! A camera under the test's control. It counts how often it was opened and closed.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use framecast::{
    BoxFuture, Bytes, CaptureTime, ColorRange, Driver, DriverError, Frame, FrameBuilder, OpenContext,
    PixelFormat, Source, SourceUrl,
};
use framecast_testkit::{blocking, jpeg_of_len, pause, soon};
use tokio::sync::watch;
use tokio::time::Instant;

/// The camera's behaviour.
#[expect(missing_docs, reason = "the comments of the variants name their fields")]
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Act {
    /// Yields pictures of this size at this rate.
    Play { fps: u32, len_bytes: usize },
    /// Yields the next picture when it is at most this far ahead of the number seen by the test (`Camera::saw`).
    Follow { ahead: u64, len_bytes: usize },
    /// Is open and yields nothing.
    Silent,
    /// Never opens.
    Deaf,
    /// Fails, open or not, with this reason.
    Fail(&'static str),
    /// Ends before the first picture.
    End,
    /// Yields so many pictures at this rate each time that it is opened, and ends, as a film does.
    Film { pictures: u64, fps: u32 },
    /// Panics in the driver.
    Panic,
    /// Blocks the thread that polls for a picture.
    Block,
    /// Yields bytes that are no picture, at this rate.
    Garbage { fps: u32 },
}

/// Normal behaviour: small pictures at more than thirty a second.
pub const PLAY: Act = Act::Play { fps: 100, len_bytes: 2048 };

/// The test's handle of the camera; clones control the same camera.
#[derive(Clone)]
pub struct Camera {
    scheme: &'static str,
    shared: Arc<Shared>,
}

struct Shared {
    act: watch::Sender<Act>,
    /// How many openings have begun, without those that failed.
    opened: watch::Sender<u64>,
    /// How many openings have begun to close.
    closing: watch::Sender<u64>,
    /// How many openings have closed.
    closed: watch::Sender<u64>,
    /// The number of the newest picture.
    newest: watch::Sender<u64>,
    seen: watch::Sender<u64>,
    /// The capture time that pictures claim: so many milliseconds in the past, or in the future.
    older_ms: AtomicU64,
    newer_ms: AtomicU64,
    close_ms: AtomicU64,
    is_raw: AtomicBool,
    never_blocks: AtomicBool,
    /// A fixed picture in place of numbered ones.
    given: OnceLock<&'static [u8]>,
    /// Whether the device is plugged in again.
    is_back: watch::Sender<bool>,
}

/// The size of raw pictures.
pub const RAW_SIZE: (u32, u32) = (640, 360);

impl Camera {
    /// A camera for sources of `scheme` that begins with `act`; its first picture has number 1.
    pub fn new(scheme: &'static str, act: Act) -> Self {
        let shared = Shared {
            act: watch::Sender::new(act),
            opened: watch::Sender::new(0),
            closing: watch::Sender::new(0),
            closed: watch::Sender::new(0),
            newest: watch::Sender::new(0),
            seen: watch::Sender::new(0),
            older_ms: AtomicU64::new(0),
            newer_ms: AtomicU64::new(0),
            close_ms: AtomicU64::new(0),
            is_raw: AtomicBool::new(false),
            never_blocks: AtomicBool::new(false),
            given: OnceLock::new(),
            is_back: watch::Sender::new(false),
        };
        Self { scheme, shared: Arc::new(shared) }
    }

    /// The camera's scheme, which is also its name in the tests' servers.
    pub fn name(&self) -> &'static str {
        self.scheme
    }

    /// Behaves like this from now on.
    pub fn act(&self, act: Act) {
        self.shared.act.send_replace(act);
    }

    /// Yields raw pictures from now on; their brightness encodes their number, see [`luma_of`].
    pub fn give_raw(&self) {
        self.shared.is_raw.store(true, Ordering::Relaxed);
    }

    /// Promises never to block, whatever the camera then does. So it shares a thread with other such cameras.
    pub fn promise_not_to_block(&self) {
        self.shared.never_blocks.store(true, Ordering::Relaxed);
    }

    /// Tells the supervisor that waits for the device that it is plugged in again.
    pub fn plug_in(&self) {
        self.shared.is_back.send_replace(true);
    }

    /// Yields only this picture.
    pub fn give(&self, picture: &'static [u8]) {
        self.shared.given.set(picture).expect("it is given once");
    }

    /// Continues with the numbers after `number`.
    pub fn number_from(&self, number: u64) {
        self.shared.newest.send_replace(number);
    }

    /// Lets pictures claim a capture time `age` in the past.
    pub fn claim_age(&self, age: Duration) {
        self.shared.older_ms.store(age.as_millis() as u64, Ordering::Relaxed);
    }

    /// Lets pictures claim a capture time so far in the future that they stay young, even on a slow machine.
    pub fn claim_youth(&self, youth: Duration) {
        self.shared.newer_ms.store(youth.as_millis() as u64, Ordering::Relaxed);
    }

    /// Makes the camera take this long to close its device.
    pub fn close_slowly(&self, time: Duration) {
        self.shared.close_ms.store(time.as_millis() as u64, Ordering::Relaxed);
    }

    /// Tells [`Act::Follow`] the last picture that the test has seen.
    pub fn saw(&self, number: u64) {
        self.shared.seen.send_if_modified(|seen| {
            let is_newer = number > *seen;
            *seen = number.max(*seen);
            is_newer
        });
    }

    /// Returns how many openings have begun, without those that failed.
    pub fn opened(&self) -> u64 {
        *self.shared.opened.borrow()
    }

    /// Returns how many openings have closed.
    pub fn closed(&self) -> u64 {
        *self.shared.closed.borrow()
    }

    /// Returns the number of the newest picture, 0 before the first.
    pub fn newest(&self) -> u64 {
        *self.shared.newest.borrow()
    }

    /// Waits until the camera has closed `times` times.
    pub async fn wait_closed(&self, times: u64) {
        wait(&self.shared.closed, "the camera is let go", times).await;
    }

    /// Waits until the camera has begun to close `times` times.
    pub async fn wait_closing(&self, times: u64) {
        wait(&self.shared.closing, "the camera begins to be let go", times).await;
    }

    /// Waits until the camera has opened `times` times.
    pub async fn wait_opened(&self, times: u64) {
        wait(&self.shared.opened, "the camera is opened", times).await;
    }

    /// Waits until the camera has yielded the picture `number`.
    pub async fn wait_newest(&self, number: u64) {
        wait(&self.shared.newest, "the camera yields", number).await;
    }
}

/// The luma of the raw picture with this number: it differs from the previous one by more than the coding error.
pub fn luma_of(number: u64) -> u8 {
    (number * 16 % 256) as u8
}

async fn wait(value: &watch::Sender<u64>, what: &str, least: u64) {
    let mut value = value.subscribe();
    let waiting = value.wait_for(|value| *value >= least);
    soon(what, waiting).await.expect("the camera holds the sender");
}

impl Driver for Camera {
    fn scheme(&self) -> &'static str {
        self.scheme
    }

    fn never_blocks(&self) -> bool {
        self.shared.never_blocks.load(Ordering::Relaxed)
    }

    fn open<'a>(
        &'a self,
        context: &'a OpenContext,
        _: &'a SourceUrl,
    ) -> BoxFuture<'a, Result<Box<dyn Source>, DriverError>> {
        Box::pin(async move {
            let mut acts = self.shared.act.subscribe();
            acts.wait_for(|act| *act != Act::Deaf).await.expect("the camera holds the sender");
            if let Act::Fail(reason) = *acts.borrow_and_update() {
                return Err(DriverError::transient(reason));
            }
            self.shared.opened.send_modify(|opened| *opened += 1);
            let source = Open {
                camera: self.clone(),
                acts,
                builder: FrameBuilder::new(context),
                due_at: Instant::now(),
                given: 0,
            };
            Ok(Box::new(source) as Box<dyn Source>)
        })
    }

    fn wait_for_device<'a>(&'a self, _: &'a SourceUrl) -> BoxFuture<'a, ()> {
        Box::pin(async {
            let mut is_back = self.shared.is_back.subscribe();
            is_back.wait_for(|is_back| *is_back).await.expect("the camera holds the sender");
        })
    }
}

/// One opening.
struct Open {
    camera: Camera,
    acts: watch::Receiver<Act>,
    builder: FrameBuilder,
    due_at: Instant,
    /// How many pictures of a film this opening has yielded.
    given: u64,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.camera.shared.closing.send_modify(|closing| *closing += 1);
        blocking::pause(Duration::from_millis(self.camera.shared.close_ms.load(Ordering::Relaxed)));
        self.camera.shared.closed.send_modify(|closed| *closed += 1);
    }
}

impl Source for Open {
    fn next_frame(&mut self) -> BoxFuture<'_, Result<Option<Frame>, DriverError>> {
        Box::pin(async move {
            loop {
                let act = *self.acts.borrow_and_update();
                if matches!(act, Act::Film { pictures, .. } if self.given >= pictures) {
                    return Ok(None);
                }
                tokio::select! {
                    biased;
                    changed = self.acts.changed() => changed.expect("the camera holds the sender"),
                    result = perform(act, &self.camera.shared, &mut self.builder, &mut self.due_at) => {
                        self.given += u64::from(matches!(result, Ok(Some(_))));
                        return result;
                    }
                }
            }
        })
    }
}

async fn perform(
    act: Act,
    shared: &Shared,
    builder: &mut FrameBuilder,
    due_at: &mut Instant,
) -> Result<Option<Frame>, DriverError> {
    match act {
        Act::Play { fps, len_bytes } => {
            pace(due_at, fps).await;
            shared.picture(builder, len_bytes).map(Some)
        }
        Act::Film { fps, .. } => {
            pace(due_at, fps).await;
            shared.picture(builder, 2048).map(Some)
        }
        Act::Follow { ahead, len_bytes } => {
            let next = *shared.newest.borrow() + 1;
            let mut seen = shared.seen.subscribe();
            seen.wait_for(|seen| seen + ahead >= next).await.expect("the camera holds the sender");
            shared.picture(builder, len_bytes).map(Some)
        }
        Act::Silent | Act::Deaf => std::future::pending().await,
        Act::Fail(reason) => Err(DriverError::transient(reason)),
        Act::End => Ok(None),
        Act::Panic => panic!("the driver has a bug"),
        Act::Block => {
            while *shared.act.borrow() == Act::Block {
                blocking::pause(Duration::from_millis(5));
            }
            std::future::pending().await
        }
        Act::Garbage { fps } => {
            pace(due_at, fps).await;
            builder.jpeg_frame(Bytes::new(), CaptureTime::Now).map(Some)
        }
    }
}

/// Waits for the next of `fps` instants a second. A late one does not shift the others, up to a tenth of a second.
async fn pace(due_at: &mut Instant, fps: u32) {
    let now = Instant::now();
    *due_at = (*due_at + Duration::from_secs(1) / fps).max(now - Duration::from_millis(100));
    if *due_at > now {
        pause(*due_at - now).await;
    }
}

impl Shared {
    fn picture(&self, builder: &mut FrameBuilder, len_bytes: usize) -> Result<Frame, DriverError> {
        let number = *self.newest.borrow() + 1;
        let older = Duration::from_millis(self.older_ms.load(Ordering::Relaxed));
        let newer = Duration::from_millis(self.newer_ms.load(Ordering::Relaxed));
        let captured = CaptureTime::Original(SystemTime::now() - older + newer);
        let frame = if self.is_raw.load(Ordering::Relaxed) {
            let format = (PixelFormat::Nv12, ColorRange::Full);
            let mut samples = vec![luma_of(number); format.0.len_bytes(RAW_SIZE.0, RAW_SIZE.1)];
            let chroma = (RAW_SIZE.0 * RAW_SIZE.1) as usize;
            samples[chroma..].fill(128);
            builder.raw_frame(samples.into(), format, RAW_SIZE, captured)
        } else if let Some(picture) = self.given.get() {
            builder.jpeg_frame(Bytes::from_static(picture), captured)
        } else {
            builder.jpeg_frame(jpeg_of_len(len_bytes, number), captured)
        };
        self.newest.send_replace(number);
        frame
    }
}
