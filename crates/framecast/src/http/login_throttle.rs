//! Limits password guesses: how many wrong passwords the server compares in a second, and how it reports them.
//!
//! There is a limit for each address, and a limit for all unknown addresses together. Only wrong passwords count. While
//! a limit is reached, the server compares no password, not even a correct one. The limit for unknown addresses does
//! not apply to an address that logged in recently, so that attackers at other addresses cannot lock out its user. No
//! limit applies on a connection on which the client has already logged in. The comparison itself does not belong here.

use std::fmt;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use framecast_hub::{Event, EventKind, Events};
use framecast_outputs::{RateLimitedLog, client_network};
use tokio::sync::Notify;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::field::display;
use tracing::warn;

use super::clients::{Client, Clients, Rate, SlidingWindow, TokenBucket};
use super::lock;

/// How many wrong passwords from one address the server compares in a second.
const MAX_PER_ADDRESS: usize = 5;

/// How many wrong passwords the server compares in a second from all unknown addresses together. An address is unknown
/// if it has not logged in within [`KNOWN_FOR`].
const MAX_OF_UNKNOWN: usize = 50;

/// How long an address counts as known after a login.
const KNOWN_FOR: Duration = Duration::from_secs(24 * 60 * 60);

/// The minimum time between two log lines about one address.
const LOG_INTERVAL: Duration = Duration::from_secs(1);

/// The minimum time between two events about one address.
const EVENT_INTERVAL: Duration = Duration::from_secs(60);

/// The rate limit on events about wrong passwords, from all addresses together: ten at once, and then ten a minute.
const EVENT_RATE: Rate = Rate { burst: 10, interval: Duration::from_secs(6) };

/// The delay before a wrong password is reported as an event, and also in the log if it was not logged at once. The
/// delay combines guesses that arrive at about the same time into one report.
const REPORT_DELAY: Duration = Duration::from_secs(1);

/// The client that last logged in on a connection. The value is in the extensions of the connection's requests. The
/// client is stored because a proxy's connection carries the requests of many clients.
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

/// The result of a request with a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LoginOutcome {
    Accepted,
    Rejected,
    /// The server did not compare this password, because too many earlier ones were wrong. The client can retry after
    /// this time.
    Throttled(Duration),
}

/// The limits on password guesses, and the counts of wrong passwords. Each server has one value of this type.
#[derive(Debug, Default)]
pub(crate) struct LoginThrottle {
    state: Mutex<ThrottleState>,
    wrong: AtomicU64,
    throttled: AtomicU64,
    warning: RateLimitedLog,
    /// Wakes the task that reports wrong passwords.
    changed: Notify,
}

#[derive(Debug, Default)]
struct ThrottleState {
    /// The clients that logged in. This table is separate, so that clients without the password cannot evict an entry.
    logins: Clients<()>,
    /// The clients that sent a wrong password.
    failed_logins: Clients<FailedLogins>,
    unknown_clients: SlidingWindow<MAX_OF_UNKNOWN>,
    events: TokenBucket,
    /// The number of clients that were evicted from `failed_logins` with unreported guesses, and the number of these
    /// guesses.
    evicted: EvictedCounts,
}

#[derive(Debug, Default)]
struct EvictedCounts {
    addresses: u64,
    unreported: u64,
}

/// The wrong passwords of one client.
#[derive(Debug, Default)]
struct FailedLogins {
    wrong: SlidingWindow<MAX_PER_ADDRESS>,
    /// The client's most recent address. An IPv6 client can use several addresses of its network.
    address: Option<IpAddr>,
    log: ReportState,
    event: ReportState,
}

/// The number of unreported guesses, and the time of the last report.
#[derive(Debug, Default)]
struct ReportState {
    unreported: u64,
    at: Option<Instant>,
}

impl ReportState {
    fn is_due(&self, pause: Duration, now: Instant) -> bool {
        self.unreported > 0 && self.at.is_none_or(|at| now.saturating_duration_since(at) >= pause)
    }

    /// Marks the guesses as reported, and returns their number.
    fn take(&mut self, now: Instant) -> u64 {
        self.at = Some(now);
        std::mem::take(&mut self.unreported)
    }
}

