//! A camera is added, watched, replaced, watched again and removed, in many rounds, while fifty viewers watch other
//! cameras: these lose no frame, and nothing is left of the rounds.
//!
//! Twenty rounds by default; `FRAMECAST_ROUNDS=1000 cargo test --test come_and_go -- --nocapture` for the full test. It
//! is a separate test program, because it counts the tasks, descriptors, threads and memory of its process.
#![allow(clippy::unwrap_used)]
#![warn(clippy::disallowed_methods)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use framecast::Drivers;
use framecast_testkit::{TestViewer, pause, soon, until};
use framecast_testkit_server::camera::{Act, Camera};
use framecast_testkit_server::process::Usage;
use framecast_testkit_server::server::{Server, camera_settings, settings};
use tokio::runtime::Handle;
use tokio::task::JoinSet;

const VIEWERS: usize = 50;

/// A camera that stays, and goes on when all its viewers have got its picture: if one viewer does not get a picture, or
/// its stream ends, the test does not go on.
const FOLLOWS: Act = Act::Follow { ahead: 1, len_bytes: 2048 };

/// A camera that stays, and waits for nobody. A tenth of a second between two pictures: a viewer that waits longer for
/// its turn loses one. A busy machine can cause that too, so this counts only in the full test.
const PLAYS: Act = Act::Play { fps: 10, len_bytes: 2048 };

/// The camera that comes and goes.
const COMES: Act = Act::Play { fps: 100, len_bytes: 2048 };

/// After so many rounds, memory must not grow any more.
const WARM_ROUNDS: u64 = 100;

const MAX_GROWTH_KIB: u64 = 2048;

/// The resources of this process that can leak.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Resources {
    tasks: usize,
    descriptors: usize,
    /// All threads but those of the runtime, which come and go with the blocking work of the moment.
    threads: usize,
}

impl Resources {
    fn now() -> Self {
        let usage = Usage::of(std::process::id());
        let threads = usage.threads.iter().filter(|(name, _)| !name.starts_with("tokio-"));
        Self {
            tasks: Handle::current().metrics().num_alive_tasks(),
            descriptors: usage.descriptors.values().sum(),
            threads: threads.map(|(_, count)| count).sum(),
        }
    }

    /// Whether nothing is left that was not there in `before`. There may be less: after a camera has closed, a task
    /// returns memory to the system a little later.
    fn is_down_to(&self, before: &Self) -> bool {
        self.tasks <= before.tasks && self.descriptors <= before.descriptors && self.threads <= before.threads
    }

    /// The resources once they have not changed for a while.
    async fn settled() -> Self {
        let (mut held, mut looks) = (Self::now(), 0);
        while looks < 50 {
            pause(Duration::from_millis(5)).await;
            let now = Self::now();
            looks = if now == held { looks + 1 } else { 0 };
            held = now;
        }
        held
    }
}

