//! Limits the number of simultaneous connections of each client address.
//!
//! A connection holds a permit of the client's address until the connection closes, even after another module has taken
//! over the socket. A trusted proxy's connection transports the requests of many clients. There, each request, in place
//! of the connection, holds a permit of the requesting client's address until the response is sent. The accept loop,
//! not this module, limits the total number of connections.

use std::collections::HashMap;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use axum::body::{Body, HttpBody};
use axum::extract::Request;
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use framecast_media::lock;
use framecast_outputs::{Hijack, HttpError, Peer, RateLimitedLog, client_key};
use hyper::body::{Frame, SizeHint};
use tracing::{debug, warn};

use super::connection_counts::{ConnectionCounts, ConnectionOutcome};
use super::forwarded::ForwardedBy;
use crate::config::Settings;

/// The server's maximum number of connections divided by the default maximum for one address: one address can have a
/// quarter of all connections.
const ADDRESS_SHARE: usize = 4;

/// The server's maximum number of connections divided by the number of additional connections that a trusted proxy's
/// address can have: half of all connections, beyond the limit that applies to each address. These connections have not
/// sent a request so far.
const IDLE_SHARE: usize = 2;

/// The error message for a client whose address already has its maximum number of connections.
pub(super) const ADDRESS_FULL: &str = "connection limit of this address reached: close some connections, or raise \
                               max_connections_per_address. If all clients come through one proxy, let the proxy set \
                               X-Forwarded-For, and name the proxy in trusted_proxies";

/// The limits on the connections of each address, with the current counts. Clones share the counts.
#[derive(Debug, Clone)]
pub(super) struct AddressLimits(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    settings: Arc<Settings>,
    counts: ConnectionCounts,
    warning: RateLimitedLog,
    in_use: Mutex<HashMap<IpAddr, usize>>,
    /// For each trusted proxy's address, the number of connections beyond the limit that applies to each address. A
    /// proxy can have such connections until their first request.
    idle: Mutex<HashMap<IpAddr, usize>>,
}

/// The error if an address already has its maximum number of connections.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct AddressLimitReached;

impl AddressLimits {
    pub(super) fn new(settings: Arc<Settings>, counts: ConnectionCounts) -> Self {
        Self(Arc::new(Inner {
            settings,
            counts,
            warning: RateLimitedLog::default(),
            in_use: Mutex::default(),
            idle: Mutex::default(),
        }))
    }

    /// Acquires the permits for a new connection from the address `peer`.
    ///
    /// # Errors
    /// The address already has its maximum number of connections. The refusal is logged, and raises the count of
    /// [`ConnectionOutcome::RefusedAddress`] by one.
    pub(super) fn acquire(&self, peer: Option<IpAddr>) -> Result<AddressPermits, AddressLimitReached> {
        // The client of a proxy's connection is known only with its first request.
        let is_proxy = self.0.settings.trusted_proxies.contains(peer);
        let (own, idle) = match self.acquire_for(peer) {
            Some(own) => (Some(own), None),
            None if is_proxy => {
                (None, Some(self.acquire_idle(peer).ok_or_else(|| self.refuse("a connection", peer))?))
            }
            None => return Err(self.refuse("a connection", peer)),
        };
        let held = HeldPermits { own, _idle: idle, _request: None };
        Ok(AddressPermits { limits: self.clone(), held: Arc::new(Mutex::new(held)) })
    }

    /// Returns the maximum number of connections of `address`; `None` if there is no limit.
    fn limit(&self, address: IpAddr) -> Option<usize> {
        let Settings { max_connections, max_connections_per_address, .. } = &*self.0.settings;
        let share = || Some(max_connections / ADDRESS_SHARE).filter(|_| !address.is_loopback());
        max_connections_per_address.or_else(share).map(|most| most.max(1))
    }

    fn acquire_for(&self, address: Option<IpAddr>) -> Option<AddressPermit> {
        let bounded = address.and_then(|address| Some((address, self.limit(address)?)));
        let Some((address, most)) = bounded else { return Some(AddressPermit(None)) };
        self.acquire_in(|inner| &inner.in_use, address, most)
    }

    /// Acquires a permit for a connection of `proxy` beyond the limit that applies to each address. A trusted proxy can
    /// have such connections until their first request. Their number is limited, too, because the configuration can
    /// trust a whole network in which not every address is a proxy. Returns `None` if no permit is left.
    fn acquire_idle(&self, proxy: Option<IpAddr>) -> Option<AddressPermit> {
        let Some(proxy) = proxy else { return Some(AddressPermit(None)) };
        let most = (self.0.settings.max_connections / IDLE_SHARE).max(1);
        self.acquire_in(|inner| &inner.idle, proxy, most)
    }

