//! The configuration is reloaded: by a signal, a request, the command `reload`, and a change of the file.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use framecast_testkit::blocking::{MultipartStream, Response, get, send_request, until};
use framecast_testkit_server::program::{Running, framecast, run};
use rustix::process::Signal;
use serde_json::Value;

use crate::signal::in_own_session;

/// A running program with a configuration file of its own.
struct Site {
    folder: tempfile::TempDir,
    program: Running,
    address: SocketAddr,
}

/// The table of a camera.
fn camera(name: &str, fps: u32) -> String {
    format!("[[camera]]\nname = \"{name}\"\nsource = \"emulated:?fps={fps}&size=64x64\"\n")
}

impl Site {
    /// Starts the program with `content` as its file.
    fn start(content: &str) -> Self {
        Self::start_with(|file| fs::write(file, content).unwrap())
    }

    /// Starts the program with the file that `create` creates.
    fn start_with(create: impl FnOnce(&Path)) -> Self {
        Self::start_and_change(create, |_| ())
    }

    /// Starts the program with the file that `create` creates. As soon as the program has read the file, `change` changes
    /// it.
    fn start_and_change(create: impl FnOnce(&Path), change: impl FnOnce(&Path)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("site.toml");
        create(&file);
        let file_argument = ["--config", file.to_str().unwrap()];
        // The file can say where to listen.
        let says_where = file.is_file() && fs::read_to_string(&file).unwrap().contains("listen");
        let arguments = match says_where {
            true => file_argument.to_vec(),
            false => [&file_argument[..], &["--listen", "127.0.0.1:0"]].concat(),
        };
        let mut command = in_own_session(&[], &arguments, &folder.path().join("state"));
        let mut program =
            Running::start(command.env("FRAMECAST_PASSWORD", "long enough").env_remove("CAMERA"));
        program.line_with("using ");
        change(&file);
        let address = program.address();
        Self { folder, program, address }
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("site.toml")
    }

    /// Replaces the file as an editor does.
    fn replace(&self, content: &str) {
        let new = self.folder.path().join("site.toml.new");
        fs::write(&new, content).unwrap();
        fs::rename(new, self.file()).unwrap();
    }

    fn ask(&self, request: &str) -> Response {
        // "me:long enough"
        send_request(self.address, request, &[("Authorization", "Basic bWU6bG9uZyBlbm91Z2g=")])
    }

    fn stream(&self) -> MultipartStream {
        MultipartStream::open(self.address, "/video_feed", &[("Authorization", "Basic bWU6bG9uZyBlbm91Z2g=")])
    }

    fn names(&self) -> Vec<String> {
        let answer: Value = serde_json::from_slice(&self.ask("GET /api/cameras").body).unwrap();
        let cameras = answer["cameras"].as_array().unwrap();
        cameras.iter().map(|camera| camera["name"].as_str().unwrap().to_owned()).collect()
    }

    fn reload(&self) -> (u16, Value) {
        let answer = self.ask("POST /api/reload");
        (answer.status, serde_json::from_slice(&answer.body).unwrap())
    }

    /// Runs `framecast reload`. Returns its exit code, output and errors.
    fn reload_by_command(&self, file: &Path) -> (i32, String, String) {
        let listen = self.address.to_string();
        run(framecast(&["reload", "--config", file.to_str().unwrap(), "--listen", &listen])
            .env("FRAMECAST_PASSWORD", "long enough"))
    }
}

const ACCOUNT: &str = "user = \"me\"\n";

#[test]
fn a_request_and_the_command_say_what_changed_and_what_needs_a_restart() {
    let site = Site::start(&format!("{ACCOUNT}{}{}", camera("a", 5), camera("b", 5)));
    fs::write(site.file(), format!("{ACCOUNT}max_viewers = 9\n{}{}", camera("a", 6), camera("c", 5)))
        .unwrap();
    let (status, answer) = site.reload();
    let expected = serde_json::json!({
        "added": ["c"], "replaced": ["a"], "removed": ["b"], "needs_restart": ["max_viewers"],
    });
    assert_eq!((status, answer), (200, expected));
    assert_eq!(site.names(), ["a", "c"]);
    fs::write(site.file(), format!("{ACCOUNT}{}", camera("a", 6))).unwrap();
    let (code, output, _) = site.reload_by_command(&site.file());
    assert_eq!((code, output.trim()), (0, "removed: c"));
    assert_eq!(site.reload_by_command(&site.file()).1.trim(), "nothing has changed");
    let (_, lines) = site.program.terminate();
    let told = |words: &str| lines.iter().any(|line| line.contains(words));
    assert!(told("reloaded the configuration: added c; changed a; removed b"), "{lines:#?}");
    assert!(told("restart the server to apply the change of max_viewers"), "{lines:#?}");
}

