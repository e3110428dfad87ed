//! Runs a server that is measured, as a separate process on its own CPU. This module starts the process, waits until it
//! accepts connections, and always ends it.

use std::{
    fs::{self, File},
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use rustix::process::{Pid, Signal};

use crate::proc;

/// The number of the CPU that the measured server is pinned to, with all its threads.
pub(crate) const SERVER_CPU: usize = 0;

/// The number of the CPU that the load generator is pinned to.
pub(crate) const LOAD_CPU: usize = 1;

/// The maximum number of connections in Framecast's configuration. The load generator never opens so many.
const MAX_CONNECTIONS: u32 = 16_000;

const START_TIMEOUT: Duration = Duration::from_secs(15);
const STOP_TIMEOUT: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(20);

/// A server that can be started and measured: a Framecast or the ceiling server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Candidate {
    /// The server's name in tables.
    pub(crate) name: String,
    program: PathBuf,
    arguments: Vec<String>,
    /// Additional lines at the top of Framecast's configuration file.
    settings: String,
    /// The password of the only account on Framecast; `None` if everyone may watch.
    password: Option<String>,
    /// URLs of streams. Each is the source of one of Framecast's cameras. If empty, Framecast has one camera, which
    /// shows the pictures of the measurement.
    streams: Vec<String>,
    /// How long Framecast keeps a camera of `streams` open without a viewer, as in the configuration file.
    idle_timeout: &'static str,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Ceiling,
    VideoCeiling,
    Framecast,
    Body,
}

/// The name of the file with the certificate of a server with TLS, in the folder of the server's files.
pub(crate) const CERTIFICATE: &str = "certificate.der";

impl Candidate {
    /// Describes the ceiling server, which is this same program with the command `ceiling`. `name` is its name in
    /// tables.
    ///
    /// # Errors
    ///
    /// The path of this program is unknown.
    pub(crate) fn ceiling(name: &str) -> Result<Self> {
        Ok(Self {
            name: name.to_owned(),
            program: std::env::current_exe().context("cannot find the path of this program")?,
            arguments: vec!["ceiling".to_owned()],
            settings: String::new(),
            password: None,
            streams: Vec::new(),
            idle_timeout: "never",
            kind: Kind::Ceiling,
        })
    }

    /// Describes the ceiling server of coded video, which sends the video of `file`, 25 pictures a second, as messages of
    /// `/api/live`.
    ///
    /// # Errors
    ///
    /// The path of this program is unknown.
    pub(crate) fn video_ceiling(file: &Path) -> Result<Self> {
        let file = file.display().to_string();
        let arguments = ["ceiling", "--video", &file].map(str::to_owned).to_vec();
        Ok(Self { arguments, kind: Kind::VideoCeiling, ..Self::ceiling("ceiling")? })
    }

    /// Describes a program that embeds Framecast, which is this same program with the command `body` and further
    /// `arguments`. `name` is its name in tables.
    ///
    /// # Errors
    ///
    /// The path of this program is unknown.
    pub(crate) fn body(name: &str, arguments: &[&str]) -> Result<Self> {
        let arguments = ["body"].iter().chain(arguments).map(|&argument| argument.to_owned()).collect();
        Ok(Self { arguments, kind: Kind::Body, ..Self::ceiling(name)? })
    }

    /// Describes a Framecast server. `command` is the path of the program, followed by arguments that are separated by
    /// blanks.
    ///
    /// # Errors
    ///
    /// The program does not exist.
    pub(crate) fn framecast(command: &str) -> Result<Self> {
        let mut words = command.split_ascii_whitespace();
        let program = PathBuf::from(words.next().unwrap_or_default());
        ensure!(program.is_file(), "the program {} does not exist", program.display());
        let arguments: Vec<String> = words.map(str::to_owned).collect();
        let file = program.file_name().unwrap_or_default().to_string_lossy();
        Ok(Self {
            name: [&[file.into_owned()], arguments.as_slice()].concat().join(" "),
            program,
            arguments,
            settings: String::new(),
            password: None,
            streams: Vec::new(),
            idle_timeout: "never",
            kind: Kind::Framecast,
        })
    }

