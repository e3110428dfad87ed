//! The listening sockets that this process was started with: by systemd or another program (socket activation), or by
//! the server that ran in this process before. Both follow the protocol of `sd_listen_fds(3)`.

use std::env;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixDatagram;
use std::process::{self, Command};

use anyhow::{Context, anyhow};
use framecast::{Listen, ListeningSocket};
use rustix::io::{dup2, fcntl_dupfd_cloexec};
use tracing::{info, warn};

/// The number of the first descriptor that the protocol passes.
const FIRST: RawFd = 3;

/// The variables of the protocol: the number of descriptors, the process for which they are, and their names.
const LISTEN_FDS: &str = "LISTEN_FDS";
const LISTEN_PID: &str = "LISTEN_PID";
const LISTEN_FDNAMES: &str = "LISTEN_FDNAMES";

/// The name of a socket that Framecast itself has opened, and hands over to its successor. systemd's names are those of
/// its units.
const OWN_NAME: &str = "opened-by-framecast";

/// What to do about a descriptor that is not a listening socket.
const ADVICE: &str = "the program that starts Framecast must pass listening stream sockets, as systemd does for a unit \
                      with ListenStream= and Accept=no";

/// The descriptors from number [`FIRST`] on.
#[derive(Debug)]
pub(super) struct Inherited {
    /// The inherited sockets. If there are none, a descriptor that keeps the number for the socket that this server
    /// opens.
    slots: Vec<OwnedFd>,
    /// The names of the inherited sockets; empty if there are none.
    names: Vec<String>,
}

impl Inherited {
    /// Takes the sockets that the environment tells of. Call this function before the process opens any descriptor.
    ///
    /// # Errors
    /// The environment tells of descriptors that do not exist.
    pub(super) fn take() -> anyhow::Result<Self> {
        let variable = |name: &str| env::var(name).unwrap_or_default();
        // Children inherit the variables of a service, but the sockets are not for them.
        let is_for_us = variable(LISTEN_PID).parse() == Ok(process::id());
        let count = Some(variable(LISTEN_FDS)).filter(|count| is_for_us && !count.is_empty());
        let count = count.unwrap_or_else(|| "0".to_owned());
        let count: u16 =
            count.parse().map_err(|_| anyhow!("{LISTEN_FDS}={count} is not a number of sockets"))?;
        if count == 0 {
            let slot = reserve().context("cannot reserve a descriptor for the listening socket")?;
            return Ok(Self { slots: vec![slot], names: Vec::new() });
        }
        let take = |number: RawFd| {
            let missing = || anyhow!("{LISTEN_FDS}={count}, but descriptor {number} is not open; {ADVICE}");
            framecast_sys::take_inherited(number).ok_or_else(missing)
        };
        let slots = (FIRST..FIRST + RawFd::from(count)).map(take).collect::<Result<_, _>>()?;
        let given_names = variable(LISTEN_FDNAMES);
        let given_names = given_names.split(':').map(str::to_owned).chain(std::iter::repeat(String::new()));
        Ok(Self { slots, names: given_names.take(count.into()).collect() })
    }

    /// Returns the inherited sockets; none if the server must open one itself. Logs which they are. `listen` is what the
    /// configuration says. Must be called within a Tokio runtime.
    ///
    /// # Errors
    /// A descriptor is not a listening stream socket.
    pub(super) fn sockets(&self, listen: &Listen) -> anyhow::Result<Vec<ListeningSocket>> {
        let socket = |(name, slot): (&String, &OwnedFd), number: RawFd| {
            let open = if name == OWN_NAME { ListeningSocket::handed_over } else { ListeningSocket::given };
            let socket = slot.try_clone().and_then(open);
            let socket =
                socket.map_err(|error| anyhow!("{LISTEN_FDS}: descriptor {number}: {error}; {ADVICE}"))?;
            describe(&socket, listen)?;
            Ok(socket)
        };
        self.names.iter().zip(&self.slots).zip(FIRST..).map(|(slot, number)| socket(slot, number)).collect()
    }

    /// Makes `command` inherit `sockets`, in place of what this process inherited, when it replaces this program.
    ///
    /// # Errors
    /// The operating system cannot copy a descriptor.
    pub(super) fn pass_on(&mut self, sockets: &[ListeningSocket], command: &mut Command) -> io::Result<()> {
        for (socket, slot) in sockets.iter().zip(&mut self.slots) {
            // The copy has no close-on-exec flag.
            dup2(socket.as_fd(), slot)?;
        }
        let own = |at: usize| self.names.get(at).map_or(OWN_NAME, String::as_str);
        let names: Vec<&str> = (0..sockets.len()).map(own).collect();
        command.env(LISTEN_FDS, sockets.len().to_string());
        command.env(LISTEN_PID, process::id().to_string()).env(LISTEN_FDNAMES, names.join(":"));
        Ok(())
    }
}

/// Returns a descriptor with the number [`FIRST`], so that nothing else of this process gets this number.
fn reserve() -> io::Result<OwnedFd> {
    if let Some(stray) = framecast_sys::take_inherited(FIRST) {
        return Ok(stray);
    }
    let placeholder = OwnedFd::from(UnixDatagram::unbound()?);
    match placeholder.as_raw_fd() {
        FIRST => Ok(placeholder),
        _ => Ok(fcntl_dupfd_cloexec(placeholder, FIRST)?),
    }
}

/// Logs where an inherited socket comes from, and that `listen` has no effect.
fn describe(socket: &ListeningSocket, listen: &Listen) -> io::Result<()> {
    let address = socket.listens_on()?;
    if socket.is_given() {
        info!("using the socket {address} of another program, such as systemd; `listen` has no effect");
    } else {
        info!("using the socket {address} of the server that ran in this process before");
        if !is_same(listen, &address) {
            warn!("restart the server to listen on {listen}");
        }
    }
    Ok(())
}

/// Returns whether a socket at the address `actual` is what `listen` asks for.
fn is_same(listen: &Listen, actual: &Listen) -> bool {
    match (listen, actual) {
        // With port 0, the system chose the port.
        (Listen::Tcp(listen), Listen::Tcp(actual)) => {
            listen.ip() == actual.ip() && (listen.port() == 0 || listen.port() == actual.port())
        }
        _ => listen == actual,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_is_what_was_asked_for_unless_its_address_or_path_differs() {
        let is_same =
            |listen, actual| is_same(&Listen::parse(listen).unwrap(), &Listen::parse(actual).unwrap());
        assert!(is_same("127.0.0.1:5000", "127.0.0.1:5000") && is_same("127.0.0.1:0", "127.0.0.1:5000"));
        assert!(!is_same("127.0.0.1:5000", "127.0.0.1:5001") && !is_same(":5000", "127.0.0.1:5000"));
        assert!(is_same("unix:/run/x", "unix:/run/x") && !is_same("unix:/run/y", "unix:/run/x"));
        assert!(!is_same("127.0.0.1:5000", "unix:/run/x"));
    }
}
