//! `/metrics`: the OpenMetrics text that Prometheus collects.
//!
//! This module counts nothing itself. Each request for the metrics (scrape) reads the existing counters of cameras and
//! viewers. Metric names follow <https://prometheus.io/docs/practices/naming/>: base units, and plurals for things that
//! are counted.

mod gauge_histogram;
mod process;

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::{SystemTime, UNIX_EPOCH};

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use framecast_hub::{CameraState, Feed, Stats};
use framecast_outputs::{AgeHistogram, CameraTotals, Transport, ViewerStats};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder, NoLabelSet, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;
use tokio::runtime::Handle;

use super::api::ServerAbout;
use super::connection_counts::ConnectionCounts;
use super::login_throttle::LoginThrottle;
use super::openapi::{Access, Operation, RouteTable, Routes, Tag};
use crate::camera_table::CameraTable;
#[cfg(feature = "history")]
use crate::history::HistoryHandle;
use crate::lost_lines::LostLines;
use gauge_histogram::GaugeHistogram;
use process::ProcessUsage;

const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Histogram bounds for the number of bytes that are on their way to one viewer, from 0 to far more than a live stream
/// ever has.
const QUEUE_BOUNDS_BYTES: [f64; 8] =
    [0.0, 16_384.0, 65_536.0, 131_072.0, 262_144.0, 524_288.0, 1_048_576.0, 4_194_304.0];

/// Histogram bounds for the throughput of a viewer's connection, in bytes per second: from a modem to gigabit Ethernet.
const THROUGHPUT_BOUNDS: [f64; 8] = [16e3, 64e3, 256e3, 1e6, 4e6, 16e6, 64e6, 125e6];

/// Histogram bounds for the share of frames that a viewer skipped because it was too slow, from 0 to 1.
const SKIPPED_SHARE_BOUNDS: [f64; 7] = [0.0, 0.01, 0.05, 0.1, 0.25, 0.5, 0.9];

/// The counters that `/metrics` reads.
#[derive(Debug, Clone)]
pub(super) struct Counters {
    pub(super) about: Arc<ServerAbout>,
    pub(super) cameras: CameraTable,
    pub(super) connections: ConnectionCounts,
    pub(super) login_throttle: Arc<LoginThrottle>,
    /// Unset if the program around this server does not provide this number.
    pub(super) lost_lines: Arc<OnceLock<LostLines>>,
    #[cfg(feature = "history")]
    pub(super) history: Arc<HistoryHandle>,
    #[cfg(feature = "live")]
    pub(super) live_endings: framecast_outputs::live::CloseCounts,
}

/// Returns the route `/metrics`.
pub(super) fn routes(counters: Counters) -> Routes {
    RouteTable::new()
        .get("/metrics", metrics, || {
            Operation::new(Tag::Server, "Return all counters for Prometheus").access(Access::Monitor).answer(
                200,
                "application/openmetrics-text",
                "The metrics, as OpenMetrics text.",
            )
        })
        .with_state(counters)
}

async fn metrics(State(counters): State<Counters>) -> Response {
    let started_at = counters.about.started_at;
    let usage = tokio::task::spawn_blocking(move || ProcessUsage::now(started_at)).await;
    let mut process = Registry::with_prefix("process");
    if let Ok(usage) = usage {
        process.register_collector(Box::new(usage));
    }
    let mut registry = Registry::with_prefix("framecast");
    let scrape = Scrape(counters);
    let mut body = String::new();
    let histograms = scrape.histograms(&mut body);
    registry.register_collector(Box::new(scrape));
    histograms
        .and_then(|()| text::encode_registry(&mut body, &process))
        .and_then(|()| text::encode(&mut body, &registry))
        .expect("a String takes all that is written");
    ([(header::CONTENT_TYPE, CONTENT_TYPE), (header::CACHE_CONTROL, "no-store")], body).into_response()
}

/// The collector for one request for the metrics. The counters are read when the response is encoded.
#[derive(Debug)]
struct Scrape(Counters);

/// A function that reads one counter of a camera.
type StatsField = fn(&Stats) -> u64;

