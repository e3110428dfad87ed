//! Limits password guesses, that is the number of wrong passwords that the server compares in a second. Also reports
//! wrong passwords, in the log and as events.
//!
//! One limit applies to each address. Another limit applies to all unknown addresses together, which are those that
//! have not logged in recently. So attackers at unknown addresses cannot lock out a user at a known address. Only wrong
//! passwords count towards the limits. While a limit is reached, the server rejects requests without comparing the
//! password, even if it is correct. No limit applies to a client on a connection on which this client has already
//! logged in. The module `credentials` compares passwords.

use std::fmt;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use framecast_hub::{Event, EventKind, Events};
use framecast_media::lock;
use framecast_outputs::{RateLimitedLog, client_network};
use tokio::sync::Notify;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::field::display;
use tracing::warn;

use super::clients::{Client, Clients, Rate, SlidingWindow, TokenBucket};

/// The maximum number of wrong passwords from one address that the server compares in a second.
const MAX_PER_ADDRESS: usize = 5;

/// The maximum number of wrong passwords from all unknown addresses together that the server compares in a second. An
/// address is unknown if it has not logged in within the last [`KNOWN_FOR`].
const MAX_OF_UNKNOWN: usize = 50;

/// How long the server remembers that an address has logged in. Until then the address has a limit of its own for wrong
/// passwords, apart from the limit that all other addresses share.
const KNOWN_FOR: Duration = Duration::from_secs(24 * 60 * 60);

/// The minimum time between two log lines about wrong passwords from the same address.
const LOG_INTERVAL: Duration = Duration::from_secs(1);

/// The minimum time between two events about wrong passwords from the same address.
const EVENT_INTERVAL: Duration = Duration::from_secs(60);

/// The rate limit on events about wrong passwords: for all addresses together, ten events at once, and then ten events
/// a minute.
const EVENT_RATE: Rate = Rate { burst: 10, interval: Duration::from_secs(6) };

/// How long the server waits before it reports wrong passwords that it has not reported at once. So a single report can
/// cover all passwords that arrive at about the same time.
const REPORT_DELAY: Duration = Duration::from_secs(1);

/// The client that last logged in on a connection; `None` if none did. All requests of the connection share this value
/// through their extensions. A connection can have several clients, because a proxy forwards the requests of many
/// clients on one connection.
#[derive(Debug, Clone, Default)]
pub(crate) struct ConnectionLogin(Arc<Mutex<Option<Client>>>);

impl ConnectionLogin {
    fn is_of(&self, client: Client) -> bool {
        *lock(&self.0) == Some(client)
    }

    fn set(&self, client: Option<Client>) {
        *lock(&self.0) = client;
    }
}

/// The result of a login attempt, that is a request that contains a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LoginOutcome {
    Accepted,
    Rejected,
    /// The server did not compare the password, because too many earlier passwords were wrong. The client can retry
    /// after this time.
    Throttled(Duration),
}

/// One server's limits on password guesses, and its counts of wrong passwords.
#[derive(Debug, Default)]
pub(crate) struct LoginThrottle {
    state: Mutex<ThrottleState>,
    wrong: AtomicU64,
    throttled: AtomicU64,
    warning: RateLimitedLog,
    /// Wakes the task that reports wrong passwords when another wrong password has arrived.
    changed: Notify,
}

#[derive(Debug, Default)]
struct ThrottleState {
    /// The clients that logged in. A full table evicts its oldest entry. This table is separate from `failed_logins`,
    /// so that clients without the password cannot evict a client that logged in.
    logins: Clients<()>,
    /// The wrong passwords of each client that sent any.
    failed_logins: Clients<FailedLogins>,
    unknown_clients: SlidingWindow<MAX_OF_UNKNOWN>,
    events: TokenBucket,
    /// The clients that were evicted from the full table `failed_logins` before an event reported all their wrong
    /// passwords: the number of these clients, and of their unreported wrong passwords.
    evicted: EvictedCounts,
}

#[derive(Debug, Default)]
struct EvictedCounts {
    addresses: u64,
    unreported: u64,
}

