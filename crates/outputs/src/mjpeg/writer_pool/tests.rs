//! Tests of one viewer's connection in a writer thread. The test reads the client's end of the socket, and sets the
//! times.
#![warn(clippy::disallowed_methods)]

use std::time::SystemTime;

use framecast_hub::{CameraState, CameraStatus, Delivery, Feed, Hub, Rendition};
use framecast_testkit::frame_of_len;
use tokio::net::UnixStream;
use tokio::time::Instant;

use super::super::part_stream::PartStream;
use super::connection::{Progress, ViewerConnection};
use super::*;
use crate::mjpeg::packer::Packers;
use crate::mjpeg::{Boundary, Framing, PartFormat, StreamRequest};
use crate::publish::Publish;
use crate::{Transport, Viewers};

const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// The size of a picture that is many times larger than what a socket accepts at once.
const PICTURE_BYTES: usize = 16 << 20;

struct Setup {
    viewers: Viewers,
    feed: Arc<Feed>,
    connection: ViewerConnection,
    reader: UnixStream,
    start: Instant,
}

impl Setup {
    fn new() -> Self {
        let feed = Hub::new().add("door", SystemTime::UNIX_EPOCH).unwrap();
        feed.set_status(CameraStatus::new(CameraState::Live, SystemTime::UNIX_EPOCH));
        feed.publish(frame_of_len(PICTURE_BYTES, 1));
        let viewers = Viewers::default();
        let viewer = viewers.admit(&feed, None, Transport::Mjpeg).unwrap();
        let part_format = PartFormat { boundary: Boundary::Frame, framing: Framing::Standard };
        let request = StreamRequest {
            part_format,
            rendition: Rendition::default(),
            interval: Duration::ZERO,
            adapt: false,
        };
        let subscriber = feed.watch(request.rendition, Delivery::Latest).unwrap();
        let packers = Packers::default();
        let stream = PartStream::new(subscriber, &packers, viewer, request, Duration::from_secs(1)).into();
        let (ours, reader) = UnixStream::pair().unwrap();
        let hijacked =
            HijackedConnection { socket: ours.into(), read_buf: bytes::Bytes::new(), permit: Box::new(()) };
        let start = Instant::now();
        let connection =
            ViewerConnection::new(Join { stream, hijacked, load_token: LoadToken::default() }, start)
                .unwrap();
        Self { viewers, feed, connection, reader, start }
    }

    /// Serves the viewer at a time that is `part` times the write timeout after the start.
    fn turn(&mut self, part: f64) -> Progress {
        self.connection.advance(self.start + WRITE_TIMEOUT.mul_f64(part), WRITE_TIMEOUT)
    }

    /// Makes the reader take all bytes that have arrived.
    async fn takes(&mut self) {
        let mut bytes = vec![0; 64 << 10];
        self.reader.readable().await.unwrap();
        while self.reader.try_read(&mut bytes).is_ok_and(|len| len > 0) {}
    }

    /// Ends the viewer, and returns the only end reason whose count for the camera is then not zero.
    fn ending(self) -> EndReason {
        drop(self.connection);
        assert_eq!(self.feed.viewer_count(), 0);
        let [(_, totals)] = &self.viewers.camera_totals()[..] else { panic!("of one camera") };
        let counted: Vec<_> = totals.endings().filter(|(_, count)| *count > 0).collect();
        assert!(matches!(counted[..], [(_, 1)]), "{counted:?}");
        counted[0].0
    }
}

#[tokio::test]
async fn a_viewer_that_takes_nothing_for_the_write_timeout_has_stalled() {
    let mut setup = Setup::new();
    assert!(matches!(setup.turn(0.0), Progress::Until(Some(_))));
    setup.takes().await;
    assert!(matches!(setup.turn(0.9), Progress::Until(Some(_))));
    assert!(matches!(setup.turn(1.8), Progress::Until(Some(_))));
    assert_eq!(setup.turn(1.9), Progress::Gone);
    assert_eq!(setup.ending(), EndReason::Stalled);
}

#[tokio::test]
async fn a_viewer_that_takes_a_little_now_and_then_is_too_slow_in_the_end() {
    let mut setup = Setup::new();
    let mut turns = 0;
    while setup.turn(f64::from(turns) / 2.0) != Progress::Gone {
        setup.takes().await;
        turns += 1;
    }
    // Six times the write timeout from the start of the picture, which may be after the first turn.
    assert!((12..16).contains(&turns), "{turns}");
    assert_eq!(setup.ending(), EndReason::Slow);
}

/// The sizes hold on 64-bit systems. What many viewers have in common belongs behind a shared pointer, and what few
/// viewers need in a box.
#[test]
#[cfg(target_pointer_width = "64")]
fn a_viewer_costs_a_writer_three_quarters_of_a_kilobyte_at_most() {
    let bytes = size_of::<ViewerConnection>();
    assert!(bytes <= 768, "{bytes}");
}
