//! Serving: what the program announces, how long its shutdown takes, and what prevents its start.

use std::net::TcpListener;

use framecast_testkit::blocking::{MultipartStream, get, send_request, until};
use framecast_testkit_server::program::{Running, framecast, run};
use rustix::process::Signal;
use serde_json::Value;

const ANY: [&str; 2] = ["--listen", "127.0.0.1:0"];

#[test]
fn it_says_where_to_look_and_how_to_open_it_to_the_network() {
    let mut program = Running::start(framecast(&ANY).arg("emulated"));
    let address = program.address();
    let hint = program.line_with("only this machine can watch");
    assert!(hint.contains(&format!("--listen 0.0.0.0:{} ", address.port())), "{hint}");
    assert!(hint.contains("FRAMECAST_PASSWORD=… --user NAME"), "{hint}");
    assert_eq!(get(address, "/").status, 200);
}

#[test]
fn a_termination_signal_ends_streams_and_program_with_exit_code_0() {
    for signal in [Signal::TERM, Signal::INT] {
        let mut program = Running::start(framecast(&ANY).arg("front=emulated:?fps=20"));
        let mut stream = MultipartStream::open(program.address(), "/video_feed", &[]);
        assert!(stream.next().is_some());
        program.signal(signal);
        // The stream ends with its closing boundary, not with a broken connection.
        until("the stream ends", || stream.next().is_none());
        let (status, lines) = program.wait();
        assert_eq!(status.code(), Some(0), "{lines:#?}");
        assert!(lines.last().unwrap().contains("the server stopped"), "{lines:#?}");
    }
}

#[test]
fn a_name_that_is_refused_is_told_in_the_log_and_taken_from_the_command_line() {
    let mut program = Running::start(framecast(&ANY).arg("emulated"));
    let address = program.address();
    for host in ["cam.example:8080", "cam.example:8080", "\u{202E}.example"] {
        assert_eq!(send_request(address, "GET /", &[("Host", host)]).status, 421);
    }
    let (_, lines) = program.terminate();
    let refusals: Vec<_> = lines.iter().filter(|line| line.contains("allowed_hosts")).collect();
    assert_eq!(refusals.len(), 2, "each once a minute: {lines:#?}");
    assert!(
        refusals[0].contains("`cam.example:8080`")
            && refusals[0].contains("--allowed-host cam.example times=1")
    );
    assert!(refusals[1].contains("--allowed-host NAME times=1 others=0"), "{refusals:?}");
    let allowed = ["--allowed-host", "Cam.example", "--allowed-host", "other.example:81", "emulated"];
    let mut program = Running::start(framecast(&ANY).args(allowed));
    let address = program.address();
    for (host, status) in [("cam.example:8080", 200), ("other.example:81", 200), ("other.example", 421)] {
        assert_eq!(send_request(address, "GET /healthz", &[("Host", host)]).status, status, "{host}");
    }
    let (code, _, errors) = run(framecast(&ANY).args(["--allowed-host", "http://cam.example/"]));
    assert_eq!(code, 2);
    assert!(errors.contains("--allowed-host") && errors.contains("is not a host name"), "{errors}");
}

#[test]
fn a_head_that_is_too_long_is_told_in_the_log_with_what_to_do() {
    let mut program = Running::start(framecast(&ANY).arg("emulated"));
    let (address, cookies) = (program.address(), "x".repeat(20 << 10));
    for _ in 0..3 {
        assert_eq!(send_request(address, "GET /", &[("Cookie", &cookies)]).status, 431);
    }
    let (_, lines) = program.terminate();
    let refusals: Vec<_> = lines.iter().filter(|line| line.contains("more than 16 KiB")).collect();
    assert_eq!(refusals.len(), 1, "once a minute: {lines:#?}");
    assert!(refusals[0].contains("cookies") && refusals[0].contains("delete the cookies"), "{refusals:?}");
}

#[test]
fn who_is_refused_is_told_in_the_log_with_the_key_of_the_limit() {
    let folder = tempfile::tempdir().unwrap();
    let content = "max_viewers = 1\n[[camera]]\nname = \"front\"\nsource = \"emulated\"\n";
    std::fs::write(folder.path().join("site.toml"), content).unwrap();
    let mut command = framecast(&ANY);
    let mut program = Running::start(command.args(["--config", "site.toml"]).current_dir(folder.path()));
    let address = program.address();
    let _viewer = MultipartStream::open(address, "/video_feed", &[]);
    for _ in 0..3 {
        assert_eq!(get(address, "/video_feed").status, 503);
    }
    let upgrade = [
        ("Origin", "http://other.example"),
        ("Connection", "Upgrade"),
        ("Upgrade", "websocket"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", "AAAAAAAAAAAAAAAAAAAAAA=="),
    ];
    assert_eq!(send_request(address, "GET /api/live", &upgrade).status, 403);
    let (_, lines) = program.terminate();
    let refusals: Vec<_> = lines.iter().filter(|line| line.contains("refused a viewer")).collect();
    assert_eq!(refusals.len(), 1, "once a minute: {lines:#?}");
    assert!(refusals[0].contains("raise max_viewers in the configuration"), "{lines:#?}");
    let pages: Vec<_> = lines.iter().filter(|line| line.contains("cors_origins")).collect();
    assert!(pages.len() == 1 && pages[0].contains("http://other.example"), "{lines:#?}");
}

#[test]
fn a_port_that_is_taken_is_exit_code_1_and_says_what_to_do() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let (code, _, errors) = run(&mut framecast(&["--listen", &address]));
    assert_eq!(code, 1, "{errors}");
    assert!(errors.contains(&format!("cannot listen on {address}: Address already in use")), "{errors}");
    assert!(
        errors.contains("another program uses this port: choose another, as --listen 127.0.0.1:PORT"),
        "{errors}"
    );
}

