//! Runs a program to its end and returns its output.

use std::io;

use tokio::io::AsyncReadExt;

use super::{Launch, StartedProgram};

/// The maximum length of the output: longer than any list of cameras.
const MAX_ANSWER_BYTES: u64 = 64 * 1024;

/// What a program wrote before it ended.
pub(crate) struct ProgramOutput {
    /// Its standard output, up to the first byte that is not text.
    pub(crate) output: String,
    /// The last lines of its standard error, with secrets: for parsing only, never to be shown.
    pub(crate) last_lines: Vec<String>,
}

/// Starts a program and waits for its end. Cancel safe: a dropped future ends the program, so a time-out around it is
/// enough.
///
/// # Errors
/// The system's error: [`NotFound`](io::ErrorKind::NotFound) if there is no such program.
pub(crate) async fn run_to_end(launch: &Launch) -> io::Result<ProgramOutput> {
    let StartedProgram { stdout, mut group, mut stderr } = launch.start(launch.redactor()).await?;
    let mut output = Vec::new();
    stdout.take(MAX_ANSWER_BYTES).read_to_end(&mut output).await?;
    group.wait().await?;
    Ok(ProgramOutput {
        output: String::from_utf8_lossy(&output).into_owned(),
        last_lines: stderr.last_lines().await,
    })
}
