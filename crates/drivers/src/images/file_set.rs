//! Resolves a path to files: the JPEG images of a folder, the files that match a pattern, or a single file.

use std::cmp::Ordering;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use super::pattern::{OPTIONS, PathPattern};
use crate::{Error, masking, suggest};

/// The maximum number of files in one loop: enough for one picture every ten seconds for four months.
const MAX_FILES: usize = 1_000_000;

/// The maximum number of files and folders that are searched for the newest picture in the folders below a folder that
/// itself has no pictures. The search result is used only in a message.
const MAX_LOOKED_THROUGH: usize = 20_000;

/// The time limit for searching the newest picture in the folders below a folder that itself has no pictures. The
/// source opens only when this search has ended.
const SEARCH_TIME: Duration = Duration::from_secs(1);

/// The files that the path of an `images:PATH` source names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum FileSet {
    /// All `.jpg` and `.jpeg` files of a folder.
    Folder(PathBuf),
    /// All files that match a pattern.
    Glob { text: String, pattern: PathPattern },
    /// A single file.
    File(PathBuf),
}

/// The order of the files in a loop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SortOrder {
    /// Sorts by name, where `2.jpg` comes before `10.jpg`.
    Name,
    /// Sorts by the time of the last change.
    Time,
}

/// A file with its properties at the time of listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FileEntry {
    pub(super) path: PathBuf,
    pub(super) len_bytes: u64,
    pub(super) modified_at: SystemTime,
}

/// Checks a path without disk access. An empty path is an error, and so is the name of a video file.
pub(super) fn check(path: &str) -> Result<(), String> {
    if path.is_empty() {
        return Err(
            "names no path; write for example `images:/srv/pictures` or `images:/srv/*.jpg`".to_owned()
        );
    }
    match suggest::is_video_file(path) {
        true => Err(format!(
            "is a video, not a still picture; play it with ffmpeg: `{}`",
            suggest::VIDEO_FILE_COMMAND
        )),
        false => Ok(()),
    }
}

impl FileSet {
    /// Determines whether `path` is a folder, a file or a pattern.
    pub(super) fn resolve(path: &str) -> Result<Self, Error> {
        match std::fs::metadata(path) {
            Ok(metadata) if metadata.is_dir() => Ok(Self::Folder(path.into())),
            Ok(_) => Ok(Self::File(path.into())),
            Err(error) if error.kind() == io::ErrorKind::NotFound && path.contains(['*', '[']) => {
                let pattern = PathPattern::parse(path).map_err(|error| Error::Unusable {
                    what: masking::path(path),
                    problem: format!("not a valid pattern: {error}"),
                })?;
                Ok(Self::Glob { text: path.to_owned(), pattern })
            }
            Err(source) => Err(Error::File { doing: "find", path: path.into(), source }),
        }
    }

    /// Returns the folder to watch for files. For a pattern that spans several folders, this is their common parent.
    pub(super) fn folder(&self) -> PathBuf {
        match self {
            Self::Folder(path) => path.clone(),
            Self::Glob { pattern, .. } => pattern.base().to_owned(),
            Self::File(path) => {
                let parent = path.parent().filter(|parent| *parent != Path::new(""));
                parent.unwrap_or(Path::new(".")).to_owned()
            }
        }
    }

    /// Returns whether the file at `path`, in or below [`folder`](Self::folder), belongs to this set. Only the path
    /// decides, so the file need not exist.
    pub(super) fn matches(&self, path: &Path) -> bool {
        match self {
            Self::Folder(_) => is_jpeg(path) && !is_hidden(path),
            Self::File(file) => path.file_name() == file.file_name(),
            Self::Glob { pattern, .. } => pattern.matches(path),
        }
    }

    /// Returns whether files of this set may lie in or below the folder at `path`, which is itself below
    /// [`folder`](Self::folder).
    pub(super) fn may_contain_matches(&self, path: &Path) -> bool {
        match self {
            Self::Folder(_) | Self::File(_) => false,
            Self::Glob { pattern, .. } => pattern.may_contain_matches(path),
        }
    }

