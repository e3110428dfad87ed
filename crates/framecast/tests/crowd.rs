//! Two hundred viewers at once, in many rounds: all get pictures, the camera opens and closes once a round, and nothing
//! leaks.
//!
//! Ten rounds by default; `FRAMECAST_ROUNDS=100 cargo test --test crowd` for the full test. It is a separate test
//! program, because it counts the descriptors and threads of its process.
#![allow(clippy::unwrap_used)]
#![warn(clippy::disallowed_methods)]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use framecast::CameraState;
use framecast_testkit::{TestViewer, pause, soon, until};
use framecast_testkit_server::camera::{Camera, PLAY};
use framecast_testkit_server::server::{Server, settings};
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinSet;

const VIEWERS: usize = 200;

/// The longest time that a viewer stays after its first picture.
const LONGEST_STAY: Duration = Duration::from_millis(300);

/// The resources of a process that can leak.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct ProcessUsage {
    tasks: usize,
    descriptors: usize,
    camera_threads: usize,
}

impl ProcessUsage {
    fn now() -> Self {
        let descriptors = std::fs::read_dir("/proc/self/fd").unwrap().count();
        let threads = std::fs::read_dir("/proc/self/task").unwrap();
        let camera_threads = threads
            .filter_map(|thread| std::fs::read_to_string(thread.ok()?.path().join("comm")).ok())
            .filter(|name| name.starts_with("cam-"))
            .count();
        Self { tasks: Handle::current().metrics().num_alive_tasks(), descriptors, camera_threads }
    }

    /// The resources once they have not changed for a second and a half. After many connections have ended, a task
    /// lives for a second, and then returns memory to the system.
    async fn settled() -> Self {
        let (mut held, mut looks) = (Self::now(), 0);
        while looks < 300 {
            pause(Duration::from_millis(5)).await;
            let now = Self::now();
            looks = if now == held { looks + 1 } else { 0 };
            held = now;
        }
        held
    }

    /// Whether these are the resources `before`, or those and the task that returns memory to the system.
    fn is_settling_to(self, before: Self) -> bool {
        self == before || self == Self { tasks: before.tasks + 1, ..before }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_viewers_at_once_open_the_camera_once_and_leave_nothing_behind() {
    let rounds: u64 = std::env::var("FRAMECAST_ROUNDS").map_or(10, |text| text.parse().unwrap());
    let camera = Camera::new("door", PLAY);
    let server = Server::start(settings(&[&camera]), &[&camera]).await;
    // The first round creates what is created once and stays, such as the runtime's own descriptors.
    run_round(&server, &camera, 1).await;
    let before = ProcessUsage::settled().await;
    let started = Instant::now();
    let mut pictures = 0;
    for round in 2..=rounds + 1 {
        pictures += run_round(&server, &camera, round).await;
        until("nothing is left of the round", || ProcessUsage::now().is_settling_to(before)).await;
    }
    until("nothing is left of all rounds", || ProcessUsage::now() == before).await;
    let feed = server.feed("door").stats();
    println!(
        "{rounds} rounds of {VIEWERS} viewers in {:.1?}: {pictures} pictures, opened {} and closed {} times, \
         before {before:?}, after {:?}",
        started.elapsed(),
        feed.opened - 1,
        feed.closed - 1,
        ProcessUsage::now(),
    );
    assert_eq!((feed.opened, feed.closed), (rounds + 1, rounds + 1));
    server.stop().await;
    until("no task of the server is left", || {
        let after = ProcessUsage::now();
        (after.tasks, after.camera_threads) == (0, 0)
    })
    .await;
}

/// One round: all viewers come, all leave, the camera closes. Returns how many pictures they saw.
async fn run_round(server: &Server, camera: &Camera, round: u64) -> u64 {
    let mut random = fastrand::Rng::with_seed(round);
    let (go, _) = watch::channel(false);
    let here = Arc::new(watch::Sender::new(0));
    let mut viewers = JoinSet::new();
    for _ in 0..VIEWERS {
        let stream = soon("the system accepts", TcpStream::connect(server.address)).await.unwrap();
        let guest = ConnectedViewer {
            stream,
            address: server.address,
            go: go.subscribe(),
            here: Arc::clone(&here),
            // A quarter stays until all are here. Otherwise the camera might close while some are still connecting,
            // which would be correct but is not the subject of this test.
            waits_for_all: random.u8(..) < 64,
            stay: LONGEST_STAY.mul_f64(random.f64()),
        };
        viewers.spawn(guest.watch());
    }
    go.send_replace(true);
    let seen = soon("all have seen pictures and left", viewers.join_all()).await;
    assert!(seen.iter().all(|pictures| *pictures > 0), "one got no picture");
    camera.wait_closed(round).await;
    server.wait_state("door", CameraState::Idle).await;
    assert_eq!((camera.opened(), camera.closed()), (round, round));
    seen.into_iter().sum()
}

/// A connected viewer that waits for the start signal.
struct ConnectedViewer {
    stream: TcpStream,
    address: SocketAddr,
    go: watch::Receiver<bool>,
    here: Arc<watch::Sender<usize>>,
    waits_for_all: bool,
    stay: Duration,
}

impl ConnectedViewer {
    /// Watches until it leaves, and returns how many pictures of the camera it saw.
    async fn watch(mut self) -> u64 {
        self.go.wait_for(|go| *go).await.unwrap();
        let mut viewer = TestViewer::open_on(self.stream, self.address, "/video_feed").await.unwrap();
        viewer.next_number().await.unwrap();
        let mut pictures = 1;
        self.here.send_modify(|here| *here += 1);
        let mut here = self.here.subscribe();
        let leaves = async {
            if self.waits_for_all {
                here.wait_for(|here| *here == VIEWERS).await.unwrap();
            }
            pause(self.stay).await;
        };
        let looks = async {
            while viewer.next_number().await.is_some() {
                pictures += 1;
            }
        };
        tokio::select! {
            () = leaves => {}
            () = looks => panic!("the stream ended"),
        }
        pictures
    }
}
