//! The promises of `--help`.

use framecast::Drivers;
use framecast_testkit_server::program::{framecast, run};

#[test]
fn the_help_names_every_source() {
    let (code, help, _) = run(&mut framecast(&["--help"]));
    assert_eq!(code, 0);
    let sources = help.split("Sources:").nth(1).unwrap();
    for scheme in Drivers::builtin().schemes() {
        assert!(sources.contains(&format!("\n  {scheme}:")), "{scheme} is not in {sources}");
    }
}

#[test]
fn the_help_names_every_exit_code_and_variable() {
    let (_, help, _) = run(&mut framecast(&["serve", "--help"]));
    let codes = help.split("Exit codes:").nth(1).unwrap();
    for code in ["0", "1", "2", "130"] {
        assert!(codes.contains(&format!("\n  {code} ")), "{code} is not in {codes}");
    }
    for variable in
        ["CAMERA", "OPENCV_CAMERA_SOURCE", "FRAMECAST_PASSWORD", "FRAMECAST_LOG", "STATE_DIRECTORY"]
    {
        assert!(help.contains(variable), "{variable}");
    }
}

#[test]
fn the_help_fits_a_narrow_terminal() {
    for arguments in [&["--help"][..], &["check", "--help"], &["devices", "--help"]] {
        let (_, help, _) = run(framecast(arguments).env("COLUMNS", "80"));
        for line in help.lines() {
            assert!(line.chars().count() <= 80, "{line}");
        }
    }
}

#[test]
fn the_version_is_the_crates() {
    let (code, version, _) = run(&mut framecast(&["--version"]));
    assert_eq!((code, version), (0, format!("framecast {}\n", env!("CARGO_PKG_VERSION"))));
}

#[test]
fn a_flag_that_does_not_exist_is_bad_usage() {
    let (code, _, errors) = run(&mut framecast(&["--listne", "x"]));
    assert_eq!(code, 2);
    assert!(errors.contains("--listen"), "{errors}");
}

#[test]
fn a_command_behind_options_is_a_command() {
    let (code, said, errors) = run(&mut framecast(&["--listen", "127.0.0.1:0", "check", "test"]));
    assert_eq!(
        (code, said.as_str()),
        (0, "nothing wrong in the command line\n  camera  test:\n"),
        "{errors}"
    );
    let (code, _, errors) = run(&mut framecast(&["--listen", "127.0.0.1:0", "devices"]));
    assert_eq!(code, 2);
    assert!(errors.contains("write the command first") && errors.contains("`framecast devices`"), "{errors}");
}

#[test]
fn a_source_that_the_shell_took_apart_is_to_be_quoted() {
    for arguments in [&["exec:ffmpeg", "-re", "-i", "x"][..], &["check", "front=exec:ffmpeg", "-re"]] {
        let (code, _, errors) = run(&mut framecast(arguments));
        assert_eq!(code, 2);
        assert!(errors.contains("tip: put a source with spaces in quotes: '"), "{errors}");
        assert!(errors.contains("exec:ffmpeg -r …'") && !errors.contains("-- -r"), "{errors}");
    }
    // The source is quoted correctly, so the message is about the option.
    let (_, _, errors) = run(&mut framecast(&["exec:ffmpeg -re -i x", "--listne", "x"]));
    assert!(errors.contains("--listen") && !errors.contains("in quotes"), "{errors}");
}

