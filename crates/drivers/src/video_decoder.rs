//! Makes JPEG pictures of coded video by ffmpeg, for viewers who cannot play the video.
//!
//! [`VideoDecoder::start`] runs one ffmpeg, which reads access units and writes JPEG images. [`DecoderInput`] writes the
//! access units, and [`VideoDecoder`] reads the pictures, so that one task can wait for both. The pictures have the times
//! of the frames of which they were made.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use framecast_media::codec::VideoParameters;
use framecast_media::codec::nal::to_annex_b;
use framecast_media::{Bytes, Codec, Format, Frame, lock};
use tokio::io::AsyncWriteExt;
use tokio::process::ChildStdin;

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
/// more frames await their pictures, ffmpeg has dropped some.
const MAX_KEPT_FRAMES: usize = 4;

/// The frames whose pictures have not come yet, in the order in which they are shown, each without its data and with
/// what the caller keeps with it.
type Awaited<T> = Arc<Mutex<VecDeque<(Frame, T)>>>;

/// The reading end of an ffmpeg that decodes video. `T` is what the caller keeps with each frame until its picture
/// comes.
pub struct VideoDecoder<T> {
    program: Program,
    awaited: Awaited<T>,
    max_awaited: usize,
}

/// The writing end of an ffmpeg that decodes video.
pub struct DecoderInput<T> {
    stdin: ChildStdin,
    awaited: Awaited<T>,
}

impl<T> VideoDecoder<T> {
    /// Starts ffmpeg for video of `format`. Frames of another format need another decoder if the codec differs. Cancel
    /// safe.
    ///
    /// # Errors
    /// Why ffmpeg cannot be run, and what to do; or what is wrong with the parameter sets of the format.
    pub async fn start(context: &OpenContext, format: &Format) -> Result<(Self, DecoderInput<T>), Error> {
        let reorder_depth = VideoParameters::parse(format.codec, &format.parameter_sets)?.reorder_depth;
        let launch = Launch::new("ffmpeg", arguments(format.codec, reorder_depth > 0)).with_open_input();
        let nobody = SourceUrl::parse("exec:ffmpeg").expect("a program's name is a source");
        let started = Program::start(context, &nobody, &launch).await;
        let mut program = started.map_err(|source| match source.kind() {
            std::io::ErrorKind::NotFound => launch.not_installed_error(INSTALL_ADVICE),
            _ => launch.spawn_error(source),
        })?;
        let stdin = program.take_input().expect("the input stays open");
        let awaited = Awaited::<T>::default();
        let max_awaited = reorder_depth + MAX_KEPT_FRAMES;
        let input = DecoderInput { stdin, awaited: Arc::clone(&awaited) };
        Ok((Self { program, awaited, max_awaited }, input))
    }

    /// Returns the next picture, with the times of its frame, and what the caller kept with that; `None` when ffmpeg has
    /// ended because its input has. Cancel safe.
    ///
    /// # Errors
    /// Why ffmpeg has ended, and the errors of broken pictures, after which the next picture can be whole.
    pub async fn next_picture(&mut self) -> Result<Option<(Frame, T)>, Error> {
        loop {
            let Some(mut picture) = self.program.next().await? else { return Ok(None) };
            let mut awaited = lock(&self.awaited);
            while awaited.len() > self.max_awaited {
                awaited.pop_front();
            }
            // A picture without a frame comes only from a decoder that shows a frame twice.
            let Some((frame, kept)) = awaited.pop_front() else { continue };
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
        {
            let mut awaited = lock(&self.awaited);
            let mut times = frame.clone();
            // Nobody needs the bytes any more.
            times.data = Bytes::new();
            let at = awaited.partition_point(|(other, _)| other.pts <= frame.pts);
            awaited.insert(at, (times, kept));
        }
        self.stdin.write_all(&stream).await?;
        self.stdin
            .write_all(if frame.format.codec == Codec::H265 { H265_DELIMITER } else { H264_DELIMITER })
            .await
    }
}

/// Returns ffmpeg's arguments. One thread, because each further one would delay the pictures by a frame. The option
/// `nobuffer`, which is usual for live video, is missing: with it, ffmpeg drops the first keyframe.
fn arguments(codec: Codec, reorders: bool) -> Vec<String> {
    let demuxer = if codec == Codec::H265 { "hevc" } else { "h264" };
    let mut arguments = vec!["-nostdin", "-hide_banner", "-v", "error"];
    if !reorders {
        arguments.extend(["-flags", "low_delay"]);
    }
    arguments.extend(["-probesize", "32", "-analyzeduration", "0", "-threads", "1", "-f", demuxer]);
    arguments.extend(["-i", "pipe:0", "-an", "-vf", "scale=out_range=pc,format=yuvj420p"]);
    arguments.extend(["-fps_mode", "passthrough", "-c:v", "mjpeg", "-q:v", QUALITY, "-threads:v", "1"]);
    arguments.extend(["-flush_packets", "1", "-f", "mjpeg", "pipe:1"]);
    arguments.into_iter().map(str::to_owned).collect()
}
