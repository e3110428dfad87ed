//! A viewer at a writer. The test reads the other end of the socket, and it sets the times.

use std::time::SystemTime;

use framecast_hub::{Delivery, Feed, Hub, Rendition, State, Status};
use framecast_media::Frame;
use framecast_testkit::{frame, jpeg_of};
use tokio::net::UnixStream;
use tokio::time::Instant;

use super::client::{Client, Turn};
use super::*;
use crate::mjpeg::packer::Packers;
use crate::mjpeg::{Ask, Boundary, Framing, Style};
use crate::{Via, Viewers};

const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// Many times more than a socket takes at once.
const PICTURE_BYTES: usize = 16 << 20;

struct Setup {
    viewers: Viewers,
    feed: Arc<Feed>,
    client: Client,
    reader: UnixStream,
    start: Instant,
}

impl Setup {
    fn new() -> Self {
        let feed = Hub::new().add("door", SystemTime::UNIX_EPOCH).unwrap();
        feed.set_status(Status::new(State::Live, SystemTime::UNIX_EPOCH));
        feed.publish(Frame { data: jpeg_of(PICTURE_BYTES, 1), ..frame(1) });
        let viewers = Viewers::default();
        let place = viewers.admit(&feed, None, Via::Mjpeg).unwrap();
        let style = Style { boundary: Boundary::Frame, framing: Framing::Standard };
        let ask = Ask { style, rendition: Rendition::default(), interval: Duration::ZERO, adapt: false };
        let subscriber = feed.watch(ask.rendition, Delivery::Latest).unwrap();
        let stream = Stream::new(subscriber, &Packers::default(), place, ask, Duration::from_secs(1));
        let (ours, reader) = UnixStream::pair().unwrap();
        let taken = Taken { socket: ours.into(), read: bytes::Bytes::new(), place: Box::new(()) };
        let start = Instant::now();
        let client = Client::new(Join { stream, taken, seat: Seat::default() }, start).unwrap();
        Self { viewers, feed, client, reader, start }
    }

    /// The viewer's turn at `part` of the write timeout after the start.
    fn turn(&mut self, part: f64) -> Turn {
        self.client.advance(self.start + WRITE_TIMEOUT.mul_f64(part), WRITE_TIMEOUT)
    }

    /// The reader takes everything that is there.
    async fn takes(&mut self) {
        let mut bytes = vec![0; 64 << 10];
        self.reader.readable().await.unwrap();
        while self.reader.try_read(&mut bytes).is_ok_and(|len| len > 0) {}
    }

    /// The one ending that was counted after the viewer has left.
    fn ending(self) -> Ending {
        drop(self.client);
        assert_eq!(self.feed.viewers(), 0);
        let [(_, figures)] = &self.viewers.figures()[..] else { panic!("of one camera") };
        let counted: Vec<_> = figures.endings().filter(|(_, count)| *count > 0).collect();
        assert!(matches!(counted[..], [(_, 1)]), "{counted:?}");
        counted[0].0
    }
}

#[tokio::test]
async fn a_viewer_that_takes_nothing_for_the_write_timeout_has_stalled() {
    let mut setup = Setup::new();
    assert!(matches!(setup.turn(0.0), Turn::Until(Some(_))));
    setup.takes().await;
    assert!(matches!(setup.turn(0.9), Turn::Until(Some(_))));
    assert!(matches!(setup.turn(1.8), Turn::Until(Some(_))));
    assert_eq!(setup.turn(1.9), Turn::Gone);
    assert_eq!(setup.ending(), Ending::Stalled);
}

#[tokio::test]
async fn a_viewer_that_takes_a_little_now_and_then_is_too_slow_in_the_end() {
    let mut setup = Setup::new();
    let mut turns = 0;
    while setup.turn(f64::from(turns) / 2.0) != Turn::Gone {
        setup.takes().await;
        turns += 1;
    }
    // Six times the write timeout from the start of the picture, which may be after the first turn.
    assert!((12..16).contains(&turns), "{turns}");
    assert_eq!(setup.ending(), Ending::Slow);
}
