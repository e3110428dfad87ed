//! Who asks.

use std::net::{IpAddr, Ipv6Addr};

use axum::http::Extensions;

/// The part of an IPv6 address that one client is given, in bits; the rest is its own to choose.
const CLIENT_BITS: u32 = 64;

/// The client's address, in its requests' extensions; none over a UNIX socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer(pub Option<IpAddr>);

impl Peer {
    /// The address of the client whose request has these extensions; none where the server did not say.
    pub fn of(extensions: &Extensions) -> Option<IpAddr> {
        extensions.get::<Self>().and_then(|peer| peer.0)
    }
}

/// What stands for `address` where clients are counted: itself, but of an IPv6 address the first 64 bits, since a client
/// has all that begin with them. Link-local addresses (fe80::/10) all begin with the same ones, and are told apart.
pub fn client_key(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) if !address.is_unicast_link_local() => {
            IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << (128 - CLIENT_BITS))))
        }
        address => address,
    }
}

/// The network that is one client, where that is more than `address` alone.
pub fn client_network(address: IpAddr) -> Option<String> {
    match address.to_canonical() {
        IpAddr::V6(address) if !address.is_unicast_link_local() && !address.is_loopback() => {
            Some(format!("{}/{CLIENT_BITS}", client_key(address.into())))
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
