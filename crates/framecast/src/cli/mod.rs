//! The command line, and its commands.

mod announce;
mod camera_env;
mod client;
mod config_file;
mod devices;
mod file_watch;
mod health;
mod help;
mod inherited;
mod manual;
mod plan;
mod reload;
mod service_manager;
mod successor;
mod tip;

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::{Args, CommandFactory, Parser, Subcommand, ValueHint};
use clap_complete::Shell;
use framecast::{
    App, CancellationToken, Drivers, ListeningSocket, SourceUrl, escape_hidden_multiline, reload_signal,
    shutdown_signal,
};
use tracing::{debug, error, info, warn};

use crate::log::{self, Log, LogFormat};
use announce::{Places, announce};
use help::{
    AFTER_CHECK_HELP, AFTER_COMPLETIONS_HELP, AFTER_DEVICES_HELP, AFTER_HEALTH_HELP, AFTER_HELP,
    AFTER_MAN_HELP, AFTER_RELOAD_HELP,
};
use inherited::Inherited;
use plan::{Environment, Plan, messages};
use reload::ReloadSource;
use service_manager::ServiceManager;
use successor::Upgrade;

/// Exit code: a signal ended the server normally. For commands other than `serve`: the command found no error.
const OK: u8 = 0;
/// Exit code: the server could not run, for example because another program uses the address, or because the system
/// refused something.
const FAILED: u8 = 1;
/// Exit code: the command line, the configuration or the environment has an error.
const BAD_USAGE: u8 = 2;

/// The commands that take sources, and the options of the server.
const COMMANDS_WITH_SOURCES: [&str; 3] = ["serve", "check", "reload"];

/// The maximum time from the signal to the end of the shutdown, including the log's last lines. The whole program must
/// end within two seconds; the remaining time is for the end of the process itself.
const SHUTDOWN_BUDGET: Duration = Duration::from_millis(1950);

/// How long the program waits for the log's last lines if the server ended without a signal.
const LOG_FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

/// The time that the log always gets for its last lines, even if closing the cameras took nearly all of
/// [`SHUTDOWN_BUDGET`].
const MIN_LOG_FLUSH: Duration = Duration::from_millis(40);

/// Turns any camera into live pictures in any browser.
///
/// Without arguments, Framecast reads framecast.toml in the current folder. If there is no such file, it shows the
/// emulated camera.
#[derive(Debug, Parser)]
#[command(name = "framecast", version, after_help = AFTER_HELP, args_conflicts_with_subcommands = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: ServeArgs,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve the cameras; this is the default command
    #[command(after_help = AFTER_HELP)]
    Serve(ServeArgs),
    /// List the cameras that are plugged in, with the source to paste for each
    #[command(after_help = AFTER_DEVICES_HELP)]
    Devices {
        /// Print JSON, with every size and rate
        #[arg(long)]
        json: bool,
    },
    /// Check the configuration, and say what is wrong and where; opens no camera
    #[command(after_help = AFTER_CHECK_HELP)]
    Check(ServeArgs),
    /// Let the running server read its configuration again, and say what changed
    #[command(after_help = AFTER_RELOAD_HELP)]
    Reload(PlanArgs),
    /// Ask the running server whether it works
    #[command(after_help = AFTER_HEALTH_HELP)]
    Health {
        #[command(flatten)]
        plan: PlanArgs,
        /// Fail also if a camera with `required = true` does not work
        #[arg(long)]
        ready: bool,
    },
    /// Print the script that lets a shell complete Framecast's commands and options
    #[command(after_help = AFTER_COMPLETIONS_HELP)]
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Print the manual page of Framecast, or of one of its commands
    #[command(after_help = AFTER_MAN_HELP)]
    Man {
        /// The command, as in `framecast man check`
        command: Option<String>,
        /// Write the pages of all commands into this folder instead
        #[arg(long, value_name = "FOLDER", conflicts_with = "command", value_hint = ValueHint::DirPath)]
        all: Option<PathBuf>,
    },
}

#[derive(Debug, Args)]
struct ServeArgs {
    #[command(flatten)]
    plan: PlanArgs,
    /// What to log: error, warn, info, debug or trace; for one part, PART=LEVEL, as in framecast=debug
    #[arg(long, value_name = "FILTER", env = "FRAMECAST_LOG", default_value = log::DEFAULT_FILTER)]
    log: String,
    /// Format of the log lines
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t = LogFormat::Human)]
    log_format: LogFormat,
}

