//! Sends a request to a running server, for the commands `reload` and `health`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, anyhow};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use framecast::{Account, Bytes, Listen, Settings};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1;
use hyper::{Method, Request, StatusCode, header};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

/// The maximum size of the server's answer, in bytes. The longest answer contains the names of all cameras.
const MAX_ANSWER_BYTES: usize = 1 << 20;

/// Sends a request without a body to the server that `settings` describe, with the account if there is one. Waits for
/// `limit` at most. Returns the status and the body of the answer.
///
/// # Errors
/// No server answers there, or not in time, or its answer is not HTTP.
pub(super) fn send(
    settings: &Settings,
    method: Method,
    path: &str,
    limit: Duration,
) -> anyhow::Result<(StatusCode, Bytes)> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.context("cannot start the runtime")?.block_on(async {
        let sending = connect_and_send(settings, method, path);
        let late = |_| anyhow!("the server did not answer within {} s", limit.as_secs());
        timeout(limit, sending).await.map_err(late)?
    })
}

async fn connect_and_send(
    settings: &Settings,
    method: Method,
    path: &str,
) -> anyhow::Result<(StatusCode, Bytes)> {
    let account = settings.account.as_ref();
    match &settings.listen {
        Listen::Tcp(address) => {
            let address = reachable(*address);
            let advice =
                "is it running, and at this address? If it listens elsewhere, add --listen ADDRESS:PORT";
            let stream = TcpStream::connect(address).await;
            let stream = stream.with_context(|| format!("no server answers at {address}; {advice}"))?;
            exchange(stream, request(method, path, &address.to_string(), account)?).await
        }
        Listen::Unix(socket) => {
            let stream = UnixStream::connect(socket).await;
            let stream = stream.with_context(|| format!("no server answers at unix:{}", socket.display()))?;
            exchange(stream, request(method, path, "localhost", account)?).await
        }
    }
}

/// Returns the address at which a server on this machine that listens on `address` can be reached.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(match address.ip() {
            IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    address
}

fn request(
    method: Method,
    path: &str,
    host: &str,
    account: Option<&Account>,
) -> anyhow::Result<Request<Empty<Bytes>>> {
    let mut request = Request::builder().method(method).uri(path).header(header::HOST, host);
    if let Some(account) = account {
        let login = STANDARD.encode(format!("{}:{}", account.user, account.password.expose()));
        request = request.header(header::AUTHORIZATION, format!("Basic {login}"));
    }
    Ok(request.body(Empty::new())?)
}

async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    request: Request<Empty<Bytes>>,
) -> anyhow::Result<(StatusCode, Bytes)> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let response = sender.send_request(request).await.context("the server's answer is not HTTP")?;
    let status = response.status();
    let body = Limited::new(response.into_body(), MAX_ANSWER_BYTES).collect().await;
    let body = body.map_err(|error| anyhow!("the server's answer cannot be read: {error}"))?;
    Ok((status, body.to_bytes()))
}

#[derive(Deserialize)]
struct ErrorAnswer {
    error: String,
}

/// Returns what a server's answer says of the reason why it did not do what it was asked.
pub(super) fn refusal(status: StatusCode, body: &[u8]) -> String {
    match serde_json::from_slice(body) {
        Ok(ErrorAnswer { error }) => error,
        Err(_) => format!("the server answered {status}: is this Framecast?"),
    }
}
