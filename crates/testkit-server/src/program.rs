//! The real program as a child process, with its output line by line. Dropping the value kills the program.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use framecast_testkit::blocking::{ended, output_of, pause, received};
use rustix::fs::{Mode, OFlags};
use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

/// Longer than any wait; only a failing test reaches it.
const PATIENCE: Duration = Duration::from_secs(60);

/// Variables of the environment that must not influence a test.
const VARIABLES: [&str; 6] =
    ["CAMERA", "OPENCV_CAMERA_SOURCE", "FRAMECAST_PASSWORD", "FRAMECAST_LOG", "COLUMNS", "STATE_DIRECTORY"];

/// The program's file. Cargo tells it to integration tests of the package `framecast` while they run.
///
/// # Panics
/// If Cargo does not run the test.
pub fn binary() -> PathBuf {
    std::env::var_os("CARGO_BIN_EXE_framecast").expect("`cargo test` runs a test of `framecast`").into()
}

/// The folder for files that tests leave: `tmp` in Cargo's target folder.
fn scratch() -> PathBuf {
    let folder = binary().ancestors().nth(2).unwrap().join("tmp");
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// The program with these arguments, in a folder without configuration.
pub fn framecast(arguments: &[&str]) -> Command {
    command(binary(), arguments)
}

/// A program with these arguments, in a folder without configuration.
pub fn command(program: PathBuf, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(scratch()).stdin(Stdio::null());
    for name in VARIABLES {
        command.env_remove(name);
    }
    command.env("XDG_STATE_HOME", scratch().join("state"));
    command
}

/// Runs a command to its end: exit code, standard output, standard error.
pub fn run(command: &mut Command) -> (i32, String, String) {
    let Output { status, stdout, stderr } = output_of(command);
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code().unwrap(), text(stdout), text(stderr))
}

/// A running program.
pub struct Running {
    child: Child,
    lines: Receiver<String>,
    /// Every line so far of standard output and standard error.
    pub seen: Vec<String>,
}

impl Running {
    /// Starts `command` and reads its output.
    pub fn start(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (sender, lines) = channel();
        let outputs: [Box<dyn Read + Send>; 2] =
            [Box::new(child.stdout.take().unwrap()), Box::new(child.stderr.take().unwrap())];
        for output in outputs {
            let sender = sender.clone();
            thread::spawn(move || {
                for line in BufReader::new(output).lines().map_while(Result::ok) {
                    if sender.send(line).is_err() {
                        break;
                    }
                }
            });
        }
        Self { child, lines, seen: Vec::new() }
    }

    /// The first line from now on that contains `text`.
    #[expect(clippy::disallowed_methods, reason = "the message of a failure shows the lines before")]
    pub fn line_with(&mut self, text: &str) -> String {
        loop {
            let line = self.lines.recv_timeout(PATIENCE);
            let line = line.unwrap_or_else(|_| panic!("no line with {text:?} in {:#?}", self.seen));
            self.seen.push(line.clone());
            if line.contains(text) {
                return line;
            }
        }
    }

    /// The address behind `open http://` in the program's output.
    pub fn address(&mut self) -> SocketAddr {
        let line = self.line_with("open http://");
        let after = line.split("open http://").nth(1).unwrap();
        let address = after.split(['/', '"']).next().unwrap().replace("localhost", "127.0.0.1");
        address.parse().unwrap_or_else(|_| panic!("no address in {line}"))
    }

    /// The program's process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Reads the lines that have come by now.
    pub fn read_lines(&mut self) {
        self.seen.extend(self.lines.try_iter());
    }

    /// Sends `signal` to the program.
    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits for the end and returns all lines.
    pub fn wait(mut self) -> (ExitStatus, Vec<String>) {
        let status = ended(&mut self.child);
        let mut seen = std::mem::take(&mut self.seen);
        while let Ok(line) = received("the rest of its output", &self.lines) {
            seen.push(line);
        }
        (status, seen)
    }

    /// Ends the program with SIGTERM, as a service manager does.
    pub fn terminate(self) -> (ExitStatus, Vec<String>) {
        self.signal(Signal::TERM);
        self.wait()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // The program may have ended already.
        self.child.kill().ok();
        ended(&mut self.child);
    }
}

/// A running program with standard streams of the test's own. Dropping this value kills the program.
pub struct ChildGuard(pub Child);

impl ChildGuard {
    /// Sends `signal` to the program.
    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.0), signal).unwrap();
    }

    /// Waits for the program's end; fails if that takes too long.
    pub fn wait(&mut self) -> ExitStatus {
        ended(&mut self.0)
    }

    /// Waits for the program's end; fails if that takes longer than `limit`, after which the program gives up waiting
    /// for others.
    pub fn wait_for(&mut self, limit: Duration) -> ExitStatus {
        let since = Instant::now();
        loop {
            if let Some(status) = self.0.try_wait().unwrap() {
                return status;
            }
            assert!(since.elapsed() < limit, "the program does not end within {limit:?}");
            pause(Duration::from_millis(5));
        }
    }
}

impl Drop for ChildGuard {
    fn drop(&mut self) {
        self.0.kill().ok();
        ended(&mut self.0);
    }
}

/// Whether a process is running, and is no zombie.
pub fn is_running(pid: u32) -> bool {
    let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else { return false };
    let state = stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().next()).map(str::to_owned);
    !matches!(state.as_deref(), Some("Z" | "X") | None)
}

/// A pseudo-terminal: the program's end, and the user's end. No child of another test inherits either.
pub fn terminal() -> (OwnedFd, File) {
    let person = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
    grantpt(&person).unwrap();
    unlockpt(&person).unwrap();
    let path = ptsname(&person, Vec::new()).unwrap();
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    (rustix::fs::open(path, flags, Mode::empty()).unwrap(), File::from(person))
}
