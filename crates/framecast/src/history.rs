//! Opens the history, the store of events that the settings describe, and closes it at shutdown.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::sync::Mutex;
use std::time::Duration;

use framecast_history::{Config as StoreSettings, Error, History, Location, Tasks};
use framecast_hub::Hub;
use framecast_media::lock;
use tempfile::TempDir;
use tokio::time::{Instant, sleep, timeout};
use tracing::{info, warn};

use crate::config::{ConfigError, HistoryStorage, Settings};

/// How long the server's start waits for a database that is not reachable. After a power cut, the database might start
/// later than this server.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(60);

/// The delay between two attempts to open the database.
const RETRY_DELAY: Duration = Duration::from_secs(1);

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
    match open_with_retry(settings, &location, hub).await {
        Ok((history, tasks)) => {
            info!("the history stores events in {location}");
            Ok(HistoryHandle::new(history, tasks))
        }
        // Later, space on the disk might become free, or the disk might be mounted. But if the user named a file and
        // the server cannot create it, that is a mistake in the configuration.
        Err(error) if error.is_full() || is_default && error.is_unwritable() => {
            let advice = match error.is_full() {
                true => "free some space",
                false => "to store them elsewhere, set state_dir to another folder",
            };
            warn!(
                "{error}; the server keeps the newest 16 MiB of events in memory and writes them to the file \
                 when that is possible; {advice}"
            );
            let events = hub.events().subscribe();
            let (history, tasks) =
                History::open_in_memory(store_settings(settings, location), events).await?;
            Ok(HistoryHandle::new(history, tasks))
        }
        // Another server uses the default file, which the user did not choose.
        Err(error @ Error::Locked { .. }) if is_default => {
            open_temporary(settings, hub, Some(error.to_string())).await
        }
        Err(error) => Err(error.into()),
    }
}

/// Opens the database at `location`. While the database is not reachable, tries again, for [`CONNECT_TIMEOUT`] at most.
async fn open_with_retry(
    settings: &Settings,
    location: &Location,
    hub: &Hub,
) -> Result<(History, Tasks), Error> {
    let until = Instant::now() + CONNECT_TIMEOUT;
    let mut has_warned = false;
    loop {
        match History::open(store_settings(settings, location.clone()), hub.events().subscribe()).await {
            Err(error) if error.is_transient() && Instant::now() < until => {
                if !has_warned {
                    warn!("{error}; the server keeps trying for a minute");
                    has_warned = true;
                }
                sleep(RETRY_DELAY).await;
            }
            opened => return opened,
        }
    }
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
