//! Finds cameras by name. A [`Feed`] is a camera as its viewers see it.

use std::sync::{Arc, RwLock};
use std::time::SystemTime;

use crate::{Events, Feed, ViewerLimits};

/// All cameras of a server, in the order in which they were added. Clones share the cameras.
#[derive(Debug, Clone, Default)]
pub struct Hub {
    feeds: Arc<RwLock<Vec<Arc<Feed>>>>,
    events: Events,
}

/// The error from adding a camera whose name another camera already has. Contains the name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("camera `{0}` already exists")]
pub struct NameTaken(pub String);

impl Hub {
    /// Creates a hub without cameras.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a camera called `name` with the default viewer limits. `now` is the current time. The camera starts in the
    /// state idle (closed, because nobody watches).
    ///
    /// # Errors
    /// [`NameTaken`] if there is a camera of this name.
    pub fn add(&self, name: &str, now: SystemTime) -> Result<Arc<Feed>, NameTaken> {
        self.add_with_limits(name, ViewerLimits::default(), now)
    }

    /// Adds a camera called `name` with the limits `viewer_limits`. `now` is the current time. The camera starts in the
    /// state idle (closed, because nobody watches).
    ///
    /// # Errors
    /// [`NameTaken`] if there is a camera of this name.
    pub fn add_with_limits(
        &self,
        name: &str,
        viewer_limits: ViewerLimits,
        now: SystemTime,
    ) -> Result<Arc<Feed>, NameTaken> {
        let mut feeds = self.feeds.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        if feeds.iter().any(|feed| feed.name() == name) {
            return Err(NameTaken(name.to_owned()));
        }
        let feed = Arc::new(Feed::new(name.to_owned(), viewer_limits, self.events.clone(), now));
        feeds.push(Arc::clone(&feed));
        Ok(feed)
    }

    /// Returns the camera called `name`; `None` if there is no such camera.
    pub fn get(&self, name: &str) -> Option<Arc<Feed>> {
        self.feeds().into_iter().find(|feed| feed.name() == name)
    }

    /// Returns the default camera, which is the first camera that was added; `None` if there is no camera.
    pub fn first(&self) -> Option<Arc<Feed>> {
        self.feeds().into_iter().next()
    }

    /// Returns the channel that carries the events of the cameras and the server.
    pub fn events(&self) -> &Events {
        &self.events
    }

    /// Returns all cameras, in the order in which they were added.
    pub fn feeds(&self) -> Vec<Arc<Feed>> {
        self.feeds.read().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
mod tests {
    use framecast_media::Anchor;
    use framecast_testkit::frame;

    use super::*;
    use crate::{CameraState, CameraStatus, Delivery, Rendition};

    #[test]
    fn cameras_are_found_by_name_and_keep_their_order() {
        let hub = Hub::new();
        assert!(hub.first().is_none());
        for name in ["yard", "front", "attic"] {
            hub.add(name, SystemTime::UNIX_EPOCH).unwrap();
        }
        let names: Vec<String> = hub.feeds().iter().map(|feed| feed.name().to_owned()).collect();
        assert_eq!(names, ["yard", "front", "attic"]);
        assert_eq!(hub.first().unwrap().name(), "yard");
        assert_eq!(hub.get("front").unwrap().name(), "front");
        assert!(hub.get("Front").is_none());
    }

    #[test]
    fn a_name_is_taken_once() {
        let hub = Hub::new();
        hub.add("yard", SystemTime::UNIX_EPOCH).unwrap();
        let error = hub.clone().add("yard", SystemTime::UNIX_EPOCH).unwrap_err();
        assert_eq!(error.to_string(), "camera `yard` already exists");
        assert_eq!(hub.feeds().len(), 1);
    }

    #[test]
    fn each_camera_has_a_channel_status_and_counts_of_its_own() {
        let hub = Hub::new();
        let yard = hub.add("yard", SystemTime::UNIX_EPOCH).unwrap();
        let front = hub.add("front", SystemTime::UNIX_EPOCH).unwrap();
        let _viewer = yard.watch(Rendition::default(), Delivery::Latest).unwrap();
        yard.set_status(CameraStatus::new(CameraState::Live, SystemTime::UNIX_EPOCH));
        assert!(yard.begin_epoch(Anchor::of(&frame(1))).publish(frame(1)));
        yard.count_broken("byte 7: no end".to_owned());
        yard.count_repaired(2);
        assert_eq!((front.main_channel().subscriber_count(), front.status().state), (0, CameraState::Idle));
        assert_eq!((front.stats().frames, front.stats().broken), (0, 0));
        assert!(front.main_channel().newest().is_none());
        let stats = yard.stats();
        assert_eq!((stats.frames, stats.broken, stats.repaired), (1, 1, 2));
        assert_eq!(stats.last_broken.as_deref(), Some("byte 7: no end"));
    }

    #[test]
    fn a_camera_that_is_not_live_has_no_rate() {
        let hub = Hub::new();
        let feed = hub.add("yard", SystemTime::UNIX_EPOCH).unwrap();
        feed.set_status(CameraStatus::new(CameraState::Live, SystemTime::UNIX_EPOCH));
        let mut publisher = feed.begin_epoch(Anchor::of(&frame(0)));
        assert!((0..60).all(|n| publisher.publish(frame(n))));
        assert!((feed.stats().frames_per_second.unwrap() - 30.0).abs() < 0.1);
        feed.set_status(CameraStatus::new(CameraState::Lost, SystemTime::UNIX_EPOCH));
        assert_eq!(feed.stats().frames_per_second, None);
    }
}