impl LoginThrottle {
    /// Handles a request with a password. The request comes from `client` at `address`, on a connection whose last
    /// login is `login`. `is_right` compares the password with the account's, and is called only if the limits allow a
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
                    "refused requests without checking their passwords, because there were too many wrong \
                     passwords. If that is the address of your proxy, let it set X-Forwarded-For, and name \
                     it in trusted_proxies"
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

    /// Returns the number of wrong passwords since the server's start.
    pub(crate) fn wrong(&self) -> u64 {
        self.wrong.load(Ordering::Relaxed)
    }

    /// Returns the number of passwords that the server did not compare because too many earlier ones were wrong.
    pub(crate) fn throttled(&self) -> u64 {
        self.throttled.load(Ordering::Relaxed)
    }

    /// Reports wrong passwords to `events` and the log until `shutdown`, and then reports the remaining ones.
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

/// Logs `lines`, and sends an event to `events` for each entry of `denied`.
fn report(events: &Events, lines: Vec<LogLine>, denied: Vec<DeniedEvent>) {
    for (address, times) in lines {
        log(address, times);
    }
    for (text, count) in denied {
        let event = Event::new(EventKind::Denied, SystemTime::now());
        events.send(event.with_text(text).with_count(count));
    }
}

/// Logs that the client at `address` sent `times` wrong passwords. If the client has a whole IPv6 network, the line
/// contains the network too, for programs that ban clients by the log.
fn log(address: Option<IpAddr>, times: u64) {
    let network = address.and_then(client_network).map(display);
    warn!(address = %DisplayAddress(address), network, times, "wrong password");
}

/// An address and the number of its wrong passwords, for one log line.
type LogLine = (Option<IpAddr>, u64);

/// The text of an event, and the number of wrong passwords that the event covers.
type DeniedEvent = (String, u64);

impl ThrottleState {
    /// Returns how long `client` must wait until the server compares the client's next password; `None` if no wait is
    /// needed.
    fn wait(&self, client: Client, now: Instant) -> Option<Duration> {
        let own = self.failed_logins.get(client).and_then(|failed_logins| failed_logins.wrong.wait(now));
        own.or_else(|| if self.is_known(client, now) { None } else { self.unknown_clients.wait(now) })
    }

    /// Returns whether `client` logged in within [`KNOWN_FOR`], so that the common limit for unknown clients does not
    /// apply. This machine always counts as known, so that its user can log in during an attack.
    fn is_known(&self, client: Client, now: Instant) -> bool {
        if client.is_local() {
            return true;
        }
        let login = self.logins.touched_at(client);
        login.is_some_and(|at| now.saturating_duration_since(at) < KNOWN_FOR)
    }

    /// Records a wrong password. Returns the number of wrong passwords to log now; `None` if no log line is due.
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

    /// Takes the log lines and the events that are due now.
    fn take_due(&mut self, now: Instant) -> (Vec<LogLine>, Vec<DeniedEvent>) {
        (self.take_lines(LOG_INTERVAL, now), self.take_events(EVENT_INTERVAL, 0, now))
    }

    /// Takes everything that is unreported, however recent the last report was, so that the shutdown omits no wrong
    /// password.
    fn take_all(&mut self, now: Instant) -> (Vec<LogLine>, Vec<DeniedEvent>) {
        (self.take_lines(Duration::ZERO, now), self.take_events(Duration::ZERO, 1, now))
    }

    /// Takes the due log lines. `pause` is the minimum time between two lines about one address.
    fn take_lines(&mut self, pause: Duration, now: Instant) -> Vec<LogLine> {
        let due =
            self.failed_logins.values_mut().filter(|failed_logins| failed_logins.log.is_due(pause, now));
        due.map(|failed_logins| (failed_logins.address, failed_logins.log.take(now))).collect()
    }

    /// Takes the due events. `pause` is the minimum time between two events about one address. `least` is the number of
    /// events that are sent even beyond the rate limit. If the rate limit allows fewer events than there are addresses,
    /// the last event covers all remaining addresses.
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

/// Returns the text of an event about wrong passwords from `addresses`, and from `more` other addresses.
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

/// Displays an address, or the word `unix` for a client on a UNIX socket.
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
