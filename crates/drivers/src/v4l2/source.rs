//! An open camera. It waits for frames, copies each once out of the device's memory, and gives the buffer back to the
//! device.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use framecast_media::{Bytes, Error as MediaError, Frame};
use framecast_v4l2::{BufferInfo, CaptureStream, Device, DeviceEvent, FilledBuffer};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::time::timeout;
use tracing::debug;

use super::clock::{self, SequenceGaps};
use super::diagnose;
use super::setup::{self, Setup};
use super::target::RequestedMode;
use crate::{BoxFuture, Capture, CaptureTime, Error, FrameBuilder, OpenContext, Source};

/// The number of buffers: one that the device fills, one that is filled, one that is being copied, and a spare one in
/// case the thread is late.
const BUFFERS: u32 = 4;

/// The interval at which a silent device is queried to see whether it is still there, because some drivers do not wake
/// waiting readers when the device is unplugged.
const PING_INTERVAL: Duration = Duration::from_secs(1);

/// An open camera that is capturing.
pub(super) struct V4l2Source {
    path: PathBuf,
    requested: RequestedMode,
    /// The stream of captured buffers; `None` after a failed restart.
    stream: Option<AsyncFd<CaptureStream>>,
    /// Whether the device has failed, so that it will deliver no more frames.
    has_failed: bool,
    setup: Setup,
    builder: FrameBuilder,
    gaps: SequenceGaps,
    max_picture_bytes: usize,
}

/// A picture that was copied out of a buffer, or the reason why it is broken.
struct CapturedPicture {
    data: Result<Bytes, MediaError>,
    captured: CaptureTime,
}

impl V4l2Source {
    /// Opens the node at `path` and starts the stream. Needs an async runtime with I/O. Blocks while the device is
    /// being set up.
    pub(super) fn open(path: &Path, requested: RequestedMode, context: &OpenContext) -> Result<Self, Error> {
        // Created before the stream starts, so that no frame is older than the media time zero.
        let builder = FrameBuilder::new(context);
        let device = Device::open(path).map_err(|error| diagnose::open_error(path, error))?;
        let (stream, setup) = start(device, path, &requested)?;
        Ok(Self {
            path: path.to_owned(),
            requested,
            stream: Some(stream),
            has_failed: false,
            setup,
            builder,
            gaps: SequenceGaps::default(),
            max_picture_bytes: context.max_picture_bytes(),
        })
    }

    /// Returns the next frame. Cancel safe, because no buffer is held during the wait.
    async fn next(&mut self) -> Result<Option<Frame>, Error> {
        while !self.has_failed {
            if self.has_source_changed()? {
                self.restart()?;
            }
            if let Some(taken) = self.dequeue()? {
                return self.build_frame(taken).map(Some);
            }
            self.wait().await?;
        }
        Ok(None)
    }

    /// Waits until the device may have a filled buffer or an event.
    async fn wait(&mut self) -> Result<(), Error> {
        let Some(stream) = &self.stream else { return Ok(()) };
        let interest = Interest::READABLE | Interest::PRIORITY | Interest::ERROR;
        let failure = match timeout(PING_INTERVAL, stream.ready(interest)).await {
            Ok(Ok(mut guard)) => {
                let ready = guard.ready();
                if ready.is_error() || ready.is_read_closed() {
                    // The queue was empty a moment ago, and no more frames will come; the ping tells why.
                    stream
                        .get_ref()
                        .device()
                        .ping()
                        .err()
                        .map(|error| diagnose::call_error(&self.path, error))
                } else {
                    guard.clear_ready();
                    // The caller now checks the queue again, because anything that arrived before `clear_ready` does
                    // not wake this task again.
                    return Ok(());
                }
            }
            Ok(Err(source)) => Some(Error::File { doing: "wait for", path: self.path.clone(), source }),
            Err(_) => match stream.get_ref().device().ping() {
                Ok(()) => return Ok(()),
                Err(error) => Some(diagnose::call_error(&self.path, error)),
            },
        };
        self.has_failed = true;
        Err(failure.unwrap_or_else(|| diagnose::stopped_error(&self.path)))
    }

    /// Returns whether the device reports that its input signal has changed since it was set up.
    fn has_source_changed(&mut self) -> Result<bool, Error> {
        let Some(stream) = &self.stream else { return Ok(false) };
        let mut has_changed = false;
        // A device queues few events, and only the newest of each kind.
        for _ in 0..64 {
            match stream.get_ref().device().next_event() {
                Ok(Some(event)) => has_changed |= event == DeviceEvent::SourceChange,
                Ok(None) => break,
                Err(error) => return Err(diagnose::call_error(&self.path, error)),
            }
        }
        Ok(has_changed)
    }

