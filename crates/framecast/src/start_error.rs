//! Why a server did not start, and what to do.

use crate::config::ConfigError;
#[cfg(feature = "server")]
use crate::config::Listen;
#[cfg(feature = "history")]
use crate::history;

/// Why a server did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// A setting has a value that the server cannot use.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The history cannot store events at the configured location.
    #[cfg(feature = "history")]
    #[error(transparent)]
    History(#[from] framecast_history::Error),
    /// The server cannot listen on the address: for instance, another program uses the address, or this machine does
    /// not have the address.
    #[cfg(feature = "server")]
    #[error("cannot listen on {address}: {source}{}", listen_hint(.address, .source))]
    Listen {
        /// The configured address.
        address: Listen,
        /// The operating system's error.
        source: std::io::Error,
    },
}

#[cfg(feature = "history")]
impl From<history::OpenError> for StartError {
    fn from(error: history::OpenError) -> Self {
        match error {
            history::OpenError::Config(error) => Self::Config(error),
            history::OpenError::History(error) => Self::History(error),
        }
    }
}

#[cfg(feature = "server")]
fn listen_hint(listen: &Listen, error: &std::io::Error) -> String {
    let Listen::Tcp(address) = listen else { return unix_hint(error) };
    match error.kind() {
        std::io::ErrorKind::AddrInUse => {
            format!(
                "; another program uses this port: choose another, as --listen {0}:PORT, or listen = \"{0}:PORT\" in the \
                 configuration file",
                address.ip()
            )
        }
        std::io::ErrorKind::PermissionDenied => {
            "; ports below 1024 need privileges: choose a higher one".to_owned()
        }
        std::io::ErrorKind::AddrNotAvailable => {
            "; this machine does not have this address: 0.0.0.0 opens all of its addresses".to_owned()
        }
        _ => String::new(),
    }
}

#[cfg(feature = "server")]
fn unix_hint(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::AddrInUse => "; another server listens there: stop it, or choose another path",
        std::io::ErrorKind::AlreadyExists => "; the file there is not a socket: choose another path",
        std::io::ErrorKind::NotFound => "; its folder does not exist: create it",
        std::io::ErrorKind::PermissionDenied => {
            "; this account may not write in its folder: choose another path"
        }
        std::io::ErrorKind::InvalidInput => "; the path is too long: the system allows about 100 bytes",
        _ => "",
    }
    .to_owned()
}
