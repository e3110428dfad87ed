//! The client's address.

use std::net::{IpAddr, Ipv6Addr};

use axum::http::Extensions;

/// The number of leading bits of an IPv6 address that identify one client. A provider assigns these bits, and the
/// client chooses the rest.
const CLIENT_PREFIX_BITS: u32 = 64;

/// The address of a client, which the server puts into the extensions of the client's requests. `None` over a UNIX
/// socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer(pub Option<IpAddr>);

impl Peer {
    /// Returns the address of the client whose request has these extensions; `None` over a UNIX socket, or if the
    /// server did not set the address.
    pub fn from_extensions(extensions: &Extensions) -> Option<IpAddr> {
        extensions.get::<Self>().and_then(|peer| peer.0)
    }
}

/// Returns the key that identifies the client at `address` for limits on clients. This is the address itself, but for
/// IPv6 only its first 64 bits, because one client can use all addresses that begin with them. Link-local addresses
/// (fe80::/10) all begin with the same bits, so for them the key is the whole address.
pub fn client_key(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) if !address.is_unicast_link_local() => {
            IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << (128 - CLIENT_PREFIX_BITS))))
        }
        address => address,
    }
}

/// Returns the network whose addresses all belong to the same client as `address`, according to limits on clients.
/// Returns `None` if there is no other such address.
pub fn client_network(address: IpAddr) -> Option<String> {
    match address.to_canonical() {
        IpAddr::V6(address) if !address.is_unicast_link_local() && !address.is_loopback() => {
            Some(format!("{}/{CLIENT_PREFIX_BITS}", client_key(address.into())))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_known_by_its_address_or_by_its_network() {
        let key = |text: &str| client_key(text.parse().unwrap()).to_string();
        assert_eq!(key("192.0.2.7"), "192.0.2.7");
        assert_eq!(key("::ffff:192.0.2.7"), "192.0.2.7");
        assert_eq!(key("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
        assert_eq!(key("fe80::1:2:3:4"), "fe80::1:2:3:4", "a neighbour on the link");
        let network = |text: &str| client_network(text.parse().unwrap());
        assert_eq!(network("2001:db8:1:2:3:4:5:6").as_deref(), Some("2001:db8:1:2::/64"));
        for text in ["192.0.2.7", "::ffff:192.0.2.7", "fe80::1", "::1"] {
            assert_eq!(network(text), None, "{text}");
        }
    }
}
