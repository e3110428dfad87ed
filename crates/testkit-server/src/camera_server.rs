//! A minimal web server for a camera: the test controls every byte on the wire, and the server records which pictures
//! it sent.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use framecast_testkit::blocking::pause;
use framecast_testkit::jpeg;
use socket2::SockRef;

/// How many bytes of a request's head the server reads at most.
const MAX_HEAD_BYTES: usize = 64 * 1024;

/// What the server does with the connection after an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AfterAnswer {
    /// Waits for the next request, or until the client closes.
    Keep,
    /// Ends the connection properly.
    Close,
    /// Ends the connection by a reset, after the sent bytes.
    Reset,
    /// Leaves the connection open without further answers.
    Linger,
}

/// One request as received.
#[derive(Clone, Debug)]
pub struct Request {
    /// The number of the request at this server, from 1.
    pub number: usize,
    /// The number of the connection, from 1.
    pub connection: usize,
    /// The text after `GET `.
    pub target: String,
    head: String,
}

impl Request {
    /// The value of a header; the case of its name does not matter.
    pub fn header(&self, name: &str) -> Option<&str> {
        let named = |line: &str| line.split(':').next().is_some_and(|known| known.eq_ignore_ascii_case(name));
        let line = self.head.lines().find(|line| named(line))?;
        Some(line.split_once(':')?.1.trim())
    }

    /// Whether the request has user and password in any form.
    pub fn has_login(&self) -> bool {
        self.header("Authorization").is_some()
    }
}

/// The requests that a server got, and the pictures that it sent.
#[derive(Debug, Default)]
struct Record {
    requests: Vec<Request>,
    /// Pictures by number, with the time just before the server began to send each.
    pictures: BTreeMap<u64, SystemTime>,
}

/// One connection, for writing.
pub struct Wire {
    /// The connection.
    pub tcp: TcpStream,
    record: Arc<Mutex<Record>>,
}

impl Wire {
    /// Sends all of `bytes`.
    ///
    /// # Errors
    /// The client has gone.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.tcp.write_all(bytes.as_ref())
    }

    /// The next picture, which contains its number. The server counts it as sent from now on.
    pub fn picture(&mut self) -> Bytes {
        let mut record = self.record.lock().unwrap();
        let number = record.pictures.last_key_value().map_or(1, |(last, _)| last + 1);
        record.pictures.insert(number, SystemTime::now());
        jpeg(64, 48, number)
    }

    /// Sends a complete answer with this picture, as a correct camera does.
    pub fn send_picture(&mut self) -> io::Result<()> {
        let picture = self.picture();
        self.send(answer("200 OK", "Content-Type: image/jpeg\r\n", &picture))
    }

    /// Waits until the client closes, and discards what it still sends.
    pub fn wait_gone(&mut self) {
        let mut bytes = [0; 4096];
        while matches!(self.tcp.read(&mut bytes), Ok(len) if len > 0) {}
    }

    /// Ends the connection so that the client's next read fails.
    pub fn reset(&self) {
        SockRef::from(&self.tcp).set_linger(Some(Duration::ZERO)).unwrap();
    }
}

/// A server that listens until the test ends.
#[derive(Clone)]
pub struct CameraServer {
    /// Where the server listens.
    pub address: SocketAddr,
    record: Arc<Mutex<Record>>,
}

impl CameraServer {
    /// A server on this machine's loopback address that passes each request to `answer`. An error of `answer` ends the
    /// connection, because the client has gone.
    pub fn start(
        answer: impl Fn(&Request, &mut Wire) -> io::Result<AfterAnswer> + Send + Sync + 'static,
    ) -> Self {
        Self::start_at(Ipv4Addr::LOCALHOST.into(), answer)
    }

