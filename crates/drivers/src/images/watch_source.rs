//! Watches folders for new pictures: a single folder, or all folders that a pattern spans.
//!
//! The system reports files that are created, written, closed or renamed, and folders that appear or vanish. A file
//! that was incomplete is read again after the system's next report about it. A file with the picture that was shown
//! last is not shown again. Every two seconds the source itself checks the folders for changes that the system does not
//! report: the top folder has vanished, or another machine has written into the folders, into the single watched file
//! or into an incomplete file.

use std::collections::VecDeque;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use framecast_media::codec::jpeg;
use framecast_media::{Bytes, Frame, lock};
use tokio::time::{Instant, sleep_until};
use tracing::warn;

use super::file_set::{FileEntry, FileSet};
use super::folder_watcher::{FolderEvent, FolderEvents, FolderWatcher};
use super::incomplete::{IncompleteFiles, Verdict};
use super::{read_if_changed, run_blocking};
use crate::{BoxFuture, CaptureTime, Error, FrameBuilder, OpenContext, Source, masking};

/// The maximum length of the queue of files to read. When the queue is full, its oldest entry is dropped.
const MAX_WAITING: usize = 256;

/// The maximum length of the queue of new folders to watch. When the queue is full, the next check of the folders walks
/// all of them instead.
const MAX_NEW_FOLDERS: usize = 1024;

/// The interval between two checks of the folders by the source itself.
const CHECK_INTERVAL: Duration = Duration::from_secs(2);

/// The properties of the folders that are compared to detect a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct FolderState {
    device_and_inode: (u64, u64),
    modified_at: Option<SystemTime>,
    /// The time of the last change and the length in bytes of the watched file; `None` if a folder or a pattern is
    /// watched, or if the file does not exist.
    file: Option<(SystemTime, u64)>,
}

/// The picture that was shown last.
struct LastPicture {
    path: PathBuf,
    data: Bytes,
    modified_at: SystemTime,
}

pub(super) struct WatchSource {
    file_set: Arc<FileSet>,
    /// The watched folders. Lock the mutex only where blocking is allowed.
    folders: Arc<Mutex<FolderWatcher>>,
    state: FolderState,
    events: FolderEvents,
    /// The files to read, in the order of their events.
    waiting: VecDeque<PathBuf>,
    new_folders: VecDeque<PathBuf>,
    incomplete: IncompleteFiles,
    /// Whether the next check has to search the folders for the newest file. The flag stays set if a caller cancels its
    /// wait during the search.
    needs_rescan: bool,
    /// Whether the system has reported any event since the source last checked the folders.
    had_events: bool,
    check_at: Instant,
    last: Option<LastPicture>,
    awaited: Option<String>,
    max_picture_bytes: usize,
    builder: FrameBuilder,
}

impl WatchSource {
    pub(super) async fn open(context: &OpenContext, file_set: FileSet) -> Result<Self, Error> {
        let file_set = Arc::new(file_set);
        let watched = Arc::clone(&file_set);
        let (folders, events) = run_blocking(move || FolderWatcher::watch(watched)).await?;
        let folders = Arc::new(Mutex::new(folders));
        let newest = find_newest(&file_set, &folders).await?;
        let state = folder_state(&file_set, &folders).await?;
        let awaited = match newest {
            Some(_) => None,
            None => {
                let file_set = Arc::clone(&file_set);
                Some(run_blocking(move || file_set.waiting_reason()).await)
            }
        };
        Ok(Self {
            file_set,
            folders,
            state,
            events,
            waiting: newest.into_iter().map(|entry| entry.path).collect(),
            new_folders: VecDeque::new(),
            incomplete: IncompleteFiles::default(),
            needs_rescan: false,
            had_events: false,
            check_at: Instant::now() + CHECK_INTERVAL,
            last: None,
            awaited,
            max_picture_bytes: context.max_picture_bytes(),
            builder: FrameBuilder::new(context),
        })
    }

