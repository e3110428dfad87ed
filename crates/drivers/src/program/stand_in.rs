//! Scripts that stand in for programs, in tests of the drivers that run them.

use std::path::Path;
use std::process::Command;

/// Makes `path` a program that does what `script` says, in the folder that it lies in.
pub(crate) fn write(path: &Path, script: &str) {
    let folder = path.parent().expect("a program lies in a folder").display();
    let script = format!("#!/bin/sh\ncd {folder}\n{script}\n");
    // Another process writes it: one that a test beside this starts meanwhile cannot hold it open for writing, which
    // would keep it from being run.
    let status = Command::new("sh")
        .args(["-c", "printf %s \"$1\" >\"$2\" && chmod 755 \"$2\"", "sh", &script])
        .arg(path)
        .status();
    assert!(status.unwrap().success());
}