/// The arguments that say what to serve and to whom.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
struct PlanArgs {
    /// Cameras to show: a source, or NAME=SOURCE; `framecast --help` lists the sources
    #[arg(value_name = "[NAME=]SOURCE", value_hint = ValueHint::AnyPath)]
    sources: Vec<String>,
    /// Configuration file [default: framecast.toml in the current folder, if you give no source]
    #[arg(long, short, value_name = "FILE", value_hint = ValueHint::FilePath)]
    config: Option<PathBuf>,
    /// Address and port, or unix:PATH, to listen on; 0.0.0.0:5000 opens the server to the network [default:
    /// 127.0.0.1:5000]
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<String>,
    /// A host name under which browsers can reach the server; repeat the option for each name; see docs/security.md
    #[arg(long = "allowed-host", value_name = "NAME")]
    allowed_hosts: Vec<String>,
    /// Ask clients for this user name and for the password in FRAMECAST_PASSWORD
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
}

impl Cli {
    /// Parses the command line of this process. If that fails, prints the error and ends the process.
    pub(crate) fn read() -> Self {
        Self::try_parse().unwrap_or_else(|error| {
            let arguments = std::env::args_os().map(|argument| argument.to_string_lossy().into_owned());
            tip::add(error, &arguments.collect::<Vec<_>>()).exit()
        })
    }

    /// Runs the command. Returns its exit code.
    pub(crate) fn run(self) -> ExitCode {
        let code = match self.command.unwrap_or_else(|| Command::after_options(self.serve)) {
            Command::Serve(args) => serve(&args),
            Command::Devices { json } => devices::list(json),
            Command::Check(args) => check(&args),
            Command::Reload(args) => reload::ask(&args),
            Command::Health { plan, ready } => health::ask(&plan, ready),
            Command::Completions { shell } => manual::print_completions(Self::command(), shell),
            Command::Man { all: Some(folder), .. } => manual::write_pages(Self::command(), &folder),
            Command::Man { command, all: None } => manual::print_page(Self::command(), command.as_deref()),
        };
        ExitCode::from(code)
    }
}

impl Command {
    /// Finds the command in a command line such as `--listen :80 check`, in which clap parses a command after an option
    /// as a source. Returns [`Command::Serve`] if none of the sources in `args` is the name of a command.
    fn after_options(mut args: ServeArgs) -> Self {
        let sources = &mut args.plan.sources;
        let Some(at) = sources.iter().position(|source| COMMANDS_WITH_SOURCES.contains(&source.as_str()))
        else {
            return Self::Serve(args);
        };
        match sources.remove(at).as_str() {
            "check" => Self::Check(args),
            "reload" => Self::Reload(args.plan),
            _ => Self::Serve(args),
        }
    }
}

fn check(args: &ServeArgs) -> u8 {
    let drivers = Drivers::builtin();
    let plan = Environment::read().and_then(|env| Plan::new(&args.plan, &env, &drivers));
    let filter = log::filter(&args.log);
    match (plan, filter) {
        (Ok(plan), Ok(_)) => {
            print_visible(&format!("nothing wrong in {}", plan.origin));
            for camera in &plan.settings.cameras {
                print_visible(&format!("  {}  {}", camera.name, camera.source.for_log()));
                if let Some(sub) = &camera.sub {
                    print_visible(&format!("  {} (sub)  {}", camera.name, sub.for_log()));
                }
            }
            for warning in plan.warnings().into_iter().chain(missing(&plan, &drivers)) {
                print_labelled("33", "warning:", &warning);
            }
            OK
        }
        (plan, filter) => {
            let errors = [plan.err(), filter.err()].into_iter().flatten();
            errors.flat_map(|error| messages(&error)).for_each(|message| print_error(&message));
            print_missing_variables(&args.plan);
            BAD_USAGE
        }
    }
}

/// If a service has variables that this shell does not have, says so on standard error: a missing password may be the
/// reason of a failure.
fn print_missing_variables(args: &PlanArgs) {
    if let Some(note) = plan::missing_variables(args) {
        print_labelled("36", "note:", &note);
    }
}

/// Returns one sentence for each device, file, folder or program that a camera needs but that does not exist.
fn missing(plan: &Plan, drivers: &Drivers) -> Vec<String> {
    match tokio::runtime::Builder::new_current_thread().enable_time().build() {
        Ok(runtime) => {
            let missing = runtime.block_on(plan.settings.missing(drivers));
            // A check that hangs must not keep the program alive.
            runtime.shutdown_background();
            missing
        }
        Err(error) => vec![format!("cannot check the devices, files and programs of the cameras: {error}")],
    }
}

