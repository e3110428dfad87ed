//! Decides under which host names clients can use this server, and whether the address of a web page is at a given host
//! name.
//!
//! A hostile page can make a domain name that its owner controls resolve to this server's address. Nobody can own a
//! name that is not in the public DNS, so all such names are allowed. IP addresses and this machine's own names are
//! allowed, too. The configuration must list every other name.

use std::fs::File;
use std::io::Read;
use std::net::IpAddr;

/// Domains that do not exist in the public DNS: `.local` for multicast DNS (RFC 6762), `.home.arpa` for home networks
/// (RFC 8375), `.internal` for private use (ICANN, 2024) and `.localhost` for the local machine (RFC 6761). No standard
/// reserves `.lan`, but most home routers use this domain for their network.
const PRIVATE_DOMAINS: [&str; 5] = [".local", ".lan", ".home.arpa", ".internal", ".localhost"];

/// The maximum number of bytes that the server reads of a file with this machine's names, such as `/etc/hosts`.
const MAX_FILE_BYTES: u64 = 64 * 1024;

/// The host names that the configuration allows, in addition to the names that are always allowed.
#[derive(Debug)]
pub(super) struct AllowedHosts {
    allowed: Vec<String>,
}

impl AllowedHosts {
    /// Creates the list from `allowed`, the host names in the configuration. They are in lower case, with or without a
    /// port.
    pub(super) fn new(allowed: &[String]) -> Self {
        Self { allowed: allowed.to_vec() }
    }

    /// Returns whether clients can use this server under the name `host`, which is given as the client wrote it.
    pub(super) fn contains(&self, host: &str) -> bool {
        let host = host.to_ascii_lowercase();
        let name = without_port(&host).trim_end_matches('.');
        address(name).is_some()
            || is_private(name)
            || self.allowed.iter().any(|allowed| matches_entry(allowed, name, &host))
            || is_own_name(name)
    }
}

/// Returns whether the configuration's entry `allowed` allows the client's `host`. `host` is in lower case, and `name`
/// is `host` without the port. Browsers omit the default port of a scheme, so an entry with port 80 or 443 also allows
/// a `host` without a port.
fn matches_entry(allowed: &str, name: &str, host: &str) -> bool {
    let has_no_port = without_port(host).len() == host.len();
    let by_scheme = || [":80", ":443"].iter().any(|port| allowed.strip_suffix(port) == Some(name));
    allowed == name || allowed == host || (has_no_port && by_scheme())
}

/// Returns whether `host`, as a client wrote it, is a loopback name or address.
pub(super) fn is_loopback(host: &str) -> bool {
    let host = host.to_ascii_lowercase();
    let name = without_port(&host).trim_end_matches('.');
    name == "localhost" || address(name).is_some_and(|address| address.to_canonical().is_loopback())
}

fn address(name: &str) -> Option<IpAddr> {
    let bare = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    bare.parse().ok()
}

/// Returns whether `host` consists only of characters that a host name can have, with or without a port.
pub(super) fn is_name(host: &str) -> bool {
    let name = without_port(host);
    has_name_characters(name) && host[name.len()..].bytes().all(|byte| byte == b':' || byte.is_ascii_digit())
}

fn has_name_characters(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}

/// Returns whether `name` cannot be in the public DNS: because the name has no dot, or ends in one of
/// [`PRIVATE_DOMAINS`].
fn is_private(name: &str) -> bool {
    has_name_characters(name)
        && (!name.contains('.')
            || PRIVATE_DOMAINS
                .iter()
                .any(|domain| name.strip_suffix(domain).is_some_and(has_name_characters)))
}

/// Returns whether `name` is a name of this machine: its kernel host name, alone or followed by the network's domain.
fn is_own_name(name: &str) -> bool {
    let uname = rustix::system::uname();
    let Ok(own) = uname.nodename().to_str() else { return false };
    let own = own.to_ascii_lowercase();
    // Any client can send any name, so the files are read only for names that begin as this machine's does.
    name == own
        || (first_label(name) == first_label(&own)
            && is_alias(name, &own, &read_bounded("/etc/hosts"), &read_bounded("/etc/resolv.conf")))
}

