//! The server's cameras, which come and go while it runs: adds, replaces and removes them, and finds them by name or
//! position. Whatever serves requests asks this table each time.
//!
//! The table and the hub have the same cameras in the same order. A camera that is removed is first taken out of both;
//! then its viewers get a last slate, and its tasks end. A camera that comes instead waits until that is done, because
//! most devices can be open only once.

use std::sync::{Arc, RwLock, RwLockWriteGuard};
use std::time::{Duration, SystemTime};

use framecast_drivers::Drivers;
use framecast_hub::{Feed, Hub, ViewerLimits};
use framecast_media::unpoisoned;
use framecast_outputs::Viewers;
use framecast_transcode::Pool;
use futures_util::{StreamExt, stream};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, info, warn};

use crate::camera::{Camera, Farewell, Removal};
use crate::config::{self, CameraSettings, ConfigError, Settings};
use crate::controls::SavedControls;
#[cfg(feature = "server")]
use crate::controls::{self, StateFile};
use crate::encoding;
use crate::supervisor::{self, ProbePermits, SharedThreads, SharedWithCameras, StuckReaders, Supervisor};
use crate::suspend::SuspendMonitor;

/// The maximum time that the server takes to draw the last slates of all watched cameras when it ends.
const FAREWELL_TIMEOUT: Duration = Duration::from_millis(500);

/// How long the last slates stay on their way to the viewers before the server ends the streams.
const FAREWELL_GRACE: Duration = Duration::from_millis(100);

/// The number of last slates that the server draws at the same time. Each needs the memory of one decoded picture.
const MAX_FAREWELLS: usize = 4;

/// How often a camera that must work is probed if no setting says otherwise.
const REQUIRED_PROBE_INTERVAL: Duration = Duration::from_secs(60);

/// What every camera needs from the server.
#[derive(Debug, Clone)]
pub(crate) struct CameraServices {
    pub(crate) hub: Hub,
    pub(crate) drivers: Drivers,
    pub(crate) pool: Arc<Pool>,
    pub(crate) viewers: Viewers,
    /// The file of saved controls; `None` if the server has no state directory.
    #[cfg(feature = "server")]
    pub(crate) state: Option<Arc<StateFile>>,
    /// Ends all cameras when it is cancelled.
    pub(crate) shutdown: CancellationToken,
    /// All tasks of the server. The shutdown waits for them.
    pub(crate) tasks: TaskTracker,
}

/// The server's cameras. Clones share the table.
#[derive(Debug, Clone)]
pub(crate) struct CameraTable {
    services: CameraServices,
    shared: SharedWithCameras,
    state: Arc<RwLock<TableState>>,
}

#[derive(Debug)]
struct TableState {
    cameras: Arc<[Arc<Camera>]>,
    defaults: CameraDefaults,
}

/// The server's settings for cameras that have none of their own.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CameraDefaults {
    latency_budget: Duration,
    /// How often a network camera is probed; `None` for never.
    probe: Option<Duration>,
}

impl CameraDefaults {
    pub(crate) fn of(settings: &Settings) -> Self {
        Self { latency_budget: settings.latency_budget, probe: settings.probe }
    }

    fn viewer_limits(&self, camera: &CameraSettings) -> ViewerLimits {
        let latency_budget = camera.latency_budget.unwrap_or(self.latency_budget);
        ViewerLimits { latency_budget, max_viewers: camera.max_viewers }
    }
}

/// What [`Cameras::apply`](crate::Cameras::apply) changed: the names of cameras. Cameras that are in none of the lists
/// went on as they were.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct CameraChanges {
    /// The cameras that are new.
    pub added: Vec<String>,
    /// The cameras whose settings differ, and which were therefore closed and begun anew.
    pub replaced: Vec<String>,
    /// The cameras that are no longer there.
    pub removed: Vec<String>,
}

/// Cameras that were put into the table and must be started, and those that were taken out and must be ended.
#[derive(Debug, Default)]
pub(crate) struct Exchange {
    changes: CameraChanges,
    come: Vec<Arc<Camera>>,
    gone: Vec<(Arc<Camera>, Removal)>,
}

impl CameraTable {
    /// Creates a table without cameras. Starts two tasks for all cameras: one detects that the program was suspended,
    /// and one watches the threads that cameras share.
    pub(crate) fn new(services: CameraServices, defaults: CameraDefaults) -> Self {
        let suspend_monitor = SuspendMonitor::new();
        services.tasks.spawn(suspend_monitor.clone().run(services.shutdown.clone()));
        let threads = SharedThreads::default();
        services.tasks.spawn(threads.clone().watch(services.shutdown.clone()));
        let state = TableState { cameras: Arc::new([]), defaults };
        let (stuck, probe_permits) = (StuckReaders::default(), ProbePermits::default());
        let shared = SharedWithCameras { suspend_monitor, threads, stuck, probe_permits };
        Self { services, shared, state: Arc::new(RwLock::new(state)) }
    }

