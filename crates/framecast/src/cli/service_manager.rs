//! Tells systemd, or another service manager, how the server is, by the protocol of `sd_notify(3)`: that it is ready,
//! reloads or stops, how many cameras it has, and, for the watchdog, that it still runs. Without a service manager,
//! nothing happens.

use std::convert::Infallible;
use std::env;
use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;
use std::process;
use std::time::Duration;

use framecast::Hub;
use rustix::time::{ClockId, clock_gettime};
use socket2::{Domain, SockAddr, Socket, Type};
use tokio::time::{MissedTickBehavior, interval};
use tracing::warn;

/// The variables of the protocol: the path of the socket, the watchdog's time in microseconds, and the process for which
/// that time is.
const NOTIFY_SOCKET: &str = "NOTIFY_SOCKET";
const WATCHDOG_USEC: &str = "WATCHDOG_USEC";
const WATCHDOG_PID: &str = "WATCHDOG_PID";

/// The maximum time that a message waits for a service manager that reads none.
const SEND_TIMEOUT: Duration = Duration::from_secs(1);

/// How often the number of cameras is looked at, if no watchdog needs a shorter interval.
const STATUS_INTERVAL: Duration = Duration::from_secs(10);

/// The service manager that started this program; perhaps there is none.
#[derive(Debug, Clone)]
pub(super) struct ServiceManager {
    socket: Option<SockAddr>,
    /// The service manager ends a server that has not reported for this time.
    watchdog: Option<Duration>,
}

impl ServiceManager {
    pub(super) fn from_environment() -> Self {
        let watchdog = watchdog(|name| env::var(name).ok());
        let path = env::var_os(NOTIFY_SOCKET).filter(|path| !path.is_empty());
        let socket = path.and_then(|path| {
            let address = SockAddr::unix(Path::new(&with_abstract_name(path)));
            address.inspect_err(|error| warn!("{NOTIFY_SOCKET} cannot be used: {error}")).ok()
        });
        Self { socket, watchdog }
    }

    /// Says that the server answers requests, with its new configuration after [`reloading`](Self::reloading).
    pub(super) fn ready(&self, hub: &Hub) {
        self.notify(&format!("READY=1\nSTATUS={}", status(hub.feeds().len())));
    }

    /// Says that the server changes its configuration or its program, until it is [`ready`](Self::ready).
    pub(super) fn reloading(&self, what: &str) {
        let now = clock_gettime(ClockId::Monotonic);
        let now_us = Duration::try_from(now).unwrap_or_default().as_micros();
        self.notify(&format!("RELOADING=1\nMONOTONIC_USEC={now_us}\nSTATUS={what}"));
    }

    /// Says that the server is shutting down.
    pub(super) fn stopping(&self) {
        self.notify("STOPPING=1\nSTATUS=Closing the cameras");
    }

    /// Reports regularly that the server runs, and the number of cameras when it has changed. Never returns.
    ///
    /// Run this future on the task that accepts connections. A report then proves that this task runs, and the runtime's
    /// threads too, because they drive the timer.
    pub(super) async fn report(&self, hub: &Hub) -> Infallible {
        if self.socket.is_none() {
            return std::future::pending().await;
        }
        let period = self.watchdog.map_or(STATUS_INTERVAL, |watchdog| (watchdog / 2).min(STATUS_INTERVAL));
        let mut ticks = interval(period);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut cameras = hub.feeds().len();
        loop {
            ticks.tick().await;
            if self.watchdog.is_some() {
                self.notify("WATCHDOG=1");
            }
            let now = hub.feeds().len();
            if now != cameras {
                cameras = now;
                self.notify(&format!("STATUS={}", status(cameras)));
            }
        }
    }

    fn notify(&self, message: &str) {
        let Some(address) = &self.socket else { return };
        if let Err(error) = send(address, message) {
            warn!("cannot tell the service manager that {message:?}: {error}");
        }
    }
}

fn send(address: &SockAddr, message: &str) -> io::Result<()> {
    let socket = Socket::new(Domain::UNIX, Type::DGRAM, None)?;
    socket.set_write_timeout(Some(SEND_TIMEOUT))?;
    socket.send_to(message.as_bytes(), address).map(drop)
}

/// Returns the one sentence about the server that the service manager shows.
fn status(cameras: usize) -> String {
    match cameras {
        1 => "Serving 1 camera".to_owned(),
        _ => format!("Serving {cameras} cameras"),
    }
}

/// Returns the path of the socket as the system wants it: an abstract name begins with a zero byte, where the variable
/// has an `@`.
fn with_abstract_name(path: OsString) -> OsString {
    match path.as_bytes().strip_prefix(b"@") {
        Some(name) => OsString::from_vec([b"\0", name].concat()),
        None => path,
    }
}

/// Returns the time within which the service manager expects a report; `None` if it expects none from this process.
fn watchdog(variable: impl Fn(&str) -> Option<String>) -> Option<Duration> {
    let is_for_us = variable(WATCHDOG_PID).is_none_or(|pid| pid.parse() == Ok(process::id()));
    let time_us = variable(WATCHDOG_USEC)?.parse().ok()?;
    (is_for_us && time_us > 0).then(|| Duration::from_micros(time_us))
}

#[cfg(test)]
mod tests {
    #![warn(clippy::disallowed_methods)]

    use std::os::unix::net::UnixDatagram;
    use std::sync::mpsc::channel;
    use std::thread;

    use framecast_testkit::blocking::{joined, received};

    use super::*;

    #[test]
    fn the_watchdog_is_that_of_this_process() {
        let time = |pid: Option<String>, usec: &str| {
            watchdog(|name| if name == WATCHDOG_PID { pid.clone() } else { Some(usec.to_owned()) })
        };
        let own = Some(process::id().to_string());
        assert_eq!(time(own.clone(), "3000000"), Some(Duration::from_secs(3)));
        assert_eq!(time(None, "3000000"), Some(Duration::from_secs(3)));
        assert_eq!(
            (time(Some("1".to_owned()), "3000000"), time(own.clone(), "0"), time(own, "x")),
            (None, None, None)
        );
    }

    #[test]
    fn the_reports_pause_while_the_threads_of_the_runtime_hang() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        let watchdog = Duration::from_millis(20);
        let manager = ServiceManager { socket: SockAddr::unix(&path).ok(), watchdog: Some(watchdog) };
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_time().build().unwrap();
        let (end, ended) = tokio::sync::oneshot::channel::<()>();
        let handle = runtime.handle().clone();
        let reporting = thread::spawn(move || {
            let hub = Hub::new();
            handle.block_on(async {
                tokio::select! {
                    never = manager.report(&hub) => match never {},
                    _ = ended => {}
                }
            });
        });
        let mut buffer = [0; 64];
        let mut next = |patience: Duration| {
            socket.set_read_timeout(Some(patience)).unwrap();
            socket.recv(&mut buffer).is_ok_and(|len| &buffer[..len] == b"WATCHDOG=1")
        };
        let patient = Duration::from_secs(30);
        assert!((0..5).all(|_| next(patient)), "the server reports while it runs");
        let (release, released) = channel::<()>();
        runtime.spawn(async move { received("the test's end", &released).ok() });
        let on_the_way = (0..100).take_while(|_| next(20 * watchdog)).count();
        assert!(on_the_way < 100, "a server that hangs must not report");
        drop(release);
        assert!((0..5).all(|_| next(patient)), "the server runs again");
        end.send(()).unwrap();
        joined("the reports end", reporting);
    }
}