fn serve(args: &ServeArgs) -> u8 {
    let inherited = Inherited::take();
    let log = match log::init(&args.log, args.log_format) {
        Ok(log) => log,
        Err(error) => {
            print_error(&format!("{error:#}"));
            return BAD_USAGE;
        }
    };
    let ServeOutcome { code, signalled_at } = match inherited {
        Ok(inherited) => serve_with(args, inherited, &log),
        Err(error) => {
            error!("{error:#}");
            BAD_USAGE.into()
        }
    };
    log.finish(log_deadline(signalled_at));
    code
}

/// Returns how long the program waits for the log's last lines, if a signal came at `signalled_at`.
fn log_deadline(signalled_at: Option<Instant>) -> Instant {
    let now = Instant::now();
    let deadline =
        signalled_at.map_or(now + LOG_FLUSH_TIMEOUT, |signalled_at| signalled_at + SHUTDOWN_BUDGET);
    deadline.max(now + MIN_LOG_FLUSH)
}

/// How a server ended: its exit code, and the time of the signal that ended it. `signalled_at` is `None` if the server
/// ended without a signal.
struct ServeOutcome {
    code: u8,
    signalled_at: Option<Instant>,
}

impl From<u8> for ServeOutcome {
    fn from(code: u8) -> Self {
        Self { code, signalled_at: None }
    }
}

/// Why a server ended.
enum Ending {
    /// A signal ended it, or it could not start.
    End(ServeOutcome),
    /// A new version of the program takes over its sockets.
    HandOver(HandOver),
}

/// What a new version of the program needs.
struct HandOver {
    upgrade: Upgrade,
    sockets: Vec<ListeningSocket>,
    signalled_at: Instant,
    /// Cancelled by a signal that asks the process to end.
    shutdown: CancellationToken,
}

fn serve_with(args: &ServeArgs, inherited: Inherited, log: &Log) -> ServeOutcome {
    let drivers = Drivers::builtin();
    let plan = Environment::read().and_then(|env| Ok((Plan::new(&args.plan, &env, &drivers)?, env)));
    let (plan, environment) = match plan {
        Ok(plan) => plan,
        Err(error) => {
            for message in messages(&error) {
                match args.log_format {
                    LogFormat::Human => print_error(&message),
                    // A program that reads the JSON log expects JSON in all lines.
                    LogFormat::Json => error!("{message}"),
                }
            }
            return BAD_USAGE.into();
        }
    };
    raise_descriptor_limit(plan.settings.max_connections);
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            error!("cannot start threads: {error}");
            return FAILED.into();
        }
    };
    let (args, names_cameras) = (args.plan.clone(), plan.names_cameras);
    let reload = ReloadSource { args, environment, drivers: drivers.clone(), names_cameras };
    let ended = match runtime.block_on(run(plan, drivers, reload, &inherited, log)) {
        Ending::End(ended) => ended,
        // The runtime still handles the signals that end the process.
        Ending::HandOver(hand_over) => hand_over.carry_out(inherited, log),
    };
    // A driver's thread that hangs must not keep the program alive.
    runtime.shutdown_background();
    ended
}

impl HandOver {
    /// Replaces this program by the new version. Returns only if that fails, or if a signal asks the process to end.
    fn carry_out(self, inherited: Inherited, log: &Log) -> ServeOutcome {
        let Self { upgrade, sockets, signalled_at, shutdown } = self;
        let path = upgrade.path().to_path_buf();
        log.flush(log_deadline(Some(signalled_at)));
        if shutdown.is_cancelled() {
            return ServeOutcome { code: OK, signalled_at: Some(signalled_at) };
        }
        let error = upgrade.exec(inherited, &sockets);
        error!("cannot start {}, so the server ends: {error}", path.display());
        FAILED.into()
    }
}

async fn run(plan: Plan, drivers: Drivers, reload: ReloadSource, inherited: &Inherited, log: &Log) -> Ending {
    let (shutdown, hangups) = (shutdown_signal(), reload_signal());
    let upgrade = Upgrade::listen(&reload.args);
    log_plan(&plan);
    let (file, has_account) = (plan.file.clone(), plan.settings.account.is_some());
    let places = Places::of(file.as_ref().map(|file| &*file.path));
    // The start waits a moment for a database.
    let started = shutdown.run_until_cancelled(start(plan, drivers, inherited)).await;
    let app = match started {
        None => return Ending::End(OK.into()),
        Some(Ok(app)) => app,
        Some(Err(code)) => return Ending::End(code.into()),
    };
    app.show_lost_lines(log.lost());
    announce(&app, has_account, &places);
    let manager = ServiceManager::from_environment();
    let hub = app.hub().clone();
    let reloading = tokio::spawn(reload::run(&app, file, reload, hangups, manager.clone()));
    manager.ready(&hub);
    let serving = serve_until_signal(app, upgrade, &shutdown, &manager);
    let ending = tokio::select! {
        ending = serving => ending,
        never = manager.report(&hub) => match never {},
    };
    reloading.abort();
    info!("the server stopped");
    ending
}

