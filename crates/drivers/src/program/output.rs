//! Runs a program to its end and returns its output.

use std::io;

use tokio::io::AsyncReadExt;

use super::{Launch, StartedProgram};

/// The maximum number of bytes of standard output that are read. Any list of cameras or codecs is shorter.
const MAX_ANSWER_BYTES: u64 = 64 * 1024;

/// The text that a program wrote before it ended.
pub(crate) struct ProgramOutput {
    /// The program's standard output; bytes that are not UTF-8 are replaced.
    pub(crate) output: String,
    /// The last lines of the program's standard error. They may contain secrets: for parsing only, never to be shown.
    pub(crate) last_lines: Vec<String>,
}

/// Starts a program, waits for its end and returns its output. Cancel safe: dropping the future ends the program, so a
/// caller can limit the time with a timeout around this future.
///
/// # Errors
/// The system's error: [`NotFound`](io::ErrorKind::NotFound) if there is no such program.
pub(crate) async fn run_to_end(launch: &Launch) -> io::Result<ProgramOutput> {
    let StartedProgram { stdout, mut group, mut stderr, .. } = launch.start(launch.redactor()).await?;
    let mut output = Vec::new();
    stdout.take(MAX_ANSWER_BYTES).read_to_end(&mut output).await?;
    group.wait().await?;
    Ok(ProgramOutput {
        output: String::from_utf8_lossy(&output).into_owned(),
        last_lines: stderr.last_lines().await,
    })
}