    /// Describes several Framecast servers, one for each of `commands`. Their names in tables are the names of the
    /// programs. Programs with equal names are named by the whole command instead, and by command and number if the
    /// commands are equal too.
    ///
    /// # Errors
    ///
    /// The errors of [`framecast`](Self::framecast).
    pub(crate) fn framecasts(commands: &[String]) -> Result<Vec<Self>> {
        let mut all = commands.iter().map(|command| Self::framecast(command)).collect::<Result<Vec<_>>>()?;
        let short: Vec<String> = all.iter().map(|candidate| candidate.name.clone()).collect();
        for (place, candidate) in all.iter_mut().enumerate() {
            let is_shared =
                |names: &[String], name: &String| names.iter().filter(|one| *one == name).count() > 1;
            if is_shared(commands, &commands[place]) {
                candidate.name = format!("{} ({})", commands[place], place + 1);
            } else if is_shared(&short, &short[place]) {
                candidate.name.clone_from(&commands[place]);
            }
        }
        Ok(all)
    }

    /// Returns this server with `name` as its name in tables, and with `settings` as additional lines of its
    /// configuration.
    pub(crate) fn with_settings(mut self, name: &str, settings: &str) -> Self {
        self.name = name.to_owned();
        settings.clone_into(&mut self.settings);
        self
    }

    /// Returns this server with `password` as the password of its account. The user name is in the additional settings.
    pub(crate) fn with_password(self, password: &str) -> Self {
        Self { password: Some(password.to_owned()), ..self }
    }

    /// Returns this server with a camera for each of the URLs in `streams`. `idle_timeout` is how long the server keeps
    /// each camera open without a viewer, as in the configuration file.
    pub(crate) fn reading(&self, streams: Vec<String>, idle_timeout: &'static str) -> Self {
        Self { streams, idle_timeout, ..self.clone() }
    }

    /// Returns whether the server is a Framecast, not the ceiling server.
    pub(crate) fn is_framecast(&self) -> bool {
        self.kind == Kind::Framecast
    }

    /// Returns the path of the server's video stream, for requests.
    fn stream_path(&self) -> &'static str {
        match self.kind {
            Kind::Ceiling | Kind::VideoCeiling => "/",
            Kind::Framecast | Kind::Body => "/cameras/bench/stream.mjpg",
        }
    }

    fn command(&self, listen: SocketAddr, pictures: &Path, fps: u32, work: &Path) -> Result<Command> {
        let mut command = Command::new(&self.program);
        command.args(&self.arguments);
        command.arg("--listen").arg(listen.to_string());
        // Gives the server a separate history, which it shares neither with the Framecast of this user account nor with
        // another version.
        let state = work.join(self.name.replace('/', "-"));
        command.env("XDG_STATE_HOME", state).env_remove("STATE_DIRECTORY");
        if let Some(password) = &self.password {
            command.env("FRAMECAST_PASSWORD", password);
        }
        match self.kind {
            Kind::Ceiling => {
                command.arg("--pictures").arg(pictures).args(["--fps", &fps.to_string(), "--seconds", "900"])
            }
            Kind::VideoCeiling => command.args(["--fps", &fps.to_string(), "--seconds", "900"]),
            Kind::Framecast => {
                let config = work.join("bench.toml");
                let text = self.configuration(pictures, fps);
                fs::write(&config, text).context("cannot write the server's configuration file")?;
                command.arg("--config").arg(config)
            }
            Kind::Body => {
                command.arg("--pictures").arg(pictures).args(["--fps", &fps.to_string(), "--seconds", "900"]);
                command.arg("--certificate").arg(work.join(CERTIFICATE))
            }
        };
        Ok(command)
    }

    fn configuration(&self, pictures: &Path, fps: u32) -> String {
        let mut text = format!("max_connections = {MAX_CONNECTIONS}\n{}\n", self.settings);
        let mut add = |name: &str, source: &str, more: &str| {
            text.push_str(&format!("\n[[camera]]\nname = {name:?}\nsource = {source:?}\n{more}"));
        };
        if self.streams.is_empty() {
            add("bench", &format!("images:{}?fps={fps}", pictures.display()), "");
        }
        for (number, stream) in self.streams.iter().enumerate() {
            let idle_timeout = format!("idle_timeout = {:?}\n", self.idle_timeout);
            add(&format!("bench-{}", number + 1), stream, &idle_timeout);
        }
        text
    }

    /// Returns the name of the file for the server's standard output and error output.
    fn log_name(&self) -> &'static str {
        match self.kind {
            Kind::Ceiling | Kind::VideoCeiling => "ceiling.log",
            Kind::Framecast | Kind::Body => "server.log",
        }
    }
}

