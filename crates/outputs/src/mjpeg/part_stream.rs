//! The stream of multipart parts for one client: decides which part is sent when. What writes the parts to the socket
//! does not matter here.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use framecast_hub::{Delivery, Rendition, Subscriber, Update};
use tokio::time::Instant;

use super::pacer::Pacer;
use super::packer::{Packer, Packers, Packing};
use super::part::Part;
use super::{Framing, StreamRequest};
use crate::ladder::Ladder;
use crate::viewers::{self, SkipCounter};
use crate::{client_key, rendition};

/// What the sender of a stream does next.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Send this part.
    Part(Part),
    /// Send nothing before this time, even if a new frame is published.
    Due(Instant),
    /// Send nothing until a new frame is published. If there is a time, also stop waiting at this time.
    Wait(Option<Instant>),
    /// End the stream, because no more frames will be published.
    End,
}

/// The stream of multipart parts for one client. It stores no frame: it looks up the newest one when the connection has
/// room.
#[derive(Debug)]
pub(crate) struct PartStream {
    /// Makes the parts from the frames that `subscriber` reads from its channel. The packer is dropped before the
    /// subscriber, because a packer must not outlive the channel: the sequence numbers of a later channel of the same
    /// rendition begin again, so the packer might return parts with old pictures.
    packer: Arc<Packer>,
    subscriber: Subscriber,
    /// The guard that registers the stream as a viewer. It also gives access to the viewer's statistics.
    viewer: viewers::ViewerGuard,
    framing: Framing,
    packing: Packing,
    pacer: Pacer,
    skips: SkipCounter,
    adapt: Option<Box<Adaptation>>,
}

/// The state of a stream that `?adapt` allows to change to another picture size.
#[derive(Debug)]
struct Adaptation {
    request: StreamRequest,
    packers: Packers,
    /// The picture sizes to choose from. The largest is the size of the stream's first picture, so this is `None`
    /// before that picture.
    ladder: Option<Ladder>,
    /// The picture size to change to; `None` if no change is under way. The stream sends pictures of the old size until
    /// the first picture of the new size exists.
    pending: Option<PendingSwitch>,
}

#[derive(Debug)]
struct PendingSwitch {
    rung: usize,
    rendition: Rendition,
    subscriber: Subscriber,
}

impl PartStream {
    pub(crate) fn new(
        subscriber: Subscriber,
        packers: &Packers,
        viewer: viewers::ViewerGuard,
        request: StreamRequest,
        resend_after: Duration,
    ) -> Self {
        let packer =
            packers.get_or_create(viewer.feed().id(), request.rendition, request.part_format.boundary);
        let pacer = Pacer::new(request.interval, resend_after);
        let adapt = request
            .adapt
            .then(|| Box::new(Adaptation { request, packers: packers.clone(), ladder: None, pending: None }));
        let (framing, packing, skips) =
            (request.part_format.framing, Packing::Pieces, SkipCounter::default());
        Self { packer, subscriber, viewer, framing, packing, pacer, skips, adapt }
    }

    /// Makes each part be in one buffer, to which the picture is copied.
    pub(crate) fn in_one_buffer(self) -> Self {
        Self { packing: Packing::OneBuffer, ..self }
    }

    /// Returns the bytes to send before the first part.
    pub(crate) fn opening(&self) -> Bytes {
        self.packer.opening(self.framing)
    }

    /// Returns the bytes to send after the last part.
    pub(crate) fn closing(&self) -> Bytes {
        self.packer.closing()
    }

    /// Returns what to do next: send the newest picture if one is due, send the last picture again if no new one has
    /// come for a while, wait, or end the stream.
    pub(crate) fn next(&mut self, now: Instant) -> Next {
        if let Some(due_at) = self.pacer.due_after(now) {
            return Next::Due(due_at);
        }
        if let Some(update) = self.subscriber.try_next() {
            return Next::Part(self.part(&update, now));
        }
        if self.subscriber.has_ended() {
            // A frame that was published between the two checks is the last one.
            let last = self.subscriber.try_next();
            return last.map_or(Next::End, |update| Next::Part(self.part(&update, now)));
        }
        match self.pacer.resend_at() {
            Some(resend_at) if resend_at <= now => match self.subscriber.current() {
                Some(update) => Next::Part(self.part_again(&update, now)),
                // The camera is not live any more and has no slate yet: there is nothing to show.
                None => Next::Wait(None),
            },
            resend_at => Next::Wait(resend_at),
        }
    }

    /// Returns when to call [`next`](Self::next) again after a part was sent, even if no new frame is published until
    /// then.
    #[cfg(target_os = "linux")]
    pub(crate) fn wake_at(&self, now: Instant) -> Option<Instant> {
        self.pacer.due_after(now).or_else(|| self.pacer.resend_at())
    }

    /// Returns the part for a picture that was not sent before.
    fn part(&mut self, update: &Update, now: Instant) -> Part {
        let part = self.packed(update, now);
        let age = SystemTime::now().duration_since(update.frame.captured_at).unwrap_or_default();
        self.viewer.sent(part.len(), age);
        if !update.is_slate {
            self.viewer.shows(update.frame.format.codec);
        }
        self.skipped(now);
        part
    }

