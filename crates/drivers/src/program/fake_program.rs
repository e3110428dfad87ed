//! Scripts that replace programs, in tests of the drivers that run them.

use std::path::Path;
use std::process::Command;

/// Writes `script` to `path` as an executable program that runs in its own folder.
pub(crate) fn write(path: &Path, script: &str) {
    let folder = path.parent().expect("a program lies in a folder").display();
    let script = format!("#!/bin/sh\ncd {folder}\n{script}\n");
    // Another process writes the file. If this process did, a child that a parallel test starts meanwhile could inherit
    // the open file, and the system would then refuse to run it.
    let status = Command::new("sh")
        .args(["-c", "printf %s \"$1\" >\"$2\" && chmod 755 \"$2\"", "sh", &script])
        .arg(path)
        .status();
    assert!(status.unwrap().success());
}