/// Returns whether `name` is another name of the machine whose host name is `own`. This is so in two cases:
/// - A line of `hosts`, the text of `/etc/hosts`, contains both names.
/// - `name` is the first label of `own`, followed by a search domain in `resolv_conf`, the text of `/etc/resolv.conf`.
fn is_alias(name: &str, own: &str, hosts: &str, resolv_conf: &str) -> bool {
    let words = |line: &str| {
        let line = line.split('#').next().unwrap_or_default().to_ascii_lowercase();
        line.split_ascii_whitespace().map(str::to_owned).collect::<Vec<_>>()
    };
    let is_in_hosts = hosts.lines().map(words).any(|words| {
        let names = words.get(1..).unwrap_or_default();
        names.iter().any(|known| known == own || known == first_label(own))
            && names.iter().any(|known| known == name)
    });
    let domain = name.strip_prefix(first_label(own)).and_then(|rest| rest.strip_prefix('.'));
    is_in_hosts
        || resolv_conf.lines().map(words).any(|words| {
            words.split_first().is_some_and(|(key, domains)| {
                matches!(key.as_str(), "search" | "domain")
                    && domains.iter().any(|known| Some(known.trim_end_matches('.')) == domain)
            })
        })
}

/// Returns the first label of `name`, which is the text before the first dot.
fn first_label(name: &str) -> &str {
    name.split('.').next().unwrap_or_default()
}

