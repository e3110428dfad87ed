//! Identifies clients for rate limits, and provides a table of bounded size with a value for each client.
//!
//! Methods get the current time as the argument `now`. Their callers decide which values to store, and which limits
//! apply.

mod bucket;
mod window;

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Instant;

use framecast_outputs::client_key;

pub(crate) use bucket::{Rate, TokenBucket};
pub(crate) use window::SlidingWindow;

/// The maximum number of clients in a table of [`Clients`]: more than are expected to attack the server at the same
/// time. A full table needs one or two megabytes of memory.
pub(crate) const MAX_CLIENTS: usize = 4096;

/// The client to which rate limits apply: an IPv4 address, or the /64 network of an IPv6 address. All clients on a UNIX
/// socket are treated as one client, except those that a proxy names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Client {
    address: Option<IpAddr>,
    /// Whether a proxy forwarded the client's request, and named this machine as the client.
    is_proxy: bool,
}

impl Client {
    pub(crate) fn new(address: Option<IpAddr>) -> Self {
        Self { address: address.map(client_key), is_proxy: false }
    }

    /// Creates the client of a request that a proxy forwarded. `address` is the address that the proxy names. Even if
    /// it is an address of this machine, [`is_local`](Self::is_local) is false for this client.
    pub(crate) fn through_proxy(address: Option<IpAddr>) -> Self {
        let client = Self::new(address);
        Self { is_proxy: client.is_local(), ..client }
    }

    /// Returns whether the client is a program on this machine that connected directly, from the usual loopback address
    /// (`127.0.0.1` or `::1`) or over a UNIX socket.
    pub(crate) fn is_local(self) -> bool {
        let is_usual =
            |address| address == Ipv4Addr::LOCALHOST || address == client_key(Ipv6Addr::LOCALHOST.into());
        !self.is_proxy && self.address.is_none_or(is_usual)
    }
}

/// A table with a value for each client. Holds the [`MAX_CLIENTS`] clients that were used most recently.
#[derive(Debug)]
pub(crate) struct Clients<T>(HashMap<Client, ClientEntry<T>>);

#[derive(Debug)]
struct ClientEntry<T> {
    touched_at: Instant,
    value: T,
}

impl<T> Default for Clients<T> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<T: Default> Clients<T> {
    /// Marks `client` as used at `now`, and returns the client's value for changes. If the table has no value for
    /// `client`, adds the default value.
    pub(crate) fn touch(&mut self, client: Client, now: Instant) -> &mut T {
        self.evict_for(client);
        let entry =
            self.0.entry(client).or_insert_with(|| ClientEntry { touched_at: now, value: T::default() });
        entry.touched_at = now;
        &mut entry.value
    }

    /// Makes room for `client` in the table, if the table is full and does not contain `client`. Returns the value of
    /// the client that was evicted for this; `None` if no client was evicted.
    pub(crate) fn evict_for(&mut self, client: Client) -> Option<T> {
        if self.0.len() < MAX_CLIENTS || self.0.contains_key(&client) {
            return None;
        }
        let oldest = self.0.iter().min_by_key(|(_, entry)| entry.touched_at).map(|(client, _)| *client);
        oldest.and_then(|client| self.0.remove(&client)).map(|entry| entry.value)
    }

    /// Returns the value of `client`; `None` if the table does not contain `client`.
    pub(crate) fn get(&self, client: Client) -> Option<&T> {
        self.0.get(&client).map(|entry| &entry.value)
    }

    /// Returns the time at which `client` was last used; `None` if the table does not contain `client`.
    pub(crate) fn touched_at(&self, client: Client) -> Option<Instant> {
        self.0.get(&client).map(|entry| entry.touched_at)
    }

    pub(crate) fn values(&self) -> impl Iterator<Item = &T> {
        self.0.values().map(|entry| &entry.value)
    }

    pub(crate) fn values_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.0.values_mut().map(|entry| &mut entry.value)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn client(number: u32) -> Client {
        Client::new(Some(IpAddr::from(number.to_be_bytes())))
    }

    #[test]
    fn the_one_that_was_touched_longest_ago_is_forgotten_for_a_new_one() {
        let (mut clients, start) = (Clients::<u32>::default(), Instant::now());
        for number in 0..MAX_CLIENTS as u32 {
            *clients.touch(client(number), start + Duration::from_millis(number.into())) = number;
        }
        let later = start + Duration::from_secs(60);
        clients.touch(client(0), later);
        assert_eq!(clients.evict_for(client(7)), None, "it has room already");
        assert_eq!(clients.evict_for(client(1 << 20)), Some(1));
        for number in 0..MAX_CLIENTS as u32 {
            clients.touch(client((1 << 20) + number), later + Duration::from_secs(1));
        }
        assert_eq!(clients.values().count(), MAX_CLIENTS);
        assert_eq!((clients.get(client(0)), clients.touched_at(client(0))), (None, None));
    }

    #[test]
    fn an_ipv6_network_is_one_client() {
        let of = |text: &str| Client::new(Some(text.parse().unwrap()));
        assert_eq!(of("2001:db8::1"), of("2001:db8::2"));
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
    }
}
