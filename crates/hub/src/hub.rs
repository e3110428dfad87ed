//! Finds cameras by name. A [`Feed`] is a camera as its viewers see it. Cameras are added, replaced and removed at any
//! time; what looks for a camera asks the hub each time.

use std::sync::{Arc, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::SystemTime;

use framecast_media::unpoisoned;

use crate::{Events, Feed, ViewerLimits};

/// All cameras of a server, in the order in which they were added or [put](Self::reorder). Clones share the cameras.
#[derive(Debug, Clone, Default)]
pub struct Hub {
    state: Arc<RwLock<HubState>>,
    events: Events,
}

#[derive(Debug, Default)]
struct HubState {
    feeds: Vec<Arc<Feed>>,
    /// The number of cameras and sub streams that were ever added, which is also the number of the newest.
    added: u64,
}

/// The error from adding a camera whose name another camera already has. Contains the name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("camera `{0}` already exists")]
pub struct NameTaken(pub String);

/// A camera that took the place of another camera of the same name.
#[derive(Debug, Clone)]
pub struct Replacement {
    /// The camera that the hub no longer finds. Its viewers stay until the caller [ends](Feed::end_with) it.
    pub old: Arc<Feed>,
    /// The camera that the hub finds from now on, in the state idle.
    pub new: Arc<Feed>,
}

impl HubState {
    fn create(&mut self, name: &str, limits: ViewerLimits, events: &Events, now: SystemTime) -> Arc<Feed> {
        self.added += 1;
        Arc::new(Feed::new(self.added, name.to_owned(), limits, Some(events.clone()), now))
    }

    fn position(&self, name: &str) -> Option<usize> {
        self.feeds.iter().position(|feed| feed.name() == name)
    }
}

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
        let mut state = self.write();
        if state.position(name).is_some() {
            return Err(NameTaken(name.to_owned()));
        }
        let feed = state.create(name, viewer_limits, &self.events, now);
        state.feeds.push(Arc::clone(&feed));
        Ok(feed)
    }

    /// Gives the camera `feed` a sub stream in the state idle, unless it has one, and returns its sub stream. `now` is
    /// the current time. The sub stream has the limits of the camera, an id of its own, and for messages the name of
    /// the camera with ` (sub)` behind it. The hub does not find it by that name.
    pub fn add_sub(&self, feed: &Feed, now: SystemTime) -> Arc<Feed> {
        let mut state = self.write();
        let sub = feed.sub_or_create(|| {
            state.added += 1;
            let name = format!("{} (sub)", feed.name());
            Feed::new(state.added, name, feed.viewer_limits(), None, now)
        });
        Arc::clone(sub)
    }

    /// Removes the camera called `name`, so that the hub no longer finds it, and returns it; `None` if there is no such
    /// camera. Its viewers stay until the caller [ends](Feed::end_with) the camera.
    pub fn remove(&self, name: &str) -> Option<Arc<Feed>> {
        let mut state = self.write();
        let at = state.position(name)?;
        Some(state.feeds.remove(at))
    }

    /// Puts a new camera with the limits `viewer_limits` in the place of the camera called `name`. `now` is the current
    /// time. Returns both; `None` if there is no such camera. The viewers of the old camera stay with it until the
    /// caller [ends](Feed::end_with) it.
    pub fn replace(&self, name: &str, viewer_limits: ViewerLimits, now: SystemTime) -> Option<Replacement> {
        let mut state = self.write();
        let at = state.position(name)?;
        let new = state.create(name, viewer_limits, &self.events, now);
        let old = std::mem::replace(&mut state.feeds[at], Arc::clone(&new));
        Some(Replacement { old, new })
    }

    /// Puts the cameras called `names` first, in this order. The others follow in the order that they had. Names that
    /// no camera has are ignored.
    pub fn reorder(&self, names: &[&str]) {
        let place = |feed: &Arc<Feed>| names.iter().position(|name| *name == feed.name());
        // Stable, so that the others keep their order.
        self.write().feeds.sort_by_key(|feed| place(feed).unwrap_or(names.len()));
    }

    /// Returns the camera called `name`; `None` if there is no such camera.
    pub fn get(&self, name: &str) -> Option<Arc<Feed>> {
        let state = self.read();
        state.feeds.iter().find(|feed| feed.name() == name).cloned()
    }

    /// Returns the default camera, which is the first one; `None` if there is no camera.
    pub fn first(&self) -> Option<Arc<Feed>> {
        self.read().feeds.first().cloned()
    }

    /// Returns the channel that carries the events of the cameras and the server.
    pub fn events(&self) -> &Events {
        &self.events
    }

    /// Returns all cameras in their order.
    pub fn feeds(&self) -> Vec<Arc<Feed>> {
        self.read().feeds.clone()
    }

    fn read(&self) -> RwLockReadGuard<'_, HubState> {
        unpoisoned(self.state.read())
    }

    fn write(&self) -> RwLockWriteGuard<'_, HubState> {
        unpoisoned(self.state.write())
    }
}

#[cfg(test)]
mod tests {
    #![warn(clippy::disallowed_methods)]

    use framecast_media::Anchor;
    use framecast_testkit::{frame, number_of};

    use super::*;
    use crate::{CameraState, CameraStatus, Delivery, DemandKind, Event, EventKind, Received, Rendition};

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

