//! The accept loop: connections in, each served by hyper, bounded in number, head size and time.

use std::future::poll_fn;
use std::io::{self, Read};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Extensions, Request};
use bytes::Bytes;
use framecast_outputs::{Handover, Peer, Place, Seldom, Socket, Taken};
use futures_util::TryFutureExt;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;
use tracing::{debug, warn};

use super::Context;
use super::connection::{self, Connection};
use super::counts::{Counts, Fate};
use super::descriptors::{self, Spare};
use super::guesses::Login;
use super::listener::Listener;
use super::places::{self, Places, Seat};
use super::traffic::{MAX_HEAD_BYTES, Paced, Traffic};
use crate::config::Settings;
use crate::memory::Crowd;

/// No browser sends more.
const MAX_HEADERS: usize = 64;

/// A pause after an error of the listener, so that what lasts is no busy loop.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How long a refused connection may take to take its refusal.
const REFUSAL_TIMEOUT: Duration = Duration::from_secs(1);

/// How many refused connections are told so with patience at once; further ones must take it at once.
const MAX_REFUSALS: usize = 256;

/// How long connections may take to end by themselves at shutdown: less than the two seconds of the whole.
const ENDING_TIMEOUT: Duration = Duration::from_millis(1800);

/// The whole answer to a request whose head did not come to its end in time.
const TOO_SLOW: &[u8] = b"HTTP/1.1 408 Request Timeout\r\nContent-Type: application/json\r\n\
Content-Length: 51\r\nConnection: close\r\n\r\n{\"error\":\"the request's head did not come in time\"}";

/// The whole answer to a request whose head is too long.
const TOO_LONG: &[u8] = b"HTTP/1.1 431 Request Header Fields Too Large\r\nContent-Type: application/json\r\n\
Content-Length: 214\r\nConnection: close\r\n\r\n{\"error\":\"the request's head has more than 16 KiB, which is mostly \
cookies that other programs on this host have set: delete this host's cookies in the browser, or reach this server by \
another name or its address\"}";

/// What who is refused for want of a place among all is told.
const FULL: &str = "all connections are in use; wait, or raise max_connections";

/// A listener and what it serves.
#[derive(Debug)]
pub(crate) struct Server {
    listener: Listener,
    router: Router,
    settings: Arc<Settings>,
    counts: Counts,
    /// Room for connections of all addresses together.
    room: Arc<Semaphore>,
    /// The part of it that each address may have.
    places: Places,
    refusals: Arc<Semaphore>,
    warning: Seldom,
    long_heads: Arc<Seldom>,
    connections: TaskTracker,
    crowd: Crowd,
}

impl Server {
    pub(crate) fn new(listener: Listener, router: Router, context: &Context) -> Self {
        let (settings, counts) = (Arc::clone(&context.settings), context.connections.clone());
        let room = Arc::new(Semaphore::new(settings.max_connections.min(Semaphore::MAX_PERMITS)));
        let places = Places::new(Arc::clone(&settings), counts.clone());
        let refusals = Arc::new(Semaphore::new(MAX_REFUSALS));
        let (warning, connections) = (Seldom::default(), TaskTracker::new());
        let (long_heads, crowd) = (Arc::default(), Crowd::new());
        Self {
            listener,
            router,
            settings,
            counts,
            room,
            places,
            refusals,
            warning,
            long_heads,
            connections,
            crowd,
        }
    }

