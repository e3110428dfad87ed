//! The attacks by simulated hostile clients, one function for each kind. Each call of such a function is one attack;
//! the module `abuse` calls the functions again and again.

use std::{
    io::{self, ErrorKind, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    thread,
    time::Duration,
};

/// The maximum time that a simulated client waits for a response before it disconnects.
const TIMEOUT: Duration = Duration::from_secs(2);

/// The number of wrong passwords that a client sends on one connection, each in a separate request, before it reads a
/// response.
const PIPELINED: usize = 8;

/// The number of different client addresses that the attacks claim in `X-Forwarded-For`, as if a proxy forwarded them.
const ADDRESSES: usize = 50;

/// The length in bytes of the start of an HTTP response, up to and including the status code.
const STATUS_LINE_BYTES: usize = "HTTP/1.1 200".len();

/// The value of the header `Sec-WebSocket-Key`; any valid key works.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

/// A simulated hostile client: the server's address, the login, and a counter of attacks.
#[derive(Debug, Clone)]
pub(super) struct Client {
    pub(super) server: SocketAddr,
    /// The header line `Authorization` with the correct password. Some kinds of attack send it, others do not.
    pub(super) login: String,
    /// The number of the next attack of this client. The attacks use it to vary what they send.
    pub(super) turn: usize,
}

/// One kind of attack.
pub(super) struct AbuseKind {
    pub(super) name: &'static str,
    /// The number of clients that attack in this way at once.
    pub(super) clients: usize,
    /// How long each client pauses after each attack.
    pub(super) pause: Duration,
    /// The function that attacks once. It returns the status of the first response, or `None` if no response arrived.
    pub(super) act: fn(&Client) -> io::Result<Option<u16>>,
    pub(super) expects: Expectation,
}

/// How the server is expected to respond to attacks of one kind. Some attacks must be served, because a server that
/// refuses everything would pass the test without any load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Expectation {
    /// No response, because the client never completes a request.
    Nothing,
    /// The server accepts most of these attacks as ordinary requests.
    Service,
    /// The server accepts some of these attacks as ordinary requests, and refuses the others because they exceed a
    /// limit.
    SomeService,
    /// The server refuses all these attacks.
    Refusal,
}

const fn kind(
    name: &'static str,
    clients: usize,
    pause_ms: u64,
    act: fn(&Client) -> io::Result<Option<u16>>,
    expects: Expectation,
) -> AbuseKind {
    AbuseKind { name, clients, pause: Duration::from_millis(pause_ms), act, expects }
}

/// All kinds of attack.
pub(super) const KINDS: [AbuseKind; 8] = [
    kind("connects", 4, 20, connect, Expectation::Nothing),
    kind("renditions", 8, 100, rendition, Expectation::Service),
    kind("tiles", 4, 200, tiles, Expectation::Service),
    kind("marks", 2, 50, mark, Expectation::Service),
    kind("forwarded marks", 2, 50, forwarded_mark, Expectation::SomeService),
    kind("listeners", 20, 500, listen, Expectation::Service),
    kind("tables", 4, 200, table, Expectation::Service),
    kind("guesses", 4, 20, guess, Expectation::Refusal),
];

impl Client {
    fn connect(&self) -> io::Result<TcpStream> {
        let stream = TcpStream::connect_timeout(&self.server, TIMEOUT)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        stream.set_write_timeout(Some(TIMEOUT))?;
        Ok(stream)
    }

    /// Returns the head of an HTTP request with the correct password. `request` is the method and the path; `more`
    /// contains additional header lines, each with its line break.
    fn head(&self, request: &str, more: &str) -> String {
        format!("{request} HTTP/1.1\r\nHost: {}\r\n{}{more}\r\n", self.server, self.login)
    }

    /// Returns the header line `X-Forwarded-For`, as a proxy on this machine would send it, with one of several client
    /// addresses. The function `log_in` has logged in from all these addresses.
    fn forwarded(&self) -> String {
        format!("X-Forwarded-For: 198.51.100.{}\r\n", self.turn % ADDRESSES)
    }
}

/// Logs in from each client address that the attacks claim in `X-Forwarded-For`. This must happen before the attacks:
/// their wrong passwords use up the number of attempts that the server allows to addresses that have not logged in.
pub(super) fn log_in(server: SocketAddr, login: &str) -> io::Result<()> {
    for turn in 0..ADDRESSES {
        let client = Client { server, login: login.to_owned(), turn };
        let mut stream = client.connect()?;
        let more = format!("{}Connection: close\r\n", client.forwarded());
        stream.write_all(client.head("GET /api/cameras", &more).as_bytes())?;
        let status = read(&mut stream, usize::MAX)?;
        if status != Some(200) {
            return Err(io::Error::other(format!("the answer to the login is {status:?}")));
        }
    }
    Ok(())
}

/// Connects, and disconnects without a complete request: at once, after a part of the request head, or after half a
/// second of silence.
fn connect(client: &Client) -> io::Result<Option<u16>> {
    let mut stream = client.connect()?;
    match client.turn % 3 {
        0 => {}
        1 => stream.write_all(b"GET /video_feed HTTP/1.1\r\nCookie: ")?,
        _ => thread::sleep(Duration::from_millis(500)),
    }
    Ok(None)
}

/// Requests a video stream in one of many combinations of size, quality and frame rate, and disconnects after a few
/// pictures.
fn rendition(client: &Client) -> io::Result<Option<u16>> {
    let turn = client.turn;
    let path = format!(
        "GET /video_feed?width={}&quality={}&fps={}",
        [160, 240, 320, 480, 640, 800, 960, 1280][turn % 8],
        [30, 40, 50, 60, 70, 80, 90, 95][turn / 8 % 8],
        [1, 2, 5, 10, 15, 20, 25, 30][turn / 64 % 8],
    );
    let mut stream = client.connect()?;
    stream.write_all(client.head(&path, &client.forwarded()).as_bytes())?;
    read(&mut stream, 64 << 10)
}