    /// Adapts to a changed input signal: stops the stream, sets the device up again and starts the stream again.
    fn restart(&mut self) -> Result<(), Error> {
        let Some(stream) = self.stream.take() else { return Ok(()) };
        let device = stream.into_inner().stop();
        self.has_failed = true;
        let (stream, setup) = start(device, &self.path, &self.requested)?;
        self.gaps.restart();
        (self.stream, self.setup, self.has_failed) = (Some(stream), setup, false);
        Ok(())
    }

    /// Copies the picture out of the oldest filled buffer, if there is one, and gives the buffer back to the device at
    /// once. Returns `None` if no buffer is filled.
    fn dequeue(&mut self) -> Result<Option<CapturedPicture>, Error> {
        let Some(stream) = &mut self.stream else { return Ok(None) };
        let taken = stream.get_mut().dequeue().map(|filled_buffer| {
            let filled_buffer = filled_buffer?;
            let BufferInfo { sequence, captured_at, is_broken } = filled_buffer.info();
            self.gaps.observe(sequence);
            let data = if is_broken {
                Err(MediaError::FlaggedByDevice)
            } else {
                copy(&filled_buffer, &self.setup, self.max_picture_bytes)
            };
            drop(filled_buffer);
            let captured = clock::capture_time(captured_at, self.builder.now());
            Some(CapturedPicture { data, captured })
        });
        taken.map_err(|error| {
            self.has_failed = true;
            // For an unplugged device, another call may be the one that reports this.
            match stream.get_ref().device().ping() {
                Ok(()) => diagnose::dequeue_error(&self.path, error),
                Err(gone) => diagnose::call_error(&self.path, gone),
            }
        })
    }

    fn build_frame(&mut self, CapturedPicture { data, captured }: CapturedPicture) -> Result<Frame, Error> {
        let data = data.map_err(|error| self.builder.picture_error(error))?;
        match &self.setup.raw {
            None => self.builder.jpeg_frame(data, captured),
            Some((layout, range)) => {
                self.builder.raw_frame(data, (layout.format, *range), layout.size, captured)
            }
        }
    }
}

impl Source for V4l2Source {
    fn next_frame(&mut self) -> BoxFuture<'_, Result<Option<Frame>, Error>> {
        Box::pin(self.next())
    }

    fn max_frame_gap(&self) -> Duration {
        self.setup.interval
    }

    fn capture(&self) -> Option<Capture> {
        Some(self.setup.capture.clone())
    }

    fn dropped_frames(&self) -> u64 {
        self.gaps.dropped
    }

    fn repaired_frames(&self) -> u64 {
        self.builder.repaired_frames()
    }
}

/// Sets the device up as requested and starts the stream.
fn start(
    device: Device,
    path: &Path,
    requested: &RequestedMode,
) -> Result<(AsyncFd<CaptureStream>, Setup), Error> {
    let setup = setup::set_up(&device, path, requested)?;
    let driver = device.capability().driver.clone();
    let stream = device.start(BUFFERS).map_err(|(_, error)| diagnose::call_error(path, error))?;
    let buffers = stream.buffer_count();
    let stream = register(stream).map_err(|source| Error::File {
        doing: "wait for",
        path: path.to_owned(),
        source,
    })?;
    debug!(device = %path.display(), %driver, buffers, "capture started");
    Ok((stream, setup))
}

/// Registers the stream with the async runtime. The stream must have started before, because a device that is not
/// capturing reports an error to every poll.
#[allow(
    deprecated,
    reason = "the requirement on the caller holds: a stream owns its file, and never another one"
)]
fn register(stream: CaptureStream) -> io::Result<AsyncFd<CaptureStream>> {
    AsyncFd::with_interest(stream, Interest::READABLE | Interest::PRIORITY)
}

/// Copies a picture out of the device's memory.
fn copy(
    filled_buffer: &FilledBuffer<'_>,
    setup: &Setup,
    max_picture_bytes: usize,
) -> Result<Bytes, MediaError> {
    match &setup.raw {
        None => {
            let data = filled_buffer.plane(0);
            if data.len() > max_picture_bytes {
                return Err(MediaError::TooLarge { offset: 0, limit_bytes: max_picture_bytes });
            }
            Ok(Bytes::copy_from_slice(data))
        }
        Some((layout, _)) => {
            let (width_px, height_px) = layout.size;
            layout.copy(|number| filled_buffer.plane(number)).map(Bytes::from).map_err(|len_bytes| {
                MediaError::RawLength {
                    format: layout.format,
                    width_px,
                    height_px,
                    expected_bytes: layout.format.len_bytes(width_px, height_px),
                    len_bytes,
                }
            })
        }
    }
}
