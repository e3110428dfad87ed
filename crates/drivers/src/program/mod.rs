//! Runs other programs as child processes, for the drivers that get their pictures from a program.
//!
//! [`Program`] reads pictures from a program's standard output, as fast as the program writes. [`run_to_end`] runs a
//! program to its end and returns its short output. Standard error goes to the log, after the secrets of the source
//! were removed. The program leads a process group of its own; dropping the [`Program`] ends the whole group. Each
//! driver interprets the messages of its program itself.

#[cfg(test)]
pub(crate) mod fake_program;
mod output;
mod process_group;
mod stderr;

use std::fmt;
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use framecast_media::Frame;
use rustix::io::Errno;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::pipe::Receiver;
use tokio::process::{ChildStdin, Command};
use tokio::time::{Instant, sleep_until};
use tracing::Level;

pub(crate) use self::output::run_to_end;
use self::process_group::ProcessGroup;
use self::stderr::StderrLog;
use crate::frame_parser::{FrameParser, PAUSE};
use crate::redact::Redactor;
use crate::{Error, OpenContext, SourceUrl, masking, unit};

/// The size of the buffer for one read, in bytes. With 10,000 pictures of 4 KiB a second, this takes about 640 read
/// calls a second instead of 10,000.
const READ_BYTES: usize = 64 * 1024;

/// The requested size of the pipe, in bytes, so that a program need not wait for Framecast after every picture. It is
/// the maximum for unprivileged processes on Linux.
const PIPE_BYTES: usize = 1024 * 1024;

/// The time limit for a program that has closed its output to exit.
const EXIT_TIMEOUT: Duration = Duration::from_secs(1);

/// How long a program can take to end once it was asked to: longer than an RTSP camera with one picture a second takes
/// to deliver the next one, because ffmpeg says goodbye to the camera only then, and shorter than the time that the
/// supervisor, which keeps the camera open, leaves for closing.
const CLOSE_GRACE: Duration = Duration::from_millis(1100);

/// The prefix of the names of Framecast's own environment variables. The programs that Framecast starts do not get
/// these variables, because they may contain passwords.
const OWN_ENV_PREFIX: &str = "FRAMECAST_";

/// Variables by which a service manager speaks with Framecast. The programs that Framecast starts do not get them,
/// because they must not speak for Framecast.
const SERVICE_ENV: [&str; 6] =
    ["LISTEN_FDNAMES", "LISTEN_FDS", "LISTEN_PID", "NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC"];

/// The description of a program to start: its executable, its arguments and its input.
#[derive(Clone)]
pub(crate) struct Launch {
    /// The executable. A bare name is searched on PATH.
    path: PathBuf,
    /// The program's name in errors and in the log, without the folder.
    name: String,
    arguments: Vec<String>,
    /// The text that is written to the program's standard input, which is then closed. Other users of the machine
    /// cannot see this text, whereas they can see the arguments.
    input: Option<String>,
    /// Whether the program reads its standard input until its end, from what [`Program::take_input`] returns.
    reads_input: bool,
    /// The level at which the program's standard error is logged.
    level: Level,
}

impl Launch {
    /// Creates the description of a program to start. `program` is a path or a name. The standard input is empty.
    pub(crate) fn new(program: impl Into<String>, arguments: Vec<String>) -> Self {
        let program = program.into();
        let name = masking::program(&program);
        Self {
            path: PathBuf::from(program),
            name,
            arguments,
            input: None,
            reads_input: false,
            level: Level::INFO,
        }
    }

    /// Sets the folder in which the program is searched. `None` means that it is searched on PATH.
    pub(crate) fn in_folder(mut self, folder: Option<&Path>) -> Self {
        if let Some(folder) = folder {
            self.path = folder.join(&self.name);
        }
        self
    }

    /// Sets the text for the program's standard input.
    pub(crate) fn with_input(mut self, input: String) -> Self {
        self.input = Some(input);
        self
    }

    /// Makes the program's standard input stay open, for [`Program::take_input`].
    pub(crate) fn with_open_input(mut self) -> Self {
        self.reads_input = true;
        self
    }

    /// Makes the program's standard error appear in the log only at level debug.
    pub(crate) fn with_debug_log(mut self) -> Self {
        self.level = Level::DEBUG;
        self
    }

    /// Creates the error for a program that could not be started.
    pub(crate) fn spawn_error(&self, source: io::Error) -> Error {
        let source = match unit::hint(&self.path) {
            hint if hint.is_empty() || source.kind() != io::ErrorKind::PermissionDenied => source,
            hint => io::Error::new(source.kind(), format!("{source}{hint}")),
        };
        Error::CannotRun { program: self.name.clone(), source }
    }

    /// Creates the error for a program that is not installed. `advice` says how to get it.
    pub(crate) fn not_installed_error(&self, advice: &'static str) -> Error {
        Error::NotInstalled { program: self.name.clone(), advice }
    }

