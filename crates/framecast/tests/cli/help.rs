//! What `--help` promises.

use framecast::Drivers;

use crate::program::{framecast, run};

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
    for variable in ["CAMERA", "FRAMECAST_PASSWORD", "FRAMECAST_LOG"] {
        assert!(help.contains(variable), "{variable}");
    }
}

#[test]
fn the_help_fits_a_narrow_terminal() {
    for arguments in [&["--help"][..], &["check", "--help"]] {
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
