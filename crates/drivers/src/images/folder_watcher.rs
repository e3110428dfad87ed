//! Watches folders through the operating system's change notifications, and turns these into events.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use notify::event::{AccessKind, AccessMode, CreateKind, EventKind, ModifyKind, RemoveKind, RenameMode};
use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc;

use super::file_set::{FileEntry, FileSet, file_entry, is_newer};
use crate::Error;

/// The maximum number of queued events. Further events are dropped, and the source then searches the folders for the
/// newest file instead.
const MAX_QUEUED_EVENTS: usize = 1024;

/// The maximum number of watched folders: enough for one folder a day for almost three years. If there are more
/// folders, the most recently changed ones are watched.
const MAX_WATCHED: usize = 1024;

/// The maximum number of folders that are walked when searching for folders to watch.
const MAX_WALKED: usize = 10_000;

/// A change that the operating system reports.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum FolderEvent {
    /// The file at this path may contain a new picture.
    File(PathBuf),
    /// The folder at this path is new, and may contain files that belong to the watched set.
    Folder(PathBuf),
    /// The file or folder at this path no longer exists.
    Gone(PathBuf),
}

/// The receiving end of the events of all watched folders.
pub(super) struct FolderEvents {
    pub(super) receiver: mpsc::Receiver<FolderEvent>,
    /// Whether events were dropped because the queue was full.
    pub(super) has_overflowed: Arc<AtomicBool>,
}

/// The set of watched folders. Methods that add or walk folders block.
pub(super) struct FolderWatcher {
    file_set: Arc<FileSet>,
    base: PathBuf,
    watcher: RecommendedWatcher,
    /// The watched folders by path. The value is the time of the folder's last change when the watch began.
    watched: HashMap<PathBuf, SystemTime>,
}

impl FolderWatcher {
    /// Starts watching the folder of `file_set`, but no folder below it yet.
    ///
    /// # Errors
    /// [`Error::File`] if the system cannot watch the folder.
    pub(super) fn watch(file_set: Arc<FileSet>) -> Result<(Self, FolderEvents), Error> {
        // The path in the form in which the system reports it, however the user wrote it.
        let base = file_set.folder();
        let base = std::path::absolute(&base).unwrap_or(base);
        let (sender, receiver) = mpsc::channel(MAX_QUEUED_EVENTS);
        let has_overflowed = Arc::new(AtomicBool::new(false));
        let tell = event_handler(Arc::clone(&file_set), sender, Arc::clone(&has_overflowed));
        let watcher = notify::recommended_watcher(tell).map_err(|error| cannot_watch(&base, error))?;
        let mut folders = Self { file_set, base: base.clone(), watcher, watched: HashMap::new() };
        folders.add(&base)?;
        Ok((folders, FolderEvents { receiver, has_overflowed }))
    }

    /// Watches `folder` and all folders below it that may contain matching files. Returns the newest matching file in
    /// these folders.
    ///
    /// The watch on each folder begins before the folder is listed, so a file that is added during this call is either
    /// listed or reported.
    ///
    /// # Errors
    /// [`Error::File`] if the system cannot watch one of the folders.
    pub(super) fn watch_tree(&mut self, folder: &Path) -> Result<Option<FileEntry>, Error> {
        let (mut newest, mut walked) = (None, 0);
        let mut ahead = vec![folder.to_owned()];
        while let Some(folder) = ahead.pop() {
            walked += 1;
            if walked > MAX_WALKED {
                break;
            }
            self.add(&folder)?;
            // A folder that has vanished in the meantime has no files.
            for file in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
                let path = file.path();
                let is_folder = file.file_type().is_ok_and(|kind| kind.is_dir());
                if is_folder && self.file_set.may_contain_matches(&path) {
                    ahead.push(path);
                } else if !is_folder && self.file_set.matches(&path) {
                    let found = file_entry(path);
                    newest = match (newest, found) {
                        (Some(newest), Some(found)) if !is_newer(&found, &newest) => Some(newest),
                        (newest, found) => found.or(newest),
                    };
                }
            }
        }
        Ok(newest)
    }

    fn add(&mut self, folder: &Path) -> Result<(), Error> {
        if self.watched.contains_key(folder) {
            return Ok(());
        }
        let Ok(changed_at) = std::fs::metadata(folder).and_then(|metadata| metadata.modified()) else {
            return Ok(());
        };
        if self.watched.len() >= MAX_WATCHED && !self.evict_oldest(changed_at) {
            return Ok(());
        }
        match self.watcher.watch(folder, RecursiveMode::NonRecursive) {
            Ok(()) => {
                self.watched.insert(folder.to_owned(), changed_at);
                Ok(())
            }
            // The folder has vanished in the meantime.
            Err(_) if folder != self.base && !folder.exists() => Ok(()),
            Err(error) => Err(cannot_watch(folder, error)),
        }
    }

    /// Stops watching the folder whose last change is the oldest, unless that change was after `changed_at`. Returns
    /// whether a folder is no longer watched.
    fn evict_oldest(&mut self, changed_at: SystemTime) -> bool {
        let below = self.watched.iter().filter(|(path, _)| **path != self.base);
        let oldest = below.min_by_key(|(_, changed_at)| **changed_at);
        let Some((path, _)) = oldest.filter(|(_, oldest)| **oldest <= changed_at) else { return false };
        let path = path.clone();
        self.unwatch(&path);
        true
    }

    /// Stops watching the folder at `path` and all folders below it.
    pub(super) fn unwatch(&mut self, path: &Path) {
        let gone: Vec<PathBuf> =
            self.watched.keys().filter(|folder| folder.starts_with(path)).cloned().collect();
        for folder in gone {
            self.watched.remove(&folder);
            // The system already stopped watching a folder that was removed.
            self.watcher.unwatch(&folder).ok();
        }
    }

    /// Returns the time of the most recent change of any watched folder. Blocks.
    pub(super) fn changed_at(&self) -> Option<SystemTime> {
        let changed_at = |folder| std::fs::metadata(folder).and_then(|metadata| metadata.modified()).ok();
        self.watched.keys().filter_map(changed_at).max()
    }
}