    /// Returns the message for viewers while there is no picture yet. Parts of paths that may be secret tokens are
    /// masked. Blocks.
    pub(super) fn waiting_reason(&self) -> String {
        match self {
            Self::Folder(top) => {
                let (written, shown) = (top.display().to_string(), shown_path(top));
                // A masked path cannot be copied into a command.
                let to_write = if shown == written { written.as_str() } else { "FOLDER" };
                match find_newest_below(top).as_ref().and_then(|newest| newest.path.parent()) {
                    Some(folder) => format!(
                        "no JPEG in {shown} yet; the newest JPEG in its subfolders is in {}: write \
                         `images:{to_write}/**/*.jpg?watch`",
                        shown_path(folder)
                    ),
                    None => format!("no JPEG in {shown} yet"),
                }
            }
            Self::Glob { text, .. } => format!("no file matches {} yet", masking::path(text)),
            Self::File(path) => format!("{} does not exist yet", shown_path(path)),
        }
    }

    /// Returns all files of this set, in no particular order.
    fn files(&self) -> Result<Vec<FileEntry>, Error> {
        let mut entries = Vec::new();
        match self {
            Self::File(path) => entries.extend(file_entry(path.clone())),
            Self::Folder(folder) => {
                let failed = |source| Error::File { doing: "list", path: folder.clone(), source };
                for file in std::fs::read_dir(folder).map_err(failed)?.take(MAX_FILES) {
                    let path = file.map_err(failed)?.path();
                    if self.matches(&path) {
                        entries.extend(file_entry(path));
                    }
                }
            }
            Self::Glob { text, .. } => {
                let paths = glob::glob_with(text, OPTIONS);
                let paths = paths.expect("the pattern was read before").filter_map(Result::ok);
                entries.extend(paths.filter_map(file_entry).take(MAX_FILES));
            }
        }
        Ok(entries)
    }

    /// Returns all files of this set in the given order. Blocks.
    ///
    /// # Errors
    /// [`Error::File`] when the folder cannot be listed; [`Error::Unusable`] when there is no picture.
    pub(super) fn list(&self, order: SortOrder) -> Result<Vec<FileEntry>, Error> {
        let mut entries = self.files()?;
        if entries.is_empty() {
            let (what, problem) = match self {
                Self::Folder(path) => {
                    (path.display().to_string(), "this folder contains no .jpg or .jpeg file")
                }
                Self::Glob { text, .. } => (text.clone(), "no file matches this pattern"),
                Self::File(path) => (path.display().to_string(), "this file is gone"),
            };
            return Err(Error::Unusable { what: masking::path(&what), problem: problem.to_owned() });
        }
        match order {
            SortOrder::Name => entries.sort_by(|a, b| natural_order(&a.path, &b.path)),
            SortOrder::Time => entries.sort_by(|a, b| {
                a.modified_at.cmp(&b.modified_at).then_with(|| natural_order(&a.path, &b.path))
            }),
        }
        Ok(entries)
    }

    /// Returns the file, if this set is a single file and that file exists; otherwise `None`. Blocks.
    pub(super) fn file(&self) -> Option<FileEntry> {
        match self {
            Self::File(path) => file_entry(path.clone()),
            Self::Folder(_) | Self::Glob { .. } => None,
        }
    }

    /// Returns the most recently changed file of this set, or `None` if the set has no files. Blocks.
    pub(super) fn newest(&self) -> Result<Option<FileEntry>, Error> {
        Ok(self.files()?.into_iter().max_by(by_time))
    }
}

fn by_time(a: &FileEntry, b: &FileEntry) -> Ordering {
    a.modified_at.cmp(&b.modified_at).then_with(|| natural_order(&a.path, &b.path))
}

/// Returns whether `a` changed after `b`. If both changed at the same time, the file whose name sorts later is
/// considered the newer one.
pub(super) fn is_newer(a: &FileEntry, b: &FileEntry) -> bool {
    by_time(a, b).is_gt()
}

/// Returns the most recently changed JPEG file that a search below `top` finds, or `None` if it finds no JPEG file.
/// The search ends early after [`MAX_LOOKED_THROUGH`] files and folders, or after [`SEARCH_TIME`].
fn find_newest_below(top: &Path) -> Option<FileEntry> {
    let (mut newest, mut looked_through) = (None::<FileEntry>, 0);
    let give_up_at = Instant::now() + SEARCH_TIME;
    let mut ahead = vec![top.to_owned()];
    while let Some(folder) = ahead.pop() {
        for file in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            looked_through += 1;
            if looked_through > MAX_LOOKED_THROUGH || Instant::now() >= give_up_at {
                return newest;
            }
            let path = file.path();
            if is_hidden(&path) {
                continue;
            }
            if file.file_type().is_ok_and(|kind| kind.is_dir()) {
                ahead.push(path);
            } else if is_jpeg(&path) {
                newest = newest.into_iter().chain(file_entry(path)).max_by(by_time);
            }
        }
    }
    newest
}

