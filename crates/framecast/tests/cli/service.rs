//! The program as a service: listening sockets that its parent has opened, and messages to the service manager.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use framecast_testkit::blocking::get;
use framecast_testkit_server::program::{ChildGuard, Running, command, run};
use rustix::process::Signal;

use crate::signal::in_own_session;

/// The program, started by a shell that first moves its standard input and output to the descriptors 3 and 4. The shell sets
/// these variables.
fn with_descriptors(variables: &str, listen: &str, state: &Path) -> Command {
    let mut command = command("sh".into(), &["-c"]);
    command.arg(format!("exec 3<&0 4<&1 </dev/null >&2; {variables} exec \"$0\" \"$@\""));
    command.args([env!("CARGO_BIN_EXE_framecast"), "--listen", listen, "emulated:?fps=20"]);
    command.env("XDG_STATE_HOME", state);
    command
}

#[test]
fn sockets_of_the_parent_are_served_in_place_of_listen() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("http.sock");
    let (tcp, unix) = (TcpListener::bind("127.0.0.1:0").unwrap(), UnixListener::bind(&path).unwrap());
    let address = tcp.local_addr().unwrap();
    let mut command = with_descriptors("LISTEN_PID=$$ LISTEN_FDS=2", "127.0.0.1:1", folder.path());
    command.stdin(OwnedFd::from(tcp)).stdout(OwnedFd::from(unix)).stderr(Stdio::piped());
    let mut program = ChildGuard(command.spawn().unwrap());
    drop(command);
    let mut lines = BufReader::new(program.0.stderr.take().unwrap()).lines();
    let mut line_with =
        |text: &str| lines.find_map(|line| Some(line.unwrap()).filter(|line| line.contains(text))).unwrap();
    let told = line_with(&format!("using the socket {address} of another program"));
    assert!(told.contains("`listen` has no effect"), "{told}");
    line_with(&format!("using the socket unix:{} of another program", path.display()));
    line_with(&format!("listening on {address}"));
    line_with("listening on unix:");
    // A new version gets both.
    for round in 0..2 {
        assert_eq!(get(address, "/healthz").text(), "ok\n");
        let mut stream = UnixStream::connect(&path).unwrap();
        stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.ends_with("ok\n"), "{answer}");
        if round == 0 {
            program.signal(Signal::USR2);
            line_with(&format!("using the socket unix:{} of another program", path.display()));
            line_with("listening on unix:");
        }
    }
    program.signal(Signal::TERM);
    assert_eq!(program.wait().code(), Some(0));
    assert!(path.exists(), "the file belongs to the other program");
}

#[test]
fn descriptors_for_another_process_are_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = tcp.local_addr().unwrap().to_string();
    let mut command = with_descriptors("LISTEN_PID=1 LISTEN_FDS=1", &listen, folder.path());
    let (code, _, errors) = run(command.stdin(OwnedFd::from(tcp)));
    assert!(code == 1 && errors.contains(&format!("cannot listen on {listen}: ")), "{errors}");
}

#[test]
fn descriptors_that_are_no_listening_stream_sockets_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let connection = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let file = fs::File::open("/dev/null").unwrap();
    let datagrams = UnixDatagram::unbound().unwrap();
    for (descriptor, listen, expected) in [
        (
            connection.into(),
            "LISTEN_FDS=1",
            "descriptor 3: it is a socket of a connection, which does not listen",
        ),
        (file.into(), "LISTEN_FDS=1", "descriptor 3: it is not a socket"),
        (datagrams.into(), "LISTEN_FDS=1", "descriptor 3: it is not a stream socket"),
        (OwnedFd::from(listener), "LISTEN_FDS=9", "LISTEN_FDS=9, but descriptor 5 is not open"),
        (
            OwnedFd::from(fs::File::open("/dev/null").unwrap()),
            "LISTEN_FDS=-1",
            "LISTEN_FDS=-1 is not a number",
        ),
    ] {
        let mut command = with_descriptors(&format!("LISTEN_PID=$$ {listen}"), "127.0.0.1:0", folder.path());
        let (code, _, errors) = run(command.stdin(descriptor));
        assert!(code == 2 && errors.contains(expected), "{expected}: {errors}");
        assert!(errors.contains("ListenStream=") || listen == "LISTEN_FDS=-1", "{errors}");
    }
}

