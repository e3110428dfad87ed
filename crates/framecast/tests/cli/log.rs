//! The log with different readers. A reader that reads nothing causes lost log lines, but no other harm.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::process::{Child, Stdio};
use std::time::Duration;

use framecast_testkit::blocking::{get, until};
use framecast_testkit_server::program::{ChildGuard, framecast, terminal};
use rustix::pipe::PipeFlags;
use rustix::process::Signal;
use rustix::termios::{Action, tcflow};

const ARGUMENTS: [&str; 6] =
    ["--listen", "127.0.0.1:0", "--log", "trace", "a=test:?size=64x64&fps=10", "b=test:?size=64x64&fps=10"];

/// The program promises to end within 2 s. On a busy machine it may take longer, but less than it would wait for a
/// reader.
const END: Duration = Duration::from_secs(10);

/// Starts the program with `log` as its standard error.
fn start(log: OwnedFd) -> Child {
    framecast(&ARGUMENTS).stdout(Stdio::null()).stderr(log).spawn().unwrap()
}

/// Reads up to the line with the address.
fn address(log: &mut impl BufRead) -> SocketAddr {
    line_with(log, "open http://")
        .split("open http://")
        .nth(1)
        .unwrap()
        .split('/')
        .next()
        .unwrap()
        .parse()
        .unwrap()
}

fn line_with(log: &mut impl BufRead, text: &str) -> String {
    loop {
        let mut line = String::new();
        assert!(log.read_line(&mut line).unwrap() > 0, "no line with {text:?}");
        if line.contains(text) {
            return line;
        }
    }
}

fn lost_lines(address: SocketAddr) -> u64 {
    let metrics = get(address, "/metrics").text();
    let value = metrics.lines().find_map(|line| line.strip_prefix("framecast_log_lost_lines_total "));
    value.expect("the figure").parse().unwrap()
}

/// A program whose log nobody reads, and which has already lost lines.
fn unread() -> (ChildGuard, BufReader<File>, SocketAddr) {
    let (reader, writer) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC).unwrap();
    let program = ChildGuard(start(writer));
    let mut log = BufReader::new(File::from(reader));
    let address = address(&mut log);
    assert_eq!(get(address, "/cameras/a/snapshot.jpg").status, 200);
    until("lines are lost", || lost_lines(address) > 0);
    (program, log, address)
}

#[test]
fn a_log_that_nobody_reads_stops_no_camera_and_says_later_what_it_lost() {
    let (mut program, mut log, address) = unread();
    // The request opens a camera, which logs.
    assert_eq!(get(address, "/cameras/b/snapshot.jpg").status, 200);
    assert_eq!(get(address, "/cameras/a/snapshot.jpg").status, 200);
    let told = line_with(&mut log, "are missing here");
    let lines: u64 = told.split("lines=").nth(1).unwrap().trim().parse().unwrap();
    assert!(told.contains(" WARN ") && lines > 0, "{told}");
    program.signal(Signal::TERM);
    let mut rest = String::new();
    log.read_to_string(&mut rest).unwrap();
    assert!(rest.trim_end().ends_with("the server stopped"), "the last lines were lost: {rest}");
    assert_eq!(program.wait().code(), Some(0));
}

#[test]
fn a_log_that_nobody_reads_does_not_hold_up_the_end() {
    let (mut program, _log, _) = unread();
    program.signal(Signal::TERM);
    assert_eq!(program.wait_for(END).code(), Some(0));
}

#[test]
fn a_terminal_that_is_held_stops_no_camera_and_does_not_hold_up_the_end() {
    let (terminal, person) = terminal();
    let mut program = ChildGuard(start(terminal.try_clone().unwrap()));
    let mut log = BufReader::new(person);
    let address = address(&mut log);
    // The same as Ctrl-S.
    tcflow(&terminal, Action::OOff).unwrap();
    assert_eq!(get(address, "/cameras/a/snapshot.jpg").status, 200);
    assert_eq!(get(address, "/cameras/b/snapshot.jpg").status, 200);
    program.signal(Signal::TERM);
    assert_eq!(program.wait_for(END).code(), Some(0));
}
