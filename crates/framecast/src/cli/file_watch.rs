//! Watches the configuration file for changes.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use framecast_media::lock;
use tokio::sync::watch;
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

/// What changes if a program writes a file or puts another file in its place: device, inode, size, time of the last
/// change. `None` if there is no file.
type Appearance = Option<(u64, u64, u64, (i64, i64))>;

/// Reports changes of the configuration file.
pub(super) struct FileWatch(watch::Receiver<()>);

impl FileWatch {
    /// Starts the thread that looks at the file. Looks at intervals and does not ask the system for reports of changes:
    /// these do not tell when a link or a folder on the way to the file leads elsewhere, and do not exist on all file
    /// systems. The thread is its own, because it would keep all idle threads of the runtime alive.
    ///
    /// # Errors
    /// The system allows no more threads.
    pub(super) fn new(last_read: LastRead) -> io::Result<Self> {
        let (sender, changes) = watch::channel(());
        thread::Builder::new().name("config-watch".into()).spawn(move || look(&last_read, &sender))?;
        Ok(Self(changes))
    }

    /// Waits until the file has other content than when it was last read, and has not changed for [`INTERVAL`]. The new
    /// content is in [`LastRead`] then.
    pub(super) async fn changed(&mut self) {
        if self.0.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// Looks at the file until nobody wants to hear of its changes.
fn look(last_read: &LastRead, changes: &watch::Sender<()>) {
    let path = last_read.get().path;
    // What the file looked like when its content was last compared; `None` at first, because the file may have changed
    // since the start of the program.
    let (mut before, mut compared) = (None, None);
    while !changes.is_closed() {
        thread::sleep(INTERVAL);
        // A file that cannot be looked at is read when that is possible again.
        let Ok(now) = appearance(&path) else { continue };
        let is_quiet = before.replace(now) == Some(now);
        if is_quiet && compared.replace(now) != Some(now) {
            if now.is_none() {
                warn!("{} is gone; the server goes on with the configuration that it has", path.display());
            } else if has_other_content(last_read) {
                changes.send_replace(());
            }
        }
    }
}

fn has_other_content(last_read: &LastRead) -> bool {
    let before = last_read.get();
    last_read.read_again().text != before.text
}

fn appearance(path: &Path) -> io::Result<Appearance> {
    match path.metadata() {
        Ok(file) => Ok(Some((file.dev(), file.ino(), file.size(), (file.ctime(), file.ctime_nsec())))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
