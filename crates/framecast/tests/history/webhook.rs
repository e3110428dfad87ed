//! Webhooks: signed, in order, and repeated until the receiver accepts them.

use framecast::{Secret, WebhookSettings};
use framecast_testkit::soon;
use framecast_testkit_server::history_server::HistoryServer;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::Value;
use sha2::Sha256;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;

const SECRET: &str = "a secret of both";

/// A receiver of events.
struct WebhookServer(TcpListener);

/// A received request.
struct Delivery {
    head: Vec<String>,
    body: Vec<u8>,
}

impl Delivery {
    fn header(&self, name: &str) -> Option<&str> {
        self.head.iter().find_map(|line| {
            let (known, value) = line.split_once(':')?;
            known.eq_ignore_ascii_case(name).then_some(value.trim())
        })
    }

    fn event(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

impl WebhookServer {
    async fn listen() -> Self {
        Self(TcpListener::bind("127.0.0.1:0").await.unwrap())
    }

    fn settings(&self) -> WebhookSettings {
        let url = format!("http://{}/hooks/cameras?token=t", self.0.local_addr().unwrap());
        let mut settings = WebhookSettings::new(url.parse().unwrap());
        settings.kinds = vec![framecast::EventKind::Mark];
        settings
    }

    /// Reads the next request and answers it with `status`.
    async fn answer(&self, status: &str) -> Delivery {
        let (stream, _) = soon("an event is sent", self.0.accept()).await.unwrap();
        let mut stream = BufReader::new(stream);
        let mut head = Vec::new();
        loop {
            let mut line = String::new();
            stream.read_line(&mut line).await.unwrap();
            if line == "\r\n" {
                break;
            }
            head.push(line.trim_end().to_owned());
        }
        let mut delivery = Delivery { head, body: Vec::new() };
        let len = delivery.header("content-length").unwrap().parse().unwrap();
        delivery.body.resize(len, 0);
        stream.read_exact(&mut delivery.body).await.unwrap();
        let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        stream.write_all(answer.as_bytes()).await.unwrap();
        delivery
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_sent_signed_in_their_order_and_again_until_they_are_taken() {
    let hook = WebhookServer::listen().await;
    let server = HistoryServer::with(|settings| {
        settings.webhooks = vec![hook.settings()];
        settings.webhook_secret = Some(Secret::new(SECRET));
    })
    .await;
    let mut ids = Vec::new();
    for label in ["first", "<second> é", "third", "fourth"] {
        ids.push(server.mark(label).await);
    }
    // The webhook repeats the second event after a failure, and does not repeat the third after a refusal.
    for (n, status) in [
        (0, "204 No Content"),
        (1, "503 Service Unavailable"),
        (1, "200 OK"),
        (2, "404 Not Found"),
        (3, "200 OK"),
    ] {
        let delivery = hook.answer(status).await;
        assert_eq!(delivery.head[0], "POST /hooks/cameras?token=t HTTP/1.1");
        let id = ids[n].to_string();
        assert_eq!(delivery.header("x-framecast-delivery"), Some(id.as_str()), "{status}");
        assert_eq!(delivery.header("x-framecast-event"), Some("mark"));
        assert_eq!(delivery.header("content-type"), Some("application/json"));
        assert_eq!(delivery.event()["id"], ids[n]);
        let signature = delivery.header("x-framecast-signature").unwrap().strip_prefix("sha256=").unwrap();
        let digits = signature.as_bytes().chunks(2).map(|two| str::from_utf8(two).unwrap());
        let bytes: Vec<u8> = digits.map(|two| u8::from_str_radix(two, 16).unwrap()).collect();
        let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
        mac.update(&delivery.body);
        mac.verify_slice(&bytes).unwrap();
        let kept = server.json("/api/events?kind=mark&order=oldest").await;
        assert_eq!(delivery.event(), kept["events"][n], "what is sent is what is kept");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_is_away_does_not_hold_up_another_and_gets_what_it_missed() {
    let (hook, other) = (WebhookServer::listen().await, WebhookServer::listen().await);
    let away = hook.0.local_addr().unwrap();
    let settings = hook.settings();
    drop(hook);
    let server = HistoryServer::with(|given| given.webhooks = vec![settings, other.settings()]).await;
    let ids = [server.mark("1").await, server.mark("2").await];
    for id in ids {
        let delivery = other.answer("200 OK").await;
        assert_eq!(delivery.event()["id"], id);
        assert_eq!(delivery.header("x-framecast-signature"), None, "there is no secret");
    }
    let back = WebhookServer(TcpListener::bind(away).await.unwrap());
    for id in ids {
        assert_eq!(back.answer("200 OK").await.event()["id"], id);
    }
    server.stop().await;
}
