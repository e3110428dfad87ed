//! The address or the UNIX socket on which the server listens.

use std::env;
use std::ffi::OsString;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use super::config_messages::redacted;

/// The prefix of a UNIX socket's path.
const UNIX: &str = "unix:";

/// The address or the UNIX socket on which the server listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listen {
    /// An IP address and a port; with port 0, the system picks a free port.
    Tcp(SocketAddr),
    /// The path of a UNIX socket, for programs on this machine, such as a proxy.
    Unix(PathBuf),
}

impl Listen {
    /// Parses an address: `127.0.0.1:5000`, `[::]:5000`, `localhost:5000`, `:5000` for all addresses, or
    /// `unix:/run/framecast.sock`. Refuses host names other than `localhost`, because resolving a name would need the
    /// network.
    ///
    /// # Errors
    /// The text has none of these forms. The message suggests what the user probably meant.
    pub fn parse(text: &str) -> Result<Self, String> {
        match text.strip_prefix(UNIX) {
            Some("") => Err(format!("`{text}` names no file; write it like unix:/run/framecast.sock")),
            Some(path) => socket_path(path, env::var_os("HOME")).map(Self::Unix),
            None => parse_address(text).map(Self::Tcp),
        }
    }

    /// Returns the address and port; `None` for a UNIX socket.
    pub fn address(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(address) => Some(*address),
            Self::Unix(_) => None,
        }
    }

    /// Returns the path of the UNIX socket; `None` for an address and port.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Tcp(_) => None,
            Self::Unix(path) => Some(path),
        }
    }

    /// Returns whether only this machine can connect.
    pub fn is_local(&self) -> bool {
        self.address().is_none_or(|address| address.ip().is_loopback())
    }

    /// Replaces the port. Has no effect on a UNIX socket, which has no port.
    pub fn set_port(&mut self, port: u16) {
        if let Self::Tcp(address) = self {
            address.set_port(port);
        }
    }
}

impl From<SocketAddr> for Listen {
    fn from(address: SocketAddr) -> Self {
        Self::Tcp(address)
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "{UNIX}{}", path.display()),
        }
    }
}

/// Parses the path of a UNIX socket. A `~` at its start stands for `home`.
fn socket_path(text: &str, home: Option<OsString>) -> Result<PathBuf, String> {
    let path = match text.strip_prefix("~/") {
        None => PathBuf::from(text),
        Some(rest) => {
            let home = home.filter(|home| !home.is_empty());
            let home = home.ok_or("the path begins with `~`, but HOME is not set: write the whole path")?;
            Path::new(&home).join(rest)
        }
    };
    if text.contains('\0') {
        return Err("a path cannot contain a NUL character".to_owned());
    }
    if socket2::SockAddr::unix(&path).is_err() {
        let shown = path.display();
        return Err(format!("`{shown}` is too long for a UNIX socket: the system allows about 100 bytes"));
    }
    Ok(path)
}

fn parse_address(text: &str) -> Result<SocketAddr, String> {
    let full = match text.strip_prefix("localhost:") {
        Some(port) => format!("127.0.0.1:{port}"),
        None if text.starts_with(':') => format!("0.0.0.0{text}"),
        None => text.to_owned(),
    };
    full.parse().map_err(|_| {
        let hint = if text.parse::<u16>().is_ok() {
            format!("did you mean 127.0.0.1:{text}, or 0.0.0.0:{text} for the network?")
        } else if text.parse::<Ipv4Addr>().is_ok() {
            format!("it needs a port: {text}:5000")
        } else if text.starts_with(['/', '.']) {
            format!("did you mean the UNIX socket unix:{text}?")
        } else if text.rsplit_once(':').is_some_and(|(_, port)| is_too_large(port)) {
            "the highest port is 65535".to_owned()
        } else if text
            .split_once(':')
            .is_some_and(|(name, port)| is_name(name) && port.parse::<u16>().is_ok())
        {
            "the host must be an IP address or `localhost`; 0.0.0.0 opens all addresses of this machine"
                .to_owned()
        } else {
            "write it like 127.0.0.1:5000, or 0.0.0.0:5000 for the network".to_owned()
        };
        format!("`{}` is not an address to listen on; {hint}", redacted(text))
    })
}

/// Returns whether the text `port` is a number that is too large for a port.
fn is_too_large(port: &str) -> bool {
    !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_err()
}

fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.".contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_to_listen_on_are_read_without_the_network() {
        for (text, address) in [
            ("127.0.0.1:5000", "127.0.0.1:5000"),
            ("localhost:81", "127.0.0.1:81"),
            (":5000", "0.0.0.0:5000"),
            ("[::]:5000", "[::]:5000"),
            ("unix:/run/framecast.sock", "unix:/run/framecast.sock"),
        ] {
            assert_eq!(Listen::parse(text).unwrap().to_string(), address);
        }
        for text in ["", "5000", "localhost", "cam.example:5000", "127.0.0.1", "127.0.0.1:99999", "::1:5000"]
        {
            assert!(Listen::parse(text).unwrap_err().starts_with(&format!("`{text}` is not an address")));
        }
        assert!(
            Listen::parse("/run/x.sock")
                .unwrap_err()
                .ends_with("did you mean the UNIX socket unix:/run/x.sock?")
        );
        assert!(Listen::parse("unix:").is_err() && Listen::parse("unix:/a\0b").is_err());
        let told = |text: &str| Listen::parse(text).unwrap_err();
        assert!(told("127.0.0.1:99999").ends_with("the highest port is 65535"));
        assert!(told("nosuchhost:5000").contains("IP address or `localhost`"));
        let long = format!("unix:/{}", "x".repeat(120));
        assert!(Listen::parse(&long).unwrap_err().contains("too long for a UNIX socket"));
    }

    #[test]
    fn a_tilde_before_the_path_of_a_socket_is_the_home_folder() {
        let read = |text| socket_path(text, Some("/h".into()));
        assert_eq!(read("~/http.sock").unwrap(), Path::new("/h/http.sock"));
        assert_eq!(read("~http.sock").unwrap(), Path::new("~http.sock"));
        assert!(socket_path("~/http.sock", None).unwrap_err().contains("HOME is not set"));
    }

    #[test]
    fn only_loopback_and_unix_sockets_are_local() {
        for (text, is_local) in [("127.0.0.1:1", true), ("[::1]:1", true), ("unix:x", true), (":1", false)] {
            assert_eq!(Listen::parse(text).unwrap().is_local(), is_local, "{text}");
        }
    }
}