/// The messages of the program to its service manager.
struct Messages(UnixDatagram);

impl Messages {
    /// Returns the next message that is not one of the watchdog, and not the status alone, which follows a change.
    fn next(&self) -> String {
        loop {
            let message = self.next_of_all();
            if message != "WATCHDOG=1" && !message.starts_with("STATUS=") {
                return message;
            }
        }
    }

    fn next_of_all(&self) -> String {
        let mut buffer = [0; 1024];
        let len = self.0.recv(&mut buffer).expect("the program sends a message");
        String::from_utf8(buffer[..len].to_vec()).unwrap()
    }

    /// Checks that the next messages say that the program changes something, and then is ready with `cameras`.
    fn reload(&self, what: &str, cameras: &str) {
        let message = self.next();
        let (time, status) =
            message.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").unwrap().split_once('\n').unwrap();
        assert!(time.parse::<u64>().unwrap() > 0, "{message}");
        assert_eq!(status, format!("STATUS={what}"));
        assert_eq!(self.next(), format!("READY=1\nSTATUS=Serving {cameras}"));
    }
}

#[test]
fn the_service_manager_is_told_how_the_server_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let messages = Messages(UnixDatagram::bind(&path).unwrap());
    messages.0.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let file = folder.path().join("site.toml");
    let camera = |name: &str| format!("[[camera]]\nname = \"{name}\"\nsource = \"emulated\"\n");
    fs::write(&file, camera("front")).unwrap();
    let arguments = ["--config", file.to_str().unwrap(), "--listen", "127.0.0.1:0"];
    let mut command = in_own_session(&[], &arguments, folder.path());
    command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "1000000").env_remove("WATCHDOG_PID");
    let mut program = Running::start(&mut command);
    assert_eq!(messages.next(), "READY=1\nSTATUS=Serving 1 camera");
    assert_eq!(get(program.address(), "/healthz").status, 200);
    assert_eq!(messages.next_of_all(), "WATCHDOG=1");

    fs::write(&file, camera("front") + &camera("yard")).unwrap();
    program.signal(Signal::HUP);
    messages.reload("Reading the configuration again", "2 cameras");
    program.signal(Signal::USR2);
    messages.reload("Handing over to a new version", "2 cameras");
    assert_eq!(messages.next_of_all(), "WATCHDOG=1", "the new version reports, too");
    program.signal(Signal::TERM);
    assert_eq!(messages.next(), "STOPPING=1\nSTATUS=Closing the cameras");
    assert_eq!(program.wait().0.code(), Some(0));
}

#[test]
fn the_watchdog_barks_when_the_process_is_stopped_and_not_before() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let messages = Messages(UnixDatagram::bind(&path).unwrap());
    messages.0.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let arguments = ["--listen", "127.0.0.1:0", "emulated"];
    let mut command = in_own_session(&[], &arguments, folder.path());
    command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "100000").env_remove("WATCHDOG_PID");
    let program = Running::start(&mut command);
    messages.next();
    for _ in 0..3 {
        assert_eq!(messages.next_of_all(), "WATCHDOG=1");
    }
    program.signal(Signal::STOP);
    messages.0.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    let mut late = [0; 64];
    let on_the_way = (0..100).take_while(|_| messages.0.recv(&mut late).is_ok()).count();
    assert!(on_the_way < 100, "it reports, although it does not run");
    messages.0.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    program.signal(Signal::CONT);
    assert_eq!(messages.next_of_all(), "WATCHDOG=1");
    assert_eq!(program.terminate().0.code(), Some(0));
}
