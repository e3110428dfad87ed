//! The server under test, on a free port, and a client for it.

use std::net::SocketAddr;

use framecast::{App, CancellationToken, Drivers, Events, Settings};
use framecast_testkit::soon;
use framecast_tls::system_tls;
use reqwest::header::HeaderMap;
use reqwest::{Body, Client, RequestBuilder, redirect};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

/// A running server with the cameras `front` and `yard`.
pub struct HistoryServer {
    /// Where the server listens.
    pub address: SocketAddr,
    /// A client of the test.
    pub client: Client,
    /// Where the test sends events of its own.
    pub events: Events,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

/// A complete answer.
#[derive(Debug)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The header lines.
    pub headers: HeaderMap,
    /// The body as sent, not decompressed.
    pub body: Vec<u8>,
}

impl Answer {
    /// Returns the body as text.
    pub fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    /// Returns the body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    /// Returns the value of the first header called `name`; empty if there is none.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(|value| value.to_str().unwrap()).unwrap_or_default()
    }

    /// The message of a refusal.
    pub fn error(&self) -> String {
        self.json()["error"].as_str().unwrap().to_owned()
    }
}

/// A client that does not decompress answers.
pub fn client() -> Client {
    let builder = Client::builder().tls_backend_preconfigured(system_tls());
    builder.redirect(redirect::Policy::none()).no_proxy().build().unwrap()
}

/// The answer to `request`.
pub async fn ask(request: RequestBuilder) -> reqwest::Result<Answer> {
    let response = request.send().await?;
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    Ok(Answer { status, headers, body: response.bytes().await?.into() })
}

/// A mark's label in JSON.
pub fn labelled(label: &str) -> String {
    json!({ "label": label }).to_string()
}

impl HistoryServer {
    /// A server with the settings that it has by itself.
    pub async fn start() -> Self {
        Self::with(|_| {}).await
    }

    /// A server with `change` made to its settings.
    pub async fn with(change: impl FnOnce(&mut Settings)) -> Self {
        const QUICK: &str = "emulated:?fps=20&size=64x64";
        let mut settings = Settings::with_cameras([("front", QUICK), ("yard", QUICK)]).unwrap();
        settings.listen.set_port(0);
        change(&mut settings);
        let app = App::start(settings, Drivers::builtin()).await.unwrap();
        let (address, events) = (app.local_addr().unwrap(), app.hub().events().clone());
        let stop = CancellationToken::new();
        let task = tokio::spawn(app.run(stop.clone()));
        Self { address, client: client(), events, stop, task }
    }

    /// Returns the URL of `path` at this server.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Requests `path` and returns the answer.
    pub async fn get(&self, path: &str) -> Answer {
        soon(path, ask(self.client.get(self.url(path)))).await.unwrap()
    }

    /// Requests `path`, whose answer must be 200, and returns its JSON.
    pub async fn json(&self, path: &str) -> Value {
        let answer = self.get(path).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        answer.json()
    }

    /// Posts `body` as a mark.
    pub async fn post(&self, body: impl Into<Body>) -> Answer {
        soon("a mark", ask(self.client.post(self.url("/api/events")).body(body))).await.unwrap()
    }

    /// Sets a mark, which the history stores; returns its id.
    pub async fn mark(&self, label: &str) -> i64 {
        let answer = self.post(labelled(label)).await;
        assert_eq!(answer.status, 201, "{}", answer.text());
        answer.json()["id"].as_i64().unwrap()
    }

    /// The value in a line of `/metrics`.
    pub async fn metric(&self, name: &str) -> f64 {
        let text = self.get("/metrics").await.text();
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {name} in {text}")).parse().unwrap()
    }

    /// Ends the server and waits for its end.
    pub async fn stop(self) {
        self.stop.cancel();
        soon("the server ends", self.task).await.unwrap();
    }
}
