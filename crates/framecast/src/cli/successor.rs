//! Starts a new version of the program in this process, after SIGUSR2. The new version first checks the configuration.
//! Then this server ends, and the new version replaces it (`exec`), with the same process id and the same listening
//! sockets. No connection is refused: while no server accepts connections, they wait in the system's queue.

use std::env;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{self, Stdio};
use std::time::Duration;

use clap::Parser;
use framecast::ListeningSocket;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::timeout;
use tracing::{error, info, warn};

use super::inherited::Inherited;
use super::{Cli, Command, PlanArgs};

/// The signals that wait while the new program starts, so that they do not end it: SIGHUP and SIGUSR2.
const BLOCKED: [i32; 2] = [SignalKind::hangup().as_raw_value(), SignalKind::user_defined2().as_raw_value()];

/// The maximum time that the new program takes to check the configuration.
const CHECK_TIMEOUT: Duration = Duration::from_secs(30);

/// The file of this program, and the arguments with which it was started.
#[derive(Debug, Clone)]
struct Program {
    path: PathBuf,
    arguments: Vec<OsString>,
}

/// The wish to replace this program by a new version.
#[derive(Debug)]
pub(super) struct Upgrade {
    /// `None` if the system does not let this process handle SIGUSR2.
    signals: Option<Signal>,
    program: Program,
    check_arguments: Vec<OsString>,
    /// The configuration file of the command line.
    config: Option<PathBuf>,
}

impl Upgrade {
    /// Begins to listen for SIGUSR2. Call this on the main thread, within a Tokio runtime, once the other signals are
    /// handled. `args` are those of this program.
    pub(super) fn listen(args: &PlanArgs) -> Self {
        let signals = signal(SignalKind::user_defined2());
        let signals = signals.inspect_err(|error| warn!(%error, "cannot listen for SIGUSR2")).ok();
        framecast_sys::unblock_signals(&BLOCKED);
        let program = Program::of_this_process();
        let check_arguments = check_arguments(program.arguments.get(1..).unwrap_or_default(), args);
        Self { signals, program, check_arguments, config: args.config.clone() }
    }

    /// Waits for a SIGUSR2 after which the new program accepts the configuration. If it does not, logs its errors and
    /// waits for the next SIGUSR2.
    pub(super) async fn accepted(&mut self) {
        loop {
            let received = match &mut self.signals {
                Some(signals) => signals.recv().await,
                None => None,
            };
            if received.is_none() {
                std::future::pending::<()>().await;
            }
            let path = self.program.path.display();
            match self.check().await {
                Ok(()) => return info!("SIGUSR2: {path} takes over; streams end, and new connections wait"),
                Err(errors) => {
                    error!("SIGUSR2: {path} does not take over, and this program goes on: {errors}")
                }
            }
        }
    }

    /// Lets the new program check the configuration.
    ///
    /// # Errors
    /// What is wrong: all errors in the configuration, or why the program cannot run.
    async fn check(&self) -> Result<(), String> {
        if let Some(config) = self.config.as_deref().filter(|config| is_pipe(config)) {
            let config = config.display();
            return Err(format!("{config} can be read only once, and the new program could not read it"));
        }
        let mut command = tokio::process::Command::new(&self.program.path);
        command.args(&self.check_arguments).stdin(Stdio::null()).kill_on_drop(true);
        let output = timeout(CHECK_TIMEOUT, command.output()).await;
        let output =
            output.map_err(|_| format!("its check took longer than {} s", CHECK_TIMEOUT.as_secs()))?;
        let output = output.map_err(|error| format!("it cannot run: {error}"))?;
        if output.status.success() {
            return Ok(());
        }
        let told = String::from_utf8_lossy(&output.stderr);
        let errors: Vec<&str> =
            told.lines().map(|line| line.strip_prefix("error: ").unwrap_or(line)).collect();
        Err(if errors.is_empty() {
            format!("its check ended with {}", output.status)
        } else {
            errors.join("; ")
        })
    }

    /// Replaces this program by the new one, which inherits `sockets`. Returns only if that fails.
    pub(super) fn exec(self, mut inherited: Inherited, sockets: &[ListeningSocket]) -> io::Error {
        let Program { path, arguments } = self.program;
        let mut command = process::Command::new(path);
        if let Some((name, arguments)) = arguments.split_first() {
            command.arg0(name).args(arguments);
        }
        match inherited.pass_on(sockets, &mut command) {
            Ok(()) => framecast_sys::exec(command, &BLOCKED),
            Err(error) => error,
        }
    }

    /// The path of the program's file.
    pub(super) fn path(&self) -> &Path {
        &self.program.path
    }
}

impl Program {
    fn of_this_process() -> Self {
        let arguments: Vec<OsString> = env::args_os().collect();
        let name = arguments.first().cloned().unwrap_or_default();
        let path = find(&name, env::var_os("PATH").as_deref(), env::current_exe().ok());
        Self { path, arguments }
    }
}

