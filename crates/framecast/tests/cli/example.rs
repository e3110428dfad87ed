//! Runs every example: the programs in `examples/` of this crate, and the files in `examples/` of the repository.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use framecast::codec::jpeg;
use framecast::{Drivers, Settings};
use framecast_testkit::blocking::{MultipartStream, get, send_request, until};
use framecast_testkit_server::program::{Running, command, framecast, run};
use serde_json::Value;

/// The password for the accounts in the examples.
const PASSWORD: &str = "long enough";

/// The compiled example. `cargo test` builds all of them, but not if it runs this test alone.
#[expect(clippy::disallowed_methods, reason = "to compile an example may take longer than any other wait")]
fn example(name: &str, arguments: &[&str]) -> Command {
    let program = PathBuf::from(env!("CARGO_BIN_EXE_framecast")).with_file_name("examples").join(name);
    if !program.exists() {
        let cargo = Command::new(env!("CARGO"))
            .args(["build", "--quiet", "--offline", "-p", "framecast", "--example", name])
            .status();
        assert!(cargo.unwrap().success());
    }
    command(program, arguments)
}

/// The files in `examples/` of the repository, by name.
fn files() -> Vec<(String, PathBuf)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
    let mut files: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
        .map(|path| (path.file_name().unwrap().to_str().unwrap().to_owned(), path))
        .collect();
    files.sort();
    files
}

fn api(address: std::net::SocketAddr, path: &str) -> Value {
    serde_json::from_slice(&get(address, path).body).unwrap()
}

#[test]
fn a_custom_camera_shows_what_its_iterator_yields() {
    let mut program = Running::start(&mut example("custom_camera", &["127.0.0.1:0"]));
    let address = program.address();
    let mut stream = MultipartStream::open(address, "/video_feed", &[]);
    let first = stream.next().unwrap().body;
    let picture = jpeg::decode(&first, 1 << 20).unwrap();
    assert_eq!((picture.width_px(), picture.height_px()), (320, 240));
    until("another picture", || stream.next().unwrap().body != first);
    assert_eq!(get(address, "/cameras/slope").status, 200);
    assert!(program.terminate().0.success());
}

#[test]
fn a_custom_driver_is_opened_for_a_viewer_and_closed_at_the_end() {
    let mut program = Running::start(&mut example("custom_driver", &["127.0.0.1:0"]));
    let address = program.address();
    assert_eq!(api(address, "/api/cameras/bars")["state"], "idle");
    let mut stream = MultipartStream::open(address, "/cameras/bars/stream.mjpg", &[]);
    program.line_with("opened");
    let first = stream.next().unwrap().body;
    until("another picture", || stream.next().unwrap().body != first);
    assert_eq!(api(address, "/api/cameras/bars")["driver"], "bars");
    let (status, lines) = program.terminate();
    assert!(status.success());
    assert_eq!(lines.last().map(String::as_str), Some("closed"));
}

#[test]
fn an_axum_program_shows_its_own_page_and_the_cameras_below_a_prefix() {
    let mut program = Running::start(&mut example("embed", &["127.0.0.1:0"]));
    let address = program.address();
    assert!(get(address, "/").text().contains("The workshop"));
    let redirect = get(address, "/cams?x=1");
    assert_eq!((redirect.status, redirect.header("location")), (307, Some("cams/?x=1")));
    let page = get(address, "/cams/");
    assert_eq!(page.status, 200);
    // The page names its files by relative URLs.
    let text = page.text();
    for (attribute, _) in text
        .match_indices("=\"")
        .filter(|(at, _)| text[..*at].ends_with("href") || text[..*at].ends_with("src"))
    {
        let target = text[attribute + 2..].split('"').next().unwrap();
        assert!(!target.starts_with('/'), "{target}");
        if target.starts_with("static/") {
            assert_eq!(get(address, &format!("/cams/{target}")).status, 200, "{target}");
        }
    }
    for path in
        ["/cams/cameras/bench", "/cams/static/api.js", "/cams/healthz", "/cams/cameras/door/snapshot.jpg"]
    {
        assert_eq!(get(address, path).status, 200, "{path}");
    }
    let cameras = api(address, "/cams/api/cameras");
    assert_eq!(cameras["cameras"][1]["name"], "door");
    let mut stream = MultipartStream::open(address, "/cams/cameras/bench/stream.mjpg", &[]);
    assert!(stream.next().unwrap().body.starts_with(&[0xFF, 0xD8]));
    assert_eq!(get(address, "/viewers").text(), "1");
    // The streams alone, without the rest.
    let mut alone = MultipartStream::open(address, "/streams/cameras/door/stream.mjpg", &[]);
    assert!(alone.next().unwrap().body.starts_with(&[0xFF, 0xD8]));
    assert_eq!(get(address, "/streams/api/cameras").status, 404);
    // Only who logs in removes a camera.
    assert_eq!(send_request(address, "DELETE /door", &[]).status, 401);
    // Nor does a GET change something, as at the paths of other programs.
    let command = "?action=command&dest=0&plugin=0&group=1&id=brightness&value=1";
    for path in [&*format!("/cams/{command}"), "/cams/option?brightness=1"] {
        assert_eq!(get(address, path).status, 404, "{path}");
    }
    let login = [("Authorization", "Basic bWU6b3Blbi1zZXNhbWU=")];
    assert_eq!(send_request(address, "DELETE /door", &login).status, 200);
    until("the stream of the removed camera ends", || alone.next().is_none());
    assert_eq!(get(address, "/cams/cameras/door").status, 404);
    program.signal(rustix::process::Signal::TERM);
    until("the stream ends", || stream.next().is_none());
    assert!(program.wait().0.success());
}

