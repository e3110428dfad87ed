//! What the log says once the server listens: where to look, and how to make the server reachable from other machines.
//! The advice names the places where the person who started the server sets things: its configuration file, or the
//! command line.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use framecast::{App, Listen, ListeningSocket};
use tracing::{info, warn};

use super::config_file::variables_file;

/// Where the person who started the server sets things.
#[derive(Debug, Default)]
pub(super) struct Places {
    /// The configuration file; `None` if the command line has all settings.
    file: Option<PathBuf>,
    /// The file with the environment of the service; `None` if there is none.
    variables: Option<PathBuf>,
}

impl Places {
    /// Returns the places for a server whose configuration file is `file`.
    pub(super) fn of(file: Option<&Path>) -> Self {
        Self { file: file.map(Path::to_owned), variables: file.and_then(variables_file) }
    }

    /// Returns what to do so that other machines can watch. `socket` is the present address.
    fn to_open(&self, socket: SocketAddr, has_account: bool) -> String {
        let port = socket.port();
        match (&self.file, has_account) {
            (None, true) => format!("use --listen 0.0.0.0:{port}"),
            (None, false) => {
                format!("use --listen 0.0.0.0:{port} and a password: FRAMECAST_PASSWORD=… --user NAME")
            }
            (Some(file), true) => {
                let file = file.display();
                format!("set listen = \"0.0.0.0:{port}\" in {file}, or put a proxy in front of it")
            }
            (Some(file), false) => {
                let file = file.display();
                format!("set listen = \"0.0.0.0:{port}\" in {file}, and {}", self.to_require_password())
            }
        }
    }

    /// Returns what to do so that the server asks for a password.
    fn to_require_password(&self) -> String {
        match (&self.file, &self.variables) {
            (None, _) => "set FRAMECAST_PASSWORD and use --user NAME".to_owned(),
            (Some(file), None) => {
                format!("set user = \"NAME\" in {} and FRAMECAST_PASSWORD in the environment", file.display())
            }
            (Some(file), Some(variables)) => {
                let (file, variables) = (file.display(), variables.display());
                format!(
                    "set user = \"NAME\" in {file} and FRAMECAST_PASSWORD in {variables}; then restart it"
                )
            }
        }
    }
}

/// Logs the URL of the server's page, and how to make the server reachable from other machines.
pub(super) fn announce(app: &App, has_account: bool, places: &Places) {
    for socket in app.sockets() {
        match socket.listens_on() {
            Ok(Listen::Tcp(address)) => announce_address(address, socket.is_given(), has_account, places),
            Ok(Listen::Unix(path)) => {
                let path = path.display();
                info!("listening on unix:{path}; try curl --unix-socket {path} http://localhost/api/cameras");
            }
            Err(error) => warn!("the address of a listening socket is not known: {error}"),
        }
    }
    let is_local = |socket: &ListeningSocket| socket.listens_on().is_ok_and(|address| address.is_local());
    if !has_account && !app.sockets().iter().all(is_local) {
        let advice = places.to_require_password();
        warn!("anyone who can reach this machine can watch: to require a password, {advice}");
    }
}

fn announce_address(address: SocketAddr, is_given: bool, has_account: bool, places: &Places) {
    if address.ip().is_unspecified() {
        let host = rustix::system::uname();
        let host = host.nodename().to_string_lossy().into_owned();
        info!("listening on {address}; open http://localhost:{0}/ or http://{host}:{0}/", address.port());
    } else {
        info!("listening on {address}; open http://{address}/");
    }
    // The program that gave the socket decides about its address.
    if address.ip().is_loopback() && !is_given {
        let advice = places.to_open(address, has_account);
        info!("only this machine can watch; to open the server to the network, {advice}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_advice_names_the_place_where_the_user_sets_things() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("site.toml");
        let address = "127.0.0.1:5000".parse().unwrap();
        let alone = Places::of(None);
        assert_eq!(alone.to_open(address, true), "use --listen 0.0.0.0:5000");
        assert!(alone.to_require_password().contains("--user NAME"));
        let by_file = Places::of(Some(&file));
        let (opened, protected) = (by_file.to_open(address, false), by_file.to_require_password());
        assert!(opened.starts_with(&format!("set listen = \"0.0.0.0:5000\" in {}, and", file.display())));
        assert!(opened.ends_with(&protected) && protected.ends_with("in the environment"), "{opened}");
        let variables = folder.path().join("framecast.env");
        std::fs::write(&variables, "").unwrap();
        let of_service = Places::of(Some(&file)).to_require_password();
        assert!(
            of_service.contains(&format!("FRAMECAST_PASSWORD in {};", variables.display())),
            "{of_service}"
        );
    }
}
