//! The program creates files for its own account alone, and warns if others can read its configuration.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use framecast_testkit::blocking::get;
use framecast_testkit_server::program::{Running, command, framecast, run};

/// The program under a umask of 0, which removes no permissions.
fn generous(arguments: &[&str]) -> Command {
    let mut shell = vec!["-c", "umask 000; exec \"$@\"", "sh", env!("CARGO_BIN_EXE_framecast")];
    shell.extend(arguments);
    command("sh".into(), &shell)
}

/// The files and folders below `folder` that users other than their owner have permissions for, and the number of all
/// files and folders below `folder`.
fn shared(folder: &Path) -> (Vec<String>, usize) {
    let (mut found, mut count, mut folders) = (Vec::new(), 0, vec![folder.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let metadata = fs::symlink_metadata(&path).unwrap();
            let (mode, own) =
                (metadata.permissions().mode() & 0o777, if metadata.is_dir() { 0o700 } else { 0o600 });
            if mode != own {
                found.push(format!("{}: {mode:o}", path.display()));
            }
            if metadata.is_dir() {
                folders.push(path);
            }
            count += 1;
        }
    }
    (found, count)
}

#[test]
fn what_the_program_makes_is_for_its_account_alone_whatever_the_umask() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("not/yet/there");
    let arguments = ["--listen", "127.0.0.1:0", "exec:sleep 1000", "emulated"];
    let mut program = Running::start(generous(&arguments).env("XDG_STATE_HOME", &state));
    let address = program.address();
    assert_eq!(get(address, "/cameras/camera2/snapshot.jpg").status, 200);
    assert_eq!(get(address, "/api/events").status, 200);
    let (found, count) = shared(folder.path());
    assert_eq!(found, Vec::<String>::new());
    // Three folders and ours, the database, its write-ahead log and index, and its lock.
    assert!(count >= 8, "{count}");
    program.terminate();
    assert_eq!(shared(folder.path()).0, Vec::<String>::new());
}

#[test]
fn a_history_that_ends_with_the_server_is_for_its_account_alone() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = generous(&["--listen", "127.0.0.1:0", "emulated"]);
    command.env_remove("XDG_STATE_HOME").env_remove("HOME").env("TMPDIR", folder.path());
    let mut program = Running::start(&mut command);
    assert_eq!(get(program.address(), "/api/events").status, 200);
    let (found, count) = shared(folder.path());
    assert_eq!(found, Vec::<String>::new());
    assert!(count >= 3, "{count}");
    program.terminate();
}

#[test]
fn rights_that_are_there_stay() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("framecast");
    fs::create_dir(&state).unwrap();
    fs::set_permissions(&state, Permissions::from_mode(0o750)).unwrap();
    let database = state.join("framecast.db");
    fs::write(&database, "").unwrap();
    fs::set_permissions(&database, Permissions::from_mode(0o640)).unwrap();
    let mut program = Running::start(
        generous(&["--listen", "127.0.0.1:0", "emulated"]).env("XDG_STATE_HOME", folder.path()),
    );
    assert_eq!(get(program.address(), "/api/events").status, 200);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&state), mode(&database)), (0o750, 0o640));
    assert_eq!(mode(&state.join("framecast.db.lock")), 0o600);
    program.terminate();
}

#[test]
fn a_configuration_with_a_login_that_everyone_can_read_is_warned_of_with_the_cure() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("site.toml");
    let camera = "[[camera]]\nname = 'front'\nsource = 'http://me:s3cr3t@127.0.0.1:9/'\n";
    fs::write(&path, format!("listen = '127.0.0.1:0'\n{camera}")).unwrap();
    let allow = |mode| fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
    let cure = format!("chmod 600 {}", path.display());
    let arguments = ["--config", path.to_str().unwrap()];
    let check = || run(framecast(&["check"]).args(arguments));
    allow(0o644);
    let (code, _, errors) = check();
    assert_eq!(code, 0, "{errors}");
    assert!(errors.contains("camera `front` holds a login") && errors.contains(&cure), "{errors}");
    let mut program = Running::start(&mut framecast(&arguments));
    let line = program.line_with("holds a login");
    assert!(line.contains(" WARN ") && line.contains(&cure) && !line.contains("s3cr3t"), "{line}");
    program.terminate();
    allow(0o600);
    assert!(!check().2.contains("chmod"));
}

#[test]
fn a_short_password_is_warned_of_at_the_start_and_by_check() {
    let with = |command: &mut Command, password: &str| {
        run(command.args(["--user", "me", "emulated"]).env("FRAMECAST_PASSWORD", password))
    };
    let (code, _, errors) = with(&mut framecast(&["check"]), "sieben7");
    assert_eq!(code, 0, "{errors}");
    assert!(errors.contains("fewer than 8 characters") && !errors.contains("sieben7"), "{errors}");
    assert_eq!(with(&mut framecast(&["check"]), "acht8888").2, "");
    let arguments = ["--listen", "127.0.0.1:0", "--user", "me", "emulated"];
    let mut program = Running::start(framecast(&arguments).env("FRAMECAST_PASSWORD", "sieben7"));
    assert!(program.line_with("fewer than 8 characters").contains(" WARN "));
    program.terminate();
}

#[test]
fn a_configuration_that_others_can_write_is_refused_with_the_cure() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("my site.toml");
    fs::write(&path, "listen = '127.0.0.1:0'\n").unwrap();
    let check = |mode| {
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        run(&mut framecast(&["check", "--config", path.to_str().unwrap()]))
    };
    for mode in [0o666, 0o602] {
        let (code, _, errors) = check(mode);
        let told = format!("error: other users of this machine can write {}, so ", path.display());
        let cure = format!("run: chmod o-w '{}'", path.display());
        assert!(code == 2 && errors.starts_with(&told) && errors.trim().ends_with(&cure), "{errors}");
    }
    for mode in [0o664, 0o600] {
        let (code, _, errors) = check(mode);
        assert_eq!((code, errors.as_str()), (0, ""), "{mode:o}");
    }
}

#[test]
fn a_configuration_that_the_account_may_not_read_is_told_with_the_command_that_allows_it() {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
    let program = folder.path().join("framecast");
    fs::copy(env!("CARGO_BIN_EXE_framecast"), &program).unwrap();
    let file = folder.path().join("site.toml");
    fs::write(&file, "").unwrap();
    fs::set_permissions(&file, Permissions::from_mode(0o000)).unwrap();
    let arguments = ["check", "--config", file.to_str().unwrap()];
    let mut check = command(program, &arguments);
    // This account could read everything.
    if rustix::process::geteuid().is_root() {
        check.uid(65_534).gid(65_533);
    }
    let (code, _, errors) = run(&mut check);
    assert_eq!(code, 2, "{errors}");
    assert!(errors.contains("site.toml: the user with the id 6"), "{errors}");
    assert!(errors.contains("run: chgrp 65533 ") && errors.contains("&& chmod g+r "), "{errors}");
}
