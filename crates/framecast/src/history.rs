//! Opens the history that the settings name, and closes it.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use framecast_history::{Error, History, Location, Settings as Kept, Tasks};
use framecast_hub::Hub;
use tempfile::TempDir;
use tokio::time::{Instant, sleep, timeout};
use tracing::{info, warn};

use crate::config::{ConfigError, HistoryPlace, Settings};

/// How long the start waits for a database that it cannot reach. After a power cut the database may start later than
/// this server.
const PATIENCE: Duration = Duration::from_secs(60);

/// The wait between two attempts.
const PAUSE: Duration = Duration::from_secs(1);

/// How long the history may take at shutdown to write the last events.
const CLOSE_TIMEOUT: Duration = Duration::from_millis(800);

/// A server's history, with its tasks and the folder that ends with it.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) history: History,
    /// Whether the events are gone when the server ends.
    pub(crate) is_temporary: bool,
    tasks: Mutex<Option<Tasks>>,
    /// The temporary folder of a history that ends with the server.
    _folder: Option<TempDir>,
}

/// Why there is no history.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    History(#[from] Error),
}

/// Opens the history of `settings`, and stores the events that `hub` sends from now on.
pub(crate) async fn open(settings: &Settings, hub: &Hub) -> Result<Opened, OpenError> {
    let place = &settings.history.place;
    let is_default = *place == HistoryPlace::Default;
    let location = place.location(settings.state_dir.as_deref()).map_err(ConfigError::new)?;
    let Some(location) = location else {
        let reason =
            is_default.then(|| "history: there is no folder for it; set state_dir, or HOME".to_owned());
        return temporary(settings, hub, reason).await;
    };
    match wait_for(settings, &location, hub).await {
        Ok((history, tasks)) => {
            info!("events are kept in {location}");
            Ok(Opened::new(history, tasks))
        }
        // The disk may get room, or may be mounted, later. But if the user named a file and the server cannot create
        // it, that is a mistake in the configuration.
        Err(error) if error.is_full() || is_default && error.is_unwritable() => {
            let advice =
                if error.is_full() { "free some room" } else { "set state_dir to keep them elsewhere" };
            warn!(
                "{error}; events are kept in memory, the newest 16 MiB of them, and written there once that is possible; \
                 {advice}"
            );
            let events = hub.events().subscribe();
            let (history, tasks) = History::open_in_memory(kept(settings, location), events).await?;
            Ok(Opened::new(history, tasks))
        }
        // Another server has the default file, which the user did not name.
        Err(error @ Error::Locked { .. }) if is_default => {
            temporary(settings, hub, Some(error.to_string())).await
        }
        Err(error) => Err(error.into()),
    }
}

/// Opens the database at `location`. Waits for a database that it cannot reach.
async fn wait_for(settings: &Settings, location: &Location, hub: &Hub) -> Result<(History, Tasks), Error> {
    let until = Instant::now() + PATIENCE;
    let mut is_told = false;
    loop {
        match History::open(kept(settings, location.clone()), hub.events().subscribe()).await {
            Err(error) if error.is_transient() && Instant::now() < until => {
                if !is_told {
                    warn!("{error}; waiting for it for a minute");
                    is_told = true;
                }
                sleep(PAUSE).await;
            }
            opened => return opened,
        }
    }
}

/// Stores events until the server ends: in a file in the temporary folder, or else in memory. `reason` says why, unless
/// the user asked for a temporary history.
async fn temporary(settings: &Settings, hub: &Hub, reason: Option<String>) -> Result<Opened, OpenError> {
    let opened = match in_temporary_folder(settings, hub).await {
        Ok(opened) => {
            if let Some(reason) = reason {
                warn!("{reason}; events are kept as long as this server runs");
            }
            opened
        }
        Err(error) if error.is_unwritable() => {
            let reason = reason.unwrap_or_else(|| error.to_string());
            warn!(
                "{reason}; events are kept in memory, the newest 16 MiB of them, as long as this server runs"
            );
            let kept = kept(settings, Location::Memory);
            let (history, tasks) = History::open(kept, hub.events().subscribe()).await?;
            Opened::new(history, tasks)
        }
        Err(error) => return Err(error.into()),
    };
    Ok(Opened { is_temporary: true, ..opened })
}

async fn in_temporary_folder(settings: &Settings, hub: &Hub) -> Result<Opened, Error> {
    let unwritable = |source| Error::Unwritable { path: std::env::temp_dir(), source };
    let for_this_account_alone = Permissions::from_mode(0o700);
    let folder = tempfile::Builder::new().prefix("framecast-").permissions(for_this_account_alone).tempdir();
    let folder = folder.map_err(unwritable)?;
    let location = Location::File(folder.path().join("framecast.db"));
    let (history, tasks) = History::open(kept(settings, location), hub.events().subscribe()).await?;
    Ok(Opened { _folder: Some(folder), ..Opened::new(history, tasks) })
}

fn kept(settings: &Settings, location: Location) -> Kept {
    let history = &settings.history;
    Kept { location, max_age: history.max_age, max_rows: history.max_rows }
}

impl Opened {
    fn new(history: History, tasks: Tasks) -> Self {
        Self { history, is_temporary: false, tasks: Mutex::new(Some(tasks)), _folder: None }
    }

    /// Ends the history when it has written all events, or soon after.
    pub(crate) async fn close(&self) {
        let tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(tasks) = tasks else { return };
        timeout(CLOSE_TIMEOUT, tasks.close()).await.ok();
        let waiting = self.history.figures().waiting;
        if waiting > 0 && !self.is_temporary {
            warn!(waiting, "the history's database does not take the last events; they are lost");
        }
    }
}
