//! Full and read-only disks: pictures come, the log reports the problem in one line, and the history holds events in
//! memory and writes them once there is room.
//!
//! The program runs in its own mount namespaces (`unshare`), with a small in-memory file system for its state.
#![cfg(target_os = "linux")]

use std::fs;
use std::io::Read;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use framecast_testkit::blocking::{get, read_head, request_head, send, until};
use framecast_testkit_server::program::{Running, command, run};
use serde_json::Value;
use tempfile::TempDir;

/// The log line if the program ends before it could write its events.
const LOST: &str = "the history's database did not accept the last events; the server dropped them";

const SOURCE: [&str; 3] = ["--listen", "127.0.0.1:0", "emulated:?size=64x64&fps=20"];

/// The program with `arguments`, started after the commands of `prepare`, in which `$dir` stands for `folder`. The
/// program keeps its state in `folder`.
fn within(prepare: &str, folder: &Path, arguments: &[&str]) -> Command {
    let failed = "echo 'the file system for the test could not be prepared' >&2; exit 1";
    let script = format!("dir=$1; shift; {{ {prepare}; }} || {{ {failed}; }}; exec \"$@\"");
    let program = env!("CARGO_BIN_EXE_framecast");
    let head = ["-rm", "sh", "-c", &script, "sh", folder.to_str().unwrap(), program];
    let mut command = command(PathBuf::from("unshare"), &[&head[..], arguments].concat());
    command.env("XDG_STATE_HOME", folder);
    command
}

/// Sets a mark; returns the status and the mark's id.
fn mark(address: SocketAddr, label: &str) -> (u16, Option<i64>) {
    let body = format!("{{\"label\": \"{label}\"}}");
    let len = body.len();
    let request = format!(
        "POST /api/events HTTP/1.1\r\nHost: {address}\r\nContent-Length: {len}\r\nConnection: close\r\n\r\n{body}"
    );
    let mut reader = send(address, &request);
    let status = read_head(&mut reader).status;
    let mut body = Vec::new();
    reader.read_to_end(&mut body).unwrap();
    let answer: Value = serde_json::from_slice(&body).unwrap();
    (status, answer["id"].as_i64())
}

/// The ids of all marks, the oldest first.
fn marks(address: SocketAddr) -> Vec<i64> {
    let answer = get(address, "/api/events?kind=mark&order=oldest&limit=1000");
    assert_eq!(answer.status, 200, "{}", answer.text());
    let page: Value = serde_json::from_slice(&answer.body).unwrap();
    page["events"].as_array().unwrap().iter().map(|event| event["id"].as_i64().unwrap()).collect()
}

/// The complete table at `path`.
fn table(address: SocketAddr, path: &str) -> String {
    // HTTP/1.0 has no chunks.
    let mut reader = send(address, &request_head(address, &format!("GET {path}"), &[], "1.0"));
    assert_eq!(read_head(&mut reader).status, 200);
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    text
}

fn metric(address: SocketAddr, name: &str) -> f64 {
    let text = get(address, "/metrics").text();
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')).unwrap().parse().unwrap()
}

/// Waits until the history has written all its events.
fn until_written(address: SocketAddr) {
    until("events are written", || {
        metric(address, "framecast_history_up") > 0.0
            && metric(address, "framecast_history_waiting_events") == 0.0
    });
}

/// Ends the program, and checks that its log has these warnings: each line contains its text.
fn ends_with_warnings(program: Running, texts: &[&str]) {
    let (status, lines) = program.terminate();
    assert!(status.success(), "{lines:#?}");
    let warnings: Vec<_> = lines.iter().filter(|line| line.contains(" WARN ")).collect();
    assert_eq!(warnings.len(), texts.len(), "{lines:#?}");
    assert!(warnings.iter().zip(texts).all(|(line, text)| line.contains(text)), "{warnings:?}");
}

/// The path by which this test can open the file that the program sees at `path`.
fn seen_by(program: &Running, path: &Path) -> PathBuf {
    Path::new("/proc").join(program.id().to_string()).join("root").join(path.strip_prefix("/").unwrap())
}

#[test]
fn a_disk_that_is_full_at_start_stops_no_camera_and_events_are_written_once_there_is_room() {
    let folder = TempDir::new().unwrap();
    let prepare = "mount -t tmpfs -o size=2m tmpfs \"$dir\" && ! cat /dev/zero 2>&- >\"$dir/fill\"";
    let mut program = Running::start(&mut within(prepare, folder.path(), &SOURCE));
    let address = program.address();
    assert_eq!(get(address, "/snapshot.jpg").status, 200);
    assert_eq!(metric(address, "framecast_history_up"), 0.0);
    let set: Vec<i64> = (0..20)
        .map(|n| {
            let (status, id) = mark(address, &format!("number {n}"));
            assert_eq!(status, 202, "it is not on the disk");
            id.unwrap()
        })
        .collect();
    assert_eq!(marks(address), set);
    assert!(table(address, "/history").contains("cannot write events to the disk"));
    fs::remove_file(seen_by(&program, &folder.path().join("fill"))).unwrap();
    until_written(address);
    // This reads the bytes, because SQLite would resolve the path in this test's own file system.
    let file = |name: &str| fs::read(seen_by(&program, &folder.path().join("framecast").join(name))).unwrap();
    let bytes = [file("framecast.db"), file("framecast.db-wal")].concat();
    assert!(bytes.windows(9).any(|bytes| bytes == b"number 19"));
    assert_eq!(marks(address), set, "with their ids");
    let (status, last) = mark(address, "there is room");
    assert_eq!((status, marks(address)), (201, [set, vec![last.unwrap()]].concat()));
    program.line_with("the history is now in");
    let text =
        "framecast.db cannot be written: the disk is full; the server keeps the newest 16 MiB of events";
    ends_with_warnings(program, &[text]);
}

