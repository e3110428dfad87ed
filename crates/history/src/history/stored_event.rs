//! An event of the history with its id, as a Rust struct ([`Entry`]) and as JSON.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use framecast_media::escape_hidden_json;

use crate::entry::Entry;

/// An event of the history with its id, as a Rust struct ([`Entry`]) and as JSON.
#[derive(Debug)]
pub struct StoredEvent {
    /// The event as a Rust struct.
    pub entry: Arc<Entry>,
    json: OnceLock<Bytes>,
}

impl StoredEvent {
    pub(crate) fn new(entry: Entry) -> Self {
        Self { entry: Arc::new(entry), json: OnceLock::new() }
    }

    /// Returns the event as JSON, in which [hidden](framecast_media::is_hidden) characters are escaped. The first call
    /// creates the JSON; later calls share it.
    pub fn json(&self) -> &Bytes {
        self.json.get_or_init(|| {
            let json =
                serde_json::to_string(&*self.entry).expect("an entry is an object of texts and numbers");
            Bytes::from(escape_hidden_json(&json).into_owned())
        })
    }
}

/// Returns the first events of `events`, up to and including the event with which their total size reaches `max_bytes`.
pub(super) fn up_to<'a>(
    max_bytes: usize,
    events: impl Iterator<Item = &'a Arc<StoredEvent>>,
) -> impl Iterator<Item = &'a Arc<StoredEvent>> {
    let mut bytes = 0;
    events.take_while(move |stored| {
        let is_taken = bytes < max_bytes;
        bytes += stored.entry.size_bytes();
        is_taken
    })
}
