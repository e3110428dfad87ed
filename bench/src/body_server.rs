//! A program that embeds Framecast: it serves Framecast's routes by an HTTP server of its own, which cannot hand over
//! sockets. So the streams are response bodies, over HTTP/1 or HTTP/2, with or without TLS.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, Result};
use axum::{Router, serve::ListenerExt as _};
use framecast::{Cameras, Drivers, Settings};
use hyper::server::conn::{http1, http2};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    service::TowerToHyperService,
};
use rustls::{ServerConfig, pki_types::PrivateKeyDer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
};
use tokio_rustls::TlsAcceptor;

/// The maximum number of bytes that the TLS connection of a viewer holds back. The default of rustls, 64 KiB, is more
/// than a slow link carries within the latency budget.
const TLS_BUFFER_BYTES: usize = 16 * 1024;

/// The options of the program that embeds Framecast.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Address to listen on.
    #[arg(long)]
    listen: SocketAddr,
    /// Folder of JPEG files, which the camera shows in a loop.
    #[arg(long)]
    pictures: PathBuf,
    /// Frames per second of the camera.
    #[arg(long, default_value_t = 30)]
    fps: u32,
    /// Number of seconds after which the server stops.
    #[arg(long, default_value_t = 3600)]
    seconds: u64,
    /// Do not call `framecast::tune` for the connections.
    #[arg(long)]
    untuned: bool,
    /// Speak HTTP/2 instead of HTTP/1.
    #[arg(long)]
    http2: bool,
    /// Speak TLS, with a new self-signed certificate for `localhost`.
    #[arg(long)]
    tls: bool,
    /// File to which the certificate is written.
    #[arg(long, value_name = "FILE", default_value = crate::server::CERTIFICATE)]
    certificate: PathBuf,
}

/// Runs the server for the number of seconds that the options give.
///
/// # Errors
///
/// The folder contains no pictures, the address is in use, or the certificate cannot be made.
pub(crate) fn run(options: &Options) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let source = format!("images:{}?fps={}", options.pictures.display(), options.fps);
        let settings = Settings::with_cameras([("bench", source.as_str())])?;
        let cameras = Cameras::start(settings, Drivers::builtin()).await?;
        let serving = serve(options, cameras.router());
        match tokio::time::timeout(Duration::from_secs(options.seconds), serving).await {
            Ok(ended) => ended,
            Err(_) => Ok(()),
        }
    })
}

async fn serve(options: &Options, router: Router) -> Result<()> {
    let acceptor = options.tls.then(|| acceptor(&options.certificate)).transpose()?;
    let listener = TcpListener::bind(options.listen)
        .await
        .with_context(|| format!("cannot listen on {}", options.listen))?;
    if options.untuned {
        return Ok(axum::serve(listener, router).await?);
    }
    let mut listener = listener.tap_io(|stream| framecast::tune(stream));
    if acceptor.is_none() && !options.http2 {
        return Ok(axum::serve(listener, router).await?);
    }
    let is_http2 = options.http2;
    loop {
        let (stream, _) = axum::serve::Listener::accept(&mut listener).await;
        let (acceptor, router) = (acceptor.clone(), router.clone());
        tokio::spawn(async move {
            // An error here means that the viewer has left.
            match acceptor {
                None => serve_connection(stream, router, is_http2).await.ok(),
                Some(acceptor) => {
                    let limit =
                        |tls: &mut rustls::ServerConnection| tls.set_buffer_limit(Some(TLS_BUFFER_BYTES));
                    let accepted = acceptor.accept_with(stream, limit).await.ok()?;
                    serve_connection(accepted, router, is_http2).await.ok()
                }
            }
        });
    }
}

async fn serve_connection(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    router: Router,
    is_http2: bool,
) -> hyper::Result<()> {
    let (io, service) = (TokioIo::new(stream), TowerToHyperService::new(router));
    if is_http2 {
        http2::Builder::new(TokioExecutor::new()).serve_connection(io, service).await
    } else {
        http1::Builder::new().serve_connection(io, service).await
    }
}

/// Makes a certificate for `localhost`, writes it to `file`, and returns what accepts TLS connections with it.
fn acceptor(file: &Path) -> Result<TlsAcceptor> {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
    fs::write(file, made.cert.der()).context("cannot write the certificate")?;
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).map_err(anyhow::Error::msg)?;
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}
