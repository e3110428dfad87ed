//! A viewer that speaks HTTP/2, TLS or WebSocket, and counts of what it receives. The viewers of the load generator
//! speak plain HTTP/1 only.

use std::{
    fs,
    net::SocketAddr,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use axum::body::{Body, Bytes};
use futures_util::{SinkExt as _, StreamExt as _};
use http_body_util::BodyExt as _;
use hyper::{
    Request, Response,
    body::Incoming,
    client::conn::{http1, http2},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::{ClientConfig, RootCertStore, pki_types::ServerName};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::TlsConnector;
use tokio_tungstenite::{WebSocketStream, tungstenite::Message};

use crate::{
    client::Seen,
    parts::{Parts, Picture},
    proc::{self, Sample, ThreadTime},
    report::{self, GroupSummary, LoadCpu, Report},
};

/// The number of bytes before the JPEG in a picture's message of `/api/live`.
const HEAD_BYTES: usize = 16;

/// The maximum time to wait for the first picture, or for the next.
const PICTURE_TIMEOUT: Duration = Duration::from_secs(10);

/// How a viewer speaks with the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    /// A stream over HTTP/1 or HTTP/2, without or inside TLS.
    Http {
        /// Whether the viewer speaks HTTP/2, without a negotiation.
        is_http2: bool,
        /// Whether the viewer speaks TLS.
        is_tls: bool,
    },
    /// One tile of `/api/live`, which acknowledges each picture as soon as it has arrived.
    WebSocket {
        /// Whether the tile asks for pictures of a size that suits the link.
        is_adaptive: bool,
    },
}

/// The server, and what to measure of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Target<'a> {
    /// The address of the server.
    pub(super) address: SocketAddr,
    /// The path and query of the stream; a WebSocket does not need it.
    pub(super) path: &'a str,
    /// The process id of the server.
    pub(super) pid: u32,
    /// The file with the server's certificate.
    pub(super) certificate: &'a Path,
}

/// Connects one viewer to `target`, lets it watch for `warmup`, and then measures for `window`.
///
/// # Errors
///
/// The server cannot be reached or refuses the viewer, the stream is malformed, or no picture comes within 10 s.
pub(super) fn run(
    protocol: Protocol,
    target: Target<'_>,
    warmup: Duration,
    window: Duration,
) -> Result<Report> {
    // A runtime with threads of its own would leave the namespace of this thread.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let idle = Sample::of(target.pid)?;
        let mut arrivals = Arrivals::connect(protocol, target).await?;
        let (mut seen, mut newest_us) = (Seen::default(), 0);
        arrivals.watch(warmup, &mut seen, &mut newest_us).await?;
        ensure!(seen.frames > 0, "no picture came during the warm-up");
        seen = Seen::default();
        let (before, own, started) = (Sample::of(target.pid)?, ThreadTime::own(), Instant::now());
        arrivals.watch(window, &mut seen, &mut newest_us).await?;
        let (used, elapsed) = (ThreadTime::own().seconds_since(own), started.elapsed());
        let samples = report::Samples { idle, before, after: Sample::of(target.pid)? };
        let group = |seen| GroupSummary { seen, closed: 0 };
        let groups = [group(vec![&seen]), group(Vec::new()), group(Vec::new())];
        Ok(report::sum_up(groups, Some(&samples), LoadCpu::of(used, elapsed), elapsed))
    })
}

/// The pictures that arrive at a viewer.
enum Arrivals {
    Stream(Incoming, Parts),
    Tile(Box<WebSocketStream<TcpStream>>),
}

