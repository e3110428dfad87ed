//! Judges what one viewer of coded video received: whether a decoder had every reference, what is missing, and whether
//! the viewer was told.

use std::{fs, path::Path, process::Command};

use anyhow::{Context as _, Result, ensure};
use serde::Serialize;

use super::viewer::{Arrival, VideoSeen};

/// What one viewer received, and whether it is whole.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Verdict {
    pub(crate) frames: usize,
    /// How many frames between the first and the last are missing.
    pub(crate) missing: u64,
    /// How many gaps there are.
    pub(crate) gaps: usize,
    /// How many frames the viewer was told that it did not get.
    pub(crate) told_dropped: u64,
    /// How many frames came after a gap and were no keyframe.
    pub(crate) without_reference: usize,
    /// How many frames ffmpeg decoded.
    pub(crate) decoded: usize,
    /// What ffmpeg complains of, at most a few lines.
    pub(crate) complaints: String,
}

impl Verdict {
    /// Judges what a viewer has seen, which must include its media. Files go into the folder `work`.
    ///
    /// # Errors
    ///
    /// ffmpeg is missing.
    pub(crate) fn of(seen: &VideoSeen, work: &Path) -> Result<Self> {
        let Gaps { missing, gaps, without_reference } = Gaps::of(&seen.arrivals);
        let (decoded, complaints) = decode(&seen.media, work)?;
        let (frames, told_dropped) = (seen.arrivals.len(), seen.told_dropped);
        Ok(Self { frames, missing, gaps, told_dropped, without_reference, decoded, complaints })
    }

    /// Checks that a decoder can use all that was sent.
    ///
    /// # Errors
    ///
    /// A frame came without its reference, or ffmpeg complained or left frames out.
    pub(crate) fn ensure_whole(&self, whose: &str) -> Result<()> {
        let Self { frames, without_reference, decoded, complaints, .. } = self;
        ensure!(*without_reference == 0, "{whose}: {without_reference} frames came without their reference");
        ensure!(complaints.is_empty(), "{whose}: ffmpeg says: {complaints}");
        ensure!(decoded == frames, "{whose}: ffmpeg decoded {decoded} of {frames} frames");
        Ok(())
    }
}

/// What is missing in a row of frames, all of which are references.
#[derive(Debug, PartialEq, Eq)]
struct Gaps {
    missing: u64,
    gaps: usize,
    without_reference: usize,
}

impl Gaps {
    fn of(arrivals: &[Arrival]) -> Self {
        let mut all = Self { missing: 0, gaps: 0, without_reference: 0 };
        for pair in arrivals.windows(2) {
            let step = pair[1].number.saturating_sub(pair[0].number);
            if step != 1 {
                all.gaps += 1;
                all.missing += step.saturating_sub(1);
                all.without_reference += usize::from(!pair[1].is_keyframe);
            }
        }
        all.without_reference += usize::from(arrivals.first().is_some_and(|first| !first.is_keyframe));
        all
    }
}

/// Decodes MP4. Returns the number of frames and what ffmpeg complains of.
fn decode(media: &[u8], work: &Path) -> Result<(usize, String)> {
    let path = work.join("received.mp4");
    fs::write(&path, media).context("cannot write what was received")?;
    let output = Command::new("ffmpeg")
        .args(["-v", "error", "-nostdin", "-i"])
        .arg(&path)
        .args(["-map", "0:v:0", "-fps_mode", "passthrough", "-f", "framecrc", "-"])
        .output()
        .context("cannot run ffmpeg, which decodes what was received")?;
    let frames = output.stdout.split(|byte| *byte == b'\n');
    let decoded = frames.filter(|line| line.first().is_some_and(|byte| *byte != b'#')).count();
    let text = String::from_utf8_lossy(&output.stderr);
    Ok((decoded, text.lines().take(5).collect::<Vec<_>>().join(" | ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arrival(number: u64, is_keyframe: bool) -> Arrival {
        Arrival { at_us: 0, number, is_keyframe }
    }

    #[test]
    fn a_gap_must_end_with_a_keyframe() {
        let whole = [(3, true), (4, false), (9, true), (10, false)].map(|(at, key)| arrival(at, key));
        assert_eq!(Gaps::of(&whole), Gaps { missing: 4, gaps: 1, without_reference: 0 });
        let broken = [(3, false), (4, false), (6, false)].map(|(at, key)| arrival(at, key));
        assert_eq!(Gaps::of(&broken), Gaps { missing: 1, gaps: 1, without_reference: 2 });
        assert_eq!(Gaps::of(&[]), Gaps { missing: 0, gaps: 0, without_reference: 0 });
    }
}
