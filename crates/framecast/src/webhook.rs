//! Webhooks: sends events to URLs by HTTP POST. The requests are signed if the user has set a key. An event that the
//! receiver does not accept is sent again.
//!
//! Each webhook has its own position in the history, and sends the events since the start of the server. When a
//! receiver was unreachable and is back, the webhook sends the missed events from the history, in order. The bodies of
//! the requests are the JSON objects of `/api/events/live`.

use std::time::Duration;

use framecast_history::{Filter, History, Listener, Notification, StoredEvent};
use framecast_media::{Backoff, Secret};
use framecast_tls::system_tls;
use hmac::{Hmac, KeyInit, Mac};
use reqwest::{Client, StatusCode, redirect};
use sha2::Sha256;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, info, warn};
use url::Url;

use crate::config::{ConfigError, WebhookSettings};
use crate::error_chain::one_line;

/// How long a webhook waits for the receiver's response.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The first and the longest delay before a webhook sends an event again.
const RETRY_DELAYS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// How long a webhook tries to send one event before it drops the event and continues with the next event.
const GIVE_UP_AFTER: Duration = Duration::from_secs(3600);

/// How long, at shutdown, webhooks can still send events, including the event about the server's end.
const FLUSH_TIMEOUT: Duration = Duration::from_millis(700);

/// One webhook, with the HTTP client that sends its events.
struct Webhook {
    /// The webhook's position in the configuration, from 1.
    number: usize,
    url: Url,
    client: Client,
    secret: Option<Secret>,
}

/// The result of one attempt to send an event.
enum DeliveryOutcome {
    Accepted,
    /// The receiver refused the event for good, so the webhook does not send it again.
    Refused(StatusCode),
    Failed(String),
}

/// Starts one task per webhook. Each task sends the events that occur from now on, until `shutdown` is cancelled.
///
/// # Errors
/// The HTTP client cannot be set up.
pub(crate) fn start(
    webhooks: &[WebhookSettings],
    secret: Option<&Secret>,
    history: &History,
    tasks: &TaskTracker,
    shutdown: &CancellationToken,
) -> Result<(), ConfigError> {
    if webhooks.is_empty() {
        return Ok(());
    }
    let client = client()
        .map_err(|error| ConfigError::new(format!("cannot set up the HTTP client for webhooks: {error}")))?;
    for (number, webhook) in (1..).zip(webhooks) {
        let WebhookSettings { url, kinds, cameras } = webhook;
        let filter = Filter { kinds: kinds.clone(), cameras: cameras.clone(), ..Filter::default() };
        let webhook = Webhook { number, url: url.clone(), client: client.clone(), secret: secret.cloned() };
        let (listener, shutdown) = (history.listen(filter, None), shutdown.clone());
        tasks.spawn(async move {
            tokio::select! {
                () = webhook.run(listener) => {}
                () = shutdown_elapsed(&shutdown) => {}
            }
        });
    }
    Ok(())
}

fn client() -> reqwest::Result<Client> {
    Client::builder()
        .tls_backend_preconfigured(system_tls())
        .user_agent(concat!("framecast/", env!("CARGO_PKG_VERSION")))
        .redirect(redirect::Policy::none())
        .timeout(TIMEOUT)
        .build()
}

/// Waits until `shutdown` is cancelled, and then for [`FLUSH_TIMEOUT`], during which webhooks send the last events.
async fn shutdown_elapsed(shutdown: &CancellationToken) {
    shutdown.cancelled().await;
    sleep(FLUSH_TIMEOUT).await;
}

impl Webhook {
    async fn run(self, mut listener: Listener) {
        while let Some(heard) = listener.next().await {
            match heard {
                Notification::Event(stored) => self.send(&stored).await,
                Notification::Missed => {
                    warn!(
                        host = self.host(),
                        "a webhook fell too far behind; the server dropped events for this webhook"
                    )
                }
            }
        }
    }

