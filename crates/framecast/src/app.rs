//! The assembled server.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, SystemTime};

use axum::Router;
use framecast_drivers::Drivers;
use framecast_hub::{Event, EventKind, Hub, ViewerLimits};
use framecast_outputs::{Limits, Viewers, live};
use framecast_transcode::{Backend, Pool};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use crate::camera::Camera;
use crate::config::{CameraSettings, ConfigError, Listen, Secret, Settings};
use crate::controls::{SavedControls, StateFile};
use crate::encoding;
use crate::history;
use crate::http::{self, ConnectionListener, Context, Server};
use crate::lost_lines::LostLines;
use crate::supervisor::Supervisor;
use crate::suspend::SuspendMonitor;
use crate::webhook;

/// The name and version that the server logs when it starts.
const VERSION: &str = concat!("Framecast ", env!("CARGO_PKG_VERSION"));

/// How long cameras and viewers have at shutdown to end by themselves.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_millis(1900);

/// The cameras with their supervisors: everything but the listener. Another program can mount them in its router.
///
/// The caller must create it within a Tokio runtime. Dropping it, or calling [`close`](Self::close), closes the cameras.
#[derive(Debug)]
pub struct Cameras {
    context: Context,
    shutdown: CancellationToken,
    tasks: TaskTracker,
}

/// Why a server did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// A setting has a value that the server cannot use.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The history cannot store events at the configured place.
    #[error(transparent)]
    History(#[from] framecast_history::Error),
    /// Another program has the address, or it is not an address of this machine.
    #[error("cannot listen on {address}: {source}{}", listen_hint(.address, .source))]
    Listen {
        /// The configured address.
        address: Listen,
        /// The system's error.
        source: std::io::Error,
    },
}

impl From<history::OpenError> for StartError {
    fn from(error: history::OpenError) -> Self {
        match error {
            history::OpenError::Config(error) => Self::Config(error),
            history::OpenError::History(error) => Self::History(error),
        }
    }
}

fn listen_hint(listen: &Listen, error: &std::io::Error) -> String {
    let Listen::Tcp(address) = listen else { return unix_hint(error) };
    match error.kind() {
        std::io::ErrorKind::AddrInUse => {
            format!("; another program has the port: choose another one with --listen {}:PORT", address.ip())
        }
        std::io::ErrorKind::PermissionDenied => {
            "; ports below 1024 need privileges: choose a higher one".to_owned()
        }
        std::io::ErrorKind::AddrNotAvailable => {
            "; this machine has no such address: 0.0.0.0 stands for all its addresses".to_owned()
        }
        _ => String::new(),
    }
}

fn unix_hint(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::AddrInUse => "; another server listens there: end it, or choose another path",
        std::io::ErrorKind::AlreadyExists => "; the file there is not a socket: choose another path",
        std::io::ErrorKind::NotFound => "; its folder does not exist: create it",
        std::io::ErrorKind::PermissionDenied => {
            "; this account may not write in its folder: choose another path"
        }
        std::io::ErrorKind::InvalidInput => "; the path is too long: the system takes about a hundred bytes",
        _ => "",
    }
    .to_owned()
}

/// A pool of encoder threads for all cameras, one thread per core.
fn encoder_pool() -> Result<Arc<Pool>, ConfigError> {
    let threads = thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let pool = Pool::new(Backend::best(), threads)
        .map_err(|error| ConfigError::new(format!("cannot start the encoder's threads: {error}")))?;
    info!(codec = %pool.backend(), "encoder");
    Ok(Arc::new(pool))
}

/// Adds the cameras of `settings` to the hub, each with its saved controls.
fn cameras(
    settings: &Settings,
    hub: &Hub,
    drivers: &Drivers,
    saved: &SavedControls,
    now: SystemTime,
) -> Result<Vec<Arc<Camera>>, ConfigError> {
    let add = |camera: &CameraSettings| {
        let latency_budget = camera.latency_budget.unwrap_or(settings.latency_budget);
        let bounds = ViewerLimits { latency_budget, max_viewers: camera.max_viewers };
        let feed = hub
            .add_with_limits(&camera.name, bounds, now)
            .map_err(|error| ConfigError::new(error.to_string()))?;
        Ok(Arc::new(Camera::new(feed, drivers.clone(), camera.clone(), &saved.of_camera(&camera.name))))
    };
    settings.cameras.iter().map(add).collect()
}

/// Starts each camera's supervisor and encoders, and one suspend monitor for the whole program.
fn supervise(cameras: &[Arc<Camera>], pool: &Arc<Pool>, tasks: &TaskTracker, shutdown: &CancellationToken) {
    let suspend_monitor = SuspendMonitor::new();
    tasks.spawn(suspend_monitor.clone().run(shutdown.clone()));
    for camera in cameras {
        tasks.spawn(Supervisor::new(Arc::clone(camera), shutdown.clone(), suspend_monitor.clone()).run());
        tasks.spawn(encoding::run(Arc::clone(camera), Arc::clone(pool), shutdown.clone()));
    }
}

/// Logs which cameras lack their device, file, folder or program. It runs beside the start, because a disk may answer
/// slowly.
async fn warn_of_missing(settings: Arc<Settings>, drivers: Drivers, shutdown: CancellationToken) {
    let missing = shutdown.run_until_cancelled(settings.missing(&drivers)).await;
    for sentence in missing.into_iter().flatten() {
        warn!("{sentence}");
    }
}

