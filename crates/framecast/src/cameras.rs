//! Assembles the server without a listener from cameras, encoders, history, webhooks and routes.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, SystemTime};

use axum::Router;
use framecast_drivers::Drivers;
use framecast_hub::{Event, EventKind, Feed, Hub};
use framecast_outputs::{Limits, Viewers};
use framecast_transcode::{Backend, Pool};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use crate::camera_table::{CameraChanges, CameraDefaults, CameraServices, CameraTable};
use crate::config::{CameraSettings, ConfigError, Settings};
use crate::controls::SavedControls;
#[cfg(feature = "server")]
use crate::controls::StateFile;
#[cfg(feature = "history")]
use crate::history::{self, HistoryHandle};
#[cfg(feature = "server")]
use crate::http::{self, HttpState};
use crate::start_error::StartError;
use crate::streams;
#[cfg(feature = "webhook")]
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
    table: CameraTable,
    settings: Arc<Settings>,
    #[cfg(feature = "history")]
    history: Arc<HistoryHandle>,
    #[cfg(feature = "server")]
    http: HttpState,
    _close_on_drop: Arc<DropGuard>,
}

/// Creates the pool of encoder threads that all cameras share, with one thread per core.
fn encoder_pool() -> Result<Arc<Pool>, ConfigError> {
    let threads = thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let pool = Pool::new(Backend::best(), threads)
        .map_err(|error| ConfigError::new(format!("cannot start the encoder's threads: {error}")))?;
    info!(codec = %pool.backend(), "encoder");
    Ok(Arc::new(pool))
}

