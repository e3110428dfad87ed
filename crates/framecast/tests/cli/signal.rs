//! Signals other than SIGTERM and SIGINT: the terminal closes, or a user asks the program to reload its configuration.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;

use framecast_testkit::blocking::{get, until};
use framecast_testkit::jpeg;
use framecast_testkit_server::program::{ChildGuard, Running, command, framecast, is_running, terminal};
use rustix::process::Signal;

/// The program in its own session, by the tools `setsid` and `env`, which it replaces as their process. It ignores no
/// signal, whatever the tests inherited.
pub(crate) fn in_own_session(options: &[&str], arguments: &[&str], state: &Path) -> Command {
    let mut command = command("setsid".into(), options);
    command.args(["env", "--default-signal=HUP"]);
    command.arg(env!("CARGO_BIN_EXE_framecast")).args(arguments).env("XDG_STATE_HOME", state);
    command
}

/// The kinds of the events that the program stored, oldest first.
pub(crate) fn kinds(state: &Path) -> Vec<String> {
    let database = rusqlite::Connection::open(state.join("framecast/framecast.db")).unwrap();
    let mut statement = database.prepare("SELECT kind FROM events ORDER BY id").unwrap();
    let kinds = statement.query_map([], |row| row.get(0)).unwrap();
    kinds.map(Result::unwrap).collect()
}

#[test]
fn a_closed_terminal_ends_it_in_order_with_its_socket_and_its_children() {
    let folder = tempfile::tempdir().unwrap();
    let (socket, state) = (folder.path().join("http.sock"), folder.path().join("state"));
    std::fs::write(folder.path().join("picture.jpg"), jpeg(64, 48, 7)).unwrap();
    let script = "trap '' TERM; echo $$ > program; sleep 1000 & echo $! > child; while cat picture.jpg; do sleep 0.05; done";
    std::fs::write(folder.path().join("camera.sh"), script).unwrap();
    let (terminal, person) = terminal();
    let listen = format!("unix:{}", socket.display());
    let arguments = ["--listen", &listen, "exec:sh camera.sh"];
    let mut command = in_own_session(&["--ctty"], &arguments, &state);
    command.current_dir(folder.path()).stdin(terminal.try_clone().unwrap());
    command.stdout(terminal.try_clone().unwrap()).stderr(terminal);
    let mut program = ChildGuard(command.spawn().unwrap());
    // From here on only the child has the terminal open.
    drop(command);
    let mut lines = BufReader::new(person).lines();
    assert!(lines.any(|line| line.unwrap().contains("listening on unix:")));
    let mut stream = UnixStream::connect(&socket).unwrap();
    stream.write_all(b"GET /snapshot.jpg HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 200 "), "{}", String::from_utf8_lossy(&answer));
    let pid = |name: &str| {
        std::fs::read_to_string(folder.path().join(name)).unwrap().trim().parse::<u32>().unwrap()
    };
    let pids = [pid("program"), pid("child")];
    assert!(pids.iter().all(|pid| is_running(*pid)));

    drop(lines);
    // A shell passes the hangup on to its children, so SIGHUP may come twice. A session that closes sends SIGTERM too;
    // here it comes while the program waits for its camera's child, which ignores it.
    program.signal(Signal::HUP);
    until("nobody is let in any more", || UnixStream::connect(&socket).is_err());
    program.signal(Signal::TERM);
    assert_eq!(program.wait().code(), Some(0));
    assert!(!socket.exists(), "the socket's file was left behind");
    assert_eq!(kinds(&state).last().map(String::as_str), Some("stopped"));
    until("nothing of the camera runs on", || !pids.iter().any(|pid| is_running(*pid)));
}

#[test]
fn without_a_terminal_and_a_file_a_hangup_has_nothing_to_reload() {
    let folder = tempfile::tempdir().unwrap();
    let arguments = ["--listen", "127.0.0.1:0", "emulated"];
    let mut program = Running::start(&mut in_own_session(&[], &arguments, folder.path()));
    let address = program.address();
    program.signal(Signal::HUP);
    let line = program.line_with("no configuration file to read again");
    assert!(line.contains(" WARN ") && line.contains("SIGTERM"), "{line}");
    assert_eq!(get(address, "/snapshot.jpg").status, 200);
    assert_eq!(program.terminate().0.code(), Some(0));
}

#[test]
fn a_hangup_that_nohup_ignores_stays_ignored() {
    let folder = tempfile::tempdir().unwrap();
    let (terminal, _person) = terminal();
    let mut command = command("setsid".into(), &["--ctty", "nohup"]);
    command.arg(env!("CARGO_BIN_EXE_framecast")).args(["--listen", "127.0.0.1:0", "emulated"]);
    command.env("XDG_STATE_HOME", folder.path()).stdin(terminal);
    let mut program = Running::start(&mut command);
    let address = program.address();
    program.signal(Signal::HUP);
    let status = std::fs::read_to_string(format!("/proc/{}/status", program.id())).unwrap();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).unwrap();
    assert_eq!(u64::from_str_radix(ignored.trim(), 16).unwrap() & 1, 1, "{status}");
    assert_eq!(get(address, "/snapshot.jpg").status, 200);
    let (status, lines) = program.terminate();
    assert_eq!(status.code(), Some(0), "{lines:#?}");
    assert!(!lines.iter().any(|line| line.contains("SIGHUP")), "{lines:#?}");
}

#[test]
fn sigquit_ends_it_in_order_without_a_core() {
    let folder = tempfile::tempdir().unwrap();
    let mut program = Running::start(
        framecast(&["--listen", "127.0.0.1:0", "emulated"]).env("XDG_STATE_HOME", folder.path()),
    );
    program.address();
    program.signal(Signal::QUIT);
    let (status, lines) = program.wait();
    assert_eq!(status.code(), Some(0), "{lines:#?}");
    assert_eq!(kinds(folder.path()).last().map(String::as_str), Some("stopped"));
}
