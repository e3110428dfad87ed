//! The accept loop, and the tasks that serve the accepted connections by the library hyper. This module limits the
//! number of connections, the size of request heads (request line and headers), and the time that a client can take.

use std::convert::Infallible;
use std::future::poll_fn;
use std::io::{self, Read};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Extensions, HeaderValue, Request, Response, header};
use bytes::Bytes;
use framecast_outputs::{ConnectionPermit, Hijack, HijackedConnection, Peer, RateLimitedLog, Socket};
use futures_util::future::join_all;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;
use tracing::{debug, warn};

use super::connection::Connection;
use super::connection_counts::{ConnectionCounts, ConnectionOutcome};
use super::connection_limit::{self, AddressLimits, AddressPermits};
use super::connection_tracker::ConnectionTracker;
use super::descriptors::{self, SpareDescriptor};
use super::listener::ListeningSocket;
use super::login_throttle::ConnectionLogin;
use super::traffic::{BackpressureBody, MAX_HEAD_BYTES, Traffic};
use crate::config::Settings;

/// The maximum number of headers in a request. No browser sends more.
const MAX_HEADERS: usize = 64;

/// The pause after the listener could not accept a connection. The pause prevents a busy loop if the error persists.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How long the server waits for a client to read the response with which the server refuses or closes the connection.
const REFUSAL_TIMEOUT: Duration = Duration::from_secs(1);

/// The maximum number of refused connections that stay open at the same time until their clients have read the refusal.
/// Any further refused connection is closed right after the refusal is sent.
const MAX_REFUSALS: usize = 256;

/// How long the server waits at shutdown for its connections to end by themselves. Together with the time for viewers'
/// last slates, this is less than the two seconds that the whole shutdown can take.
const DRAIN_TIMEOUT: Duration = Duration::from_millis(1200);

/// How long a new connection can take for its first request while the server shuts down. The server has accepted this
/// connection, so its client expects an answer. Browsers also open connections that they need only later; these must not
/// delay the shutdown.
const FIRST_REQUEST_TIMEOUT: Duration = Duration::from_secs(1);

/// The complete HTTP response to a request whose head (request line and headers) does not arrive in time.
const HEAD_TIMEOUT_RESPONSE: &[u8] = b"HTTP/1.1 408 Request Timeout\r\nContent-Type: application/json\r\n\
Content-Length: 56\r\nConnection: close\r\n\r\n{\"error\":\"the request's headers did not arrive in time\"}";

/// The complete HTTP response to a request whose head (request line and headers) is too long.
const HEAD_TOO_LARGE_RESPONSE: &[u8] = b"HTTP/1.1 431 Request Header Fields Too Large\r\nContent-Type: application/json\r\n\
Content-Length: 200\r\nConnection: close\r\n\r\n{\"error\":\"the request's headers have more than 16 KiB, mostly \
cookies from other programs on this host. Delete this host's cookies in the browser, or reach this server by another \
name or its address\"}";

/// The error message for a client that connects while the server already has its maximum number of connections.
const SERVER_FULL: &str = "all connections are in use; wait, or raise max_connections";

/// The server: listening sockets, and the routes that are served on them.
#[derive(Debug)]
pub(crate) struct Server {
    sockets: Vec<ListeningSocket>,
    router: Router,
    settings: Arc<Settings>,
    counts: ConnectionCounts,
    /// The permits that limit the number of connections from all addresses together.
    capacity: Arc<Semaphore>,
    /// The limits on the number of connections of each client address.
    limits: AddressLimits,
    refusals: Arc<Semaphore>,
    warning: RateLimitedLog,
    long_heads: Arc<RateLimitedLog>,
    connections: TaskTracker,
    tracker: ConnectionTracker,
}

impl Server {
    pub(crate) fn new(
        sockets: Vec<ListeningSocket>,
        router: Router,
        settings: Arc<Settings>,
        counts: ConnectionCounts,
    ) -> Self {
        let capacity = Arc::new(Semaphore::new(settings.max_connections.min(Semaphore::MAX_PERMITS)));
        let limits = AddressLimits::new(Arc::clone(&settings), counts.clone());
        let refusals = Arc::new(Semaphore::new(MAX_REFUSALS));
        let (warning, connections) = (RateLimitedLog::default(), TaskTracker::new());
        let (long_heads, tracker) = (Arc::default(), ConnectionTracker::new());
        Self {
            sockets,
            router,
            settings,
            counts,
            capacity,
            limits,
            refusals,
            warning,
            long_heads,
            connections,
            tracker,
        }
    }