impl Cameras {
    /// Starts a supervisor for each camera of `settings`. A camera opens when its first viewer comes.
    ///
    /// # Errors
    /// A setting is out of its range, two cameras have the same name, no driver of `drivers` can open a camera's
    /// source, or the history cannot store events at the configured place.
    pub async fn start(settings: Settings, drivers: Drivers) -> Result<Self, StartError> {
        settings.validate(&drivers)?;
        let hub = Hub::new();
        let history = Arc::new(history::open(&settings, &hub).await?);
        let shutdown = CancellationToken::new();
        let tasks = TaskTracker::new();
        let now = SystemTime::now();
        let (state, saved) = settings.state_dir.as_deref().map(StateFile::open).unzip();
        let cameras = cameras(&settings, &hub, &drivers, &saved.unwrap_or_default(), now)?;
        let pool = encoder_pool()?;
        let secret = settings.webhook_secret.as_ref().map(Secret::expose);
        webhook::start(&settings.webhooks, secret, &history.history, &tasks, &shutdown)?;
        hub.events().send(Event::new(EventKind::Started, SystemTime::now()).with_text(VERSION));
        supervise(&cameras, &pool, &tasks, &shutdown);
        let (settings, codec) = (Arc::new(settings), pool.backend());
        tasks.spawn(warn_of_missing(Arc::clone(&settings), drivers.clone(), shutdown.clone()));
        let state = state.map(Arc::new);
        let limits = Limits { server: settings.max_viewers, address: settings.max_viewers_per_address };
        let viewers = Viewers::new(limits);
        let context = Context {
            hub,
            history,
            cameras: cameras.into(),
            drivers,
            settings,
            viewers,
            connections: http::ConnectionCounts::default(),
            login_throttle: Arc::default(),
            mark_limiter: Arc::default(),
            live_counts: live::CloseCounts::default(),
            codec,
            state,
            device_cache: Arc::default(),
            lost_lines: Arc::default(),
            started_at: now,
        };
        Ok(Self { context, shutdown, tasks })
    }

    /// All routes: page, streams, snapshots and API, at the documented paths. They include neither the account nor the
    /// guards: these are the mounting program's task. One check is included: a page can open WebSockets only if it is
    /// the server's own or of one of the `cors_origins`.
    ///
    /// To mount it below a prefix, call `nest_service("/cams", cameras.router())`, which answers `/cams` and `/cams/`.
    /// The page works there, and the API's paths then begin with the prefix.
    pub fn router(&self) -> Router {
        http::routes(&self.context, &self.shutdown)
    }

    /// All routes behind the account and the guards, as [`App`] serves them. The fuzzer calls them without a socket.
    #[cfg(fuzzing)]
    pub fn guarded_router(&self) -> Router {
        http::guarded(&self.context, &self.shutdown)
    }

    /// The cameras by name. A program subscribes to their frames here.
    pub fn hub(&self) -> &Hub {
        &self.context.hub
    }

    /// Ends all streams and closes the cameras. Returns when they are closed, or after two seconds.
    pub async fn close(&self) {
        self.shutdown.cancel();
        self.tasks.close();
        self.context.hub.events().send(Event::new(EventKind::Stopped, SystemTime::now()));
        let cameras = async {
            if timeout(SHUTDOWN_TIMEOUT, self.tasks.wait()).await.is_err() {
                warn!("a camera did not close in time");
            }
        };
        tokio::join!(cameras, self.context.history.close());
    }
}

impl Drop for Cameras {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

/// The server: cameras and a listener.
#[derive(Debug)]
pub struct App {
    cameras: Cameras,
    server: Server,
    listens_on: Listen,
}

impl App {
    /// Starts the cameras and listens. The server answers requests once the caller runs [`run`](Self::run).
    ///
    /// # Errors
    /// [`StartError`] says which setting the server cannot use, or why it cannot listen on the address.
    pub async fn start(settings: Settings, drivers: Drivers) -> Result<Self, StartError> {
        settings.validate(&drivers)?;
        let failed = |source| StartError::Listen { address: settings.listen.clone(), source };
        let listener = ConnectionListener::bind(&settings.listen).await.map_err(failed)?;
        let listens_on = listener.listens_on().map_err(failed)?;
        let cameras = Cameras::start(settings, drivers).await?;
        let login_throttle = Arc::clone(&cameras.context.login_throttle);
        cameras.tasks.spawn(login_throttle.run(cameras.hub().events().clone(), cameras.shutdown.clone()));
        let router = http::guarded(&cameras.context, &cameras.shutdown);
        let server = Server::new(listener, router, &cameras.context);
        Ok(Self { cameras, server, listens_on })
    }

    /// The address that the server listens on, with the actual port if the configured port was 0.
    pub fn listens_on(&self) -> &Listen {
        &self.listens_on
    }

    /// The address that the server listens on, with the actual port if the configured port was 0; `None` for a UNIX
    /// socket.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.listens_on.address()
    }

    /// The cameras by name.
    pub fn hub(&self) -> &Hub {
        self.cameras.hub()
    }

    /// Shows in `/metrics` how many log lines were lost. Without this call, `/metrics` leaves that count out. Only the
    /// first call counts.
    pub fn show_lost_lines(&self, lost: &LostLines) {
        self.cameras.context.lost_lines.get_or_init(|| lost.clone());
    }

    /// Serves until the caller cancels `shutdown`. Then it ends the streams and closes the cameras within two seconds.
    pub async fn run(self, shutdown: CancellationToken) {
        let Self { cameras, server, .. } = self;
        let stop = cameras.shutdown.clone();
        let closing = async {
            shutdown.cancelled().await;
            stop.cancel();
            cameras.close().await;
        };
        // Connections end by themselves while the cameras close.
        tokio::join!(server.run(stop.clone()), closing);
    }
}
