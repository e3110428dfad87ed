//! Any program that writes JPEG images on its standard output, back to back or as multipart: `ffmpeg`,
//! `rpicam-vid`, a shell script.
//!
//! Its output is read as fast as it writes and every whole picture is yielded; its standard error goes to the log.
//! The program is a process group of its own, which ends with the source, children included. No shell is involved:
//! words are split as a shell would, and `exec:sh -c '…'` runs a pipeline.

mod group;
mod stderr;

use std::io;
use std::os::fd::AsFd;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use framecast_media::Frame;
use rustix::io::Errno;
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe::Receiver;
use tokio::process::Command;

use self::group::Group;
use self::stderr::Stderr;
use crate::stream::PictureStream;
use crate::{BoxFuture, Driver, Error, Source, SourceUrl};

/// `exec:PROGRAM ARGUMENTS…`; a `?` is part of the arguments.
pub(crate) struct Exec;

/// What is read at once: at 10,000 pictures of 4 KiB a second some 640 calls in place of 10,000.
const READ_BYTES: usize = 64 * 1024;

/// Room in the pipe, so that a program need not wait for us picture by picture: the most that Linux allows to all.
const PIPE_BYTES: usize = 1024 * 1024;

/// How long a program that has closed its output may take to exit.
const EXIT_TIMEOUT: Duration = Duration::from_secs(1);

/// The server's own password is none of a program's business.
const SECRET_VARIABLE: &str = "FRAMECAST_PASSWORD";

impl Driver for Exec {
    fn scheme(&self) -> &'static str {
        "exec"
    }

    fn check(&self, url: &SourceUrl) -> Result<(), Error> {
        words(url).map(drop)
    }

    fn open<'a>(&'a self, url: &'a SourceUrl) -> BoxFuture<'a, Result<Box<dyn Source>, Error>> {
        Box::pin(async move {
            let (program, arguments) = words(url)?;
            let source = ExecSource::spawn(url, program, &arguments)?;
            Ok(Box::new(source) as Box<dyn Source>)
        })
    }
}

/// The program and its arguments.
fn words(url: &SourceUrl) -> Result<(String, Vec<String>), Error> {
    let bad = |problem: String| Error::BadUrl { url: url.to_string(), problem };
    let mut words = shell_words::split(url.rest())
        .map_err(|error| bad(format!("cannot be split into words: {error}")))?
        .into_iter();
    match words.next() {
        Some(program) if !program.is_empty() => Ok((program, words.collect())),
        _ => {
            Err(bad("names no program; write for example `exec:ffmpeg -v error -re -i a.mp4 -f mjpeg -`"
                .to_owned()))
        }
    }
}

/// A program that runs. Fields are dropped in this order: a program that hangs in a write to us then fails at it
/// rather than sleeping through its termination.
struct ExecSource {
    /// `None` once it was read to its end.
    stdout: Option<Receiver>,
    group: Group,
    stderr: Stderr,
    program: String,
    buffer: Box<[u8]>,
    pictures: PictureStream,
}

impl ExecSource {
    fn spawn(url: &SourceUrl, program: String, arguments: &[String]) -> Result<Self, Error> {
        let cannot_run = |source| Error::CannotRun { program: program.clone(), source };
        let mut child = Command::new(&program)
            .args(arguments)
            .env_remove(SECRET_VARIABLE)
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(cannot_run)?;
        let stdout = child.stdout.take().expect("standard output is piped");
        let stderr = child.stderr.take().expect("standard error is piped");
        let mut group = Group::new(child);
        let stdout = stdout.into_owned_fd().map_err(cannot_run)?;
        enlarge(&stdout);
        let stderr = stderr.into_owned_fd().and_then(Receiver::from_owned_fd).map_err(cannot_run)?;
        group.hear_out(stderr.as_fd().try_clone_to_owned().map_err(cannot_run)?);
        Ok(Self {
            stdout: Some(Receiver::from_owned_fd(stdout).map_err(cannot_run)?),
            group,
            stderr: Stderr::follow(program.clone(), stderr),
            program,
            buffer: vec![0; READ_BYTES].into(),
            pictures: PictureStream::new(url),
        })
    }

    /// Cancel safe: all that was read is in `pictures`, all that is known of the program in `group`.
    async fn next(&mut self) -> Result<Option<Frame>, Error> {
        loop {
            if let Some(frame) = self.pictures.next_frame()? {
                return Ok(Some(frame));
            }
            if self.stdout.is_none() {
                return self.end().await;
            }
            self.fill().await?;
        }
    }

    /// Waits for bytes, for the end of the output or for the end of the program, whichever comes first.
    async fn fill(&mut self) -> Result<(), Error> {
        let Some(stdout) = &mut self.stdout else { return Ok(()) };
        tokio::select! {
            biased;
            read = stdout.read(&mut self.buffer) => match read {
                Ok(0) => self.close_output(),
                Ok(len) => self.pictures.push(&self.buffer[..len]),
                Err(source) => return Err(self.cannot_read(source)),
            },
            status = self.group.wait() => {
                status.map_err(|source| self.cannot_read(source))?;
                self.drain()?;
            }
        }
        Ok(())
    }

    /// Reads what a program that exited left in the pipe. Children that still hold the other end do not matter:
    /// nothing is waited for, and no more is read than a pipe holds.
    fn drain(&mut self) -> Result<(), Error> {
        let mut drained = 0;
        while let Some(stdout) = &self.stdout
            && drained < PIPE_BYTES
        {
            match rustix::io::read(stdout, &mut *self.buffer) {
                Ok(0) | Err(Errno::AGAIN) => break,
                Ok(len) => {
                    drained += len;
                    self.pictures.push(&self.buffer[..len]);
                }
                Err(Errno::INTR) => {}
                Err(errno) => return Err(self.cannot_read(errno.into())),
            }
        }
        self.close_output();
        Ok(())
    }

    fn close_output(&mut self) {
        self.stdout = None;
        self.pictures.finish();
    }

    /// What the end of the output means: the end of the source, or a failure of the program.
    async fn end(&mut self) -> Result<Option<Frame>, Error> {
        let Ok(status) = tokio::time::timeout(EXIT_TIMEOUT, self.group.wait()).await else {
            let problem = "closed its standard output and runs on; it must write pictures there".to_owned();
            return Err(Error::Nothing { what: format!("`{}`", self.program), problem });
        };
        let status: ExitStatus = status.map_err(|source| self.cannot_read(source))?;
        if status.success() && self.pictures.has_yielded() {
            return Ok(None);
        }
        let last_words = self.stderr.last_words().await;
        Err(Error::Exited { program: self.program.clone(), status, last_words })
    }

    fn cannot_read(&self, source: io::Error) -> Error {
        Error::Pipe { what: format!("the output of `{}`", self.program), source }
    }
}

impl Source for ExecSource {
    fn next_frame(&mut self) -> BoxFuture<'_, Result<Option<Frame>, Error>> {
        Box::pin(self.next())
    }
}

/// Best effort: a system that grants less serves us as well, with more switches between the two programs.
#[cfg(target_os = "linux")]
fn enlarge(pipe: &impl AsFd) {
    rustix::pipe::fcntl_setpipe_size(pipe, PIPE_BYTES).ok();
}

#[cfg(not(target_os = "linux"))]
fn enlarge(_pipe: &impl AsFd) {}
