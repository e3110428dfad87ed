//! Delivery, by random schedules: of frames, openings, pauses, slates, encoders, and subscribers that come, read, sleep
//! and go.
//! Whatever happens, no subscriber gets a frame that it cannot decode, a frame out of order, or a silent gap, and the
//! channel's memory is bounded.

#![warn(clippy::disallowed_methods)]

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use fastrand::Rng;
use framecast_hub::{
    Channel, ChannelPublisher, Delivery, Epoch, Feed, Hub, Publisher, Rendition, RingLimits,
    SourceSubscriber, Subscriber, Update,
};
use framecast_media::{Anchor, Codec, ColorRange, Dependency, Format, Frame, PixelFormat};
use framecast_testkit::{CodedDecoder, CodedStream, coded_number, frame};

const SCHEDULES: u64 = 10_000;
const STEPS: u32 = 120;
const MAX_FRAME_BYTES: usize = 2000;
/// More than what a channel counts for a frame beside its data.
const FRAME_BYTES: usize = 300;
const ANCHOR: Anchor = Anchor::new(SystemTime::UNIX_EPOCH);

/// A subscriber, and what it must find true of all that it gets.
struct Reader {
    subscriber: Subscriber,
    delivery: Delivery,
    decoder: CodedDecoder,
    last: Option<Update>,
    received: u64,
    /// How many frames its updates said were skipped.
    told: u64,
    /// The number of its first frame, and how many frames it had skipped then.
    first: Option<(u64, u64)>,
}

impl Reader {
    fn new(subscriber: Subscriber, delivery: Delivery) -> Self {
        let decoder = CodedDecoder::default();
        Self { subscriber, delivery, decoder, last: None, received: 0, told: 0, first: None }
    }

    /// Reads up to `most` updates and checks each.
    fn read(&mut self, most: u32) -> Result<(), String> {
        for _ in 0..most {
            let has_next = self.subscriber.has_next();
            let Some(update) = self.subscriber.try_next() else {
                return if has_next {
                    Err("an update was announced and did not come".to_owned())
                } else {
                    Ok(())
                };
            };
            self.accept(update)?;
        }
        Ok(())
    }

    /// Asks for what the channel shows now, and checks that nothing else changes.
    fn look(&mut self) -> Result<(), String> {
        let skipped = self.subscriber.skipped();
        let Some(update) = self.subscriber.current() else { return Ok(()) };
        let is_new = self.last.as_ref().is_none_or(|last| update.sequence > last.sequence);
        if self.delivery == Delivery::Latest && is_new {
            return self.accept(update);
        }
        if !update.is_slate && !update.frame.is_keyframe {
            return Err("what is shown needs another frame".to_owned());
        }
        if (update.skipped, self.subscriber.skipped()) != (0, skipped) {
            return Err("what is shown again says that frames were skipped".to_owned());
        }
        Ok(())
    }

    fn accept(&mut self, update: Update) -> Result<(), String> {
        self.told += update.skipped;
        let skipped = self.subscriber.skipped();
        if self.told != skipped {
            return Err(format!("{} frames were told as skipped, and {skipped} were", self.told));
        }
        self.check(&update)?;
        self.last = Some(update);
        Ok(())
    }

