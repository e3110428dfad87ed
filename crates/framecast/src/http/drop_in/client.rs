//! The options of uStreamer's `/stream` clients, which `/state` lists.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant, SystemTime};

use framecast_outputs::{Record, percent_encoded};
use serde::Serialize;

use super::query::Query;

/// The longest key; a longer one is cut. It appears in a cookie and in `/state`.
const MAX_KEY_CHARS: usize = 64;

/// The shortest time over which a rate is measured.
const WINDOW: Duration = Duration::from_secs(1);

/// The options of one `/stream` client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Wanted {
    pub(super) extra_headers: bool,
    pub(super) advance_headers: bool,
    pub(super) dual_final_frames: bool,
    pub(super) zero_data: bool,
    /// Percent-encoded; `0` for none.
    pub(super) key: String,
}

impl Wanted {
    pub(super) fn of(query: &Query) -> Self {
        let key = query.get("key").filter(|key| !key.is_empty()).unwrap_or("0");
        let key: String = key.chars().take(MAX_KEY_CHARS).collect();
        Self {
            extra_headers: query.is_on("extra_headers"),
            advance_headers: query.is_on("advance_headers"),
            dual_final_frames: query.is_on("dual_final_frames"),
            zero_data: query.is_on("zero_data"),
            key: percent_encoded(&key),
        }
    }
}

/// The clients of `/stream` with their options, by the number of their record. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(super) struct Clients(Arc<Mutex<BTreeMap<u64, Client>>>);

#[derive(Debug)]
struct Client {
    record: Weak<Record>,
    wanted: Wanted,
    rate: Rate,
}

/// A client's frame rate between two requests for `/state`.
#[derive(Debug)]
struct Rate {
    seen_at: Instant,
    seen_frames: u64,
    fps: u64,
}

/// One client as `/state` shows it.
#[derive(Debug, Serialize)]
pub(super) struct Shown {
    fps: u64,
    #[serde(flatten)]
    wanted: Wanted,
}

impl Clients {
    /// Remembers the options of the viewer of `record` until it leaves.
    pub(super) fn add(&self, record: &Arc<Record>, wanted: Wanted) {
        let rate = Rate { seen_at: Instant::now(), seen_frames: 0, fps: 0 };
        let client = Client { record: Arc::downgrade(record), wanted, rate };
        let mut clients = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        clients.retain(|_, client| client.record.strong_count() > 0);
        clients.insert(record.id(), client);
    }

    /// All `viewers` by their ids, including those of other paths.
    pub(super) fn show(&self, viewers: &[Arc<Record>]) -> BTreeMap<String, Shown> {
        let mut clients = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let shown = |record: &Arc<Record>| {
            let shown = match clients.get_mut(&record.id()) {
                Some(client) => {
                    Shown { fps: client.rate.at(now, record.frames()), wanted: client.wanted.clone() }
                }
                None => Shown { fps: mean_fps(record), wanted: Wanted::of(&Query::default()) },
            };
            (id(record), shown)
        };
        viewers.iter().map(shown).collect()
    }
}

impl Rate {
    /// The rate at `now`, when `frames` have been sent. It covers the time since the last measurement, if that is long
    /// enough.
    fn at(&mut self, now: Instant, frames: u64) -> u64 {
        let span = now.duration_since(self.seen_at);
        if span >= WINDOW {
            self.fps = per_second(frames.saturating_sub(self.seen_frames), span);
            (self.seen_at, self.seen_frames) = (now, frames);
        }
        self.fps
    }
}

/// A viewer's average rate since it came.
fn mean_fps(record: &Record) -> u64 {
    let span = SystemTime::now().duration_since(record.since()).unwrap_or_default();
    per_second(record.frames(), span)
}

fn per_second(frames: u64, span: Duration) -> u64 {
    if span < WINDOW { 0 } else { (frames as f64 / span.as_secs_f64()).round() as u64 }
}

/// A client's id: sixteen hexadecimal digits, as in uStreamer, made from its start and its number.
pub(super) fn id(record: &Record) -> String {
    let since = record.since().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let micros = u64::try_from(since.as_micros()).unwrap_or_default();
    format!("{:016x}", micros << 12 | record.id() & 0xFFF)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_safe_in_a_header_and_bounded() {
        let wanted = |query: &str| Wanted::of(&Query::parse(Some(query)));
        assert_eq!(wanted("").key, "0");
        assert_eq!(wanted("key=").key, "0");
        assert_eq!(wanted("key=a%0D%0Ab;").key, "a%0D%0Ab%3B");
        assert_eq!(wanted(&format!("key={}", "x".repeat(4000))).key.len(), MAX_KEY_CHARS);
        assert!(wanted("extra_headers=1").extra_headers && !wanted("extra_headers=0").extra_headers);
    }

    #[test]
    fn a_rate_is_that_since_the_last_look_a_second_ago_or_more() {
        let start = Instant::now();
        let mut rate = Rate { seen_at: start, seen_frames: 0, fps: 0 };
        assert_eq!(rate.at(start + Duration::from_millis(900), 27), 0);
        assert_eq!(rate.at(start + Duration::from_secs(2), 60), 30);
        assert_eq!(rate.at(start + Duration::from_millis(2500), 60), 30);
        assert_eq!(rate.at(start + Duration::from_secs(4), 80), 10);
    }
}
