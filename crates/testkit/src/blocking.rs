//! A blocking HTTP client, and waits with a limit, for tests that start a whole program and have no async runtime. The
//! client sends requests as text and returns the bytes of responses. It panics on any error, because only tests use it.
#![expect(clippy::unwrap_used, reason = "a panic fails the test")]

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use framecast_media::container::multipart::{Parser, ParserEvent, Part};

pub use crate::wait::blocking::{ended, joined, output_of, pause, received, until};

/// The maximum time that a read from the server waits. It is longer than any wait in a passing test.
const TIMEOUT: Duration = Duration::from_secs(30);

/// An HTTP response: the head and, if it was read, the body. The body of an endless stream is not read.
#[derive(Debug)]
pub struct Response {
    /// The HTTP version, for example `HTTP/1.1`.
    pub version: String,
    /// The status code.
    pub status: u16,
    /// The names and values of the headers, in the order in which they arrived.
    pub headers: Vec<(String, String)>,
    /// The body; empty if the response has none or only the head was read.
    pub body: Vec<u8>,
}

impl Response {
    /// Returns the value of the first header called `name`, or `None` if there is none. The case of `name` does not
    /// matter.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| &**value)
    }

    /// Returns the body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// Sends a request over HTTP/1.1, on a new connection, and returns the response. `request` is the method and the path,
/// such as `GET /x`.
pub fn send_request(address: SocketAddr, request: &str, headers: &[(&str, &str)]) -> Response {
    let mut reader = send(address, &request_head(address, request, headers, "1.1"));
    if request.starts_with("HEAD ") { read_head(&mut reader) } else { read_response(&mut reader) }
}

/// Sends a GET request for `path` on a new connection and returns the response.
pub fn get(address: SocketAddr, path: &str) -> Response {
    send_request(address, &format!("GET {path}"), &[])
}

/// Returns the text of a request without a body. `request` is the method and the path. The header `Host` is `address`,
/// unless `headers` contains another `Host`.
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

/// Connects to `address` and sends the text of a request. Returns a reader of the response.
pub fn send(address: SocketAddr, request: &str) -> BufReader<TcpStream> {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(TIMEOUT)).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    BufReader::new(stream)
}

/// Reads the status line and the headers of a response from `reader` and returns them. Does not read the body, so the
/// returned `body` is empty.
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

/// Reads a whole response, with its body if there is one. Panics if the response is an endless stream.
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

/// An open multipart stream. Its iterator returns the pictures with their header lines, as they arrive.
pub struct MultipartStream {
    /// The head of the response that contains the stream.
    pub head: Response,
    reader: BufReader<TcpStream>,
    parser: Parser,
}

impl MultipartStream {
    /// Requests a multipart stream from `path` on a new connection, and reads the head of the response. Panics unless
    /// the status is 200.
    pub fn open(address: SocketAddr, path: &str, headers: &[(&str, &str)]) -> Self {
        let mut reader = send(address, &request_head(address, &format!("GET {path}"), headers, "1.1"));
        let head = read_head(&mut reader);
        assert_eq!(head.status, 200, "{head:?}");
        Self { head, reader, parser: Parser::new(Some("frame")) }
    }

    /// Reads and returns the next `len` bytes of the response's body without parsing them.
    pub fn raw(&mut self, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        self.reader.read_exact(&mut bytes).unwrap();
        bytes
    }
}

/// Returns the pictures of the stream with their header lines, until the server sends the final boundary. Panics if the
/// connection ends before that.
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