/// Logs what the server is about to serve.
fn log_plan(plan: &Plan) {
    info!("using {}", plan.origin);
    for camera in &plan.settings.cameras {
        let sub = camera.sub.as_ref();
        info!(
            camera = camera.name,
            source = camera.source.for_log(),
            sub = sub.map(SourceUrl::for_log),
            "configured"
        );
        debug!(
            camera = camera.name,
            source = camera.source.for_debug(),
            sub = sub.map(SourceUrl::for_debug),
            "the source in more detail, with its secrets hidden"
        );
    }
    for warning in plan.warnings() {
        warn!("{warning}");
    }
}

/// Starts the server, on the inherited sockets if there are any. If it does not start, logs why and returns the exit
/// code.
async fn start(plan: Plan, drivers: Drivers, inherited: &Inherited) -> Result<App, u8> {
    let sockets = inherited.sockets(&plan.settings.listen).map_err(|error| {
        error!("{error:#}");
        BAD_USAGE
    })?;
    let started = match sockets.is_empty() {
        true => App::start(plan.settings, drivers).await,
        false => App::start_on(sockets, plan.settings, drivers).await,
    };
    started.map_err(|error| {
        error!("{error}");
        FAILED
    })
}

/// Serves requests until a signal asks the server to end, or to hand over to a new version.
async fn serve_until_signal(
    app: App,
    mut upgrade: Upgrade,
    shutdown: &CancellationToken,
    manager: &ServiceManager,
) -> Ending {
    let (sockets, stop) = (app.sockets().to_vec(), shutdown.child_token());
    let signalled = async {
        let is_upgrade = tokio::select! {
            () = shutdown.cancelled() => false,
            () = upgrade.accepted() => true,
        };
        let signalled_at = Instant::now();
        if is_upgrade {
            manager.reloading("Handing over to a new version");
            stop.cancel();
            let shutdown = shutdown.clone();
            return Ending::HandOver(HandOver { upgrade, sockets, signalled_at, shutdown });
        }
        manager.stopping();
        // The sockets close, so that clients do not wait for a server that does not come.
        drop(sockets);
        Ending::End(ServeOutcome { code: OK, signalled_at: Some(signalled_at) })
    };
    tokio::join!(signalled, app.run(stop.clone())).0
}

/// Raises the limit on open file descriptors. Each viewer needs a descriptor, and the usual limit of 1024 is too low
/// for many viewers.
fn raise_descriptor_limit(max_connections: usize) {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let wanted = limit.maximum.unwrap_or(u64::MAX).min(1 << 20);
    if limit.current.is_some_and(|current| current < wanted) {
        let raised = Rlimit { current: Some(wanted), maximum: limit.maximum };
        if let Err(error) = setrlimit(Resource::Nofile, raised) {
            warn!(%error, "cannot raise the limit on open files");
        }
    }
    // Cameras, programs, the runtime and connections that the server refuses need descriptors, too.
    let needed = max_connections as u64 + 384;
    if limit.maximum.is_some_and(|maximum| maximum < needed) {
        warn!(
            "the system allows fewer open files than max_connections={max_connections} needs: raise the \
             limit with ulimit -n, or with LimitNOFILE= in a service, or lower max_connections"
        );
    }
}

/// Prints text for people on standard output, with hidden characters escaped.
fn print_visible(text: &str) {
    print(&escape_hidden_multiline(text));
}

/// Prints `text` on standard output, unchanged, with a newline at the end.
fn print(text: &str) {
    // If the program at the other end of standard output has gone, nobody needs the text.
    writeln!(std::io::stdout(), "{text}").ok();
}

/// Prints an error on standard error.
fn print_error(message: &str) {
    print_labelled("31", "error:", message);
}

/// Prints `label` and a message on standard error. `colour` is the ANSI code of the label's colour on a terminal.
fn print_labelled(colour: &str, label: &str, message: &str) {
    let mut stderr = std::io::stderr();
    let label = if stderr.is_terminal() { format!("\x1b[{colour}m{label}\x1b[0m") } else { label.to_owned() };
    // If standard error is closed, there is no other place for the message.
    writeln!(stderr, "{label} {}", escape_hidden_multiline(message)).ok();
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_well_formed() {
        super::Cli::command().debug_assert();
    }
}
