//! Makes JPEG pictures of coded video by ffmpeg, for viewers who cannot play the video.
//!
//! [`VideoDecoders::start`] runs one ffmpeg, which reads access units and writes JPEG images. [`DecoderInput`] writes the
//! access units, and [`VideoDecoder`] reads the pictures, so that one task can wait for both. The pictures have the times
//! of the frames of which they were made.

mod hardware;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use framecast_media::codec::VideoParameters;
use framecast_media::codec::nal::to_annex_b;
use framecast_media::{Bytes, Codec, Format, Frame, lock};
use tokio::io::AsyncWriteExt;
use tokio::process::ChildStdin;
use tokio::time::{Instant, sleep_until};

use self::hardware::hardware_options;
use crate::program::{Launch, Program};
use crate::{Error, OpenContext, SourceUrl};

/// The quality of the pictures, on ffmpeg's scale from 2 (best) to 31. It corresponds to about 85 on the usual scale of
/// JPEG quality, from 1 to 100.
const QUALITY: &str = "4";

/// What the program is for, and how to get it.
const INSTALL_ADVICE: &str = "Framecast makes JPEG pictures of H.264 and H.265 with it, for snapshots and for viewers \
                              that cannot play these: `apt install ffmpeg`, or get it for your system from ffmpeg.org";

/// An access unit delimiter (H.264 §7.3.2.4, H.265 §7.3.2.5) in Annex B. ffmpeg passes a frame on when it sees the
/// beginning of the next one. A delimiter right behind each frame spares the wait for the next frame.
const H264_DELIMITER: &[u8] = &[0, 0, 0, 1, 0x09, 0xF0];
const H265_DELIMITER: &[u8] = &[0, 0, 0, 1, 0x46, 0x01, 0x50];

/// The maximum number of frames that ffmpeg keeps before their picture appears, beside those that it must reorder. If
/// more frames that it has read await their pictures, ffmpeg has dropped some.
const MAX_KEPT_FRAMES: usize = 4;

/// The maximum number of bytes that were written and that ffmpeg has not decoded: what a pipe holds on Linux (64 KiB),
/// and as much again for ffmpeg's own buffers. A viewer who comes late in a group of pictures makes the server write
/// many small frames at once.
const MAX_UNREAD_BYTES: u64 = 128 * 1024;

/// The maximum number of frames that await their pictures.
const MAX_AWAITED_FRAMES: usize = 256;

/// How long ffmpeg can take to the next picture while it has frames to decode.
const PATIENCE: Duration = Duration::from_millis(2500);

/// How long ffmpeg can take to the first picture. On a busy machine, its start alone can take seconds.
const FIRST_PATIENCE: Duration = Duration::from_secs(10);

/// What was written and awaits its picture.
struct Awaited<T> {
    /// The frames in the order in which they are shown.
    frames: VecDeque<AwaitedFrame<T>>,
    /// The number of bytes written so far.
    written_bytes: u64,
    /// The maximum number of frames that ffmpeg keeps. If more await their pictures, and ffmpeg has read them, it has
    /// dropped the oldest.
    max_frames: usize,
    /// Since when ffmpeg has been late: it does not read its input, or a picture should have come. `None` if it is not.
    late_since: Option<Instant>,
    /// Whether a frame is being written.
    is_writing: bool,
}

/// A frame that awaits its picture.
struct AwaitedFrame<T> {
    /// The frame without its data, which nobody needs any more.
    times: Frame,
    /// What the caller keeps with the frame.
    kept: T,
    /// The number of bytes written before this frame.
    begin: u64,
}

impl<T> Awaited<T> {
    fn new(max_frames: usize) -> Self {
        let frames = VecDeque::new();
        Self { frames, written_bytes: 0, max_frames, late_since: None, is_writing: false }
    }