    fn check(&mut self, update: &Update) -> Result<(), String> {
        if let Some(last) = &self.last {
            if update.sequence <= last.sequence {
                return Err(format!("update {} came after update {}", update.sequence, last.sequence));
            }
            if update.epoch.number < last.epoch.number {
                return Err(format!("epoch {} came after {}", update.epoch.number, last.epoch.number));
            }
        }
        if update.is_slate {
            return if self.delivery == Delivery::InOrder {
                Err("a slate in order".to_owned())
            } else {
                Ok(())
            };
        }
        self.decoder.decode(&update.frame)?;
        let number = coded_number(&update.frame);
        let skipped = self.subscriber.skipped();
        let (first, skipped_before) = *self.first.get_or_insert((number, skipped));
        self.received += 1;
        // What it got and what it was told that it skipped is all that was published since its first frame.
        let (told, published) = (self.received + skipped - skipped_before, number - first + 1);
        if told != published {
            return Err(format!(
                "at frame {number}: {told} of {published} frames were received or told as skipped"
            ));
        }
        let is_after_slate = self.last.as_ref().is_some_and(|last| last.is_slate);
        if self.delivery == Delivery::InOrder || !is_after_slate {
            let continues = self.last.as_ref().is_some_and(|last| last.epoch == update.epoch);
            let has_gap = self.delivery == Delivery::InOrder && update.skipped > 0;
            if update.is_discontinuity == (continues && !has_gap) {
                return Err(format!("frame {number}: discontinuity {}", update.is_discontinuity));
            }
        }
        if self.delivery == Delivery::Latest && !update.frame.is_keyframe {
            return Err(format!("frame {number} does not stand alone"));
        }
        Ok(())
    }
}

fn delivery(rng: &mut Rng) -> Delivery {
    if rng.bool() { Delivery::InOrder } else { Delivery::Latest }
}

/// The next frame of a camera: mostly one that needs others, and sometimes a large one.
fn next_frame(rng: &mut Rng, stream: &mut CodedStream) -> Frame {
    let dependency = match rng.u8(0..10) {
        0 => Dependency::Keyframe,
        1..=3 => Dependency::Disposable,
        _ => Dependency::Reference,
    };
    let len_bytes = if rng.u8(0..8) == 0 { MAX_FRAME_BYTES } else { rng.usize(16..200) };
    stream.next(dependency, len_bytes)
}

/// Lets some readers read, come or go.
fn visit(
    rng: &mut Rng,
    readers: &mut Vec<Reader>,
    subscribe: impl Fn(Delivery) -> Subscriber,
) -> Result<(), String> {
    match rng.u8(0..8) {
        0 if readers.len() < 6 => {
            let delivery = delivery(rng);
            readers.push(Reader::new(subscribe(delivery), delivery));
        }
        1 if !readers.is_empty() => {
            readers.swap_remove(rng.usize(..readers.len()));
        }
        2..=4 if !readers.is_empty() => {
            let at = rng.usize(..readers.len());
            readers[at].read(rng.u32(1..20))?;
        }
        5 if !readers.is_empty() => {
            let at = rng.usize(..readers.len());
            readers[at].look()?;
        }
        _ => {}
    }
    Ok(())
}

/// Reads what is left after the end.
fn drain(readers: Vec<Reader>) -> Result<(), String> {
    for mut reader in readers {
        reader.read(u32::MAX)?;
        if !reader.subscriber.has_ended() || reader.subscriber.try_next().is_some() {
            return Err("a subscriber does not hear of the end".to_owned());
        }
    }
    Ok(())
}

/// One channel with little memory: overrun, new epochs and hidden frames.
fn run_channel(rng: &mut Rng) -> Result<(), String> {
    let limits = RingLimits {
        backlog_bytes: rng.usize(0..6000),
        gop_bytes: rng.usize(1000..6000),
        ..RingLimits::default()
    };
    let channel = Channel::with_limits(limits);
    let bound = limits.backlog_bytes.max(limits.gop_bytes).max(MAX_FRAME_BYTES + FRAME_BYTES);
    let (mut stream, mut readers) = (CodedStream::default(), Vec::new());
    let mut epoch = Epoch { number: 1, anchor: ANCHOR };
    let mut stale = None;
    for _ in 0..rng.u32(1..STEPS) {
        match rng.u8(0..20) {
            0 => {
                epoch.number += 1;
                stream.reopen();
            }
            1 => {
                stale = Some(channel.publisher());
                channel.hide();
            }
            2 => {
                channel.publisher().publish_slate(frame(0));
            }
            3 => epoch.anchor = anchor(rng),
            4 if stale.as_ref().is_some_and(|stale| stale.publish(frame(0), epoch)) => {
                return Err("a publisher from before the channel was hidden published".to_owned());
            }
            _ => {
                if !channel.publisher().publish(next_frame(rng, &mut stream), epoch) {
                    return Err("a frame of the newest epoch was refused".to_owned());
                }
            }
        }
        visit(rng, &mut readers, |delivery| channel.subscribe(delivery))?;
        if channel.held_bytes() > bound {
            return Err(format!("the channel holds {} bytes; the bound is {bound}", channel.held_bytes()));
        }
    }
    let publisher = channel.publisher();
    drop(channel);
    if publisher.publish(frame(0), epoch) || publisher.publish_slate(frame(0)) {
        return Err("a frame or slate was published after the end".to_owned());
    }
    drain(readers)
}

