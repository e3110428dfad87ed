//! The folder for state that must survive a restart.

use std::fs;

use framecast_testkit::blocking::get;
use framecast_testkit_server::program::{Running, framecast};
use serde_json::Value;

#[test]
fn the_program_keeps_controls_where_the_system_says() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("framecast/controls.json");
    fs::create_dir(path.parent().unwrap()).unwrap();
    fs::write(&path, "{\"cameras\": nothing}").unwrap();
    let mut program = Running::start(
        framecast(&["--listen", "127.0.0.1:0", "emulated"]).env("XDG_STATE_HOME", folder.path()),
    );
    let line = program.line_with("is damaged: ");
    assert!(line.contains("ERROR") && line.contains("line 1 column 14"), "{line}");
    let aside = path.with_file_name("controls.json.damaged-1");
    assert!(line.contains(path.to_str().unwrap()) && line.contains(aside.to_str().unwrap()), "{line}");
    assert_eq!(fs::read_to_string(aside).unwrap(), "{\"cameras\": nothing}");
    let answer = get(program.address(), "/api/cameras/camera/controls");
    let answer: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(answer, serde_json::json!({"can_persist": true, "controls": []}));
    assert!(program.terminate().0.success());
}

#[test]
fn the_folder_of_the_file_counts_for_more() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("mine");
    fs::create_dir(&state).unwrap();
    fs::write(state.join("controls.json"), "[").unwrap();
    let config = folder.path().join("site.toml");
    let camera = "listen = '127.0.0.1:0'\n[[camera]]\nname = 'a'\nsource = 'emulated'\n";
    fs::write(&config, format!("state_dir = '{}'\n{camera}", state.display())).unwrap();
    let mut command = framecast(&["--config", config.to_str().unwrap()]);
    let mut program = Running::start(command.env("STATE_DIRECTORY", folder.path()));
    program.line_with("mine/controls.json is damaged: ");
    program.address();
    assert!(program.terminate().0.success());
}
