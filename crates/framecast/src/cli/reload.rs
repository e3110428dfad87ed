//! Reloads the configuration of the running server: after SIGHUP, after a change of the file, and for the command
//! `framecast reload`.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, bail};
use framecast::{App, Drivers, Hub, ReloadCause, ReloadError, ReloadSignal, Reloader, Settings};
use hyper::{Method, StatusCode};
use serde::Deserialize;
use tracing::warn;

use super::config_file::ConfigFile;
use super::file_watch::{FileWatch, LastRead};
use super::plan::{Environment, Plan, messages};
use super::service_manager::ServiceManager;
use super::{BAD_USAGE, FAILED, OK, PlanArgs, client, print_error, print_missing_variables, print_visible};

/// How long `framecast reload` waits for the server. Closing a camera takes up to two seconds.
const TIMEOUT: Duration = Duration::from_secs(30);

/// What is needed to read the configuration again: what the first reading was given.
pub(super) struct ReloadSource {
    pub(super) args: PlanArgs,
    pub(super) environment: Environment,
    pub(super) drivers: Drivers,
    /// Whether the first reading named a camera.
    pub(super) names_cameras: bool,
}

/// Makes it possible to reload the configuration of `app` from `file`. The returned future then reloads it after each
/// signal and each change of the file, and never ends. Without a file, or if it is a pipe, which can be read only once, the
/// future only says that there is none.
pub(super) fn run(
    app: &App,
    file: Option<ConfigFile>,
    source: ReloadSource,
    mut hangups: ReloadSignal,
    manager: ServiceManager,
) -> impl Future<Output = ()> + Send + 'static {
    let watched = file.filter(|file| file.is_regular).map(|file| {
        let last_read = LastRead::new(file);
        let watch = FileWatch::new(last_read.clone());
        let ReloadSource { args, environment, drivers, names_cameras } = source;
        let names_cameras = AtomicBool::new(names_cameras);
        let reloader = app.reload_with(move |cause| {
            let file = match cause {
                ReloadCause::Request => last_read.read_again(),
                ReloadCause::FileChange => last_read.get(),
            };
            let (path, is_blank) = (file.path.display().to_string(), file.is_blank());
            let is_own_change = cause == ReloadCause::FileChange;
            if is_own_change && is_blank {
                return Err(ReloadError::Refused(format!("{path} is empty")));
            }
            let plan = Plan::again(file, &args, &environment, &drivers)?;
            if is_own_change && names_cameras.load(Ordering::Relaxed) && !plan.names_cameras {
                return Err(ReloadError::Refused(format!("{path} no longer names a camera")));
            }
            names_cameras.store(plan.names_cameras, Ordering::Relaxed);
            for warning in plan.warnings() {
                warn!("{warning}");
            }
            Ok(plan.settings)
        });
        (reloader, watch)
    });
    let hub = app.hub().clone();
    async move {
        match watched {
            Some((reloader, watch)) => follow(reloader, watch, hangups, &manager, &hub).await,
            None => loop {
                hangups.received().await;
                // A service manager that sent the signal waits for both messages.
                manager.reloading("There is no configuration file to read again");
                warn!(
                    "SIGHUP: there is no configuration file to read again; to stop the server, send SIGTERM"
                );
                manager.ready(&hub);
            },
        }
    }
}

async fn follow(
    reloader: Reloader,
    watch: io::Result<FileWatch>,
    mut hangups: ReloadSignal,
    manager: &ServiceManager,
    hub: &Hub,
) {
    let watch = watch.inspect_err(|error| {
        warn!("cannot watch the configuration file: {error}; after a change, run `framecast reload`");
    });
    let mut watch = watch.ok();
    loop {
        let file_changed = async {
            match &mut watch {
                Some(watch) => watch.changed().await,
                None => std::future::pending().await,
            }
        };
        let cause = tokio::select! {
            () = hangups.received() => ReloadCause::Request,
            () = file_changed => ReloadCause::FileChange,
        };
        manager.reloading("Reading the configuration again");
        // The log says what came of it.
        reloader.reload(cause).await.ok();
        manager.ready(hub);
    }
}

/// The server's answer to a reload.
#[derive(Deserialize)]
struct Answer {
    added: Vec<String>,
    replaced: Vec<String>,
    removed: Vec<String>,
    needs_restart: Vec<String>,
}

/// Runs the command `reload`: asks the server that these arguments describe, and prints what has changed. Returns the
/// exit code.
pub(super) fn ask(args: &PlanArgs) -> u8 {
    let plan = Environment::read().and_then(|env| Plan::new(args, &env, &Drivers::builtin()));
    let plan = match plan {
        Ok(plan) => plan,
        Err(error) => {
            messages(&error).iter().for_each(|message| print_error(message));
            print_missing_variables(args);
            return BAD_USAGE;
        }
    };
    match post(&plan.settings) {
        Ok(answer) => {
            print_visible(&answer.summary());
            OK
        }
        Err(error) => {
            format!("{error:#}").lines().for_each(print_error);
            print_missing_variables(args);
            FAILED
        }
    }
}

/// Asks the server that `settings` describe to reload its configuration.
///
/// # Errors
/// No server answers there, or it has refused.
fn post(settings: &Settings) -> anyhow::Result<Answer> {
    let (status, body) = client::send(settings, Method::POST, "/api/reload", TIMEOUT)?;
    if status == StatusCode::OK {
        return serde_json::from_slice(&body).context("the server's answer is not that of Framecast");
    }
    bail!(client::refusal(status, &body))
}

impl Answer {
    fn summary(&self) -> String {
        let lists = [
            ("added", &self.added),
            ("changed", &self.replaced),
            ("removed", &self.removed),
            ("restart the server to apply", &self.needs_restart),
        ];
        let lines = lists.iter().filter(|(_, names)| !names.is_empty());
        let lines: Vec<String> = lines.map(|(what, names)| format!("{what}: {}", names.join(", "))).collect();
        if lines.is_empty() { "nothing has changed".to_owned() } else { lines.join("\n") }
    }
}