    /// Adds a frame whose writing begins now. Returns whether ffmpeg should have made a picture of an earlier one.
    fn begin_write(&mut self, frame: &Frame, kept: T) -> bool {
        let mut times = frame.clone();
        times.data = Bytes::new();
        let at = self.frames.partition_point(|other| other.times.pts <= frame.pts);
        self.frames.insert(at, AwaitedFrame { times, kept, begin: self.written_bytes });
        self.is_writing = true;
        self.late_since.get_or_insert_with(Instant::now);
        let is_late = self.frames.len() > self.max_frames;
        while self.is_oldest_dropped() {
            self.frames.pop_front();
        }
        is_late
    }

    /// Returns whether ffmpeg has dropped the oldest frame. A frame that it may not have read yet still gets a picture:
    /// without it, the picture would get the times of a newer frame, and pass for newer than it is.
    fn is_oldest_dropped(&self) -> bool {
        let is_read = |oldest: &AwaitedFrame<T>| oldest.begin + MAX_UNREAD_BYTES < self.written_bytes;
        self.frames.len() > MAX_AWAITED_FRAMES
            || self.frames.len() > self.max_frames && self.frames.front().is_some_and(is_read)
    }

    /// Ends the writing of a frame as `bytes` bytes. `is_late` is what the beginning returned.
    fn end_write(&mut self, bytes: usize, is_late: bool) {
        self.written_bytes += bytes as u64;
        self.is_writing = false;
        self.late_since = self.late_since.filter(|_| is_late);
    }

    /// Returns the frame of a picture that has come. Returns `None` if ffmpeg has shown a frame twice.
    fn take_frame(&mut self) -> Option<(Frame, T)> {
        self.late_since = self.is_writing.then(Instant::now);
        self.frames.pop_front().map(|frame| (frame.times, frame.kept))
    }
}

/// Starts the ffmpegs of one camera, one after another.
pub struct VideoDecoders {
    /// The folder of ffmpeg; `None` means that it is searched on PATH.
    folder: Option<PathBuf>,
    /// ffmpeg's options for the machine's hardware; empty if ffmpeg decodes in software.
    hardware: Vec<String>,
}

/// The reading end of an ffmpeg that decodes video. `T` is what the caller keeps with each frame until its picture
/// comes.
pub struct VideoDecoder<T> {
    program: Program,
    awaited: Arc<Mutex<Awaited<T>>>,
}

/// The writing end of an ffmpeg that decodes video.
pub struct DecoderInput<T> {
    stdin: ChildStdin,
    awaited: Arc<Mutex<Awaited<T>>>,
}

impl VideoDecoders {
    /// Looks for hardware that decodes video, which the first ffmpeg then uses. Tries to open devices.
    pub fn detect() -> Self {
        Self { folder: None, hardware: hardware_options(Path::new("/dev")) }
    }

    /// Starts ffmpeg for video of `format`. Frames of another format need another decoder if the codec differs. Cancel
    /// safe.
    ///
    /// # Errors
    /// Why ffmpeg cannot be run, and what to do; or what is wrong with the parameter sets of the format.
    pub async fn start<T>(
        &self,
        context: &OpenContext,
        format: &Format,
    ) -> Result<(VideoDecoder<T>, DecoderInput<T>), Error> {
        let reorder_depth = VideoParameters::parse(format.codec, &format.parameter_sets)?.reorder_depth;
        let launch = Launch::new("ffmpeg", arguments(format.codec, reorder_depth > 0, &self.hardware))
            .in_folder(self.folder.as_deref())
            .with_open_input();
        let nobody = SourceUrl::parse("exec:ffmpeg").expect("a program's name is a source");
        let started = Program::start(context, &nobody, &launch).await;
        let mut program = started.map_err(|source| match source.kind() {
            std::io::ErrorKind::NotFound => launch.not_installed_error(INSTALL_ADVICE),
            _ => launch.spawn_error(source),
        })?;
        let stdin = program.take_input().expect("the input stays open");
        let awaited = Arc::new(Mutex::new(Awaited::new(reorder_depth + MAX_KEPT_FRAMES)));
        let input = DecoderInput { stdin, awaited: Arc::clone(&awaited) };
        Ok((VideoDecoder { program, awaited }, input))
    }

    /// Makes each ffmpeg from now on decode in software, after one has failed. Returns whether the failed one used
    /// hardware, so that another attempt may succeed at once.
    pub fn give_up_hardware(&mut self) -> bool {
        !std::mem::take(&mut self.hardware).is_empty()
    }
}

