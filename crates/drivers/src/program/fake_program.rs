//! Scripts that stand in for programs, in tests of the drivers that run programs.

use std::path::Path;
use std::process::Command;

/// Writes `script` to `path` as an executable program. The program runs in the folder that contains it.
pub(crate) fn write(path: &Path, script: &str) {
    let folder = path.parent().expect("a program lies in a folder").display();
    let script = format!("#!/bin/sh\ncd {folder}\n{script}\n");
    // Another process writes the file. If this process wrote it, a child that a parallel test starts in the meantime
    // could inherit the open file, and the system would then refuse to run the program.
    let status = Command::new("sh")
        .args(["-c", "printf %s \"$1\" >\"$2\" && chmod 755 \"$2\"", "sh", &script])
        .arg(path)
        .status();
    assert!(status.unwrap().success());
}