const CAMERA_COUNTERS: [(&str, &str, StatsField); 9] = [
    ("camera_frames", "Frames that came from the camera", |stats| stats.frames),
    ("camera_broken_frames", "Broken pictures that the server dropped", |stats| stats.broken),
    (
        "camera_repaired_frames",
        "Pictures that the server repaired: it cut off foreign bytes, or added a missing end",
        |stats| stats.repaired,
    ),
    ("camera_over_rate_frames", "Pictures skipped because of max_fps", |stats| stats.over_rate),
    ("camera_lost_frames", "Frames that the device dropped", |stats| stats.dropped_by_device),
    ("camera_encoded_frames", "Pictures that were encoded, renditions included", |stats| stats.encoded),
    ("camera_encode_skipped_frames", "Frames not encoded because a newer one was there", |stats| {
        stats.encode_skipped
    }),
    ("camera_openings", "How often the server opened the camera", |stats| stats.opened),
    ("camera_closings", "How often the server closed the camera", |stats| stats.closed),
];

type OfTotals = fn(&CameraTotals) -> u64;

const SENT_COUNTERS: [(&str, &str, OfTotals); 3] = [
    ("sent_frames", "Pictures sent to viewers", CameraTotals::frames),
    ("sent_bytes", "Bytes sent to viewers, framing included", CameraTotals::bytes),
    (
        "skipped_frames",
        "Frames skipped for viewers because a newer one was there",
        CameraTotals::skipped_frames,
    ),
];

impl Collector for Scrape {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        self.server(&mut encoder)?;
        self.cameras(&mut encoder)?;
        self.sent(&mut encoder)?;
        self.viewers(&mut encoder)?;
        #[cfg(feature = "live")]
        self.live(&mut encoder)?;
        #[cfg(feature = "history")]
        self.history(&mut encoder)?;
        Ok(())
    }
}

impl Scrape {
    fn server(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let info =
            [("version", env!("CARGO_PKG_VERSION").to_owned()), ("codec", self.0.about.codec.to_string())];
        single(encoder, "build", "Version and JPEG codec of the server", Info::new(info))?;
        let started = self.0.about.started_at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        single(
            encoder,
            "start_time_seconds",
            "Start time of the server in Unix time",
            ConstGauge::new(started),
        )?;
        // The request encodes its answer within the runtime.
        let tasks = ConstGauge::new(Handle::current().metrics().num_alive_tasks() as f64);
        single(encoder, "runtime_tasks", "Current tasks of the Tokio runtime", tasks)?;
        let accepted = ConstCounter::new(self.0.connections.accepted());
        single(encoder, "connections", "Connections that the server accepted", accepted)?;
        if let Some(lost) = self.0.lost_lines.get() {
            let help = "Log lines dropped because standard error did not accept them";
            single(encoder, "log_lost_lines", help, ConstCounter::new(lost.count()))?;
        }
        let failed = self.0.connections.failed();
        let failed = failed.map(|(why, count)| ([("why", why.to_owned())], ConstCounter::new(count)));
        family(encoder, "failed_connections", "Connections that failed, by reason", failed)?;
        let login_throttle = &self.0.login_throttle;
        let denied = [("wrong", login_throttle.wrong()), ("uncompared", login_throttle.throttled())];
        let denied = denied.map(|(why, count)| ([("why", why.to_owned())], ConstCounter::new(count)));
        let help = "Requests denied for a wrong password, or not checked after too many wrong passwords";
        family(encoder, "denied_requests", help, denied)
    }

    #[cfg(feature = "history")]
    fn history(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let stats = self.0.history.history.stats();
        for (name, help, count) in [
            ("history_events", "Events recorded", stats.recorded),
            ("history_written_events", "Events written to the database", stats.written),
            ("history_dropped_events", "Events dropped because they did not fit", stats.dropped),
            ("history_failures", "Failed attempts to write events", stats.failures),
        ] {
            single(encoder, name, help, ConstCounter::new(count))?;
        }
        let help = "Events that wait for the database";
        single(encoder, "history_waiting_events", help, ConstGauge::new(stats.waiting as f64))?;
        let up = f64::from(u8::from(!stats.is_unavailable));
        single(encoder, "history_up", "1 while the database accepts events", ConstGauge::new(up))
    }

