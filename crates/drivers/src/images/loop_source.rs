//! Shows files one after the other at a fixed rate, in a loop.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use framecast_media::Frame;
use tokio::time::Instant;
use tracing::warn;

use super::file_set::{FileEntry, FileSet, SortOrder};
use super::{read_file, run_blocking};
use crate::interval_timer::IntervalTimer;
use crate::{BoxFuture, CaptureTime, Error, FrameBuilder, OpenContext, Source, masking};

/// The maximum total size of the loop's files, in bytes, at which the files are cached. Up to this size, the loop reads
/// each file only once and keeps it in memory.
const MAX_CACHED_BYTES: u64 = 64 * 1024 * 1024;

/// The minimum time between two listings of the files. The loop lists its files at the start of a round, to find added
/// and removed ones.
const LIST_INTERVAL: Duration = Duration::from_secs(2);

/// A loop over files. Pictures are due at fixed times, counted from the opening. If reading falls behind, the loop
/// skips files instead of showing them late.
pub(super) struct LoopSource {
    file_set: Arc<FileSet>,
    order: SortOrder,
    interval: Duration,
    max_picture_bytes: usize,
    files: Vec<LoopFile>,
    is_cached: bool,
    listed_at: Instant,
    /// The index in `files` of the file that is due next.
    index: usize,
    /// The number of the interval in which the file at `index` is due, counted from the opening of the source.
    tick: u64,
    began_at: Instant,
    /// The number of files in a row, up to now, that could not be read.
    unreadable: usize,
    timer: IntervalTimer,
    builder: FrameBuilder,
}

/// A file of the loop.
struct LoopFile {
    entry: FileEntry,
    /// The frame made from this file, kept in memory; `None` if the file is not cached.
    cached: Option<Frame>,
    /// Whether an error of this file has already been logged.
    is_reported: bool,
}

impl LoopFile {
    fn report(&mut self, fault: &dyn std::fmt::Display) {
        if !self.is_reported {
            warn!("{:?}: {fault}", masking::file(&self.entry.path));
            self.is_reported = true;
        }
    }
}

impl LoopSource {
    pub(super) async fn open(
        context: &OpenContext,
        file_set: FileSet,
        order: SortOrder,
        interval: Duration,
    ) -> Result<Self, Error> {
        let mut source = Self {
            file_set: Arc::new(file_set),
            order,
            interval,
            max_picture_bytes: context.max_picture_bytes(),
            files: Vec::new(),
            is_cached: false,
            listed_at: Instant::now(),
            index: 0,
            tick: 0,
            began_at: Instant::now(),
            unreadable: 0,
            timer: IntervalTimer::new(interval),
            builder: FrameBuilder::new(context),
        };
        source.list().await?;
        source.began_at = Instant::now();
        source.timer = IntervalTimer::new(interval);
        Ok(source)
    }

    /// Updates the list of the loop's files. Keeps the [`LoopFile`]s of files that did not change.
    async fn list(&mut self) -> Result<(), Error> {
        let (file_set, order) = (Arc::clone(&self.file_set), self.order);
        let entries = run_blocking(move || file_set.list(order)).await?;
        let total_bytes: u64 = entries.iter().map(|entry| entry.len_bytes).sum();
        self.is_cached = total_bytes <= MAX_CACHED_BYTES;
        let known = self.files.drain(..).map(|file| (file.entry.path.clone(), file));
        let mut known: HashMap<PathBuf, LoopFile> = known.collect();
        let is_cached = self.is_cached;
        self.files.extend(entries.into_iter().map(|entry| match known.remove(&entry.path) {
            Some(file) if file.entry == entry => {
                LoopFile { cached: file.cached.filter(|_| is_cached), ..file }
            }
            _ => LoopFile { entry, cached: None, is_reported: false },
        }));
        self.index %= self.files.len();
        self.listed_at = Instant::now();
        Ok(())
    }

    /// Returns when the interval with the number `tick` begins.
    fn due_at(&self, tick: u64) -> Instant {
        let since = (self.interval.as_nanos() as u64).saturating_mul(tick);
        self.began_at + Duration::from_nanos(since)
    }

    /// Waits until the next picture is due, and skips pictures whose interval has passed.
    async fn wait(&mut self) -> Result<(), Error> {
        self.timer.wait_until(self.due_at(self.tick)).await;
        let now = (self.began_at.elapsed().as_nanos() / self.interval.as_nanos()) as u64;
        let missed = now.saturating_sub(self.tick);
        self.tick += missed;
        self.index = self.index.saturating_add(usize::try_from(missed).unwrap_or(usize::MAX));
        if self.index >= self.files.len() {
            self.index %= self.files.len();
            if self.listed_at.elapsed() >= LIST_INTERVAL {
                self.list().await?;
            }
        }
        Ok(())
    }

    async fn next(&mut self) -> Result<Option<Frame>, Error> {
        loop {
            self.wait().await?;
            let file = &mut self.files[self.index];
            let read = match &file.cached {
                Some(_) => None,
                None => Some(read_file(file.entry.path.clone(), self.max_picture_bytes).await),
            };
            // No await follows. If the future was dropped before this point, the position has not changed.
            self.index += 1;
            self.tick += 1;
            let data = match read {
                None => {
                    self.unreadable = 0;
                    let cached = file.cached.as_ref();
                    return Ok(cached.map(|picture| self.builder.repeat(picture, CaptureTime::Now)));
                }
                Some(Ok((data, _))) => data,
                Some(Err(source)) => {
                    file.report(&source);
                    self.unreadable += 1;
                    if self.unreadable >= self.files.len() {
                        let path = self.files[self.index - 1].entry.path.clone();
                        return Err(Error::File { doing: "read", path, source });
                    }
                    continue;
                }
            };
            self.unreadable = 0;
            return match self.builder.jpeg_frame(data, CaptureTime::Now) {
                Ok(frame) => {
                    // A file that grew after it was listed is not cached, because the memory limit is based on the
                    // listed length.
                    if self.is_cached && frame.data.len() as u64 <= file.entry.len_bytes + 1024 {
                        file.cached = Some(frame.clone());
                    }
                    Ok(Some(frame))
                }
                Err(error) => {
                    file.report(&error);
                    Err(error)
                }
            };
        }
    }
}

impl Source for LoopSource {
    fn next_frame(&mut self) -> BoxFuture<'_, Result<Option<Frame>, Error>> {
        Box::pin(self.next())
    }

    fn repaired_frames(&self) -> u64 {
        self.builder.repaired_frames()
    }

    fn max_frame_gap(&self) -> Duration {
        self.interval
    }
}
