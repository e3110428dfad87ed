//! Watches the configuration file for changes.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use framecast_media::lock;
use tokio::time::{MissedTickBehavior, interval};
use tracing::warn;

use super::config_file::ConfigFile;

/// The interval at which the program looks at the file, and the time for which the file must stay as it is before its
/// change counts: an editor writes a file in several steps.
const INTERVAL: Duration = Duration::from_secs(1);

/// The configuration file as it was last read. Clones share it.
#[derive(Clone)]
pub(super) struct LastRead(Arc<Mutex<ConfigFile>>);

impl LastRead {
    pub(super) fn new(file: ConfigFile) -> Self {
        Self(Arc::new(Mutex::new(file)))
    }

    pub(super) fn get(&self) -> ConfigFile {
        lock(&self.0).clone()
    }

    /// Reads the file again. Can block.
    pub(super) fn read_again(&self) -> ConfigFile {
        let path = lock(&self.0).path.clone();
        let file = ConfigFile::read_again(&path);
        lock(&self.0).clone_from(&file);
        file
    }
}

/// Finds changes of the configuration file. Looks at the file at intervals and not at the system's reports of changes:
/// these do not tell when a link or a folder on the way to the file leads elsewhere, and do not exist on all file
/// systems.
pub(super) struct FileWatch {
    path: PathBuf,
    last_read: LastRead,
    /// What the file looked like when its content was last compared; `None` at first, because the file may have changed
    /// since the start of the program.
    compared: Option<Appearance>,
}

/// What changes if a program writes a file or puts another file in its place: device, inode, size, time of the last
/// change. `None` if there is no file.
type Appearance = Option<(u64, u64, u64, (i64, i64))>;

impl FileWatch {
    pub(super) fn new(last_read: LastRead) -> Self {
        Self { path: last_read.get().path, last_read, compared: None }
    }

    /// Waits until the file has other content than when it was last read, and has not changed for [`INTERVAL`]. The new
    /// content is in [`LastRead`] then.
    pub(super) async fn changed(&mut self) {
        let mut ticks = interval(INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut before = None;
        loop {
            ticks.tick().await;
            let path = self.path.clone();
            let looking = tokio::task::spawn_blocking(move || appearance(&path)).await;
            // A file that cannot be looked at will be read when that is possible again.
            let Ok(Ok(now)) = looking else { continue };
            let is_quiet = before.replace(now) == Some(now);
            if is_quiet && self.compared != Some(now) {
                self.compared = Some(now);
                if self.has_other_content(now).await {
                    return;
                }
            }
        }
    }

    async fn has_other_content(&self, now: Appearance) -> bool {
        if now.is_none() {
            warn!("{} is gone; the server goes on with the configuration that it has", self.path.display());
            return false;
        }
        let last_read = self.last_read.clone();
        let comparing = tokio::task::spawn_blocking(move || {
            let before = last_read.get();
            last_read.read_again().text != before.text
        });
        comparing.await.unwrap_or(false)
    }
}

fn appearance(path: &Path) -> io::Result<Appearance> {
    match path.metadata() {
        Ok(file) => Ok(Some((file.dev(), file.ino(), file.size(), (file.ctime(), file.ctime_nsec())))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