/// Opens a WebSocket, and subscribes as fast as possible to 256 camera streams ("tiles"), which is the maximum number.
/// Acknowledges none of the pictures that arrive.
fn tiles(client: &Client) -> io::Result<Option<u16>> {
    let mut stream = client.connect()?;
    let upgrade = format!(
        "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n"
    );
    stream.write_all(client.head("GET /api/live", &upgrade).as_bytes())?;
    for tile in 0..256 {
        let width = [160, 320, 640][(tile + client.turn) % 3];
        let text = format!(r#"{{"type":"subscribe","tile":{tile},"camera":"bench","width":{width}}}"#);
        stream.write_all(&text_frame(&text))?;
    }
    read(&mut stream, 256 << 10)
}

/// Stores one event with a label of the maximum length (a "mark") on the server.
fn mark(client: &Client) -> io::Result<Option<u16>> {
    post(client, "")
}

/// Stores one event with a label of the maximum length (a "mark") on the server, with a client address in
/// `X-Forwarded-For`.
fn forwarded_mark(client: &Client) -> io::Result<Option<u16>> {
    post(client, &client.forwarded())
}

fn post(client: &Client, more: &str) -> io::Result<Option<u16>> {
    let body = format!(r#"{{"label":"{}"}}"#, "\u{1f98a}".repeat(1000));
    let mut stream = client.connect()?;
    let more = format!("{more}Content-Length: {}\r\nConnection: close\r\n", body.len());
    stream.write_all(client.head("POST /api/events", &more).as_bytes())?;
    stream.write_all(body.as_bytes())?;
    read(&mut stream, usize::MAX)
}

/// Subscribes to all stored events, beginning with the oldest, and stops reading after the first bytes.
fn listen(client: &Client) -> io::Result<Option<u16>> {
    let mut stream = client.connect()?;
    stream.write_all(client.head("GET /api/events/live?after=0", "").as_bytes())?;
    let mut first = [0; 64];
    let count = stream.read(&mut first)?;
    thread::sleep(TIMEOUT);
    Ok(status(&first[..count]))
}

/// Requests the whole table of events, and disconnects after at most 200 kB.
fn table(client: &Client) -> io::Result<Option<u16>> {
    let path = ["/api/events.csv", "/api/events.ndjson", "/history", "/api/events.json"][client.turn % 4];
    let mut stream = client.connect()?;
    stream.write_all(client.head(&format!("GET {path}"), "Accept: text/html\r\n").as_bytes())?;
    read(&mut stream, 200_000)
}

/// Sends several wrong passwords on one connection, with one of several client addresses in `X-Forwarded-For`. None of
/// these addresses has logged in.
fn guess(client: &Client) -> io::Result<Option<u16>> {
    let more = format!("X-Forwarded-For: 203.0.113.{}\r\n", client.turn % ADDRESSES);
    let mut stream = client.connect()?;
    let requests: String = (0..PIPELINED)
        .map(|n| {
            // Any text in the Base64 alphabet serves as a guessed password.
            let wrong = format!(
                "Z3Vlc3Nlcjp{:08}",
                client.turn.wrapping_mul(PIPELINED).wrapping_add(n) % 100_000_000
            );
            // The last request closes the connection, so that the next attack begins at once.
            let end = if n + 1 == PIPELINED { "Connection: close\r\n" } else { "" };
            format!(
                "GET / HTTP/1.1\r\nHost: {}\r\nAuthorization: Basic {wrong}\r\n{more}{end}\r\n",
                client.server
            )
        })
        .collect();
    stream.write_all(requests.as_bytes())?;
    read(&mut stream, 16 << 10)
}

/// Reads responses until `limit` bytes have arrived, the server closes the connection or the read times out. Returns
/// the status of the first response, or `None` if it did not arrive.
fn read(stream: &mut TcpStream, limit: usize) -> io::Result<Option<u16>> {
    let (mut buffer, mut taken, mut head) = ([0; 16 << 10], 0, Vec::new());
    while taken < limit {
        match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => {
                taken += count;
                head.extend(buffer[..count].iter().take(STATUS_LINE_BYTES - head.len()));
            }
            // The timeout is over: this is a stream, or a refusal that has been received completely.
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => break,
            // The server has responded before it closed the connection.
            Err(_) if taken > 0 => break,
            Err(error) => return Err(error),
        }
    }
    Ok(status(&head))
}

/// Returns the status in the start of a response, such as `HTTP/1.1 200`; `None` if `head` is too short or malformed.
fn status(head: &[u8]) -> Option<u16> {
    std::str::from_utf8(head.get(9..STATUS_LINE_BYTES)?).ok()?.parse().ok()
}

/// Returns `text` as a WebSocket text frame from a client (RFC 6455 §5.2), with zeros as the masking key.
fn text_frame(text: &str) -> Vec<u8> {
    let length = u8::try_from(text.len()).ok().filter(|length| *length < 126).expect("a short text");
    [&[0x81, 0x80 | length, 0, 0, 0, 0], text.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_of_an_answer_is_in_its_first_bytes() {
        assert_eq!(status(b"HTTP/1.1 429 Too Many Requests\r\n"), Some(429));
        assert_eq!((status(b"HTTP/1.1 20"), status(b""), status(b"HTTP/1.1 abc")), (None, None, None));
    }

    #[test]
    fn a_frame_is_masked_and_says_its_length() {
        assert_eq!(text_frame("ab"), [0x81, 0x82, 0, 0, 0, 0, b'a', b'b']);
    }
}
