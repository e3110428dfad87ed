//! Redirects to other hosts: Framecast follows them without login or cookies, and refuses those to private places.

use std::net::{IpAddr, Ipv4Addr};

use framecast_testkit::not_run;
use framecast_testkit_server::camera_server::{AfterAnswer, CameraServer, answer};

use crate::show::{Case, Refusal, refuse, show};

fn sent_to(location: &str) -> Vec<u8> {
    answer("302 Found", &format!("Location: {location}\r\nSet-Cookie: session=4711\r\n"), b"")
}

/// A camera that sends every request to `location`.
fn redirecting(ip: IpAddr, location: String) -> CameraServer {
    CameraServer::start_at(ip, move |_, wire| {
        wire.send(sent_to(&location))?;
        Ok(AfterAnswer::Keep)
    })
}

/// A camera that shows pictures only to clients without login and cookie.
fn pictures_for_strangers() -> CameraServer {
    CameraServer::start(|request, wire| {
        if request.has_login() || request.header("Cookie").is_some() {
            wire.send(answer("500 Internal Server Error", "", b"a secret came along"))?;
        } else {
            wire.send_picture()?;
        }
        Ok(AfterAnswer::Keep)
    })
}

fn loopback() -> IpAddr {
    [127, 0, 0, 1].into()
}

/// An address of this machine in a network, whether or not a route leads out of it: the first local address of the
/// kernel outside loopback.
fn address_in_a_network() -> Option<IpAddr> {
    let table = std::fs::read_to_string("/proc/net/fib_trie").unwrap_or_default();
    own_addresses(&table).find(|ip| !ip.is_loopback()).map(IpAddr::V4)
}

/// The addresses that this routing table marks as local: the type of each stands in the line after it.
fn own_addresses(table: &str) -> impl Iterator<Item = Ipv4Addr> {
    let is_own = |(_, line): &(&str, &str)| line.trim() == "/32 host LOCAL";
    let pairs = table.lines().zip(table.lines().skip(1)).filter(is_own);
    pairs.filter_map(|(line, _)| line.trim().strip_prefix("|-- ")?.parse().ok())
}

#[test]
fn an_address_of_a_machine_without_a_route_is_found() {
    let table = "\
Main:
  +-- 0.0.0.0/0 3 0 5
     +-- 192.0.2.0/24 2 0 2
        +-- 192.0.2.0/30 2 0 2
           |-- 192.0.2.0
              /24 link UNICAST
           |-- 192.0.2.2
              /32 host LOCAL
        |-- 192.0.2.255
           /32 link BROADCAST
     |-- 127.0.0.1
        /32 host LOCAL
";
    let found: Vec<_> = own_addresses(table).collect();
    assert_eq!(found, [Ipv4Addr::new(192, 0, 2, 2), Ipv4Addr::LOCALHOST]);
}

#[test]
fn another_host_is_asked_without_login_and_cookies() {
    let other = pictures_for_strangers();
    // Another name of the same machine counts as another host.
    let camera = redirecting(loopback(), format!("http://localhost:{}/shot", other.address.port()));
    show(vec![Case::at("another-host", camera.url_for("admin:made-up", "/#fps=10"), other)]);
}

#[test]
fn a_redirect_that_is_not_followed_says_where_it_would_have_led() {
    let other = pictures_for_strangers();
    let port = other.address.port();
    let elsewhere = redirecting(loopback(), format!("http://localhost:{port}/shot"));
    let link_local = redirecting(loopback(), "http://169.254.10.20/shot".to_owned());
    let metadata = redirecting(loopback(), "http://169.254.169.254/latest/meta-data/".to_owned());
    let mapped = redirecting(loopback(), "http://[::ffff:169.254.169.254]/latest/meta-data/".to_owned());
    let file = redirecting(loopback(), "file:///etc/hostname".to_owned());
    refuse(&[
        Refusal {
            name: "same",
            source: elsewhere.url("/#redirect=same"),
            says: &["localhost", "#redirect"],
            never: &[],
        },
        Refusal {
            name: "link-local",
            source: link_local.url("/"),
            says: &["redirect", "169.254.10.20"],
            never: &[],
        },
        Refusal {
            name: "metadata",
            source: metadata.url("/"),
            says: &["redirect", "169.254.169.254"],
            never: &[],
        },
        Refusal {
            name: "mapped",
            source: mapped.url("/"),
            says: &["redirect"],
            never: &["timed out", "unreachable"],
        },
        Refusal { name: "file", source: file.url("/"), says: &["file"], never: &[] },
    ]);
    assert!(other.requests().is_empty(), "{:?}", other.requests());
}

#[test]
fn a_camera_in_the_network_never_sends_us_to_this_machine() {
    let Some(ip) = address_in_a_network() else {
        return not_run(
            "this test needs an IPv4 address beside loopback, and /proc/net/fib_trie tells of none: give this machine a \
             network interface",
        );
    };
    let inside = pictures_for_strangers();
    let port = inside.address.port();
    let to_loopback = |name: &'static str, host: &str| {
        let camera = redirecting(ip, format!("http://{host}:{port}/shot"));
        // The message must not say that no program listens there: a stranger must not probe ports in this way.
        Refusal {
            name,
            source: camera.url("/#redirect=any"),
            says: &["redirect"],
            never: &["connection refused"],
        }
    };
    refuse(&[
        to_loopback("in-numbers", "127.0.0.1"),
        to_loopback("by-name", "localhost"),
        to_loopback("version-6", "[::1]"),
        to_loopback("mapped", "[::ffff:127.0.0.1]"),
        to_loopback("any-address", "0.0.0.0"),
        to_loopback("as-one-number", "2130706433"),
    ]);
    assert!(inside.requests().is_empty(), "{:?}", inside.requests());
}
