//! The HTTP side of the server: the routes, and the layers (middleware) that every request passes through.

mod api;
mod auth;
mod clients;
mod compat;
mod connection;
mod connection_counts;
mod connection_limit;
mod controls;
mod cors;
mod credentials;
mod descriptors;
mod embed_policy;
mod error_page;
mod forwarded;
mod gauge_histogram;
mod guard;
mod history;
mod host;
mod listener;
mod login_throttle;
mod metrics;
mod page;
mod path_encoding;
mod serve;
pub mod table;
mod traffic;
mod viewers;

use std::num::NonZeroUsize;
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use axum::Router;
use axum::http::{StatusCode, Uri};
use axum::middleware;
use axum::routing::get;
use framecast_drivers::Drivers;
use framecast_hub::Hub;
use framecast_outputs::{HttpError, Viewers, live, mjpeg, options, snapshot};
use framecast_transcode::Backend;
use tokio_util::sync::CancellationToken;

use crate::camera::Camera;
use crate::camera_table::CameraTable;
use crate::config::Settings;
use crate::controls::StateFile;
use crate::history::HistoryHandle;
use crate::lost_lines::LostLines;

pub(crate) use connection_counts::ConnectionCounts;
pub use history::EventRequest;
pub(crate) use listener::ConnectionListener;
pub(crate) use login_throttle::LoginThrottle;
pub(crate) use serve::Server;

/// The state that the handlers of all routes share.
#[derive(Debug, Clone)]
pub(crate) struct Context {
    pub(crate) hub: Hub,
    /// The handle by which the routes read and add stored events.
    pub(crate) history: Arc<HistoryHandle>,
    /// The cameras, which come and go.
    pub(crate) cameras: CameraTable,
    pub(crate) drivers: Drivers,
    pub(crate) settings: Arc<Settings>,
    /// The list of the current viewers.
    pub(crate) viewers: Viewers,
    /// The counts of connections by outcome, such as accepted or refused.
    pub(crate) connections: ConnectionCounts,
    /// The limits on wrong passwords, with the number of wrong passwords since the start of the server.
    pub(crate) login_throttle: Arc<LoginThrottle>,
    /// The rate limits on marks, which are events that clients add to the history.
    pub(crate) mark_limiter: Arc<history::MarkLimiter>,
    /// The number of ended connections of the WebSocket `/api/live`, which sends pictures, by the reason for their end.
    pub(crate) live_counts: live::CloseCounts,
    /// The JPEG codec that encodes pictures.
    pub(crate) codec: Backend,
    /// The file that stores saved camera controls; `None` if the server has no state directory.
    pub(crate) state: Option<Arc<StateFile>>,
    /// The connected camera devices, as the last probe (a search that opens all devices) found them. The lock is held
    /// during a probe.
    pub(crate) device_cache: Arc<tokio::sync::Mutex<api::DeviceCache>>,
    /// The number of log lines that were lost. Unset if the program around this server does not provide this number.
    pub(crate) lost_lines: Arc<OnceLock<LostLines>>,
    pub(crate) started_at: SystemTime,
}

impl Context {
    /// Returns the camera called `name`. The error, if there is no such camera, is the response for the client.
    pub(crate) fn camera(&self, name: &str) -> Result<Arc<Camera>, HttpError> {
        self.cameras.get(name).ok_or_else(|| HttpError::no_such_camera(name, &self.hub))
    }
}

/// Returns all routes without the checks of account, host name and origin. For another program that mounts the routes
/// in its own server.
pub(crate) fn routes(context: &Context, shutdown: &CancellationToken) -> Router {
    let settings = &context.settings;
    let config = mjpeg::Config {
        write_timeout: settings.write_timeout,
        writer_threads: settings.writer_threads.and_then(NonZeroUsize::new),
        ..mjpeg::Config::default()
    };
    let mjpeg = mjpeg::Streamer::new(config, context.viewers.clone(), shutdown.clone());
    let counts = context.live_counts.clone();
    let live = live::Config { write_timeout: settings.write_timeout, counts };
    let origins = Arc::new(cors::Origins::new(&settings.cors_origins));
    let live = live::routes(context.hub.clone(), context.viewers.clone(), live, shutdown.clone())
        .layer(middleware::from_fn_with_state(origins, guard::check_websocket));
    let mut page = page::routes(context.hub.clone());
    if context.settings.drop_in {
        let compat = compat::Compat::new(context, &mjpeg, shutdown);
        page = compat::with_actions(page, &compat).merge(compat::routes(&compat));
    } else {
        page = page.layer(middleware::from_fn(compat::refuse_actions));
    }
    let policy = Arc::new(embed_policy::EmbedPolicy::new(&settings.frame_ancestors));
    // One line per output.
    Router::new()
        .merge(mjpeg::routes(context.hub.clone(), mjpeg))
        .merge(live)
        .merge(snapshot::routes(context.hub.clone(), snapshot::Config::default()))
        .merge(api::routes(context.clone()))
        .merge(controls::routes(context.clone()))
        .merge(viewers::routes(context.clone()))
        .merge(metrics::routes(context.clone()))
        .merge(history::routes(context.clone(), shutdown))
        .merge(page)
        .route("/healthz", get(|| async { "ok\n" }).options(options))
        .layer(middleware::from_fn(path_encoding::check))
        .layer(middleware::from_fn_with_state(policy, embed_policy::set_headers))
        .layer(middleware::from_fn(error_page::show))
}

/// Responds to an unknown path.
async fn nothing_here(uri: Uri) -> HttpError {
    nothing_at(&uri)
}

/// Returns the error for an unknown path.
fn nothing_at(uri: &Uri) -> HttpError {
    let path: String = uri.path().chars().take(100).collect();
    HttpError { status: StatusCode::NOT_FOUND, message: format!("there is nothing at {path}") }
}

/// Returns all routes behind layers that check each request's account, host name and origin.
pub(crate) fn guarded(context: &Context, shutdown: &CancellationToken) -> Router {
    let settings = &context.settings;
    let guard = Arc::new(guard::Guard::new(settings));
    let proxies = Arc::new(forwarded::ProxyTrust::new(Arc::clone(settings)));
    let mut router = routes(context, shutdown).fallback(nothing_here);
    if let Some(account) = &settings.account {
        let account = (Arc::new(auth::BasicAuth::new(account)), Arc::clone(&context.login_throttle));
        router = router.layer(middleware::from_fn_with_state(account, auth::check));
    }
    cors::allow(router, &settings.cors_origins)
        .layer(middleware::from_fn_with_state(guard, guard::check))
        .layer(middleware::from_fn(connection_limit::limit_requests))
        .layer(middleware::from_fn(error_page::show))
        .layer(middleware::from_fn_with_state(proxies, forwarded::resolve))
}
