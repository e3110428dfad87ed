//! Decides to which addresses a redirect is allowed to lead.
//!
//! A camera, or an attacker in its place, must not make Framecast send requests to addresses that only this machine can
//! reach: services on loopback, and the address from which a cloud provider serves a machine its secrets. Only a camera
//! on this machine itself is allowed to redirect to this machine.

use std::net::{IpAddr, Ipv4Addr};

/// The addresses of cloud metadata services that lie outside the link-local block of IPv4.
const METADATA_V4: [Ipv4Addr; 3] =
    [Ipv4Addr::new(100, 100, 100, 200), Ipv4Addr::new(168, 63, 129, 16), Ipv4Addr::new(192, 0, 0, 192)];

/// The first 32 bits of the IPv6 addresses of cloud metadata services. The private prefix of a site's own network is
/// random, so no site's addresses start with these bits.
const METADATA_V6: [[u16; 2]; 4] = [[0xFD00, 0xEC2], [0xFD20, 0xCE], [0xFD00, 0xC1], [0xFD00, 0x42]];

/// The first 96 bits of IPv6 addresses that stand for IPv4 addresses behind NAT64 (RFC 6052 §2.1).
const NAT64: [u16; 6] = [0x64, 0xFF9B, 0, 0, 0, 0];

/// The rule for the addresses to which a connection is allowed to lead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AddressPolicy {
    /// Allows any address. This is the rule for the source's own URL.
    Any,
    /// Allows the addresses to which a camera is allowed to redirect. The field is the camera's own address, or `None`
    /// if that address is unknown.
    RedirectedBy(Option<IpAddr>),
}

impl AddressPolicy {
    /// Returns whether the client is allowed to connect to `address`.
    pub(super) fn allows(self, address: IpAddr) -> bool {
        let address = embedded_ipv4(address);
        match self {
            Self::Any => true,
            Self::RedirectedBy(camera) => {
                let camera = camera.map(embedded_ipv4);
                if is_metadata(address) {
                    return camera == Some(address);
                }
                // All of 127.0.0.0/8 is this machine, but each link-local address is a different machine.
                if is_this_machine(address) {
                    return camera.is_some_and(is_this_machine);
                }
                !is_link_local(address) || camera == Some(address)
            }
        }
    }
}

/// Returns the IPv4 address that an IPv6 address embeds; if there is none, returns `address` unchanged.
fn embedded_ipv4(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address else { return address };
    if let Some(v4) = v6.to_ipv4_mapped() {
        return IpAddr::V4(v4);
    }
    let segments = v6.segments();
    if segments.starts_with(&NAT64) {
        return IpAddr::V4(Ipv4Addr::from(u32::from(segments[6]) << 16 | u32::from(segments[7])));
    }
    address
}

fn is_this_machine(address: IpAddr) -> bool {
    match address {
        // All of 0.0.0.0/8 is this machine too.
        IpAddr::V4(v4) => v4.is_loopback() || v4.octets()[0] == 0,
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unspecified(),
    }
}

fn is_metadata(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => METADATA_V4.contains(&v4),
        IpAddr::V6(v6) => METADATA_V6.iter().any(|prefix| v6.segments().starts_with(prefix)),
    }
}

fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redirect_never_leads_to_this_machine_its_link_or_its_cloud() {
        let camera = AddressPolicy::RedirectedBy(Some("192.168.1.20".parse().unwrap()));
        for address in [
            "127.0.0.1",
            "127.9.9.9",
            "0.0.0.0",
            "::1",
            "::",
            "::ffff:127.0.0.1",
            "64:ff9b::7f00:1",
            "169.254.169.254",
            "::ffff:169.254.169.254",
            "fe80::1",
            "100.100.100.200",
            "168.63.129.16",
            "192.0.0.192",
            "fd00:ec2::254",
            "fd00:ec2::23",
            "fd20:ce::254",
            "fd00:c1::a9fe:a9fe",
        ] {
            let address = address.parse().unwrap();
            assert!(!camera.allows(address), "{address}");
            assert!(!AddressPolicy::RedirectedBy(None).allows(address), "{address}");
            assert!(AddressPolicy::Any.allows(address), "{address}");
        }
        for address in ["192.168.1.21", "10.0.0.1", "1.1.1.1", "fd00::1", "2001:db8::1", "64:ff9b::101:101"] {
            assert!(camera.allows(address.parse().unwrap()), "{address}");
        }
    }

    #[test]
    fn a_camera_may_lead_to_where_it_is_itself() {
        for (camera, address, is_allowed) in [
            ("127.0.0.1", "127.0.0.2", true),
            ("::1", "127.0.0.1", true),
            ("127.0.0.1", "169.254.169.254", false),
            ("169.254.7.7", "169.254.7.7", true),
            ("169.254.7.7", "169.254.169.254", false),
            ("100.100.100.200", "100.100.100.200", true),
        ] {
            let policy = AddressPolicy::RedirectedBy(Some(camera.parse().unwrap()));
            assert_eq!(policy.allows(address.parse().unwrap()), is_allowed, "{camera} {address}");
        }
    }
}