    /// Sends one event repeatedly until the receiver accepts or refuses it, or until [`GIVE_UP_AFTER`] has passed.
    async fn send(&self, stored: &StoredEvent) {
        let (begun, mut has_warned) = (Instant::now(), false);
        let mut backoff = Backoff::new(RETRY_DELAYS.0, RETRY_DELAYS.1);
        let (host, id) = (self.host(), stored.entry.id);
        loop {
            let problem = match self.send_once(stored).await {
                DeliveryOutcome::Accepted if has_warned => {
                    return info!(host, "the webhook accepts events again");
                }
                DeliveryOutcome::Accepted => return debug!(host, id, "sent"),
                DeliveryOutcome::Refused(status) => {
                    return warn!(host, id, %status, "the webhook refused an event; the server does not send it again");
                }
                DeliveryOutcome::Failed(problem) => problem,
            };
            if begun.elapsed() >= GIVE_UP_AFTER {
                return warn!(
                    host,
                    id,
                    problem,
                    "the server tried for an hour to send an event to the webhook, and dropped it"
                );
            }
            if !has_warned {
                warn!(
                    host,
                    problem, "the webhook did not accept an event; the server retries each event for an hour"
                );
                has_warned = true;
            }
            sleep(backoff.next_delay(fastrand::f64())).await;
        }
    }

    async fn send_once(&self, stored: &StoredEvent) -> DeliveryOutcome {
        let request = self.client.post(self.url.clone()).body(stored.json().clone());
        let mut request = request
            .header("Content-Type", "application/json")
            .header("X-Framecast-Event", stored.entry.kind.as_str())
            .header("X-Framecast-Delivery", stored.entry.id);
        if let Some(secret) = &self.secret {
            request = request.header("X-Framecast-Signature", signature(secret, stored.json()));
        }
        match request.send().await {
            Ok(response) => classify(response.status()),
            Err(error) => DeliveryOutcome::Failed(describe(error)),
        }
    }

    /// Returns the host and port of the URL and the webhook's number, for the log. The URL's path is left out, because
    /// it can contain a secret.
    fn host(&self) -> String {
        let (host, port) = (self.url.host_str().unwrap_or_default(), self.url.port_or_known_default());
        format!("{host}:{} (webhook {})", port.unwrap_or_default(), self.number)
    }
}

/// Returns the reason for `error` in one sentence. The error's own text names each layer of the HTTP client that
/// failed.
fn describe(error: reqwest::Error) -> String {
    if error.is_timeout() {
        return format!("the webhook did not answer within {} s", TIMEOUT.as_secs());
    }
    let error = error.without_url();
    let what = if error.is_connect() { "cannot connect" } else { "the request failed" };
    let mut root: &(dyn std::error::Error + 'static) = &error;
    while let Some(source) = root.source() {
        root = source;
    }
    format!("{what}: {}", one_line(root))
}

fn classify(status: StatusCode) -> DeliveryOutcome {
    let is_busy =
        matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY | StatusCode::TOO_MANY_REQUESTS);
    match status {
        status if status.is_success() => DeliveryOutcome::Accepted,
        status if status.is_client_error() && !is_busy => DeliveryOutcome::Refused(status),
        status => DeliveryOutcome::Failed(format!("the webhook answered {status}")),
    }
}

/// Returns the value of the header `X-Framecast-Signature`: `sha256=` and the HMAC-SHA256 of `body` in hexadecimal.
fn signature(secret: &Secret, body: &[u8]) -> String {
    let mut mac =
        Hmac::<Sha256>::new_from_slice(secret.expose().as_bytes()).expect("a key of any length is taken");
    mac.update(body);
    let digest = mac.finalize().into_bytes();
    let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256={hex}")
}

#[cfg(test)]
mod tests {
    #![warn(clippy::disallowed_methods)]

    use super::*;

    #[test]
    fn a_body_is_signed_as_the_standard_has_it() {
        // RFC 4231, test case 2.
        let signed = signature(&Secret::new("Jefe"), b"what do ya want for nothing?");
        assert_eq!(signed, "sha256=5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    }

    #[tokio::test]
    async fn a_broken_connection_is_told_without_the_layers_of_the_library() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}/hook?token=secret", listener.local_addr().unwrap());
        let client = client().unwrap();
        let send = || client.post(&address).body("{}").send();
        let (refusal, _) = tokio::join!(send(), async { drop(listener.accept().await.unwrap()) });
        let broken = describe(refusal.unwrap_err());
        assert!(broken.starts_with("the request failed: ") && !broken.contains("secret"), "{broken}");
        drop(listener);
        let refused = describe(send().await.unwrap_err());
        assert_eq!(refused, "cannot connect: Connection refused (os error 111)");
    }

    #[test]
    fn what_may_pass_is_sent_again() {
        for (status, again) in
            [(200, false), (204, false), (404, false), (301, true), (408, true), (429, true), (503, true)]
        {
            let sent = classify(StatusCode::from_u16(status).unwrap());
            assert_eq!(matches!(sent, DeliveryOutcome::Failed(_)), again, "{status}");
        }
    }
}