    fn acquire_in(&self, counts_of: CountTable, address: IpAddr, most: usize) -> Option<AddressPermit> {
        let key = client_key(address);
        let mut in_use = lock(counts_of(&self.0));
        let count = in_use.entry(key).or_default();
        if *count >= most {
            return None;
        }
        *count += 1;
        drop(in_use);
        Some(AddressPermit(Some((self.clone(), counts_of, key))))
    }

    /// Logs that the server refuses `what`, which is `a connection` or `a request`, from `address`. Raises the count of
    /// [`ConnectionOutcome::RefusedAddress`] by one, and returns the error.
    fn refuse(&self, what: &'static str, address: Option<IpAddr>) -> AddressLimitReached {
        self.0.counts.count(ConnectionOutcome::RefusedAddress);
        debug!(?address, "refused {what}: the client's address has all the connections that it may have");
        if let (Some(address), Some(times)) = (address, self.0.warning.should_log()) {
            warn!(
                %address, times,
                "refused {what}: connection limit of the client's address reached (max_connections_per_address). If \
                 `address` is that of your proxy, let the proxy set X-Forwarded-For, and add the address to \
                 trusted_proxies"
            );
        }
        AddressLimitReached
    }
}

/// A function that returns one of the two tables of counts in [`Inner`]: `in_use` or `idle`.
type CountTable = fn(&Inner) -> &Mutex<HashMap<IpAddr, usize>>;

/// A permit for one connection or request of an address, which counts towards the limit of the address until this value
/// is dropped.
#[derive(Debug)]
struct AddressPermit(Option<(AddressLimits, CountTable, IpAddr)>);

impl Drop for AddressPermit {
    fn drop(&mut self) {
        let Some((limits, counts_of, key)) = &self.0 else { return };
        let mut in_use = lock(counts_of(&limits.0));
        if let Some(count) = in_use.get_mut(key) {
            *count -= 1;
            if *count == 0 {
                in_use.remove(key);
            }
        }
    }
}

/// The permits that one connection holds. Clones share the permits: the owner of the socket has a clone, and so do the
/// extensions of each request.
#[derive(Debug, Clone)]
pub(super) struct AddressPermits {
    limits: AddressLimits,
    held: Arc<Mutex<HeldPermits>>,
}

#[derive(Debug, Default)]
struct HeldPermits {
    /// The permit for the connection itself, under the address of the peer. `None` on a proxy's connection after its
    /// first forwarded request.
    own: Option<AddressPermit>,
    /// The permit for a trusted proxy's connection beyond the limit that applies to each address, held until the
    /// connection's first request; `None` for any other connection.
    _idle: Option<AddressPermit>,
    /// The permit for a forwarded request whose handler hijacked (took over) the socket; `None` if there is no such
    /// request.
    _request: Option<AddressPermit>,
}

impl AddressPermits {
    /// Acquires the permit for a request of `client`. `is_forwarded` is the trusted proxy that forwarded the request;
    /// `None` if no trusted proxy did. Returns the permit to hold until the response is sent, or `None` if the
    /// connection's own permit covers the request.
    fn begin_request(
        &self,
        client: Option<IpAddr>,
        is_forwarded: Option<ForwardedBy>,
    ) -> Result<Option<AddressPermit>, AddressLimitReached> {
        let mut held = lock(&self.held);
        if is_forwarded.is_some() {
            (held.own, held._idle) = (None, None);
            return self
                .limits
                .acquire_for(client)
                .map(Some)
                .ok_or_else(|| self.limits.refuse("a request", client));
        }
        if held.own.is_none() {
            held.own = self.limits.acquire_for(client);
        }
        if held.own.is_none() {
            return Err(self.limits.refuse("a request", client));
        }
        held._idle = None;
        Ok(None)
    }
}

/// Passes `request` on if the client's address has not reached its limit, and responds with an error otherwise. A
/// request that is passed on counts towards the limit until its response is sent.
pub(super) async fn limit_requests(request: Request, next: Next) -> Response {
    let extensions = request.extensions();
    let Some(permits) = extensions.get::<AddressPermits>().cloned() else { return next.run(request).await };
    let permit = match permits.begin_request(Peer::from_extensions(extensions), extensions.get().copied()) {
        Ok(permit) => permit,
        Err(AddressLimitReached) => {
            let refusal =
                HttpError { status: StatusCode::SERVICE_UNAVAILABLE, message: ADDRESS_FULL.to_owned() };
            return refusal.into_response();
        }
    };
    let hijack = extensions.get::<Hijack>().cloned();
    let response = next.run(request).await;
    let Some(permit) = permit else { return response };
    if hijack.is_some_and(|hijack| hijack.has_handler()) {
        lock(&permits.held)._request = Some(permit);
        return response;
    }
    response.map(|body| Body::new(PermittedBody { body, _permit: permit }))
}

