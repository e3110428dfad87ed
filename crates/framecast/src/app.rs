//! The whole server: the cameras, and a listener that serves their routes.

use std::net::SocketAddr;
use std::sync::Arc;

use framecast_drivers::Drivers;
use framecast_hub::Hub;
use tokio_util::sync::CancellationToken;

use crate::camera_table::CameraServices;
use crate::cameras::Cameras;
use crate::config::{Listen, Settings};
use crate::http::{self, ListeningSocket, Server};
use crate::lost_lines::LostLines;
use crate::reload::{ReloadCause, ReloadError, Reloader};
use crate::start_error::StartError;

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
        let socket = ListeningSocket::bind(&settings.listen).map_err(failed)?;
        Self::start_on(vec![socket], settings, drivers).await
    }

    /// Starts the cameras, like [`start`](Self::start), and serves requests on `sockets`, which the caller has opened.
    /// The setting `listen` has no effect.
    ///
    /// # Errors
    /// [`StartError`] says which setting the server cannot use.
    ///
    /// # Panics
    /// If there is no socket.
    pub async fn start_on(
        sockets: Vec<ListeningSocket>,
        settings: Settings,
        drivers: Drivers,
    ) -> Result<Self, StartError> {
        let failed = |source| StartError::Listen { address: settings.listen.clone(), source };
        let listens_on = sockets.first().expect("a server has a socket").listens_on().map_err(failed)?;
        let cameras = Cameras::start(settings, drivers).await?;
        let (http, CameraServices { hub, tasks, shutdown, .. }) = (cameras.http(), cameras.services());
        let login_throttle = Arc::clone(&http.login_throttle);
        tasks.spawn(login_throttle.run(hub.events().clone(), shutdown.clone()));
        let (settings, counts) = (Arc::clone(&http.settings), http.connections.clone());
        let server = Server::new(sockets, http::guarded(http), settings, counts);
        Ok(Self { cameras, server, listens_on })
    }

    /// Returns the sockets on which the server listens.
    pub fn sockets(&self) -> &[ListeningSocket] {
        self.server.sockets()
    }

    /// Returns the address that the server listens on, with the actual port if the configured port was 0. If the server
    /// has several sockets, this is the address of the first.
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
        self.cameras.http().lost_lines.get_or_init(|| lost.clone());
    }

    /// Makes it possible to change the configuration while the server runs. `read` reads the settings anew; it can
    /// block. Then `POST /api/reload` works, and so does the returned [`Reloader`]. Only the first call has an effect.
    pub fn reload_with(
        &self,
        read: impl Fn(ReloadCause) -> Result<Settings, ReloadError> + Send + Sync + 'static,
    ) -> Reloader {
        let http = self.cameras.http();
        let make = || Reloader::new(self.cameras.table().clone(), Arc::clone(&http.settings), read);
        http.reloader.get_or_init(make).clone()
    }

    /// Serves requests until the caller cancels `shutdown`. Then ends the streams and closes the cameras within two
    /// seconds.
    pub async fn run(self, shutdown: CancellationToken) {
        let Self { cameras, server, .. } = self;
        let stop = cameras.services().shutdown.clone();
        let closing = async {
            shutdown.cancelled().await;
            cameras.close().await;
        };
        // Connections end by themselves while the cameras close.
        tokio::join!(server.run(stop), closing);
    }
}
