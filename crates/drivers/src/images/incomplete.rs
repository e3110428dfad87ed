//! Tracks files that were incomplete when they were read: either still being written, or broken.
//!
//! Time shows which of the two: a file that has not changed for two seconds is no longer being written, so it is
//! broken. The caller reports which files it has read and when; this module says which to read again and which are
//! broken. Nothing here accesses the disk.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

/// How long an incomplete file must be unchanged to be considered broken. If the system reports no changes, this is
/// also the interval between two reads of the file.
pub(super) const BROKEN_AFTER: Duration = Duration::from_secs(2);

/// The minimum time between two reads of a growing file, if the system reports the file's changes. There is a minimum
/// because each read covers the whole file.
pub(super) const RECHECK_DELAY: Duration = Duration::from_millis(100);

/// The maximum number of tracked files, which is more than tools write at the same time.
const MAX_FILES: usize = 16;

/// The result of recording one read of an incomplete file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The file may still become complete.
    Wait,
    /// The file is broken. This is returned only once as long as the file does not change.
    Broken,
}

/// The incomplete files, by path.
#[derive(Debug, Default)]
pub(super) struct IncompleteFiles(HashMap<PathBuf, IncompleteFile>);

#[derive(Debug)]
struct IncompleteFile {
    len_bytes: usize,
    modified_at: SystemTime,
    read_at: Instant,
    unchanged_since: Instant,
    recheck_at: Instant,
    is_reported: bool,
}

impl IncompleteFiles {
    /// Records that the file at `path` was read at `now` and was incomplete. Returns [`Verdict::Broken`] once the file
    /// has been unchanged for [`BROKEN_AFTER`].
    pub(super) fn record(
        &mut self,
        path: &Path,
        len_bytes: usize,
        modified_at: SystemTime,
        now: Instant,
    ) -> Verdict {
        let recheck_at = now + BROKEN_AFTER;
        let fresh = IncompleteFile {
            len_bytes,
            modified_at,
            read_at: now,
            unchanged_since: now,
            recheck_at,
            is_reported: false,
        };
        let Some(file) = self.0.get_mut(path) else {
            if self.0.len() >= MAX_FILES {
                self.drop_oldest();
            }
            self.0.insert(path.to_owned(), fresh);
            return Verdict::Wait;
        };
        if (file.len_bytes, file.modified_at) != (len_bytes, modified_at) {
            *file = fresh;
            return Verdict::Wait;
        }
        file.read_at = now;
        file.recheck_at = if file.is_reported { recheck_at } else { file.unchanged_since + BROKEN_AFTER };
        if file.is_reported || now < file.recheck_at {
            return Verdict::Wait;
        }
        file.is_reported = true;
        file.recheck_at = recheck_at;
        Verdict::Broken
    }

    fn drop_oldest(&mut self) {
        let oldest = self.0.iter().min_by_key(|(_, file)| file.unchanged_since);
        if let Some(path) = oldest.map(|(path, _)| path.clone()) {
            self.0.remove(&path);
        }
    }

    /// Returns whether the file at `path`, for which the system has reported a change, was incomplete when it was last
    /// read. If so, schedules a read of the file soon.
    pub(super) fn recheck_soon(&mut self, path: &Path) -> bool {
        let Some(file) = self.0.get_mut(path) else { return false };
        file.recheck_at = file.recheck_at.min(file.read_at + RECHECK_DELAY);
        true
    }

    /// Returns the length in bytes and the time of the last change of the file at `path` if the file is considered
    /// broken; otherwise `None`. As long as the file keeps this length and time, reading it again is useless.
    pub(super) fn broken(&self, path: &Path) -> Option<(usize, SystemTime)> {
        let file = self.0.get(path).filter(|file| file.is_reported)?;
        Some((file.len_bytes, file.modified_at))
    }

    /// Forgets the file at `path`, because it is complete or no longer exists.
    pub(super) fn forget(&mut self, path: &Path) {
        self.0.remove(path);
    }

    /// Returns when the next read of a file is due; `None` if there are no incomplete files.
    pub(super) fn due_at(&self) -> Option<Instant> {
        self.0.values().map(|file| file.recheck_at).min()
    }

    /// Returns the files that are due to be read at `now`, and schedules the next read of each.
    pub(super) fn take_due(&mut self, now: Instant) -> Vec<PathBuf> {
        let due = self.0.iter_mut().filter(|(_, file)| file.recheck_at <= now);
        due.map(|(path, file)| {
            file.recheck_at = now + BROKEN_AFTER;
            path.clone()
        })
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATH: &str = "a.jpg";

    fn after(start: Instant, millis: u64) -> Instant {
        start + Duration::from_millis(millis)
    }

    #[test]
    fn only_a_file_that_stays_as_it_is_is_broken_and_that_once() {
        let (mut files, path, start) = (IncompleteFiles::default(), Path::new(PATH), Instant::now());
        let mut note = |len, millis| files.record(path, len, SystemTime::UNIX_EPOCH, after(start, millis));
        assert_eq!(note(500, 0), Verdict::Wait);
        assert_eq!(note(500, 1999), Verdict::Wait);
        assert_eq!(note(700, 2000), Verdict::Wait, "it grew");
        assert_eq!(note(700, 3999), Verdict::Wait);
        assert_eq!(note(700, 4000), Verdict::Broken);
        assert_eq!(note(700, 9000), Verdict::Wait, "told before");
        assert_eq!(note(800, 9500), Verdict::Wait);
        assert_eq!(note(800, 11_500), Verdict::Broken, "another content");
        assert_eq!(files.broken(path), Some((800, SystemTime::UNIX_EPOCH)));
        files.record(path, 900, SystemTime::UNIX_EPOCH, after(start, 12_000));
        assert_eq!(files.broken(path), None, "it grew");
    }

    #[test]
    fn a_file_that_grows_is_read_now_and_then() {
        let (mut files, path, start) = (IncompleteFiles::default(), Path::new(PATH), Instant::now());
        assert!(!files.recheck_soon(path));
        files.record(path, 1, SystemTime::UNIX_EPOCH, start);
        assert_eq!(files.due_at(), Some(start + BROKEN_AFTER));
        for _ in 0..100 {
            assert!(files.recheck_soon(path));
        }
        assert_eq!(files.due_at(), Some(start + RECHECK_DELAY));
        assert!(files.take_due(start).is_empty());
        assert_eq!(files.take_due(start + RECHECK_DELAY), [path]);
        assert!(files.take_due(start + RECHECK_DELAY).is_empty(), "given once");
        files.forget(path);
        assert_eq!(files.due_at(), None);
    }

    #[test]
    fn of_many_files_the_newest_are_kept() {
        let (mut files, start) = (IncompleteFiles::default(), Instant::now());
        for number in 0..100 {
            let path = PathBuf::from(number.to_string());
            files.record(&path, 1, SystemTime::UNIX_EPOCH, after(start, number));
        }
        assert_eq!(files.0.len(), MAX_FILES);
        assert!(files.recheck_soon(Path::new("99")) && !files.recheck_soon(Path::new("0")));
    }
}