/// A wall clock that was set.
fn anchor(rng: &mut Rng) -> Anchor {
    Anchor::new(SystemTime::UNIX_EPOCH + Duration::from_secs(rng.u64(1..100)))
}

/// What the publishers of a camera may publish: only the newest, and only until the camera is suspended.
struct Camera {
    feed: Arc<Feed>,
    publishers: Vec<Publisher>,
    is_open: bool,
    stream: CodedStream,
    anchor: Anchor,
    /// The format of raw pictures, which the server must encode; `None` for coded video.
    raw: Option<Arc<Format>>,
    suspensions: u64,
}

impl Camera {
    fn new(hub: &Hub, raw: Option<Arc<Format>>) -> Result<Self, String> {
        let feed = hub.add("door", SystemTime::UNIX_EPOCH).map_err(|error| error.to_string())?;
        let (publishers, stream) = (Vec::new(), CodedStream::default());
        Ok(Self { feed, publishers, is_open: false, stream, anchor: ANCHOR, raw, suspensions: 0 })
    }

    fn next_frame(&mut self, rng: &mut Rng) -> Frame {
        let mut frame = next_frame(rng, &mut self.stream);
        if let Some(raw) = &self.raw {
            frame = Frame::new(frame.data, frame.pts, frame.captured_at, Arc::clone(raw));
        }
        frame.wall_time = self.anchor.time_of(frame.pts);
        frame
    }

    fn step(&mut self, rng: &mut Rng) -> Result<(), String> {
        match rng.u8(0..16) {
            0 | 1 => {
                self.publishers.push(self.feed.begin_epoch(self.anchor));
                self.is_open = true;
                self.stream.reopen();
            }
            2 => {
                self.feed.suspend();
                self.suspensions += 1;
                self.is_open = false;
            }
            3 => {
                self.feed.end_epoch();
                self.is_open = false;
            }
            4 => self.feed.slate_publisher().publish(frame(0)),
            5 => self.feed.resume(),
            6 if self.publishers.len() > 1 => {
                let stale = rng.usize(..self.publishers.len() - 1);
                if self.publishers[stale].publish(frame(0)) {
                    return Err("a stale publisher published".to_owned());
                }
            }
            7 => self.anchor = anchor(rng),
            _ if self.is_open => {
                let frame = self.next_frame(rng);
                if !self.publishers.last_mut().is_some_and(|newest| newest.publish(frame)) {
                    return Err("the newest publisher was refused".to_owned());
                }
            }
            _ => {
                if self.publishers.iter_mut().any(|publisher| publisher.publish(frame(0))) {
                    return Err("it had no right to".to_owned());
                }
            }
        }
        Ok(())
    }

    /// Removes the camera. Nothing is published after that.
    fn end(&mut self) -> Result<(), String> {
        self.feed.end();
        let has_published = self.publishers.iter_mut().any(|publisher| publisher.publish(frame(0)));
        if has_published { Err("a frame was published after the end".to_owned()) } else { Ok(()) }
    }
}

