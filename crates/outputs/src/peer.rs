//! Who asks.

use std::net::IpAddr;

use axum::http::Extensions;

/// The client's address, in its requests' extensions; none over a UNIX socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer(pub Option<IpAddr>);

impl Peer {
    /// The address of the client whose request has these extensions; none where the server did not say.
    pub fn of(extensions: &Extensions) -> Option<IpAddr> {
        extensions.get::<Self>().and_then(|peer| peer.0)
    }
}