    async fn next(&mut self) -> Result<Option<Frame>, Error> {
        loop {
            while let Ok(event) = self.events.receiver.try_recv() {
                self.handle_event(event);
            }
            for path in self.incomplete.take_due(Instant::now()) {
                self.enqueue(path);
            }
            if let Some(folder) = self.new_folders.front() {
                let newest = watch_tree(&self.folders, folder.clone()).await;
                self.new_folders.pop_front();
                self.enqueue_newest(newest?);
                continue;
            }
            if let Some(path) = self.waiting.front() {
                let known = self.incomplete.broken(path);
                let read = read_if_changed(path.clone(), self.max_picture_bytes, known).await;
                let path = self.waiting.pop_front().expect("nothing was taken out while the file was read");
                match read {
                    Ok(None) => {}
                    Ok(Some((data, modified_at))) => {
                        if let Some(frame) = self.frame_if_new(path, data, modified_at)? {
                            return Ok(Some(frame));
                        }
                    }
                    // The file has vanished: it was replaced or removed.
                    Err(_) => self.incomplete.forget(&path),
                }
                continue;
            }
            let wake_at = self.incomplete.due_at().map_or(self.check_at, |due_at| due_at.min(self.check_at));
            tokio::select! {
                event = self.events.receiver.recv() => match event {
                    Some(event) => self.handle_event(event),
                    None => return Err(self.watch_error(io::Error::other("the system stopped reporting changes"))),
                },
                () = sleep_until(wake_at) => if Instant::now() >= self.check_at { self.check().await? },
            }
        }
    }

    fn handle_event(&mut self, event: FolderEvent) {
        self.had_events = true;
        match event {
            FolderEvent::File(path) => {
                if !self.incomplete.recheck_soon(&path) {
                    self.enqueue(path);
                }
            }
            FolderEvent::Folder(path) if self.new_folders.contains(&path) => {}
            FolderEvent::Folder(_) if self.new_folders.len() >= MAX_NEW_FOLDERS => self.needs_rescan = true,
            FolderEvent::Folder(path) => self.new_folders.push_back(path),
            FolderEvent::Gone(path) => {
                self.new_folders.retain(|folder| !folder.starts_with(&path));
                lock(&self.folders).unwatch(&path);
            }
        }
    }

    /// Adds a file to the queue of files to read, unless it is already there.
    fn enqueue(&mut self, path: PathBuf) {
        if self.waiting.contains(&path) {
            return;
        }
        if self.waiting.len() == MAX_WAITING {
            self.waiting.pop_front();
        }
        self.waiting.push_back(path);
    }

    /// Adds the newest file to the queue of files to read, unless the picture that was shown last is newer.
    fn enqueue_newest(&mut self, newest: Option<FileEntry>) {
        let shown_at = self.last.as_ref().map(|shown| shown.modified_at);
        if let Some(entry) =
            newest.filter(|entry| shown_at.is_none_or(|shown_at| entry.modified_at >= shown_at))
        {
            self.enqueue(entry.path);
        }
    }

    /// Returns the picture `data` of the file at `path` as a frame; `None` if this picture was the last one shown, or
    /// if the file is still being written.
    fn frame_if_new(
        &mut self,
        path: PathBuf,
        data: Bytes,
        modified_at: SystemTime,
    ) -> Result<Option<Frame>, Error> {
        if self.last.as_ref().is_some_and(|last| last.path == path && last.data == data) {
            self.incomplete.forget(&path);
            return Ok(None);
        }
        if jpeg::parse_markers(&data).is_err() {
            let verdict = self.incomplete.record(&path, data.len(), modified_at, Instant::now());
            // An empty file is a placeholder.
            if verdict == Verdict::Wait || data.is_empty() {
                return Ok(None);
            }
        } else {
            self.incomplete.forget(&path);
        }
        let frame = self.builder.jpeg_frame(data.clone(), CaptureTime::Original(modified_at));
        if let Err(error) = &frame {
            warn!("{:?}: {error}", masking::file(&path));
        }
        self.last = Some(LastPicture { path, data, modified_at });
        frame.map(Some)
    }

    async fn check(&mut self) -> Result<(), Error> {
        let state = folder_state(&self.file_set, &self.folders).await?;
        if state.device_and_inode != self.state.device_and_inode {
            return Err(self.watch_error(io::Error::new(io::ErrorKind::NotFound, "the folder was replaced")));
        }
        let is_missed = state != self.state && !self.had_events;
        self.needs_rescan |= is_missed || self.events.has_overflowed.swap(false, Ordering::Relaxed);
        if self.needs_rescan {
            let newest = find_newest(&self.file_set, &self.folders).await?;
            self.waiting.extend(newest.map(|entry| entry.path));
            self.needs_rescan = false;
        }
        self.state = state;
        self.had_events = false;
        self.check_at = Instant::now() + CHECK_INTERVAL;
        Ok(())
    }