/// The body of a response, together with the permit of the request, which is held until the body is sent.
struct PermittedBody {
    body: Body,
    _permit: AddressPermit,
}

impl HttpBody for PermittedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORWARDED: Option<ForwardedBy> = Some(ForwardedBy { by: None });

    fn limits(most: Option<usize>) -> AddressLimits {
        let settings =
            Settings { max_connections: 8, max_connections_per_address: most, ..Settings::default() };
        AddressLimits::new(Arc::new(settings), ConnectionCounts::default())
    }

    fn ip(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    #[test]
    fn an_address_has_a_quarter_and_an_ipv6_one_with_its_network() {
        let limits = limits(None);
        let held = [limits.acquire(ip("192.0.2.1")), limits.acquire(ip("192.0.2.1"))];
        assert_eq!(limits.acquire(ip("192.0.2.1")).unwrap_err(), AddressLimitReached);
        assert!(limits.acquire(ip("192.0.2.2")).is_ok());
        drop(held);
        assert!(limits.acquire(ip("192.0.2.1")).is_ok());
        let _held = [limits.acquire(ip("2001:db8::1")), limits.acquire(ip("2001:db8::2"))];
        assert!(limits.acquire(ip("2001:db8::3")).is_err());
        assert!(lock(&limits.0.in_use).len() == 1, "what nobody has is forgotten");
    }

    #[test]
    fn this_machine_has_any_number_unless_one_is_set() {
        let free = limits(None);
        let held_permits: Vec<AddressPermits> =
            (0..100).map(|_| free.acquire(ip("127.0.0.1")).unwrap()).collect();
        assert!(held_permits.iter().all(|permits| permits.begin_request(ip("127.0.0.1"), None).is_ok()));
        let set = limits(Some(2));
        let mut held_permits: Vec<AddressPermits> = (0..3).map(|_| set.acquire(ip("::1")).unwrap()).collect();
        assert!(
            held_permits[2].begin_request(ip("::1"), None).is_err(),
            "it may still turn out to be a proxy's"
        );
        assert!(held_permits[2].begin_request(ip("192.0.2.1"), FORWARDED).is_ok());
        held_permits.remove(0);
        assert!(held_permits[1].begin_request(ip("::1"), None).is_ok());
        assert!(
            (0..100)
                .map(|_| set.acquire(None).unwrap())
                .all(|permits| permits.begin_request(None, None).is_ok())
        );
    }

    #[test]
    fn what_a_proxy_passes_on_counts_for_its_client_alone() {
        let limits = limits(Some(1));
        let proxy = limits.acquire(ip("127.0.0.1")).unwrap();
        let first = proxy.begin_request(ip("192.0.2.1"), FORWARDED).unwrap();
        let other = limits.acquire(ip("127.0.0.1")).unwrap();
        assert!(other.begin_request(ip("127.0.0.1"), None).is_ok(), "the proxy's own place is free");
        assert!(other.begin_request(ip("192.0.2.1"), FORWARDED).is_err());
        assert!(limits.acquire(ip("192.0.2.1")).is_err(), "directly neither");
        assert!(other.begin_request(ip("192.0.2.2"), FORWARDED).is_ok());
        drop(first);
        assert!(other.begin_request(ip("192.0.2.1"), FORWARDED).is_ok());
    }

    #[test]
    fn a_network_that_is_trusted_has_no_more_connections_that_ask_nothing_than_half() {
        let mut trusted_proxies = crate::config::AddressRanges::none();
        trusted_proxies.add("192.168.0.0/16").unwrap();
        let settings = Settings { max_connections: 8, trusted_proxies, ..Settings::default() };
        let limits = AddressLimits::new(Arc::new(settings), ConnectionCounts::default());
        let mut held: Vec<AddressPermits> =
            (0..6).map(|_| limits.acquire(ip("192.168.1.9")).unwrap()).collect();
        assert_eq!(
            limits.acquire(ip("192.168.1.9")).unwrap_err(),
            AddressLimitReached,
            "a quarter of its own, and half"
        );
        assert!(limits.acquire(ip("192.168.1.10")).is_ok());
        // Requests that a proxy forwards count for its clients.
        assert!(held[5].begin_request(ip("192.0.2.1"), FORWARDED).is_ok());
        held.push(limits.acquire(ip("192.168.1.9")).unwrap());
        assert!(limits.acquire(ip("192.168.1.9")).is_err());
        drop(held);
        assert!(lock(&limits.0.idle).is_empty());
    }
}