    /// Returns the hub, which has the same cameras in the same order.
    pub(crate) fn hub(&self) -> &Hub {
        &self.services.hub
    }

    /// Returns what every camera needs from the server.
    pub(crate) fn services(&self) -> &CameraServices {
        &self.services
    }

    /// Returns the cameras of this moment, in their order. The first is the default camera.
    #[cfg(feature = "server")]
    pub(crate) fn list(&self) -> Arc<[Arc<Camera>]> {
        Arc::clone(&unpoisoned(self.state.read()).cameras)
    }

    /// Returns the camera called `name`; `None` if there is no such camera.
    #[cfg(feature = "server")]
    pub(crate) fn get(&self, name: &str) -> Option<Arc<Camera>> {
        self.list().iter().find(|camera| camera.feed.name() == name).cloned()
    }

    /// Adds a camera behind the others.
    ///
    /// # Errors
    /// A setting is not valid, or the name is taken. Nothing has changed then.
    pub(crate) async fn add(&self, settings: CameraSettings) -> Result<Arc<Feed>, ConfigError> {
        settings.check(&self.services.drivers)?;
        let saved = self.saved().await;
        let camera = {
            let mut state = self.write();
            let limits = state.defaults.viewer_limits(&settings);
            let feed = self.services.hub.add_with_limits(&settings.name, limits, SystemTime::now());
            let feed = feed.map_err(|error| ConfigError::new(error.to_string()))?;
            let camera = self.camera(feed, settings, state.defaults, &saved);
            state.cameras = state.cameras.iter().chain([&camera]).cloned().collect();
            camera
        };
        self.start(&camera, Vec::new());
        Ok(Arc::clone(&camera.feed))
    }

    /// Removes the camera called `name`, and returns when it is closed.
    ///
    /// # Errors
    /// There is no such camera.
    pub(crate) async fn remove(&self, name: &str) -> Result<(), ConfigError> {
        let camera = {
            let mut state = self.write();
            let camera = find(&state.cameras, name)?;
            state.cameras =
                state.cameras.iter().filter(|known| !Arc::ptr_eq(known, &camera)).cloned().collect();
            self.services.hub.remove(name);
            camera
        };
        finished(self.retire(camera, Removal::Removed)).await;
        Ok(())
    }

    /// Replaces the camera that has the name of `settings`, and returns when the old camera is closed.
    ///
    /// # Errors
    /// A setting is not valid, or there is no such camera. Nothing has changed then.
    pub(crate) async fn replace(&self, settings: CameraSettings) -> Result<Arc<Feed>, ConfigError> {
        settings.check(&self.services.drivers)?;
        let saved = self.saved().await;
        let (old, new) = {
            let mut state = self.write();
            let old = find(&state.cameras, &settings.name)?;
            let new = self.place(settings, state.defaults, &saved);
            let exchanged =
                |known: &Arc<Camera>| Arc::clone(if Arc::ptr_eq(known, &old) { &new } else { known });
            state.cameras = state.cameras.iter().map(exchanged).collect();
            (old, new)
        };
        let retiring = self.retire(Arc::clone(&old), Removal::Replaced);
        self.start(&new, vec![old]);
        finished(retiring).await;
        Ok(Arc::clone(&new.feed))
    }

    /// Makes the cameras of `settings` the server's cameras, in their order. Touches only those that differ. Returns
    /// what changed, when all cameras that had to end are closed.
    ///
    /// # Errors
    /// A setting is not valid, two cameras have the same name, or a name is taken by a camera of the hub that is not in
    /// this table. Nothing has changed then.
    pub(crate) async fn apply(&self, settings: &Settings) -> Result<CameraChanges, ConfigError> {
        settings.validate(&self.services.drivers)?;
        let saved = self.saved().await;
        let exchange = self.exchange(settings, &saved)?;
        let (changes, retiring) = self.carry_out(exchange);
        for retiring in retiring {
            finished(retiring).await;
        }
        Ok(changes)
    }

