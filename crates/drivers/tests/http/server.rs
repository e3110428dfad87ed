//! A server of a few lines, so that the test decides every byte on the wire.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};
use std::thread;

use rustls::crypto::ring;
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// What happens to the connection after an answer.
#[derive(PartialEq)]
pub(crate) enum AfterAnswer {
    /// Waits for the next request, or for the client to close.
    Keep,
    Close,
}

/// One request as received.
#[derive(Clone, Debug)]
pub(crate) struct ReceivedRequest {
    /// The number of the connection, from 0.
    pub(crate) connection: usize,
    /// The number of the request at this server, from 0.
    pub(crate) number: usize,
    /// The text after `GET `.
    pub(crate) target: String,
    head: String,
}

impl ReceivedRequest {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head
            .lines()
            .filter_map(|line| line.split_once(": "))
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }
}

pub(crate) trait ByteStream: Read + Write {}
impl<T: Read + Write> ByteStream for T {}

/// Listens until the test ends.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    scheme: &'static str,
    requests: Arc<Mutex<Vec<ReceivedRequest>>>,
}

impl Server {
    /// A server that answers each request by `answer`.
    pub(crate) fn start(
        answer: impl Fn(&ReceivedRequest, &mut dyn Write) -> AfterAnswer + Send + Sync + 'static,
    ) -> Self {
        Self::listen("http", |tcp| Box::new(tcp), answer)
    }

    /// The same over TLS, with a self-signed certificate.
    pub(crate) fn start_tls(
        answer: impl Fn(&ReceivedRequest, &mut dyn Write) -> AfterAnswer + Send + Sync + 'static,
    ) -> Self {
        let made =
            rcgen::generate_simple_self_signed(["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .unwrap();
        let config = Arc::new(config);
        let wrap = move |tcp| -> Box<dyn ByteStream> {
            Box::new(StreamOwned::new(ServerConnection::new(Arc::clone(&config)).unwrap(), tcp))
        };
        Self::listen("https", wrap, answer)
    }

    /// A server that sends `answer` to every request and keeps the connection open.
    pub(crate) fn sending(answer: impl Into<Vec<u8>>) -> Self {
        let answer = answer.into();
        Self::start(move |_, out| {
            out.write_all(&answer).ok();
            AfterAnswer::Keep
        })
    }

    fn listen(
        scheme: &'static str,
        wrap: impl Fn(std::net::TcpStream) -> Box<dyn ByteStream> + Send + Sync + 'static,
        answer: impl Fn(&ReceivedRequest, &mut dyn Write) -> AfterAnswer + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&requests);
        let shared = Arc::new((wrap, answer));
        thread::spawn(move || {
            for (connection, tcp) in listener.incoming().enumerate() {
                let (tcp, seen, shared) = (tcp.unwrap(), Arc::clone(&seen), Arc::clone(&shared));
                thread::spawn(move || {
                    let (wrap, answer) = &*shared;
                    let mut wire = wrap(tcp);
                    while let Some(request) = read_request(&mut *wire, connection, &seen) {
                        if answer(&request, &mut wire) == AfterAnswer::Close {
                            break;
                        }
                    }
                });
            }
        });
        Self { address, scheme, requests }
    }

    /// A URL of this server: `rest` begins with `/`.
    pub(crate) fn url(&self, rest: &str) -> String {
        format!("{}://{}{rest}", self.scheme, self.address)
    }

    /// The same with user and password.
    pub(crate) fn url_for(&self, user_and_password: &str, rest: &str) -> String {
        format!("{}://{user_and_password}@{}{rest}", self.scheme, self.address)
    }

    /// The requests so far.
    pub(crate) fn requests(&self) -> Vec<ReceivedRequest> {
        self.requests.lock().unwrap().clone()
    }
}

fn read_request(
    wire: &mut dyn ByteStream,
    connection: usize,
    seen: &Mutex<Vec<ReceivedRequest>>,
) -> Option<ReceivedRequest> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        // The client may close at any time; TLS reports that as an error.
        if wire.read(&mut byte).ok()? == 0 {
            return None;
        }
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap();
    let target = head.strip_prefix("GET ").unwrap().split(' ').next().unwrap().to_owned();
    let mut seen = seen.lock().unwrap();
    let request = ReceivedRequest { connection, number: seen.len(), target, head };
    seen.push(request.clone());
    Some(request)
}

/// A whole answer with this status, header lines and body, and with its `Content-Length`.
pub(crate) fn answer(status: &str, headers: &[&str], body: &[u8]) -> Vec<u8> {
    let mut bytes = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n", body.len());
    for header in headers {
        bytes.push_str(header);
        bytes.push_str("\r\n");
    }
    bytes.push_str("\r\n");
    [bytes.as_bytes(), body].concat()
}

/// A whole answer that is a picture.
pub(crate) fn jpeg(picture: &[u8]) -> Vec<u8> {
    answer("200 OK", &["Content-Type: image/jpeg"], picture)
}

/// The head of a stream with the boundary `frame`.
pub(crate) const STREAM_HEAD: &str =
    "HTTP/1.1 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=frame\r\n\r\n";

/// One part after the boundary `frame`, with its length and more header lines.
pub(crate) fn part(headers: &str, body: &[u8]) -> Vec<u8> {
    let head =
        format!("--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {}\r\n{headers}\r\n", body.len());
    [head.as_bytes(), body, b"\r\n"].concat()
}
