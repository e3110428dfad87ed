//! Decoding by ffmpeg, for tests of what players get.

use std::io::{Seek, Write};
use std::process::Command;

use crate::blocking::output_of;
use crate::not_run;

/// Returns whether ffmpeg is there. If it is not, the test that asks is reported as not run.
pub fn has_ffmpeg() -> bool {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let is_there = std::env::split_paths(&folders).any(|folder| folder.join("ffmpeg").is_file());
    if !is_there {
        not_run("ffmpeg is not installed");
    }
    is_there
}

/// Decodes the video in `stream` by ffmpeg. Returns the number of pictures, and what ffmpeg complains about.
///
/// # Panics
/// If ffmpeg cannot be started, or does not end within a minute.
pub fn decoded_by_ffmpeg(stream: &[u8]) -> (usize, String) {
    let mut file = tempfile::tempfile().expect("there is room for a temporary file");
    file.write_all(stream).and_then(|()| file.rewind()).expect("a temporary file can be written");
    let options = "-v error -i - -map 0:v -fps_mode passthrough -f framecrc -";
    let output = output_of(Command::new("ffmpeg").args(options.split(' ')).stdin(file));
    let text = String::from_utf8_lossy(&output.stdout);
    let pictures = text.lines().filter(|line| !line.starts_with('#')).count();
    (pictures, String::from_utf8_lossy(&output.stderr).into_owned())
}
