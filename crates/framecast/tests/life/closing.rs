//! How a source is closed: its driver may say goodbye to the device, and a driver that fails to do so hurts nobody.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use framecast::{
    BoxFuture, CameraState, Cameras, CaptureTime, Delivery, DemandKind, Driver, DriverError, Drivers, Frame,
    FrameBuilder, OpenContext, Settings, Source, SourceUrl,
};
use framecast_testkit::{TestViewer, blocking, jpeg_of_len, pause, soon};
use framecast_testkit_server::camera::{Camera, PLAY};
use framecast_testkit_server::server::{Server, settings};
use tokio::sync::watch;

/// What the driver does when it is asked to close its source.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Goodbye {
    /// Waits a moment, as for a device's answer, and has closed.
    Said,
    /// Waits for an answer that never comes.
    Awaited,
    Panics,
    /// Blocks its thread.
    Blocks,
    /// Has closed at once, but leaves a call behind that blocks on another thread, as for a file system that hangs.
    LeavesBlocked,
}

/// A driver of sources `polite:` that counts openings, goodbyes and drops.
#[derive(Clone)]
struct Polite(Arc<Shared>);

struct Shared {
    goodbye: Goodbye,
    /// Whether each source ends after its first picture.
    ends: AtomicBool,
    opened: watch::Sender<u64>,
    /// How many sources have said goodbye to the end.
    said: watch::Sender<u64>,
    dropped: watch::Sender<u64>,
    /// Whether threads that block go on.
    is_released: AtomicBool,
}

impl Shared {
    fn block(&self) {
        while !self.is_released.load(Ordering::Relaxed) {
            blocking::pause(Duration::from_millis(5));
        }
    }
}

impl Polite {
    fn new(goodbye: Goodbye) -> Self {
        Self(Arc::new(Shared {
            goodbye,
            ends: AtomicBool::new(false),
            opened: watch::Sender::new(0),
            said: watch::Sender::new(0),
            dropped: watch::Sender::new(0),
            is_released: AtomicBool::new(false),
        }))
    }

    fn opened(&self) -> u64 {
        *self.0.opened.borrow()
    }

    async fn wait_said(&self, times: u64) {
        let mut said = self.0.said.subscribe();
        soon("the source says goodbye", said.wait_for(|said| *said >= times)).await.unwrap();
    }
}

fn count(counter: &watch::Sender<u64>) {
    counter.send_modify(|count| *count += 1);
}

impl Driver for Polite {
    fn scheme(&self) -> &'static str {
        "polite"
    }

    fn open<'a>(
        &'a self,
        context: &'a OpenContext,
        _: &'a SourceUrl,
    ) -> BoxFuture<'a, Result<Box<dyn Source>, DriverError>> {
        Box::pin(async {
            count(&self.0.opened);
            let builder = FrameBuilder::new(context);
            Ok(Box::new(Open { shared: Arc::clone(&self.0), builder, pictures: 0 }) as Box<dyn Source>)
        })
    }
}

struct Open {
    shared: Arc<Shared>,
    builder: FrameBuilder,
    pictures: u64,
}

impl Source for Open {
    fn next_frame(&mut self) -> BoxFuture<'_, Result<Option<Frame>, DriverError>> {
        Box::pin(async {
            pause(Duration::from_millis(10)).await;
            if self.pictures > 0 && self.shared.ends.load(Ordering::Relaxed) {
                return Ok(None);
            }
            self.pictures += 1;
            self.builder.jpeg_frame(jpeg_of_len(2048, self.pictures), CaptureTime::Now).map(Some)
        })
    }

    fn close(self: Box<Self>) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            // Fails without the thread's runtime.
            pause(Duration::from_millis(10)).await;
            match self.shared.goodbye {
                Goodbye::Said => count(&self.shared.said),
                Goodbye::Awaited => std::future::pending().await,
                Goodbye::Panics => panic!("the device is not polite"),
                Goodbye::Blocks => self.shared.block(),
                Goodbye::LeavesBlocked => {
                    let shared = Arc::clone(&self.shared);
                    drop(tokio::task::spawn_blocking(move || shared.block()));
                }
            }
        })
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        count(&self.shared.dropped);
    }
}

