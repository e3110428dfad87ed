//! The server under test, on a free port, and a client for it.

#![allow(dead_code, reason = "each of the test programs that share this file uses its own part")]

use std::net::SocketAddr;

use framecast::{App, CancellationToken, Drivers, Events, Settings};
use framecast_drivers::system_tls;
use framecast_testkit::soon;
use reqwest::header::HeaderMap;
use reqwest::{Body, Client, RequestBuilder, redirect};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

/// A running server with the cameras `front` and `yard`.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) client: Client,
    /// Where the test sends events of its own.
    pub(crate) events: Events,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

/// A complete answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(|value| value.to_str().unwrap()).unwrap_or_default()
    }

    /// The message of a refusal.
    pub(crate) fn error(&self) -> String {
        self.json()["error"].as_str().unwrap().to_owned()
    }
}

/// A client that does not decompress answers.
pub(crate) fn client() -> Client {
    let builder = Client::builder().tls_backend_preconfigured(system_tls());
    builder.redirect(redirect::Policy::none()).no_proxy().build().unwrap()
}

/// The answer to `request`.
pub(crate) async fn ask(request: RequestBuilder) -> reqwest::Result<Answer> {
    let response = request.send().await?;
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    Ok(Answer { status, headers, body: response.bytes().await?.into() })
}

/// A mark's label in JSON.
pub(crate) fn labelled(label: &str) -> String {
    json!({ "label": label }).to_string()
}

impl Server {
    pub(crate) async fn start() -> Self {
        Self::with(|_| {}).await
    }

    /// A server with `change` made to its settings.
    pub(crate) async fn with(change: impl FnOnce(&mut Settings)) -> Self {
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

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        soon(path, ask(self.client.get(self.url(path)))).await.unwrap()
    }

    pub(crate) async fn json(&self, path: &str) -> Value {
        let answer = self.get(path).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        answer.json()
    }

    /// Posts `body` as a mark.
    pub(crate) async fn post(&self, body: impl Into<Body>) -> Answer {
        soon("a mark", ask(self.client.post(self.url("/api/events")).body(body))).await.unwrap()
    }

    /// Sets a mark, which the history stores; returns its id.
    pub(crate) async fn mark(&self, label: &str) -> i64 {
        let answer = self.post(labelled(label)).await;
        assert_eq!(answer.status, 201, "{}", answer.text());
        answer.json()["id"].as_i64().unwrap()
    }

    /// The value in a line of `/metrics`.
    pub(crate) async fn metric(&self, name: &str) -> f64 {
        let text = self.get("/metrics").await.text();
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {name} in {text}")).parse().unwrap()
    }

    /// Ends the server and waits for its end.
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        soon("the server ends", self.task).await.unwrap();
    }
}