impl Arrivals {
    async fn connect(protocol: Protocol, target: Target<'_>) -> Result<Self> {
        let stream = TcpStream::connect(target.address).await.context("cannot connect")?;
        match protocol {
            Protocol::Http { is_http2, is_tls: false } => open(stream, is_http2, "http", target).await,
            Protocol::Http { is_http2, is_tls: true } => {
                open(secure(stream, target.certificate).await?, is_http2, "https", target).await
            }
            Protocol::WebSocket { is_adaptive } => {
                let url = format!("ws://{}/api/live", target.address);
                let (mut socket, _) = tokio_tungstenite::client_async(url, stream).await?;
                let adapt = if is_adaptive { r#","adapt":true"# } else { "" };
                let subscribe = format!(r#"{{"type":"subscribe","tile":1,"camera":"bench"{adapt}}}"#);
                socket.send(Message::text(subscribe)).await?;
                Ok(Self::Tile(Box::new(socket)))
            }
        }
    }

    /// Takes what arrives for `time`, and counts it in `seen`.
    async fn watch(&mut self, time: Duration, seen: &mut Seen, newest_us: &mut u64) -> Result<()> {
        let end = tokio::time::Instant::now() + time;
        loop {
            let next = timeout(PICTURE_TIMEOUT, self.take_next(seen, newest_us));
            match tokio::time::timeout_at(end, next).await {
                Err(_) => return Ok(()),
                Ok(arrived) => arrived.context("no picture came for 10 s")??,
            }
        }
    }

    async fn take_next(&mut self, seen: &mut Seen, newest_us: &mut u64) -> Result<()> {
        match self {
            Self::Stream(body, parts) => {
                let frame = body.frame().await.context("the server ended the stream")??;
                let Ok(data) = frame.into_data() else { return Ok(()) };
                seen.bytes += data.len() as u64;
                parts.feed(&data, |picture| seen.note(picture, newest_us, proc::now_us()))
            }
            Self::Tile(socket) => {
                let message = socket.next().await.context("the server closed the WebSocket")??;
                let Message::Binary(message) = message else { return Ok(()) };
                seen.bytes += message.len() as u64;
                let (sequence, picture) = picture(&message)?;
                seen.note(picture, newest_us, proc::now_us());
                let acknowledgement = format!(r#"{{"type":"ack","tile":1,"sequence":{sequence}}}"#);
                Ok(socket.send(Message::text(acknowledgement)).await?)
            }
        }
    }
}

/// Splits a picture's message of `/api/live` into the picture's sequence number and the picture.
fn picture(message: &Bytes) -> Result<(u32, Picture)> {
    ensure!(message.len() > HEAD_BYTES, "a message of {} bytes is no picture", message.len());
    let (head, jpeg) = message.split_at(HEAD_BYTES);
    let captured_us = u64::from_be_bytes(head[8..].try_into()?);
    let is_intact = jpeg.starts_with(&[0xff, 0xd8]) && jpeg.ends_with(&[0xff, 0xd9]);
    let picture = Picture { bytes: jpeg.len(), captured_us: Some(captured_us), is_intact };
    Ok((u32::from_be_bytes(head[4..8].try_into()?), picture))
}

async fn secure(
    stream: TcpStream,
    certificate: &Path,
) -> Result<impl AsyncRead + AsyncWrite + Send + Unpin + 'static> {
    let mut roots = RootCertStore::empty();
    roots.add(fs::read(certificate).context("cannot read the server's certificate")?.into())?;
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("localhost")?;
    Ok(TlsConnector::from(Arc::new(config)).connect(name, stream).await?)
}

/// Requests the stream over `stream`.
async fn open(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    is_http2: bool,
    scheme: &str,
    target: Target<'_>,
) -> Result<Arrivals> {
    let Target { address, path, .. } = target;
    let io = TokioIo::new(stream);
    let response: Response<Incoming> = if is_http2 {
        let (mut sender, connection) = http2::handshake(TokioExecutor::new(), io).await?;
        tokio::spawn(connection);
        let request = Request::get(format!("{scheme}://{address}{path}")).header("accept", "*/*");
        sender.send_request(request.body(Body::empty())?).await?
    } else {
        let (mut sender, connection) = http1::handshake(io).await?;
        tokio::spawn(connection);
        let request = Request::get(path).header("host", address.to_string()).header("accept", "*/*");
        sender.send_request(request.body(Body::empty())?).await?
    };
    if response.status() != 200 {
        bail!("the server answered {} instead of 200", response.status());
    }
    Ok(Arrivals::Stream(response.into_body(), Parts::default()))
}