    /// Checks whether the program exists and this account is allowed to run it.
    ///
    /// # Errors
    /// The error that the system would return when starting the program.
    pub(crate) fn check_executable(&self) -> io::Result<()> {
        if self.path.components().count() > 1 || self.path.is_absolute() {
            return check_executable_at(&self.path);
        }
        let folders = std::env::var_os("PATH").unwrap_or_default();
        let mut result = Err(Errno::NOENT.into());
        for folder in std::env::split_paths(&folders) {
            match check_executable_at(&folder.join(&self.path)) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Ok(()) => return Ok(()),
                refused => result = refused,
            }
        }
        result
    }

    /// Returns a redactor that knows the secrets of the URLs in the program's input, to remove them from the program's
    /// output.
    fn redactor(&self) -> Redactor {
        self.input.as_deref().map(Redactor::for_urls).unwrap_or_default()
    }

    /// Starts the program. `redactor` removes secrets from its standard error. Cancel safe: dropping the future ends
    /// the program.
    async fn start(&self, redactor: Redactor) -> io::Result<StartedProgram> {
        let mut command = Command::new(&self.path);
        for (name, _) in std::env::vars_os() {
            if name.as_encoded_bytes().starts_with(OWN_ENV_PREFIX.as_bytes()) {
                command.env_remove(name);
            }
        }
        for name in SERVICE_ENV {
            command.env_remove(name);
        }
        let mut child = command
            .args(&self.arguments)
            .process_group(0)
            .stdin(if self.input.is_some() || self.reads_input { Stdio::piped() } else { Stdio::null() })
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let stdin = child.stdin.take();
        let stdout = child.stdout.take().expect("standard output is piped");
        let stderr = child.stderr.take().expect("standard error is piped");
        let mut group = ProcessGroup::new(child);
        let stdout = stdout.into_owned_fd()?;
        enlarge_pipe(&stdout);
        let stderr = stderr.into_owned_fd().and_then(Receiver::from_owned_fd)?;
        group.drain_while_ending(stderr.as_fd().try_clone_to_owned()?);
        let mut child = StartedProgram {
            stdin: None,
            stdout: Receiver::from_owned_fd(stdout)?,
            group,
            stderr: StderrLog::spawn(self.name.clone(), self.level, redactor, stderr),
        };
        match (stdin, &self.input) {
            (Some(mut stdin), Some(input)) => {
                // A program that does not read its input ends and reports why.
                stdin.write_all(input.as_bytes()).await.ok();
            }
            (stdin, _) => child.stdin = stdin,
        }
        Ok(child)
    }
}

/// Checks whether `path` is a file that this account is allowed to run.
fn check_executable_at(path: &Path) -> io::Result<()> {
    if !std::fs::metadata(path)?.is_file() {
        return Err(Errno::ACCESS.into());
    }
    Ok(rustix::fs::access(path, rustix::fs::Access::EXEC_OK)?)
}

/// Shows only the program's name, without its arguments and its input.
impl fmt::Debug for Launch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Launch").field(&self.name).finish()
    }
}

/// A program that was started, with its output and error streams.
struct StartedProgram {
    /// The writing end of the program's standard input, if that stays open.
    stdin: Option<ChildStdin>,
    stdout: Receiver,
    group: ProcessGroup,
    stderr: StderrLog,
}

/// A running program that writes pictures. The order of the fields is the order in which they are dropped. The reading
/// end of the pipe closes first, so that a program that is blocked in a write to the pipe gets an error. Otherwise it
/// would stay blocked while it is being ended.
pub(crate) struct Program {
    /// The reading end of the program's standard output; `None` once everything was read.
    stdout: Option<Receiver>,
    /// The writing end of the program's standard input, if that stays open and nobody has taken it.
    stdin: Option<ChildStdin>,
    group: ProcessGroup,
    stderr: StderrLog,
    name: String,
    /// Why the program may fail: see [`Error::Exited`].
    hint: Option<String>,
    buffer: Box<[u8]>,
    /// When the program's output was last read.
    read_at: Instant,
    pictures: FrameParser,
}

impl Program {
    /// Starts a program that writes the pictures of `url`, within the limits of `context`. Cancel safe.
    ///
    /// # Errors
    /// The system's error: [`NotFound`](io::ErrorKind::NotFound) if there is no such program.
    pub(crate) async fn start(context: &OpenContext, url: &SourceUrl, launch: &Launch) -> io::Result<Self> {
        let redactor = launch.redactor().with(Redactor::for_source(url));
        let StartedProgram { stdin, stdout, group, stderr } = launch.start(redactor).await?;
        Ok(Self {
            stdout: Some(stdout),
            stdin,
            group,
            stderr,
            name: launch.name.clone(),
            hint: launch
                .arguments
                .iter()
                .map(|argument| unit::hint(argument.as_ref()))
                .find(|hint| !hint.is_empty()),
            buffer: vec![0; READ_BYTES].into(),
            read_at: Instant::now(),
            pictures: FrameParser::new(context),
        })
    }

