//! A client of `/api/events/live`: Server-Sent Events, read as they come.

use framecast_testkit::soon;
use reqwest::{RequestBuilder, Response};
use serde_json::Value;

/// A listener. Dropping this value cuts its connection.
pub struct EventClient {
    response: Response,
    bytes: Vec<u8>,
}

impl EventClient {
    /// Sends `request`, whose answer must be 200.
    pub async fn open(request: RequestBuilder) -> Self {
        let response = soon("an answer", request.send()).await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        assert_eq!(response.headers()["cache-control"], "no-store");
        Self { response, bytes: Vec::new() }
    }

    /// The text up to the next empty line; `None` at the end.
    pub async fn piece(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.bytes.windows(2).position(|two| two == b"\n\n") {
                let piece = self.bytes.drain(..end + 2).take(end).collect();
                return Some(String::from_utf8(piece).unwrap());
            }
            let bytes = self.response.chunk().await.unwrap()?;
            self.bytes.extend_from_slice(&bytes);
        }
    }

    /// The next event, whose id must be that of its message; `None` at the end.
    pub async fn next(&mut self) -> Option<Value> {
        soon("an event", async {
            loop {
                let piece = self.piece().await?;
                let Some(message) = piece.strip_prefix("id: ") else {
                    assert!(piece == ":" || piece == "retry: 1000", "{piece}");
                    continue;
                };
                let (id, data) = message.split_once("\ndata: ").unwrap();
                let event: Value = serde_json::from_str(data).unwrap();
                assert_eq!(event["id"].to_string(), id);
                return Some(event);
            }
        })
        .await
    }
}
