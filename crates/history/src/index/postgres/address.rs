//! The address of a PostgreSQL database: a URL without a password. The password is given separately.

use std::fmt;
use std::time::Duration;

use framecast_media::Secret;
use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode};

use super::encryption::{self, Encryption, Trust};
use super::tls::Connector;
use crate::Error;

/// How long to wait for a connection to the database, if the address does not contain a time limit of its own.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// What is told of a text that is no address.
const EXAMPLE: &str =
    "this is not the address of a database; write it like this: postgres://user@host:5432/database";

/// The address of a PostgreSQL database. `Display` shows only the scheme, host and port.
#[derive(Clone, PartialEq)]
pub struct Address {
    /// The address without a password.
    config: Box<Config>,
    /// Which certificates of the server are trusted.
    trust: Trust,
    password: Option<Secret>,
    shown: String,
}

impl Address {
    /// Parses `url`, as in `postgres://user@host/database`. `password` is the password of the URL's user.
    ///
    /// # Errors
    /// [`Error::Address`], which says what is wrong, and what a valid address looks like.
    pub fn parse(url: &str, password: Option<Secret>) -> Result<Self, Error> {
        let wrong = |problem: String| Error::Address { problem };
        if !url.contains("://") {
            return Err(wrong(EXAMPLE.to_owned()));
        }
        let (url, encryption) = encryption::take(url).map_err(wrong)?;
        let mut config: Config = url.parse().map_err(|_| wrong(EXAMPLE.to_owned()))?;
        if config.get_password().is_some() {
            let problem = "the address contains a password; remove it and set FRAMECAST_HISTORY_PASSWORD";
            return Err(wrong(problem.to_owned()));
        }
        if config.get_user().is_none_or(str::is_empty) {
            let problem = "the address names no user; write it like this: postgres://user@host/database";
            return Err(wrong(problem.to_owned()));
        }
        if config.get_hosts().is_empty() {
            let problem = "the address names no host; write it like this: postgres://user@host/database, or for a UNIX \
                           socket: postgres://user@/database?host=/run/postgresql";
            return Err(wrong(problem.to_owned()));
        }
        let encryption = for_hosts(config.get_hosts(), encryption).map_err(wrong)?;
        config.ssl_mode(encryption.mode);
        if config.get_application_name().is_none() {
            config.application_name("framecast");
        }
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(CONNECT_TIMEOUT);
        }
        config.keepalives_idle(Duration::from_secs(30)).tcp_user_timeout(Duration::from_secs(20));
        let shown = shown(&config);
        Ok(Self { config: Box::new(config), trust: encryption.trust, password, shown })
    }

    /// Sets the password of the user that the address names.
    pub fn set_password(&mut self, password: Secret) {
        self.password = Some(password);
    }

    /// Returns what makes TLS connections to the database. Reads the certificates of the authorities, which blocks for
    /// some milliseconds.
    pub(super) fn connector(&self) -> Result<Connector, Error> {
        let untrusting = |source| Error::Authorities { place: self.shown.clone(), source };
        Connector::new(&self.trust).map_err(untrusting)
    }

    /// Returns what a client needs to connect, with the password. Not to be kept.
    pub(super) fn config(&self) -> Config {
        let mut config = Config::clone(&self.config);
        if let Some(password) = &self.password {
            config.password(password.expose());
        }
        config
    }
}

/// Returns how connections to `hosts` are encrypted, of which those to UNIX sockets never are.
fn for_hosts(hosts: &[Host], encryption: Encryption) -> Result<Encryption, String> {
    let sockets = hosts.iter().filter(|host| !matches!(host, Host::Tcp(_))).count();
    if sockets == hosts.len() {
        return Ok(Encryption { mode: SslMode::Disable, trust: Trust::Any });
    }
    if sockets > 0 && encryption.mode == SslMode::Require {
        return Err(
            "the address names a UNIX socket beside a host; with this sslmode, name only one of them"
                .to_owned(),
        );
    }
    Ok(encryption)
}

fn shown(config: &Config) -> String {
    let port = config.get_ports().first().copied().unwrap_or(5432);
    match config.get_hosts().first() {
        Some(Host::Tcp(host)) if host.contains(':') => format!("postgres://[{host}]:{port}"),
        Some(Host::Tcp(host)) => format!("postgres://{host}:{port}"),
        #[cfg(unix)]
        Some(Host::Unix(folder)) => format!("postgres:{}", folder.display()),
        None => "postgres:".to_owned(),
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Address({})", self.shown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_shown_as_its_host_and_port() {
        let address =
            Address::parse("postgres://cam@db.lan:5433/site?sslmode=disable", Some(Secret::new("hunter2")))
                .unwrap();
        assert_eq!(address.to_string(), "postgres://db.lan:5433");
        assert!(!format!("{address:?}").contains("hunter2"));
        let socket = Address::parse("postgres://cam@/site?host=/run/postgresql", None).unwrap();
        assert_eq!(socket.to_string(), "postgres:/run/postgresql");
    }

    #[test]
    fn addresses_differ_in_what_they_trust_and_sockets_trust_nobody() {
        let parse = |url: &str| Address::parse(url, None).unwrap();
        let full = "postgres://cam@db/site?sslmode=verify-full";
        assert_ne!(parse(full), parse("postgres://cam@db/site?sslmode=verify-ca"));
        assert_eq!(parse(full), parse("postgres://cam@db/site?sslrootcert=system"));
        let socket = "postgres://cam@/site?host=/run/postgresql";
        assert_eq!(parse(socket), parse(&format!("{socket}&sslmode=verify-full")));
    }

    #[test]
    fn an_address_that_cannot_be_used_is_told_why() {
        for (url, told) in [
            ("postgres://cam:secret@db/site", "history: the address contains a password; remove it"),
            ("postgres://db/site", "history: the address names no user"),
            ("postgres://cam@/site", "history: the address names no host"),
            ("postgres://cam@db/site?sslmode=allow", "history: the address has an unknown sslmode"),
            (
                "postgres://cam@db,%2Frun/site?sslmode=require",
                "history: the address names a UNIX socket beside a host",
            ),
            ("host=db user=cam", "history: this is not the address of a database"),
            ("postgres://cam@db/site?nonsense=1", "history: this is not the address of a database"),
            ("postgres://cam@db:x/site", "history: this is not the address of a database"),
        ] {
            let error = Address::parse(url, None).unwrap_err().to_string();
            assert!(error.starts_with(told), "{url}: {error}");
            assert!(!error.contains("secret"));
        }
    }
}
