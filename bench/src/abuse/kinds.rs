//! The attacks of hostile clients, one function for each kind. Each function attacks once; `mod.rs` repeats it.

use std::{
    io::{self, ErrorKind, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    thread,
    time::Duration,
};

/// How long a client waits for an answer before it disconnects.
const TIMEOUT: Duration = Duration::from_secs(2);

/// How many guesses are sent on one connection before an answer is read.
const PIPELINED: usize = 8;

/// How many client addresses the simulated proxy forwards.
const ADDRESSES: usize = 50;

/// How many bytes of an answer contain its status.
const STATUS_LINE_BYTES: usize = "HTTP/1.1 200".len();

/// The key of a WebSocket handshake; any value works.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

/// A hostile client: the server, the login, and a counter.
#[derive(Debug, Clone)]
pub(super) struct Client {
    pub(super) server: SocketAddr,
    /// The header with the password, for kinds that know it.
    pub(super) login: String,
    /// A counter that makes each attack different.
    pub(super) turn: usize,
}

/// One kind of abuse.
pub(super) struct AbuseKind {
    pub(super) name: &'static str,
    /// The number of clients of this kind.
    pub(super) clients: usize,
    /// The pause of each client after an attack.
    pub(super) pause: Duration,
    /// Attacks once and returns the status of the first answer, if one came.
    pub(super) act: fn(&Client) -> io::Result<Option<u16>>,
    pub(super) expects: Expectation,
}

/// How the server should answer the attacks of a kind: if it refused all of them, the run would prove nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Expectation {
    /// The attack makes no request.
    Nothing,
    /// The server serves most of them.
    Service,
    /// The server serves some, and refuses those beyond a limit.
    SomeService,
    /// The server serves none.
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

/// All kinds.
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

    /// A request's head with the lines `more`, each with its line break.
    fn head(&self, request: &str, more: &str) -> String {
        format!("{request} HTTP/1.1\r\nHost: {}\r\n{}{more}\r\n", self.server, self.login)
    }

    /// The header by which a proxy on this machine forwards one of many clients, each of which has logged in before.
    fn forwarded(&self) -> String {
        format!("X-Forwarded-For: 198.51.100.{}\r\n", self.turn % ADDRESSES)
    }
}

/// Logs in from each of the client addresses behind the proxy, before guesses use up the places for unknown addresses.
pub(super) fn log_in(server: SocketAddr, login: &str) -> io::Result<()> {
    for turn in 0..ADDRESSES {
        let client = Client { server, login: login.to_owned(), turn };
        let mut stream = client.connect()?;
        let more = format!("{}Connection: close\r\n", client.forwarded());
        stream.write_all(client.head("GET /api/cameras", &more).as_bytes())?;
        let status = read(&mut stream, usize::MAX)?;
        if status != Some(200) {
            return Err(io::Error::other(format!("the answer to the owner is {status:?}")));
        }
    }
    Ok(())
}

/// Connects and disconnects: at once, within a head, or after a while of silence.
fn connect(client: &Client) -> io::Result<Option<u16>> {
    let mut stream = client.connect()?;
    match client.turn % 3 {
        0 => {}
        1 => stream.write_all(b"GET /video_feed HTTP/1.1\r\nCookie: ")?,
        _ => thread::sleep(Duration::from_millis(500)),
    }
    Ok(None)
}

/// Requests a stream in one of many sizes, and disconnects after a few pictures.
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

/// Opens a WebSocket with the maximum number of tiles, changes them as fast as possible, and acknowledges nothing.
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

/// Sets a mark of the maximum length.
fn mark(client: &Client) -> io::Result<Option<u16>> {
    post(client, "")
}

/// The same through a proxy.
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

/// Subscribes to all events from the first one on, and reads none of them.
fn listen(client: &Client) -> io::Result<Option<u16>> {
    let mut stream = client.connect()?;
    stream.write_all(client.head("GET /api/events/live?after=0", "").as_bytes())?;
    let mut first = [0; 64];
    let count = stream.read(&mut first)?;
    thread::sleep(TIMEOUT);
    Ok(status(&first[..count]))
}

/// Requests a whole table, and disconnects somewhere within it.
fn table(client: &Client) -> io::Result<Option<u16>> {
    let path = ["/api/events.csv", "/api/events.ndjson", "/history", "/api/events.json"][client.turn % 4];
    let mut stream = client.connect()?;
    stream.write_all(client.head(&format!("GET {path}"), "Accept: text/html\r\n").as_bytes())?;
    read(&mut stream, 200_000)
}

/// Sends several wrong passwords on one connection, as one of many clients, none of which is the owner.
fn guess(client: &Client) -> io::Result<Option<u16>> {
    let more = format!("X-Forwarded-For: 203.0.113.{}\r\n", client.turn % ADDRESSES);
    let mut stream = client.connect()?;
    let requests: String = (0..PIPELINED)
        .map(|n| {
            // Any text in the alphabet of Base64 is a guess.
            let wrong = format!(
                "Z3Vlc3Nlcjp{:08}",
                client.turn.wrapping_mul(PIPELINED).wrapping_add(n) % 100_000_000
            );
            // The last one closes the connection, so that the next attack begins at once.
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

/// Reads at most `limit` bytes of answers and returns the status of the first.
fn read(stream: &mut TcpStream, limit: usize) -> io::Result<Option<u16>> {
    let (mut buffer, mut taken, mut head) = ([0; 16 << 10], 0, Vec::new());
    while taken < limit {
        match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => {
                taken += count;
                head.extend(buffer[..count].iter().take(STATUS_LINE_BYTES - head.len()));
            }
            // A stream, or a refusal that has been sent whole.
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => break,
            // A server that gives a reason before it closes has answered.
            Err(_) if taken > 0 => break,
            Err(error) => return Err(error),
        }
    }
    Ok(status(&head))
}

/// The status in the first bytes of an answer: `HTTP/1.1 200`.
fn status(head: &[u8]) -> Option<u16> {
    std::str::from_utf8(head.get(9..STATUS_LINE_BYTES)?).ok()?.parse().ok()
}

/// A client's text frame (RFC 6455 §5.2), masked with zeros.
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
