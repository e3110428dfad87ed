//! The HTTP side of the server: the routes, and the layers (middleware) that every request passes through.

mod api;
mod auth;
mod clients;
mod compat;
mod connection;
mod connection_counts;
mod connection_limit;
mod connection_tracker;
mod controls;
mod cors;
mod credentials;
mod descriptors;
mod embed_policy;
mod error_page;
mod forwarded;
mod guard;
mod health;
#[cfg(feature = "history")]
mod history;
mod host;
mod listener;
mod login_throttle;
#[cfg(feature = "metrics")]
mod metrics;
mod monitor_access;
mod openapi;
mod page;
mod path_encoding;
mod pictures;
mod reload;
mod serve;
#[cfg(feature = "history")]
pub mod table;
mod this_machine;
mod traffic;
mod viewers;

use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::http::{StatusCode, Uri};
use axum::middleware;
#[cfg(feature = "live")]
use framecast_outputs::live;
use framecast_outputs::{HttpError, mjpeg};

use crate::camera::Camera;
#[cfg(feature = "live")]
use crate::camera_table::CameraServices;
use crate::camera_table::CameraTable;
use crate::config::Settings;
#[cfg(feature = "history")]
use crate::history::HistoryHandle;
use crate::lost_lines::LostLines;
use crate::reload::Reloader;
use crate::streams;

#[cfg(feature = "history")]
pub use history::EventRequest;
pub use listener::ListeningSocket;
use openapi::Routes;
pub(crate) use serve::Server;

/// What the routes and the layers keep beside the cameras. All routers of one server share it.
#[derive(Debug, Clone)]
pub(crate) struct HttpState {
    pub(crate) settings: Arc<Settings>,
    api: api::ApiState,
    #[cfg(feature = "history")]
    history: history::HistoryState,
    /// The number of ended connections of the WebSocket `/api/live`, which sends pictures, by the reason for their end.
    #[cfg(feature = "live")]
    live_endings: live::CloseCounts,
    /// The counts of connections by outcome, such as accepted or refused.
    pub(crate) connections: connection_counts::ConnectionCounts,
    /// The limits on wrong passwords, with the number of wrong passwords since the start of the server.
    pub(crate) login_throttle: Arc<login_throttle::LoginThrottle>,
    /// The number of log lines that were lost. Unset if the program around this server does not provide this number.
    pub(crate) lost_lines: Arc<OnceLock<LostLines>>,
    /// Reads the configuration again; unset if the server has no configuration to read.
    pub(crate) reloader: Arc<OnceLock<Reloader>>,
}

impl HttpState {
    pub(crate) fn new(
        cameras: &CameraTable,
        settings: &Arc<Settings>,
        #[cfg(feature = "history")] history: &Arc<HistoryHandle>,
    ) -> Self {
        Self {
            settings: Arc::clone(settings),
            api: api::ApiState::new(cameras, cfg!(feature = "history") && settings.marks_per_minute > 0),
            #[cfg(feature = "history")]
            history: history::HistoryState {
                history: Arc::clone(history),
                cameras: cameras.clone(),
                settings: Arc::clone(settings),
                mark_limiter: Arc::default(),
            },
            #[cfg(feature = "live")]
            live_endings: live::CloseCounts::default(),
            connections: connection_counts::ConnectionCounts::default(),
            login_throttle: Arc::default(),
            lost_lines: Arc::default(),
            reloader: Arc::default(),
        }
    }

    fn page(&self, streamer: &mjpeg::Streamer) -> Routes {
        let hub = self.api.cameras.hub().clone();
        if self.settings.drop_in {
            let compat = compat::Compat::new(&self.api.cameras, &self.settings, streamer);
            let page = page::routes(hub, compat::describe_index, compat::describe_api);
            page.map_router(|page| compat::with_page_paths(page, &compat)).merge(compat::routes(&compat))
        } else {
            let page = page::routes(hub, page::describe_index, page::describe_api);
            page.map_router(|page| page.layer(middleware::from_fn(compat::refuse_actions)))
        }
    }