    fn names(hub: &Hub) -> Vec<String> {
        hub.feeds().iter().map(|feed| feed.name().to_owned()).collect()
    }

    #[test]
    fn a_removed_camera_is_not_found_and_its_name_is_free() {
        let hub = Hub::new();
        let old = hub.add("yard", SystemTime::UNIX_EPOCH).unwrap();
        hub.add("front", SystemTime::UNIX_EPOCH).unwrap();
        assert_eq!(hub.remove("yard").unwrap().id(), old.id());
        assert!(hub.get("yard").is_none() && hub.remove("yard").is_none());
        assert_eq!(names(&hub), ["front"]);
        let new = hub.add("yard", SystemTime::UNIX_EPOCH).unwrap();
        assert!(new.id() > old.id());
        assert_eq!(names(&hub), ["front", "yard"]);
    }

    #[test]
    fn a_replacement_has_the_place_and_the_name_but_nothing_else_of_the_old_camera() {
        let hub = Hub::new();
        let old = hub.add("yard", SystemTime::UNIX_EPOCH).unwrap();
        hub.add("front", SystemTime::UNIX_EPOCH).unwrap();
        assert!(old.begin_epoch(Anchor::of(&frame(1))).publish(frame(1)));
        let limits = ViewerLimits { max_viewers: Some(3), ..ViewerLimits::default() };
        let replacement = hub.replace("yard", limits, SystemTime::UNIX_EPOCH).unwrap();
        assert_eq!((replacement.old.id(), replacement.new.viewer_limits()), (old.id(), limits));
        assert_eq!(hub.get("yard").unwrap().id(), replacement.new.id());
        assert_eq!((old.stats().frames, replacement.new.stats().frames), (1, 0));
        assert_eq!(names(&hub), ["yard", "front"]);
        assert!(hub.replace("attic", limits, SystemTime::UNIX_EPOCH).is_none());
    }

    #[tokio::test]
    async fn a_sub_stream_is_a_feed_that_only_its_camera_has_and_reports_no_events() {
        let hub = Hub::new();
        let yard = hub.add("yard", SystemTime::UNIX_EPOCH).unwrap();
        assert!(yard.sub().is_none());
        let sub = hub.add_sub(&yard, SystemTime::UNIX_EPOCH);
        assert_eq!((sub.name(), sub.viewer_limits()), ("yard (sub)", yard.viewer_limits()));
        assert!(sub.id() > yard.id() && sub.sub().is_none());
        assert_eq!(hub.add_sub(&yard, SystemTime::UNIX_EPOCH).id(), sub.id());
        assert_eq!(hub.add("attic", SystemTime::UNIX_EPOCH).unwrap().id(), sub.id() + 1);
        assert_eq!(names(&hub), ["yard", "attic"]);
        assert!(hub.get("yard (sub)").is_none());
        let _viewer = sub.demand(DemandKind::Viewer);
        assert_eq!((sub.viewer_count(), yard.viewer_count()), (1, 0));
        let mut events = hub.events().subscribe();
        sub.send(Event::new(EventKind::Lost, SystemTime::UNIX_EPOCH));
        yard.send(Event::new(EventKind::Live, SystemTime::UNIX_EPOCH));
        let live = Event::new(EventKind::Live, SystemTime::UNIX_EPOCH).with_camera("yard");
        assert_eq!(events.next().await, Some(Received::Event(live)));
    }

    #[test]
    fn cameras_are_put_into_the_order_asked_for() {
        let hub = Hub::new();
        for name in ["yard", "front", "attic", "door"] {
            hub.add(name, SystemTime::UNIX_EPOCH).unwrap();
        }
        hub.reorder(&["attic", "none", "yard"]);
        assert_eq!(names(&hub), ["attic", "yard", "front", "door"]);
    }

    #[test]
    fn an_ended_camera_shows_its_last_slate_in_each_channel_and_takes_nothing_more() {
        let feed = Hub::new().add("yard", SystemTime::UNIX_EPOCH).unwrap();
        let small = Rendition::default().with_width(320);
        let mut publisher = feed.begin_epoch(Anchor::of(&frame(1)));
        assert!(publisher.publish(frame(1)));
        let [mut main, mut rendition] =
            [Rendition::default(), small].map(|rendition| feed.watch(rendition, Delivery::Latest).unwrap());
        let encoder = feed.main_channel().publisher();
        feed.end_with(&frame(50));
        assert!(feed.has_ended());
        assert!(!publisher.publish(frame(2)));
        assert!(!feed.begin_epoch(Anchor::of(&frame(3))).publish(frame(3)));
        assert!(!encoder.publish_slate(frame(4)) && !feed.main_channel().publisher().publish_slate(frame(4)));
        feed.slate_publisher().publish(frame(5));
        feed.suspend();
        let mut late = feed.watch(small.with_fps(5.0), Delivery::Latest).unwrap();
        for subscriber in [&mut main, &mut rendition, &mut late] {
            let last = subscriber.try_next().unwrap();
            assert!(last.is_slate);
            assert_eq!(number_of(&last.frame.data), Some(50));
            assert!(subscriber.has_ended() && subscriber.try_next().is_none());
        }
        assert_eq!(feed.renditions().borrow().len(), 1, "none is made for the late one");
    }
}
