//! The server over real sockets: the answer of each path, and which clients get it.
#![allow(clippy::unwrap_used)]

mod addresses;
mod api;
mod auth;
mod bound;
mod compat;
mod connection_limit;
mod controls;
mod cors;
mod devices;
mod guard;
mod head;
mod hidden;
mod live;
mod login_throttle;
mod page;
mod relay;
mod snapshot;
mod stream;
mod viewers;

use std::net::SocketAddr;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use framecast::{App, CancellationToken, Drivers, Settings};
use framecast_testkit::blocking::{Response, get};
use serde_json::Value;

/// Twenty small pictures a second.
const QUICK: &str = "emulated:?fps=20&size=64x64";

/// How long a test waits for an event: far longer than it takes, so that only a hang fails.
const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until `look` finds something, at most for [`PATIENCE`].
fn soon<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < end, "waited in vain: {what}");
        thread::sleep(Duration::from_millis(5));
    }
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
        Self { address: started.recv().unwrap(), shutdown, thread: Some(thread) }
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
        let ended = self.thread.take().map(JoinHandle::join);
        assert!(thread::panicking() || ended.is_none_or(|ended| ended.is_ok()));
    }

    /// Waits until the answer of `path` satisfies `expected`.
    fn until(&self, path: &str, expected: impl Fn(&Value) -> bool) {
        soon(path, || expected(&self.json(path)).then_some(()));
    }

    /// Waits until a field of a camera has this value.
    fn wait_for(&self, camera: &str, field: &str, value: impl Into<Value>) {
        let (path, value) = (format!("/api/cameras/{camera}"), value.into());
        while self.json(&path)[field] != value {
            thread::yield_now();
        }
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