    /// Returns the part for the last picture, to send this picture again. The picture's age is not recorded: it would
    /// show how slow the camera is, not how late the stream is.
    fn part_again(&mut self, update: &Update, now: Instant) -> Part {
        let part = self.packed(update, now);
        self.viewer.resent(part.len());
        self.skipped(now);
        part
    }

    fn skipped(&mut self, now: Instant) {
        let skipped = self.skips.count(self.subscriber.skipped(), self.pacer.interval(), now);
        self.viewer.skipped(skipped);
    }

    fn packed(&mut self, update: &Update, now: Instant) -> Part {
        self.pacer.sent(now);
        let part = self.packer.part(self.framing, self.packing, update);
        if let Some(adapt) = self.adapt.as_mut().filter(|_| !update.is_slate) {
            let width_px = update.frame.format.width_px;
            adapt.ladder.get_or_insert_with(|| Ladder::new(width_px, now)).sent(part.len());
        }
        part
    }

    /// Changes to a smaller or larger picture size if the client requested adaptation and the link requires the change.
    /// `bytes_per_second` is the speed of the link, or `None` if the link is fast enough for all pictures. Returns
    /// whether the stream now reads another channel, the one with the pictures of the new size.
    pub(crate) fn adapt(&mut self, now: Instant, bytes_per_second: Option<u64>) -> bool {
        let Some(Adaptation { request, packers, ladder: Some(ladder), pending }) = self.adapt.as_deref_mut()
        else {
            return false;
        };
        if let Some(next) = pending.take_if(|next| next.subscriber.has_next()) {
            self.packer =
                packers.get_or_create(self.viewer.feed().id(), next.rendition, request.part_format.boundary);
            self.subscriber = next.subscriber.in_place_of(&mut self.subscriber);
            self.viewer.set_rendition(next.rendition);
            ladder.switched(now, next.rung);
            return true;
        }
        // The link need not carry more pictures than there are. Their rate is looked up only if the link is too slow.
        let feed = self.viewer.feed();
        let there_are = |_: &u64| request.max_fps().min(feed.frames_per_second().unwrap_or(f64::INFINITY));
        let max_fps = bytes_per_second.as_ref().map_or(f64::INFINITY, there_are);
        if let Some(rung) = ladder.propose(now, bytes_per_second, max_fps).filter(|_| pending.is_none()) {
            let width_px = ladder.width_px(rung);
            let fps = Some(request.max_fps()).filter(|fps| fps.is_finite());
            let narrow = |width_px| rendition::narrowed(request.rendition, width_px, fps);
            let rendition = width_px.map_or(request.rendition, narrow);
            let client = self.viewer.peer().map(client_key);
            let feed = self.viewer.feed();
            // The stream has a demand already, which moves to the new subscriber with the change.
            match feed.watch_from(client, rendition, Delivery::Latest, None) {
                Ok(subscriber) => *pending = Some(PendingSwitch { rung, rendition, subscriber }),
                // The limit on renditions is reached: this viewer keeps its size.
                Err(_) => ladder.switch_failed(now),
            }
        }
        false
    }

    /// Returns a subscriber of the channel that this stream reads.
    pub(crate) fn channel(&self) -> &Subscriber {
        &self.subscriber
    }

    /// Returns the guard that registers the stream as a viewer.
    pub(crate) fn viewer(&mut self) -> &mut viewers::ViewerGuard {
        &mut self.viewer
    }

    /// Returns the viewer's statistics, which the writer thread updates.
    pub(crate) fn stats(&self) -> &viewers::ViewerStats {
        &self.viewer
    }
}

#[cfg(test)]
mod tests {
    #![warn(clippy::disallowed_methods)]

    use framecast_hub::Hub;
    use framecast_testkit::{frame, number_of};

    use super::*;
    use crate::mjpeg::{Boundary, PartFormat};
    use crate::publish::Publish;
    use crate::{Transport, Viewers};