#[test]
fn a_text_stream_is_written_and_read() {
    let mut server = Running::start(&mut example("text_stream", &["127.0.0.1:0"]));
    let address = server.address().to_string();
    let (code, stdout, stderr) = run(&mut example("text_stream", &["read", &address]));
    assert_eq!((code, stderr.as_str()), (0, ""));
    let lines: Vec<&str> = stdout.lines().collect();
    assert_eq!(lines[0], "content-type: multipart/x-mixed-replace; boundary=text");
    assert_eq!(lines[1..], ["10", "9", "8", "7", "6", "5", "4", "3", "2", "1", "lift-off"]);
}

#[test]
fn every_file_is_read_by_the_library() {
    let files = files();
    assert!(files.len() >= 4);
    for (name, path) in files {
        let text = fs::read_to_string(path).unwrap();
        let settings = Settings::from_toml_with_password(&text, &Drivers::builtin(), Some("pw"));
        let settings = settings.unwrap_or_else(|error| panic!("{}", error.in_file(name)));
        assert!(!settings.cameras.is_empty());
    }
}

#[test]
fn every_file_is_checked_by_the_program() {
    for (name, path) in files() {
        let mut command = framecast(&["check", "--config"]);
        command.arg(&path);
        if fs::read_to_string(&path).unwrap().contains("\nuser =") {
            command.env("FRAMECAST_PASSWORD", PASSWORD);
        }
        let (code, stdout, stderr) = run(&mut command);
        assert_eq!(code, 0, "{name}: {stderr}");
        // A device that is missing here may exist elsewhere, and the logins in the examples are not real.
        let is_expected = |line: &str| {
            ["warning: camera `", "warning: everyone on this machine can read "]
                .iter()
                .any(|begin| line.starts_with(begin))
        };
        assert!(stderr.lines().all(is_expected), "{name}: {stderr}");
        assert!(stdout.starts_with("nothing wrong in "), "{stdout}");
    }
}

/// Serves an example and shows its camera that needs no device.
fn serve(name: &str, camera: &str) {
    let (_, path) = files().into_iter().find(|(known, _)| known == name).unwrap();
    let path = path.to_str().unwrap().to_owned();
    let mut command = framecast(&["--listen", "127.0.0.1:0", "--config", &path]);
    let has_account = name == "site.toml";
    if has_account {
        command.env("FRAMECAST_PASSWORD", PASSWORD);
    }
    let mut program = Running::start(&mut command);
    // guard and the password, in base64.
    let headers = [("Authorization", "Basic Z3VhcmQ6bG9uZyBlbm91Z2g=")];
    let headers = if has_account { &headers[..] } else { &[] };
    let mut stream =
        MultipartStream::open(program.address(), &format!("/cameras/{camera}/stream.mjpg"), headers);
    assert!(stream.next().unwrap().body.starts_with(&[0xFF, 0xD8]));
    assert!(program.terminate().0.success());
}

#[test]
fn the_minimal_file_is_served() {
    serve("minimal.toml", "demo");
}

#[test]
fn the_file_of_a_site_is_served() {
    serve("site.toml", "test");
}

#[test]
fn the_file_of_a_relay_is_served() {
    serve("relay.toml", "demo");
}

#[test]
fn the_file_of_a_printer_is_served_though_its_devices_are_missing() {
    // The viewer gets the slate that says what is missing.
    serve("printer.toml", "timelapse");
}
