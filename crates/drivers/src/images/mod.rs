//! The driver for pictures in files. It either loops over the JPEG images of a folder or pattern, or watches a folder
//! for new images, such as those that printers and timelapse tools write.

mod file_set;
mod folder_watcher;
mod incomplete;
mod loop_source;
mod pattern;
mod watch_source;

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use framecast_media::Bytes;

use self::file_set::{FileSet, SortOrder};
use self::loop_source::LoopSource;
use self::watch_source::WatchSource;
use crate::{BoxFuture, Driver, Error, OpenContext, Options, Source, SourceUrl};

/// The driver for `images:`. `images:PATH?fps=1&order=name` loops over the `.jpg` and `.jpeg` files of a folder, over
/// the files that match a pattern with `*` and `[…]`, or over a single file. `images:PATH?watch` shows the newest file,
/// and then each new one.
pub(crate) struct Images;

const OPTIONS: &[&str] = &["fps", "order", "watch"];

impl Driver for Images {
    fn scheme(&self) -> &'static str {
        "images"
    }

    fn check(&self, url: &SourceUrl) -> Result<(), Error> {
        let (path, options) = url.path_and_options(OPTIONS)?;
        file_set::check(path).map_err(|problem| Error::BadUrl { url: url.to_string(), problem })?;
        options.frame_interval(1.0)?;
        order(&options)?;
        if options.is_set("watch")? && (options.get("fps").is_some() || options.get("order").is_some()) {
            return Err(options.refuse("watch", "shows files as they appear: leave `fps` and `order` out"));
        }
        Ok(())
    }

    fn check_available(&self, url: &SourceUrl) -> Result<(), Error> {
        let (path, _) = url.path_and_options(OPTIONS)?;
        let folder = FileSet::resolve(path)?.folder();
        let found = std::fs::metadata(&folder).map(drop);
        found.map_err(|source| Error::File { doing: "find", path: folder, source })
    }

    fn open<'a>(
        &'a self,
        context: &'a OpenContext,
        url: &'a SourceUrl,
    ) -> BoxFuture<'a, Result<Box<dyn Source>, Error>> {
        Box::pin(async move {
            self.check(url)?;
            let (path, options) = url.path_and_options(OPTIONS)?;
            let path_to_find = path.to_owned();
            let file_set = run_blocking(move || FileSet::resolve(&path_to_find)).await?;
            Ok(if options.is_set("watch")? {
                Box::new(WatchSource::open(context, file_set).await?) as Box<dyn Source>
            } else {
                let (interval, order) = (options.frame_interval(1.0)?, order(&options)?);
                Box::new(LoopSource::open(context, file_set, order, interval).await?)
            })
        })
    }
}

fn order(options: &Options<'_>) -> Result<SortOrder, Error> {
    match options.get("order") {
        None | Some("name") => Ok(SortOrder::Name),
        Some("time") => Ok(SortOrder::Time),
        Some(_) => Err(options.refuse("order", "must be `name` or `time`")),
    }
}

/// Runs `read`, which may block (a disk can be slow, a network share can hang), outside the camera's thread. If the
/// returned future is dropped, `read` still runs to its end, so it must have no effect other than reading.
async fn run_blocking<T: Send + 'static>(read: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(read).await {
        Ok(read) => read,
        Err(failed) => match failed.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // Only the runtime's shutdown cancels the read, and it also cancels the task that waits here.
            Err(_) => std::future::pending().await,
        },
    }
}

/// Reads at most `limit_bytes + 1` bytes of the file at `path`. Returns them with the time of the file's last change.
async fn read_file(path: PathBuf, limit_bytes: usize) -> io::Result<(Bytes, SystemTime)> {
    run_blocking(move || read_file_blocking(&path, limit_bytes)).await
}

/// Returns `None` if the file at `path` still has the length and the time of the last change in `known`. Otherwise
/// reads the file as [`read_file`] does. A file longer than `limit_bytes` has the length `limit_bytes + 1` in `known`,
/// because no more bytes of it are read.
async fn read_if_changed(
    path: PathBuf,
    limit_bytes: usize,
    known: Option<(usize, SystemTime)>,
) -> io::Result<Option<(Bytes, SystemTime)>> {
    run_blocking(move || {
        if let Some(known) = known {
            let metadata = std::fs::metadata(&path)?;
            let len_bytes = metadata.len().min(limit_bytes as u64 + 1) as usize;
            if metadata.modified().is_ok_and(|modified_at| (len_bytes, modified_at) == known) {
                return Ok(None);
            }
        }
        read_file_blocking(&path, limit_bytes).map(Some)
    })
    .await
}

fn read_file_blocking(path: &Path, limit_bytes: usize) -> io::Result<(Bytes, SystemTime)> {
    // Opening a named pipe would block until a program writes to it.
    if !std::fs::metadata(path)?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "is not a file"));
    }
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    let limit_bytes = limit_bytes as u64 + 1;
    let mut data = Vec::with_capacity(metadata.len().min(limit_bytes) as usize);
    file.take(limit_bytes).read_to_end(&mut data)?;
    Ok((data.into(), metadata.modified().unwrap_or_else(|_| SystemTime::now())))
}

#[cfg(test)]
mod tests {
    #![warn(clippy::disallowed_methods)]

    use super::*;

    #[tokio::test]
    async fn a_file_that_is_known_is_read_again_only_when_it_changed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("broken.jpg");
        std::fs::write(&path, [7; 100]).unwrap();
        for limit_bytes in [1000, 10] {
            let (data, modified_at) =
                read_if_changed(path.clone(), limit_bytes, None).await.unwrap().unwrap();
            assert_eq!(data.len(), 100.min(limit_bytes + 1));
            let known = Some((data.len(), modified_at));
            assert!(read_if_changed(path.clone(), limit_bytes, known).await.unwrap().is_none());
            for known in [(data.len() - 1, modified_at), (data.len(), SystemTime::UNIX_EPOCH)] {
                assert!(read_if_changed(path.clone(), limit_bytes, Some(known)).await.unwrap().is_some());
            }
        }
        std::fs::remove_file(&path).unwrap();
        assert!(read_if_changed(path, 10, Some((1, SystemTime::UNIX_EPOCH))).await.is_err());
    }
}