fn read_bounded(path: &str) -> String {
    let mut bytes = Vec::new();
    // If the file is missing, it contributes no names.
    let _read = File::open(path).and_then(|file| file.take(MAX_FILE_BYTES).read_to_end(&mut bytes));
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Returns whether `url`, an origin or the address of a page, has the host `host`. Both `url` and `host` can omit the
/// default port of the scheme: browsers omit this port, but a proxy might write it.
pub(super) fn is_at_host(url: &str, host: &str) -> bool {
    let Some((scheme, rest)) = url.split_once("://") else { return false };
    let default_port = match scheme {
        "http" => 80,
        "https" => 443,
        _ => return false,
    };
    let place = |text: &str| {
        let name = without_port(text);
        let port = match text[name.len()..].strip_prefix(':') {
            None | Some("") => Some(default_port),
            Some(port) => port.parse::<u16>().ok(),
        };
        port.map(|port| (name.to_ascii_lowercase(), port))
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    place(authority).is_some_and(|page| place(host) == Some(page))
}

/// Returns the name or address in `host`, without the port.
pub(super) fn without_port(host: &str) -> &str {
    match host.rfind(':') {
        // In an address like [::1] a colon does not begin a port.
        Some(colon) if !host[colon..].contains(']') => &host[..colon],
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_no_public_dns_holds_pass() {
        let names = AllowedHosts::new(&["cam.example".to_owned(), "other.example:8080".to_owned()]);
        for host in [
            "127.0.0.1:5000",
            "192.168.1.7",
            "[::1]:5000",
            "localhost:5000",
            "app.localhost",
            "mjpgstreamer1",
            "octopi",
            "OctoPi.local:80",
            "octopi.local.",
            "pi.lan",
            "cam.home.arpa:5000",
            "cam.my_house.internal",
            "CAM.example:81",
            "cam.example.",
            "other.example:8080",
        ] {
            assert!(names.contains(host), "{host}");
        }
    }

    #[test]
    fn other_names_are_refused() {
        let names = AllowedHosts::new(&["cam.example".to_owned(), "other.example:8080".to_owned()]);
        for host in [
            "",
            ".",
            ":5000",
            "evil.example",
            "cam.example.evil.org:5000",
            "127.0.0.1.evil.org",
            "localhost.evil",
            "octopi.local.evil.org",
            "evillan.com",
            ".local",
            "home.arpa",
            "a.local@evil.org",
            "evil.org/.local",
            "other.example:81",
            "e vil",
            "évil",
        ] {
            assert!(!names.contains(host), "{host}");
        }
    }

    #[test]
    fn a_name_with_the_port_of_a_scheme_is_allowed_without_it_too() {
        let names = AllowedHosts::new(&["cam.example:80".to_owned(), "tls.example:443".to_owned()]);
        for host in ["cam.example", "Cam.example.", "cam.example:80", "tls.example", "tls.example:443"] {
            assert!(names.contains(host), "{host}");
        }
        for host in ["cam.example:443", "cam.example:81", "tls.example:80", "x.cam.example", "cam.example:"] {
            assert!(!names.contains(host), "{host}");
        }
    }

    #[test]
    fn a_name_is_letters_with_or_without_a_port() {
        for host in ["cam.example", "cam.example:81", "a_b-c."] {
            assert!(is_name(host), "{host}");
        }
        for host in ["", ":81", "$(x).example", "cam.example:$(x)", "cam.example:81 x", "[::1]"] {
            assert!(!is_name(host), "{host}");
        }
    }

    #[test]
    fn loopback_is_told_from_names_of_others() {
        for host in ["localhost", "LOCALHOST:5000", "localhost.", "127.0.0.1:81", "127.9.9.9", "[::1]:80"] {
            assert!(is_loopback(host), "{host}");
        }
        for host in ["octopi.local", "mjpgstreamer1", "192.168.1.7", "[fe80::1]", "localhost.evil", ""] {
            assert!(!is_loopback(host), "{host}");
        }
    }

    #[test]
    fn this_machine_passes_by_its_own_name() {
        let uname = rustix::system::uname();
        let own = uname.nodename().to_str().unwrap();
        let names = AllowedHosts::new(&[]);
        for host in
            [own.to_owned(), format!("{own}:5000"), own.to_uppercase(), format!("{}.local", first_label(own))]
        {
            assert!(names.contains(&host), "{host}");
        }
        assert!(!names.contains(&format!("{}.evil.example", first_label(own))));
    }

    #[test]
    fn a_machine_has_the_names_that_its_files_give_it() {
        let hosts = "127.0.0.1 localhost\n127.0.1.1\toctopi.House.example octopi # octopi.comment.example\n\
                     192.168.1.9 octopi.printers.example nas";
        let resolv_conf =
            "# search octopi.example\nnameserver 192.168.1.1\nsearch fritz.box Example.org.\ndomain home";
        let is_known = |name: &str| is_alias(name, "octopi", hosts, resolv_conf);
        for name in ["octopi.house.example", "octopi.fritz.box", "octopi.example.org", "octopi.home"] {
            assert!(is_known(name), "{name}");
        }
        for name in [
            "octopi.evil.example",
            "octopi.comment.example",
            "octopi.printers.example",
            "octopi.example",
            "octopi.box",
            "octopifritz.box",
        ] {
            assert!(!is_known(name), "{name}");
        }
        assert!(is_alias("octopi.fritz.box", "octopi.old.example", "", resolv_conf));
        assert!(!is_alias("octopi.fritz.box", "octopi", "", ""));
    }

    #[test]
    fn a_place_is_the_same_with_and_without_its_schemes_port() {
        for (url, host) in [
            ("http://cam.lan", "cam.lan"),
            ("http://cam.lan", "cam.lan:80"),
            ("http://cam.lan:80", "Cam.lan"),
            ("https://cam.lan", "cam.lan:443"),
            ("https://cam.lan", "cam.lan"),
            ("http://cam.lan:5000", "cam.lan:5000"),
            ("http://[::1]", "[::1]:80"),
            ("http://[::1]:81", "[::1]:81"),
            ("http://cam.lan/control.htm?x=http://evil", "cam.lan:80"),
            ("http://cam.lan?a", "cam.lan"),
        ] {
            assert!(is_at_host(url, host), "{url} {host}");
        }
        for (url, host) in [
            ("http://cam.lan", "cam.lan:443"),
            ("https://cam.lan", "cam.lan:80"),
            ("http://cam.lan", "cam.lan:5000"),
            ("http://evil.example/cam.lan", "cam.lan"),
            ("http://cam.lan@evil.example", "cam.lan"),
            ("http://[::1]:80", "[::1]:81"),
            ("ftp://cam.lan", "cam.lan"),
            ("http://cam.lan:99999", "cam.lan:99999"),
            ("null", "null"),
            ("", ""),
        ] {
            assert!(!is_at_host(url, host), "{url} {host}");
        }
    }
}
