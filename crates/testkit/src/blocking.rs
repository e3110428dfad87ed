//! A blocking HTTP client for tests of whole programs, which have no async runtime of their own. It sends requests as
//! text and reads responses with all their bytes. It panics on any error, since only tests use it.
#![expect(clippy::unwrap_used, reason = "a panic fails the test")]

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use framecast_media::container::multipart::{Parser, ParserEvent, Part};

/// The timeout of reads. It is longer than any wait in a passing test.
const TIMEOUT: Duration = Duration::from_secs(30);

/// The head of a response and, unless the response is a stream, its body.
#[derive(Debug)]
pub struct Response {
    /// The HTTP version, for example `HTTP/1.1`.
    pub version: String,
    /// The status code.
    pub status: u16,
    /// The names and values of the headers, in the order of the response.
    pub headers: Vec<(String, String)>,
    /// The body; empty if it was not read.
    pub body: Vec<u8>,
}

impl Response {
    /// Returns the value of the first header called `name`, in upper or lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| &**value)
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// Sends a request over HTTP/1.1 and returns the response. `request` is the method and the path, such as `GET /x`.
pub fn send_request(address: SocketAddr, request: &str, headers: &[(&str, &str)]) -> Response {
    let mut reader = send(address, &request_head(address, request, headers, "1.1"));
    if request.starts_with("HEAD ") { read_head(&mut reader) } else { read_response(&mut reader) }
}

/// Sends a GET request and returns the response.
pub fn get(address: SocketAddr, path: &str) -> Response {
    send_request(address, &format!("GET {path}"), &[])
}

/// Returns the text of a request. The `Host` header is `address`, unless `headers` contains another.
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

/// Sends the text of a request and returns a reader of the response.
pub fn send(address: SocketAddr, request: &str) -> BufReader<TcpStream> {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(TIMEOUT)).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    BufReader::new(stream)
}

/// Reads the status line and the headers of a response.
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

/// Reads a response with its body, if there is one.
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

/// An open multipart stream, which iterates over its parts.
pub struct MultipartStream {
    /// The head of the response.
    pub head: Response,
    reader: BufReader<TcpStream>,
    parser: Parser,
}

impl MultipartStream {
    /// Requests `path` and reads the head of the response. Panics unless the status is 200.
    pub fn open(address: SocketAddr, path: &str, headers: &[(&str, &str)]) -> Self {
        let mut reader = send(address, &request_head(address, &format!("GET {path}"), headers, "1.1"));
        let head = read_head(&mut reader);
        assert_eq!(head.status, 200, "{head:?}");
        Self { head, reader, parser: Parser::new(Some("frame")) }
    }

    /// Reads the next `len` bytes of the body without parsing them.
    pub fn raw(&mut self, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        self.reader.read_exact(&mut bytes).unwrap();
        bytes
    }
}

/// Iterates over the parts up to the end that the stream announces. Panics if the connection breaks before.
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