/// The running process of a measured server. Dropping this value ends the process.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    address: SocketAddr,
    path: &'static str,
}

impl Server {
    /// Starts the server `candidate` on a free port of `address` and waits until it accepts connections. The server's
    /// log, and the files that it stores, are in the folder `work`.
    ///
    /// # Errors
    ///
    /// The program cannot be started, ends at once, or accepts no connection within 15 s. The error includes the end of
    /// the server's log.
    pub(crate) fn start(
        candidate: &Candidate,
        address: IpAddr,
        pictures: &Path,
        fps: u32,
        work: &Path,
    ) -> Result<Self> {
        Self::start_on(SERVER_CPU, candidate, address, pictures, fps, work)
    }

    /// Does the same as [`start`](Self::start), but pins the server to the CPU with the number `cpu`.
    ///
    /// # Errors
    ///
    /// The errors of [`start`](Self::start).
    pub(crate) fn start_on(
        cpu: usize,
        candidate: &Candidate,
        address: IpAddr,
        pictures: &Path,
        fps: u32,
        work: &Path,
    ) -> Result<Self> {
        let several_cpus = proc::cpu_count() > 1;
        if several_cpus {
            // The server process inherits the CPU of this thread when it starts, before it counts its CPUs.
            proc::pin_to_cpu(cpu)?;
        }
        let server = Self::spawn(candidate, address, pictures, fps, work);
        if several_cpus {
            proc::pin_to_cpu(LOAD_CPU)?;
        }
        server
    }

    /// Starts the server `candidate` on a free port of localhost and waits until it accepts connections. It is not
    /// pinned to a CPU, so it shares the CPUs with the load generator, as in normal use.
    ///
    /// # Errors
    ///
    /// The errors of [`start`](Self::start).
    pub(crate) fn start_unpinned(
        candidate: &Candidate,
        pictures: &Path,
        fps: u32,
        work: &Path,
    ) -> Result<Self> {
        proc::pin_to_any_cpu()?;
        Self::spawn(candidate, Ipv4Addr::LOCALHOST.into(), pictures, fps, work)
    }

    fn spawn(candidate: &Candidate, address: IpAddr, pictures: &Path, fps: u32, work: &Path) -> Result<Self> {
        let address = TcpListener::bind((address, 0))?.local_addr()?;
        let mut command = candidate.command(address, pictures, fps, work)?;
        let log = work.join(candidate.log_name());
        let log_file = File::create(&log).context("cannot write the server's log")?;
        let child = command
            .stdin(Stdio::null())
            .stdout(log_file.try_clone()?)
            .stderr(log_file)
            .spawn()
            .with_context(|| format!("cannot start {}", candidate.program.display()))?;
        let mut server = Self { child, address, path: candidate.stream_path() };
        server
            .await_listening()
            .with_context(|| format!("{} did not start: {}", candidate.name, last_lines(&log)))?;
        Ok(server)
    }