    /// Returns the next picture; `None` when the program has exited with success after at least one picture. Cancel
    /// safe: all bytes that were read are kept in `pictures`, and the program's exit status in `group`.
    ///
    /// # Errors
    /// [`Error::Exited`] when the program ended without success or without a picture, and the errors of broken
    /// pictures.
    pub(crate) async fn next(&mut self) -> Result<Option<Frame>, Error> {
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

    /// Returns the writing end of the program's standard input; `None` unless the program was launched with an open
    /// input, and at the second call.
    pub(crate) fn take_input(&mut self) -> Option<ChildStdin> {
        self.stdin.take()
    }

    /// Returns whether the program has yielded a whole picture.
    pub(crate) fn has_yielded(&self) -> bool {
        self.pictures.has_yielded()
    }

    /// Returns how many pictures so far lacked their end or had stray bytes around them, and were repaired.
    pub(crate) fn repaired_pictures(&self) -> u64 {
        self.pictures.repaired_frames()
    }

    /// Returns how many frames of coded video so far were skipped, because a frame that they need was missing.
    pub(crate) fn skipped_frames(&self) -> u64 {
        self.pictures.skipped_frames()
    }

    /// Returns the last lines of the program's standard error. They may contain secrets: for parsing only, never to be
    /// shown. Call this after the program has ended. Cancel safe.
    pub(crate) async fn last_lines(&mut self) -> Vec<String> {
        self.stderr.last_lines().await
    }

    /// Asks the program to end, and waits until it has ended. Ends it by force after [`CLOSE_GRACE`]. Its last pictures
    /// and messages are discarded.
    pub(crate) async fn close(&mut self) {
        // A program that is blocked in a write to the pipe gets an error.
        self.stdout = None;
        self.stderr.stop();
        self.group.terminate(CLOSE_GRACE).await;
    }

    /// Waits until the program writes output, pauses, closes its output or exits. Passes new output to the parser, and
    /// tells the parser when the output pauses or has ended.
    async fn fill(&mut self) -> Result<(), Error> {
        let Some(stdout) = &mut self.stdout else { return Ok(()) };
        tokio::select! {
            biased;
            read = stdout.read(&mut self.buffer) => match read {
                Ok(0) => self.close_output(),
                Ok(len) => {
                    self.read_at = Instant::now();
                    self.pictures.push(&self.buffer[..len]);
                }
                Err(source) => return Err(self.cannot_read(source)),
            },
            status = self.group.wait() => {
                status.map_err(|source| self.cannot_read(source))?;
                self.drain()?;
            }
            () = sleep_until(self.read_at + PAUSE), if self.pictures.awaits_pause() => {
                // If this thread had no time, bytes may have come that nobody has read.
                match rustix::io::ioctl_fionread(&*stdout) {
                    Ok(0) => self.pictures.pause(),
                    _ => self.read_at = Instant::now(),
                }
            }
        }
        Ok(())
    }

    /// Reads the bytes that a program left in the pipe when it exited. The program's own children may still hold the
    /// writing end of the pipe. Therefore, this does not wait for the end of the pipe, and stops after about as many
    /// bytes as a pipe holds.
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

    /// Waits for the program's exit after the end of its output. Returns `None` if this is the normal end of the
    /// source.
    ///
    /// # Errors
    /// [`Error::Unusable`] if the program goes on running; [`Error::Exited`] if it failed or has written no picture.
    async fn end(&mut self) -> Result<Option<Frame>, Error> {
        let Ok(status) = tokio::time::timeout(EXIT_TIMEOUT, self.group.wait()).await else {
            let problem =
                "the program closed its standard output but still runs; it must write pictures there"
                    .to_owned();
            return Err(Error::Unusable { what: format!("`{}`", self.name), problem });
        };
        let status: ExitStatus = status.map_err(|source| self.cannot_read(source))?;
        if status.success() && self.has_yielded() {
            return Ok(None);
        }
        let has_stderr = !self.last_lines().await.is_empty();
        Err(Error::Exited { program: self.name.clone(), status, has_stderr, hint: self.hint.clone() })
    }

    fn cannot_read(&self, source: io::Error) -> Error {
        Error::Pipe { what: format!("the output of `{}`", self.name), source }
    }
}

/// Enlarges the pipe if possible. A smaller pipe works too, with more switches between the two processes.
#[cfg(target_os = "linux")]
fn enlarge_pipe(pipe: &impl AsFd) {
    rustix::pipe::fcntl_setpipe_size(pipe, PIPE_BYTES).ok();
}

#[cfg(not(target_os = "linux"))]
fn enlarge_pipe(_pipe: &impl AsFd) {}
