//! Events, which report what happened to a camera or the server. Other parts of the program store or show the events.
//!
//! A small broadcast channel carries the events. The sender of an event never waits. A reader that is too slow loses
//! events, and is told how many.

use std::fmt;
use std::time::SystemTime;

use tokio::sync::broadcast;

/// The maximum number of events that the channel buffers for a slow reader.
const CAPACITY: usize = 1024;

/// The kind of an event: what happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum EventKind {
    /// The server started.
    Started,
    /// The server was asked to stop.
    Stopped,
    /// A camera's device or connection was opened.
    Opened,
    /// A camera delivered its first frame after it was opened.
    Live,
    /// A camera failed. The event's text says why.
    Lost,
    /// An open camera delivered no frame for too long. A `Lost` event follows.
    Stalled,
    /// The server closed a camera, because nobody watches it.
    Closed,
    /// A camera was removed from the server, or replaced by one with other settings; the event's text says which.
    Removed,
    /// A client set a camera's controls, such as the brightness. The event's text names each control and its value.
    Controls,
    /// The server refused viewers because a limit on their number was reached. The event's count is the number of
    /// refusals since the previous `Refused` event.
    Refused,
    /// A person or a program marked this moment in the history. The event's text is the label of the mark.
    Mark,
    /// The history lost events because it could not store them. The event's count is the number of lost events.
    Dropped,
    /// The history deleted events because of their age. The event's count is the number of deleted events.
    Pruned,
    /// Clients sent wrong passwords. The event's text contains one address, and the number of other addresses. The
    /// event's count is the number of wrong passwords that the event reports.
    Denied,
}

impl EventKind {
    /// All kinds of events.
    pub const ALL: [Self; 14] = [
        Self::Started,
        Self::Stopped,
        Self::Opened,
        Self::Live,
        Self::Lost,
        Self::Stalled,
        Self::Closed,
        Self::Removed,
        Self::Controls,
        Self::Refused,
        Self::Mark,
        Self::Dropped,
        Self::Pruned,
        Self::Denied,
    ];

    /// Returns the kind's name, as the API and the history's database use it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::Stopped => "stopped",
            Self::Opened => "opened",
            Self::Live => "live",
            Self::Lost => "lost",
            Self::Stalled => "stalled",
            Self::Closed => "closed",
            Self::Removed => "removed",
            Self::Controls => "controls",
            Self::Refused => "refused",
            Self::Mark => "mark",
            Self::Dropped => "dropped",
            Self::Pruned => "pruned",
            Self::Denied => "denied",
        }
    }

    /// Returns the kind of event called `name`; `None` if no kind has this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }
}

impl fmt::Display for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Something that happened to a camera or the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The time of the event, by the wall clock.
    pub at: SystemTime,
    /// The kind of event.
    pub kind: EventKind,
    /// The name of the camera that the event is about; `None` for an event of the server itself.
    pub camera: Option<String>,
    /// Details, such as a reason or a label; `None` for kinds of events that have no details.
    pub text: Option<String>,
    /// The number of things that the event reports, such as refusals; `None` for kinds of events that count nothing.
    pub count: Option<u64>,
}

impl Event {
    /// Creates an event of the server itself, at the time `at`, without a text and a count.
    pub fn new(kind: EventKind, at: SystemTime) -> Self {
        Self { at, kind, camera: None, text: None, count: None }
    }

    /// Returns the event as an event of the camera called `name`.
    #[must_use]
    pub fn with_camera(mut self, name: impl Into<String>) -> Self {
        self.camera = Some(name.into());
        self
    }

    /// Returns the event with `text` as its text.
    #[must_use]
    pub fn with_text(mut self, text: impl Into<String>) -> Self {
        self.text = Some(text.into());
        self
    }

    /// Returns the event with `count` as its count.
    #[must_use]
    pub fn with_count(mut self, count: u64) -> Self {
        self.count = Some(count);
        self
    }
}

/// The channel that carries the events of a server to all readers. Clones share the channel.
#[derive(Debug, Clone)]
pub struct Events(broadcast::Sender<Event>);

impl Default for Events {
    fn default() -> Self {
        Self(broadcast::Sender::new(CAPACITY))
    }
}

impl Events {
    /// Sends `event` to all current readers. If there is no reader, the event is dropped.
    pub fn send(&self, event: Event) {
        // Fails only if there is no reader.
        self.0.send(event).ok();
    }

    /// Creates a reader that receives all events sent from now on.
    pub fn subscribe(&self) -> EventReader {
        EventReader(self.0.subscribe())
    }
}

/// A reader of a server's events.
#[derive(Debug)]
pub struct EventReader(broadcast::Receiver<Event>);

/// What an [`EventReader`] returns next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Received {
    /// An event.
    Event(Event),
    /// The number of events that the reader lost at this place, because it was too slow.
    Missed(u64),
}

impl EventReader {
    /// Waits for the next event and returns it, or the number of events that this reader lost. Returns `None` when all
    /// clones of [`Events`] are dropped. Cancel safe.
    pub async fn next(&mut self) -> Option<Received> {
        match self.0.recv().await {
            Ok(event) => Some(Received::Event(event)),
            Err(broadcast::error::RecvError::Lagged(count)) => Some(Received::Missed(count)),
            Err(broadcast::error::RecvError::Closed) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    #![warn(clippy::disallowed_methods)]

    use super::*;

    fn event(count: u64) -> Event {
        Event::new(EventKind::Mark, SystemTime::UNIX_EPOCH)
            .with_camera("yard")
            .with_text("a fox")
            .with_count(count)
    }

    #[tokio::test]
    async fn events_come_in_their_order_and_end_with_the_last_teller() {
        let events = Events::default();
        events.send(event(0));
        let mut reader = events.subscribe();
        events.send(event(1));
        events.clone().send(event(2));
        assert_eq!(reader.next().await, Some(Received::Event(event(1))));
        drop(events);
        assert_eq!(reader.next().await, Some(Received::Event(event(2))));
        assert_eq!(reader.next().await, None);
    }

    #[tokio::test]
    async fn a_slow_reader_is_told_how_many_it_missed() {
        let events = Events::default();
        let mut reader = events.subscribe();
        let more = 7;
        (0..CAPACITY as u64 + more).for_each(|count| events.send(event(count)));
        assert_eq!(reader.next().await, Some(Received::Missed(more)));
        assert_eq!(reader.next().await, Some(Received::Event(event(more))));
    }

    #[test]
    fn kinds_have_names_of_their_own() {
        for kind in EventKind::ALL {
            assert_eq!(EventKind::from_name(kind.as_str()), Some(kind));
        }
        assert_eq!(EventKind::from_name("Lost"), None);
    }
}
