//! A program that answers a question and ends.

use std::io;

use tokio::io::AsyncReadExt;

use super::{Child, Launch};

/// What is read of an answer: more than any list of cameras.
const MAX_ANSWER_BYTES: u64 = 64 * 1024;

/// What a program said before it ended.
pub(crate) struct Answer {
    /// Its standard output, as far as it is text.
    pub(crate) output: String,
    /// The last lines of its standard error, secrets included: to be understood, never to be shown.
    pub(crate) last_lines: Vec<String>,
}

/// Starts a program and waits for its end. Cancel safe: dropped, it ends the program, so that a time-out around it is
/// enough.
///
/// # Errors
/// What the system said, [`NotFound`](io::ErrorKind::NotFound) where there is no such program.
pub(crate) async fn ask(launch: &Launch) -> io::Result<Answer> {
    let Child { stdout, mut group, mut stderr } = launch.start(launch.redactor()).await?;
    let mut output = Vec::new();
    stdout.take(MAX_ANSWER_BYTES).read_to_end(&mut output).await?;
    group.wait().await?;
    Ok(Answer {
        output: String::from_utf8_lossy(&output).into_owned(),
        last_lines: stderr.last_lines().await,
    })
}
