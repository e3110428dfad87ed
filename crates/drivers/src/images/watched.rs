//! Folders watched for new pictures: one, or all that a pattern spans.
//!
//! The system reports files that are created, written, closed and renamed, and folders that appear and vanish. An
//! incomplete file is read again at its next event; the picture shown last is not shown twice. Every two seconds the
//! source checks the folders itself for changes that the system does not report: the top folder has vanished, or
//! another machine has written into the folders, into the single watched file or into an incomplete file.

use std::collections::VecDeque;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use framecast_media::codec::jpeg;
use framecast_media::{Bytes, Frame};
use tokio::time::{Instant, sleep_until};
use tracing::warn;

use super::folders::{Folders, Sign, Signs};
use super::list::{Entry, Place};
use super::unfinished::{Unfinished, Verdict};
use super::{off_thread, read_changed};
use crate::{BoxFuture, Door, Error, Source, SourceUrl, shown};

/// The maximum number of files that wait to be read; if more come, the oldest are dropped.
const MAX_WAITING: usize = 256;

/// The maximum number of new folders that wait to be watched; if more come, the next check walks all folders instead.
const MAX_NEW_FOLDERS: usize = 1024;

/// How often the source checks the folders itself.
const CHECK_INTERVAL: Duration = Duration::from_secs(2);

/// What distinguishes two states of the folders.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct State {
    device_and_inode: (u64, u64),
    modified_at: Option<SystemTime>,
    /// Time of the last change and length, if a single file is watched.
    file: Option<(SystemTime, u64)>,
}

/// The picture shown last.
struct Shown {
    path: PathBuf,
    data: Bytes,
    modified_at: SystemTime,
}

pub(super) struct Watched {
    place: Arc<Place>,
    /// Lock it only where blocking is allowed.
    folders: Arc<Mutex<Folders>>,
    state: State,
    signs: Signs,
    /// Files to read and folders to watch, in the order of their events.
    waiting: VecDeque<PathBuf>,
    new_folders: VecDeque<PathBuf>,
    unfinished: Unfinished,
    /// Whether to search for the newest file; kept if a caller cancels its wait for that.
    must_list: bool,
    /// Whether the system has reported any event since the last check.
    was_told: bool,
    check_at: Instant,
    last: Option<Shown>,
    awaited: Option<String>,
    max_picture_bytes: usize,
    door: Door,
}

impl Watched {
    pub(super) async fn open(url: &SourceUrl, place: Place) -> Result<Self, Error> {
        let place = Arc::new(place);
        let watched = Arc::clone(&place);
        let (folders, signs) = off_thread(move || Folders::watch(watched)).await?;
        let folders = Arc::new(Mutex::new(folders));
        let newest = find_newest(&place, &folders).await?;
        let state = look(&place, &folders).await?;
        let awaited = match newest {
            Some(_) => None,
            None => {
                let place = Arc::clone(&place);
                Some(off_thread(move || place.awaited()).await)
            }
        };
        Ok(Self {
            place,
            folders,
            state,
            signs,
            waiting: newest.into_iter().map(|entry| entry.path).collect(),
            new_folders: VecDeque::new(),
            unfinished: Unfinished::default(),
            must_list: false,
            was_told: false,
            check_at: Instant::now() + CHECK_INTERVAL,
            last: None,
            awaited,
            max_picture_bytes: url.max_picture_bytes(),
            door: Door::new(url),
        })
    }

