//! A folder watched for new pictures.
//!
//! The system tells of files that are created, written, closed and renamed. One that is not whole yet is looked at
//! again at the next sign of it; what was shown last is not shown twice. Every two seconds the folder itself is
//! looked at, for what the system does not tell: that it is gone, or that another machine wrote into it, be it into the
//! one file that is watched or into one that was not whole before.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use framecast_media::codec::jpeg;
use framecast_media::{Bytes, Frame};
use notify::event::{AccessKind, AccessMode, EventKind, ModifyKind};
use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use tracing::warn;

use super::list::Place;
use super::{off_thread, read_file};
use crate::{BoxFuture, Door, Error, Source, SourceUrl};

/// Signs that the system may be ahead of us; when there are more, the newest file is looked for in their place.
const MAX_SIGNS: usize = 1024;

/// Files that wait to be read; where more come than can be read, the oldest are left out.
const MAX_WAITING: usize = 256;

/// How often the folder itself is looked at.
const CHECK_INTERVAL: Duration = Duration::from_secs(2);

/// How soon a file that was not whole is looked at again where the system only tells that it grows: each look reads all
/// that is there.
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(100);

/// A sign that a file may have a new picture in it.
#[derive(Debug, PartialEq, Eq)]
struct Sign {
    path: PathBuf,
    /// Its writer has closed or renamed it: what is not whole now is broken.
    is_final: bool,
}

/// What tells one state of the folder from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct State {
    device_and_inode: (u64, u64),
    modified_at: Option<SystemTime>,
    /// Time of the last change and length of the one file that is watched.
    file: Option<(SystemTime, u64)>,
}

pub(super) struct Watched {
    place: Arc<Place>,
    folder: PathBuf,
    state: State,
    signs: mpsc::Receiver<Sign>,
    /// Signs were lost.
    has_overflown: Arc<AtomicBool>,
    _watcher: RecommendedWatcher,
    waiting: VecDeque<Sign>,
    /// The file that was not whole when it was read last.
    unfinished: Option<PathBuf>,
    /// The newest file is to be looked for; kept where a caller gives up waiting for that.
    must_list: bool,
    /// Whether the system told of anything since the last check.
    was_told: bool,
    check_at: Instant,
    /// Name and content of the file that was shown last.
    last: Option<(OsString, Bytes)>,
    max_picture_bytes: usize,
    door: Door,
}

impl Watched {
    pub(super) async fn open(url: &SourceUrl, place: Place) -> Result<Self, Error> {
        let Some(folder) = place.folder() else {
            let problem = "cannot be watched: only the last part of its path may hold a pattern".to_owned();
            return Err(Error::BadUrl { url: url.to_string(), problem });
        };
        let place = Arc::new(place);
        let state = look(folder.clone(), Arc::clone(&place)).await?;
        let has_overflown = Arc::new(AtomicBool::new(false));
        let (sender, signs) = mpsc::channel(MAX_SIGNS);
        let watcher = watch(&folder, Arc::clone(&place), sender, Arc::clone(&has_overflown))?;
        let mut source = Self {
            place,
            folder,
            state,
            signs,
            has_overflown,
            _watcher: watcher,
            waiting: VecDeque::new(),
            unfinished: None,
            must_list: false,
            was_told: false,
            check_at: Instant::now() + CHECK_INTERVAL,
            last: None,
            max_picture_bytes: url.max_picture_bytes(),
            door: Door::new(url),
        };
        source.find_newest().await?;
        Ok(source)
    }

    async fn next(&mut self) -> Result<Option<Frame>, Error> {
        loop {
            while let Ok(sign) = self.signs.try_recv() {
                self.enqueue(sign);
            }
            if let Some(sign) = self.waiting.front() {
                let read = read_file(sign.path.clone(), self.max_picture_bytes).await;
                let sign = self.waiting.pop_front().expect("nothing was taken out while the file was read");
                // A file that vanished was replaced or tidied away.
                if let Ok((data, modified_at)) = read
                    && let Some(frame) = self.consider(&sign, data, modified_at)?
                {
                    return Ok(Some(frame));
                }
                continue;
            }
            tokio::select! {
                sign = self.signs.recv() => match sign {
                    Some(sign) => self.enqueue(sign),
                    None => return Err(self.lost(io::Error::other("the system stopped telling of changes"))),
                },
                () = sleep_until(self.check_at) => self.check().await?,
            }
        }
    }

    /// Puts a sign in the queue, together with an earlier one of the same file.
    fn enqueue(&mut self, sign: Sign) {
        self.was_told = true;
        if !sign.is_final && self.unfinished.as_ref() == Some(&sign.path) {
            self.check_at = self.check_at.min(Instant::now() + LOOK_AGAIN_AFTER);
            return;
        }
        match self.waiting.iter_mut().find(|waiting| waiting.path == sign.path) {
            Some(waiting) => waiting.is_final |= sign.is_final,
            None => {
                if self.waiting.len() == MAX_WAITING {
                    self.waiting.pop_front();
                }
                self.waiting.push_back(sign);
            }
        }
    }

    /// The frame in a file, unless it was shown already or is still being written.
    fn consider(
        &mut self,
        sign: &Sign,
        data: Bytes,
        modified_at: SystemTime,
    ) -> Result<Option<Frame>, Error> {
        self.unfinished.take_if(|path| *path == sign.path);
        let name = sign.path.file_name().unwrap_or_default();
        let is_shown = self.last.as_ref().is_some_and(|(last, shown)| last == name && *shown == data);
        if data.is_empty() || is_shown {
            return Ok(None);
        }
        if !sign.is_final && jpeg::scan(&data).is_err() {
            self.unfinished = Some(sign.path.clone());
            return Ok(None);
        }
        let frame = self.door.admit(data.clone(), modified_at);
        if let Err(error) = &frame {
            warn!("{:?}: {error}", sign.path);
        }
        self.last = Some((name.to_owned(), data));
        frame.map(Some)
    }

