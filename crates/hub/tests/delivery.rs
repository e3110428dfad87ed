//! Delivery, by random schedules: of frames, openings, pauses, slates, and subscribers that come, read, sleep and go.
//! Whatever happens, no subscriber gets a frame that it cannot decode, a frame out of order, or a silent gap, and the
//! channel's memory is bounded.

#![warn(clippy::disallowed_methods)]

use std::time::SystemTime;

use fastrand::Rng;
use framecast_hub::{Channel, Delivery, Epoch, Feed, Hub, Publisher, RingLimits, Subscriber, Update};
use framecast_media::{Anchor, Dependency, Frame};
use framecast_testkit::{CodedDecoder, CodedStream, coded_number, frame};

const SCHEDULES: u64 = 10_000;
const STEPS: u32 = 120;
const MAX_FRAME_BYTES: usize = 2000;
const ANCHOR: Anchor = Anchor::new(SystemTime::UNIX_EPOCH);

/// A subscriber, and what it must find true of all that it gets.
struct Reader {
    subscriber: Subscriber,
    delivery: Delivery,
    decoder: CodedDecoder,
    last: Option<Update>,
    received: u64,
    /// The number of its first frame, and how many frames it had skipped then.
    first: Option<(u64, u64)>,
}

impl Reader {
    fn new(subscriber: Subscriber, delivery: Delivery) -> Self {
        let decoder = CodedDecoder::default();
        Self { subscriber, delivery, decoder, last: None, received: 0, first: None }
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
            self.check(&update)?;
            self.last = Some(update);
        }
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
    let limits = RingLimits { backlog_bytes: rng.usize(0..6000), gop_bytes: rng.usize(1000..6000) };
    let channel = Channel::with_limits(limits);
    let bound = limits.backlog_bytes.max(limits.gop_bytes).max(MAX_FRAME_BYTES);
    let (mut stream, mut readers) = (CodedStream::default(), Vec::new());
    let mut epoch = Epoch { number: 1, anchor: ANCHOR };
    for _ in 0..rng.u32(1..STEPS) {
        match rng.u8(0..20) {
            0 => {
                epoch.number += 1;
                stream.reopen();
            }
            1 => channel.hide(),
            2 => {
                channel.publisher().publish_slate(frame(0));
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
    drop(channel);
    drain(readers)
}

/// What the publishers of a camera may publish: only the newest, and only until the camera is suspended.
struct Camera {
    feed: std::sync::Arc<Feed>,
    publishers: Vec<Publisher>,
    is_open: bool,
    stream: CodedStream,
}

impl Camera {
    fn step(&mut self, rng: &mut Rng) -> Result<(), String> {
        match rng.u8(0..16) {
            0 | 1 => {
                self.publishers.push(self.feed.begin_epoch(ANCHOR));
                self.is_open = true;
                self.stream.reopen();
            }
            2 => {
                self.feed.suspend();
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
            _ => {
                let Some(publisher) = self.publishers.last_mut() else { return Ok(()) };
                if !self.is_open {
                    return if publisher.publish(frame(0)) {
                        Err("it had no right to".to_owned())
                    } else {
                        Ok(())
                    };
                }
                if !publisher.publish(next_frame(rng, &mut self.stream)) {
                    return Err("the newest publisher was refused".to_owned());
                }
            }
        }
        Ok(())
    }
}

/// A camera that is opened, lost, suspended and resumed, and in the end removed.
fn run_camera(rng: &mut Rng) -> Result<(), String> {
    let hub = Hub::new();
    let feed = hub.add("door", SystemTime::UNIX_EPOCH).map_err(|error| error.to_string())?;
    let mut camera = Camera { feed, publishers: Vec::new(), is_open: false, stream: CodedStream::default() };
    let mut readers = Vec::new();
    for _ in 0..rng.u32(1..STEPS) {
        camera.step(rng)?;
        visit(rng, &mut readers, |delivery| camera.feed.main_channel().subscribe(delivery))?;
    }
    camera.feed.end();
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