    fn cameras(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let feeds = self.0.cameras.hub().feeds();
        let stats: Vec<Stats> = feeds.iter().map(|feed| feed.stats()).collect();
        let each = || feeds.iter().map(|feed| camera_label(feed)).zip(&stats);
        for (name, help, read) in CAMERA_COUNTERS {
            family(
                encoder,
                name,
                help,
                each().map(|(labels, stats)| (labels, ConstCounter::new(read(stats)))),
            )?;
        }
        let seconds =
            each().map(|(labels, stats)| (labels, ConstCounter::new(stats.encode_time.as_secs_f64())));
        family(encoder, "camera_encode_seconds", "Time spent on encoding, on all threads", seconds)?;
        self.camera_states(encoder, &feeds)?;
        let gauge = |read: fn(&Feed) -> f64| {
            feeds
                .iter()
                .map(move |feed| (camera_label(feed), ConstGauge::new(read(feed))))
                .collect::<Vec<_>>()
        };
        let rate = gauge(|feed| feed.stats().frames_per_second.unwrap_or_default());
        family(encoder, "camera_frames_per_second", "Frames per second now", rate)?;
        let viewers = gauge(|feed| {
            let of_sub = feed.sub().map_or(0, |sub| sub.viewer_count());
            (feed.viewer_count() + of_sub) as f64
        });
        family(
            encoder,
            "camera_viewers",
            "Current streams and snapshots, and tiles of the sub stream",
            viewers,
        )?;
        let subs = feeds.iter().filter_map(|feed| Some((camera_label(feed), feed.sub()?.status().state)));
        let live = subs.map(|(labels, state)| {
            (labels, ConstGauge::new(f64::from(u8::from(state == CameraState::Live))))
        });
        let help = "1 while the camera's sub stream is live; absent if it has none";
        family(encoder, "camera_sub_live", help, live)
    }

    /// Writes in which state each camera is, and since when.
    fn camera_states(&self, encoder: &mut DescriptorEncoder<'_>, feeds: &[Arc<Feed>]) -> fmt::Result {
        let now = SystemTime::now();
        let statuses: Vec<_> = feeds.iter().map(|feed| (feed, feed.status())).collect();
        let states = statuses.iter().flat_map(|(feed, status)| {
            CameraState::ALL.map(|state| {
                let labels = [("camera", feed.name().to_owned()), ("state", state.as_str().to_owned())];
                (labels, ConstGauge::new(f64::from(u8::from(status.state == state))))
            })
        });
        family(encoder, "camera_state", "1 for the state in which the camera is, 0 for the others", states)?;
        let is_live = |state| f64::from(u8::from(state == CameraState::Live));
        let live = statuses
            .iter()
            .map(|(feed, status)| (camera_label(feed), ConstGauge::new(is_live(status.state))));
        family(encoder, "camera_live", "1 while the camera is live", live)?;
        let lost = statuses.iter().map(|(feed, status)| {
            let since = (status.state == CameraState::Lost).then_some(status.since);
            let away = since.map(|since| now.duration_since(since).unwrap_or_default()).unwrap_or_default();
            (camera_label(feed), ConstGauge::new(away.as_secs_f64()))
        });
        family(encoder, "camera_lost_seconds", "How long the camera has been lost; 0 if it is not", lost)?;
        let checked = statuses.iter().filter_map(|(feed, status)| {
            let at = status.checked_at?.duration_since(UNIX_EPOCH).ok()?;
            Some((camera_label(feed), ConstGauge::new(at.as_secs_f64())))
        });
        let help = "When the server last learned whether the camera works, in Unix time; absent before";
        family(encoder, "camera_checked_timestamp_seconds", help, checked)?;
        let cameras = self.0.cameras.list();
        let intervals = cameras.iter().filter_map(|camera| {
            Some((camera_label(&camera.feed), ConstGauge::new(camera.probe_interval?.as_secs_f64())))
        });
        let help = "How often the server checks the camera while nobody watches; absent if it does not";
        family(encoder, "camera_probe_interval_seconds", help, intervals)?;
        let age = statuses.iter().filter(|(_, status)| status.state == CameraState::Live).filter_map(
            |(feed, _)| {
                let captured_at = feed.source_channel().newest_captured_at()?;
                let age = now.duration_since(captured_at).unwrap_or_default();
                Some((camera_label(feed), ConstGauge::new(age.as_secs_f64())))
            },
        );
        family(
            encoder,
            "camera_frame_age_seconds",
            "Age of the newest frame; absent unless the camera is live",
            age,
        )
    }

    fn sent(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let totals = self.0.cameras.services().viewers.camera_totals();
        let each = || totals.iter().map(|(camera, totals)| ([("camera", camera.clone())], totals));
        for (name, help, read) in SENT_COUNTERS {
            let values = each().map(|(labels, totals)| (labels, ConstCounter::new(read(totals))));
            family(encoder, name, help, values)?;
        }
        let endings = totals.iter().flat_map(|(camera, totals)| {
            totals.endings().map(move |(ending, count)| {
                let labels = [("camera", camera.clone()), ("ending", ending.name().to_owned())];
                (labels, ConstCounter::new(count))
            })
        });
        family(encoder, "stream_endings", "MJPEG streams that ended, by reason", endings)?;
        let ages = each().map(|(labels, totals)| (labels, Ages(totals.age())));
        family(encoder, "frame_age_seconds", "Time from a frame's capture until it was sent", ages)?;
        let painted = each().map(|(labels, totals)| (labels, Ages(totals.painted_age())));
        let help = "Time from a frame's capture until the client reported it painted (/api/live)";
        family(encoder, "painted_age_seconds", help, painted)
    }

