//! What hostile clients do, a function for each kind. Each does it once; what repeats it stands in `mod.rs`.

use std::{
    io::{self, ErrorKind, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    thread,
    time::Duration,
};

/// How long one waits for an answer before it goes.
const PATIENCE: Duration = Duration::from_secs(2);

/// How many guesses are sent on one connection before an answer is read.
const PIPELINED: usize = 8;

/// The key of a WebSocket's handshake; any will do.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

/// A hostile client: where it sends what, and as whom.
#[derive(Debug, Clone)]
pub(super) struct Client {
    pub(super) server: SocketAddr,
    /// Whether it knows the password, and with what header it says so.
    pub(super) login: String,
    /// Counts on, so that no two turns are the same.
    pub(super) turn: usize,
}

/// One kind of abuse; how many of its requests were answered.
pub(super) type Kind = fn(&Client) -> io::Result<u64>;

/// All kinds: the name, how many clients do it, and the pause of each after a turn.
pub(super) const KINDS: [(&str, usize, Duration, Kind); 8] = [
    ("connects", 4, Duration::from_millis(20), connect),
    ("renditions", 8, Duration::from_millis(100), rendition),
    ("tiles", 4, Duration::from_millis(200), tiles),
    ("marks", 2, Duration::from_millis(50), mark),
    ("forwarded marks", 2, Duration::from_millis(50), forwarded_mark),
    ("listeners", 20, Duration::from_millis(500), listen),
    ("tables", 4, Duration::from_millis(200), table),
    ("guesses", 4, Duration::from_millis(20), guess),
];

impl Client {
    fn connect(&self) -> io::Result<TcpStream> {
        let stream = TcpStream::connect_timeout(&self.server, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(stream)
    }

    /// A request's head with `more` lines in it, each with its line break.
    fn head(&self, request: &str, more: &str) -> String {
        format!("{request} HTTP/1.1\r\nHost: {}\r\n{}{more}\r\n", self.server, self.login)
    }

    /// The header by which a proxy on this machine says that it asks for one of many clients.
    fn forwarded(&self) -> String {
        format!("X-Forwarded-For: 198.51.100.{}\r\n", self.turn % 50)
    }
}

/// Connects, and goes: at once, within a head, or with nothing said for a while.
fn connect(client: &Client) -> io::Result<u64> {
    let mut stream = client.connect()?;
    match client.turn % 3 {
        0 => {}
        1 => stream.write_all(b"GET /video_feed HTTP/1.1\r\nCookie: ")?,
        _ => thread::sleep(Duration::from_millis(500)),
    }
    Ok(0)
}

/// Asks for a stream in one of many sizes, and goes after a few pictures.
fn rendition(client: &Client) -> io::Result<u64> {
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

/// Opens a WebSocket with as many tiles as there may be, changes them as fast as it can, and acknowledges nothing.
fn tiles(client: &Client) -> io::Result<u64> {
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

/// Sets a mark as long as it may be.
fn mark(client: &Client) -> io::Result<u64> {
    post(client, "")
}

/// The same by way of a proxy.
fn forwarded_mark(client: &Client) -> io::Result<u64> {
    post(client, &client.forwarded())
}

fn post(client: &Client, more: &str) -> io::Result<u64> {
    let body = format!(r#"{{"label":"{}"}}"#, "\u{1f98a}".repeat(1000));
    let mut stream = client.connect()?;
    let more = format!("{more}Content-Length: {}\r\nConnection: close\r\n", body.len());
    stream.write_all(client.head("POST /api/events", &more).as_bytes())?;
    stream.write_all(body.as_bytes())?;
    read(&mut stream, usize::MAX)
}

/// Asks for all events that there were, and reads none of them.
fn listen(client: &Client) -> io::Result<u64> {
    let mut stream = client.connect()?;
    stream.write_all(client.head("GET /api/events/live?after=0", "").as_bytes())?;
    let mut first = [0; 64];
    let count = stream.read(&mut first)?;
    thread::sleep(PATIENCE);
    Ok(u64::from(count > 0))
}

/// Asks for a whole table, and goes somewhere in it.
fn table(client: &Client) -> io::Result<u64> {
    let path = ["/api/events.csv", "/api/events.ndjson", "/history", "/api/events.json"][client.turn % 4];
    let mut stream = client.connect()?;
    stream.write_all(client.head(&format!("GET {path}"), "Accept: text/html\r\n").as_bytes())?;
    read(&mut stream, 200_000)
}

/// Sends several wrong passwords on one connection, as one of many clients or as itself.
fn guess(client: &Client) -> io::Result<u64> {
    let more = if client.turn.is_multiple_of(2) { client.forwarded() } else { String::new() };
    let mut stream = client.connect()?;
    let requests: String = (0..PIPELINED)
        .map(|n| {
            // Any text in the alphabet of Base64 is a guess.
            let wrong = format!(
                "Z3Vlc3Nlcjp{:08}",
                client.turn.wrapping_mul(PIPELINED).wrapping_add(n) % 100_000_000
            );
            format!("GET / HTTP/1.1\r\nHost: {}\r\nAuthorization: Basic {wrong}\r\n{more}\r\n", client.server)
        })
        .collect();
    stream.write_all(requests.as_bytes())?;
    read(&mut stream, 16 << 10)
}

/// Reads at most `limit` bytes of an answer; 1 where there was one.
fn read(stream: &mut TcpStream, limit: usize) -> io::Result<u64> {
    let (mut buffer, mut taken) = ([0; 16 << 10], 0);
    while taken < limit {
        match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => taken += count,
            // A stream or a refusal that has nothing more to say.
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => break,
            Err(error) => return Err(error),
        }
    }
    Ok(u64::from(taken > 0))
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
    fn a_frame_is_masked_and_says_its_length() {
        assert_eq!(text_frame("ab"), [0x81, 0x82, 0, 0, 0, 0, b'a', b'b']);
    }
}