fn shown_path(path: &Path) -> String {
    masking::path(&path.display().to_string())
}

/// Returns the properties of the file at `path`; `None` if `path` is not a file or no longer exists.
pub(super) fn file_entry(path: PathBuf) -> Option<FileEntry> {
    let metadata = std::fs::metadata(&path).ok().filter(std::fs::Metadata::is_file)?;
    let modified_at = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
    Some(FileEntry { path, len_bytes: metadata.len(), modified_at })
}

fn is_jpeg(path: &Path) -> bool {
    let extension = path.extension().unwrap_or_default();
    extension.eq_ignore_ascii_case("jpg") || extension.eq_ignore_ascii_case("jpeg")
}

/// Returns whether a file name begins with a dot. Tools write to `.name.jpg` first and rename the file when it is
/// complete.
fn is_hidden(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."))
}

/// Compares paths in natural order: runs of digits by their value, everything else byte by byte.
fn natural_order(a: &Path, b: &Path) -> Ordering {
    let (mut a, mut b) = (a.as_os_str().as_encoded_bytes(), b.as_os_str().as_encoded_bytes());
    let whole = (a, b);
    loop {
        let ((digits_a, rest_a), (digits_b, rest_b)) = (split_digits(a), split_digits(b));
        if !digits_a.is_empty() && !digits_b.is_empty() {
            // Without leading zeros the longer number is the larger one.
            let order = digits_a.len().cmp(&digits_b.len()).then_with(|| digits_a.cmp(digits_b));
            if order.is_ne() {
                return order;
            }
            (a, b) = (rest_a, rest_b);
            continue;
        }
        match (a.split_first(), b.split_first()) {
            (Some((first_a, rest_a)), Some((first_b, rest_b))) if first_a == first_b => {
                (a, b) = (rest_a, rest_b);
            }
            (Some((first_a, _)), Some((first_b, _))) => return first_a.cmp(first_b),
            // `01` and `1` are the same number but different names.
            (None, None) => return whole.0.cmp(whole.1),
            (first_a, first_b) => return first_a.is_some().cmp(&first_b.is_some()),
        }
    }
}

/// Splits `text` after the digits at its start. Returns these digits without leading zeros (`0` if all of them are
/// zeros), and the rest of `text`.
fn split_digits(text: &[u8]) -> (&[u8], &[u8]) {
    let len = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (digits, rest) = text.split_at(len);
    let zeros = digits.iter().take_while(|byte| **byte == b'0').count();
    (&digits[zeros.min(len.saturating_sub(1))..], rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_ordered_as_people_count() {
        let mut names = ["b", "a10", "a2", "a02", "a", "a2b", "a1000000000000000000000", "a0", "A3"];
        names.sort_by(|a, b| natural_order(Path::new(a), Path::new(b)));
        assert_eq!(names, ["A3", "a", "a0", "a02", "a2", "a2b", "a10", "a1000000000000000000000", "b"]);
    }

    #[test]
    fn films_are_refused_with_the_line_that_plays_them() {
        let problem = check("my film.MP4").unwrap_err();
        assert!(problem.contains("-i VIDEO "), "{problem}");
        assert!(check("").is_err());
        assert!(check("pictures").is_ok());
    }

    #[test]
    fn a_pattern_is_watched_in_its_folder_and_only_there() {
        let file_set = |text: &str| FileSet::resolve(text).unwrap();
        let pattern = file_set("/nowhere/cam-*.jpg");
        assert_eq!(pattern.folder(), Path::new("/nowhere"));
        assert!(pattern.matches(Path::new("/nowhere/cam-7.jpg")));
        assert!(!pattern.matches(Path::new("/nowhere/other.jpg")));
        assert_eq!(file_set("*.nothing").folder(), std::env::current_dir().unwrap());
        assert_eq!(file_set("/nowhere/*/cam.jpg").folder(), Path::new("/nowhere"));
    }
}
