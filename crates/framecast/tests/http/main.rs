//! The server over real sockets: the answer of each path, and which clients get it.
#![allow(clippy::unwrap_used)]
#![warn(clippy::disallowed_methods)]

mod addresses;
mod api;
mod auth;
mod bound;
mod compat;
mod connection_limit;
mod controls;
mod cors;
mod devices;
mod go2rtc;
mod guard;
mod head;
mod health;
mod hidden;
mod live;
mod login_throttle;
mod openapi;
mod page;
mod relay;
mod snapshot;
mod stream;
mod viewers;

use std::net::SocketAddr;
use std::thread::{self, JoinHandle};

use framecast::{App, CancellationToken, Drivers, Settings};
use framecast_testkit::blocking::{Response, get, joined, received, until};
use serde_json::Value;

/// Twenty small pictures a second.
const QUICK: &str = "emulated:?fps=20&size=64x64";

/// Waits until `look` finds something.
fn soon<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let mut found = None;
    until(what, || {
        found = look();
        found.is_some()
    });
    found.unwrap()
}

/// A server on a free port, on its own thread. Dropping this value ends the server.
struct Server {
    address: SocketAddr,
    shutdown: CancellationToken,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// A server with the camera `front`, and `change` made to its settings.
    fn with(change: impl FnOnce(&mut Settings)) -> Self {
        let mut settings = Settings::with_cameras([("front", QUICK)]).unwrap();
        change(&mut settings);
        Self::start(settings, Drivers::builtin())
    }

    fn start(mut settings: Settings, drivers: Drivers) -> Self {
        settings.listen.set_port(0);
        let (shutdown, (sender, started)) = (CancellationToken::new(), std::sync::mpsc::channel());
        let token = shutdown.clone();
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let app = App::start(settings, drivers).await.unwrap();
                sender.send(app.local_addr().unwrap()).unwrap();
                app.run(token).await;
            });
        });
        Self { address: received("the server starts", &started).unwrap(), shutdown, thread: Some(thread) }
    }

    fn get(&self, path: &str) -> Response {
        get(self.address, path)
    }

    fn ask(&self, request: &str, headers: &[(&str, &str)]) -> Response {
        framecast_testkit::blocking::send_request(self.address, request, headers)
    }

    fn json(&self, path: &str) -> Value {
        serde_json::from_slice(&self.get(path).body).unwrap()
    }

    /// Ends the server and waits for its end.
    fn end(&mut self) {
        self.shutdown.cancel();
        if let Some(thread) = self.thread.take().filter(|_| !thread::panicking()) {
            joined("the server ends", thread);
        }
    }

    /// Waits until the answer of `path` satisfies `expected`.
    fn until(&self, path: &str, expected: impl Fn(&Value) -> bool) {
        soon(path, || expected(&self.json(path)).then_some(()));
    }

    /// Waits until a field of a camera has this value.
    fn wait_for(&self, camera: &str, field: &str, value: impl Into<Value>) {
        let (path, value) = (format!("/api/cameras/{camera}"), value.into());
        until(&format!("{camera}'s {field} is {value}"), || self.json(&path)[field] == value);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end();
    }
}

/// The message of a refusal, which is always JSON.
fn error(answer: &Response) -> String {
    assert_eq!(answer.header("content-type"), Some("application/json"), "{answer:?}");
    let body: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(body.as_object().unwrap().len(), 1);
    body["error"].as_str().unwrap().to_owned()
}