    fn watch_error(&self, source: io::Error) -> Error {
        Error::File { doing: "watch", path: self.file_set.folder(), source }
    }
}

impl Source for WatchSource {
    fn next_frame(&mut self) -> BoxFuture<'_, Result<Option<Frame>, Error>> {
        Box::pin(self.next())
    }

    fn repaired_frames(&self) -> u64 {
        self.builder.repaired_frames()
    }

    fn max_frame_gap(&self) -> Duration {
        Duration::MAX
    }

    fn waiting_for(&self) -> Option<String> {
        self.awaited.clone()
    }
}

/// Watches `folder` and the folders below it, and returns the newest file in them.
async fn watch_tree(
    folders: &Arc<Mutex<FolderWatcher>>,
    folder: PathBuf,
) -> Result<Option<FileEntry>, Error> {
    let folders = Arc::clone(folders);
    run_blocking(move || lock(&folders).watch_tree(&folder)).await
}

/// Returns the newest file of `file_set`. For a pattern, also starts to watch the folders that are not watched yet.
async fn find_newest(
    file_set: &Arc<FileSet>,
    folders: &Arc<Mutex<FolderWatcher>>,
) -> Result<Option<FileEntry>, Error> {
    match &**file_set {
        FileSet::Glob { .. } => watch_tree(folders, file_set.folder()).await,
        FileSet::Folder(_) | FileSet::File(_) => {
            let file_set = Arc::clone(file_set);
            let mut newest = run_blocking(move || file_set.newest()).await?;
            // The path in the form in which the system reports it, because the picture shown last is identified by its
            // path.
            if let Some(entry) = &mut newest
                && let Ok(path) = std::path::absolute(&entry.path)
            {
                entry.path = path;
            }
            Ok(newest)
        }
    }
}

/// Reads the properties that show whether the watched folders have changed, and those of the file if a single one is
/// watched.
async fn folder_state(
    file_set: &Arc<FileSet>,
    folders: &Arc<Mutex<FolderWatcher>>,
) -> Result<FolderState, Error> {
    let (file_set, folders) = (Arc::clone(file_set), Arc::clone(folders));
    run_blocking(move || {
        let folder = file_set.folder();
        let metadata = std::fs::metadata(&folder);
        let metadata = metadata.map_err(|source| Error::File { doing: "watch", path: folder, source })?;
        Ok(FolderState {
            device_and_inode: (metadata.dev(), metadata.ino()),
            modified_at: lock(&folders).changed_at(),
            file: file_set.file().map(|entry| (entry.modified_at, entry.len_bytes)),
        })
    })
    .await
}

#[cfg(test)]
mod tests {
    #![warn(clippy::disallowed_methods)]

    use super::*;

    #[tokio::test]
    async fn of_more_files_than_can_be_read_the_newest_wait() {
        let folder = tempfile::tempdir().unwrap();
        let mut source =
            WatchSource::open(&OpenContext::default(), FileSet::Folder(folder.path().to_owned()))
                .await
                .unwrap();
        let path = |number: usize| PathBuf::from(format!("{number}.jpg"));
        (0..MAX_WAITING + 3).for_each(|number| source.handle_event(FolderEvent::File(path(number))));
        assert_eq!(source.waiting.len(), MAX_WAITING);
        assert_eq!(source.waiting.front(), Some(&path(3)));
        assert_eq!(source.waiting.back(), Some(&path(MAX_WAITING + 2)));
    }

    #[tokio::test]
    async fn of_more_new_folders_than_are_kept_the_rest_is_looked_for_at_the_next_check() {
        let folder = tempfile::tempdir().unwrap();
        let pattern = format!("{}/*/*.jpg", folder.path().display());
        let mut source =
            WatchSource::open(&OpenContext::default(), FileSet::resolve(&pattern).unwrap()).await.unwrap();
        for _ in 0..2 {
            (0..MAX_NEW_FOLDERS)
                .for_each(|number| source.handle_event(FolderEvent::Folder(number.to_string().into())));
            assert_eq!((source.new_folders.len(), source.needs_rescan), (MAX_NEW_FOLDERS, false));
        }
        source.handle_event(FolderEvent::Folder("another".into()));
        assert_eq!((source.new_folders.len(), source.needs_rescan), (MAX_NEW_FOLDERS, true));
    }
}
