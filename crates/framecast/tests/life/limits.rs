//! Requests that are too large, too slow, too many or broken.

use std::net::SocketAddr;
use std::time::Duration;

use framecast_testkit::{Answer, Viewer, ask, get, soon};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::camera::{Camera, PLAY};
use crate::server::{Server, settings};

#[tokio::test]
async fn an_oversize_head_is_refused_and_its_connection_closed() {
    let camera = Camera::new("door", PLAY);
    let server = Server::start(settings(&[&camera]), &[&camera]).await;
    let long_value = format!("GET / HTTP/1.1\r\nHost: x\r\nX-Long: {}\r\n\r\n", "x".repeat(100_000));
    let long_target = format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "x".repeat(100_000));
    let many = format!("GET / HTTP/1.1\r\nHost: x\r\n{}\r\n", "X-Y: z\r\n".repeat(500));
    for request in [long_value, long_target, many] {
        match soon("an answer", ask(server.address, request.as_bytes())).await {
            Ok(answer) => assert!(matches!(answer.status, 400 | 414 | 431), "{}", answer.head),
            // The rest of the request made the system take the answer back.
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "{error}"),
        }
    }
    assert_eq!(get(server.address, "/healthz").await.unwrap().status, 200);
    server.stop().await;
}

#[tokio::test]
async fn a_head_that_comes_byte_by_byte_is_cut_off() {
    let camera = Camera::new("door", PLAY);
    let mut settings = settings(&[&camera]);
    settings.header_timeout = Duration::from_millis(300);
    let server = Server::start(settings, &[&camera]).await;
    let (mut reading, mut writing) = TcpStream::connect(server.address).await.unwrap().into_split();
    let drip = tokio::spawn(async move {
        for byte in b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ".iter().chain(std::iter::repeat(&b'x')) {
            if writing.write_all(&[*byte]).await.is_err() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    let mut answer = Vec::new();
    // It may be reset with bytes of ours unread.
    soon("the connection is closed", reading.read_to_end(&mut answer)).await.ok();
    soon("writing fails", drip).await.unwrap();
    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 408"), "{answer}");
    server.stop().await;
}

#[tokio::test]
async fn broken_requests_are_refused_and_harm_nobody() {
    let camera = Camera::new("door", PLAY);
    let server = Server::start(settings(&[&camera]), &[&camera]).await;
    let mut viewer = Viewer::open(server.address, "/video_feed").await.unwrap();
    let broken: [&[u8]; 7] = [
        b"\0\0\0\0\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\nHost: x\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: a\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ];
    for request in broken {
        match soon("an answer or the end", ask(server.address, request)).await {
            Ok(answer) => assert!((400..600).contains(&answer.status), "{}", answer.head),
            Err(error) => assert!(is_closed(&error), "{error}"),
        }
        soon("others go on", viewer.next_number()).await.unwrap();
    }
    server.stop().await;
}

#[tokio::test]
async fn what_is_not_there_or_not_allowed_is_answered_so() {
    let camera = Camera::new("door", PLAY);
    let server = Server::start(settings(&[&camera]), &[&camera]).await;
    for (request, status) in [
        ("GET /cameras/nobody/stream.mjpg HTTP/1.1\r\nHost: 127.0.0.1", 404),
        ("GET /cameras/%2e%2e/snapshot.jpg HTTP/1.1\r\nHost: 127.0.0.1", 404),
        ("GET /static/../Cargo.toml HTTP/1.1\r\nHost: 127.0.0.1", 404),
        ("POST /video_feed HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 99999999999", 405),
        ("DELETE /api/cameras/door HTTP/1.1\r\nHost: 127.0.0.1", 405),
        ("POST /api/cameras HTTP/1.1\r\nHost: 127.0.0.1\r\nOrigin: http://evil.example", 403),
        ("GET /video_feed HTTP/1.1\r\nHost: evil.example", 421),
        ("GET /video_feed?advance_headers=maybe HTTP/1.1\r\nHost: 127.0.0.1", 400),
        ("GET /snapshot.jpg?max_age=-1 HTTP/1.1\r\nHost: 127.0.0.1", 400),
    ] {
        let request = format!("{request}\r\nConnection: close\r\n\r\n");
        let answer = soon("an answer", ask(server.address, request.as_bytes())).await.unwrap();
        assert_eq!(answer.status, status, "{request}{}", answer.text());
    }
    assert_eq!(camera.opened(), 0);
    server.stop().await;
}

#[tokio::test]
async fn head_and_options_answer_without_opening_the_camera() {
    let camera = Camera::new("door", PLAY);
    let server = Server::start(settings(&[&camera]), &[&camera]).await;
    for target in ["/video_feed", "/cameras/door/stream.mjpg", "/snapshot.jpg", "/cameras/door/snapshot.jpg"]
    {
        let head = plain(server.address, "HEAD", target).await;
        assert_eq!((head.status, head.body.len()), (200, 0), "{target}");
        assert!(head.header("content-type").is_some());
        let options = plain(server.address, "OPTIONS", target).await;
        assert_eq!(options.header("allow"), Some("GET, HEAD, OPTIONS"), "{target}");
    }
    assert_eq!(camera.opened(), 0);
    server.stop().await;
}

/// `FRAMECAST_IDLE_CONNECTIONS=10000` makes it as many as the server is to bear; that needs as many descriptors.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_of_idle_connections_is_bounded_and_goes_by() {
    let wanted = std::env::var("FRAMECAST_IDLE_CONNECTIONS").ok().and_then(|text| text.parse().ok());
    let connections: usize = wanted.unwrap_or(2000);
    // Each place that the server gives is a descriptor of this process too.
    raise_descriptors(connections as u64 + 1024 + 256);
    let camera = Camera::new("door", PLAY);
    let mut settings = settings(&[&camera]);
    settings.header_timeout = Duration::from_secs(2);
    settings.max_connections = 1024;
    let server = Server::start(settings, &[&camera]).await;
    let mut viewer = Viewer::open(server.address, "/video_feed").await.unwrap();
    soon("a picture", viewer.next_number()).await.unwrap();

    let mut idle = Vec::with_capacity(connections);
    for _ in 0..connections {
        // One that is refused on the spot is as good.
        idle.extend(soon("the system accepts", TcpStream::connect(server.address)).await);
    }
    println!("{} idle connections", idle.len());
    let answered = async {
        loop {
            match get(server.address, "/healthz").await {
                Ok(Answer { status: 200, .. }) => return,
                Ok(answer) => assert_eq!(answer.status, 503),
                Err(error) => assert!(is_closed(&error), "{error}"),
            }
        }
    };
    soon("there is a place again while all are still held open here", answered).await;
    for stream in &mut idle {
        let mut rest = Vec::new();
        soon("an idle connection is closed", stream.read_to_end(&mut rest)).await.ok();
        assert!(rest.is_empty() || rest.starts_with(b"HTTP/1.1 503"), "{}", String::from_utf8_lossy(&rest));
    }
    soon("the viewer was there all the time", viewer.next_number()).await.unwrap();
    assert_eq!((camera.opened(), camera.closed()), (1, 0));
    server.stop().await;
}

async fn plain(address: SocketAddr, method: &str, target: &str) -> Answer {
    let request = format!("{method} {target} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    soon("an answer", ask(address, request.as_bytes())).await.unwrap()
}

/// Whether the server closed the connection without an answer.
fn is_closed(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
    matches!(error.kind(), BrokenPipe | ConnectionReset | UnexpectedEof)
}

fn raise_descriptors(needed: u64) {
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_some_and(|current| current < needed) {
        let raised = Rlimit { current: Some(limit.maximum.map_or(needed, |most| most.min(needed))), ..limit };
        setrlimit(Resource::Nofile, raised).unwrap();
    }
    let current = getrlimit(Resource::Nofile).current;
    assert!(
        current.is_none_or(|current| current >= needed),
        "this needs {needed} descriptors: see ulimit -n"
    );
}