/// Returns a handler that turns the system's events into [`FolderEvent`]s. The handler runs on the watcher's thread.
fn event_handler(
    file_set: Arc<FileSet>,
    events: mpsc::Sender<FolderEvent>,
    has_overflowed: Arc<AtomicBool>,
) -> impl FnMut(notify::Result<notify::Event>) + Send + 'static {
    move |event| {
        let Ok(event) = event else {
            has_overflowed.store(true, Ordering::Relaxed);
            return;
        };
        let is_lost = folder_event(&event, &file_set).is_some_and(|event| events.try_send(event).is_err());
        if is_lost || event.need_rescan() {
            has_overflowed.store(true, Ordering::Relaxed);
        }
    }
}

/// Turns one system event into a [`FolderEvent`], or returns `None` if the event does not matter for `file_set`. Of the
/// two names in a rename event, the new one is used.
fn folder_event(event: &notify::Event, file_set: &FileSet) -> Option<FolderEvent> {
    let path = event.paths.last()?;
    let may_be_folder = matches!(
        event.kind,
        EventKind::Create(CreateKind::Folder | CreateKind::Any | CreateKind::Other)
            | EventKind::Modify(ModifyKind::Name(RenameMode::To | RenameMode::Both | RenameMode::Any))
    );
    if may_be_folder && file_set.may_contain_matches(path) && path.is_dir() {
        return Some(FolderEvent::Folder(path.clone()));
    }
    match event.kind {
        EventKind::Remove(RemoveKind::Folder | RemoveKind::Any | RemoveKind::Other)
        | EventKind::Modify(ModifyKind::Name(RenameMode::From)) => {
            file_set.may_contain_matches(path).then(|| FolderEvent::Gone(path.clone()))
        }
        EventKind::Create(_)
        | EventKind::Modify(ModifyKind::Name(_) | ModifyKind::Data(_) | ModifyKind::Any)
        | EventKind::Access(AccessKind::Close(AccessMode::Write))
        | EventKind::Any => file_set.matches(path).then(|| FolderEvent::File(path.clone())),
        _ => None,
    }
}

fn cannot_watch(folder: &Path, error: notify::Error) -> Error {
    let source = match error.kind {
        notify::ErrorKind::Io(error) => error,
        notify::ErrorKind::MaxFilesWatch => {
            io::Error::other("the system has no inotify watches left; raise fs.inotify.max_user_watches")
        }
        _ => io::Error::other(error),
    };
    Error::File { doing: "watch", path: folder.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_more_folders_than_can_be_watched_those_that_changed_last_are() {
        let top = tempfile::tempdir().unwrap();
        let pattern = format!("{}/*/*.jpg", top.path().display());
        let at = |days: u64| SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(86_400 * days);
        let (mut folders, _signs) =
            FolderWatcher::watch(Arc::new(FileSet::resolve(&pattern).unwrap())).unwrap();
        let day = |day: usize| top.path().join(day.to_string());
        for number in 0..MAX_WATCHED + 2 {
            std::fs::create_dir(day(number)).unwrap();
            std::fs::File::open(day(number)).unwrap().set_modified(at(number as u64)).unwrap();
        }
        folders.watch_tree(top.path()).unwrap();
        assert_eq!(folders.watched.len(), MAX_WATCHED);
        assert!(folders.watched.contains_key(top.path()), "for new folders");
        assert!(folders.watched.contains_key(&day(MAX_WATCHED + 1)));
        for number in 0..3 {
            assert!(!folders.watched.contains_key(&day(number)), "{number}");
        }
    }
}