/// Returns whether the file at `path` can be read only once, such as a pipe.
fn is_pipe(path: &Path) -> bool {
    path.metadata().is_ok_and(|metadata| !metadata.is_file())
}

/// Returns the path at which a new version of the program will be: the path by which this program was started.
///
/// `name` is the program's name in its arguments, `search` the folders of PATH, and `running` the file of the running
/// program. That file alone does not suffice: it is without the symbolic links by which a new version might come, and
/// has another name once a package has replaced it.
fn find(name: &OsStr, search: Option<&OsStr>, running: Option<PathBuf>) -> PathBuf {
    let is_path = name.as_encoded_bytes().contains(&b'/');
    let candidates: Vec<PathBuf> = match is_path {
        true => vec![PathBuf::from(name)],
        false => env::split_paths(search.unwrap_or_default()).map(|folder| folder.join(name)).collect(),
    };
    let Some(running) = running else {
        return candidates.into_iter().find(|path| path.is_file()).unwrap_or_else(|| PathBuf::from(name));
    };
    // A parent may give any name.
    let is_running = |path: &PathBuf| path.canonicalize().is_ok_and(|path| path == running);
    let path = candidates.into_iter().find(is_running).unwrap_or(running);
    std::path::absolute(&path).unwrap_or(path)
}

/// Returns the arguments with which the new program checks the configuration: those of this program, `arguments`, with
/// the command `check` in place of `serve`. `plan` is what this program understands them to mean.
fn check_arguments(arguments: &[OsString], plan: &PlanArgs) -> Vec<OsString> {
    // The command may be left out, and may stand behind options. A value of an option can be called `serve`, too.
    let serve = arguments.iter().enumerate().filter(|(_, argument)| *argument == "serve");
    let without = serve.map(|(at, _)| [&arguments[..at], &arguments[at + 1..]].concat());
    let candidates = std::iter::once(arguments.to_vec()).chain(without);
    let check = |arguments: Vec<OsString>| [vec!["check".into()], arguments].concat();
    let means_the_same = |arguments: &Vec<OsString>| {
        let name = OsString::from("framecast");
        let parsed = Cli::try_parse_from(std::iter::once(&name).chain(arguments));
        parsed.is_ok_and(|cli| matches!(cli.command, Some(Command::Check(args)) if args.plan == *plan))
    };
    candidates.map(check).find(means_the_same).unwrap_or_else(|| check(arguments.to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_check_has_the_arguments_of_the_server() {
        let check = |arguments: &[&str], plan: PlanArgs| {
            let arguments: Vec<OsString> = arguments.iter().map(OsString::from).collect();
            let checked = check_arguments(&arguments, &plan);
            checked.into_iter().map(|argument| argument.into_string().unwrap()).collect::<Vec<_>>()
        };
        let plan = |listen: Option<&str>, user: Option<&str>| PlanArgs {
            listen: listen.map(str::to_owned),
            user: user.map(str::to_owned),
            ..PlanArgs::default()
        };
        assert_eq!(check(&[], PlanArgs::default()), ["check"]);
        assert_eq!(check(&["serve", "--listen", ":1"], plan(Some(":1"), None)), ["check", "--listen", ":1"]);
        assert_eq!(check(&["--listen", ":1", "serve"], plan(Some(":1"), None)), ["check", "--listen", ":1"]);
        assert_eq!(check(&["--user", "serve"], plan(None, Some("serve"))), ["check", "--user", "serve"]);
        assert_eq!(
            check(&["serve", "--user", "serve"], plan(None, Some("serve"))),
            ["check", "--user", "serve"]
        );
        let with_log = ["check", "--log", "debug"];
        assert_eq!(check(&["--log", "debug"], PlanArgs::default()), with_log);
    }

    #[test]
    fn a_new_version_is_looked_for_where_this_one_was_started() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().canonicalize().unwrap();
        let (file, link, other) = (folder.join("v1"), folder.join("framecast"), folder.join("other"));
        std::fs::write(&file, "").unwrap();
        std::fs::write(&other, "").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        let running = || Some(file.clone());
        assert_eq!(
            find(link.as_os_str(), None, running()),
            link,
            "the link, because it may point elsewhere soon"
        );
        let search = env::join_paths([Path::new("/nowhere"), &folder]).unwrap();
        assert_eq!(find("framecast".as_ref(), Some(&search), running()), link);
        assert_eq!(find("other".as_ref(), Some(&search), running()), file, "that is another program");
        assert_eq!(find("camera server".as_ref(), Some(&search), running()), file);
        assert_eq!(find(other.as_os_str(), None, running()), file);
        assert_eq!(find("framecast".as_ref(), Some(&search), None), link);
    }
}
