//! Applies a changed configuration while the server runs.

use std::fmt;
use std::sync::Arc;

use tokio::sync::Mutex;
use tracing::{info, warn};

use crate::camera_table::{CameraChanges, CameraTable};
use crate::config::Settings;

/// Why the server reads its configuration again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReloadCause {
    /// Somebody asks for it: by a request or by a signal.
    Request,
    /// The file has changed.
    FileChange,
}

/// What a reload has changed, and what it could not change.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct ReloadReport {
    /// The cameras that were added, replaced and removed.
    pub cameras: CameraChanges,
    /// The keys whose values differ from those with which the server started, and which only a restart applies.
    pub needs_restart: Vec<&'static str>,
}

/// Why a reload has changed nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReloadError {
    /// The configuration is not valid. There is one message for each error, in the order of the file.
    #[error("{}", .0.join("\n"))]
    Invalid(Vec<String>),
    /// The change of a file alone may not do this: somebody has to ask for it.
    #[error("{0}; to apply the file all the same, run `framecast reload`")]
    Refused(String),
}

/// Reads the settings anew. Can block. The error has one message for each thing that is wrong.
type ReadSettings = dyn Fn(ReloadCause) -> Result<Settings, ReloadError> + Send + Sync;

/// Applies a changed configuration to a running server. Clones reload the same server.
#[derive(Clone)]
pub struct Reloader(Arc<ReloaderShared>);

struct ReloaderShared {
    read: Box<ReadSettings>,
    cameras: CameraTable,
    /// The settings with which the server started.
    started_with: Arc<Settings>,
    /// The settings of the last reload or, before the first, of the start. Locked during a reload, so that reloads come
    /// one after the other.
    accepted: Mutex<Arc<Settings>>,
}

impl fmt::Debug for Reloader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reloader").finish_non_exhaustive()
    }
}

impl Reloader {
    pub(crate) fn new(
        cameras: CameraTable,
        started_with: Arc<Settings>,
        read: impl Fn(ReloadCause) -> Result<Settings, ReloadError> + Send + Sync + 'static,
    ) -> Self {
        let accepted = Mutex::new(Arc::clone(&started_with));
        Self(Arc::new(ReloaderShared { read: Box::new(read), cameras, started_with, accepted }))
    }

    /// Reads the configuration and applies it: touches only the cameras that differ. Logs what changed, and which keys
    /// need a restart. If the future is dropped, the reload goes on or has not begun.
    ///
    /// # Errors
    /// The configuration is not valid, or `cause` does not suffice for this change. Nothing has changed then.
    pub async fn reload(&self, cause: ReloadCause) -> Result<ReloadReport, ReloadError> {
        let reloader = self.clone();
        let task = tokio::spawn(async move {
            let result = reloader.carry_out(cause).await;
            match &result {
                Ok(report) => report.log(),
                Err(error) => error.log(),
            }
            result
        });
        task.await.unwrap_or_else(|failed| Err(invalid(&format!("the reload failed: {failed}"))))
    }

    async fn carry_out(self, cause: ReloadCause) -> Result<ReloadReport, ReloadError> {
        let mut accepted = self.0.accepted.lock().await;
        let reader = self.clone();
        let read = tokio::task::spawn_blocking(move || (reader.0.read)(cause)).await;
        let settings =
            read.map_err(|failed| invalid(&format!("the configuration cannot be read: {failed}")))??;
        if cause == ReloadCause::FileChange
            && let Some(reason) = accepted.weakened_by(&settings)
        {
            return Err(ReloadError::Refused(reason.to_owned()));
        }
        let cameras = self.0.cameras.apply(&settings).await.map_err(|error| invalid(&error))?;
        let is_new = |name: &String| cameras.added.contains(name) || cameras.replaced.contains(name);
        let new = settings.cameras.iter().filter(|camera| is_new(&camera.name)).cloned();
        self.0.cameras.warn_of_missing(new.collect());
        let needs_restart = self.0.started_with.restart_keys(&settings);
        *accepted = Arc::new(settings);
        Ok(ReloadReport { cameras, needs_restart })
    }
}

fn invalid(error: &impl fmt::Display) -> ReloadError {
    ReloadError::Invalid(vec![error.to_string()])
}

impl Settings {
    /// Returns why a mistake in a file must not turn these settings into `changed`; `None` if it may.
    fn weakened_by(&self, changed: &Self) -> Option<&'static str> {
        if self.account.is_some() && changed.account.is_none() {
            Some("the file no longer has a `user`, so anyone could watch after a restart")
        } else if self.listen.is_local() && !changed.listen.is_local() {
            Some("`listen` would open the server to the network after a restart")
        } else {
            None
        }
    }
}

impl ReloadError {
    fn log(&self) {
        self.to_string().lines().for_each(|error| {
            warn!("the configuration was not reloaded, and nothing has changed: {error}");
        });
    }
}

impl ReloadReport {
    fn log(&self) {
        let Self { cameras: CameraChanges { added, replaced, removed }, needs_restart } = self;
        let lists = [("added", added), ("changed", replaced), ("removed", removed)];
        let changes = lists.iter().filter(|(_, names)| !names.is_empty());
        let changes: Vec<String> =
            changes.map(|(what, names)| format!("{what} {}", names.join(", "))).collect();
        match changes.is_empty() {
            true => info!("reloaded the configuration: no camera has changed"),
            false => info!("reloaded the configuration: {}", changes.join("; ")),
        }
        if !needs_restart.is_empty() {
            warn!("restart the server to apply the change of {}", needs_restart.join(", "));
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::config::Account;

    use super::*;

    #[test]
    fn a_file_that_takes_protection_away_is_not_applied_by_its_own_change() {
        let with = |account: bool, listen: &str| {
            let account = account.then(|| Account::new("me", "password").unwrap());
            let mut settings = Settings { account, ..Settings::default() };
            settings.set_listen(listen).unwrap();
            settings
        };
        let is_weakened = |before: &Settings, after: &Settings| before.weakened_by(after).is_some();
        let (closed, open) = (with(true, "127.0.0.1:5000"), with(true, ":5000"));
        assert!(is_weakened(&closed, &with(false, "127.0.0.1:5000")));
        assert!(is_weakened(&closed, &open) && is_weakened(&closed, &with(true, "192.168.1.2:80")));
        assert!(!is_weakened(&open, &closed) && !is_weakened(&open, &with(true, "192.168.1.2:80")));
        assert!(!is_weakened(&closed, &with(true, "unix:/run/x.sock")));
        let none = with(false, "127.0.0.1:5000");
        assert!(!is_weakened(&none, &none) && !is_weakened(&none, &closed));
    }

    #[test]
    fn the_keys_that_need_a_restart_are_named() {
        let (before, mut after) = (Settings::default(), Settings::default());
        assert_eq!(before.restart_keys(&after), Vec::<&str>::new());
        after.probe = Some(std::time::Duration::from_secs(60));
        after.latency_budget *= 2;
        assert_eq!(before.restart_keys(&after), Vec::<&str>::new(), "a reload applies it");
        after.max_viewers = Some(7);
        after.account = Account::new("me", "password").ok();
        assert_eq!(before.restart_keys(&after), ["user", "max_viewers"]);
        #[cfg(feature = "history")]
        {
            after.history.max_rows = None;
            assert_eq!(before.restart_keys(&after), ["user", "max_viewers", "history_max_rows"]);
        }
    }
}
