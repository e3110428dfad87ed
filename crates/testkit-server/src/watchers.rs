//! Many viewers of two cameras that stay, while a test does something else: what each of them got, and what it lost.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use framecast_testkit::{TestViewer, soon};
use tokio::task::JoinSet;

use crate::camera::{Act, Camera};

/// A camera that stays, and goes on when all its viewers have got its picture: if one viewer does not get a picture, or
/// its stream ends, the test does not go on.
pub const FOLLOWS: Act = Act::Follow { ahead: 1, len_bytes: 2048 };

/// A camera that stays, and waits for nobody. A tenth of a second between two pictures: a viewer that waits longer for
/// its turn loses one. A busy machine can cause that too.
pub const PLAYS: Act = Act::Play { fps: 10, len_bytes: 2048 };

/// The viewers, half of them for each camera.
pub struct Watchers {
    viewers: JoinSet<Watched>,
    is_over: Arc<AtomicBool>,
    cameras: [Camera; 2],
}

/// What all viewers of one camera got together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Total {
    /// The pictures that they got.
    pub pictures: u64,
    /// The pictures that are missing between the first and the last of each viewer.
    pub lost: u64,
}

/// The newest numbers that the viewers of a camera have seen, and the camera.
#[derive(Clone)]
struct Seen {
    camera: Camera,
    numbers: Arc<[AtomicU64]>,
}

impl Seen {
    fn new(camera: Camera, viewers: usize) -> Self {
        Self { camera, numbers: (0..viewers).map(|_| AtomicU64::new(0)).collect() }
    }

    /// Viewer `n` has seen this number. Lets the camera go on once all have seen it.
    fn saw(&self, n: usize, number: u64) {
        self.numbers[n].store(number, Ordering::SeqCst);
        self.camera.saw(self.numbers.iter().map(|seen| seen.load(Ordering::SeqCst)).min().unwrap_or(0));
    }
}

/// What one viewer got.
struct Watched {
    camera: &'static str,
    total: Total,
}

impl Watchers {
    /// Starts `count` viewers, half of them for each of `cameras`, each of which has seen a picture.
    pub async fn start(address: SocketAddr, cameras: &[Camera; 2], count: usize) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let seen = cameras.clone().map(|camera| Seen::new(camera, count / 2));
        let mut viewers = JoinSet::new();
        for n in 0..count {
            let seen = seen[n % seen.len()].clone();
            let path = format!("/cameras/{}/stream.mjpg", seen.camera.name());
            let viewer = TestViewer::open(address, &path).await.unwrap();
            viewers.spawn(watch_all(viewer, n / 2, seen, Arc::clone(&is_over)));
        }
        Self { viewers, is_over, cameras: cameras.clone() }
    }

    /// Ends the viewers. Returns what those of each camera got.
    pub async fn finish(self) -> [Total; 2] {
        self.is_over.store(true, Ordering::SeqCst);
        let watched = soon("the viewers have counted", self.viewers.join_all()).await;
        self.cameras.each_ref().map(|camera| {
            let of_camera = watched.iter().filter(|watched| watched.camera == camera.name());
            of_camera.fold(Total::default(), |sum, Watched { total, .. }| Total {
                pictures: sum.pictures + total.pictures,
                lost: sum.lost + total.lost,
            })
        })
    }
}

/// Reads the pictures of viewer `n` until `is_over`.
async fn watch_all(mut viewer: TestViewer, n: usize, seen: Seen, is_over: Arc<AtomicBool>) -> Watched {
    let mut last = viewer.next_number().await.unwrap();
    let mut total = Total { pictures: 1, lost: 0 };
    seen.saw(n, last);
    while !is_over.load(Ordering::SeqCst) {
        let number = viewer.next_number().await.unwrap();
        // The last picture is sent again if no other comes for a while.
        total.lost += number.saturating_sub(last + 1);
        total.pictures += 1;
        last = number;
        seen.saw(n, number);
    }
    // The others must not wait for this viewer any more.
    seen.saw(n, u64::MAX / 2);
    Watched { camera: seen.camera.name(), total }
}
