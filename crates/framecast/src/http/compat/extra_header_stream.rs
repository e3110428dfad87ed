//! MJPEG streams in which each picture has headers that differ between viewers. Clients request such a stream by the
//! parameters `extra_headers` and `zero_data`, which come from the camera server uStreamer.
//!
//! Only one or two diagnostic programs use these parameters. So this module simply formats the bytes for each viewer
//! separately, and sends them as an ordinary response body: one picture at a time, and the next one only when that has
//! left the HTTP server. It neither pauses between pictures on a slow link nor changes their size. All other streams
//! share their bytes between viewers, in [`mjpeg::Streamer`](framecast_outputs::mjpeg::Streamer).

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::body::Body;
use axum::extract::Request;
use axum::http::Version;
use axum::response::Response;
use framecast_hub::{Delivery, Feed, Rendition, Subscriber, Update};
use framecast_media::Bytes;
use framecast_media::container::multipart::{Writer, format_unix_seconds};
use framecast_outputs::mjpeg::{Departure, hand_over};
use framecast_outputs::{EndReason, HttpError, Peer, Transport, ViewerGuard, ViewerStats};
use futures_util::stream;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use super::Compat;
use super::stream_client::StreamOptions;
use super::ustreamer_header::{monotonic, online};

/// How long a stream waits for a new picture before it sends the last picture again.
const RESEND_AFTER: Duration = Duration::from_secs(1);

const WELL_FORMED: &str = "headers made of numbers and constants are well formed";

struct ExtraHeaderStream {
    subscriber: Subscriber,
    viewer: ViewerGuard,
    writer: Writer,
    options: StreamOptions,
    shutdown: CancellationToken,
    phase: StreamPhase,
    write_timeout: Duration,
    sent_at: Instant,
    /// When the last picture leaves the HTTP server; `None` if it has left.
    in_hand: Option<Departure>,
    /// Counts the pictures that are sent in the current second, and keeps the count of the second before.
    rate: FrameCounter,
}

enum StreamPhase {
    Opening,
    Parts,
    Closed,
}

struct FrameCounter {
    since: Instant,
    frames: u32,
    fps: u32,
}

/// Returns a response whose body is a stream of `feed` with `options`. The caller must set the headers of the response.
pub(super) fn respond(
    compat: &Compat,
    feed: &Arc<Feed>,
    options: &StreamOptions,
    request: &Request,
) -> Result<Response, HttpError> {
    let peer = Peer::from_extensions(request.extensions());
    let viewer = match compat.viewers.admit(feed, peer, Transport::Mjpeg) {
        Ok(viewer) => viewer,
        Err(limit_reached) => return compat.streamer.respond_limit_reached(&limit_reached, feed, request),
    };
    let stats = Arc::clone(viewer.stats());
    let subscriber =
        feed.watch(Rendition::default(), Delivery::Latest).map_err(HttpError::too_many_renditions)?;
    let (shutdown, write_timeout) = (compat.shutdown.clone(), compat.write_timeout);
    let body = ExtraHeaderStream::new(subscriber, viewer, options.clone(), shutdown, write_timeout);
    let mut response = Response::new(body.into_body());
    if request.version() <= Version::HTTP_11 {
        *response.version_mut() = Version::HTTP_10;
    }
    response.extensions_mut().insert::<Arc<ViewerStats>>(stats);
    Ok(response)
}

impl ExtraHeaderStream {
    fn new(
        subscriber: Subscriber,
        viewer: ViewerGuard,
        options: StreamOptions,
        shutdown: CancellationToken,
        write_timeout: Duration,
    ) -> Self {
        let now = Instant::now();
        Self {
            subscriber,
            viewer,
            writer: Writer::new("boundarydonotcross").expect("letters alone"),
            options,
            shutdown,
            phase: StreamPhase::Opening,
            write_timeout,
            sent_at: now,
            in_hand: None,
            rate: FrameCounter { since: now, frames: 0, fps: 0 },
        }
    }

    fn into_body(self) -> Body {
        Body::from_stream(stream::unfold(self, |mut body| async {
            let chunk = body.next_chunk().await?;
            body.viewer.chunk_sent(body.write_timeout);
            Some((Ok::<_, Infallible>(chunk), body))
        }))
    }

    async fn next_chunk(&mut self) -> Option<Bytes> {
        match self.phase {
            StreamPhase::Closed => None,
            StreamPhase::Opening => {
                self.phase = StreamPhase::Parts;
                Some(if self.options.advance_headers {
                    self.writer.opening_ahead(&ahead(&now())).expect(WELL_FORMED)
                } else {
                    self.writer.opening()
                })
            }
            StreamPhase::Parts => {
                let shutdown = self.shutdown.clone();
                let end_reason = tokio::select! {
                    biased;
                    () = shutdown.cancelled() => EndReason::Shutdown,
                    update = self.next_update() => match update {
                        Some(update) => {
                            let (part, departure) = hand_over(self.part(&update));
                            self.in_hand = Some(departure);
                            return Some(part);
                        }
                        None => EndReason::CameraEnded,
                    },
                };
                self.phase = StreamPhase::Closed;
                self.viewer.set_end_reason(end_reason);
                Some(self.writer.closing())
            }
        }
    }

    /// Waits until the last picture has left the HTTP server, then for the next picture, and returns that. If no new
    /// picture arrives for [`RESEND_AFTER`], returns the last picture again. Returns `None` when the camera's pictures
    /// have ended.
    async fn next_update(&mut self) -> Option<Update> {
        if let Some(departure) = &mut self.in_hand {
            // A picture always says when it is dropped.
            departure.await.ok();
            self.in_hand = None;
        }
        self.viewer.chunk_requested();
        loop {
            match timeout_at(self.sent_at + RESEND_AFTER, self.subscriber.next_update()).await {
                Ok(update) => return update,
                Err(_) => self.sent_at = Instant::now(),
            }
            if let Some(update) = self.subscriber.current() {
                return Some(update);
            }
        }
    }

