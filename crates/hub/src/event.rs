//! What happened to a camera or the server, told to whoever keeps or shows it.
//!
//! A small channel: whoever tells an event never waits, and a reader that is too slow is told how many it missed. What
//! is kept of events, and where, does not belong here.

use std::fmt;
use std::time::SystemTime;

use tokio::sync::broadcast;

/// How many events wait for a reader that is slower than they come.
const CAPACITY: usize = 1024;

/// What kind of thing happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum EventKind {
    /// The server started.
    Started,
    /// The server was told to end.
    Stopped,
    /// A camera's device or connection was opened.
    Opened,
    /// A camera's first frame came.
    Live,
    /// A camera failed; the text says why.
    Lost,
    /// A camera that was open yielded nothing for too long; that it is lost follows.
    Stalled,
    /// A camera that nobody watches was closed.
    Closed,
    /// A camera's controls were set; the text says which to what.
    Controls,
    /// Viewers were refused for want of a place; the count says how many since that was last told.
    Refused,
    /// What a person or a program wanted to be remembered; the text is the label.
    Mark,
    /// Events that could not be kept; the count says how many.
    Dropped,
    /// Events that were taken away for their age; the count says how many.
    Pruned,
    /// Wrong passwords; the text says from which address, the count how many since that was last told.
    Denied,
}

impl EventKind {
    /// All kinds.
    pub const ALL: [Self; 13] = [
        Self::Started,
        Self::Stopped,
        Self::Opened,
        Self::Live,
        Self::Lost,
        Self::Stalled,
        Self::Closed,
        Self::Controls,
        Self::Refused,
        Self::Mark,
        Self::Dropped,
        Self::Pruned,
        Self::Denied,
    ];

    /// Its name, as in the API and in the index.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::Stopped => "stopped",
            Self::Opened => "opened",
            Self::Live => "live",
            Self::Lost => "lost",
            Self::Stalled => "stalled",
            Self::Closed => "closed",
            Self::Controls => "controls",
            Self::Refused => "refused",
            Self::Mark => "mark",
            Self::Dropped => "dropped",
            Self::Pruned => "pruned",
            Self::Denied => "denied",
        }
    }

    /// The kind of this name.
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
    /// When it happened, by the wall clock.
    pub at: SystemTime,
    /// What kind of thing it was.
    pub kind: EventKind,
    /// The camera's name; `None` for the server itself.
    pub camera: Option<String>,
    /// What there is to say of it: a reason, a label.
    pub text: Option<String>,
    /// How many, where that is to be told.
    pub count: Option<u64>,
}

impl Event {
    /// An event of the server itself that says no more than its kind.
    pub fn new(kind: EventKind, at: SystemTime) -> Self {
        Self { at, kind, camera: None, text: None, count: None }
    }

    /// The same event, of the camera called `name`.
    #[must_use]
    pub fn of(mut self, name: impl Into<String>) -> Self {
        self.camera = Some(name.into());
        self
    }

    /// The same event, with something to say.
    #[must_use]
    pub fn saying(mut self, text: impl Into<String>) -> Self {
        self.text = Some(text.into());
        self
    }

    /// The same event, with a number.
    #[must_use]
    pub fn counting(mut self, count: u64) -> Self {
        self.count = Some(count);
        self
    }
}

/// The events of a server as they are told. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Events(broadcast::Sender<Event>);

impl Default for Events {
    fn default() -> Self {
        Self(broadcast::Sender::new(CAPACITY))
    }
}

impl Events {
    /// Tells `event` to all who read; without a reader it is forgotten.
    pub fn tell(&self, event: Event) {
        // Fails only where nobody reads.
        self.0.send(event).ok();
    }

    /// Reads all events that are told from now on.
    pub fn subscribe(&self) -> EventReader {
        EventReader(self.0.subscribe())
    }
}

/// A position in the events of a server.
#[derive(Debug)]
pub struct EventReader(broadcast::Receiver<Event>);

/// The next thing in an [`EventReader`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// An event.
    Event(Event),
    /// So many events came faster than they were read, and are forgotten.
    Missed(u64),
}

impl EventReader {
    /// The next event; `None` when nobody can tell any more. Cancel safe.
    pub async fn next(&mut self) -> Option<Told> {
        match self.0.recv().await {
            Ok(event) => Some(Told::Event(event)),
            Err(broadcast::error::RecvError::Lagged(count)) => Some(Told::Missed(count)),
            Err(broadcast::error::RecvError::Closed) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(count: u64) -> Event {
        Event::new(EventKind::Mark, SystemTime::UNIX_EPOCH).of("yard").saying("a fox").counting(count)
    }

    #[tokio::test]
    async fn events_come_in_their_order_and_end_with_the_last_teller() {
        let events = Events::default();
        events.tell(event(0));
        let mut reader = events.subscribe();
        events.tell(event(1));
        events.clone().tell(event(2));
        assert_eq!(reader.next().await, Some(Told::Event(event(1))));
        drop(events);
        assert_eq!(reader.next().await, Some(Told::Event(event(2))));
        assert_eq!(reader.next().await, None);
    }

    #[tokio::test]
    async fn a_slow_reader_is_told_how_many_it_missed() {
        let events = Events::default();
        let mut reader = events.subscribe();
        let more = 7;
        (0..CAPACITY as u64 + more).for_each(|count| events.tell(event(count)));
        assert_eq!(reader.next().await, Some(Told::Missed(more)));
        assert_eq!(reader.next().await, Some(Told::Event(event(more))));
    }

    #[test]
    fn kinds_have_names_of_their_own() {
        for kind in EventKind::ALL {
            assert_eq!(EventKind::from_name(kind.as_str()), Some(kind));
        }
        assert_eq!(EventKind::from_name("Lost"), None);
    }
}