/// The wrong passwords of one client: their recent times, and what is still to be reported.
#[derive(Debug, Default)]
struct FailedLogins {
    wrong: SlidingWindow<MAX_PER_ADDRESS>,
    /// The address from which the client last sent a wrong password; `None` for a UNIX socket. An IPv6 client, which
    /// stands for a whole /64 network, can have several addresses.
    address: Option<IpAddr>,
    log: ReportState,
    event: ReportState,
}

/// The number of wrong passwords that are still to be reported, in the log or as an event, and the time of the last
/// report.
#[derive(Debug, Default)]
struct ReportState {
    unreported: u64,
    at: Option<Instant>,
}

impl ReportState {
    fn is_due(&self, pause: Duration, now: Instant) -> bool {
        self.unreported > 0 && self.at.is_none_or(|at| now.saturating_duration_since(at) >= pause)
    }

    /// Marks the unreported wrong passwords as reported at `now`, and returns their number.
    fn take(&mut self, now: Instant) -> u64 {
        self.at = Some(now);
        std::mem::take(&mut self.unreported)
    }
}

impl LoginThrottle {
    /// Handles a login attempt of `client` at `address`. `login` is the last login on the client's connection. The
    /// function `is_right` compares the client's password with the account's; it is called only if the limits allow a
    /// comparison.
    pub(crate) fn attempt(
        &self,
        client: Client,
        address: Option<IpAddr>,
        login: &ConnectionLogin,
        now: Instant,
        is_right: impl FnOnce() -> bool,
    ) -> LoginOutcome {
        let mut state = lock(&self.state);
        if !login.is_of(client)
            && let Some(wait) = state.wait(client, now)
        {
            drop(state);
            self.throttled.fetch_add(1, Ordering::Relaxed);
            if let Some(times) = self.warning.should_log() {
                warn!(
                    address = %DisplayAddress(address),
                    times,
                    "refused requests without checking their passwords, because earlier requests had too \
                     many wrong passwords. If `address` is that of your proxy, let the proxy set \
                     X-Forwarded-For, and add the address to trusted_proxies"
                );
            }
            return LoginOutcome::Throttled(wait);
        }
        // Compared under the lock, so that simultaneous requests see each other's results.
        if is_right() {
            state.logins.touch(client, now);
            login.set(Some(client));
            return LoginOutcome::Accepted;
        }
        // A client that shares a proxy's connection with a client that logged in has only one guess.
        login.set(None);
        let times = state.wrong(client, address, now);
        drop(state);
        self.wrong.fetch_add(1, Ordering::Relaxed);
        if let Some(times) = times {
            log(address, times);
        }
        self.changed.notify_one();
        LoginOutcome::Rejected
    }

    /// Returns the number of wrong passwords that the server has compared since its start.
    #[cfg(feature = "metrics")]
    pub(crate) fn wrong(&self) -> u64 {
        self.wrong.load(Ordering::Relaxed)
    }

    /// Returns the number of passwords that the server did not compare because too many earlier passwords were wrong.
    #[cfg(feature = "metrics")]
    pub(crate) fn throttled(&self) -> u64 {
        self.throttled.load(Ordering::Relaxed)
    }

    /// Reports wrong passwords as events to `events`, and in the log, until `shutdown`. Then reports all that are still
    /// unreported, and returns.
    pub(crate) async fn run(self: Arc<Self>, events: Events, shutdown: CancellationToken) {
        let reporting = async {
            loop {
                self.changed.notified().await;
                while lock(&self.state).has_unreported() {
                    sleep(REPORT_DELAY).await;
                    let (lines, due) = lock(&self.state).take_due(Instant::now());
                    report(&events, lines, due);
                }
            }
        };
        tokio::select! {
            () = reporting => {}
            () = shutdown.cancelled() => {
                let (lines, rest) = lock(&self.state).take_all(Instant::now());
                report(&events, lines, rest);
            }
        }
    }
}

/// Writes `lines` to the log, and sends an event to `events` for each entry of `denied`.
fn report(events: &Events, lines: Vec<LogLine>, denied: Vec<DeniedEvent>) {
    for (address, times) in lines {
        log(address, times);
    }
    for (text, count) in denied {
        let event = Event::new(EventKind::Denied, SystemTime::now());
        events.send(event.with_text(text).with_count(count));
    }
}