    fn await_listening(&mut self) -> Result<()> {
        let give_up = Instant::now() + START_TIMEOUT;
        loop {
            if TcpStream::connect_timeout(&self.address, POLL).is_ok() {
                return Ok(());
            }
            if let Some(status) = self.child.try_wait()? {
                bail!("the server ended with {status}");
            }
            ensure!(Instant::now() < give_up, "the server does not accept connections");
            std::thread::sleep(POLL);
        }
    }

    /// Returns the URL of the server's video stream.
    pub(crate) fn url(&self) -> String {
        format!("http://{}{}", self.address, self.path)
    }

    /// Returns the address on which the server listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the id of the server's process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Server {
    /// Sends SIGTERM to the server, waits a while, and then kills the server if it is still running.
    fn drop(&mut self) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        if let Some(pid) = pid {
            let _ = rustix::process::kill_process(pid, Signal::TERM);
        }
        let give_up = Instant::now() + STOP_TIMEOUT;
        while matches!(self.child.try_wait(), Ok(None)) {
            if Instant::now() > give_up {
                let _ = self.child.kill();
                let _ = self.child.wait();
                return;
            }
            std::thread::sleep(POLL);
        }
    }
}

/// Returns the last lines of a log, for an error message.
fn last_lines(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(5)..].join(" | ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_ends_at_once_is_reported_with_what_it_said() {
        let dir = tempfile::tempdir().unwrap();
        let candidate = Candidate {
            name: "broken".to_owned(),
            program: "/bin/sh".into(),
            arguments: vec!["-c".to_owned(), "echo no such option >&2; exit 3".to_owned()],
            settings: String::new(),
            password: None,
            streams: Vec::new(),
            idle_timeout: "never",
            kind: Kind::Framecast,
        };
        let localhost = Ipv4Addr::LOCALHOST.into();
        let error = Server::start(&candidate, localhost, dir.path(), 30, dir.path()).unwrap_err();
        let text = format!("{error:#}");
        assert!(text.contains("broken did not start: no such option"), "{text}");
        assert!(text.contains("exit status: 3"), "{text}");
    }

    #[test]
    fn a_candidate_is_named_by_its_file_and_arguments() {
        let candidate = Candidate::framecast("/bin/sh --shards 2").unwrap();
        assert_eq!(candidate.name, "sh --shards 2");
        assert!(Candidate::framecast("/nowhere/framecast").is_err());
    }

    #[test]
    fn candidates_of_one_name_are_told_apart_by_their_path_and_then_by_their_number() {
        let names = |commands: &[&str]| -> Vec<String> {
            let commands: Vec<String> = commands.iter().map(|&command| command.to_owned()).collect();
            Candidate::framecasts(&commands).unwrap().into_iter().map(|candidate| candidate.name).collect()
        };
        assert_eq!(names(&["/bin/sh", "/bin/cat"]), ["sh", "cat"]);
        assert_eq!(names(&["/bin/sh", "/usr/bin/sh", "/bin/cat"]), ["/bin/sh", "/usr/bin/sh", "cat"]);
        assert_eq!(names(&["/bin/sh", "/bin/sh"]), ["/bin/sh (1)", "/bin/sh (2)"]);
    }

    #[test]
    fn a_candidate_that_reads_streams_keeps_each_open_and_shows_no_pictures() {
        let streams = vec!["http://127.0.0.1:1/a".to_owned(), "http://127.0.0.1:1/b".to_owned()];
        let text = Candidate::framecast("/bin/sh")
            .unwrap()
            .reading(streams, "never")
            .configuration(Path::new("/p"), 30);
        assert_eq!(text.matches("idle_timeout = \"never\"").count(), 2, "{text}");
        assert!(text.contains("source = \"http://127.0.0.1:1/b\"") && !text.contains("images:"), "{text}");
    }
}