#[test]
fn an_address_of_another_machine_is_exit_code_1() {
    let (code, _, errors) = run(&mut framecast(&["--listen", "192.0.2.1:5000"]));
    assert_eq!(code, 1, "{errors}");
    assert!(errors.contains("cannot listen on 192.0.2.1:5000: "), "{errors}");
    assert!(errors.contains("this machine does not have this address: 0.0.0.0 opens all"), "{errors}");
}

#[test]
fn an_old_key_is_warned_of_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("site.toml");
    std::fs::write(&file, "listen = \"127.0.0.1:0\"\nwriters = 1\n").unwrap();
    let mut program = Running::start(&mut framecast(&["--config", file.to_str().unwrap()]));
    let warning = program.line_with("site.toml:2:11: `writers` is now called `writer_threads`");
    assert!(warning.contains("WARN"), "{warning}");
    program.terminate();
}

#[test]
fn listening_beyond_this_machine_without_a_password_is_warned_of() {
    let mut open = Running::start(&mut framecast(&["--listen", "0.0.0.0:0", "emulated"]));
    let warning = open.line_with("anyone who can reach this machine");
    assert!(warning.contains("WARN") && warning.contains("--user NAME"), "{warning}");
    open.terminate();

    let arguments = ["--listen", "0.0.0.0:0", "--user", "me", "emulated"];
    let mut closed = Running::start(framecast(&arguments).env("FRAMECAST_PASSWORD", "pw"));
    closed.address();
    let (_, lines) = closed.terminate();
    // The tests share a state folder, so another test's history may be in use.
    assert!(!lines.iter().any(|line| line.contains("anyone who can reach")), "{lines:#?}");
}

#[test]
fn the_password_of_the_environment_is_asked_for() {
    let arguments = ["--listen", "127.0.0.1:0", "--user", "me", "emulated"];
    let mut program = Running::start(framecast(&arguments).env("FRAMECAST_PASSWORD", "pw"));
    let address = program.address();
    assert_eq!(get(address, "/video_feed").status, 401);
    let with =
        |credentials| send_request(address, "GET /snapshot.jpg", &[("Authorization", credentials)]).status;
    assert_eq!(with("Basic bWU6cHc="), 200);
    assert_eq!(with("Basic bWU6cHg="), 401);
}

#[test]
fn names_on_the_command_line_are_the_cameras() {
    let mut program =
        Running::start(framecast(&ANY).args(["front=emulated:?fps=10", "back=test:?size=64x64"]));
    let api: Value = serde_json::from_slice(&get(program.address(), "/api/cameras").body).unwrap();
    let names: Vec<&str> =
        api["cameras"].as_array().unwrap().iter().map(|c| c["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["front", "back"]);
    assert_eq!(api["cameras"][0]["default"], true);
    assert_eq!(api["cameras"][1]["default"], false);
}

#[test]
fn the_variable_camera_picks_the_driver() {
    let mut program = Running::start(framecast(&ANY).env("CAMERA", "test:?size=64x64"));
    program.line_with("using the environment variable CAMERA");
    let api: Value = serde_json::from_slice(&get(program.address(), "/api/cameras").body).unwrap();
    assert_eq!(api["cameras"][0]["driver"], "test");
}

#[test]
fn json_log_lines_are_all_json() {
    let mut program = Running::start(framecast(&ANY).args(["--log-format", "json", "front=emulated"]));
    let mut stream = MultipartStream::open(program.address(), "/video_feed", &[]);
    stream.next();
    // The picture may have been a slate about the opening.
    program.line_with("\"live\"");
    drop(stream);
    let (status, lines) = program.terminate();
    assert!(status.success());
    let lines: Vec<Value> = lines.iter().map(|line| serde_json::from_str(line).expect(line)).collect();
    assert!(lines.len() > 4);
    for line in &lines {
        assert!(
            line["timestamp"].is_string() && line["level"].is_string() && line["message"].is_string(),
            "{line}"
        );
    }
    let live = lines.iter().find(|line| line["message"] == "live").unwrap();
    assert_eq!(live["span"]["id"], "front", "{live}");

    let (code, _, errors) = run(&mut framecast(&["--log-format", "json", "nope:x"]));
    let error: Value = serde_json::from_str(&errors).unwrap();
    assert_eq!((code, &error["level"]), (2, &Value::from("ERROR")));
}

#[test]
fn an_empty_part_of_the_filter_of_the_log_silences_nothing() {
    for filter in ["", "info,", ",warn,framecast=info"] {
        let mut command = framecast(&ANY);
        let mut program = Running::start(command.arg("emulated").env("FRAMECAST_LOG", filter));
        program.line_with(" INFO listening on ");
    }
}

#[test]
fn the_log_can_be_silent() {
    let program = Running::start(framecast(&ANY).args(["--log", "off", "emulated"]));
    // No output shows that the program runs. The signal waits until the program handles it, or ends the program at
    // once.
    let (_, lines) = program.terminate();
    assert_eq!(lines, Vec::<String>::new());
}