/// Creates what the cameras of `settings` share. Also returns the values of controls that were saved.
fn services(settings: &Settings, drivers: &Drivers) -> Result<(CameraServices, SavedControls), ConfigError> {
    #[cfg(feature = "server")]
    let (state, saved) = settings.state_dir.as_deref().map(StateFile::open).unzip();
    #[cfg(feature = "server")]
    let saved = saved.unwrap_or_default();
    #[cfg(not(feature = "server"))]
    let saved = SavedControls::default();
    let limits = Limits { server: settings.max_viewers, address: settings.max_viewers_per_address };
    let services = CameraServices {
        hub: Hub::new(),
        drivers: drivers.clone(),
        pool: encoder_pool()?,
        viewers: Viewers::new(limits),
        #[cfg(feature = "server")]
        state: state.map(Arc::new),
        shutdown: CancellationToken::new(),
        tasks: TaskTracker::new(),
    };
    Ok((services, saved))
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
        let (services, saved) = services(&settings, &drivers)?;
        let CameraServices { hub, shutdown, .. } = services.clone();
        #[cfg(feature = "history")]
        let history = Arc::new(history::open(&settings, &hub).await?);
        let close_on_drop = Arc::new(shutdown.clone().drop_guard());
        let table = CameraTable::new(services, CameraDefaults::of(&settings));
        let exchange = table.exchange(&settings, &saved)?;
        #[cfg(feature = "webhook")]
        webhook::start(
            &settings.webhooks,
            settings.webhook_secret.as_ref(),
            &history.history,
            &table.services().tasks,
            &shutdown,
        )?;
        hub.events().send(Event::new(EventKind::Started, SystemTime::now()).with_text(VERSION));
        table.carry_out(exchange);
        table.warn_of_missing(settings.cameras.clone());
        let settings = Arc::new(settings);
        #[cfg(feature = "server")]
        let http = HttpState::new(
            &table,
            &settings,
            #[cfg(feature = "history")]
            &history,
        );
        Ok(Self {
            table,
            settings,
            #[cfg(feature = "history")]
            history,
            #[cfg(feature = "server")]
            http,
            _close_on_drop: close_on_drop,
        })
    }

    /// Adds a camera while the server runs, behind the others. The camera opens when its first viewer connects.
    ///
    /// # Errors
    /// A setting is not valid, or the name is taken. Nothing has changed then.
    pub async fn add(&self, settings: CameraSettings) -> Result<Arc<Feed>, ConfigError> {
        self.table.add(settings).await
    }

    /// Removes the camera called `name` while the server runs. Nobody finds the camera from the first poll on. Its
    /// viewers get a last picture that says so, and their streams end. Returns when the camera is closed, after two
    /// seconds at the latest. If the future is dropped after the first poll, the camera is closed all the same.
    ///
    /// # Errors
    /// There is no such camera.
    pub async fn remove(&self, name: &str) -> Result<(), ConfigError> {
        self.table.remove(name).await
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
        self.table.replace(settings).await
    }

    /// Makes the cameras of `settings` the server's cameras, in this order: adds those that are new,
    /// [removes](Self::remove) those that are missing, and [replaces](Self::replace) those whose settings or latency
    /// budget differ. All others go on untouched. The rest of `settings` is checked, but has no effect. Returns the
    /// names of the cameras that changed, when all that had to end are closed.
    ///
    /// # Errors
    /// A setting is not valid, or two cameras have the same name. Nothing has changed then.
    pub async fn apply(&self, settings: &Settings) -> Result<CameraChanges, ConfigError> {
        self.table.apply(settings).await
    }

    /// Returns a router with the routes of streams and snapshots alone: `/video_feed`, `/cameras/{name}/stream.mjpg`,
    /// `/cameras/{name}/stream.mp4`, `/snapshot.jpg` and `/cameras/{name}/snapshot.jpg`. The router checks nothing; the program that mounts it does.
    pub fn streams(&self) -> Router {
        streams::routes(&self.table, streams::streamer(&self.table, &self.settings))
    }

    /// Returns a router with all routes: the page, streams, snapshots and the API, at their documented paths. The
    /// router does not check accounts and host names; the program that mounts the router must do that. The router
    /// checks only the origin of WebSockets: a page can open a WebSocket if the page comes from the server itself or
    /// from one of the `cors_origins`.
    ///
    /// To mount the router below a prefix, call `nest_service("/cams", cameras.router())`, which serves both `/cams`
    /// and `/cams/`. The page works there, and the paths of the API then begin with the prefix.
    #[cfg(feature = "server")]
    pub fn router(&self) -> Router {
        http::routes(&self.http)
    }

    /// Returns the router that [`App`] serves: all routes, with the checks of account, host name and origin. The fuzzer
    /// calls this router without a socket.
    #[cfg(all(fuzzing, feature = "server"))]
    pub fn guarded_router(&self) -> Router {
        http::guarded(&self.http)
    }

    /// Returns the hub, which finds cameras by name. A program subscribes to a camera's frames through the hub.
    pub fn hub(&self) -> &Hub {
        self.table.hub()
    }

    /// Ends all streams, with a last picture that says so, and closes the cameras. Returns when the cameras are closed,
    /// after two seconds at the latest.
    pub async fn close(&self) {
        let CameraServices { hub, shutdown, tasks, .. } = self.table.services();
        let deadline = Instant::now() + SHUTDOWN_TIMEOUT;
        self.table.say_farewell().await;
        shutdown.cancel();
        tasks.close();
        hub.events().send(Event::new(EventKind::Stopped, SystemTime::now()));
        let cameras = async {
            if timeout_at(deadline, tasks.wait()).await.is_err() {
                warn!("a camera did not close in time");
            }
        };
        #[cfg(feature = "history")]
        tokio::join!(cameras, self.history.close());
        #[cfg(not(feature = "history"))]
        cameras.await;
    }

    /// Returns what cancels everything that the server does.
    #[cfg(feature = "server")]
    pub(crate) fn services(&self) -> &CameraServices {
        self.table.services()
    }

    #[cfg(feature = "server")]
    pub(crate) fn table(&self) -> &CameraTable {
        &self.table
    }

    #[cfg(feature = "server")]
    pub(crate) fn http(&self) -> &HttpState {
        &self.http
    }
}
