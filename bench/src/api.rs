//! Queries the HTTP API of the Framecast server that is being measured.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

/// The maximum length of a response in bytes. A response has a few hundred bytes for each viewer, and less than a
/// thousand for each camera.
const ANSWER_LIMIT_BYTES: u64 = 64 * 1024 * 1024;

/// The maximum time to wait for a response.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Requests `path` from `server` and returns the JSON of the response.
///
/// # Errors
///
/// The server does not respond within 10 s, the status is not 200, or the body is not JSON.
pub(crate) fn get(server: SocketAddr, path: &str) -> Result<Value> {
    let context = || format!("cannot get {path} from {server}");
    let mut stream = TcpStream::connect_timeout(&server, TIMEOUT).with_context(context)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    let request = format!("GET {path} HTTP/1.0\r\nHost: {server}\r\n\r\n");
    stream.write_all(request.as_bytes()).with_context(context)?;
    let mut answer = Vec::new();
    stream.take(ANSWER_LIMIT_BYTES).read_to_end(&mut answer).with_context(context)?;
    let answer = String::from_utf8(answer).with_context(context)?;
    let (head, body) = answer.split_once("\r\n\r\n").with_context(context)?;
    let status = head.lines().next().unwrap_or_default();
    ensure!(status.split(' ').nth(1) == Some("200"), "the answer to {path} is {status:?} instead of 200");
    serde_json::from_str(body).with_context(context)
}
