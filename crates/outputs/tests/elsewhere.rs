//! Streams where the server cannot hand over the socket: inside TLS, and over HTTP/2. The tests run both ends, joined
//! by an in-memory pipe that holds less than a picture.
#![warn(clippy::disallowed_methods)]
#![expect(clippy::unwrap_used, reason = "tests")]

use std::convert::Infallible;
use std::sync::Arc;
use std::time::SystemTime;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use framecast_hub::{CameraState, CameraStatus, Feed, Hub};
use framecast_media::Anchor;
use framecast_media::container::multipart::{Parser, ParserEvent};
use framecast_outputs::{Viewers, mjpeg};
use framecast_testkit::{frame_of_len, number_of, soon};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, duplex};
use tokio_rustls::{TlsAcceptor, TlsConnector};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

const PIPE_BYTES: usize = 16 * 1024;
const PICTURE_BYTES: usize = 100_000;

struct Server {
    routes: Router,
    feed: Arc<Feed>,
    shutdown: CancellationToken,
}

impl Server {
    fn new() -> Self {
        let hub = Hub::new();
        let feed = hub.add("door", SystemTime::UNIX_EPOCH).unwrap();
        feed.set_status(CameraStatus::new(CameraState::Live, SystemTime::UNIX_EPOCH));
        let shutdown = CancellationToken::new();
        let streamer = mjpeg::Streamer::new(mjpeg::Config::default(), Viewers::default(), shutdown.clone());
        Self { routes: mjpeg::routes(hub, streamer), feed, shutdown }
    }

    fn publish(&self, number: u64) {
        let frame = frame_of_len(PICTURE_BYTES, number);
        assert!(self.feed.begin_epoch(Anchor::of(&frame)).publish(frame));
    }

    /// Serves one connection in its own task, as HTTP/2 or as HTTP/1.1.
    fn serve(&self, io: impl AsyncRead + AsyncWrite + Send + Unpin + 'static, is_http2: bool) {
        let routes = self.routes.clone();
        let service = service_fn(move |request: Request<Incoming>| {
            let routes = routes.clone();
            async move { Ok::<_, Infallible>(routes.oneshot(request.map(Body::new)).await.unwrap()) }
        });
        let io = TokioIo::new(io);
        tokio::spawn(async move {
            // hyper reports a client that leaves as an error; the test does not.
            if is_http2 {
                http2::Builder::new(TokioExecutor::new()).serve_connection(io, service).await.ok();
            } else {
                http1::Builder::new().serve_connection(io, service).await.ok();
            }
        });
    }
}

/// Both ends of a TLS connection, client first.
async fn tls() -> (impl AsyncRead + AsyncWrite + Unpin, impl AsyncRead + AsyncWrite + Send + Unpin + 'static)
{
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let certificate = made.cert.der().clone();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let server = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key)
        .unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(certificate).unwrap();
    let client = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let (ours, theirs): (DuplexStream, DuplexStream) = duplex(PIPE_BYTES);
    let accepting = TlsAcceptor::from(Arc::new(server)).accept(theirs);
    let name = ServerName::try_from("localhost").unwrap();
    let connecting = TlsConnector::from(Arc::new(client)).connect(name, ours);
    let (client, server) = tokio::join!(connecting, accepting);
    (client.unwrap(), server.unwrap())
}

/// The number of the next whole picture, or `None` at the end of the stream's own framing.
async fn next<F: Future<Output = Option<Vec<u8>>>>(
    parser: &mut Parser,
    mut more: impl FnMut() -> F,
) -> Option<u64> {
    loop {
        match parser.next_event().unwrap() {
            Some(ParserEvent::Part(part)) => {
                assert_eq!(part.body.len(), PICTURE_BYTES);
                return number_of(&part.body);
            }
            Some(ParserEvent::End) => return None,
            None => parser.push(&soon("more", more()).await.expect("the stream says that it ends")),
        }
    }
}

/// What every viewer must get: the newest picture at once, the newest again after a pause, and a proper end.
macro_rules! sees_what_it_must {
    ($server:expr, $next:expr) => {
        $server.publish(1);
        assert_eq!($next.await, Some(1));
        for number in 2..=60 {
            $server.publish(number);
            tokio::task::yield_now().await;
        }
        let mut old = 0;
        while $next.await.unwrap() < 60 {
            old += 1;
        }
        assert!(old <= 3, "{old} old pictures of sixty");
        $server.shutdown.cancel();
        assert_eq!($next.await, None);
    };
}

#[tokio::test]
async fn inside_tls_a_stream_is_as_fresh_and_whole() {
    let server = Server::new();
    let (mut client, theirs) = tls().await;
    server.serve(theirs, false);
    client.write_all(b"GET /video_feed HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(soon("the head", client.read_u8()).await.unwrap());
    }
    assert!(head.starts_with(b"HTTP/1.0 200 OK\r\n"), "{}", String::from_utf8_lossy(&head));
    let mut parser = Parser::new(Some("frame"));
    let client = tokio::sync::Mutex::new(client);
    let more = || async {
        let mut bytes = vec![0; 4096];
        let len = client.lock().await.read(&mut bytes).await.ok().filter(|len| *len > 0)?;
        bytes.truncate(len);
        Some(bytes)
    };
    sees_what_it_must!(server, next(&mut parser, more));
}

#[tokio::test]
async fn over_http2_inside_tls_a_stream_is_as_fresh_and_whole() {
    let server = Server::new();
    let (client, theirs) = tls().await;
    server.serve(theirs, true);
    let (mut sender, connection) = hyper::client::conn::http2::Builder::new(TokioExecutor::new())
        .initial_stream_window_size(PIPE_BYTES as u32)
        .handshake::<_, Body>(TokioIo::new(client))
        .await
        .unwrap();
    tokio::spawn(connection);
    let request = Request::get("https://localhost/video_feed").body(Body::empty()).unwrap();
    let response = soon("the head", sender.send_request(request)).await.unwrap();
    assert_eq!((response.status().as_u16(), response.version()), (200, axum::http::Version::HTTP_2));
    let mut parser = Parser::new(Some("frame"));
    let body = tokio::sync::Mutex::new(response.into_body());
    let more = || async { Some(body.lock().await.frame().await?.ok()?.into_data().ok()?.to_vec()) };
    sees_what_it_must!(server, next(&mut parser, more));
}