#[test]
fn a_file_with_errors_changes_nothing_and_all_errors_are_told() {
    let site = Site::start(&format!("{ACCOUNT}{}", camera("a", 5)));
    let wrong = format!("{ACCOUNT}max_viewers = 0\n{}quality = 0\n", camera("b", 5));
    fs::write(site.file(), &wrong).unwrap();
    let (status, answer) = site.reload();
    let error = answer["error"].as_str().unwrap();
    assert_eq!(status, 422, "{error}");
    assert!(error.contains("site.toml:2:15: max_viewers must be at least 1"), "{error}");
    assert!(error.contains("site.toml:6:11: quality must be from 1 to 100"), "{error}");
    let (code, _, errors) = site.reload_by_command(&site.file());
    assert_eq!((code, errors.lines().count()), (2, 2), "{errors}");
    assert_eq!(site.names(), ["a"]);
    fs::remove_file(site.file()).unwrap();
    assert_eq!(site.reload().0, 422);
    assert_eq!(site.names(), ["a"]);
}

#[test]
fn a_hangup_and_a_change_of_the_file_reload_it() {
    let mut site = Site::start(&format!("{ACCOUNT}{}", camera("a", 20)));
    let mut stream = site.stream();
    assert!(stream.next().is_some());
    site.replace(&format!("{ACCOUNT}{}{}", camera("a", 20), camera("b", 5)));
    until("the change applies", || site.names() == ["a", "b"]);
    // Only if somebody asks for it, a file without cameras applies.
    fs::write(site.file(), ACCOUNT).unwrap();
    site.program.signal(Signal::HUP);
    site.program.line_with("reloaded the configuration: added camera; removed a, b");
    assert_eq!(site.names(), ["camera"]);
    assert!(stream.next().is_some(), "a last picture says so");
    // The server has no cameras of the file to lose any more.
    site.replace(&format!("{ACCOUNT}{}", camera("c", 20)));
    until("the change applies", || site.names() == ["c"]);
    let mut stream = site.stream();
    assert!(stream.next().is_some());
    site.replace(&format!("{ACCOUNT}{}{}", camera("c", 20), camera("d", 20)));
    until("the change applies", || site.names() == ["c", "d"]);
    assert!(stream.next().is_some(), "the viewer of the camera that is the same notices nothing");
}

#[test]
fn what_a_new_camera_needs_and_does_not_find_is_warned_of() {
    let mut site = Site::start(&format!("{ACCOUNT}{}", camera("a", 5)));
    let new = "[[camera]]\nname = \"new\"\nsource = \"exec:no-such-program\"\n";
    fs::write(site.file(), format!("{ACCOUNT}{}{new}", camera("a", 5))).unwrap();
    assert_eq!(site.reload().0, 200);
    site.program.line_with("camera `new`: cannot run `no-such-program`");
}

#[test]
fn a_change_of_the_file_alone_takes_no_cameras_and_no_account_away_by_mistake() {
    let mut site = Site::start(&format!("listen = \"127.0.0.1:0\"\n{ACCOUNT}{}", camera("a", 5)));
    for (content, told) in [
        (String::new(), "site.toml is empty"),
        (" \n\n".to_owned(), "site.toml is empty"),
        (format!("# soon\n{ACCOUNT}"), "site.toml no longer names a camera"),
        (camera("b", 5), "add --user NAME, or user = "),
        (format!("listen = \":0\"\n{ACCOUNT}{}", camera("b", 5)), "`listen` would open the server"),
        ("user = ".to_owned(), "site.toml:1:8: "),
        ("user = \"me\"\n[[camera]]\nname = \"b".to_owned(), "site.toml:3:"),
    ] {
        site.replace(&content);
        let line = site.program.line_with("the configuration was not reloaded, and nothing has changed");
        assert!(line.contains(told), "{line}");
        assert_eq!(site.names(), ["a"], "{content}");
    }
    // Who asks for it, gets it.
    fs::write(site.file(), format!("listen = \":0\"\n{ACCOUNT}{}", camera("b", 5))).unwrap();
    let (code, output, _) = site.reload_by_command(&site.file());
    assert_eq!((code, output.trim()), (0, "added: b\nremoved: a\nrestart the server to apply: listen"));
    // The change that somebody asked for does not hold up later ones.
    site.replace(&format!("listen = \":0\"\n{ACCOUNT}{}", camera("c", 5)));
    until("the change applies", || site.names() == ["c"]);
}

#[test]
fn a_file_behind_a_link_reloads_after_its_change_in_another_folder() {
    let elsewhere = tempfile::tempdir().unwrap();
    let target = elsewhere.path().join("site.toml");
    let site = Site::start_with(|file| {
        fs::write(&target, format!("{ACCOUNT}{}", camera("a", 5))).unwrap();
        std::os::unix::fs::symlink(&target, file).unwrap();
    });
    fs::write(&target, format!("{ACCOUNT}{}", camera("b", 5))).unwrap();
    until("the change applies", || site.names() == ["b"]);
}