/// Logs that the client at `address` sent `times` wrong passwords. For an IPv6 address the log line also contains the
/// client's network, for programs that read the log to ban clients.
fn log(address: Option<IpAddr>, times: u64) {
    let network = address.and_then(client_network).map(display);
    warn!(address = %DisplayAddress(address), network, times, "wrong password");
}

/// The content of one log line: an address, and the number of wrong passwords from this address.
type LogLine = (Option<IpAddr>, u64);

/// The content of an event: the text, and the number of wrong passwords that the event reports.
type DeniedEvent = (String, u64);

impl ThrottleState {
    /// Returns how long `client` must wait until the server compares another password of this client; `None` if no wait
    /// is needed.
    fn wait(&self, client: Client, now: Instant) -> Option<Duration> {
        let own = self.failed_logins.get(client).and_then(|failed_logins| failed_logins.wrong.wait(now));
        own.or_else(|| if self.is_known(client, now) { None } else { self.unknown_clients.wait(now) })
    }

    /// Returns whether `client` is known, which means that the client logged in within the last [`KNOWN_FOR`]. The
    /// common limit for unknown clients does not apply to a known client. A client on this machine is always known, so
    /// that the machine's user can log in during an attack.
    fn is_known(&self, client: Client, now: Instant) -> bool {
        if client.is_local() {
            return true;
        }
        let login = self.logins.touched_at(client);
        login.is_some_and(|at| now.saturating_duration_since(at) < KNOWN_FOR)
    }

    /// Records a wrong password of `client` at `address`. Returns the number of wrong passwords for a log line to write
    /// now; `None` if the last line about this client is too recent.
    fn wrong(&mut self, client: Client, address: Option<IpAddr>, now: Instant) -> Option<u64> {
        if !self.is_known(client, now) {
            self.unknown_clients.add(now);
        }
        if let Some(FailedLogins { event, .. }) =
            self.failed_logins.evict_for(client).filter(|failed_logins| failed_logins.event.unreported > 0)
        {
            self.evicted.addresses += 1;
            self.evicted.unreported += event.unreported;
        }
        let failed_logins = self.failed_logins.touch(client, now);
        failed_logins.wrong.add(now);
        failed_logins.address = address;
        failed_logins.event.unreported += 1;
        failed_logins.log.unreported += 1;
        failed_logins.log.is_due(LOG_INTERVAL, now).then(|| failed_logins.log.take(now))
    }

    fn has_unreported(&self) -> bool {
        self.evicted.unreported > 0
            || self
                .failed_logins
                .values()
                .any(|failed_logins| failed_logins.event.unreported > 0 || failed_logins.log.unreported > 0)
    }

    /// Returns the log lines and events about wrong passwords that are due now, and marks these passwords as reported.
    fn take_due(&mut self, now: Instant) -> (Vec<LogLine>, Vec<DeniedEvent>) {
        (self.take_lines(LOG_INTERVAL, now), self.take_events(EVENT_INTERVAL, 0, now))
    }

    /// Returns log lines and events about all unreported wrong passwords, however recent the last report was, and marks
    /// these passwords as reported. For the shutdown.
    fn take_all(&mut self, now: Instant) -> (Vec<LogLine>, Vec<DeniedEvent>) {
        (self.take_lines(Duration::ZERO, now), self.take_events(Duration::ZERO, 1, now))
    }

    /// Returns the log lines that are due now, and marks their wrong passwords as logged. `pause` is the minimum time
    /// between two lines about the same address.
    fn take_lines(&mut self, pause: Duration, now: Instant) -> Vec<LogLine> {
        let due =
            self.failed_logins.values_mut().filter(|failed_logins| failed_logins.log.is_due(pause, now));
        due.map(|failed_logins| (failed_logins.address, failed_logins.log.take(now))).collect()
    }

