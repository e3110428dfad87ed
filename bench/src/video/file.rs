//! Makes the file that the fake cameras replay.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};
use framecast_testkit::rtsp::Clip;

/// The coded pictures a second of a file that is made here.
pub(crate) const FPS: u64 = 25;

/// The number of GOPs of a file that is made here.
const GOPS: u64 = 3;

/// What a file of H.264 is like.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub(crate) struct FileShape {
    pub(crate) width_px: u32,
    pub(crate) height_px: u32,
    pub(crate) mbit_per_s: f64,
    pub(crate) keyframe_each_s: u64,
}

impl FileShape {
    /// Returns the shape in words, for a report.
    pub(crate) fn describe(&self) -> String {
        let Self { width_px, height_px, mbit_per_s, keyframe_each_s } = self;
        format!(
            "H.264 of {width_px}x{height_px}, {FPS} pictures a second, {mbit_per_s} Mbit/s, a keyframe each \
             {keyframe_each_s} s"
        )
    }

    /// Makes a file of this shape in the folder `dir` and returns its path. Its pictures move and have noise, so that
    /// they fill the bit rate.
    ///
    /// # Errors
    ///
    /// ffmpeg is missing, or fails.
    pub(crate) fn make(&self, dir: &Path) -> Result<PathBuf> {
        let path = dir.join("video.h264");
        let kbit = format!("{}k", (self.mbit_per_s * 1000.0) as u64);
        let seconds = self.keyframe_each_s * GOPS;
        let source = format!(
            "testsrc2=size={}x{}:rate={FPS}:duration={seconds},noise=alls=14:allf=t",
            self.width_px, self.height_px
        );
        let gop = (self.keyframe_each_s * FPS).to_string();
        let output = Command::new("ffmpeg")
            .args(["-v", "error", "-nostdin", "-f", "lavfi", "-i", &source, "-pix_fmt", "yuv420p"])
            .args(["-c:v", "libx264", "-preset", "veryfast", "-tune", "zerolatency", "-threads", "1"])
            .args(["-g", &gop, "-keyint_min", &gop, "-sc_threshold", "0"])
            .args(["-b:v", &kbit, "-maxrate", &kbit, "-bufsize", &kbit, "-f", "h264"])
            .arg(&path)
            .output()
            .context("cannot run ffmpeg, which makes the video")?;
        let complaint = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "ffmpeg makes no video: {}", complaint.trim());
        Ok(path)
    }
}

/// Reads the file at `path`, which must be H.264 with start codes.
///
/// # Errors
///
/// The file cannot be read.
pub(crate) fn read(path: &Path) -> Result<Clip> {
    let file = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(Clip { fps: FPS as f64, ..Clip::from_annex_b(file) })
}