#[test]
fn a_change_while_the_server_starts_is_not_missed() {
    let write = |name: &'static str| {
        move |file: &Path| fs::write(file, ACCOUNT.to_owned() + &camera(name, 5)).unwrap()
    };
    let site = Site::start_and_change(write("a"), write("b"));
    until("the change applies", || site.names() == ["b"]);
}

#[test]
fn a_folder_in_which_much_happens_or_that_is_replaced_delays_no_change() {
    let folder = tempfile::tempdir().unwrap();
    let inner = folder.path().join("conf");
    fs::create_dir(&inner).unwrap();
    let write = |folder: &Path, name| {
        fs::write(folder.join("site.toml"), format!("{ACCOUNT}{}", camera(name, 5))).unwrap();
    };
    write(&inner, "a");
    let site = Site::start_with(|file| std::os::unix::fs::symlink(inner.join("site.toml"), file).unwrap());
    write(&inner, "b");
    until("the change applies while the folder changes all the time", || {
        fs::write(inner.join("other.log"), "busy").unwrap();
        site.names() == ["b"]
    });
    let next = folder.path().join("next");
    fs::create_dir(&next).unwrap();
    write(&next, "c");
    fs::rename(&inner, folder.path().join("old")).unwrap();
    fs::rename(&next, &inner).unwrap();
    until("the file of the other folder applies", || site.names() == ["c"]);
    write(&inner, "d");
    until("a change in the other folder applies", || site.names() == ["d"]);
}

#[test]
fn a_file_that_is_gone_or_a_pipe_changes_nothing_and_the_next_file_applies() {
    let mut site = Site::start(&format!("{ACCOUNT}{}", camera("a", 5)));
    fs::remove_file(site.file()).unwrap();
    site.program.line_with("is gone; the server goes on with the configuration that it has");
    rustix::fs::mkfifoat(rustix::fs::CWD, site.file(), rustix::fs::Mode::from_raw_mode(0o600)).unwrap();
    let (status, answer) = site.reload();
    assert!(
        status == 422 && answer["error"].as_str().unwrap().ends_with("it is no longer a file"),
        "{answer}"
    );
    assert_eq!(site.names(), ["a"]);
    fs::remove_file(site.file()).unwrap();
    fs::write(site.file(), format!("{ACCOUNT}{}", camera("b", 5))).unwrap();
    until("the next file applies", || site.names() == ["b"]);
}

#[test]
fn a_pipe_is_not_read_again() {
    let mut site = Site::start_with(|file| {
        rustix::fs::mkfifoat(rustix::fs::CWD, file, rustix::fs::Mode::from_raw_mode(0o600)).unwrap();
        let (file, content) = (file.to_owned(), format!("{ACCOUNT}{}", camera("a", 5)));
        std::thread::spawn(move || fs::write(file, content).unwrap());
    });
    site.program.signal(Signal::HUP);
    site.program.line_with("there is no configuration file to read again");
    assert_eq!(site.reload().0, 501);
    assert_eq!(site.names(), ["a"]);
}

#[test]
fn without_an_account_only_this_machine_reloads() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("site.toml");
    fs::write(&file, camera("a", 5)).unwrap();
    let arguments = ["--config", file.to_str().unwrap(), "--listen", "127.0.0.1:0"];
    let mut command = in_own_session(&[], &arguments, &folder.path().join("state"));
    let mut program = Running::start(command.env_remove("CAMERA"));
    let address = program.address();
    let ask = |headers: &[(&str, &str)]| send_request(address, "POST /api/reload", headers).status;
    assert_eq!(ask(&[]), 200);
    for header in [
        ("X-Forwarded-For", "192.0.2.1"),
        ("X-Forwarded-For", "127.0.0.1"),
        ("Via", "1.1 proxy"),
        ("Host", "cam.lan"),
        ("Origin", "http://evil.example"),
        ("Sec-Fetch-Site", "cross-site"),
    ] {
        assert_eq!(ask(&[header]), 403, "{header:?}");
    }
    assert_eq!(get(address, "/api/reload").status, 405);
    let options = send_request(address, "OPTIONS /api/reload", &[]);
    assert_eq!((options.status, options.header("allow")), (204, Some("POST, OPTIONS")));
    program.terminate();
}

#[test]
fn a_server_without_a_file_says_that_it_has_none() {
    let mut program = Running::start(framecast(&["--listen", "127.0.0.1:0"]).arg("emulated"));
    let address = program.address();
    assert_eq!(send_request(address, "POST /api/reload", &[]).status, 501);
    let listen = address.to_string();
    let (code, _, errors) = run(framecast(&["reload", "--listen", &listen]).arg("emulated"));
    assert_eq!(code, 1);
    assert!(errors.contains("no configuration file"), "{errors}");
    program.terminate();
    let (code, _, errors) = run(framecast(&["reload", "--listen", &listen]).arg("emulated"));
    assert!(code == 1 && errors.contains("no server answers at ") && errors.contains("--listen"), "{errors}");
}
