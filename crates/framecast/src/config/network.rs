//! Sets of addresses (`trusted_proxies`, `monitor_addresses`), and the sites that can embed the server's pages in an
//! `<iframe>` (`frame_ancestors`).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use toml::Spanned;
use toml::de::DeValue;

use super::check::is_origin;
use super::kind::ValueKind;
use super::reader::FileReader;

/// A set of addresses: single ones, networks, and whatever connects over a UNIX socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddressRanges {
    networks: Vec<IpNet>,
    /// Whether the set contains peers over a UNIX socket, which have no address.
    unix: bool,
}

impl AddressRanges {
    /// Creates the set of this machine: its loopback addresses and its UNIX sockets.
    pub fn this_machine() -> Self {
        Self { networks: loopback().into(), unix: true }
    }

    /// Creates an empty set.
    pub fn none() -> Self {
        Self { networks: Vec::new(), unix: false }
    }

    /// Adds what `text` names: an address, a network such as `10.0.0.0/8`, `loopback`, or `unix`.
    ///
    /// # Errors
    /// The text names no address. The message says what to write instead.
    pub fn add(&mut self, text: &str) -> Result<(), String> {
        match text {
            "unix" => self.unix = true,
            "loopback" => self.networks.extend(loopback()),
            text => {
                let network = text.parse::<IpAddr>().map(IpNet::from).or_else(|_| text.parse::<IpNet>());
                let shown: String = text.chars().take(50).collect();
                self.networks.push(network.map_err(|_| {
                    format!(
                        "`{}` is not an address; write it like 192.168.1.2, 10.0.0.0/8, \"loopback\" or \"unix\"",
                        shown.escape_debug()
                    )
                })?);
            }
        }
        Ok(())
    }

    /// Returns whether the set contains `address`. `None` stands for a peer over a UNIX socket.
    pub fn contains(&self, address: Option<IpAddr>) -> bool {
        match address.map(|address| address.to_canonical()) {
            Some(address) => self.networks.iter().any(|network| network.contains(&address)),
            None => self.unix,
        }
    }
}

fn loopback() -> [IpNet; 2] {
    let ipv4 = Ipv4Net::new_assert(Ipv4Addr::new(127, 0, 0, 0), 8);
    [ipv4.into(), Ipv6Net::from(Ipv6Addr::LOCALHOST).into()]
}

/// A list of addresses.
pub(super) struct Addresses;

impl ValueKind for Addresses {
    type Value = AddressRanges;

    fn read(&self, value: Spanned<DeValue<'_>>, reader: &mut FileReader<'_>) -> Option<AddressRanges> {
        let mut addresses = AddressRanges::none();
        reader.read_texts(value, |text, _| addresses.add(text))?;
        Some(addresses)
    }
}

/// A list of the sites that can embed the server's pages.
pub(super) struct FrameAncestors;

impl ValueKind for FrameAncestors {
    type Value = Vec<String>;

    fn read(&self, value: Spanned<DeValue<'_>>, reader: &mut FileReader<'_>) -> Option<Vec<String>> {
        let is_alone = value.get_ref().as_array().is_some_and(|ancestors| ancestors.len() == 1);
        reader.read_texts(value, |ancestor, _| parse_frame_ancestor(ancestor, is_alone))
    }
}

/// Parses one entry of `frame_ancestors` into the syntax of the header `Content-Security-Policy`. `is_alone` says
/// whether `text` is the only entry of the list.
///
/// # Errors
/// The text is not a valid entry. The message says what to write instead.
fn parse_frame_ancestor(text: &str, is_alone: bool) -> Result<String, String> {
    match text {
        "none" if !is_alone => {
            Err("`none` cannot stand beside other values in frame_ancestors: remove `none`, or remove the \
                 other values"
                .to_owned())
        }
        "self" | "none" => Ok(format!("'{text}'")),
        text if is_origin(text) && !text.contains([';', ',', '"', '\'']) => Ok(text.to_owned()),
        text => {
            let shown: String = text.rsplit('@').next().unwrap_or_default().chars().take(50).collect();
            Err(format!(
                "`{}` cannot frame a page; write \"self\", \"none\", \"*\" or an origin like https://dashboard.example",
                shown.escape_debug()
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_is_an_address_a_network_or_a_word() {
        let address = |text: &str| Some(text.parse().unwrap());
        let default = AddressRanges::this_machine();
        for trusted in
            [address("127.0.0.1"), address("127.8.0.1"), address("::1"), address("::ffff:127.0.0.1"), None]
        {
            assert!(default.contains(trusted), "{trusted:?}");
        }
        assert!(!default.contains(address("192.168.1.2")));
        let mut proxies = AddressRanges::none();
        assert!(!proxies.contains(None) && !proxies.contains(address("127.0.0.1")));
        for text in ["192.168.1.2", "10.0.0.0/8", "2001:db8::/32"] {
            proxies.add(text).unwrap();
        }
        for trusted in ["192.168.1.2", "10.200.3.4", "2001:db8::7", "::ffff:10.1.1.1"] {
            assert!(proxies.contains(address(trusted)), "{trusted}");
        }
        assert!(!proxies.contains(address("192.168.1.3")) && !proxies.contains(None));
        proxies.add("unix").unwrap();
        assert!(proxies.contains(None));
        for text in ["", "proxy.lan", "10.0.0.0/33", "10.0.0.1:80", "localhost"] {
            assert!(proxies.add(text).is_err(), "{text}");
        }
    }

    #[test]
    fn pages_are_framed_by_origins_and_by_words() {
        for (text, wanted) in
            [("self", "'self'"), ("none", "'none'"), ("*", "*"), ("http://ha:8123", "http://ha:8123")]
        {
            assert_eq!(parse_frame_ancestor(text, true).unwrap(), wanted);
            assert_eq!(parse_frame_ancestor(text, false).is_ok(), text != "none");
        }
        for text in
            ["", "ha.example", "https://a/b", "https://a; script-src *", "'self'", "https://a,https://b"]
        {
            assert!(parse_frame_ancestor(text, true).is_err(), "{text}");
        }
    }
}
