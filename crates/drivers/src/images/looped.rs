//! Files shown one after the other at a fixed rate, in a loop.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use framecast_media::Frame;
use tokio::time::Instant;
use tracing::warn;

use super::list::{Entry, Order, Place};
use super::{off_thread, read_file};
use crate::ticks::Ticks;
use crate::{BoxFuture, Door, Error, Source, SourceUrl, shown};

/// If the files together are no larger than this, the loop reads them once and caches them in memory.
const MAX_HELD_BYTES: u64 = 64 * 1024 * 1024;

/// The shortest time between two listings. The loop lists at the start of a round, to find added and removed files.
const LIST_INTERVAL: Duration = Duration::from_secs(2);

/// A loop over files. Pictures are due at fixed times from the opening on; if reading falls behind, the loop skips
/// files instead of showing them late.
pub(super) struct Looped {
    place: Arc<Place>,
    order: Order,
    interval: Duration,
    max_picture_bytes: usize,
    files: Vec<Slot>,
    is_held: bool,
    listed_at: Instant,
    /// The file that is due next.
    index: usize,
    /// The number of the interval in which it is due.
    tick: u64,
    began_at: Instant,
    /// How many files in a row were unreadable.
    unreadable: usize,
    ticks: Ticks,
    door: Door,
}

/// A file of the loop.
struct Slot {
    entry: Entry,
    /// The checked picture, if cached.
    held: Option<Frame>,
    /// The log already has its error.
    is_reported: bool,
}

impl Slot {
    fn report(&mut self, fault: &dyn std::fmt::Display) {
        if !self.is_reported {
            warn!("{:?}: {fault}", shown::file(&self.entry.path));
            self.is_reported = true;
        }
    }
}

impl Looped {
    pub(super) async fn open(
        url: &SourceUrl,
        place: Place,
        order: Order,
        interval: Duration,
    ) -> Result<Self, Error> {
        let mut source = Self {
            place: Arc::new(place),
            order,
            interval,
            max_picture_bytes: url.max_picture_bytes(),
            files: Vec::new(),
            is_held: false,
            listed_at: Instant::now(),
            index: 0,
            tick: 0,
            began_at: Instant::now(),
            unreadable: 0,
            ticks: Ticks::new(interval),
            door: Door::new(url),
        };
        source.list().await?;
        source.began_at = Instant::now();
        source.ticks = Ticks::new(interval);
        Ok(source)
    }

    /// Lists the files again and keeps the state of those that did not change.
    async fn list(&mut self) -> Result<(), Error> {
        let (place, order) = (Arc::clone(&self.place), self.order);
        let entries = off_thread(move || place.list(order)).await?;
        let total_bytes: u64 = entries.iter().map(|entry| entry.len_bytes).sum();
        self.is_held = total_bytes <= MAX_HELD_BYTES;
        let known = self.files.drain(..).map(|slot| (slot.entry.path.clone(), slot));
        let mut known: HashMap<PathBuf, Slot> = known.collect();
        let is_held = self.is_held;
        self.files.extend(entries.into_iter().map(|entry| match known.remove(&entry.path) {
            Some(slot) if slot.entry == entry => Slot { held: slot.held.filter(|_| is_held), ..slot },
            _ => Slot { entry, held: None, is_reported: false },
        }));
        self.index %= self.files.len();
        self.listed_at = Instant::now();
        Ok(())
    }

    /// When the interval number `tick` begins.
    fn due_at(&self, tick: u64) -> Instant {
        let since = (self.interval.as_nanos() as u64).saturating_mul(tick);
        self.began_at + Duration::from_nanos(since)
    }

    /// Waits until the next picture is due, and skips pictures whose interval is over.
    async fn wait(&mut self) -> Result<(), Error> {
        self.ticks.wait_until(self.due_at(self.tick)).await;
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
            let slot = &mut self.files[self.index];
            let read = match &slot.held {
                Some(_) => None,
                None => Some(read_file(slot.entry.path.clone(), self.max_picture_bytes).await),
            };
            // No await follows: if the future was dropped before, the position did not change.
            self.index += 1;
            self.tick += 1;
            let data = match read {
                None => {
                    self.unreadable = 0;
                    let now = SystemTime::now();
                    return Ok(slot.held.as_ref().map(|picture| self.door.readmit(picture, now)));
                }
                Some(Ok((data, _))) => data,
                Some(Err(source)) => {
                    slot.report(&source);
                    self.unreadable += 1;
                    if self.unreadable >= self.files.len() {
                        let path = self.files[self.index - 1].entry.path.clone();
                        return Err(Error::File { doing: "read", path, source });
                    }
                    continue;
                }
            };
            self.unreadable = 0;
            return match self.door.admit(data, SystemTime::now()) {
                Ok(frame) => {
                    // Does not cache a file that grew after its listing: the memory bound uses the listed length.
                    if self.is_held && frame.data.len() as u64 <= slot.entry.len_bytes + 1024 {
                        slot.held = Some(frame.clone());
                    }
                    Ok(Some(frame))
                }
                Err(error) => {
                    slot.report(&error);
                    Err(error)
                }
            };
        }
    }
}

impl Source for Looped {
    fn next_frame(&mut self) -> BoxFuture<'_, Result<Option<Frame>, Error>> {
        Box::pin(self.next())
    }

    fn repaired_frames(&self) -> u64 {
        self.door.repaired()
    }

    fn longest_pause(&self) -> Duration {
        self.interval
    }
}