impl<T> VideoDecoder<T> {
    /// Returns the next picture, with the times of its frame, and what the caller kept with that; `None` when ffmpeg has
    /// ended because its input has. Cancel safe.
    ///
    /// # Errors
    /// Why ffmpeg has ended; [`Error::TimedOut`] if it makes no pictures of the frames that it gets; and the errors of
    /// broken pictures, after which the next picture can be whole.
    pub async fn next_picture(&mut self) -> Result<Option<(Frame, T)>, Error> {
        loop {
            let patience = if self.program.has_yielded() { PATIENCE } else { FIRST_PATIENCE };
            let next = tokio::select! {
                biased;
                next = self.program.next() => next?,
                () = wait_until_late(&self.awaited, patience) => return Err(no_picture_error(patience)),
            };
            let Some(mut picture) = next else { return Ok(None) };
            let Some((frame, kept)) = lock(&self.awaited).take_frame() else { continue };
            (picture.pts, picture.dts) = (frame.pts, frame.pts);
            (picture.captured_at, picture.wall_time) = (frame.captured_at, frame.wall_time);
            return Ok(Some((picture, kept)));
        }
    }

    /// Ends ffmpeg.
    pub async fn close(mut self) {
        self.program.close().await;
    }
}

impl<T> DecoderInput<T> {
    /// Passes `frame` to ffmpeg, and keeps `kept` until the frame's picture comes. Waits while ffmpeg is busy.
    ///
    /// # Errors
    /// If ffmpeg has ended. [`VideoDecoder::next_picture`] says why.
    pub async fn write(&mut self, frame: &Frame, kept: T) -> std::io::Result<()> {
        let parameter_sets = if frame.is_keyframe { &frame.format.parameter_sets[..] } else { &[] };
        let stream = to_annex_b(&frame.data, parameter_sets).map_err(std::io::Error::other)?;
        let is_late = lock(&self.awaited).begin_write(frame, kept);
        self.stdin.write_all(&stream).await?;
        let delimiter = if frame.format.codec == Codec::H265 { H265_DELIMITER } else { H264_DELIMITER };
        self.stdin.write_all(delimiter).await?;
        lock(&self.awaited).end_write(stream.len() + delimiter.len(), is_late);
        Ok(())
    }
}

/// Waits until ffmpeg has been late for `patience`.
async fn wait_until_late<T>(awaited: &Mutex<Awaited<T>>, patience: Duration) {
    loop {
        let now = Instant::now();
        let due_at = lock(awaited).late_since.unwrap_or(now) + patience;
        if due_at <= now {
            return;
        }
        sleep_until(due_at).await;
    }
}

fn no_picture_error(after: Duration) -> Error {
    Error::TimedOut { what: "`ffmpeg`".to_owned(), awaited: "a picture of the video", after }
}

/// Returns ffmpeg's arguments, with those for `hardware`. One thread, because each further one would delay the pictures by a frame. The option
/// `nobuffer`, which is usual for live video, is missing: with it, ffmpeg drops the first keyframe.
fn arguments(codec: Codec, reorders: bool, hardware: &[String]) -> Vec<String> {
    let demuxer = if codec == Codec::H265 { "hevc" } else { "h264" };
    let mut arguments = vec!["-nostdin", "-hide_banner", "-v", "error"];
    arguments.extend(hardware.iter().map(String::as_str));
    if !reorders {
        arguments.extend(["-flags", "low_delay"]);
    }
    arguments.extend(["-probesize", "32", "-analyzeduration", "0", "-threads", "1", "-f", demuxer]);
    arguments.extend(["-i", "pipe:0", "-an", "-vf", "scale=out_range=pc,format=yuvj420p"]);
    arguments.extend(["-fps_mode", "passthrough", "-c:v", "mjpeg", "-q:v", QUALITY, "-threads:v", "1"]);
    arguments.extend(["-flush_packets", "1", "-f", "mjpeg", "pipe:1"]);
    arguments.into_iter().map(str::to_owned).collect()
}
