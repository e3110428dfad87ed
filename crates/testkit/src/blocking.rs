//! The blocking client, for tests of whole programs, which have no runtime of their own. It sends requests as text and
//! reads answers with all their bytes. It panics on any error, since only tests use it.
#![expect(clippy::unwrap_used, reason = "a panic fails the test")]

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use framecast_media::container::multipart::{Parser, ParserEvent, Part};

/// Longer than any wait in a passing test; only a failing test reaches it.
const TIMEOUT: Duration = Duration::from_secs(30);

/// The head of an answer and, unless it is a stream, its body.
#[derive(Debug)]
pub struct Response {
    /// `HTTP/1.1`.
    pub version: String,
    /// The status code.
    pub status: u16,
    /// Names and values, in their order.
    pub headers: Vec<(String, String)>,
    /// The body; empty if it was not read.
    pub body: Vec<u8>,
}

impl Response {
    /// The value of the first header called `name`, in any case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| &**value)
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// Sends the rest of a request line, as `GET /x`, with headers, as HTTP/1.1, and returns the answer.
pub fn send_request(address: SocketAddr, request: &str, headers: &[(&str, &str)]) -> Response {
    let mut reader = send(address, &request_head(address, request, headers, "1.1"));
    if request.starts_with("HEAD ") { read_head(&mut reader) } else { read_response(&mut reader) }
}

/// A GET request.
pub fn get(address: SocketAddr, path: &str) -> Response {
    send_request(address, &format!("GET {path}"), &[])
}

/// The text of a request; a `Host` among the headers replaces the address.
pub fn request_head(address: SocketAddr, request: &str, headers: &[(&str, &str)], version: &str) -> String {
    let mut head = format!("{request} HTTP/{version}\r\n");
    if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
        head.push_str(&format!("Host: {address}\r\n"));
    }
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head + "Connection: close\r\n\r\n"
}

/// Sends a request and returns a reader of the answer.
pub fn send(address: SocketAddr, request: &str) -> BufReader<TcpStream> {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(TIMEOUT)).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    BufReader::new(stream)
}

/// Reads status line and headers.
pub fn read_head(reader: &mut impl BufRead) -> Response {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        assert!(reader.read_line(&mut line).unwrap() > 0, "the connection ended within the head: {lines:?}");
        let line = line.trim_end().to_owned();
        if line.is_empty() {
            break;
        }
        lines.push(line);
    }
    let mut status_line = lines[0].splitn(3, ' ');
    let version = status_line.next().unwrap().to_owned();
    let status = status_line.next().unwrap().parse().unwrap();
    let header = |line: &String| {
        let (name, value) = line.split_once(": ").unwrap_or_else(|| panic!("no header: {line}"));
        (name.to_owned(), value.to_owned())
    };
    Response { version, status, headers: lines[1..].iter().map(header).collect(), body: Vec::new() }
}

/// Reads an answer with its body, if it has one.
pub fn read_response(reader: &mut impl BufRead) -> Response {
    let mut answer = read_head(reader);
    if !matches!(answer.status, 204 | 304) {
        answer.body = read_body(reader, &answer);
    }
    answer
}

fn read_body(reader: &mut impl BufRead, answer: &Response) -> Vec<u8> {
    let mut body = Vec::new();
    match answer.header("content-length") {
        Some(length) => {
            body.resize(length.parse().unwrap(), 0);
            reader.read_exact(&mut body).unwrap();
        }
        None => {
            assert_eq!(answer.header("transfer-encoding"), None, "chunks are not read here");
            let is_stream = answer.header("content-type").is_some_and(|kind| kind.starts_with("multipart/"));
            assert!(!is_stream, "a stream has no end: {answer:?}");
            reader.read_to_end(&mut body).unwrap();
        }
    }
    body
}

/// An open multipart stream.
pub struct MultipartStream {
    /// The head of the answer.
    pub head: Response,
    reader: BufReader<TcpStream>,
    parser: Parser,
}

impl MultipartStream {
    /// Requests `path`, whose answer must be 200.
    pub fn open(address: SocketAddr, path: &str, headers: &[(&str, &str)]) -> Self {
        let mut reader = send(address, &request_head(address, &format!("GET {path}"), headers, "1.1"));
        let head = read_head(&mut reader);
        assert_eq!(head.status, 200, "{head:?}");
        Self { head, reader, parser: Parser::new(Some("frame")) }
    }

    /// The first `len` bytes of the body, unparsed.
    pub fn raw(&mut self, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        self.reader.read_exact(&mut bytes).unwrap();
        bytes
    }
}

/// Its parts, up to the stream's proper end; panics if the connection breaks.
impl Iterator for MultipartStream {
    type Item = Part;

    fn next(&mut self) -> Option<Part> {
        loop {
            match self.parser.next_event().unwrap() {
                Some(ParserEvent::Part(part)) => return Some(part),
                Some(ParserEvent::End) => return None,
                None => {}
            }
            let bytes = match self.reader.fill_buf() {
                Ok(bytes) => bytes,
                // A child process of the test has ended.
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => panic!("{error}"),
            };
            assert!(!bytes.is_empty(), "the connection ended before the stream");
            let len = bytes.len();
            self.parser.push(bytes);
            self.reader.consume(len);
        }
    }
}
