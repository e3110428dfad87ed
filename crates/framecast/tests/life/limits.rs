//! Too many clients. `bad_input` has clients that violate the rules, and the tests of HTTP have broken requests.

use std::time::Duration;

use framecast_testkit::{Response, TestViewer, get, soon};
use framecast_testkit_server::camera::{Camera, PLAY};
use framecast_testkit_server::server::{Server, settings};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

/// `FRAMECAST_IDLE_CONNECTIONS=10000` opens as many as the server must bear; that needs as many descriptors.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_of_idle_connections_is_bounded_and_goes_by() {
    let wanted = std::env::var("FRAMECAST_IDLE_CONNECTIONS").ok().and_then(|text| text.parse().ok());
    let connections: usize = wanted.unwrap_or(2000);
    // Each connection that the server accepts needs a descriptor of this process too.
    raise_descriptors(connections as u64 + 1024 + 256);
    let camera = Camera::new("door", PLAY);
    let mut settings = settings(&[&camera]);
    settings.header_timeout = Duration::from_secs(2);
    settings.max_connections = 1024;
    let server = Server::start(settings, &[&camera]).await;
    let mut viewer = TestViewer::open(server.address, "/video_feed").await.unwrap();
    soon("a picture", viewer.next_number()).await.unwrap();

    let mut idle = Vec::with_capacity(connections);
    for _ in 0..connections {
        // A connection that is refused at once counts as well.
        idle.extend(soon("the system accepts", TcpStream::connect(server.address)).await);
    }
    println!("{} idle connections", idle.len());
    let answered = async {
        loop {
            match get(server.address, "/healthz").await {
                Ok(Response { status: 200, .. }) => return,
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
