//! The real program with the cameras of a test, and its reports about them.

use std::net::SocketAddr;

use framecast_testkit::blocking::get;
use serde_json::Value;
use tempfile::TempDir;

use crate::program::{Running, framecast};

/// A running program. Dropping this value ends the program and removes its state.
pub struct Site {
    /// The program.
    pub program: Running,
    /// Where the program listens.
    pub address: SocketAddr,
    _folder: TempDir,
}

impl Site {
    /// The program with these cameras: names, sources and further lines of their tables.
    pub fn start<'a>(cameras: impl IntoIterator<Item = (&'a str, String, &'a str)>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut text = "listen = \"127.0.0.1:0\"\n".to_owned();
        for (name, source, more) in cameras {
            text.push_str(&format!("[[camera]]\nname = \"{name}\"\nsource = '{source}'\n{more}\n"));
        }
        std::fs::write(folder.path().join("site.toml"), text).unwrap();
        let mut command = framecast(&["--config", "site.toml"]);
        command.current_dir(folder.path()).env("XDG_STATE_HOME", folder.path());
        let mut program = Running::start(&mut command);
        let address = program.address();
        Self { program, address, _folder: folder }
    }
}

/// The answer of `/api/cameras/NAME`.
pub fn camera(address: SocketAddr, name: &str) -> Value {
    json(address, &format!("/api/cameras/{name}"))
}

/// The texts of the `lost` events of one camera.
pub fn lost(address: SocketAddr, name: &str) -> Vec<String> {
    let page = json(address, &format!("/api/events?kind=lost,stalled&camera={name}"));
    let events = page["events"].as_array().unwrap();
    events.iter().map(|event| event["text"].as_str().unwrap_or_default().to_owned()).collect()
}

/// The JSON at `path`.
pub fn json(address: SocketAddr, path: &str) -> Value {
    let answer = get(address, path);
    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    serde_json::from_slice(&answer.body).unwrap()
}