    async fn next(&mut self) -> Result<Option<Frame>, Error> {
        loop {
            while let Ok(sign) = self.signs.receiver.try_recv() {
                self.take(sign);
            }
            for path in self.unfinished.due(Instant::now()) {
                self.enqueue(path);
            }
            if let Some(folder) = self.new_folders.front() {
                let newest = follow(&self.folders, folder.clone()).await;
                self.new_folders.pop_front();
                self.take_newest(newest?);
                continue;
            }
            if let Some(path) = self.waiting.front() {
                let known = self.unfinished.broken(path);
                let read = read_changed(path.clone(), self.max_picture_bytes, known).await;
                let path = self.waiting.pop_front().expect("nothing was taken out while the file was read");
                match read {
                    Ok(None) => {}
                    Ok(Some((data, modified_at))) => {
                        if let Some(frame) = self.consider(path, data, modified_at)? {
                            return Ok(Some(frame));
                        }
                    }
                    // The file vanished: it was replaced or removed.
                    Err(_) => self.unfinished.forget(&path),
                }
                continue;
            }
            let wake_at = self.unfinished.due_at().map_or(self.check_at, |due_at| due_at.min(self.check_at));
            tokio::select! {
                sign = self.signs.receiver.recv() => match sign {
                    Some(sign) => self.take(sign),
                    None => return Err(self.lost(io::Error::other("the system stopped telling of changes"))),
                },
                () = sleep_until(wake_at) => if Instant::now() >= self.check_at { self.check().await? },
            }
        }
    }

    fn take(&mut self, sign: Sign) {
        self.was_told = true;
        match sign {
            Sign::File(path) => {
                if !self.unfinished.hasten(&path) {
                    self.enqueue(path);
                }
            }
            Sign::Folder(path) if self.new_folders.contains(&path) => {}
            Sign::Folder(_) if self.new_folders.len() >= MAX_NEW_FOLDERS => self.must_list = true,
            Sign::Folder(path) => self.new_folders.push_back(path),
            Sign::Gone(path) => {
                self.new_folders.retain(|folder| !folder.starts_with(&path));
                lock(&self.folders).forget(&path);
            }
        }
    }

    /// Enqueues a file, unless it is in the queue already.
    fn enqueue(&mut self, path: PathBuf) {
        if self.waiting.contains(&path) {
            return;
        }
        if self.waiting.len() == MAX_WAITING {
            self.waiting.pop_front();
        }
        self.waiting.push_back(path);
    }

    /// Enqueues the newest file, unless a newer one was shown.
    fn take_newest(&mut self, newest: Option<Entry>) {
        let shown_at = self.last.as_ref().map(|shown| shown.modified_at);
        if let Some(entry) =
            newest.filter(|entry| shown_at.is_none_or(|shown_at| entry.modified_at >= shown_at))
        {
            self.enqueue(entry.path);
        }
    }

    /// The frame in a file, unless it was shown already or is still being written.
    fn consider(
        &mut self,
        path: PathBuf,
        data: Bytes,
        modified_at: SystemTime,
    ) -> Result<Option<Frame>, Error> {
        if self.last.as_ref().is_some_and(|last| last.path == path && last.data == data) {
            self.unfinished.forget(&path);
            return Ok(None);
        }
        if jpeg::scan(&data).is_err() {
            let verdict = self.unfinished.note(&path, data.len(), modified_at, Instant::now());
            // An empty file is a placeholder.
            if verdict == Verdict::Wait || data.is_empty() {
                return Ok(None);
            }
        } else {
            self.unfinished.forget(&path);
        }
        let frame = self.door.admit(data.clone(), modified_at);
        if let Err(error) = &frame {
            warn!("{:?}: {error}", shown::file(&path));
        }
        self.last = Some(Shown { path, data, modified_at });
        frame.map(Some)
    }

    async fn check(&mut self) -> Result<(), Error> {
        let state = look(&self.place, &self.folders).await?;
        if state.device_and_inode != self.state.device_and_inode {
            return Err(self.lost(io::Error::new(io::ErrorKind::NotFound, "another folder is in its place")));
        }
        let is_missed = state != self.state && !self.was_told;
        self.must_list |= is_missed || self.signs.has_overflown.swap(false, Ordering::Relaxed);
        if self.must_list {
            let newest = find_newest(&self.place, &self.folders).await?;
            self.waiting.extend(newest.map(|entry| entry.path));
            self.must_list = false;
        }
        self.state = state;
        self.was_told = false;
        self.check_at = Instant::now() + CHECK_INTERVAL;
        Ok(())
    }