    /// Accepts connections until `shutdown`, then waits for those that are open, which are dropped when they have not
    /// ended within [`ENDING_TIMEOUT`].
    pub(crate) async fn run(self, shutdown: CancellationToken) {
        let mut spare = Spare::new();
        loop {
            let accepted = tokio::select! {
                accepted = self.listener.accept() => accepted,
                () = shutdown.cancelled() => break,
            };
            match accepted {
                Ok((socket, peer)) => self.take(socket, peer, &shutdown),
                Err(error) if is_of_one_connection(&error) => debug!(%error, "accept"),
                Err(error) if descriptors::are_used_up(&error) => {
                    if spare.refuse_one(&self.listener, &error, self.settings.max_connections).await {
                        self.counts.count(Fate::Refused);
                    }
                }
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

    fn take(&self, socket: Socket, peer: Peer, shutdown: &CancellationToken) {
        let Ok(place) = Arc::clone(&self.room).try_acquire_owned() else {
            self.counts.count(Fate::Refused);
            debug!(?peer, "refused: all connections are in use");
            if let Some(times) = self.warning.occurs() {
                let most = self.settings.max_connections;
                warn!(times, "refused a connection: all {most} are in use; the limit is max_connections");
            }
            return self.refuse(socket, FULL);
        };
        let Ok(seat) = self.places.seat(peer.0) else { return self.refuse(socket, places::FULL) };
        self.counts.count(Fate::Accepted);
        connection::configure(&socket);
        // Whoever takes the connection over holds its places, and the server's end waits for them too.
        let place = Box::new((place, seat.clone(), self.connections.token(), self.crowd.enter()));
        let rules = Rules {
            settings: Arc::clone(&self.settings),
            counts: self.counts.clone(),
            long_heads: Arc::clone(&self.long_heads),
        };
        let serving = serve(socket, (peer, seat), self.router.clone(), rules, place, shutdown.clone());
        self.connections.spawn(serving);
    }

    /// Tells a client that there is no place for it, and why.
    fn refuse(&self, socket: Socket, sentence: &str) {
        match Arc::clone(&self.refusals).try_acquire_owned() {
            Ok(refusal) => drop(self.connections.spawn(refuse(socket, busy(sentence), refusal))),
            Err(_) => refuse_at_once(&socket, &busy(sentence)),
        }
    }
}

/// The whole answer to a connection for which there is no place.
fn busy(sentence: &str) -> Bytes {
    let body = serde_json::json!({ "error": sentence }).to_string();
    let head = format!(
        "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
         Retry-After: 5\r\nConnection: close\r\n\r\n",
        body.len()
    );
    (head + &body).into()
}

/// What a connection is held to, and where its end is counted.
struct Rules {
    settings: Arc<Settings>,
    counts: Counts,
    long_heads: Arc<Seldom>,
}

/// How HTTP is spoken.
fn http(settings: &Settings) -> http1::Builder {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(settings.header_timeout)
        .max_buf_size(MAX_HEAD_BYTES)
        .max_headers(MAX_HEADERS)
        .half_close(false)
        // Some clients of other programs, whose paths are answered too, look for names as these write them.
        .title_case_headers(true);
    http
}

/// What all requests of a connection know of it.
fn known(peer: Peer, seat: Seat, handover: &Handover) -> Extensions {
    let mut known = Extensions::new();
    known.insert(peer);
    known.insert(seat);
    known.insert(handover.clone());
    known.insert(Login::default());
    known
}

/// Serves one connection to its end, or until a handler has it.
async fn serve(
    socket: Socket,
    (peer, seat): (Peer, Seat),
    router: Router,
    rules: Rules,
    place: Place,
    shutdown: CancellationToken,
) {
    let traffic = Arc::new(Traffic::default());
    let io = TokioIo::new(Connection::new(socket, rules.settings.write_timeout, Arc::clone(&traffic)));
    let handover = Handover::new();
    let known = known(peer, seat, &handover);
    let service = service_fn(|request: Request<Incoming>| {
        traffic.asks(&request);
        let mut request = request.map(Body::new);
        request.extensions_mut().extend(known.clone());
        let (answer, traffic) = (router.clone().oneshot(request), Arc::clone(&traffic));
        Box::pin(answer.map_ok(|answer| answer.map(|body| Paced::new(body, traffic))))
    });
    let mut connection = http(&rules.settings).serve_connection(io, service);
    // The socket is left open at the end: a head that is late is still to be answered.
    let serving = async {
        tokio::select! {
            served = poll_fn(|cx| connection.poll_without_shutdown(cx)) => return served,
            () = shutdown.cancelled() => {}
        }
        Pin::new(&mut connection).graceful_shutdown();
        poll_fn(|cx| connection.poll_without_shutdown(cx)).await
    };
    let mut ends_late = pin!(ends_late(&shutdown));
    let served = tokio::select! {
        served = serving => served,
        () = &mut ends_late => return,
    };
    let parts = connection.into_parts();
    let socket = parts.io.into_inner();
    match handover.take().filter(|_| served.is_ok()) {
        Some(taker) => taker(Taken { socket: socket.into_inner(), read: parts.read_buf, place }),
        None => {
            let late = late_fate(&parts.read_buf, traffic.has_asked());
            tokio::select! {
                () = end(socket, peer, served, late, &traffic, &rules) => {}
                () = ends_late => {}
            }
        }
    }
}

/// Ends a connection that no handler has taken; `late` is its fate if it ended because no head came in time.
async fn end(
    socket: Connection<Socket>,
    peer: Peer,
    served: hyper::Result<()>,
    late: Option<Fate>,
    traffic: &Traffic,
    rules: &Rules,
) {
    // The end of such a body is the connection's: one that broke off must not look whole.
    if traffic.is_old() && served.as_ref().is_err_and(hyper::Error::is_user) {
        break_off(socket.into_inner(), &rules.counts);
    } else if traffic.is_head_too_long() {
        refuse_head(socket.into_inner(), peer, rules).await;
    } else {
        // A client that has gone cannot be told that this is the end.
        let _finished = finish(socket, served, late, &rules.counts).await;
    }
}

/// The fate of a connection if it ended because no head came in time: some of one had come, none ever, or none after others.
fn late_fate(read: &[u8], was_asked: bool) -> Option<Fate> {
    match read.is_empty() {
        false => Some(Fate::LateHead),
        true if was_asked => None,
        true => Some(Fate::Silent),
    }
}

/// Ends an answer of HTTP/1.0 that broke off.
fn break_off(socket: Socket, counts: &Counts) {
    debug!("reset: an answer of HTTP/1.0 broke off");
    counts.count(Fate::BrokenOff);
    // Where that fails, the client has gone.
    socket.reset().ok();
}

/// Waits until the server ends, and then as long as a client may take to take its end.
async fn ends_late(shutdown: &CancellationToken) {
    shutdown.cancelled().await;
    sleep(ENDING_TIMEOUT).await;
    debug!("dropped: the client did not take the end in time");
}

/// Closes a connection; `late` is its fate if it ended because no head came in time. Where some of one came, that is told.
async fn finish(
    mut socket: Connection<Socket>,
    served: hyper::Result<()>,
    late: Option<Fate>,
    counts: &Counts,
) -> io::Result<()> {
    if let Err(error) = served {
        debug!(%error, "connection ended");
        let fate = if error.is_timeout() {
            late
        } else {
            Some(if error.is_parse() { Fate::BadRequest } else { Fate::BrokenOff })
        };
        fate.into_iter().for_each(|fate| counts.count(fate));
        // One that was idle gets no answer: a client could take it for that to its next request.
        if fate == Some(Fate::LateHead) {
            socket.write_all(TOO_SLOW).await?;
        }
    }
    socket.shutdown().await
}

/// Tells a client that the head of its request is too long.
async fn refuse_head(socket: Socket, peer: Peer, rules: &Rules) {
    rules.counts.count(Fate::BadRequest);
    if let Some(times) = rules.long_heads.occurs() {
        warn!(
            ?peer,
            times,
            "refused a request whose head has more than {} KiB; where cookies of other programs on this host are what \
             fills it, delete them in the browser, or reach this server by another name or its address",
            MAX_HEAD_BYTES >> 10
        );
    }
    tell(socket, TOO_LONG).await;
}

/// Tells a client that there is no place for it.
async fn refuse(stream: Socket, busy: Bytes, _refusal: OwnedSemaphorePermit) {
    tell(stream, &busy).await;
}

/// Sends `answer`, the last one, and waits a moment for the client to take it.
async fn tell(mut stream: Socket, answer: &[u8]) {
    let telling = async {
        stream.write_all(answer).await?;
        stream.shutdown().await?;
        // Closing with unread bytes would reset the connection, and the answer with it.
        let mut rest = [0; 1024];
        while stream.read(&mut rest).await? > 0 {}
        io::Result::Ok(())
    };
    // A client that does not take it has gone or will be closed.
    let _told = timeout(REFUSAL_TIMEOUT, telling).await;
}

/// Tells a client that there is no place for it, as far as that goes without waiting: what it asks later resets the
/// connection, and on some systems takes the answer with it.
fn refuse_at_once(socket: &Socket, busy: &[u8]) {
    let socket = match socket {
        Socket::Tcp(stream) => SockRef::from(stream),
        Socket::Unix(stream) => SockRef::from(stream),
    };
    // What was read resets nothing. A client that cannot be told sees its connection closed.
    let (_read, _told) = ((&*socket).read(&mut [0; 1024]), socket.send(busy));
}

/// Whether an error of `accept` concerns the connection that was to be accepted and not the listener.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}