    /// Returns the events that are due now, and marks their wrong passwords as reported. `pause` is the minimum time
    /// between two events about the same address. `least` is the number of events to return even if the rate limit
    /// allows none. If there are more addresses than events, the last event covers all remaining addresses.
    fn take_events(&mut self, pause: Duration, least: usize, now: Instant) -> Vec<DeniedEvent> {
        let mut due: Vec<&mut FailedLogins> = self
            .failed_logins
            .values_mut()
            .filter(|failed_logins| failed_logins.event.is_due(pause, now))
            .collect();
        due.sort_unstable_by_key(|failed_logins| std::cmp::Reverse(failed_logins.event.unreported));
        let wanted = due.len().max(usize::from(self.evicted.unreported > 0));
        let room = (0..wanted).take_while(|_| self.events.take(EVENT_RATE, now).is_ok()).count();
        let Some(alone) = room.max(least.min(wanted)).checked_sub(1) else { return Vec::new() };
        let left = due.split_off(alone.min(due.len()));
        let mut told: Vec<DeniedEvent> = due
            .into_iter()
            .map(|failed_logins| (event_text(&[failed_logins.address], 0), failed_logins.event.take(now)))
            .collect();
        let EvictedCounts { addresses, unreported } = std::mem::take(&mut self.evicted);
        let text = event_text(
            &left.iter().map(|failed_logins| failed_logins.address).collect::<Vec<_>>(),
            addresses,
        );
        let count = left.into_iter().map(|failed_logins| failed_logins.event.take(now)).sum::<u64>();
        told.push((text, count + unreported));
        told
    }
}

/// Returns the text of an event about wrong passwords from `addresses`, and from `more` further addresses, which are no
/// longer stored.
fn event_text(addresses: &[Option<IpAddr>], more: u64) -> String {
    let others = |count: u64| match count {
        1 => "1 other address".to_owned(),
        count => format!("{count} other addresses"),
    };
    match addresses {
        [] => format!("wrong passwords from {}", others(more)),
        [first] if more == 0 => format!("wrong password from {}", DisplayAddress(*first)),
        [first, rest @ ..] => {
            format!(
                "wrong passwords from {} and {}",
                DisplayAddress(*first),
                others(rest.len() as u64 + more)
            )
        }
    }
}

/// Formats a client's address for display; `None` as the word `unix`, for a client on a UNIX socket.
struct DisplayAddress(Option<IpAddr>);

