//! Wrong passwords: how many of them the server compares, and how it reports them. Through a proxy on this machine, one
//! client can use as many addresses as a test needs.

use std::io::{BufReader, Write};
use std::net::TcpStream;
use std::time::Instant;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use framecast::Account;
use framecast_testkit::blocking::{Response, read_response, request_head, send};

use crate::{Server, error, soon};

fn server() -> Server {
    Server::with(|settings| settings.account = Some(Account::new("me", "right").unwrap()))
}

fn basic(password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("me:{password}")))
}

/// A separate connection, on which a client behind a proxy sends requests.
struct Connection<'s> {
    server: &'s Server,
    stream: BufReader<TcpStream>,
}

impl<'s> Connection<'s> {
    fn open(server: &'s Server) -> Self {
        Self { server, stream: send(server.address, "") }
    }

    /// The answers to `count` simultaneous requests of `address`.
    fn ask(&mut self, address: &str, password: &str, count: usize) -> Vec<Response> {
        let headers = [("Authorization", &*basic(password)), ("X-Forwarded-For", address)];
        let head = request_head(self.server.address, "GET /api/cameras", &headers, "1.1");
        let head = head.replace("Connection: close\r\n", "");
        self.stream.get_mut().write_all(head.repeat(count).as_bytes()).unwrap();
        (0..count).map(|_| read_response(&mut self.stream)).collect()
    }

    fn status(&mut self, address: &str, password: &str) -> u16 {
        self.ask(address, password, 1)[0].status
    }
}

fn count(answers: &[Response], status: u16) -> usize {
    answers.iter().filter(|answer| answer.status == status).count()
}

/// The value of a line of `/metrics`, requested from a separate address.
fn metric(server: &Server, line: &str) -> u64 {
    let headers = [("Authorization", &*basic("right")), ("X-Forwarded-For", "198.51.100.1")];
    let text = server.ask("GET /metrics", &headers).text();
    let value = text.lines().find_map(|found| found.strip_prefix(line));
    value.unwrap_or_else(|| panic!("no {line} in {text}")).trim().parse().unwrap()
}

#[test]
fn eight_pipelined_guesses_are_eight_of_which_five_are_compared() {
    let server = server();
    let mut connection = Connection::open(&server);
    let start = Instant::now();
    let answers = connection.ask("203.0.113.7", "wrong", 8);
    let seconds = start.elapsed().as_secs() as usize;
    let (wrong, many) = (count(&answers, 401), count(&answers, 429));
    assert_eq!(wrong + many, 8);
    assert!(wrong == 5 || seconds > 0 && wrong <= 5 * (seconds + 1), "{wrong} in {seconds} s");
    for answer in answers.iter().filter(|answer| answer.status == 429) {
        assert_eq!(answer.header("retry-after"), Some("1"));
        assert!(error(answer).starts_with("too many wrong passwords"), "{}", error(answer));
    }
    assert_eq!(metric(&server, "framecast_denied_requests_total{why=\"wrong\"}"), wrong as u64);
    assert_eq!(metric(&server, "framecast_denied_requests_total{why=\"uncompared\"}"), many as u64);
}

#[test]
fn requests_without_credentials_and_right_ones_are_no_guesses() {
    let server = server();
    let asked = (0..100).map(|_| server.get("/api/cameras").status);
    assert!(asked.into_iter().all(|status| status == 401));
    let answers = Connection::open(&server).ask("203.0.113.7", "right", 100);
    assert_eq!(count(&answers, 200), 100);
    assert_eq!(metric(&server, "framecast_denied_requests_total{why=\"wrong\"}"), 0);
}

#[test]
fn a_crowd_of_guessers_shuts_out_neither_who_logged_in_nor_a_connection_that_did() {
    let server = server();
    // The helper that reads the metrics logs in, too.
    assert_eq!(metric(&server, "framecast_denied_requests_total{why=\"uncompared\"}"), 0);
    let mut owner = Connection::open(&server);
    assert_eq!(owner.status("203.0.113.7", "right"), 200);
    let mut guesser = Connection::open(&server);
    for number in 0..200 {
        guesser.ask(&format!("192.0.2.{number}"), "wrong", 3);
        // On a new connection each time, as in most programs.
        assert_eq!(Connection::open(&server).status("203.0.113.7", "right"), 200);
    }
    // An attacker behind the owner's own address guesses too.
    for _ in 0..50 {
        guesser.ask("203.0.113.7", "wrong", 10);
        assert_eq!(owner.status("203.0.113.7", "right"), 200);
    }
    assert!(metric(&server, "framecast_denied_requests_total{why=\"uncompared\"}") > 0);
}

#[test]
fn an_event_tells_who_guessed_and_how_often() {
    let server = server();
    assert_eq!(Connection::open(&server).ask("2001:db8::7", "wrong", 3).len(), 3);
    let headers = [("Authorization", &*basic("right"))];
    let event = soon("the event is there", || {
        let answer = server.ask("GET /api/events?kind=denied", &headers);
        let page: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
        page["events"].get(0).cloned()
    });
    assert_eq!(event["text"], "wrong password from 2001:db8::7");
    assert_eq!((&event["camera"], &event["count"]), (&serde_json::Value::Null, &3.into()));
}