/// A camera that is opened, lost, suspended and resumed, and in the end removed.
fn run_camera(rng: &mut Rng) -> Result<(), String> {
    let hub = Hub::new();
    let mut camera = Camera::new(&hub, None)?;
    let mut readers = Vec::new();
    for _ in 0..rng.u32(1..STEPS) {
        camera.step(rng)?;
        visit(rng, &mut readers, |delivery| camera.feed.main_channel().subscribe(delivery))?;
    }
    camera.end()?;
    drain(readers)
}

/// A task that encodes the raw frames of a camera, in the main channel or in that of a rendition.
struct Encoder {
    source: SourceSubscriber,
    channel: Channel,
    stream: CodedStream,
    /// What it is encoding: the right to publish it, how often the camera had been suspended by then, and its epoch.
    begun: VecDeque<(ChannelPublisher, u64, Epoch)>,
    /// The next picture that it gives out.
    next: Option<Frame>,
}

impl Encoder {
    fn new(feed: &Feed, channel: Channel) -> Self {
        let (source, stream) = (feed.subscribe_to_source(), CodedStream::default());
        Self { source, channel, stream, begun: VecDeque::new(), next: None }
    }

    /// Begins to encode what the camera shows.
    fn begin(&mut self, suspensions: u64) {
        let publisher = self.channel.publisher();
        if let Some(update) = self.source.current().filter(|update| !update.is_slate) {
            self.begun.push_back((publisher, suspensions, update.epoch));
        }
    }

    /// Publishes what it has encoded.
    fn finish(&mut self, suspensions: u64) -> Result<(), String> {
        let Some((publisher, before, epoch)) = self.begun.pop_front() else { return Ok(()) };
        let next = self.next.get_or_insert_with(|| self.stream.next(Dependency::Keyframe, 100));
        let is_published = publisher.publish(next.clone(), epoch);
        if is_published {
            self.next = None;
        }
        if is_published && before != suspensions {
            return Err("a picture from before the camera was suspended was published".to_owned());
        }
        Ok(())
    }
}

/// A camera whose raw pictures are encoded, with delays.
fn run_encoded(rng: &mut Rng) -> Result<(), String> {
    let hub = Hub::new();
    let raw = Codec::Raw(PixelFormat::Grey, ColorRange::Full);
    let mut camera = Camera::new(&hub, Some(Arc::new(Format::new(raw, 1, 1))))?;
    let feed = Arc::clone(&camera.feed);
    let small = Rendition::default().with_width(320);
    let _viewer = feed.watch(small, Delivery::Latest).map_err(|error| error.to_string())?;
    let rendition = feed.renditions().borrow()[0].1.clone();
    let channel = if rng.bool() { rendition } else { feed.main_channel().clone() };
    let (mut encoder, mut readers) = (Encoder::new(&feed, channel.clone()), Vec::new());
    for _ in 0..rng.u32(1..STEPS) {
        match rng.u8(0..4) {
            0 => encoder.begin(camera.suspensions),
            1 => encoder.finish(camera.suspensions)?,
            _ => camera.step(rng)?,
        }
        visit(rng, &mut readers, |delivery| channel.subscribe(delivery))?;
    }
    camera.end()?;
    encoder.begin(camera.suspensions);
    while !encoder.begun.is_empty() {
        encoder.finish(camera.suspensions)?;
        if encoder.next.is_none() {
            return Err("a picture was published after the end".to_owned());
        }
    }
    drain(readers)
}

fn run_schedules(run: fn(&mut Rng) -> Result<(), String>) {
    for seed in 0..SCHEDULES {
        if let Err(problem) = run(&mut Rng::with_seed(seed)) {
            panic!("schedule {seed}: {problem}");
        }
    }
}

#[test]
fn no_schedule_of_a_channel_hands_out_a_frame_without_its_reference_or_a_silent_gap() {
    run_schedules(run_channel);
}

#[test]
fn no_schedule_of_a_camera_hands_out_a_frame_without_its_reference_or_a_silent_gap() {
    run_schedules(run_camera);
}

#[test]
fn no_schedule_of_an_encoder_shows_a_picture_from_before_the_camera_was_lost_or_out_of_order() {
    run_schedules(run_encoded);
}
