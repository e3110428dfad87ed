//! Tells clients on this machine from all others.

use axum::extract::Request;
use framecast_outputs::Peer;

use super::{forwarded, guard, host};

/// Returns whether `request` comes from a client on this machine, not from a proxy here that forwards requests of
/// others. On a server without an account, only such a client can reload the configuration or see the addresses of
/// viewers.
///
/// A proxy that adds no header is recognised by the host name in the request: this is the proxy's name for this server,
/// or the name that the proxy's client typed, and not `localhost`. For a request that a proxy forwarded, the result is
/// always false, even if the proxy names a client on this machine, because the proxy might pass on a forged header.
pub(super) fn is_from_this_machine(request: &Request) -> bool {
    let (uri, headers) = (request.uri(), request.headers());
    if forwarded::is_forwarded(headers)
        || guard::host_of(uri, headers).is_some_and(|host| !host::is_loopback(&host))
    {
        return false;
    }
    match request.extensions().get::<Peer>() {
        Some(Peer(Some(address))) => address.to_canonical().is_loopback(),
        Some(Peer(None)) => true,
        // Another program's server has taken the connection, and does not tell from whom.
        None => false,
    }
}
