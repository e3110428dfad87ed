//! The server under test: the one that people run, on a free port.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use framecast::{
    App, CameraSettings, CameraState, CameraStatus, Cameras, CancellationToken, Drivers, Event, EventReader,
    Feed, Hub, Settings, SourceUrl,
};
use framecast_testkit::soon;
use tokio::task::JoinHandle;

use crate::camera::Camera;

/// A running server.
pub struct Server {
    /// Where the server listens.
    pub address: SocketAddr,
    /// The server's cameras, to add and remove some.
    pub cameras: Cameras,
    hub: Hub,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

/// A `stall_timeout` for tests about stalled cameras.
pub const SOON_STALLED: Duration = Duration::from_millis(500);

/// Longer than any test, however slow the machine is.
pub const AN_HOUR: Duration = Duration::from_secs(3600);

/// Settings for `cameras`, each named by its scheme: soon idle without a viewer, and never stalled.
pub fn settings(cameras: &[&Camera]) -> Settings {
    let sources: Vec<(String, String)> = cameras
        .iter()
        .map(|camera| camera.name())
        .map(|name| (name.to_owned(), format!("{name}:")))
        .collect();
    let sources = sources.iter().map(|(name, source)| (name.as_str(), source.as_str()));
    let mut settings = Settings::with_cameras(sources).unwrap();
    settings.listen.set_port(0);
    for camera in &mut settings.cameras {
        camera.idle_timeout = Some(Duration::from_millis(200));
        camera.stall_timeout = Some(AN_HOUR);
    }
    settings
}

/// Settings of one camera called `name` with this `source`: soon idle without a viewer, and never stalled.
pub fn camera_settings(name: &str, source: &str) -> CameraSettings {
    let mut settings = CameraSettings::new(name, SourceUrl::parse(source).unwrap());
    settings.idle_timeout = Some(Duration::from_millis(200));
    settings.stall_timeout = Some(AN_HOUR);
    settings
}

impl Server {
    /// A server with `cameras` and these settings.
    pub async fn start(settings: Settings, cameras: &[&Camera]) -> Self {
        let drivers =
            cameras.iter().fold(Drivers::builtin(), |drivers, camera| drivers.with((*camera).clone()));
        Self::start_with(settings, drivers).await
    }

    /// A server with any drivers.
    pub async fn start_with(settings: Settings, drivers: Drivers) -> Self {
        let app = App::start(settings, drivers).await.unwrap();
        let (address, cameras, hub) = (app.local_addr().unwrap(), app.cameras().clone(), app.hub().clone());
        let stop = CancellationToken::new();
        let task = tokio::spawn(app.run(stop.clone()));
        Self { address, cameras, hub, stop, task }
    }

    /// Returns the feed of the camera `name`.
    pub fn feed(&self, name: &str) -> Arc<Feed> {
        self.hub.get(name).unwrap()
    }

    /// The events from now on.
    pub fn events(&self) -> EventReader {
        self.hub.events().subscribe()
    }

    /// Sends an event of the test's own.
    pub fn tell(&self, event: Event) {
        self.hub.events().send(event);
    }

    /// Waits until the camera is in `state`, and returns its status.
    pub async fn wait_state(&self, name: &str, state: CameraState) -> CameraStatus {
        let mut status = self.feed(name).watch_status();
        let reached = status.wait_for(|status| status.state == state);
        soon(&format!("{name} is {state}"), reached).await.unwrap().clone()
    }

    /// Waits until the camera has exactly `viewers`.
    pub async fn wait_viewers(&self, name: &str, viewers: usize) {
        let mut demand = self.feed(name).watch_demand();
        let reached = demand.wait_for(|counts| counts.clients() == viewers);
        soon(&format!("{name} has {viewers} viewers"), reached).await.unwrap();
    }

    /// Ends the server and waits for its end.
    pub async fn stop(self) {
        self.stop.cancel();
        soon("the server ends", self.task).await.unwrap();
    }
}
