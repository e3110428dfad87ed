//! Queries the API of the Framecast that is measured.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

/// The maximum length of an answer; it has some hundred bytes for a viewer, and less than a thousand for a camera.
const ANSWER_LIMIT_BYTES: u64 = 64 * 1024 * 1024;

/// How long the server may take to answer.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The JSON that `server` answers for `path`.
///
/// # Errors
///
/// A server that does not answer within 10 s, or with something else than 200 and JSON.
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