impl fmt::Display for DisplayAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(address) => write!(f, "{address}"),
            None => f.write_str("unix"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(number: u32) -> Option<IpAddr> {
        Some(IpAddr::from((0xCB00_7100 + number).to_be_bytes()))
    }

    /// A guess of an address on its own connection.
    fn guess(throttle: &LoginThrottle, address: Option<IpAddr>, now: Instant) -> LoginOutcome {
        throttle.attempt(Client::new(address), address, &ConnectionLogin::default(), now, || false)
    }

    fn log_in(throttle: &LoginThrottle, address: Option<IpAddr>, now: Instant) -> LoginOutcome {
        throttle.attempt(Client::new(address), address, &ConnectionLogin::default(), now, || true)
    }

    /// How many of `count` guesses at `now` are compared.
    fn compared(throttle: &LoginThrottle, address: Option<IpAddr>, count: u32, now: Instant) -> usize {
        (0..count).filter(|_| guess(throttle, address, now) == LoginOutcome::Rejected).count()
    }

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn five_of_an_address_are_compared_a_second_and_fifty_of_all() {
        let (throttle, now) = (LoginThrottle::default(), Instant::now());
        assert_eq!(compared(&throttle, ip(0), 4900, now), 5);
        let later = now + SECOND / 4;
        assert_eq!(guess(&throttle, ip(0), later), LoginOutcome::Throttled(SECOND * 3 / 4));
        assert_eq!((1..1000).map(|address| compared(&throttle, ip(address), 5, later)).sum::<usize>(), 45);
        let hour: usize = (0..3600).map(|second| compared(&throttle, ip(0), 20, now + SECOND * second)).sum();
        assert_eq!(hour, 3599 * 5, "none in the first second, which had its five");
        assert_eq!(throttle.wrong(), 50 + 3599 * 5);
    }

    #[test]
    fn an_address_that_is_at_its_most_gets_in_with_the_right_password_a_second_later() {
        let (throttle, now) = (LoginThrottle::default(), Instant::now());
        assert_eq!(compared(&throttle, ip(0), 8, now), 5);
        assert!(matches!(log_in(&throttle, ip(0), now), LoginOutcome::Throttled(_)));
        assert_eq!(log_in(&throttle, ip(0), now + SECOND), LoginOutcome::Accepted);
    }

    #[test]
    fn right_passwords_are_no_guesses_however_many_come_at_once() {
        let (throttle, now) = (LoginThrottle::default(), Instant::now());
        assert!((0..1000).all(|_| log_in(&throttle, ip(0), now) == LoginOutcome::Accepted));
        assert_eq!((throttle.wrong(), throttle.throttled()), (0, 0));
    }

    #[test]
    fn who_logged_in_within_a_day_is_not_shut_out_by_strangers() {
        let (throttle, start) = (LoginThrottle::default(), Instant::now());
        assert_eq!(log_in(&throttle, ip(0), start), LoginOutcome::Accepted);
        let flood = |now| (1..200).map(|address| compared(&throttle, ip(address), 1, now)).sum::<usize>();
        let soon = start + KNOWN_FOR - SECOND;
        assert_eq!(flood(soon), 50);
        assert_eq!(compared(&throttle, ip(0), 8, soon), 5, "it has its own five");
        assert_eq!(flood(start + KNOWN_FOR), 50, "which are not among the fifty");
        assert!(matches!(log_in(&throttle, ip(0), start + KNOWN_FOR), LoginOutcome::Throttled(_)));
    }

    #[test]
    fn this_machine_gets_in_while_a_crowd_guesses() {
        let (throttle, now) = (LoginThrottle::default(), Instant::now());
        assert_eq!((1..200).map(|address| compared(&throttle, ip(address), 1, now)).sum::<usize>(), 50);
        for here in [Some("127.0.0.1".parse().unwrap()), Some("::1".parse().unwrap()), None] {
            assert_eq!(log_in(&throttle, here, now), LoginOutcome::Accepted, "{here:?}");
        }
        let other = Some("127.0.0.2".parse().unwrap());
        assert!(
            matches!(log_in(&throttle, other, now), LoginOutcome::Throttled(_)),
            "one address, not a network"
        );
        assert_eq!(compared(&throttle, None, 8, now), 5);
    }

    #[test]
    fn strangers_cannot_make_it_forget_who_logged_in() {
        let (throttle, start) = (LoginThrottle::default(), Instant::now());
        log_in(&throttle, ip(0), start);
        for minute in 1..200 {
            for address in 0..50 {
                guess(&throttle, ip(minute * 50 + address), start + SECOND * 60 * minute);
            }
        }
        let state = lock(&throttle.state);
        assert!(state.is_known(Client::new(ip(0)), start + SECOND * 12_000));
        assert!(state.failed_logins.values().count() <= super::super::clients::MAX_CLIENTS);
    }

    #[test]
    fn a_connection_on_which_someone_logged_in_is_never_delayed() {
        let (throttle, now, login) = (LoginThrottle::default(), Instant::now(), ConnectionLogin::default());
        assert_eq!(throttle.attempt(Client::new(ip(0)), ip(0), &login, now, || true), LoginOutcome::Accepted);
        assert_eq!(compared(&throttle, ip(0), 100, now), 5, "another behind the same address guesses");
        assert!((0..1000).all(|_| throttle.attempt(
            Client::new(ip(0)),
            ip(0),
            &login,
            now + SECOND / 2,
            || true
        ) == LoginOutcome::Accepted));
        assert!(matches!(log_in(&throttle, ip(0), now + SECOND / 2), LoginOutcome::Throttled(_)));
        // A proxy's connection has no login for another client.
        assert_eq!(compared(&throttle, ip(1), 5, now), 5);
        assert!(matches!(
            throttle.attempt(Client::new(ip(1)), ip(1), &login, now, || true),
            LoginOutcome::Throttled(_)
        ));
    }

    #[test]
    fn a_wrong_password_ends_what_a_connection_gained_by_the_right_one() {
        let (throttle, now, login) = (LoginThrottle::default(), Instant::now(), ConnectionLogin::default());
        assert_eq!(compared(&throttle, ip(0), 4, now), 4);
        assert_eq!(throttle.attempt(Client::new(ip(0)), ip(0), &login, now, || true), LoginOutcome::Accepted);
        assert_eq!(
            throttle.attempt(Client::new(ip(0)), ip(0), &login, now, || false),
            LoginOutcome::Rejected
        );
        assert!(matches!(
            throttle.attempt(Client::new(ip(0)), ip(0), &login, now, || false),
            LoginOutcome::Throttled(_)
        ));
    }

    #[test]
    fn the_log_names_an_address_once_a_second_with_how_many_there_were() {
        let (mut state, start) = (ThrottleState::default(), Instant::now());
        let mut wrong =
            |millis| state.wrong(Client::new(ip(0)), ip(0), start + Duration::from_millis(millis));
        assert_eq!([wrong(0), wrong(1), wrong(999)], [Some(1), None, None]);
        assert_eq!([wrong(1000), wrong(1001), wrong(2000)], [Some(3), None, Some(2)]);
    }

    #[test]
    fn the_end_of_a_burst_is_in_the_log_too() {
        let (mut state, start) = (ThrottleState::default(), Instant::now());
        let logged: Vec<_> = (0..5).map(|_| state.wrong(Client::new(ip(7)), ip(7), start)).collect();
        assert_eq!(logged, [Some(1), None, None, None, None]);
        assert_eq!(state.take_due(start + SECOND / 2).0, []);
        assert!(state.has_unreported());
        assert_eq!(state.take_due(start + SECOND).0, [(ip(7), 4)]);
        state.wrong(Client::new(ip(7)), ip(7), start + SECOND);
        assert_eq!(state.take_all(start + SECOND).0, [(ip(7), 1)], "at the end all is said");
    }

    #[test]
    fn an_address_is_told_once_a_minute_with_how_many_there_were() {
        let (mut state, start) = (ThrottleState::default(), Instant::now());
        let told = |count| vec![("wrong password from 203.0.113.7".to_owned(), count)];
        for second in 0..600 {
            let now = start + SECOND * second;
            state.wrong(Client::new(ip(7)), ip(7), now);
            let due = state.take_due(now).1;
            match second {
                0 => assert_eq!(due, told(1)),
                _ if second % 60 == 0 => assert_eq!(due, told(60)),
                _ => assert_eq!(due, []),
            }
        }
        assert!(state.has_unreported());
        assert_eq!(state.take_all(start + SECOND * 600).1, told(59), "at the end all is told");
        assert!(!state.has_unreported());
    }

    #[test]
    fn several_addresses_are_named_each_once_a_minute_for_as_long_as_they_guess() {
        for addresses in [2, 10] {
            let (mut state, start) = (ThrottleState::default(), Instant::now());
            let mut told = std::collections::BTreeMap::<String, u64>::new();
            for second in 0..3600 {
                let now = start + SECOND * second;
                (0..addresses).for_each(|number| {
                    state.wrong(Client::new(ip(number)), ip(number), now);
                });
                state.take_due(now).1.into_iter().for_each(|(text, _)| *told.entry(text).or_default() += 1);
            }
            let wanted = (0..addresses)
                .map(|number| (format!("wrong password from {}", DisplayAddress(ip(number))), 60))
                .collect();
            assert_eq!(told, wanted);
        }
    }

    #[test]
    fn a_crowd_of_addresses_cannot_fill_the_history_and_all_are_counted() {
        let (mut state, start) = (ThrottleState::default(), Instant::now());
        let (mut events, mut count, mut wrong) = (0, 0, 0);
        for second in 0..300 {
            let now = start + SECOND * second;
            for address in 0..50 {
                let address = ip((second * 50 + address) % 60_000);
                state.wrong(Client::new(address), address, now);
                wrong += 1;
            }
            let due = state.take_due(now).1;
            assert!(due.iter().all(|(text, _)| text.contains("from 203.")), "{due:?}");
            events += due.len();
            count += due.iter().map(|(_, count)| count).sum::<u64>();
        }
        // The rate limit allows no event at this moment, but the shutdown sends one.
        let rest = state.take_all(start + SECOND * 299).1;
        assert_eq!(rest.len(), 1, "{rest:?}");
        assert!(rest[0].0.ends_with(" other addresses"), "{rest:?}");
        assert_eq!(count + rest[0].1, wrong);
        assert!(events <= 10 + 50, "{events} in five minutes");
    }
}
