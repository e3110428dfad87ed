//! The accept loop. hyper serves each connection, with limits on number, head size and time.

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

/// No browser sends more headers.
const MAX_HEADERS: usize = 64;

/// The pause after an error of the listener, so that a lasting error causes no busy loop.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How long a refused connection may take to read its refusal.
const REFUSAL_TIMEOUT: Duration = Duration::from_secs(1);

/// How many refused connections may wait at once for their clients to read the refusal. Further ones get it without
/// waiting.
const MAX_REFUSALS: usize = 256;

/// How long connections may take at shutdown to end by themselves: less than the two seconds of the whole shutdown.
const ENDING_TIMEOUT: Duration = Duration::from_millis(1800);

/// The complete answer to a request whose head is not complete in time.
const TOO_SLOW: &[u8] = b"HTTP/1.1 408 Request Timeout\r\nContent-Type: application/json\r\n\
Content-Length: 51\r\nConnection: close\r\n\r\n{\"error\":\"the request's head did not come in time\"}";

/// The complete answer to a request whose head is too long.
const TOO_LONG: &[u8] = b"HTTP/1.1 431 Request Header Fields Too Large\r\nContent-Type: application/json\r\n\
Content-Length: 214\r\nConnection: close\r\n\r\n{\"error\":\"the request's head has more than 16 KiB, which is mostly \
cookies that other programs on this host have set: delete this host's cookies in the browser, or reach this server by \
another name or its address\"}";

/// The message for a client when all connections are in use.
const FULL: &str = "all connections are in use; wait, or raise max_connections";

/// A listener and the routes that it serves.
#[derive(Debug)]
pub(crate) struct Server {
    listener: Listener,
    router: Router,
    settings: Arc<Settings>,
    counts: Counts,
    /// The permits for connections from all addresses.
    room: Arc<Semaphore>,
    /// The limits of each address.
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

    /// Accepts connections until `shutdown`. Then waits for the open ones, and drops those that have not ended within
    /// [`ENDING_TIMEOUT`].
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
        // A handler that hijacks the connection also holds these, so the permits stay in use and the server's end waits
        // for it.
        let place = Box::new((place, seat.clone(), self.connections.token(), self.crowd.enter()));
        let rules = Rules {
            settings: Arc::clone(&self.settings),
            counts: self.counts.clone(),
            long_heads: Arc::clone(&self.long_heads),
        };
        let serving = serve(socket, (peer, seat), self.router.clone(), rules, place, shutdown.clone());
        self.connections.spawn(serving);
    }

    /// Refuses a client that gets no permit, with the reason.
    fn refuse(&self, socket: Socket, sentence: &str) {
        match Arc::clone(&self.refusals).try_acquire_owned() {
            Ok(refusal) => drop(self.connections.spawn(refuse(socket, busy(sentence), refusal))),
            Err(_) => refuse_at_once(&socket, &busy(sentence)),
        }
    }
}

/// The complete answer to a connection without a permit.
fn busy(sentence: &str) -> Bytes {
    let body = serde_json::json!({ "error": sentence }).to_string();
    let head = format!(
        "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
         Retry-After: 5\r\nConnection: close\r\n\r\n",
        body.len()
    );
    (head + &body).into()
}

/// The limits of a connection, and the counts for its outcome.
struct Rules {
    settings: Arc<Settings>,
    counts: Counts,
    long_heads: Arc<Seldom>,
}

/// The HTTP settings.
fn http(settings: &Settings) -> http1::Builder {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(settings.header_timeout)
        .max_buf_size(MAX_HEAD_BYTES)
        .max_headers(MAX_HEADERS)
        .half_close(false)
        // Some clients of the drop-in paths compare header names in this case.
        .title_case_headers(true);
    http
}

/// The extensions that all requests of a connection get.
fn known(peer: Peer, seat: Seat, handover: &Handover) -> Extensions {
    let mut known = Extensions::new();
    known.insert(peer);
    known.insert(seat);
    known.insert(handover.clone());
    known.insert(Login::default());
    known
}

/// Serves one connection to its end, or until a handler hijacks it.
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
    // The socket stays open afterwards, because a late head still needs an answer.
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

/// Ends a connection that no handler has hijacked. `late` is its outcome if it ended because no head came in time.
async fn end(
    socket: Connection<Socket>,
    peer: Peer,
    served: hyper::Result<()>,
    late: Option<Fate>,
    traffic: &Traffic,
    rules: &Rules,
) {
    // In HTTP/1.0 the end of the connection ends the body, so a body that broke off needs a reset, or it would look
    // complete.
    if traffic.is_old() && served.as_ref().is_err_and(hyper::Error::is_user) {
        break_off(socket.into_inner(), &rules.counts);
    } else if traffic.is_head_too_long() {
        refuse_head(socket.into_inner(), peer, rules).await;
    } else {
        // The write fails if the client has gone.
        let _finished = finish(socket, served, late, &rules.counts).await;
    }
}

/// The outcome of a connection that ended because no head came in time: part of one had come, none ever, or none after
/// earlier ones.
fn late_fate(read: &[u8], was_asked: bool) -> Option<Fate> {
    match read.is_empty() {
        false => Some(Fate::LateHead),
        true if was_asked => None,
        true => Some(Fate::Silent),
    }
}

/// Resets a connection whose HTTP/1.0 answer broke off.
fn break_off(socket: Socket, counts: &Counts) {
    debug!("reset: an answer of HTTP/1.0 broke off");
    counts.count(Fate::BrokenOff);
    // The reset fails if the client has gone.
    socket.reset().ok();
}

/// Waits for the shutdown, and then as long as clients may take to end.
async fn ends_late(shutdown: &CancellationToken) {
    shutdown.cancelled().await;
    sleep(ENDING_TIMEOUT).await;
    debug!("dropped: the client did not take the end in time");
}

/// Closes a connection. `late` is its outcome if it ended because no head came in time. If part of one came, the client
/// gets an answer.
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
        // An idle connection gets no answer, because the client could take it for the answer to its next request.
        if fate == Some(Fate::LateHead) {
            socket.write_all(TOO_SLOW).await?;
        }
    }
    socket.shutdown().await
}

/// Refuses a request whose head is too long.
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

/// Refuses a client that gets no permit.
async fn refuse(stream: Socket, busy: Bytes, _refusal: OwnedSemaphorePermit) {
    tell(stream, &busy).await;
}

/// Sends `answer`, the last one, and waits a moment for the client to read it.
async fn tell(mut stream: Socket, answer: &[u8]) {
    let telling = async {
        stream.write_all(answer).await?;
        stream.shutdown().await?;
        // Closing with unread bytes would reset the connection, and the client would lose the answer.
        let mut rest = [0; 1024];
        while stream.read(&mut rest).await? > 0 {}
        io::Result::Ok(())
    };
    // A client that does not read it has gone, or the close ends it.
    let _told = timeout(REFUSAL_TIMEOUT, telling).await;
}

/// Refuses a client that gets no permit, without waiting. If its request arrives later, that resets the connection, and
/// on some systems the client then loses the answer.
fn refuse_at_once(socket: &Socket, busy: &[u8]) {
    let socket = match socket {
        Socket::Tcp(stream) => SockRef::from(stream),
        Socket::Unix(stream) => SockRef::from(stream),
    };
    // Bytes that were read cause no reset. If the send fails, the client only sees its connection close.
    let (_read, _told) = ((&*socket).read(&mut [0; 1024]), socket.send(busy));
}

/// Whether an error of `accept` concerns one incoming connection and not the listener.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}