    fn part(&mut self, update: &Update) -> Bytes {
        self.sent_at = Instant::now();
        self.rate.count(self.sent_at);
        let picture: &[u8] = if self.options.zero_data { &[] } else { &update.frame.data };
        let part = if self.options.advance_headers {
            self.writer.part_ahead(&ahead(&now()), picture)
        } else {
            let headers = self.headers(update, picture.len());
            let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
            self.writer.part(&headers, picture)
        };
        let part = part.expect(WELL_FORMED);
        let age = SystemTime::now().duration_since(update.frame.captured_at).unwrap_or_default();
        self.viewer.sent(part.len(), age);
        if !update.is_slate {
            self.viewer.shows(update.frame.format.codec);
        }
        self.viewer.skipped(self.subscriber.skipped());
        part
    }

    /// Returns the headers of the multipart part that contains the picture `update`, whose content has `length` bytes.
    /// As in the camera server uStreamer, there is a header with the time of each processing step of the picture. Only
    /// the capture time is known here, so the headers of the other steps contain the capture time, too.
    fn headers(&self, update: &Update, length: usize) -> Vec<(&'static str, String)> {
        let now = SystemTime::now();
        let mut headers = vec![
            ("Content-Type", "image/jpeg".to_owned()),
            ("Content-Length", length.to_string()),
            ("X-Timestamp", format_unix_seconds(now)),
        ];
        if !self.options.extra_headers {
            return headers;
        }
        let format = &update.frame.format;
        let grab = monotonic(update.frame.captured_at);
        let latency = now.duration_since(update.frame.captured_at).unwrap_or_default();
        headers.extend([
            ("X-UStreamer-Online", online(update).to_owned()),
            ("X-UStreamer-Dropped", self.subscriber.skipped().to_string()),
            ("X-UStreamer-Width", format.width_px.to_string()),
            ("X-UStreamer-Height", format.height_px.to_string()),
            ("X-UStreamer-Client-FPS", self.rate.fps.to_string()),
        ]);
        let times = [
            "X-UStreamer-Grab-Begin-Time",
            "X-UStreamer-Grab-End-Time",
            "X-UStreamer-Encode-Begin-Time",
            "X-UStreamer-Encode-End-Time",
            "X-UStreamer-Expose-Begin-Time",
            "X-UStreamer-Expose-Cmp-Time",
            "X-UStreamer-Expose-End-Time",
        ];
        headers.extend(times.map(|name| (name, grab.clone())));
        let latency = format!("{}.{:06}", latency.as_secs(), latency.subsec_micros());
        headers.extend([("X-UStreamer-Send-Time", monotonic(now)), ("X-UStreamer-Latency", latency)]);
        headers
    }
}

impl FrameCounter {
    fn count(&mut self, now: Instant) {
        if now.duration_since(self.since) >= Duration::from_secs(1) {
            (self.fps, self.frames, self.since) = (self.frames, 0, now);
        }
        self.frames += 1;
    }
}

fn now() -> String {
    format_unix_seconds(SystemTime::now())
}

/// Returns the headers of a multipart part, for a stream that sends them before the part's picture is known.
/// `timestamp` is the current time.
fn ahead(timestamp: &str) -> [(&'static str, &str); 2] {
    [("Content-Type", "image/jpeg"), ("X-Timestamp", timestamp)]
}

#[cfg(test)]
mod tests {
    #![warn(clippy::disallowed_methods)]

    use framecast_hub::Hub;
    use framecast_media::{Anchor, Frame};
    use framecast_outputs::Viewers;
    use framecast_testkit::{frame, number_of, soon};
    use futures_util::{FutureExt, StreamExt};

    use super::super::query::CompatQuery;
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_next_picture_is_chosen_when_the_last_one_has_left_the_server() {
        let feed = Hub::new().add("door", SystemTime::UNIX_EPOCH).unwrap();
        let viewer = Viewers::default().admit(&feed, None, Transport::Mjpeg).unwrap();
        let subscriber = feed.watch(Rendition::default(), Delivery::Latest).unwrap();
        let options = StreamOptions::of(&CompatQuery::parse(Some("extra_headers=1")));
        let (shutdown, timeout) = (CancellationToken::new(), Duration::from_secs(10));
        let body = ExtraHeaderStream::new(subscriber, viewer, options, shutdown.clone(), timeout);
        let mut chunks = body.into_body().into_data_stream();
        let publish = |frame: Frame| assert!(feed.begin_epoch(Anchor::of(&frame)).publish(frame));
        let number = |chunk: &Bytes| {
            number_of(&chunk[chunk.windows(2).position(|pair| pair == b"\xFF\xD8").unwrap()..])
        };

        soon("the opening", chunks.next()).await.unwrap().unwrap();
        publish(frame(1));
        let first = soon("a picture", chunks.next()).await.unwrap().unwrap();
        assert_eq!(number(&first), Some(1));
        publish(frame(2));
        assert!(chunks.next().now_or_never().is_none(), "the server still has the first");
        publish(frame(3));
        drop(first);
        let next = soon("a picture", chunks.next()).await.unwrap().unwrap();
        assert_eq!(number(&next), Some(3), "the newest");
        assert!(chunks.next().now_or_never().is_none());
        shutdown.cancel();
        let end = soon("the end", chunks.next()).await.unwrap().unwrap();
        assert!(end.ends_with(b"--\r\n"), "{end:?}");
    }
}
