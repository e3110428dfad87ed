//! Where the real program stores events: the places that it refuses, and the files that it leaves behind.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use framecast_testkit::blocking::get;
use framecast_testkit_server::history_server::{ask, client, labelled};
use framecast_testkit_server::program::{Running, framecast, run};
use serde_json::Value;
use tempfile::TempDir;

/// The program with a configuration file in `folder` that contains `lines`.
fn program(folder: &Path, lines: &str) -> Command {
    let config = folder.join(format!("{}.toml", fastrand::u64(..)));
    let rest = "listen = '127.0.0.1:0'\n[[camera]]\nname = 'front'\nsource = 'emulated'\n";
    fs::write(&config, format!("{lines}\n{rest}")).unwrap();
    let mut command = framecast(&["--config", config.to_str().unwrap()]);
    command.env("TMPDIR", folder);
    command
}

/// The entries of `folder` whose names begin like the program's temporary folders.
fn temporary(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with("framecast-")).collect()
}

fn events(address: SocketAddr) -> Vec<Value> {
    let answer: Value = serde_json::from_slice(&get(address, "/api/events?limit=1000").body).unwrap();
    answer["events"].as_array().unwrap().clone()
}

#[test]
fn a_file_that_cannot_be_used_ends_the_program_with_its_path_and_what_to_do() {
    let folder = TempDir::new().unwrap();
    let path = |name: &str| folder.path().join(name);
    fs::write(path("table.csv"), "name,price\napple,1\n".repeat(100)).unwrap();
    let other = rusqlite::Connection::open(path("stock.db")).unwrap();
    other.execute_batch("CREATE TABLE stock (id)").unwrap();
    drop(other);
    let line = format!("history = '{}'", path("newer.db").display());
    let mut first = Running::start(&mut program(folder.path(), &line));
    first.address();
    assert!(first.terminate().0.success());
    let newer = rusqlite::Connection::open(path("newer.db")).unwrap();
    newer.execute_batch("PRAGMA user_version = 7").unwrap();
    drop(newer);
    fs::create_dir(path("folder.db")).unwrap();
    for (name, code, told, advice) in [
        ("table.csv", 1, "is not a database", "name another file, or move this one away"),
        ("stock.db", 1, "belongs to another program", "name another file"),
        ("newer.db", 1, "was created by a newer Framecast", "update Framecast, or name another database"),
        ("table.csv/x.db", 1, "cannot be written", ""),
        ("folder.db", 2, "is a folder", "name a file in it"),
    ] {
        let line = format!("history = '{}'", path(name).display());
        let before = fs::read(path(name)).ok();
        let (ended, _, errors) = run(&mut program(folder.path(), &line));
        assert_eq!(ended, code, "{name}: {errors}");
        let shown = path(name).display().to_string();
        assert!(
            errors.contains(&shown) && errors.contains(told) && errors.contains(advice),
            "{name}: {errors}"
        );
        assert_eq!(fs::read(path(name)).ok(), before, "{name} was changed");
    }
}

#[test]
fn a_history_that_another_program_writes_is_refused_until_that_ends() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("events.db");
    let line = format!("history = '{}'", path.display());
    let mut first = Running::start(&mut program(folder.path(), &line));
    let address = first.address();
    let (code, _, errors) = run(&mut program(folder.path(), &line));
    assert_eq!(code, 1, "{errors}");
    assert!(errors.contains(path.to_str().unwrap()), "{errors}");
    assert!(
        errors.contains("is in use by another Framecast; stop that one, or name another database"),
        "{errors}"
    );
    assert_eq!(get(address, "/healthz").status, 200, "the first one goes on");
    assert!(first.terminate().0.success());
    let mut second = Running::start(&mut program(folder.path(), &line));
    let address = second.address();
    // The API reads only written events, and the history writes them soon.
    let mut kept = events(address);
    while kept.len() < 3 {
        kept = events(address);
    }
    let kinds: Vec<&Value> = kept.iter().map(|event| &event["kind"]).collect();
    assert_eq!(kinds, ["started", "stopped", "started"]);
    assert!(second.terminate().0.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn where_the_default_file_is_in_use_events_are_kept_as_long_as_the_program_runs() {
    let folder = TempDir::new().unwrap();
    let line = format!("state_dir = '{}'", folder.path().join("state").display());
    let mut first = Running::start(&mut program(folder.path(), &line));
    let address = first.address();
    assert_eq!(temporary(folder.path()), Vec::<PathBuf>::new());
    let mut second = Running::start(&mut program(folder.path(), &line));
    let warning = second.line_with("is in use by another Framecast");
    assert!(warning.contains("WARN") && warning.contains("state/framecast.db"), "{warning}");
    assert!(warning.contains("events are kept only in a temporary folder and are lost"), "{warning}");
    let other = second.address();
    assert_eq!(temporary(folder.path()).len(), 1);
    let url = format!("http://{other}/api/events");
    assert_eq!(ask(client().post(url).body(labelled("here"))).await.unwrap().status, 201);
    assert_eq!((events(address).len(), events(other).len()), (1, 2), "each has its own");
    let page = ask(client().get(format!("http://{other}/history"))).await.unwrap().text();
    assert!(page.contains("empty after a restart"), "the page says so: {page}");
    assert!(second.terminate().0.success());
    assert_eq!(temporary(folder.path()), Vec::<PathBuf>::new(), "nothing is left behind");
    assert!(first.terminate().0.success());
}

#[test]
fn a_temporary_history_leaves_nothing_behind_even_while_somebody_reads() {
    let folder = TempDir::new().unwrap();
    let mut program = Running::start(&mut program(folder.path(), "history = 'temporary'"));
    let address = program.address();
    assert_eq!(temporary(folder.path()).len(), 1);
    let request = format!("GET /api/events/live HTTP/1.1\r\nHost: {address}\r\n\r\n");
    let mut listening = framecast_testkit::blocking::send(address, &request);
    framecast_testkit::blocking::read_head(&mut listening);
    let table = framecast_testkit::blocking::send(
        address,
        &format!("GET /history HTTP/1.1\r\nHost: {address}\r\n\r\n"),
    );
    let (status, lines) = program.terminate();
    assert_eq!(status.code(), Some(0), "{lines:#?}");
    assert_eq!(temporary(folder.path()), Vec::<PathBuf>::new(), "{lines:#?}");
    drop((listening, table));
}