    /// A server on the address `ip` that passes each request to `answer`.
    pub fn start_at(
        ip: IpAddr,
        answer: impl Fn(&Request, &mut Wire) -> io::Result<AfterAnswer> + Send + Sync + 'static,
    ) -> Self {
        Self::serve(ip, move |connection, wire| {
            while let Some(request) = read_request(connection, wire) {
                match answer(&request, wire) {
                    Ok(AfterAnswer::Keep) => {}
                    Ok(AfterAnswer::Close) | Err(_) => break,
                    Ok(AfterAnswer::Reset) => {
                        // The sent bytes must arrive before the reset, which discards those on their way.
                        pause(Duration::from_millis(100));
                        wire.reset();
                        break;
                    }
                    Ok(AfterAnswer::Linger) => {
                        wire.wait_gone();
                        break;
                    }
                }
            }
        })
    }

    /// A server that passes each connection and its number to `talk`, which reads the requests itself.
    pub fn serve(ip: IpAddr, talk: impl Fn(usize, &mut Wire) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind((ip, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let record = Arc::<Mutex<Record>>::default();
        let shared = Arc::clone(&record);
        let talk = Arc::new(talk);
        thread::spawn(move || {
            for (connection, tcp) in (1..).zip(listener.incoming()) {
                let Ok(tcp) = tcp else { continue };
                let (record, talk) = (Arc::clone(&shared), Arc::clone(&talk));
                thread::spawn(move || talk(connection, &mut Wire { tcp, record }));
            }
        });
        Self { address, record }
    }

    /// A URL of this server: `rest` begins with `/`.
    pub fn url(&self, rest: &str) -> String {
        format!("http://{}{rest}", self.address)
    }

    /// A URL of this server with user and password.
    pub fn url_for(&self, user_and_password: &str, rest: &str) -> String {
        format!("http://{user_and_password}@{}{rest}", self.address)
    }

    /// The requests so far.
    pub fn requests(&self) -> Vec<Request> {
        self.record.lock().unwrap().requests.clone()
    }

    /// The pictures sent so far by number, with the time just before the server began to send each.
    pub fn pictures(&self) -> BTreeMap<u64, SystemTime> {
        self.record.lock().unwrap().pictures.clone()
    }
}

/// Reads a request's head; `None` when the client has closed.
pub fn read_request(connection: usize, wire: &mut Wire) -> Option<Request> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && head.len() < MAX_HEAD_BYTES {
        if wire.tcp.read(&mut byte).ok()? == 0 {
            return None;
        }
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let target = head.split(' ').nth(1)?.to_owned();
    let mut record = wire.record.lock().unwrap();
    let request = Request { number: record.requests.len() + 1, connection, target, head };
    record.requests.push(request.clone());
    Some(request)
}

/// A complete answer with this status, these header lines (each with its line end) and its length.
pub fn answer(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n{headers}\r\n", body.len());
    [head.as_bytes(), body].concat()
}

/// A 401 with each of these challenges.
pub fn challenge(challenges: &[&str]) -> Vec<u8> {
    let headers: String = challenges.iter().map(|text| format!("WWW-Authenticate: {text}\r\n")).collect();
    answer("401 Unauthorized", &headers, b"who?")
}

/// The head of a stream with the boundary `frame`, which ends with the connection.
pub const STREAM_HEAD: &str =
    "HTTP/1.0 200 OK\r\nContent-Type: multipart/x-mixed-replace;boundary=frame\r\n\r\n";

/// One correct part after the boundary `frame`.
pub fn part(picture: &[u8]) -> Vec<u8> {
    let head = format!("--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {}\r\n\r\n", picture.len());
    [head.as_bytes(), picture, b"\r\n"].concat()
}

/// The time between two pictures of a stream, and between two polls of a snapshot URL with `#fps=10`.
pub const INTERVAL: Duration = Duration::from_millis(100);

/// Sends correct parts until the client closes; the caller has sent the head.
pub fn stream(wire: &mut Wire) -> io::Result<AfterAnswer> {
    loop {
        let picture = wire.picture();
        wire.send(part(&picture))?;
        pause(INTERVAL);
    }
}