    #[tokio::test]
    async fn another_size_is_sent_from_its_first_picture_on_and_the_former_one_until_then() {
        let feed = Hub::new().add("door", SystemTime::UNIX_EPOCH).unwrap();
        let viewer = Viewers::default().admit(&feed, None, Transport::Mjpeg).unwrap();
        let part_format = PartFormat { boundary: Boundary::Frame, framing: Framing::Standard };
        let request = StreamRequest {
            part_format,
            rendition: Rendition::default(),
            interval: Duration::ZERO,
            adapt: true,
        };
        let subscriber = feed.watch(request.rendition, Delivery::Latest).unwrap();
        let mut stream =
            PartStream::new(subscriber, &Packers::default(), viewer, request, Duration::from_secs(1));
        let mut now = Instant::now();
        let number = |stream: &mut PartStream, now| match stream.next(now) {
            Next::Part(part) => {
                let part = part.into_bytes();
                number_of(&part[part.windows(2).position(|pair| pair == b"\xFF\xD8").unwrap()..])
            }
            other => panic!("{other:?}"),
        };
        // The test's pictures are tiny, so the test puts in a ladder for large ones.
        stream.adapt.as_mut().unwrap().ladder = Some(Ladder::new(1280, now));
        feed.publish(frame(1));
        assert!(!stream.adapt(now, Some(1)));
        assert_eq!(number(&mut stream, now), Some(1));

        now += Duration::from_secs(2);
        assert!(!stream.adapt(now, Some(1)), "the smaller size is asked for");
        let (rendition, smaller) = feed.renditions().borrow()[0].clone();
        assert_eq!(rendition.width_px(), Some(320));
        assert_eq!(feed.viewer_count(), 1, "it is one viewer all the time");
        feed.publish(frame(2));
        assert!(!stream.adapt(now, Some(1)));
        assert_eq!(number(&mut stream, now), Some(2));

        smaller.publish(frame(100));
        assert!(stream.adapt(now, Some(1)), "there is a picture of it");
        assert_eq!(number(&mut stream, now), Some(100));
        assert_eq!(stream.stats().rendition(), rendition);
        feed.publish(frame(3));
        assert!(matches!(stream.next(now), Next::Wait(_)));
        assert_eq!((feed.main_channel().subscriber_count(), feed.viewer_count()), (0, 1));
        drop(stream);
        assert_eq!(feed.viewer_count(), 0);
    }

    #[tokio::test]
    async fn smaller_pictures_are_made_at_the_rate_asked_for() {
        let feed = Hub::new().add("door", SystemTime::UNIX_EPOCH).unwrap();
        let viewer = Viewers::default().admit(&feed, None, Transport::Mjpeg).unwrap();
        let part_format = PartFormat { boundary: Boundary::Frame, framing: Framing::Standard };
        let (rendition, interval) = (Rendition::default(), Duration::from_millis(200));
        let request = StreamRequest { part_format, rendition, interval, adapt: true };
        let subscriber = feed.watch(request.rendition, Delivery::Latest).unwrap();
        let mut stream =
            PartStream::new(subscriber, &Packers::default(), viewer, request, Duration::from_secs(1));
        let now = Instant::now();
        stream.adapt.as_mut().unwrap().ladder = Some(Ladder::new(1280, now));
        feed.publish(frame(1));
        assert!(matches!(stream.next(now), Next::Part(_)));
        stream.adapt(now + Duration::from_secs(2), Some(1));
        assert_eq!(feed.renditions().borrow()[0].0.to_string(), "width=320&fps=5");
    }

    #[tokio::test]
    async fn a_picture_that_is_sent_again_does_not_make_the_stream_look_old() {
        let feed = Hub::new().add("door", SystemTime::UNIX_EPOCH).unwrap();
        let viewer = Viewers::default().admit(&feed, None, Transport::Mjpeg).unwrap();
        let part_format = PartFormat { boundary: Boundary::Frame, framing: Framing::Standard };
        let request = StreamRequest {
            part_format,
            rendition: Rendition::default(),
            interval: Duration::ZERO,
            adapt: false,
        };
        let subscriber = feed.watch(request.rendition, Delivery::Latest).unwrap();
        let mut stream =
            PartStream::new(subscriber, &Packers::default(), viewer, request, Duration::from_secs(1));
        feed.publish(frame(1));
        let now = Instant::now();
        assert!(matches!(stream.next(now), Next::Part(_)));
        let age = stream.stats().age().unwrap();
        assert!(matches!(stream.next(now + Duration::from_secs(1)), Next::Part(_)));
        assert_eq!((stream.stats().frames(), stream.stats().age()), (2, Some(age)));
    }

    #[tokio::test]
    async fn a_stream_that_gets_the_rate_it_asked_for_skips_nothing() {
        let feed = Hub::new().add("door", SystemTime::UNIX_EPOCH).unwrap();
        let viewer = Viewers::default().admit(&feed, None, Transport::Mjpeg).unwrap();
        let part_format = PartFormat { boundary: Boundary::Frame, framing: Framing::Standard };
        let interval = Duration::from_millis(500);
        let request = StreamRequest { part_format, rendition: Rendition::default(), interval, adapt: false };
        let subscriber = feed.watch(request.rendition, Delivery::Latest).unwrap();
        let mut stream =
            PartStream::new(subscriber, &Packers::default(), viewer, request, Duration::from_secs(1));
        let begin = Instant::now();
        for n in 0..4_u32 {
            (0..15).for_each(|_| feed.publish(frame(1)));
            assert!(matches!(stream.next(begin + interval * n), Next::Part(_)));
        }
        assert_eq!((stream.stats().frames(), stream.stats().skipped_frames()), (4, 0));
        (0..45).for_each(|_| feed.publish(frame(1)));
        assert!(matches!(stream.next(begin + interval * 6), Next::Part(_)));
        assert_eq!(stream.stats().skipped_frames(), 2, "it asked for two more");
    }
}
