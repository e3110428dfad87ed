//! `/api/viewers`: the current viewers, with their rates and delays.

use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use axum::Router;
use axum::extract::{Request, State};
use axum::response::Response;
use axum::routing::get;
use framecast_outputs::{Peer, ViewerStats};
use serde::Serialize;

use super::Context;
use super::api::{json, rfc3339};
use super::{forwarded, guard, host};

/// Returns the route `/api/viewers`.
pub(crate) fn routes(context: Context) -> Router {
    Router::new().route("/api/viewers", get(viewers).options(super::options)).with_state(context)
}

#[derive(Serialize)]
struct ViewerList {
    now: String,
    limits: LimitsView,
    refused: RefusedViewers,
    viewers: Vec<ViewerView>,
}

/// The viewer limits of the whole server and of each address. The limits of cameras are in the configuration.
#[derive(Serialize)]
struct LimitsView {
    server: Option<usize>,
    address: Option<usize>,
}

/// The number of viewers refused since the start, by the limit that was reached.
#[derive(Serialize)]
struct RefusedViewers {
    server: u64,
    camera: u64,
    address: u64,
}

#[derive(Serialize)]
struct ViewerView {
    id: u64,
    camera: String,
    /// The viewer's address. `null` for a viewer on a UNIX socket. Also `null` if the client that requests the list is
    /// not allowed to see addresses.
    address: Option<IpAddr>,
    via: &'static str,
    /// The viewer's rendition, as parameters of a URL; empty for the original pictures.
    rendition: String,
    since: String,
    /// The number of the writer thread that sends to the viewer; `None` if the viewer has a task of its own.
    shard: Option<u32>,
    frames: u64,
    bytes: u64,
    skipped: u64,
    age_ms: Option<f64>,
    painted_age_ms: Option<f64>,
    queue_bytes: Option<u64>,
    bytes_per_second: Option<u64>,
}

async fn viewers(State(context): State<Context>, request: Request) -> Response {
    let shows_addresses = context.settings.account.is_some() || is_from_here(&request);
    let registry = &context.viewers;
    let limits = registry.limits();
    let [(_, server), (_, camera), (_, address)] = registry.refused();
    json(ViewerList {
        now: rfc3339(SystemTime::now()),
        limits: LimitsView { server: limits.server, address: limits.address },
        refused: RefusedViewers { server, camera, address },
        viewers: registry.list().iter().map(|stats| describe(stats, shows_addresses)).collect(),
    })
}

/// Returns whether the request comes from this machine, and no proxy here forwarded it. Only then can a client of a
/// server without an account see the addresses of other viewers.
///
/// The host name of the request reveals a proxy that adds no header: the proxy sends its own name for this server, or
/// the name that its client typed. The client that a proxy names does not count, because the proxy might pass on a
/// forged header.
fn is_from_here(request: &Request) -> bool {
    let (uri, headers) = (request.uri(), request.headers());
    if forwarded::is_forwarded(headers)
        || guard::host_of(uri, headers).is_some_and(|host| !host::is_loopback(&host))
    {
        return false;
    }
    match request.extensions().get::<Peer>() {
        Some(Peer(Some(address))) => address.to_canonical().is_loopback(),
        Some(Peer(None)) => true,
        None => false,
    }
}

fn describe(stats: &ViewerStats, shows_addresses: bool) -> ViewerView {
    ViewerView {
        id: stats.id(),
        camera: stats.feed().name().to_owned(),
        address: stats.peer().filter(|_| shows_addresses),
        via: stats.transport().as_str(),
        rendition: stats.rendition().to_string(),
        since: rfc3339(stats.since()),
        shard: stats.writer_number(),
        frames: stats.frames(),
        bytes: stats.bytes(),
        skipped: stats.skipped_frames(),
        age_ms: stats.age().map(millis),
        painted_age_ms: stats.painted_age().map(millis),
        queue_bytes: stats.queue_bytes(),
        bytes_per_second: stats.bytes_per_second(),
    }
}

/// Returns `time` in milliseconds, with three decimals.
fn millis(time: Duration) -> f64 {
    time.as_micros() as f64 / 1000.0
}
