//! Limits how many connections each address has at once.
//!
//! A connection holds a permit from its acceptance to its end, whichever part of the server has it by then. A trusted
//! proxy's connection carries the requests of many clients. There each request holds a permit of its client's address
//! until it is answered. The accept loop limits the total number of connections.

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
use framecast_outputs::{Handover, Peer, Refusal, Seldom, client_key};
use hyper::body::{Frame, SizeHint};
use tracing::{debug, warn};

use super::counts::{Counts, Fate};
use super::forwarded::IsForwarded;
use super::lock;
use crate::config::Settings;

/// The divisor for the default share of all connections that one address may have.
const SHARE: usize = 4;

/// The divisor for the share that a proxy's address may have beyond its own, of connections without a request so far.
const SHARE_UNASKED: usize = 2;

/// The message for a client whose address has no permit left.
pub(super) const FULL: &str = "this address has as many connections as it may have; close some, or raise \
                               max_connections_per_address; where all clients come through one proxy, let it set \
                               X-Forwarded-For and name it in trusted_proxies";

/// Counts the connections of each address. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Places(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    settings: Arc<Settings>,
    counts: Counts,
    warning: Seldom,
    taken: Mutex<HashMap<IpAddr, usize>>,
    /// Connections of trusted proxies without a request so far.
    unasked: Mutex<HashMap<IpAddr, usize>>,
}

/// The address has as many connections as it may have.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Full;

impl Places {
    pub(super) fn new(settings: Arc<Settings>, counts: Counts) -> Self {
        Self(Arc::new(Inner {
            settings,
            counts,
            warning: Seldom::default(),
            taken: Mutex::default(),
            unasked: Mutex::default(),
        }))
    }

    /// The permits for a connection from `peer`.
    ///
    /// # Errors
    /// The address has no permit left; the refusal is counted.
    pub(super) fn seat(&self, peer: Option<IpAddr>) -> Result<Seat, Full> {
        // The client of a proxy's connection is known only with its first request.
        let is_proxy = self.0.settings.trusted_proxies.contains(peer);
        let (own, unasked) = match self.take(peer) {
            Some(own) => (Some(own), None),
            None if is_proxy => {
                (None, Some(self.take_unasked(peer).ok_or_else(|| self.refused("a connection", peer))?))
            }
            None => return Err(self.refused("a connection", peer)),
        };
        let held = Held { own, _unasked: unasked, _of_request: None };
        Ok(Seat { places: self.clone(), held: Arc::new(Mutex::new(held)) })
    }

    /// The limit of `address`; `None` for no limit.
    fn most(&self, address: IpAddr) -> Option<usize> {
        let Settings { max_connections, max_connections_per_address, .. } = &*self.0.settings;
        let share = || Some(max_connections / SHARE).filter(|_| !address.is_loopback());
        max_connections_per_address.or_else(share).map(|most| most.max(1))
    }

    fn take(&self, address: Option<IpAddr>) -> Option<Place> {
        let bounded = address.and_then(|address| Some((address, self.most(address)?)));
        let Some((address, most)) = bounded else { return Some(Place(None)) };
        self.take_of(|inner| &inner.taken, address, most)
    }

    /// A permit for a proxy's connection until its first request. A whole network may be trusted, though not each
    /// address in it is a proxy, so these connections are limited, too.
    fn take_unasked(&self, proxy: Option<IpAddr>) -> Option<Place> {
        let Some(proxy) = proxy else { return Some(Place(None)) };
        let most = (self.0.settings.max_connections / SHARE_UNASKED).max(1);
        self.take_of(|inner| &inner.unasked, proxy, most)
    }

    fn take_of(&self, table: Table, address: IpAddr, most: usize) -> Option<Place> {
        let key = client_key(address);
        let mut taken = lock(table(&self.0));
        let count = taken.entry(key).or_default();
        if *count >= most {
            return None;
        }
        *count += 1;
        drop(taken);
        Some(Place(Some((self.clone(), table, key))))
    }

    /// Counts and logs the refusal of `what`: a connection, or one request of a proxy.
    fn refused(&self, what: &'static str, address: Option<IpAddr>) -> Full {
        self.0.counts.count(Fate::RefusedAddress);
        debug!(?address, "refused {what}: its address has as many connections as it may have");
        if let (Some(address), Some(times)) = (address, self.0.warning.occurs()) {
            warn!(
                %address, times,
                "refused {what}: its address has as many connections as it may have; the limit is \
                 max_connections_per_address. If that is the address of your proxy, let it set X-Forwarded-For, and name it in \
                 trusted_proxies"
            );
        }
        Full
    }
}

/// Selects one of the two count tables.
type Table = fn(&Inner) -> &Mutex<HashMap<IpAddr, usize>>;

/// A permit; the drop returns it.
#[derive(Debug)]
struct Place(Option<(Places, Table, IpAddr)>);

impl Drop for Place {
    fn drop(&mut self) {
        let Some((places, table, key)) = &self.0 else { return };
        let mut taken = lock(table(&places.0));
        if let Some(count) = taken.get_mut(key) {
            *count -= 1;
            if *count == 0 {
                taken.remove(key);
            }
        }
    }
}

/// The permits of a connection. The holder of the socket keeps them, and they are in its requests' extensions.
#[derive(Debug, Clone)]
pub(super) struct Seat {
    places: Places,
    held: Arc<Mutex<Held>>,
}

#[derive(Debug, Default)]
struct Held {
    /// For the peer's address.
    own: Option<Place>,
    /// For a peer that is a proxy, until its first request.
    _unasked: Option<Place>,
    /// For the client whose request hijacked the socket.
    _of_request: Option<Place>,
}