    /// Returns the sockets on which the server listens.
    pub(crate) fn sockets(&self) -> &[ListeningSocket] {
        &self.sockets
    }

    /// Accepts connections until `shutdown`. Then waits for the open connections to end, and drops the connections that
    /// have not ended within [`DRAIN_TIMEOUT`].
    pub(crate) async fn run(mut self, shutdown: CancellationToken) {
        let accepting = self.sockets.iter().map(|socket| self.accept_from(socket, &shutdown));
        join_all(accepting).await;
        self.sockets.clear();
        self.connections.close();
        self.connections.wait().await;
    }

    /// Accepts the connections of one socket until `shutdown`.
    async fn accept_from(&self, listener: &ListeningSocket, shutdown: &CancellationToken) {
        let mut spare = SpareDescriptor::new();
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = shutdown.cancelled() => break,
            };
            match accepted {
                Ok((socket, peer)) => self.serve(socket, peer, shutdown),
                Err(error) if is_connection_error(&error) => debug!(%error, "cannot accept a connection"),
                Err(error) if descriptors::is_exhausted(&error) => {
                    if spare.refuse_one(listener, &error, self.settings.max_connections).await {
                        self.counts.count(ConnectionOutcome::Refused);
                    }
                }
                Err(error) => {
                    warn!(%error, "cannot accept connections");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    fn serve(&self, socket: Socket, peer: Peer, shutdown: &CancellationToken) {
        let Ok(permit) = Arc::clone(&self.capacity).try_acquire_owned() else {
            self.counts.count(ConnectionOutcome::Refused);
            debug!(?peer, "connection refused: the connection limit is reached");
            if let Some(times) = self.warning.should_log() {
                let most = self.settings.max_connections;
                warn!(
                    times,
                    "refused a connection: all {most} connections are in use; to allow more, raise \
                     max_connections"
                );
            }
            return self.refuse(socket, SERVER_FULL);
        };
        let Ok(permits) = self.limits.acquire(peer.0) else {
            return self.refuse(socket, connection_limit::ADDRESS_FULL);
        };
        self.counts.count(ConnectionOutcome::Accepted);
        // A UNIX socket has no such options.
        if let Socket::Tcp(stream) = &socket {
            framecast_outputs::tune(stream);
        }
        // A handler that hijacks the connection gets all of these values. So the permits stay in use, and the server's
        // shutdown waits for the handler.
        let permit = Box::new((permit, permits.clone(), self.connections.token(), self.tracker.enter()));
        let context = ConnectionContext {
            settings: Arc::clone(&self.settings),
            counts: self.counts.clone(),
            long_heads: Arc::clone(&self.long_heads),
        };
        let serving = serve(socket, (peer, permits), self.router.clone(), context, permit, shutdown.clone());
        self.connections.spawn(serving);
    }

    /// Refuses a connection because of a limit on the number of connections. `sentence` tells the client the reason.
    fn refuse(&self, socket: Socket, sentence: &str) {
        match Arc::clone(&self.refusals).try_acquire_owned() {
            Ok(refusal) => drop(self.connections.spawn(refuse(socket, unavailable(sentence), refusal))),
            Err(_) => refuse_without_waiting(&socket, &unavailable(sentence)),
        }
    }
}

/// Returns the complete HTTP response that refuses a connection because of a limit on their number. `sentence` tells
/// the client the reason.
fn unavailable(sentence: &str) -> Bytes {
    let body = serde_json::json!({ "error": sentence }).to_string();
    let head = format!(
        "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
         Retry-After: 5\r\nConnection: close\r\n\r\n",
        body.len()
    );
    (head + &body).into()
}

/// The state that the tasks of all connections share: the settings, the counts of connections by outcome, and a
/// rate-limited warning.
struct ConnectionContext {
    settings: Arc<Settings>,
    counts: ConnectionCounts,
    long_heads: Arc<RateLimitedLog>,
}

/// Returns the configuration of hyper's HTTP/1 server that follows from `settings`.
fn http(settings: &Settings) -> http1::Builder {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(settings.header_timeout)
        .max_buf_size(MAX_HEAD_BYTES)
        .max_headers(MAX_HEADERS)
        .half_close(false)
        // Some clients of the compat paths compare header names with these capitals.
        .title_case_headers(true);
    http
}

/// Returns the extensions that are added to every request of a connection.
fn extensions(peer: Peer, permits: AddressPermits, hijack: &Hijack) -> Extensions {
    let mut extensions = Extensions::new();
    extensions.insert(peer);
    extensions.insert(permits);
    extensions.insert(hijack.clone());
    extensions.insert(ConnectionLogin::default());
    extensions
}

/// Serves one connection until it ends, or until a handler hijacks (takes over) the connection.
async fn serve(
    socket: Socket,
    (peer, permits): (Peer, AddressPermits),
    router: Router,
    context: ConnectionContext,
    permit: ConnectionPermit,
    shutdown: CancellationToken,
) {
    let (traffic, opened_at) = (Arc::new(Traffic::default()), Instant::now());
    let io = TokioIo::new(Connection::new(socket, context.settings.write_timeout, Arc::clone(&traffic)));
    let hijack = Hijack::new();
    let extensions = extensions(peer, permits, &hijack);
    let service = service_fn(|request: Request<Incoming>| {
        traffic.begin_request(&request);
        let mut request = request.map(Body::new);
        request.extensions_mut().extend(extensions.clone());
        Box::pin(answer(router.clone(), request, Arc::clone(&traffic), shutdown.clone()))
    });
    let mut connection = http(&context.settings).serve_connection(io, service);
    // The socket stays open afterwards, because a late head still needs an answer.
    let serving = async {
        tokio::select! {
            biased;
            served = poll_fn(|cx| connection.poll_without_shutdown(cx)) => return served,
            () = may_close(&shutdown, &traffic, opened_at) => {}
        }
        Pin::new(&mut connection).graceful_shutdown();
        poll_fn(|cx| connection.poll_without_shutdown(cx)).await
    };
    let mut drain_deadline = pin!(drain_deadline(&shutdown));
    let served = tokio::select! {
        served = serving => served,
        () = &mut drain_deadline => return,
    };
    let parts = connection.into_parts();
    let socket = parts.io.into_inner();
    match hijack.take_handler().filter(|_| served.is_ok()) {
        Some(handler) => {
            handler(HijackedConnection { socket: socket.into_inner(), read_buf: parts.read_buf, permit })
        }
        None => {
            let late = late_outcome(&parts.read_buf, traffic.has_request());
            tokio::select! {
                () = end(socket, peer, served, late, &traffic, &context) => {}
                () = drain_deadline => {}
            }
        }
    }
}

/// Closes a connection after hyper has finished with it, and adds one to the count of its outcome if the connection
/// failed. `late` is the outcome if the head of a request (request line and headers) did not arrive in time.
async fn end(
    socket: Connection<Socket>,
    peer: Peer,
    served: hyper::Result<()>,
    late: Option<ConnectionOutcome>,
    traffic: &Traffic,
    context: &ConnectionContext,
) {
    // In HTTP/1.0 the end of the connection ends the body, so a body that broke off needs a reset, or it would look
    // complete.
    if traffic.is_http_1_0() && served.as_ref().is_err_and(hyper::Error::is_user) {
        reset(socket.into_inner(), &context.counts);
    } else if traffic.is_head_too_long() {
        refuse_head(socket.into_inner(), peer, context).await;
    } else {
        // The write fails if the client has gone.
        let _finished = finish(socket, served, late, &context.counts).await;
    }
}

/// Returns the outcome of a connection on which the head of a request (request line and headers) did not arrive in
/// time: [`ConnectionOutcome::LateHead`] if `read`, the bytes that arrived, is a piece of a head;
/// [`ConnectionOutcome::Silent`] if the client never sent a request; `None` if the connection was idle after earlier
/// requests, which is not a failure.
fn late_outcome(read: &[u8], had_request: bool) -> Option<ConnectionOutcome> {
    match read.is_empty() {
        false => Some(ConnectionOutcome::LateHead),
        true if had_request => None,
        true => Some(ConnectionOutcome::Silent),
    }
}

/// Resets a connection (TCP RST) whose HTTP/1.0 response was interrupted, because a normal close would look like the
/// end of a complete response.
fn reset(socket: Socket, counts: &ConnectionCounts) {
    debug!("reset a connection: its HTTP/1.0 answer broke off");
    counts.count(ConnectionOutcome::BrokenOff);
    // The reset fails if the client has gone.
    socket.reset().ok();
}

/// Returns the router's answer to `request`, whose body waits for the client. If the server shuts down, the answer says
/// that it is the last one on this connection.
async fn answer(
    router: Router,
    request: Request<Body>,
    traffic: Arc<Traffic>,
    shutdown: CancellationToken,
) -> Result<Response<BackpressureBody>, Infallible> {
    let mut answer = router.oneshot(request).await?.map(|body| BackpressureBody::new(body, traffic));
    if shutdown.is_cancelled() {
        answer.headers_mut().entry(header::CONNECTION).or_insert(HeaderValue::from_static("close"));
    }
    Ok(answer)
}

/// Waits until the server shuts down, and a connection that was opened at `opened_at` had the time to send a request.
async fn may_close(shutdown: &CancellationToken, traffic: &Traffic, opened_at: Instant) {
    shutdown.cancelled().await;
    let mut too_late = pin!(sleep_until(opened_at + FIRST_REQUEST_TIMEOUT));
    // The bytes of a request wake this task too.
    let first_request = poll_fn(|cx| match traffic.has_request() {
        true => Poll::Ready(()),
        false => too_late.as_mut().poll(cx),
    });
    first_request.await;
}

/// Waits until the server shuts down, and then for [`DRAIN_TIMEOUT`]. The caller then drops the remaining connections.
async fn drain_deadline(shutdown: &CancellationToken) {
    shutdown.cancelled().await;
    sleep(DRAIN_TIMEOUT).await;
    debug!("closed a connection: at shutdown, its client did not finish in time");
}

/// Closes a connection. If hyper's result `served` is an error, adds one to the count of the connection's outcome. If
/// this error is that the head of a request (request line and headers) did not arrive in time, the outcome is `late`.
/// If some bytes of the head arrived, first sends the client a response.
async fn finish(
    mut socket: Connection<Socket>,
    served: hyper::Result<()>,
    late: Option<ConnectionOutcome>,
    counts: &ConnectionCounts,
) -> io::Result<()> {
    if let Err(error) = served {
        debug!(%error, "connection ended");
        let outcome = if error.is_timeout() {
            late
        } else {
            Some(if error.is_parse() { ConnectionOutcome::BadRequest } else { ConnectionOutcome::BrokenOff })
        };
        outcome.into_iter().for_each(|outcome| counts.count(outcome));
        // An idle connection gets no answer, because the client could take it for the answer to its next request.
        if outcome == Some(ConnectionOutcome::LateHead) {
            socket.write_all(HEAD_TIMEOUT_RESPONSE).await?;
        }
    }
    socket.shutdown().await
}

/// Refuses a request whose head (request line and headers) is too long, and closes the connection.
async fn refuse_head(socket: Socket, peer: Peer, context: &ConnectionContext) {
    context.counts.count(ConnectionOutcome::BadRequest);
    if let Some(times) = context.long_heads.should_log() {
        warn!(
            ?peer,
            times,
            "refused a request whose headers have more than {} KiB. If these are cookies from other programs \
             on this host, delete the cookies in the browser, or open this server by another host name or by its IP \
             address",
            MAX_HEAD_BYTES >> 10
        );
    }
    send_and_drain(socket, HEAD_TOO_LARGE_RESPONSE).await;
}

/// Sends the response `unavailable` to a client whose connection exceeds a limit, and waits for the client to read the
/// response.
async fn refuse(stream: Socket, unavailable: Bytes, _refusal: OwnedSemaphorePermit) {
    send_and_drain(stream, &unavailable).await;
}

/// Sends `answer`, the last response on a connection, and waits up to [`REFUSAL_TIMEOUT`] for the client to read this
/// response.
async fn send_and_drain(mut stream: Socket, answer: &[u8]) {
    let sending = async {
        stream.write_all(answer).await?;
        stream.shutdown().await?;
        // Closing with unread bytes would reset the connection, and the client would lose the answer.
        let mut rest = [0; 1024];
        while stream.read(&mut rest).await? > 0 {}
        io::Result::Ok(())
    };
    // If the client does not read the response, it has gone, or the close ends its connection.
    let _told = timeout(REFUSAL_TIMEOUT, sending).await;
}

/// Sends the response `unavailable` to a client whose connection exceeds a limit, without waiting for the client to
/// read the response. If the client's request arrives later, the kernel resets the connection, and on some systems the
/// client then loses the response.
fn refuse_without_waiting(socket: &Socket, unavailable: &[u8]) {
    let socket = match socket {
        Socket::Tcp(stream) => SockRef::from(stream),
        Socket::Unix(stream) => SockRef::from(stream),
    };
    // Bytes that the server has read cause no reset. If the send fails, the client only sees its connection close.
    let (_read, _told) = ((&*socket).read(&mut [0; 1024]), socket.send(unavailable));
}

/// Returns whether `error`, returned by `accept`, concerns only the one incoming connection, so that the listener can
/// go on.
fn is_connection_error(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}