#[test]
fn what_is_said_otherwise_here_is_told_how() {
    for (arguments, told) in [
        (&["--resolution", "1280x720"][..], "framecast '/dev/video0?size=1280x720'"),
        (&["--resolution=1280x720"], "framecast '/dev/video0?size=1280x720'"),
        (&["--device", "/dev/video0"], "write a source without an option: framecast /dev/video0"),
        (&["--fps", "15"], "framecast '/dev/video0?fps=15'"),
        (&["-i", "input_uvc.so -d /dev/video0", "-o", "output_http.so"], "a webcam needs no plug-in here"),
        (&["--password", "s3cret"], "put the server's password into FRAMECAST_PASSWORD, and add --user NAME"),
        (&["check", "--password=s3cret"], "put a camera's password into the source"),
    ] {
        let (code, _, errors) = run(&mut framecast(arguments));
        assert_eq!(code, 2);
        assert!(errors.contains("tip: ") && errors.contains(told), "{errors}");
        assert!(!errors.contains("s3cret"), "{errors}");
    }
}

#[test]
fn what_other_servers_call_the_address_is_told_what_it_is_here() {
    for argument in ["--port", "-p", "--host"] {
        let (code, _, errors) = run(&mut framecast(&["emulated", argument, "8080"]));
        assert_eq!(code, 2);
        assert!(errors.contains("tip: use --listen ADDRESS:PORT"), "{errors}");
    }
}

#[test]
fn each_command_has_a_page_of_the_manual() {
    let folder = tempfile::tempdir().unwrap();
    let (code, said, errors) = run(&mut framecast(&["man", "--all", folder.path().to_str().unwrap()]));
    assert_eq!((code, said.as_str()), (0, ""), "{errors}");
    let page = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
    let (_, help, _) = run(&mut framecast(&["--help"]));
    let commands = help.split("Commands:\n").nth(1).unwrap().split("\n\n").next().unwrap();
    let commands = commands.lines().filter_map(|line| line.strip_prefix("  ")?.split(' ').next());
    let commands: Vec<&str> = commands.filter(|name| !name.is_empty() && *name != "help").collect();
    assert!(commands.len() >= 7, "{commands:?}");
    for command in commands {
        let page = page(&format!("framecast-{command}.1"));
        assert!(page.contains(&format!("\nframecast\\-{command} \\- ")), "{page}");
        assert!(page.contains(".SH \"SEE ALSO\"\nframecast(1)\n"), "{page}");
    }
    let main = page("framecast.1");
    // The tables of the help are sections, whose lines stay as they are.
    for section in [".SH SOURCES\n.nf\n", ".SH ENVIRONMENT\n.nf\n", ".SH \"EXIT CODES\"\n.nf\n"] {
        assert!(main.contains(section), "{section} is not in {main}");
    }
    assert!(main.contains("\n\\fB\\-\\-listen\\fR") && !main.contains(" Framecast\n.SH EXTRA"), "{main}");
    let (_, printed, _) = run(&mut framecast(&["man"]));
    assert_eq!(printed.trim_end(), main.trim_end());
    let (code, _, errors) = run(&mut framecast(&["man", "chekc"]));
    assert!(code == 2 && errors.contains("serve, devices, check"), "{errors}");
}

#[test]
fn shells_complete_commands_and_options() {
    for (shell, mark) in
        [("bash", "complete -F"), ("zsh", "#compdef framecast"), ("fish", "complete -c framecast")]
    {
        let (code, script, errors) = run(&mut framecast(&["completions", shell]));
        assert_eq!(code, 0, "{errors}");
        for word in [mark, "check", "reload", "allowed-host"] {
            assert!(script.contains(word), "{shell}: {word} is not in {script}");
        }
    }
    let script = r#"source <(PROGRAM completions bash)
        COMP_WORDS=(framecast --li) COMP_CWORD=1; _framecast framecast --li framecast; echo "${COMPREPLY[@]}"
        COMP_WORDS=(framecast rel) COMP_CWORD=1; _framecast framecast rel framecast; echo "${COMPREPLY[@]}""#;
    let script = script.replace("PROGRAM", env!("CARGO_BIN_EXE_framecast"));
    let (code, completed, errors) = run(std::process::Command::new("bash").args(["-c", &script]));
    assert_eq!((code, completed.as_str()), (0, "--listen\nreload\n"), "{errors}");
}