fn resident_kib() -> u64 {
    Usage::of(std::process::id()).resident_kib
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cameras_that_come_and_go_cost_viewers_of_others_no_frame_and_leave_nothing_behind() {
    let asked: Option<u64> = std::env::var("FRAMECAST_ROUNDS").ok().map(|text| text.parse().unwrap());
    let rounds = asked.unwrap_or(20);
    let staying = [Camera::new("yard", FOLLOWS), Camera::new("door", PLAYS)];
    let (guest, other) = (Camera::new("guest", COMES), Camera::new("other", COMES));
    let drivers = [&staying[0], &staying[1], &guest, &other]
        .into_iter()
        .fold(Drivers::builtin(), |drivers, camera| drivers.with(camera.clone()));
    let server = Server::start_with(settings(&[&staying[0], &staying[1]]), drivers).await;
    let is_over = Arc::new(AtomicBool::new(false));
    let viewers = watch_others(&server, &staying, &is_over).await;
    // The first rounds create what is created once and stays, such as threads for blocking calls.
    for round in 1..=5 {
        run_round(&server, [&guest, &other], round).await;
    }
    let before = Resources::settled().await;
    let started = Instant::now();
    let mut warm_kib = None;
    for round in 6..=rounds + 5 {
        run_round(&server, [&guest, &other], round).await;
        until("nothing is left of the round", || Resources::now().is_down_to(&before)).await;
        if round == WARM_ROUNDS {
            warm_kib = Some(resident_kib());
        }
    }
    let (end_kib, after, took) = (resident_kib(), Resources::now(), started.elapsed());
    is_over.store(true, Ordering::SeqCst);
    let watched = soon("the viewers have counted", viewers.join_all()).await;
    let [followed, played] = staying.each_ref().map(|camera| {
        let watched = watched.iter().filter(|watched| watched.camera == camera.name());
        watched.fold((0, 0), |sum, one| (sum.0 + one.pictures, sum.1 + one.lost))
    });
    println!(
        "{rounds} rounds in {took:.1?}: {VIEWERS} viewers of others got {} pictures of the camera that waits and lost \
         {}, and {} of the other and lost {}; {before:?} before, {after:?} after; {warm_kib:?} KiB after {WARM_ROUNDS} rounds, {end_kib} KiB at the end",
        followed.0, followed.1, played.0, played.1,
    );
    assert_eq!((followed.1, if asked.is_some() { played.1 } else { 0 }), (0, 0));
    assert_eq!((guest.opened(), guest.closed()), (rounds + 5, rounds + 5));
    assert_eq!((other.opened(), other.closed()), (rounds + 5, rounds + 5));
    for camera in &staying {
        assert_eq!((camera.opened(), camera.closed()), (1, 0));
    }
    if let Some(warm_kib) = warm_kib {
        assert!(end_kib.saturating_sub(warm_kib) <= MAX_GROWTH_KIB, "{warm_kib} KiB grew to {end_kib} KiB");
    }
    server.stop().await;
}

/// The newest numbers that the viewers of a camera have seen, and the camera.
#[derive(Clone)]
struct Seen {
    camera: Camera,
    numbers: Arc<[AtomicU64; VIEWERS / 2]>,
}

impl Seen {
    fn new(camera: Camera) -> Self {
        Self { camera, numbers: Arc::new([const { AtomicU64::new(0) }; VIEWERS / 2]) }
    }

    /// Viewer `n` has seen this number. Lets the camera go on once all have seen it.
    fn saw(&self, n: usize, number: u64) {
        self.numbers[n].store(number, Ordering::SeqCst);
        self.camera.saw(self.numbers.iter().map(|seen| seen.load(Ordering::SeqCst)).min().unwrap());
    }
}

/// What one viewer got.
struct Watched {
    camera: &'static str,
    pictures: u64,
    /// The numbers that are missing between the first and the last picture.
    lost: u64,
}

/// Starts the viewers, half of them for each of `cameras`.
async fn watch_others(server: &Server, cameras: &[Camera; 2], is_over: &Arc<AtomicBool>) -> JoinSet<Watched> {
    let seen = cameras.clone().map(Seen::new);
    let mut viewers = JoinSet::new();
    for n in 0..VIEWERS {
        let seen = seen[n % seen.len()].clone();
        let path = format!("/cameras/{}/stream.mjpg", seen.camera.name());
        let viewer = TestViewer::open(server.address, &path).await.unwrap();
        viewers.spawn(watch_all(viewer, n / 2, seen, Arc::clone(is_over)));
    }
    viewers
}

/// Reads the pictures of viewer `n` until `is_over`.
async fn watch_all(mut viewer: TestViewer, n: usize, seen: Seen, is_over: Arc<AtomicBool>) -> Watched {
    let mut last = viewer.next_number().await.unwrap();
    let mut watched = Watched { camera: seen.camera.name(), pictures: 1, lost: 0 };
    seen.saw(n, last);
    while !is_over.load(Ordering::SeqCst) {
        let number = viewer.next_number().await.unwrap();
        // The last picture is sent again if no other comes for a while.
        watched.lost += number.saturating_sub(last + 1);
        watched.pictures += 1;
        last = number;
        seen.saw(n, number);
    }
    // The others must not wait for this viewer any more.
    seen.saw(n, u64::MAX / 2);
    watched
}

/// One round: a camera comes and is watched, gets another source and is watched, and goes. Each round has one of a few
/// names, as when an administrator adds and removes the same cameras again and again.
async fn run_round(server: &Server, cameras: [&Camera; 2], round: u64) {
    let name = format!("guest-{}", round % 7);
    let [first, second] = cameras.map(|camera| camera_settings(&name, &format!("{}:", camera.name())));
    server.cameras.add(first).await.unwrap();
    let old = watch(server, &name).await;
    server.cameras.replace(second).await.unwrap();
    let new = watch(server, &name).await;
    ends_with_a_slate(old).await;
    server.cameras.remove(&name).await.unwrap();
    ends_with_a_slate(new).await;
    assert!(server.cameras.hub().get(&name).is_none());
}

/// A viewer of the camera that has seen a picture.
async fn watch(server: &Server, name: &str) -> TestViewer {
    let path = format!("/cameras/{name}/stream.mjpg");
    let mut viewer = TestViewer::open(server.address, &path).await.unwrap();
    viewer.next_number().await.unwrap();
    viewer
}

async fn ends_with_a_slate(mut viewer: TestViewer) {
    let mut was_slate = false;
    while let Some(seen) = viewer.next().await {
        was_slate = seen.is_slate();
    }
    assert!(was_slate && viewer.has_ended_cleanly());
}
