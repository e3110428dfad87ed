//! Opens the history, the store of events that the settings describe, and closes it at shutdown.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::sync::Mutex;
use std::time::Duration;

use framecast_history::{Config as StoreSettings, Error, History, Location, Tasks};
use framecast_hub::Hub;
use framecast_media::lock;
use tempfile::TempDir;
use tokio::time::timeout;
use tracing::{info, warn};

use crate::config::{ConfigError, HistoryStorage, Settings};

/// What the user can do about a database that does not answer.
const DATABASE_ADVICE: &str = "check that the database runs, and that this machine can reach it";

/// How long the shutdown waits for the history to write the last events.
const CLOSE_TIMEOUT: Duration = Duration::from_millis(800);

/// The history of a running server, with its background tasks and, if the history is temporary, the folder in which it
/// stores events.
#[derive(Debug)]
pub(crate) struct HistoryHandle {
    pub(crate) history: History,
    /// Whether the events are lost when the server ends.
    pub(crate) is_temporary: bool,
    tasks: Mutex<Option<Tasks>>,
    /// The folder of a temporary history. Dropping this field deletes the folder.
    _folder: Option<TempDir>,
}

/// The reason why the history could not be opened.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    History(#[from] Error),
}

/// Opens the history that `settings` describe. From then on, the history stores the events that `hub` sends.
pub(crate) async fn open(settings: &Settings, hub: &Hub) -> Result<HistoryHandle, OpenError> {
    let place = &settings.history.storage;
    let is_default = *place == HistoryStorage::Default;
    let location = place.location(settings.state_dir.as_deref()).map_err(ConfigError::new)?;
    let Some(location) = location else {
        let reason =
            is_default.then(|| "history: no state directory is known; set state_dir or HOME".to_owned());
        return open_temporary(settings, hub, reason).await;
    };
    let opening = History::open(store_settings(settings, location.clone()), hub.events().subscribe());
    match opening.await {
        Ok((history, tasks)) => {
            info!("the history stores events in {location}");
            Ok(HistoryHandle::new(history, tasks))
        }
        // After a power cut, the database might start later than this server.
        Err(error) if error.is_transient() => {
            open_in_memory(settings, location, hub, &error.to_string(), DATABASE_ADVICE).await
        }
        // Later, space on the disk might become free, or the disk might be mounted. But if the user named a file and
        // the server cannot create it, that is a mistake in the configuration.
        Err(error) if error.is_full() || is_default && error.is_unwritable() => {
            let advice = match error.is_full() {
                true => "free some space",
                false => "let the server's user own these files, or set state_dir to another folder",
            };
            open_in_memory(settings, location, hub, &error.to_string(), advice).await
        }
        // Another server uses the default file, which the user did not choose.
        Err(error @ Error::Locked { .. }) if is_default => {
            open_temporary(settings, hub, Some(error.to_string())).await
        }
        Err(error) => Err(error.into()),
    }
}

/// Opens a history that keeps the newest events in memory until `location` can be opened. `problem` says why that is not
/// possible now, and `advice` what the user can do.
async fn open_in_memory(
    settings: &Settings,
    location: Location,
    hub: &Hub,
    problem: &str,
    advice: &str,
) -> Result<HistoryHandle, OpenError> {
    warn!(
        "{problem}; the server keeps the newest 16 MiB of events in memory and stores them when that is possible; \
         {advice}"
    );
    let events = hub.events().subscribe();
    let (history, tasks) = History::open_in_memory(store_settings(settings, location), events).await?;
    Ok(HistoryHandle::new(history, tasks))
}

/// Opens a history whose events are lost when the server ends. It stores them in a file in the system's temporary
/// folder or, if that folder is not writable, in memory. `reason` says why the history is temporary; `None` means that
/// the user asked for a temporary history.
async fn open_temporary(
    settings: &Settings,
    hub: &Hub,
    reason: Option<String>,
) -> Result<HistoryHandle, OpenError> {
    let opened = match open_in_temporary_folder(settings, hub).await {
        Ok(opened) => {
            if let Some(reason) = reason {
                warn!(
                    "{reason}; events are kept only in a temporary folder and are lost when the server stops"
                );
            }
            opened
        }
        Err(error) if error.is_unwritable() => {
            let reason = reason.unwrap_or_else(|| error.to_string());
            warn!("{reason}; only the newest 16 MiB of events are kept, in memory, until the server stops");
            let store_settings = store_settings(settings, Location::Memory);
            let (history, tasks) = History::open(store_settings, hub.events().subscribe()).await?;
            HistoryHandle::new(history, tasks)
        }
        Err(error) => return Err(error.into()),
    };
    Ok(HistoryHandle { is_temporary: true, ..opened })
}

async fn open_in_temporary_folder(settings: &Settings, hub: &Hub) -> Result<HistoryHandle, Error> {
    let unwritable = |source| Error::Unwritable { path: std::env::temp_dir(), source };
    let for_this_account_alone = Permissions::from_mode(0o700);
    let folder = tempfile::Builder::new().prefix("framecast-").permissions(for_this_account_alone).tempdir();
    let folder = folder.map_err(unwritable)?;
    let location = Location::File(folder.path().join("framecast.db"));
    let (history, tasks) =
        History::open(store_settings(settings, location), hub.events().subscribe()).await?;
    Ok(HistoryHandle { _folder: Some(folder), ..HistoryHandle::new(history, tasks) })
}

fn store_settings(settings: &Settings, location: Location) -> StoreSettings {
    let history = &settings.history;
    StoreSettings { location, max_age: history.max_age, max_rows: history.max_rows }
}

impl HistoryHandle {
    fn new(history: History, tasks: Tasks) -> Self {
        Self { history, is_temporary: false, tasks: Mutex::new(Some(tasks)), _folder: None }
    }

    /// Waits until the history has written all events, and closes it. Waits for [`CLOSE_TIMEOUT`] at most.
    pub(crate) async fn close(&self) {
        let tasks = lock(&self.tasks).take();
        let Some(tasks) = tasks else { return };
        timeout(CLOSE_TIMEOUT, tasks.close()).await.ok();
        let waiting = self.history.stats().waiting;
        if waiting > 0 && !self.is_temporary {
            warn!(waiting, "the history's database did not accept the last events; the server dropped them");
        }
    }
}