    fn lost(&self, source: io::Error) -> Error {
        Error::File { doing: "watch", path: self.place.folder(), source }
    }
}

impl Source for Watched {
    fn next_frame(&mut self) -> BoxFuture<'_, Result<Option<Frame>, Error>> {
        Box::pin(self.next())
    }

    fn repaired_frames(&self) -> u64 {
        self.door.repaired()
    }

    fn longest_pause(&self) -> Duration {
        Duration::MAX
    }

    fn awaited(&self) -> Option<String> {
        self.awaited.clone()
    }
}

fn lock(folders: &Mutex<Folders>) -> MutexGuard<'_, Folders> {
    folders.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Watches `folder` and those below it; returns their newest file.
async fn follow(folders: &Arc<Mutex<Folders>>, folder: PathBuf) -> Result<Option<Entry>, Error> {
    let folders = Arc::clone(folders);
    off_thread(move || lock(&folders).follow(&folder)).await
}

/// The newest file of all; also starts to watch new folders.
async fn find_newest(place: &Arc<Place>, folders: &Arc<Mutex<Folders>>) -> Result<Option<Entry>, Error> {
    match &**place {
        Place::Glob { .. } => follow(folders, place.folder()).await,
        Place::Folder(_) | Place::File(_) => {
            let place = Arc::clone(place);
            let mut newest = off_thread(move || place.newest()).await?;
            // The path as the system reports it: the picture shown last is known by its path.
            if let Some(entry) = &mut newest
                && let Ok(path) = std::path::absolute(&entry.path)
            {
                entry.path = path;
            }
            Ok(newest)
        }
    }
}

/// Reads the state of the folders, and of the file if a single one is watched.
async fn look(place: &Arc<Place>, folders: &Arc<Mutex<Folders>>) -> Result<State, Error> {
    let (place, folders) = (Arc::clone(place), Arc::clone(folders));
    off_thread(move || {
        let folder = place.folder();
        let metadata = std::fs::metadata(&folder);
        let metadata = metadata.map_err(|source| Error::File { doing: "watch", path: folder, source })?;
        Ok(State {
            device_and_inode: (metadata.dev(), metadata.ino()),
            modified_at: lock(&folders).changed_at(),
            file: place.file().map(|entry| (entry.modified_at, entry.len_bytes)),
        })
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn of_more_files_than_can_be_read_the_newest_wait() {
        let folder = tempfile::tempdir().unwrap();
        let url = SourceUrl::parse(&format!("images:{}?watch", folder.path().display())).unwrap();
        let mut source = Watched::open(&url, Place::Folder(folder.path().to_owned())).await.unwrap();
        let path = |number: usize| PathBuf::from(format!("{number}.jpg"));
        (0..MAX_WAITING + 3).for_each(|number| source.take(Sign::File(path(number))));
        assert_eq!(source.waiting.len(), MAX_WAITING);
        assert_eq!(source.waiting.front(), Some(&path(3)));
        assert_eq!(source.waiting.back(), Some(&path(MAX_WAITING + 2)));
    }

    #[tokio::test]
    async fn of_more_new_folders_than_are_kept_the_rest_is_looked_for_at_the_next_check() {
        let folder = tempfile::tempdir().unwrap();
        let pattern = format!("{}/*/*.jpg", folder.path().display());
        let url = SourceUrl::parse(&format!("images:{pattern}?watch")).unwrap();
        let mut source = Watched::open(&url, Place::find(&pattern).unwrap()).await.unwrap();
        for _ in 0..2 {
            (0..MAX_NEW_FOLDERS).for_each(|number| source.take(Sign::Folder(number.to_string().into())));
            assert_eq!((source.new_folders.len(), source.must_list), (MAX_NEW_FOLDERS, false));
        }
        source.take(Sign::Folder("another".into()));
        assert_eq!((source.new_folders.len(), source.must_list), (MAX_NEW_FOLDERS, true));
    }
}
