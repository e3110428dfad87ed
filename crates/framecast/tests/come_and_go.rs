//! A camera is added, watched, replaced, watched again and removed, in many rounds, while fifty viewers watch other
//! cameras: these lose no frame, and nothing is left of the rounds.
//!
//! Twenty rounds by default; `FRAMECAST_ROUNDS=1000 cargo test --test come_and_go -- --nocapture` for the full test. It
//! is a separate test program, because it counts the tasks, descriptors, threads and memory of its process.
#![allow(clippy::unwrap_used)]
#![warn(clippy::disallowed_methods)]

use std::time::{Duration, Instant};

use framecast::Drivers;
use framecast_testkit::{TestViewer, pause, until};
use framecast_testkit_server::camera::{Act, Camera};
use framecast_testkit_server::process::Usage;
use framecast_testkit_server::server::{Server, camera_settings, settings};
use framecast_testkit_server::watchers::{FOLLOWS, PLAYS, Watchers};
use tokio::runtime::Handle;

const VIEWERS: usize = 50;

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
    let viewers = Watchers::start(server.address, &staying, VIEWERS).await;
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
    let [followed, played] = viewers.finish().await;
    println!(
        "{rounds} rounds in {took:.1?}: {VIEWERS} viewers of others got {} pictures of the camera that waits and lost \
         {}, and {} of the other and lost {}; {before:?} before, {after:?} after; {warm_kib:?} KiB after {WARM_ROUNDS} rounds, {end_kib} KiB at the end",
        followed.pictures, followed.lost, played.pictures, played.lost,
    );
    // A busy machine can cost a viewer of the camera that waits for nobody a picture, so that counts only in the full test.
    assert_eq!((followed.lost, if asked.is_some() { played.lost } else { 0 }), (0, 0));
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
    assert!(viewer.last().await.is_some_and(|last| last.is_slate()));
    assert!(viewer.has_ended_cleanly());
}