/// A server with the camera `polite` of this driver and the camera `gate`.
async fn server(driver: &Polite) -> Server {
    let gate = Camera::new("gate", PLAY);
    let mut settings = settings(&[&gate]);
    let mut polite = Settings::with_cameras([("polite", "polite:")]).unwrap().cameras.remove(0);
    polite.idle_timeout = settings.cameras[0].idle_timeout;
    settings.cameras.push(polite);
    Server::start_with(settings, Drivers::builtin().with(driver.clone()).with(gate)).await
}

/// Opens the camera `name` and waits for a picture.
async fn watch(server: &Server, name: &str) -> TestViewer {
    let path = format!("/cameras/{name}/stream.mjpg");
    let mut viewer = TestViewer::open(server.address, &path).await.unwrap();
    soon("a picture", viewer.next_number()).await.unwrap();
    viewer
}

#[tokio::test]
async fn a_source_says_goodbye_after_its_last_viewer_at_its_end_and_when_the_server_ends() {
    let driver = Polite::new(Goodbye::Said);
    let server = server(&driver).await;
    drop(watch(&server, "polite").await);
    driver.wait_said(1).await;
    server.wait_state("polite", CameraState::Idle).await;
    driver.0.ends.store(true, Ordering::Relaxed);
    let viewer = watch(&server, "polite").await;
    driver.wait_said(3).await;
    server.stop().await;
    drop(viewer);
    assert_eq!(*driver.0.said.borrow(), driver.opened());
}

#[tokio::test]
async fn a_driver_that_hangs_or_panics_while_it_closes_hurts_no_camera() {
    for goodbye in [Goodbye::Awaited, Goodbye::Panics, Goodbye::Blocks] {
        let driver = Polite::new(goodbye);
        let server = server(&driver).await;
        let mut bystander = watch(&server, "gate").await;
        for opened in 1..=2 {
            drop(watch(&server, "polite").await);
            // Who comes within a second of the last picture sees that one, before the source opens.
            let mut openings = driver.0.opened.subscribe();
            soon("the source opens", openings.wait_for(|count| *count == opened)).await.unwrap();
            server.wait_state("polite", CameraState::Idle).await;
            soon("a picture of the other camera", bystander.next_number()).await.unwrap();
        }
        driver.0.is_released.store(true, Ordering::Relaxed);
        let mut dropped = driver.0.dropped.subscribe();
        soon("both are dropped", dropped.wait_for(|dropped| *dropped == 2)).await.unwrap();
        assert_eq!(*driver.0.said.borrow(), 0);
        server.stop().await;
    }
}

#[tokio::test]
async fn a_camera_that_replaces_one_whose_threads_hang_starts_no_more_of_them_than_that_one() {
    for goodbye in [Goodbye::Blocks, Goodbye::LeavesBlocked] {
        let driver = Polite::new(goodbye);
        let settings = Settings::with_cameras([("polite", "polite:")]).unwrap();
        let again = settings.cameras[0].clone();
        let cameras = Cameras::start(settings, Drivers::builtin().with(driver.clone())).await.unwrap();
        let mut feed = cameras.hub().get("polite").unwrap();
        for opened in 1..=4 {
            let _viewer = feed.subscribe(Delivery::Latest, feed.demand(DemandKind::Viewer));
            let mut openings = driver.0.opened.subscribe();
            soon("the source opens", openings.wait_for(|count| *count == opened)).await.unwrap();
            feed = soon("the camera is replaced", cameras.replace(again.clone())).await.unwrap();
        }
        let mut viewer = feed.subscribe(Delivery::InOrder, feed.demand(DemandKind::Viewer));
        let mut status = feed.watch_status();
        let named =
            status.wait_for(|status| status.reason.as_ref().is_some_and(|text| text.contains("hang")));
        soon("the status says why the source stays closed", named).await.unwrap();
        assert_eq!(driver.opened(), 4);
        driver.0.is_released.store(true, Ordering::Relaxed);
        soon("a picture", viewer.next()).await.unwrap();
        cameras.close().await;
    }
}
