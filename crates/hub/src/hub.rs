//! Camera name → its feed.

use std::sync::{Arc, RwLock};
use std::time::SystemTime;

use crate::Feed;

/// All cameras of a server by name, in the order in which they were added. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Hub(Arc<RwLock<Vec<Arc<Feed>>>>);

/// A camera of this name is there already.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is a camera `{0}` already")]
pub struct NameTaken(pub String);

impl Hub {
    /// A hub without cameras.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a camera that is idle at `now`.
    ///
    /// # Errors
    /// [`NameTaken`] when there is one of this name.
    pub fn add(&self, name: &str, now: SystemTime) -> Result<Arc<Feed>, NameTaken> {
        let mut feeds = self.0.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        if feeds.iter().any(|feed| feed.name() == name) {
            return Err(NameTaken(name.to_owned()));
        }
        let feed = Arc::new(Feed::new(name.to_owned(), now));
        feeds.push(Arc::clone(&feed));
        Ok(feed)
    }

    /// The camera of this name.
    pub fn get(&self, name: &str) -> Option<Arc<Feed>> {
        self.feeds().into_iter().find(|feed| feed.name() == name)
    }

    /// The default camera: the first that was added.
    pub fn first(&self) -> Option<Arc<Feed>> {
        self.feeds().into_iter().next()
    }

    /// All cameras, in their order.
    pub fn feeds(&self) -> Vec<Arc<Feed>> {
        self.0.read().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }
}
