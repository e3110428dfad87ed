//! Tests the rules of the pool, with work that blocks at a gate until the test opens that gate.
#![warn(clippy::disallowed_methods)]

use std::sync::mpsc::{Receiver, RecvError, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use framecast_media::{Bytes, Codec, Format, Timestamp};
use framecast_testkit::blocking::{joined, received};

use super::*;

fn frame(number: i64) -> Frame {
    Frame::new(
        Bytes::new(),
        Timestamp::from_ticks(number),
        SystemTime::UNIX_EPOCH,
        Arc::new(Format::new(Codec::Jpeg, 1, 1)),
    )
}

/// A pool whose threads report which frame they took, and then wait until the test opens a gate for that frame.
struct Gated {
    /// The frames that threads took, each as its number and its gate. This field must be dropped before the pool:
    /// dropping it opens all gates, and dropping the pool waits for threads that wait at a gate.
    taken: Receiver<(i64, Sender<Outcome>)>,
    pool: Pool,
}

enum Outcome {
    Good,
    Bad,
    Panic,
}

impl Gated {
    fn new(threads: usize) -> Self {
        let (announce, taken) = channel();
        let announce = Mutex::new(announce);
        let work = move || -> Result<EncodeFn, Error> {
            let announce = announce.lock().unwrap().clone();
            Ok(Box::new(move |frame: &Frame, _: &TargetFormat| {
                let (open, gate) = channel();
                let _ = announce.send((frame.pts.ticks(), open));
                match received("the gate opens", &gate) {
                    Ok(Outcome::Good) | Err(_) => Ok(frame.clone()),
                    Ok(Outcome::Bad) => Err(Error::Pure { message: "bad".into() }),
                    Ok(Outcome::Panic) => panic!("a codec that fails, as the test asked for"),
                }
            }))
        };
        let threads = NonZeroUsize::new(threads).unwrap();
        Self { pool: Pool::start(Backend::pure_rust(), threads, work).unwrap(), taken }
    }

    /// Returns the next frame that a thread took, as its number and its gate.
    fn next(&self) -> (i64, Sender<Outcome>) {
        received("a thread takes a frame", &self.taken).unwrap()
    }

    /// Creates an output queue, and a receiver that gets each result: the number of the frame, or `None` for an error.
    fn queue(&self) -> (TestQueue, Receiver<Option<i64>>) {
        let (sender, results) = channel();
        let sender = Mutex::new(sender);
        let queue = self.queue_to(move |result| {
            let number = result.ok().map(|frame| frame.pts.ticks());
            let _ = sender.lock().unwrap().send(number);
        });
        (queue, results)
    }

    /// Creates an output queue that passes all results to `deliver`.
    fn queue_to(&self, deliver: impl Fn(Result<Frame, Error>) + Send + Sync + 'static) -> TestQueue {
        TestQueue { queue: self.pool.output_queue(TargetFormat::default()), deliver: Arc::new(deliver) }
    }
}

/// An output queue, and the function to which it delivers its results.
struct TestQueue {
    queue: OutputQueue,
    deliver: Arc<dyn Fn(Result<Frame, Error>) + Send + Sync>,
}

impl TestQueue {
    fn push(&self, frame: Frame) {
        let deliver = Arc::clone(&self.deliver);
        self.queue.push(frame, move |result| deliver(result));
    }

    fn stats(&self) -> QueueStats {
        self.queue.stats()
    }
}

/// Waits for the next result; an error if no more come.
fn result<T>(results: &Receiver<T>) -> Result<T, RecvError> {
    received("a result", results)
}

fn open(gate: &Sender<Outcome>) {
    gate.send(Outcome::Good).unwrap();
}

#[test]
fn one_frame_waits_and_a_newer_one_takes_its_place() {
    let gated = Gated::new(1);
    let (queue, results) = gated.queue();
    queue.push(frame(0));
    let (number, gate) = gated.next();
    assert_eq!(number, 0);
    (1..=5).for_each(|number| queue.push(frame(number)));
    assert_eq!(queue.stats().dropped, 4);
    open(&gate);
    let (number, gate) = gated.next();
    assert_eq!(number, 5, "the newest");
    open(&gate);
    assert_eq!((result(&results), result(&results)), (Ok(Some(0)), Ok(Some(5))));
    assert_eq!(
        QueueStats { encoding_time: Duration::ZERO, ..queue.stats() },
        QueueStats { encoded: 2, dropped: 4, ..QueueStats::default() }
    );
}

#[test]
fn results_come_in_the_order_of_the_offers_whichever_is_ready_first() {
    let gated = Gated::new(3);
    let (queue, results) = gated.queue();
    let gates: Vec<_> = (0..3)
        .map(|number| {
            queue.push(frame(number));
            gated.next().1
        })
        .collect();
    // A fourth waits: only as many frames of an output queue are on threads as there are threads.
    queue.push(frame(3));
    open(&gates[2]);
    open(&gates[1]);
    assert!(results.try_recv().is_err());
    open(&gates[0]);
    assert_eq!([(); 3].map(|()| result(&results).unwrap()), [Some(0), Some(1), Some(2)]);
    let (number, gate) = gated.next();
    assert_eq!((number, queue.stats().dropped), (3, 0));
    open(&gate);
    assert_eq!(result(&results), Ok(Some(3)));
}

#[test]
fn lanes_take_turns() {
    let gated = Gated::new(1);
    let (busy, quiet) = (gated.queue(), gated.queue());
    busy.0.push(frame(0));
    let (_, gate) = gated.next();
    busy.0.push(frame(1));
    quiet.0.push(frame(100));
    busy.0.push(frame(2));
    open(&gate);
    let mut order = Vec::new();
    for offered in 3..6 {
        let (number, gate) = gated.next();
        order.push(number);
        busy.0.push(frame(offered));
        open(&gate);
    }
    assert_eq!(order, [100, 3, 4], "the queue that is offered most waits behind the other");
}

#[test]
fn a_lane_hands_nothing_over_after_it_was_dropped() {
    let gated = Gated::new(2);
    let (queue, results) = gated.queue();
    queue.push(frame(0));
    let (_, first) = gated.next();
    queue.push(frame(1));
    let (_, second) = gated.next();
    queue.push(frame(2));
    drop(queue);
    open(&first);
    open(&second);
    // The last frame drops the deliveries, and their sender with them.
    assert!(result(&results).is_err());
    drop(gated);
}

#[test]
fn a_lane_that_is_dropped_waits_for_a_delivery_that_runs() {
    let gated = Gated::new(1);
    let (entered, has_entered) = channel();
    let (leave, may_leave) = channel::<()>();
    let done = Arc::new(Mutex::new(false));
    let (gate, seen) = (Mutex::new((entered, may_leave)), done.clone());
    let queue = gated.queue_to(move |_| {
        let gate = gate.lock().unwrap();
        gate.0.send(()).unwrap();
        let _ = received("the leave", &gate.1);
        *seen.lock().unwrap() = true;
    });
    queue.push(frame(0));
    open(&gated.next().1);
    received("the delivery runs", &has_entered).unwrap();
    let dropper = thread::spawn(move || {
        drop(queue);
        *done.lock().unwrap()
    });
    drop(leave);
    assert!(joined("the queue is gone", dropper), "the delivery had ended when the queue was gone");
}

#[test]
fn a_delivery_may_drop_its_own_lane() {
    let gated = Gated::new(1);
    let slot = Arc::new(Mutex::new(None::<TestQueue>));
    let (sender, results) = channel();
    let (own, sender) = (slot.clone(), Mutex::new(sender));
    let queue = gated.queue_to(move |_| {
        drop(own.lock().unwrap().take());
        sender.lock().unwrap().send(()).unwrap();
    });
    queue.push(frame(0));
    *slot.lock().unwrap() = Some(queue);
    open(&gated.next().1);
    assert_eq!(result(&results), Ok(()));
}

#[test]
fn neither_a_codec_nor_a_delivery_that_panics_ends_a_thread() {
    let gated = Gated::new(1);
    let (queue, results) = gated.queue();
    let failing = gated.queue_to(|_| panic!("a delivery that fails, as the test asked for"));
    queue.push(frame(0));
    gated.next().1.send(Outcome::Panic).unwrap();
    assert_eq!(result(&results), Ok(None));
    queue.push(frame(1));
    gated.next().1.send(Outcome::Bad).unwrap();
    assert_eq!(result(&results), Ok(None));
    failing.push(frame(2));
    open(&gated.next().1);
    queue.push(frame(3));
    open(&gated.next().1);
    assert_eq!(result(&results), Ok(Some(3)));
    let counts = queue.stats();
    assert_eq!((counts.encoded, counts.errors, counts.dropped), (1, 2, 0));
}

#[test]
fn a_pool_ends_its_threads_and_lanes_outlive_it() {
    let gated = Gated::new(2);
    let (queue, results) = gated.queue();
    drop(gated);
    queue.push(frame(0));
    queue.push(frame(1));
    assert!(results.try_recv().is_err());
    assert_eq!(QueueStats { dropped: 1, ..QueueStats::default() }, queue.stats());
}

#[test]
fn frames_of_one_lane_share_their_format() {
    let gated = Gated::new(1);
    let (sender, results) = channel();
    let sender = Mutex::new(sender);
    let queue = gated.queue_to(move |result| {
        sender.lock().unwrap().send(result.unwrap().format).unwrap();
    });
    let formats: Vec<_> = (0..2)
        .map(|number| {
            queue.push(frame(number));
            open(&gated.next().1);
            result(&results).unwrap()
        })
        .collect();
    assert!(Arc::ptr_eq(&formats[0], &formats[1]));
}
