//! Events as they happen, from a place on: a cursor over what is at hand, and over the index for what is not any more.
//!
//! A listener that is slow, or comes back after a while, costs no memory: it falls back to the index, and misses nothing
//! that was kept.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;
use tracing::debug;

use crate::history::Kept;
use crate::query::Filter;
use crate::{Entry, Error, History};

/// How many events are taken at once.
const PAGE: usize = 200;

/// The wait before the index is asked again after it failed.
const RETRY: Duration = Duration::from_secs(1);

/// A position in the events of a history.
#[derive(Debug)]
pub struct Listener {
    history: History,
    filter: Filter,
    after: i64,
    newest: watch::Receiver<i64>,
    ready: VecDeque<Arc<Kept>>,
}

impl Listener {
    pub(crate) fn new(history: History, filter: Filter, after: i64, newest: watch::Receiver<i64>) -> Self {
        Self { history, filter, after, newest, ready: VecDeque::new() }
    }

    /// The next event. Cancel safe. `None` when the history is gone.
    pub async fn next(&mut self) -> Option<Arc<Kept>> {
        loop {
            if let Some(kept) = self.ready.pop_front() {
                return Some(kept);
            }
            // Marked as seen first: what comes while this looks is looked for again.
            self.newest.mark_unchanged();
            match self.history.recent_after(self.after, PAGE) {
                Some(page) if page.is_empty() => self.newest.changed().await.ok()?,
                Some(page) => self.take(page),
                None => match self.older().await {
                    Ok(page) => self.take(page),
                    Err(error) => {
                        debug!("events cannot be read again: {error}");
                        tokio::time::sleep(RETRY).await;
                    }
                },
            }
        }
    }

    /// What the index has after this position. Where that is nothing, what is at hand comes next.
    async fn older(&mut self) -> Result<Vec<Arc<Kept>>, Error> {
        let until = self.history.before_recent();
        let entries = self.history.index().after_id(self.after, PAGE).await?;
        if entries.is_empty() {
            self.after = self.after.max(until);
        }
        Ok(entries.into_iter().map(kept).collect())
    }

    fn take(&mut self, page: Vec<Arc<Kept>>) {
        if let Some(last) = page.last() {
            self.after = last.entry.id;
        }
        let filter = &self.filter;
        self.ready.extend(page.into_iter().filter(|kept| filter.wants(&kept.entry.by_ref())));
    }
}

fn kept(entry: Entry) -> Arc<Kept> {
    let json = serde_json::to_vec(&entry).expect("an entry is an object of texts and numbers");
    Arc::new(Kept { entry: Arc::new(entry), json: Bytes::from(json) })
}