    #[cfg(feature = "live")]
    fn live(&self) -> Routes {
        let CameraServices { hub, viewers, shutdown, .. } = self.api.cameras.services().clone();
        let config =
            live::Config { write_timeout: self.settings.write_timeout, counts: self.live_endings.clone() };
        let origins = Arc::new(cors::Origins::new(&self.settings.cors_origins));
        pictures::describe_live(live::routes(hub, viewers, config, shutdown))
            .map_router(|live| live.layer(middleware::from_fn_with_state(origins, guard::check_websocket)))
    }

    #[cfg(feature = "metrics")]
    fn counters(&self) -> metrics::Counters {
        metrics::Counters {
            about: Arc::clone(&self.api.about),
            cameras: self.api.cameras.clone(),
            connections: self.connections.clone(),
            login_throttle: Arc::clone(&self.login_throttle),
            lost_lines: Arc::clone(&self.lost_lines),
            #[cfg(feature = "history")]
            history: Arc::clone(&self.history.history),
            #[cfg(feature = "live")]
            live_endings: self.live_endings.clone(),
        }
    }
}

/// Returns the declared routes, except that of the document which describes them.
fn declared(state: &HttpState) -> Routes {
    let (cameras, settings) = (&state.api.cameras, &state.settings);
    let streamer = streams::streamer(cameras, settings);
    // One line for each output, and one for each feature that has routes.
    let routes = pictures::describe(streams::routes(cameras, streamer.clone()))
        .merge(api::routes(state.api.clone()))
        .merge(controls::routes(cameras.clone()))
        .merge(viewers::routes(cameras.clone(), settings.account.is_some()))
        .merge(state.page(&streamer))
        .merge(health::routes(cameras.clone()))
        .merge(reload::routes(Arc::clone(&state.reloader), settings.account.is_some()));
    #[cfg(feature = "live")]
    let routes = routes.merge(state.live());
    #[cfg(feature = "metrics")]
    let routes = routes.merge(metrics::routes(state.counters()));
    #[cfg(feature = "history")]
    let routes = routes.merge(history::routes(state.history.clone(), &cameras.services().shutdown));
    routes
}

/// Returns all routes without the checks of account, host name and origin. For another program that mounts the routes
/// in its own server.
pub(crate) fn routes(state: &HttpState) -> Router {
    assembled(state, declared(state))
}

/// Adds the document that describes `routes`, and the layers that all routes have.
fn assembled(state: &HttpState, routes: Routes) -> Router {
    let settings = &state.settings;
    let policy = Arc::new(embed_policy::EmbedPolicy::new(&settings.frame_ancestors));
    let document = openapi::Document::new(openapi::AccessRules::new(settings));
    document
        .describe(routes.merge(document.routes()))
        .layer(middleware::from_fn(path_encoding::check))
        .layer(middleware::from_fn_with_state(policy, embed_policy::set_headers))
        .layer(middleware::from_fn(error_page::show))
}

/// Returns the camera called `name`. The error, if there is no such camera, is the response for the client.
fn find_camera(cameras: &CameraTable, name: &str) -> Result<Arc<Camera>, HttpError> {
    cameras.get(name).ok_or_else(|| HttpError::no_such_camera(name, cameras.hub()))
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
pub(crate) fn guarded(state: &HttpState) -> Router {
    let settings = &state.settings;
    let guard = Arc::new(guard::Guard::new(settings));
    let proxies = Arc::new(forwarded::ProxyTrust::new(Arc::clone(settings)));
    let routes = declared(state);
    let monitor_paths = routes.paths_with(openapi::Access::Monitor);
    let mut router = assembled(state, routes).fallback(nothing_here);
    if let Some(account) = &settings.account {
        let account = (Arc::new(auth::BasicAuth::new(account)), Arc::clone(&state.login_throttle));
        router = router.layer(middleware::from_fn_with_state(account, auth::check));
    }
    if let Some(access) = monitor_access::MonitorAccess::new(settings, monitor_paths) {
        router = router.layer(middleware::from_fn_with_state(Arc::new(access), monitor_access::check));
    }
    cors::allow(router, &settings.cors_origins)
        .layer(middleware::from_fn_with_state(guard, guard::check))
        .layer(middleware::from_fn(connection_limit::limit_requests))
        .layer(middleware::from_fn(error_page::show))
        .layer(middleware::from_fn_with_state(proxies, forwarded::resolve))
}
