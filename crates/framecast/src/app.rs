//! Assembles the server from cameras, encoders, history, webhooks and HTTP.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, SystemTime};

use axum::Router;
use framecast_drivers::Drivers;
use framecast_hub::{Event, EventKind, Feed, Hub};
use framecast_outputs::{Limits, Viewers, live};
use framecast_transcode::{Backend, Pool};
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use crate::camera_table::{CameraChanges, CameraServices, CameraTable};
use crate::config::{CameraSettings, ConfigError, Listen, Settings};
use crate::controls::StateFile;
use crate::history;
use crate::http::{self, ConnectionListener, Context, Server};
use crate::lost_lines::LostLines;
use crate::webhook;

/// The program's name and version: the text of the event that says that the server has started.
const VERSION: &str = concat!("Framecast ", env!("CARGO_PKG_VERSION"));

/// The maximum time that the shutdown waits for cameras to be closed and for viewers' streams to end by themselves.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_millis(1900);

/// The server without a listener: the cameras with their supervisors, the history and the routes. Another program can
/// mount the routes in its own router.
///
/// Cameras come and go: see [`add`](Self::add), [`remove`](Self::remove), [`replace`](Self::replace) and
/// [`apply`](Self::apply).
///
/// `Cameras` must be created within a Tokio runtime. Clones share the cameras. Dropping the last clone, or calling
/// [`close`](Self::close), closes the cameras.
#[derive(Debug, Clone)]
pub struct Cameras {
    context: Context,
    shutdown: CancellationToken,
    tasks: TaskTracker,
    _close_on_drop: Arc<DropGuard>,
}

/// Why a server did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// A setting has a value that the server cannot use.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The history cannot store events at the configured location.
    #[error(transparent)]
    History(#[from] framecast_history::Error),
    /// The server cannot listen on the address: for instance, another program uses the address, or this machine does
    /// not have the address.
    #[error("cannot listen on {address}: {source}{}", listen_hint(.address, .source))]
    Listen {
        /// The configured address.
        address: Listen,
        /// The operating system's error.
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
            format!("; another program uses this port: choose another with --listen {}:PORT", address.ip())
        }
        std::io::ErrorKind::PermissionDenied => {
            "; ports below 1024 need privileges: choose a higher one".to_owned()
        }
        std::io::ErrorKind::AddrNotAvailable => {
            "; this machine does not have this address: 0.0.0.0 opens all of its addresses".to_owned()
        }
        _ => String::new(),
    }
}

fn unix_hint(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::AddrInUse => "; another server listens there: stop it, or choose another path",
        std::io::ErrorKind::AlreadyExists => "; the file there is not a socket: choose another path",
        std::io::ErrorKind::NotFound => "; its folder does not exist: create it",
        std::io::ErrorKind::PermissionDenied => {
            "; this account may not write in its folder: choose another path"
        }
        std::io::ErrorKind::InvalidInput => "; the path is too long: the system allows about 100 bytes",
        _ => "",
    }
    .to_owned()
}

/// Creates the pool of encoder threads that all cameras share, with one thread per core.
fn encoder_pool() -> Result<Arc<Pool>, ConfigError> {
    let threads = thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let pool = Pool::new(Backend::best(), threads)
        .map_err(|error| ConfigError::new(format!("cannot start the encoder's threads: {error}")))?;
    info!(codec = %pool.backend(), "encoder");
    Ok(Arc::new(pool))
}

/// Logs a warning for each camera whose device, file, folder or program does not exist. Runs as a separate task, so
/// that a slow disk does not delay the server's start.
async fn warn_of_missing(settings: Arc<Settings>, drivers: Drivers, shutdown: CancellationToken) {
    let missing = shutdown.run_until_cancelled(settings.missing(&drivers)).await;
    for sentence in missing.into_iter().flatten() {
        warn!("{sentence}");
    }
}