    /// Puts the cameras of `settings` into the table and the hub, and takes out those that are not wanted. Starts and
    /// ends none of them; see [`carry_out`](Self::carry_out).
    ///
    /// # Errors
    /// Two cameras have the same name, or a name is taken by a camera of the hub that is not in this table. Nothing has
    /// changed then.
    pub(crate) fn exchange(
        &self,
        settings: &Settings,
        saved: &SavedControls,
    ) -> Result<Exchange, ConfigError> {
        let hub = &self.services.hub;
        let mut state = self.write();
        let known = Arc::clone(&state.cameras);
        for (n, camera) in settings.cameras.iter().enumerate() {
            let is_twice = settings.cameras[..n].iter().any(|earlier| earlier.name == camera.name);
            if is_twice || find(&known, &camera.name).is_err() && hub.get(&camera.name).is_some() {
                return Err(ConfigError::new(format!("camera `{}` already exists", camera.name)));
            }
        }
        let defaults = CameraDefaults::of(settings);
        let (mut exchange, mut cameras) = (Exchange::default(), Vec::new());
        for wanted in &settings.cameras {
            let old = find(&known, &wanted.name).ok();
            let limits = defaults.viewer_limits(wanted);
            let probe_interval = probe_interval(wanted, defaults.probe, &self.services.drivers);
            let is_same = |old: &&Arc<Camera>| {
                old.settings == *wanted
                    && old.feed.viewer_limits() == limits
                    && old.probe_interval == probe_interval
            };
            if let Some(same) = old.as_ref().filter(is_same) {
                cameras.push(Arc::clone(same));
                continue;
            }
            let new = self.place(wanted.clone(), defaults, saved);
            let changes = &mut exchange.changes;
            if old.is_some() { &mut changes.replaced } else { &mut changes.added }.push(wanted.name.clone());
            exchange.gone.extend(old.map(|old| (old, Removal::Replaced)));
            exchange.come.push(Arc::clone(&new));
            cameras.push(new);
        }
        let names: Vec<&str> = settings.cameras.iter().map(|camera| camera.name.as_str()).collect();
        for unwanted in known.iter().filter(|camera| !names.contains(&camera.feed.name())) {
            hub.remove(unwanted.feed.name());
            exchange.changes.removed.push(unwanted.feed.name().to_owned());
            exchange.gone.push((Arc::clone(unwanted), Removal::Removed));
        }
        hub.reorder(&names);
        state.cameras = cameras.into();
        state.defaults = defaults;
        Ok(exchange)
    }

    /// Ends the cameras that were taken out, and starts those that were put in. These wait until all that end are
    /// closed, because a device might have gone from one to the other. Returns what changed, and the tasks that end
    /// cameras.
    pub(crate) fn carry_out(&self, exchange: Exchange) -> (CameraChanges, Vec<JoinHandle<()>>) {
        let Exchange { changes, come, gone } = exchange;
        let predecessors: Vec<Arc<Camera>> = gone.iter().map(|(camera, _)| Arc::clone(camera)).collect();
        let retiring = gone.into_iter().map(|(camera, removal)| self.retire(camera, removal)).collect();
        for camera in come {
            self.start(&camera, predecessors.clone());
        }
        (changes, retiring)
    }

    /// Registers a camera with the hub, in the place of the camera that has its name there, or behind all others.
    fn place(
        &self,
        settings: CameraSettings,
        defaults: CameraDefaults,
        saved: &SavedControls,
    ) -> Arc<Camera> {
        let (hub, now) = (&self.services.hub, SystemTime::now());
        let limits = defaults.viewer_limits(&settings);
        let feed = loop {
            if let Some(replacement) = hub.replace(&settings.name, limits, now) {
                break replacement.new;
            }
            if let Ok(feed) = hub.add_with_limits(&settings.name, limits, now) {
                break feed;
            }
        };
        self.camera(feed, settings, defaults, saved)
    }

    fn camera(
        &self,
        feed: Arc<Feed>,
        settings: CameraSettings,
        defaults: CameraDefaults,
        saved: &SavedControls,
    ) -> Arc<Camera> {
        let (drivers, stop) = (self.services.drivers.clone(), self.services.shutdown.child_token());
        let (saved, interval) =
            (saved.of_camera(&settings.name), probe_interval(&settings, defaults.probe, &drivers));
        let of_sub = settings.of_sub();
        let sub = of_sub.map(|settings| (self.services.hub.add_sub(&feed, SystemTime::now()), settings));
        let camera = Camera::new(feed, drivers, settings, interval, &saved, stop);
        Arc::new(match sub {
            Some((feed, settings)) => camera.with_sub(feed, settings),
            None => camera,
        })
    }

