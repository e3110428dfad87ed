//! SIGUSR2: a new version of the program takes over, in the same process and with the same listening socket.

use std::fs;
use std::io::{BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use framecast_testkit::blocking::{MultipartStream, get, joined, read_response, request_head, until};
use framecast_testkit_server::program::{Running, command, framecast};
use rustix::process::Signal;

use crate::signal::kinds;

/// A folder with the program, as a package installs it, a configuration, and a state.
struct Site {
    folder: tempfile::TempDir,
}

impl Site {
    fn new() -> Self {
        let site = Self { folder: tempfile::tempdir().unwrap() };
        symlink(env!("CARGO_BIN_EXE_framecast"), site.program()).unwrap();
        site.write("emulated:?fps=20&size=64x64");
        site
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn program(&self) -> PathBuf {
        self.path("framecast")
    }

    fn file(&self) -> PathBuf {
        self.path("site.toml")
    }

    /// Writes a configuration with this source.
    fn write(&self, source: &str) {
        fs::write(self.file(), format!("[[camera]]\nname = \"front\"\nsource = \"{source}\"\n")).unwrap();
    }

    /// Replaces the program by a new version, which writes its arguments into the file `runs`.
    fn install_new(&self) {
        let new = self.path("new");
        let real = env!("CARGO_BIN_EXE_framecast");
        let runs = self.path("runs");
        let script = format!("#!/bin/sh\necho \"$*\" >> {}\nexec {real} \"$@\"\n", runs.display());
        fs::write(&new, script).unwrap();
        fs::set_permissions(&new, fs::Permissions::from_mode(0o755)).unwrap();
        fs::rename(new, self.program()).unwrap();
    }

    fn start(&self, listen: &str) -> Running {
        let file = self.file();
        let arguments = ["--config", file.to_str().unwrap(), "--listen", listen];
        // In a session of its own, because a terminal would make SIGHUP end it.
        let mut command = command("setsid".into(), &["env", "--default-signal=HUP"]);
        command.arg(self.program()).args(arguments).env("XDG_STATE_HOME", self.path("state"));
        Running::start(&mut command)
    }
}

/// Sends requests on new connections until `is_over`; each must be answered. Returns their number.
fn knock(address: SocketAddr, is_over: &AtomicBool) -> usize {
    let mut answers = 0;
    while !is_over.load(Ordering::SeqCst) {
        let mut stream = TcpStream::connect(address).expect("no connection is refused");
        stream.write_all(request_head(address, "GET /healthz", &[], "1.1").as_bytes()).unwrap();
        let answer = read_response(&mut BufReader::new(stream));
        assert_eq!((answer.status, answer.text().as_str()), (200, "ok\n"));
        answers += 1;
    }
    answers
}

#[test]
fn a_new_version_takes_over_the_process_and_no_connection_is_refused() {
    let site = Site::new();
    let mut program = site.start("127.0.0.1:0");
    let address = program.address();
    let mark = BufReader::new(TcpStream::connect(address).unwrap());
    let body = "{\"label\": \"before\"}";
    let head = format!("POST /api/events HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n");
    write!(mark.get_ref(), "{head}Content-Length: {}\r\n\r\n{body}", body.len()).unwrap();
    assert_eq!(read_response(&mut { mark }).status, 201);
    let mut stream = MultipartStream::open(address, "/video_feed", &[]);
    assert!(stream.next().is_some());
    let is_over = Arc::new(AtomicBool::new(false));
    let knocking = {
        let is_over = Arc::clone(&is_over);
        thread::spawn(move || knock(address, &is_over))
    };

    site.install_new();
    program.signal(Signal::USR2);
    program.line_with("takes over");
    // The stream ends with its last boundary: it does not break. Its last picture says that it has ended.
    let last = stream.last().unwrap();
    assert!(last.header("x-framecast-notice").is_some());
    program.line_with(&format!("using the socket {address} of the server that ran in this process before"));
    assert_eq!(program.address(), address);
    let arguments = format!("--config {} --listen 127.0.0.1:0", site.file().display());
    assert_eq!(fs::read_to_string(site.path("runs")).unwrap(), format!("check {arguments}\n{arguments}\n"));
    let mut stream = MultipartStream::open(address, "/video_feed", &[]);
    assert!(stream.next().is_some() && stream.next().is_some(), "a viewer that comes back sees pictures");
    is_over.store(true, Ordering::SeqCst);
    assert!(joined("the clients end", knocking) > 0);
    let table = get(address, "/api/events?kind=mark").text();
    assert!(table.contains("\"before\""), "{table}");
    // The child of this test is the same process.
    let (status, lines) = program.terminate();
    assert_eq!(status.code(), Some(0), "{lines:#?}");
    let kinds = kinds(&site.path("state"));
    let starts = kinds.iter().filter(|kind| matches!(kind.as_str(), "started" | "stopped"));
    assert_eq!(starts.collect::<Vec<_>>(), ["started", "stopped", "started", "stopped"]);
}

#[test]
fn a_new_version_that_refuses_the_configuration_does_not_take_over() {
    let site = Site::new();
    let mut program = site.start("127.0.0.1:0");
    let address = program.address();
    let mut stream = MultipartStream::open(address, "/video_feed", &[]);
    fs::write(
        site.file(),
        "max_viewers = 0\n[[camera]]\nname = \"front\"\nsource = \"emulated\"\nquality = 0\n",
    )
    .unwrap();
    program.signal(Signal::USR2);
    let line = program.line_with("does not take over, and this program goes on");
    assert!(line.contains("site.toml:1:15: max_viewers must be at least 1; "), "{line}");
    assert!(line.contains("site.toml:5:11: quality must be from 1 to 100"), "{line}");
    assert!(stream.nth(5).is_some(), "its viewer notices nothing");
    // A package that is about to be installed.
    fs::remove_file(site.program()).unwrap();
    program.signal(Signal::USR2);
    let line = program.line_with("does not take over, and this program goes on");
    assert!(line.contains("it cannot run: ") && line.contains("/framecast does"), "{line}");
    fs::write(site.program(), "#!/bin/sh\nexit 7\n").unwrap();
    fs::set_permissions(site.program(), fs::Permissions::from_mode(0o755)).unwrap();
    program.signal(Signal::USR2);
    let line = program.line_with("does not take over, and this program goes on");
    assert!(line.contains("its check ended with exit status: 7"), "{line}");
    assert!(stream.nth(5).is_some());
    assert_eq!(program.terminate().0.code(), Some(0));
}

#[test]
fn a_configuration_that_was_read_from_a_pipe_is_not_handed_over() {
    let folder = tempfile::tempdir().unwrap();
    let (reader, mut writer) = std::io::pipe().unwrap();
    writer.write_all(b"[[camera]]\nname = \"front\"\nsource = \"emulated\"\n").unwrap();
    drop(writer);
    let mut command = framecast(&["--config", "/dev/stdin", "--listen", "127.0.0.1:0"]);
    let mut program = Running::start(command.stdin(reader).env("XDG_STATE_HOME", folder.path()));
    let address = program.address();
    program.signal(Signal::USR2);
    let line = program.line_with("does not take over, and this program goes on");
    assert!(line.contains("/dev/stdin can be read only once"), "{line}");
    assert_eq!(get(address, "/cameras/front/snapshot.jpg").status, 200);
    assert_eq!(program.terminate().0.code(), Some(0));
}

#[test]
fn a_new_version_that_cannot_be_started_ends_the_process_with_an_error() {
    let site = Site::new();
    let mut program = site.start("127.0.0.1:0");
    program.address();
    // It checks the configuration, and then is gone.
    let new = site.path("new");
    fs::write(&new, "#!/bin/sh\nrm \"$0\"\n").unwrap();
    fs::set_permissions(&new, fs::Permissions::from_mode(0o755)).unwrap();
    fs::rename(new, site.program()).unwrap();
    program.signal(Signal::USR2);
    let (status, lines) = program.wait();
    assert_eq!(status.code(), Some(1), "{lines:#?}");
    let told = lines.iter().any(|line| line.contains("cannot start ") && line.contains("so the server ends"));
    assert!(told, "{lines:#?}");
}

#[test]
fn the_file_of_a_unix_socket_stays_until_the_last_version_ends() {
    let site = Site::new();
    let socket = site.path("http.sock");
    let mut program = site.start(&format!("unix:{}", socket.display()));
    program.line_with("listening on unix:");
    let id = |path: &Path| fs::metadata(path).unwrap().ino();
    let before = id(&socket);
    for _ in 0..2 {
        program.signal(Signal::USR2);
        program.line_with("of the server that ran in this process before");
        program.line_with("listening on unix:");
        assert_eq!(id(&socket), before);
        let mut stream = UnixStream::connect(&socket).unwrap();
        stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.ends_with("\r\n\r\nok\n"), "{answer}");
    }
    assert_eq!(program.terminate().0.code(), Some(0));
    assert!(!socket.exists());
}

#[test]
fn signals_during_the_hand_over_do_not_end_the_process() {
    let site = Site::new();
    let mut program = site.start("127.0.0.1:0");
    let address = program.address();
    program.signal(Signal::USR2);
    program.line_with("takes over");
    // A reload and a second package, while one program ends and the other starts.
    let mut signals = 0;
    until("the new version listens", || {
        program.signal(Signal::USR2);
        program.signal(Signal::HUP);
        signals += 1;
        program.read_lines();
        program.seen.iter().filter(|line| line.contains("listening on")).count() > 1
    });
    assert!(signals > 1);
    until("a server answers", || get(address, "/healthz").status == 200);
    assert_eq!(program.terminate().0.code(), Some(0));
}

#[test]
fn a_signal_to_end_during_the_hand_over_ends_the_process() {
    let site = Site::new();
    // Its child takes its time to end.
    site.write("exec:sh -c 'trap \\\"\\\" TERM; while :; do sleep 0.1; done'");
    let mut program = site.start("127.0.0.1:0");
    let address = program.address();
    let _viewer = MultipartStream::open(address, "/video_feed", &[]);
    program.signal(Signal::USR2);
    program.line_with("takes over");
    program.signal(Signal::TERM);
    let (status, lines) = program.wait();
    assert_eq!(status.code(), Some(0), "{lines:#?}");
    assert!(!lines.iter().any(|line| line.contains("ran in this process before")), "{lines:#?}");
    assert!(TcpStream::connect(address).is_err());
}

#[test]
fn a_connection_that_has_just_been_accepted_is_answered_before_the_server_ends() {
    let site = Site::new();
    let mut program = site.start("127.0.0.1:0");
    let address = program.address();
    let mut waiting = TcpStream::connect(address).unwrap();
    assert_eq!(
        get(address, "/healthz").status,
        200,
        "a later connection has been accepted, and so has this one"
    );
    program.signal(Signal::TERM);
    program.line_with("shutting down");
    until("nobody is let in any more", || TcpStream::connect(address).is_err());
    waiting.write_all(format!("GET /healthz HTTP/1.1\r\nHost: {address}\r\n\r\n").as_bytes()).unwrap();
    let mut answer = Vec::new();
    BufReader::new(waiting).read_to_end(&mut answer).unwrap();
    let answer = String::from_utf8(answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains("\r\nConnection: close\r\n"), "{answer}");
    assert!(answer.lines().last() == Some("ok"), "{answer}");
    assert_eq!(program.wait().0.code(), Some(0));
}