impl Seat {
    /// Begins a request of `client`, which a proxy forwarded if `is_forwarded` is set. Returns the permit to hold until
    /// the answer is sent, unless the connection's own permit covers the request.
    fn begin(
        &self,
        client: Option<IpAddr>,
        is_forwarded: Option<IsForwarded>,
    ) -> Result<Option<Place>, Full> {
        let mut held = lock(&self.held);
        if is_forwarded.is_some() {
            (held.own, held._unasked) = (None, None);
            return self
                .places
                .take(client)
                .map(Some)
                .ok_or_else(|| self.places.refused("a request", client));
        }
        if held.own.is_none() {
            held.own = self.places.take(client);
        }
        if held.own.is_none() {
            return Err(self.places.refused("a request", client));
        }
        held._unasked = None;
        Ok(None)
    }
}

/// Lets a request pass if there is a permit for its client, and holds the permit until the answer is sent.
pub(super) async fn hold(request: Request, next: Next) -> Response {
    let extensions = request.extensions();
    let Some(seat) = extensions.get::<Seat>().cloned() else { return next.run(request).await };
    let place = match seat.begin(Peer::of(extensions), extensions.get().copied()) {
        Ok(place) => place,
        Err(Full) => {
            let refusal = Refusal { status: StatusCode::SERVICE_UNAVAILABLE, message: FULL.to_owned() };
            return refusal.into_response();
        }
    };
    let handover = extensions.get::<Handover>().cloned();
    let response = next.run(request).await;
    let Some(place) = place else { return response };
    if handover.is_some_and(|handover| handover.has_taker()) {
        lock(&seat.held)._of_request = Some(place);
        return response;
    }
    response.map(|body| Body::new(Served { body, _place: place }))
}

/// The body of an answer, with the permit of its request.
struct Served {
    body: Body,
    _place: Place,
}

impl HttpBody for Served {
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

    const FORWARDED: Option<IsForwarded> = Some(IsForwarded { by: None });

    fn places(most: Option<usize>) -> Places {
        let settings =
            Settings { max_connections: 8, max_connections_per_address: most, ..Settings::default() };
        Places::new(Arc::new(settings), Counts::default())
    }

    fn ip(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    #[test]
    fn an_address_has_a_quarter_and_an_ipv6_one_with_its_network() {
        let places = places(None);
        let held = [places.seat(ip("192.0.2.1")), places.seat(ip("192.0.2.1"))];
        assert_eq!(places.seat(ip("192.0.2.1")).unwrap_err(), Full);
        assert!(places.seat(ip("192.0.2.2")).is_ok());
        drop(held);
        assert!(places.seat(ip("192.0.2.1")).is_ok());
        let _held = [places.seat(ip("2001:db8::1")), places.seat(ip("2001:db8::2"))];
        assert!(places.seat(ip("2001:db8::3")).is_err());
        assert!(lock(&places.0.taken).len() == 1, "what nobody has is forgotten");
    }

    #[test]
    fn this_machine_has_any_number_unless_one_is_set() {
        let free = places(None);
        let seats: Vec<Seat> = (0..100).map(|_| free.seat(ip("127.0.0.1")).unwrap()).collect();
        assert!(seats.iter().all(|seat| seat.begin(ip("127.0.0.1"), None).is_ok()));
        let set = places(Some(2));
        let mut seats: Vec<Seat> = (0..3).map(|_| set.seat(ip("::1")).unwrap()).collect();
        assert!(seats[2].begin(ip("::1"), None).is_err(), "it may still turn out to be a proxy's");
        assert!(seats[2].begin(ip("192.0.2.1"), FORWARDED).is_ok());
        seats.remove(0);
        assert!(seats[1].begin(ip("::1"), None).is_ok());
        assert!((0..100).map(|_| set.seat(None).unwrap()).all(|seat| seat.begin(None, None).is_ok()));
    }

    #[test]
    fn what_a_proxy_passes_on_counts_for_its_client_alone() {
        let places = places(Some(1));
        let proxy = places.seat(ip("127.0.0.1")).unwrap();
        let first = proxy.begin(ip("192.0.2.1"), FORWARDED).unwrap();
        let other = places.seat(ip("127.0.0.1")).unwrap();
        assert!(other.begin(ip("127.0.0.1"), None).is_ok(), "the proxy's own place is free");
        assert!(other.begin(ip("192.0.2.1"), FORWARDED).is_err());
        assert!(places.seat(ip("192.0.2.1")).is_err(), "directly neither");
        assert!(other.begin(ip("192.0.2.2"), FORWARDED).is_ok());
        drop(first);
        assert!(other.begin(ip("192.0.2.1"), FORWARDED).is_ok());
    }

    #[test]
    fn a_network_that_is_trusted_has_no_more_connections_that_ask_nothing_than_half() {
        let mut trusted_proxies = crate::config::TrustedProxies::none();
        trusted_proxies.add("192.168.0.0/16").unwrap();
        let settings = Settings { max_connections: 8, trusted_proxies, ..Settings::default() };
        let places = Places::new(Arc::new(settings), Counts::default());
        let mut held: Vec<Seat> = (0..6).map(|_| places.seat(ip("192.168.1.9")).unwrap()).collect();
        assert_eq!(places.seat(ip("192.168.1.9")).unwrap_err(), Full, "a quarter of its own, and half");
        assert!(places.seat(ip("192.168.1.10")).is_ok());
        // Requests that a proxy forwards count for its clients.
        assert!(held[5].begin(ip("192.0.2.1"), FORWARDED).is_ok());
        held.push(places.seat(ip("192.168.1.9")).unwrap());
        assert!(places.seat(ip("192.168.1.9")).is_err());
        drop(held);
        assert!(lock(&places.0.unasked).is_empty());
    }
}