    /// Starts the supervisors and the encoders of `camera`. The supervisors, one of the camera and one of its sub stream,
    /// wait until `predecessors` are closed.
    fn start(&self, camera: &Arc<Camera>, predecessors: Vec<Arc<Camera>>) {
        let CameraServices { pool, tasks, .. } = &self.services;
        for stream in camera.streams() {
            let supervisor = Supervisor::new(Arc::clone(stream), self.shared.clone());
            let predecessors = predecessors.clone();
            let supervised = async move {
                for predecessor in predecessors {
                    predecessor.tasks.wait().await;
                }
                supervisor.run().await;
            };
            camera.tasks.spawn(tasks.track_future(supervised));
        }
        camera.tasks.spawn(tasks.track_future(encoding::run(Arc::clone(camera), Arc::clone(pool))));
        camera.tasks.close();
    }

    /// Ends `camera`, which nobody finds any more, in a task of its own. The task ends when the camera is closed.
    fn retire(&self, camera: Arc<Camera>, removal: Removal) -> JoinHandle<()> {
        let viewers = self.services.viewers.clone();
        self.services.tasks.spawn(async move {
            info!(camera = camera.feed.name(), "{}", removal.as_str());
            let slate = match camera.is_watched() {
                false => None,
                true => supervisor::draw_last_slate(&camera.feed, removal.farewell()).await,
            };
            camera.end(removal, slate.as_ref());
            camera.tasks.wait().await;
            viewers.forget(&camera.feed);
        })
    }

    /// Logs a warning for each of `cameras` whose device, file, folder or program does not exist. The check is a task of
    /// its own, so that nobody waits for a slow disk.
    pub(crate) fn warn_of_missing(&self, cameras: Vec<CameraSettings>) {
        let (drivers, shutdown) = (self.services.drivers.clone(), self.services.shutdown.clone());
        self.services.tasks.spawn(async move {
            let missing = shutdown.run_until_cancelled(config::missing(&cameras, &drivers)).await;
            missing.into_iter().flatten().for_each(|sentence| warn!("{sentence}"));
        });
    }

    /// Shows a last slate to the viewers of all cameras, because the server ends. From now on, they get no other picture,
    /// and the last one that they keep does not look like one of a camera that is live. A viewer whose link takes the
    /// slate later than [`FAREWELL_GRACE`] does not get it. Returns at once if nobody watches.
    pub(crate) async fn say_farewell(&self) {
        let cameras = Arc::clone(&unpoisoned(self.state.read()).cameras);
        let streams = cameras.iter().flat_map(Camera::streams);
        let watched: Vec<_> = streams.filter(|stream| stream.feed.viewer_count() > 0).collect();
        if watched.is_empty() {
            return;
        }
        let slates = stream::iter(watched).for_each_concurrent(MAX_FAREWELLS, |camera| async {
            camera.feed.suspend();
            let publisher = camera.feed.slate_publisher();
            if let Some(slate) = supervisor::draw_last_slate(&camera.feed, Farewell::OF_SERVER).await {
                publisher.publish(slate);
            }
        });
        if timeout(FAREWELL_TIMEOUT, slates).await.is_err() {
            debug!("not all last slates were drawn in time");
        }
        sleep(FAREWELL_GRACE).await;
    }

    /// Reads the saved controls of all cameras, off the threads that serve viewers.
    async fn saved(&self) -> SavedControls {
        #[cfg(feature = "server")]
        if let Some(state) = self.services.state.clone() {
            return controls::read_saved(state).await;
        }
        SavedControls::default()
    }

    fn write(&self) -> RwLockWriteGuard<'_, TableState> {
        unpoisoned(self.state.write())
    }
}

/// Returns the camera called `name` among `cameras`.
fn find(cameras: &[Arc<Camera>], name: &str) -> Result<Arc<Camera>, ConfigError> {
    let camera = cameras.iter().find(|camera| camera.feed.name() == name).cloned();
    camera.ok_or_else(|| ConfigError::new(format!("no camera is called `{name}`")))
}

/// Returns how often `camera` is probed; `None` for never. `default` is the server's interval for network cameras.
fn probe_interval(camera: &CameraSettings, default: Option<Duration>, drivers: &Drivers) -> Option<Duration> {
    let is_networked = drivers.find(&camera.source).is_ok_and(|driver| driver.is_networked());
    let default = || default.filter(|_| is_networked).or(camera.required.then_some(REQUIRED_PROBE_INTERVAL));
    camera.probe.unwrap_or_else(default)
}

/// Waits for the task that ends a camera. If it panicked, the log has said so.
async fn finished(retiring: JoinHandle<()>) {
    retiring.await.ok();
}
