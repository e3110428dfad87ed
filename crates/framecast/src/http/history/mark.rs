//! `POST /api/events`: a mark that a person or a program sets.

use std::time::{Duration, SystemTime};

use axum::body::{Body, to_bytes};
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use framecast_history::{Entry, NotKept, TEXT_CHARS};
use framecast_hub::{Event, EventKind};
use framecast_outputs::Refusal;
use serde::Deserialize;
use tokio::time::timeout;

use crate::http::Context;
use crate::http::api::json;

/// The bound on a request's body: a label whose every character is escaped fits.
const MAX_BODY_BYTES: usize = 16 << 10;

/// How long a client may take to send its label.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a mark waits for the database before it is answered that it waits.
const WRITE_TIMEOUT: Duration = Duration::from_secs(2);

/// A mark as it is sent.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Mark {
    label: String,
    camera: Option<String>,
}

pub(super) async fn options() -> impl IntoResponse {
    (StatusCode::NO_CONTENT, [(header::ALLOW, "GET, HEAD, POST, OPTIONS")])
}

/// Sets a mark: 201 once it is written, 202 where it waits for the database.
pub(super) async fn post(State(context): State<Context>, body: Body) -> Result<Response, Refusal> {
    let Mark { label, camera } = read(body).await?;
    check(&label)?;
    let mut event = Event::new(EventKind::Mark, SystemTime::now()).saying(label);
    if let Some(name) = camera {
        context.camera(&name).map_err(|refusal| Refusal { status: StatusCode::BAD_REQUEST, ..refusal })?;
        event = event.of(name);
    }
    let not_kept = |error: NotKept| Refusal {
        status: StatusCode::SERVICE_UNAVAILABLE,
        message: format!("not marked: {error}"),
    };
    let mut recorded = context.history.history.record(event).map_err(not_kept)?;
    let status = match timeout(WRITE_TIMEOUT, recorded.written()).await {
        Ok(true) => StatusCode::CREATED,
        Ok(false) => {
            let message = "not marked: the server ends".to_owned();
            return Err(Refusal { status: StatusCode::SERVICE_UNAVAILABLE, message });
        }
        Err(_) => StatusCode::ACCEPTED,
    };
    let entry: &Entry = &recorded.kept.entry;
    let mut response = json(entry);
    *response.status_mut() = status;
    Ok(response)
}

async fn read(body: Body) -> Result<Mark, Refusal> {
    let bad = |status, message: String| Err(Refusal { status, message });
    let bytes = match timeout(BODY_TIMEOUT, to_bytes(body, MAX_BODY_BYTES)).await {
        Ok(Ok(bytes)) => bytes,
        Ok(Err(_)) => {
            let message =
                format!("a mark has at most {MAX_BODY_BYTES} bytes, and its label {TEXT_CHARS} characters");
            return bad(StatusCode::PAYLOAD_TOO_LARGE, message);
        }
        Err(_) => return bad(StatusCode::REQUEST_TIMEOUT, "the mark did not come in time".to_owned()),
    };
    let wrong = |problem: String| {
        let message =
            format!(r#"{problem}; a mark is an object, as in {{"label": "parcel", "camera": "front"}}"#);
        bad(StatusCode::BAD_REQUEST, message)
    };
    // A list of the values would be read as one, too.
    if bytes.trim_ascii_start().starts_with(b"[") {
        return wrong("a list is no object".to_owned());
    }
    serde_json::from_slice(&bytes).or_else(|error| wrong(error.to_string()))
}

/// Refuses a label that says nothing or cannot be kept as it is.
fn check(label: &str) -> Result<(), Refusal> {
    let problem = if label.trim().is_empty() {
        "is empty".to_owned()
    } else if label.chars().count() > TEXT_CHARS {
        format!("has more than {TEXT_CHARS} characters")
    } else if label.contains('\0') {
        "has a NUL character, which databases cannot keep".to_owned()
    } else {
        return Ok(());
    };
    let message = format!(r#"label {problem}; as in {{"label": "parcel"}}"#);
    Err(Refusal { status: StatusCode::BAD_REQUEST, message })
}