    fn viewers(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let records = self.0.cameras.services().viewers.list();
        let count = |transport: Transport| {
            let count = records.iter().filter(|stats| stats.transport() == transport).count();
            ([("via", transport.as_str().to_owned())], ConstGauge::new(count as i64))
        };
        let counts = Transport::ALL.map(count);
        family(encoder, "viewers", "Current viewers", counts)?;
        let registry = &self.0.cameras.services().viewers;
        let waits = registry.first_picture_times();
        let waits = waits.map(|(via, times)| ([("via", via.to_owned())], Ages(times)));
        let help = "Time from a viewer's request to the first picture given to its connection";
        family(encoder, "first_picture_seconds", help, waits)?;
        let refused = registry
            .refused()
            .map(|(limit, count)| ([("limit", limit.to_owned())], ConstCounter::new(count)));
        family(encoder, "refused_viewers", "Viewers refused because a viewer limit was reached", refused)
    }

    #[cfg(feature = "live")]
    fn live(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let endings = self.0.live_endings.iter();
        let endings =
            endings.map(|(ending, count)| ([("ending", ending.to_owned())], ConstCounter::new(count)));
        family(encoder, "live_endings", "Connections of /api/live that ended, by reason", endings)
    }

    /// Writes to `out` the histograms of all current viewers, such as the histogram of their throughputs.
    fn histograms(&self, out: &mut String) -> fmt::Result {
        let records = self.0.cameras.services().viewers.list();
        let mut histogram =
            |name: &str, help: &str, bounds: &[f64], read: fn(&ViewerStats) -> Option<f64>| {
                let values = records.iter().filter_map(|stats| read(stats));
                GaugeHistogram::new(bounds, values).write(out, name, help)
            };
        let queue = |stats: &ViewerStats| stats.queue_bytes().map(|bytes| bytes as f64);
        let help = "Bytes on their way to each current viewer";
        histogram("framecast_viewer_queue_bytes", help, &QUEUE_BOUNDS_BYTES, queue)?;
        let throughput = |stats: &ViewerStats| stats.bytes_per_second().map(|rate| rate as f64);
        let help = "Throughput to each current viewer whose link was full";
        histogram("framecast_viewer_throughput_bytes_per_second", help, &THROUGHPUT_BOUNDS, throughput)?;
        let skipped = |stats: &ViewerStats| {
            let (sent, skipped) = (stats.frames() as f64, stats.skipped_frames() as f64);
            (sent > 0.0).then(|| skipped / (sent + skipped))
        };
        let help = "Share of frames skipped for each current viewer";
        histogram("framecast_viewer_skipped_ratio", help, &SKIPPED_SHARE_BOUNDS, skipped)
    }
}

/// A histogram of ages in the form for Prometheus.
#[derive(Debug)]
struct Ages<'a>(&'a AgeHistogram);

impl EncodeMetric for Ages<'_> {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        // The encoder writes the infinite bound as `+Inf`, without which Prometheus computes no quantiles.
        let buckets = self.0.buckets();
        let count = buckets.iter().map(|(_, count)| count).sum();
        encoder.encode_histogram::<NoLabelSet>(self.0.sum_s(), count, &buckets, None)
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Histogram
    }
}

fn camera_label(feed: &Feed) -> [(&'static str, String); 1] {
    [("camera", feed.name().to_owned())]
}

/// Writes a metric family that has one value for each set of labels.
fn family<const N: usize, M: EncodeMetric>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    values: impl IntoIterator<Item = ([(&'static str, String); N], M)>,
) -> fmt::Result {
    let mut values = values.into_iter().peekable();
    let Some((_, first)) = values.peek() else { return Ok(()) };
    let mut encoder = encoder.encode_descriptor(name, help, None, first.metric_type())?;
    for (labels, value) in values {
        value.encode(encoder.encode_family(&labels)?)?;
    }
    Ok(())
}

fn single(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    value: impl EncodeMetric,
) -> fmt::Result {
    let metric_type = value.metric_type();
    value.encode(encoder.encode_descriptor(name, help, None, metric_type)?)
}
