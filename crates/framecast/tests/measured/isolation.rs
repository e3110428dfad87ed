//! One of four cameras fails in every known way; the viewers of two others must not notice.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use framecast_testkit::{TestViewer, jpeg, soon};
use framecast_testkit_server::camera::{Act, Camera};
use framecast_testkit_server::server::{SOON_STALLED, Server, settings};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use crate::Report;

const VIEWERS_A_CAMERA: usize = 5;

const SOUND: Act = Act::Play { fps: 30, len_bytes: 20_000 };

/// The allowed difference of rate and age from the run without a fault.
const RATE_TOLERANCE: f64 = 1.0;
const AGE_TOLERANCE: Duration = Duration::from_millis(50);

/// The default rate limit of a camera.
const MAX_FPS: f64 = 120.0;

const FAULTS: [(&str, Act); 6] = [
    ("fails", Act::Fail("the cable is out")),
    ("hangs", Act::Silent),
    ("blocks its thread", Act::Block),
    ("panics", Act::Panic),
    ("yields garbage, 10,000 a second", Act::Garbage { fps: 10_000 }),
    ("floods, 10,000 a second of 4 KiB", Act::Play { fps: 10_000, len_bytes: 4096 }),
];

/// What the viewers of the good cameras got.
#[derive(Debug, Clone, Copy)]
struct Measured {
    /// The median over the viewers of each one's pictures per second.
    median_fps: f64,
    /// The 95th percentile of the pictures' age at their arrival.
    p95_age: Duration,
}

pub(crate) async fn measure(report: &mut Report) {
    let period = Duration::from_secs(crate::setting("FRAMECAST_SECONDS", 10));
    let cameras = [Camera::new("one", SOUND), Camera::new("two", SOUND), Camera::new("bad", SOUND)];
    let cameras: Vec<&Camera> = cameras.iter().collect();
    let bad = cameras[2];
    let folder = tempfile::tempdir().unwrap();
    let mut settings = settings(&cameras);
    settings.cameras[2].stall_timeout = Some(SOON_STALLED);
    settings.add_camera("killed", &mortal_program(folder.path())).unwrap();
    let server = Server::start(settings, &cameras).await;

    let mut watchers = Vec::new();
    for name in ["one", "two"] {
        for _ in 0..VIEWERS_A_CAMERA {
            watchers.push(Watcher::new(open(&server, name).await));
        }
    }
    let _at_bad = Watcher::new(open(&server, "bad").await);
    let without = look(&watchers, period).await;
    println!("isolation: {} viewers of two cameras, {period:?} each", watchers.len());
    println!("       without a fault: {}", without.text());

    for (fault, act) in FAULTS {
        bad.act(act);
        let (feed, from) = (server.feed("bad"), Instant::now());
        let before = feed.stats().frames;
        let got = look(&watchers, period).await;
        report.check(got.is_like(without), &format!("while one {fault}: {}", got.text()));
        if fault.starts_with("floods") {
            let frames = (feed.stats().frames - before) as f64;
            let fps = frames / from.elapsed().as_secs_f64();
            let over = feed.stats().over_rate;
            // Plus a burst of three.
            let holds = frames <= MAX_FPS * from.elapsed().as_secs_f64() + 3.0 && over > 0;
            report.check(holds, &format!("the flood is held to {fps:.1} fps; {over} pictures left out"));
        }
        bad.act(SOUND);
        server.wait_state("bad", framecast::CameraState::Live).await;
    }

    let _at_killed = Watcher::new(open(&server, "killed").await);
    let got = look(&watchers, period).await;
    let opened = server.feed("killed").stats().opened;
    let text = format!("while the program of one is killed, {opened} times: {}", got.text());
    report.check(got.is_like(without) && opened > 1, &text);
    server.stop().await;
}

/// The source of a camera whose program writes twenty pictures and is then killed.
fn mortal_program(folder: &Path) -> String {
    let script = folder.join("camera.sh");
    let picture = folder.join("picture.jpg");
    std::fs::write(&picture, jpeg(320, 240, 1)).unwrap();
    let picture = picture.display();
    let text =
        format!("n=0; while [ $n -lt 20 ]; do n=$((n+1)); cat '{picture}'; sleep 0.05; done; kill -9 $$");
    std::fs::write(&script, text).unwrap();
    format!("exec:sh '{}'", script.display())
}

async fn open(server: &Server, camera: &str) -> TestViewer {
    let target = format!("/cameras/{camera}/stream.mjpg");
    let mut viewer = TestViewer::open(server.address, &target).await.unwrap();
    soon("a first picture", viewer.next_number()).await.unwrap();
    viewer
}

/// A viewer that reads continuously, and the ages of its pictures since the last look.
struct Watcher {
    ages: Arc<Mutex<Vec<Duration>>>,
    task: JoinHandle<()>,
}

impl Watcher {
    fn new(mut viewer: TestViewer) -> Self {
        let ages = Arc::<Mutex<Vec<Duration>>>::default();
        let into = Arc::clone(&ages);
        let task = tokio::spawn(async move {
            while let Some(seen) = viewer.next().await {
                // A slate counts as a picture that is too old.
                let age = if seen.is_slate() { None } else { seen.age(SystemTime::now()) };
                into.lock().unwrap().push(age.unwrap_or(Duration::MAX));
            }
        });
        Self { ages, task }
    }

    fn take(&self) -> Vec<Duration> {
        std::mem::take(&mut self.ages.lock().unwrap())
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What the viewers get within `period`.
async fn look(watchers: &[Watcher], period: Duration) -> Measured {
    for watcher in watchers {
        watcher.take();
    }
    sleep(period).await;
    let mut counts = Vec::new();
    let mut ages = Vec::new();
    for watcher in watchers {
        let seen = watcher.take();
        counts.push(seen.len());
        ages.extend(seen);
    }
    counts.sort_unstable();
    ages.sort_unstable();
    let middle = (counts[counts.len() / 2] + counts[(counts.len() - 1) / 2]) as f64 / 2.0;
    let p95_age = ages.get(ages.len() * 95 / 100).copied().unwrap_or(Duration::MAX);
    Measured { median_fps: middle / period.as_secs_f64(), p95_age }
}

impl Measured {
    fn text(self) -> String {
        format!("median {:.2} fps, 95 % at most {:.1?} old", self.median_fps, self.p95_age)
    }

    fn is_like(self, other: Self) -> bool {
        (self.median_fps - other.median_fps).abs() <= RATE_TOLERANCE
            && self.p95_age.abs_diff(other.p95_age) <= AGE_TOLERANCE
    }
}
