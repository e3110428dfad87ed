//! The viewers on `/stream`, a path that imitates the camera server uStreamer, with the options that each viewer
//! requested. The response to `/state` lists these viewers.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant, SystemTime};

use framecast_media::lock;
use framecast_outputs::{ViewerStats, percent_encode};
use serde::Serialize;
use utoipa::ToSchema;

use super::query::CompatQuery;

/// The maximum length, in characters, of the parameter `key` by which a client of `/stream` identifies itself. A longer
/// key is truncated. The key appears in a cookie and in `/state`.
const MAX_KEY_CHARS: usize = 64;

/// The shortest time over which a viewer's frame rate is measured.
const WINDOW: Duration = Duration::from_secs(1);

/// The options that one viewer requested on `/stream`, a path that imitates the camera server uStreamer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(super) struct StreamOptions {
    pub(super) extra_headers: bool,
    pub(super) advance_headers: bool,
    pub(super) dual_final_frames: bool,
    pub(super) zero_data: bool,
    /// The parameter `key`, by which a client identifies itself, percent-encoded; `0` if the client sent no key.
    pub(super) key: String,
}

impl StreamOptions {
    pub(super) fn of(query: &CompatQuery) -> Self {
        let key = query.get("key").filter(|key| !key.is_empty()).unwrap_or("0");
        let key: String = key.chars().take(MAX_KEY_CHARS).collect();
        Self {
            extra_headers: query.is_on("extra_headers"),
            advance_headers: query.is_on("advance_headers"),
            dual_final_frames: query.is_on("dual_final_frames"),
            zero_data: query.is_on("zero_data"),
            key: percent_encode(&key),
        }
    }
}

/// The viewers on `/stream` with the options that each requested, by the id of the viewer's [`ViewerStats`]. All clones
/// share one table.
#[derive(Debug, Clone, Default)]
pub(super) struct StreamClients(Arc<Mutex<BTreeMap<u64, StreamClient>>>);

#[derive(Debug)]
struct StreamClient {
    stats: Weak<ViewerStats>,
    options: StreamOptions,
    rate: ViewerRate,
}

/// A viewer's frame rate, measured from one request for `/state` to the next.
#[derive(Debug)]
struct ViewerRate {
    seen_at: Instant,
    seen_frames: u64,
    fps: u64,
}

/// The description of one viewer in the response to `/state`.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct StreamClientStat {
    fps: u64,
    #[serde(flatten)]
    options: StreamOptions,
}

impl StreamClients {
    /// Stores `options` as the options of the viewer with the statistics `stats`, until the viewer disconnects.
    pub(super) fn add(&self, stats: &Arc<ViewerStats>, options: StreamOptions) {
        let rate = ViewerRate { seen_at: Instant::now(), seen_frames: 0, fps: 0 };
        let client = StreamClient { stats: Arc::downgrade(stats), options, rate };
        let mut clients = lock(&self.0);
        clients.retain(|_, client| client.stats.strong_count() > 0);
        clients.insert(stats.id(), client);
    }

    /// Returns a description of each viewer in `viewers`, by the viewer's id. Viewers on other paths than `/stream`
    /// have the default options.
    pub(super) fn show(&self, viewers: &[Arc<ViewerStats>]) -> BTreeMap<String, StreamClientStat> {
        let mut clients = lock(&self.0);
        let now = Instant::now();
        let shown = |stats: &Arc<ViewerStats>| {
            let shown = match clients.get_mut(&stats.id()) {
                Some(client) => StreamClientStat {
                    fps: client.rate.at(now, stats.frames()),
                    options: client.options.clone(),
                },
                None => StreamClientStat {
                    fps: mean_fps(stats),
                    options: StreamOptions::of(&CompatQuery::default()),
                },
            };
            (id(stats), shown)
        };
        viewers.iter().map(shown).collect()
    }
}

impl ViewerRate {
    /// Returns the viewer's frame rate since the last measurement. `frames` is the total number of frames sent to the
    /// viewer until `now`. If the last measurement was less than [`WINDOW`] ago, returns the last rate.
    fn at(&mut self, now: Instant, frames: u64) -> u64 {
        let span = now.duration_since(self.seen_at);
        if span >= WINDOW {
            self.fps = per_second(frames.saturating_sub(self.seen_frames), span);
            (self.seen_at, self.seen_frames) = (now, frames);
        }
        self.fps
    }
}

/// Returns a viewer's average frame rate since the viewer connected, in frames per second.
fn mean_fps(stats: &ViewerStats) -> u64 {
    let span = SystemTime::now().duration_since(stats.since()).unwrap_or_default();
    per_second(stats.frames(), span)
}

fn per_second(frames: u64, span: Duration) -> u64 {
    if span < WINDOW { 0 } else { (frames as f64 / span.as_secs_f64()).round() as u64 }
}

/// Returns the id of a client in `/state`: sixteen hexadecimal digits, as in uStreamer, computed from the time at which
/// the client connected and from the client's number.
pub(super) fn id(stats: &ViewerStats) -> String {
    let since = stats.since().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let micros = u64::try_from(since.as_micros()).unwrap_or_default();
    format!("{:016x}", micros << 12 | stats.id() & 0xFFF)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_safe_in_a_header_and_bounded() {
        let options = |query: &str| StreamOptions::of(&CompatQuery::parse(Some(query)));
        assert_eq!(options("").key, "0");
        assert_eq!(options("key=").key, "0");
        assert_eq!(options("key=a%0D%0Ab;").key, "a%0D%0Ab%3B");
        assert_eq!(options(&format!("key={}", "x".repeat(4000))).key.len(), MAX_KEY_CHARS);
        assert!(options("extra_headers=1").extra_headers && !options("extra_headers=0").extra_headers);
    }

    #[test]
    fn a_rate_is_that_since_the_last_look_a_second_ago_or_more() {
        let start = Instant::now();
        let mut rate = ViewerRate { seen_at: start, seen_frames: 0, fps: 0 };
        assert_eq!(rate.at(start + Duration::from_millis(900), 27), 0);
        assert_eq!(rate.at(start + Duration::from_secs(2), 60), 30);
        assert_eq!(rate.at(start + Duration::from_millis(2500), 60), 30);
        assert_eq!(rate.at(start + Duration::from_secs(4), 80), 10);
    }
}