    async fn check(&mut self) -> Result<(), Error> {
        let state = look(self.folder.clone(), Arc::clone(&self.place)).await?;
        if state.device_and_inode != self.state.device_and_inode {
            return Err(self.lost(io::Error::new(io::ErrorKind::NotFound, "another folder is in its place")));
        }
        let is_missed = state != self.state && !self.was_told;
        self.must_list |= is_missed || self.has_overflown.swap(false, Ordering::Relaxed);
        if self.must_list {
            self.find_newest().await?;
            self.must_list = false;
        }
        if let Some(path) = self.unfinished.take() {
            self.waiting.push_back(Sign { path, is_final: false });
        }
        self.state = state;
        self.was_told = false;
        self.check_at = Instant::now() + CHECK_INTERVAL;
        Ok(())
    }

    async fn find_newest(&mut self) -> Result<(), Error> {
        let place = Arc::clone(&self.place);
        let newest = off_thread(move || place.newest()).await?;
        self.waiting.extend(newest.map(|entry| Sign { path: entry.path, is_final: false }));
        Ok(())
    }

    fn lost(&self, source: io::Error) -> Error {
        Error::File { doing: "watch", path: self.folder.clone(), source }
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
}

/// Looks at the folder itself, and at the file where it is one that is watched.
async fn look(folder: PathBuf, place: Arc<Place>) -> Result<State, Error> {
    let path = folder.clone();
    let looked = off_thread(move || (std::fs::metadata(path), place.file())).await;
    match looked {
        (Ok(metadata), file) => Ok(State {
            device_and_inode: (metadata.dev(), metadata.ino()),
            modified_at: metadata.modified().ok(),
            file: file.map(|entry| (entry.modified_at, entry.len_bytes)),
        }),
        (Err(source), _) => Err(Error::File { doing: "watch", path: folder, source }),
    }
}

/// Has the system tell of changes in `folder` until the watcher is dropped.
fn watch(
    folder: &Path,
    place: Arc<Place>,
    signs: mpsc::Sender<Sign>,
    has_overflown: Arc<AtomicBool>,
) -> Result<RecommendedWatcher, Error> {
    let tell = move |event: notify::Result<notify::Event>| {
        let Ok(event) = event else {
            has_overflown.store(true, Ordering::Relaxed);
            return;
        };
        let sign = sign(&event).filter(|sign| place.matches(&sign.path));
        let is_lost = sign.is_some_and(|sign| signs.try_send(sign).is_err());
        if is_lost || event.need_rescan() {
            has_overflown.store(true, Ordering::Relaxed);
        }
    };
    notify::recommended_watcher(tell)
        .and_then(|mut watcher| watcher.watch(folder, RecursiveMode::NonRecursive).map(|()| watcher))
        .map_err(|error| Error::File { doing: "watch", path: folder.to_owned(), source: io_error(error) })
}

/// What an event of the system means for the file that it is about; of the two in a renaming, the new name.
fn sign(event: &notify::Event) -> Option<Sign> {
    let is_final = match event.kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) | EventKind::Modify(ModifyKind::Name(_)) => {
            true
        }
        EventKind::Create(_) | EventKind::Modify(ModifyKind::Data(_) | ModifyKind::Any) | EventKind::Any => {
            false
        }
        _ => return None,
    };
    event.paths.last().map(|path| Sign { path: path.clone(), is_final })
}

fn io_error(error: notify::Error) -> io::Error {
    match error.kind {
        notify::ErrorKind::Io(error) => error,
        notify::ErrorKind::MaxFilesWatch => {
            io::Error::other("the system has no watch left; raise fs.inotify.max_user_watches")
        }
        _ => io::Error::other(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn open(folder: &Path) -> Watched {
        let url = SourceUrl::parse(&format!("images:{}?watch", folder.display())).unwrap();
        Watched::open(&url, Place::Folder(folder.to_owned())).await.unwrap()
    }

    fn sign(path: &str, is_final: bool) -> Sign {
        Sign { path: path.into(), is_final }
    }

    #[tokio::test]
    async fn of_more_files_than_can_be_read_the_newest_wait() {
        let folder = tempfile::tempdir().unwrap();
        let mut source = open(folder.path()).await;
        let sign = |number: usize| sign(&format!("{number}.jpg"), true);
        (0..MAX_WAITING + 3).for_each(|number| source.enqueue(sign(number)));
        assert_eq!(source.waiting.len(), MAX_WAITING);
        assert_eq!(source.waiting.front(), Some(&sign(3)));
        assert_eq!(source.waiting.back(), Some(&sign(MAX_WAITING + 2)));
    }

    #[tokio::test]
    async fn a_file_that_grows_is_read_now_and_then_until_it_is_whole_and_once_when_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let mut source = open(folder.path()).await;
        let picture = Bytes::from_static(include_bytes!("../../../../testdata/ffmpeg-mjpeg.jpg"));
        let (growing, whole) = (sign("a.jpg", false), sign("a.jpg", true));
        let now = SystemTime::now();
        assert!(source.consider(&growing, picture.slice(..500), now).unwrap().is_none());
        source.enqueue(sign("a.jpg", false));
        assert!(source.waiting.is_empty(), "not read for each sign");
        assert!(source.check_at <= Instant::now() + LOOK_AGAIN_AFTER);
        source.enqueue(sign("a.jpg", true));
        assert_eq!(source.waiting, [sign("a.jpg", true)]);
        assert!(source.consider(&whole, picture, now).unwrap().is_some());
        assert_eq!(source.unfinished, None, "not looked at again");
    }
}