#[test]
fn a_disk_that_becomes_full_stops_no_camera_and_events_are_written_once_there_is_room() {
    let folder = TempDir::new().unwrap();
    let prepare = "mount -t tmpfs -o size=2m tmpfs \"$dir\"";
    let mut program = Running::start(&mut within(prepare, folder.path(), &SOURCE));
    let address = program.address();
    let mut set = vec![mark(address, "before").1.unwrap()];
    let fill = seen_by(&program, &folder.path().join("fill"));
    let mut file = fs::File::create(&fill).unwrap();
    // The copy fails once the disk is full.
    std::io::copy(&mut std::io::repeat(0), &mut file).unwrap_err();
    // The space that the write-ahead log already has may still take a few marks.
    let label = "m".repeat(900);
    let mut statuses = Vec::new();
    while statuses.last() != Some(&202) {
        let (status, id) = mark(address, &label);
        set.push(id.unwrap());
        statuses.push(status);
        assert!(statuses.len() < 1000, "{statuses:?}");
    }
    assert_eq!(get(address, "/snapshot.jpg").status, 200);
    assert_eq!(metric(address, "framecast_history_up"), 0.0);
    assert_eq!(marks(address), set[..set.len() - 1], "what is on the disk can be read");
    assert!(table(address, "/history").contains("database is unavailable: "));
    fs::remove_file(fill).unwrap();
    drop(file);
    until_written(address);
    assert_eq!(marks(address), set);
    ends_with_warnings(
        program,
        &["the disk is full; events wait in memory until they can be written; free some space"],
    );
}

#[test]
fn a_state_dir_on_a_full_disk_and_a_history_on_one_stop_no_camera() {
    let folder = TempDir::new().unwrap();
    let config = TempDir::new().unwrap();
    let dir = folder.path().display();
    for line in [format!("state_dir = '{dir}'"), format!("history = '{dir}/events.db'")] {
        let path = config.path().join("framecast.toml");
        let rest = "listen = '127.0.0.1:0'\n[[camera]]\nname = 'front'\nsource = 'emulated'\n";
        fs::write(&path, format!("{line}\n{rest}")).unwrap();
        let prepare = "mount -t tmpfs -o size=1m tmpfs \"$dir\" && ! cat /dev/zero 2>&- >\"$dir/fill\"";
        let arguments = ["--config", path.to_str().unwrap()];
        let mut program = Running::start(&mut within(prepare, folder.path(), &arguments));
        let address = program.address();
        assert_eq!(get(address, "/snapshot.jpg").status, 200);
        ends_with_warnings(program, &["the disk is full; the server keeps the newest 16 MiB", LOST]);
    }
}

#[test]
fn a_state_dir_or_history_that_cannot_be_is_an_error_where_the_disk_is_read_only() {
    let folder = TempDir::new().unwrap();
    let config = TempDir::new().unwrap();
    let dir = folder.path().display();
    for line in [format!("state_dir = '{dir}'"), format!("history = '{dir}/events.db'")] {
        let path = config.path().join("framecast.toml");
        let rest = "listen = '127.0.0.1:0'\n[[camera]]\nname = 'front'\nsource = 'emulated'\n";
        fs::write(&path, format!("{line}\n{rest}")).unwrap();
        let prepare = "mount -t tmpfs -o ro tmpfs \"$dir\"";
        let (code, _, errors) =
            run(&mut within(prepare, folder.path(), &["--config", path.to_str().unwrap()]));
        assert!(matches!(code, 1 | 2), "{code}: {errors}");
        assert!(errors.contains("Read-only file system") && errors.contains(&dir.to_string()), "{errors}");
    }
}

#[test]
fn where_nothing_can_be_written_pictures_come_and_events_are_in_memory() {
    // As in a read-only container, in which the temporary folders are read-only too.
    const READ_ONLY: &str = "mount --make-rprivate / && mount -o remount,bind,ro / && mount -t tmpfs -o ro tmpfs /tmp && \
                             mount -t tmpfs -o ro tmpfs /var/tmp && ! touch \"$dir/x\" 2>&-";
    let config = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let path = config.path().join("temporary.toml");
    let rest = "listen = '127.0.0.1:0'\n[[camera]]\nname = 'front'\nsource = 'emulated'\n";
    fs::write(&path, format!("history = 'temporary'\n{rest}")).unwrap();
    let temporary = ["--config", path.to_str().unwrap()];
    let nowhere = [("XDG_STATE_HOME", ""), ("HOME", "")];
    for (arguments, environment, status, told) in [
        (&SOURCE[..], &[][..], 202, "framecast.db cannot be written: "),
        (&SOURCE[..], &nowhere[..], 201, "no state directory is known; set state_dir or HOME"),
        (&temporary[..], &[][..], 201, "cannot be written: "),
    ] {
        let mut command = within(READ_ONLY, config.path(), arguments);
        command.envs(environment.iter().copied()).env("TMPDIR", "/var/tmp");
        let mut program = Running::start(&mut command);
        let address = program.address();
        assert_eq!(get(address, "/snapshot.jpg").status, 200);
        let (answered, id) = mark(address, "here");
        assert_eq!((answered, marks(address)), (status, vec![id.unwrap()]), "{told}");
        assert_eq!(table(address, "/api/events.csv?kind=mark,lost").lines().count(), 2);
        // The program loses the events that it meant to write later, and logs that.
        let lost: &[&str] = if status == 202 { &[LOST] } else { &[] };
        ends_with_warnings(program, &[&[told], lost].concat());
    }
}
