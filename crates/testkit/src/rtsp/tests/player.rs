//! ffmpeg as the client, and the films that it makes for the camera.

use std::process::Command;
use std::sync::OnceLock;

use crate::blocking::output_of;
use crate::not_run;
use crate::rtsp::{Clip, FakeCamera};

/// A file of one second at 25 pictures a second, which ffmpeg makes once.
pub(super) struct Film {
    name: &'static str,
    size: &'static str,
    options: &'static [&'static str],
    made: OnceLock<Option<Made>>,
}

pub(super) struct Made {
    pub(super) clip: Clip,
    /// The checksums of the decoded pictures in the order of showing.
    pub(super) sums: Vec<String>,
}

impl Film {
    const fn new(name: &'static str, size: &'static str, options: &'static [&'static str]) -> Self {
        Self { name, size, options, made: OnceLock::new() }
    }

    /// The film; `None` on a machine without ffmpeg.
    pub(super) fn made(&self) -> Option<&Made> {
        self.made.get_or_init(|| self.make()).as_ref()
    }

    fn make(&self) -> Option<Made> {
        if let Err(error) = Command::new("ffmpeg").arg("-version").stdout(std::process::Stdio::null()).spawn()
        {
            not_run(format!("ffmpeg: {error}"));
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(self.name);
        let source = format!("testsrc2=size={}:rate=25", self.size);
        let mut ffmpeg = Command::new("ffmpeg");
        ffmpeg.args(["-v", "error", "-f", "lavfi", "-i", &source, "-t", "1"]).args(self.options);
        let made = output_of(ffmpeg.arg(&path));
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let mut ffmpeg = Command::new("ffmpeg");
        let played = Played::of(ffmpeg.args(["-v", "error", "-i"]).arg(&path), 1000);
        Some(Made { clip: Clip::read(&path), sums: played.sums })
    }
}

pub(super) static H264: Film =
    Film::new("film.h264", "320x240", &["-c:v", "libx264", "-preset", "ultrafast", "-g", "10", "-bf", "0"]);
pub(super) static LARGE: Film =
    Film::new("film.h264", "640x480", &["-c:v", "libx264", "-preset", "ultrafast", "-g", "10", "-bf", "0"]);
pub(super) static H264_REORDERED: Film =
    Film::new("film.mp4", "320x240", &["-c:v", "libx264", "-bf", "3", "-b_strategy", "0", "-g", "25"]);
const X265: &str = "log-level=none:keyint=10:bframes=0";
pub(super) static H265: Film =
    Film::new("film.hevc", "320x240", &["-c:v", "libx265", "-preset", "ultrafast", "-x265-params", X265]);
const X265_REORDERED: &str = "log-level=none:keyint=25:bframes=3";
pub(super) static H265_REORDERED: Film =
    Film::new("film.mkv", "320x240", &["-c:v", "libx265", "-x265-params", X265_REORDERED]);
pub(super) static JPEG: Film =
    Film::new("film.mkv", "320x240", &["-c:v", "mjpeg", "-huffman", "default", "-pix_fmt", "yuvj420p"]);

/// What ffmpeg got from a camera and decoded.
#[derive(Debug)]
pub(super) struct Played {
    /// When to show each picture, in 90 kHz.
    pub(super) pts: Vec<i64>,
    /// The checksum of each picture.
    pub(super) sums: Vec<String>,
    /// The length of each decoded picture in bytes: one and a half times its pixels.
    pub(super) lens: Vec<usize>,
    pub(super) errors: String,
    pub(super) is_success: bool,
}

impl Played {
    /// Plays `count` pictures of the camera over `transport`, `tcp` or `udp`.
    pub(super) fn from(camera: &FakeCamera, transport: &str, count: usize) -> Self {
        let mut ffmpeg = Command::new("ffmpeg");
        Self::of(ffmpeg.args(["-v", "error", "-rtsp_transport", transport, "-i", &camera.url()]), count)
    }

    /// Runs `ffmpeg`, which has its input as arguments already.
    fn of(ffmpeg: &mut Command, count: usize) -> Self {
        ffmpeg.args(["-map", "0:v", "-frames:v", &count.to_string(), "-fps_mode", "passthrough"]);
        ffmpeg.args(["-autoscale", "0", "-enc_time_base", "1:90000", "-f", "framecrc", "-"]);
        let output = output_of(ffmpeg.stdin(std::process::Stdio::null()));
        let text = String::from_utf8_lossy(&output.stdout);
        let rows = text.lines().filter(|line| !line.starts_with('#'));
        let rows: Vec<Vec<&str>> = rows.map(|row| row.split(',').map(str::trim).collect()).collect();
        Self {
            pts: rows.iter().map(|row| row[2].parse().unwrap()).collect(),
            sums: rows.iter().map(|row| row[5].to_owned()).collect(),
            lens: rows.iter().map(|row| row[4].parse().unwrap()).collect(),
            errors: String::from_utf8_lossy(&output.stderr).into_owned(),
            is_success: output.status.success(),
        }
    }

    /// The times between the pictures.
    pub(super) fn steps(&self) -> Vec<i64> {
        self.pts.windows(2).map(|pair| pair[1] - pair[0]).collect()
    }
}

/// What ffprobe says of these entries of the camera at `url`, line by line, and its errors.
pub(super) fn probed(url: &str, entries: &str, more: &[&str]) -> (Vec<String>, String) {
    let mut ffprobe = Command::new("ffprobe");
    ffprobe.args(["-v", "error", "-rtsp_transport", "tcp", "-of", "csv=p=0", "-show_entries", entries]);
    let output = output_of(ffprobe.args(more).arg(url));
    let lines = String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect::<Vec<_>>();
    let lines = lines.into_iter().filter(|line| !line.is_empty()).collect();
    (lines, String::from_utf8_lossy(&output.stderr).into_owned())
}