impl Cameras {
    /// Starts the history, the webhooks, and a supervisor for each camera of `settings`. A camera opens when its first
    /// viewer connects.
    ///
    /// # Errors
    /// A setting is out of its range, two cameras have the same name, no driver of `drivers` can open a camera's
    /// source, or the history cannot store events at the configured location.
    pub async fn start(settings: Settings, drivers: Drivers) -> Result<Self, StartError> {
        settings.validate(&drivers)?;
        let hub = Hub::new();
        let history = Arc::new(history::open(&settings, &hub).await?);
        let (shutdown, tasks) = (CancellationToken::new(), TaskTracker::new());
        let close_on_drop = Arc::new(shutdown.clone().drop_guard());
        let now = SystemTime::now();
        let (state, saved) = settings.state_dir.as_deref().map(StateFile::open).unzip();
        let state = state.map(Arc::new);
        let limits = Limits { server: settings.max_viewers, address: settings.max_viewers_per_address };
        let viewers = Viewers::new(limits);
        let pool = encoder_pool()?;
        let codec = pool.backend();
        let services = CameraServices {
            hub: hub.clone(),
            drivers: drivers.clone(),
            pool,
            viewers: viewers.clone(),
            state: state.clone(),
            shutdown: shutdown.clone(),
            tasks: tasks.clone(),
        };
        let cameras = CameraTable::new(services, settings.latency_budget);
        let exchange = cameras.exchange(&settings, &saved.unwrap_or_default())?;
        let secret = settings.webhook_secret.as_ref();
        webhook::start(&settings.webhooks, secret, &history.history, &tasks, &shutdown)?;
        hub.events().send(Event::new(EventKind::Started, SystemTime::now()).with_text(VERSION));
        cameras.carry_out(exchange);
        let settings = Arc::new(settings);
        tasks.spawn(warn_of_missing(Arc::clone(&settings), drivers.clone(), shutdown.clone()));
        let context = Context {
            hub,
            history,
            cameras,
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
        Ok(Self { context, shutdown, tasks, _close_on_drop: close_on_drop })
    }

    /// Adds a camera while the server runs, behind the others. The camera opens when its first viewer connects.
    ///
    /// # Errors
    /// A setting is not valid, or the name is taken. Nothing has changed then.
    pub async fn add(&self, settings: CameraSettings) -> Result<Arc<Feed>, ConfigError> {
        self.context.cameras.add(settings).await
    }

    /// Removes the camera called `name` while the server runs. Nobody finds the camera from the first poll on. Its
    /// viewers get a last picture that says so, and their streams end. Returns when the camera is closed, after two
    /// seconds at the latest. If the future is dropped after the first poll, the camera is closed all the same.
    ///
    /// # Errors
    /// There is no such camera.
    pub async fn remove(&self, name: &str) -> Result<(), ConfigError> {
        self.context.cameras.remove(name).await
    }

    /// Puts a new camera in the place of the camera that has the name of `settings`. Viewers of the old camera get a
    /// last picture that says so, and their streams end; who connects now gets the new camera. It opens when the old
    /// camera is closed, because both might use the same device. Its counts begin at zero, and its controls have the
    /// values of `settings` and those that were saved. Returns when the old camera is closed, after two seconds at the
    /// latest.
    ///
    /// # Errors
    /// A setting is not valid, or there is no such camera. Nothing has changed then.
    pub async fn replace(&self, settings: CameraSettings) -> Result<Arc<Feed>, ConfigError> {
        self.context.cameras.replace(settings).await
    }

    /// Makes the cameras of `settings` the server's cameras, in this order: adds those that are new,
    /// [removes](Self::remove) those that are missing, and [replaces](Self::replace) those whose settings or latency
    /// budget differ. All others go on untouched. The rest of `settings` is checked, but has no effect. Returns the
    /// names of the cameras that changed, when all that had to end are closed.
    ///
    /// # Errors
    /// A setting is not valid, or two cameras have the same name. Nothing has changed then.
    pub async fn apply(&self, settings: &Settings) -> Result<CameraChanges, ConfigError> {
        self.context.cameras.apply(settings).await
    }

    /// Returns a router with all routes: the page, streams, snapshots and the API, at their documented paths. The
    /// router does not check accounts and host names; the program that mounts the router must do that. The router
    /// checks only the origin of WebSockets: a page can open a WebSocket if the page comes from the server itself or
    /// from one of the `cors_origins`.
    ///
    /// To mount the router below a prefix, call `nest_service("/cams", cameras.router())`, which serves both `/cams`
    /// and `/cams/`. The page works there, and the paths of the API then begin with the prefix.
    pub fn router(&self) -> Router {
        http::routes(&self.context, &self.shutdown)
    }

    /// Returns the router that [`App`] serves: all routes, with the checks of account, host name and origin. The fuzzer
    /// calls this router without a socket.
    #[cfg(fuzzing)]
    pub fn guarded_router(&self) -> Router {
        http::guarded(&self.context, &self.shutdown)
    }

    /// Returns the hub, which finds cameras by name. A program subscribes to a camera's frames through the hub.
    pub fn hub(&self) -> &Hub {
        &self.context.hub
    }

    /// Ends all streams and closes the cameras. Returns when the cameras are closed, after two seconds at the latest.
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

/// The server: cameras and a listener.
#[derive(Debug)]
pub struct App {
    cameras: Cameras,
    server: Server,
    listens_on: Listen,
}

impl App {
    /// Starts the cameras, and begins to listen. The server handles requests only while [`run`](Self::run) runs.
    ///
    /// # Errors
    /// [`StartError`] says which setting the server cannot use, or why the server cannot listen on the address.
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

    /// Returns the address that the server listens on, with the actual port if the configured port was 0.
    pub fn listens_on(&self) -> &Listen {
        &self.listens_on
    }

    /// Returns the IP address and port that the server listens on, with the actual port if the configured port was 0.
    /// Returns `None` for a UNIX socket.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.listens_on.address()
    }

    /// Returns the hub, which finds cameras by name.
    pub fn hub(&self) -> &Hub {
        self.cameras.hub()
    }

    /// Returns the cameras, with which a program adds and removes cameras while the server runs. A clone can be used
    /// after the call of [`run`](Self::run).
    pub fn cameras(&self) -> &Cameras {
        &self.cameras
    }

    /// Adds the number of lost log lines to `/metrics`. Without this call, `/metrics` omits that number. Only the first
    /// call has an effect.
    pub fn show_lost_lines(&self, lost: &LostLines) {
        self.cameras.context.lost_lines.get_or_init(|| lost.clone());
    }

    /// Serves requests until the caller cancels `shutdown`. Then ends the streams and closes the cameras within two
    /// seconds.
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
