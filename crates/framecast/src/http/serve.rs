//! The accept loop: connections in, each served by hyper, bounded in number, head size and time.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;
use tracing::{debug, warn};

use super::connection::{self, Connection};
use crate::config::Settings;

/// The bound on a request's head, and on what a connection queues in the program: hyper's least, so that the next
/// picture is chosen as late as possible.
const MAX_BUFFER_BYTES: usize = 8192;

/// No browser sends more.
const MAX_HEADERS: usize = 64;

/// A pause after an error of the listener, so that a lack of descriptors is no busy loop.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How long a refused connection may take to take its refusal.
const REFUSAL_TIMEOUT: Duration = Duration::from_secs(1);

/// How many refused connections are told so at once; further ones are just closed.
const MAX_REFUSALS: usize = 64;

/// The whole answer to a connection for which there is no place.
const BUSY: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\n\
Content-Length: 44\r\nRetry-After: 5\r\nConnection: close\r\n\r\n{\"error\":\"all connections are in use; wait\"}";

/// A listener and what it serves.
#[derive(Debug)]
pub(crate) struct Server {
    listener: TcpListener,
    router: Router,
    settings: Arc<Settings>,
    places: Arc<Semaphore>,
    refusals: Arc<Semaphore>,
    connections: TaskTracker,
}

impl Server {
    pub(crate) fn new(listener: TcpListener, router: Router, settings: Arc<Settings>) -> Self {
        let places = Arc::new(Semaphore::new(settings.max_connections.min(Semaphore::MAX_PERMITS)));
        let refusals = Arc::new(Semaphore::new(MAX_REFUSALS));
        Self { listener, router, settings, places, refusals, connections: TaskTracker::new() }
    }

    /// Accepts connections until `shutdown`, then waits for those that are open.
    pub(crate) async fn run(self, shutdown: CancellationToken) {
        loop {
            let accepted = tokio::select! {
                accepted = self.listener.accept() => accepted,
                () = shutdown.cancelled() => break,
            };
            match accepted {
                Ok((stream, peer)) => self.take(stream, peer, &shutdown),
                Err(error) if is_of_one_connection(&error) => debug!(%error, "accept"),
                Err(error) => {
                    warn!(%error, "cannot accept connections");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        drop(self.listener);
        self.connections.close();
        self.connections.wait().await;
    }

    fn take(&self, stream: TcpStream, peer: SocketAddr, shutdown: &CancellationToken) {
        match Arc::clone(&self.places).try_acquire_owned() {
            Ok(place) => {
                let serving =
                    serve(stream, self.router.clone(), Arc::clone(&self.settings), place, shutdown.clone());
                self.connections.spawn(serving);
            }
            Err(_) => {
                debug!(%peer, "refused: all connections are in use");
                if let Ok(refusal) = Arc::clone(&self.refusals).try_acquire_owned() {
                    self.connections.spawn(refuse(stream, refusal));
                }
            }
        }
    }
}

/// Serves one connection to its end.
async fn serve(
    stream: TcpStream,
    router: Router,
    settings: Arc<Settings>,
    _place: OwnedSemaphorePermit,
    shutdown: CancellationToken,
) {
    connection::configure(&stream);
    let io = TokioIo::new(Connection::new(stream, settings.write_timeout));
    let service = service_fn(move |request: Request<Incoming>| {
        let router = router.clone();
        async move {
            let response: Response<Body> = match router.oneshot(request.map(Body::new)).await {
                Ok(response) => response,
                Err(never) => match never {},
            };
            Ok::<_, Infallible>(response)
        }
    });
    let mut connection = std::pin::pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(settings.header_timeout)
            .max_buf_size(MAX_BUFFER_BYTES)
            .max_headers(MAX_HEADERS)
            .half_close(false)
            .serve_connection(io, service)
    );
    let mut is_ending = false;
    loop {
        tokio::select! {
            result = connection.as_mut() => {
                if let Err(error) = result {
                    debug!(%error, "connection ended");
                }
                return;
            }
            () = shutdown.cancelled(), if !is_ending => {
                is_ending = true;
                connection.as_mut().graceful_shutdown();
            }
        }
    }
}

/// Tells a client that there is no place for it.
async fn refuse(mut stream: TcpStream, _refusal: OwnedSemaphorePermit) {
    let telling = async {
        stream.write_all(BUSY).await?;
        stream.shutdown().await?;
        // Closing with unread bytes would reset the connection, and the answer with it.
        let mut rest = [0; 1024];
        while tokio::io::AsyncReadExt::read(&mut stream, &mut rest).await? > 0 {}
        io::Result::Ok(())
    };
    // A client that does not take its refusal has gone or will be closed.
    let _told = timeout(REFUSAL_TIMEOUT, telling).await;
}

/// Whether an error of `accept` concerns the connection that was to be accepted and not the listener.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}
