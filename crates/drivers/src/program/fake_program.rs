//! Scripts that stand in for programs, in tests of the drivers that run programs.

use std::path::Path;
use std::process::Command;

use framecast_testkit::until;
use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};

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

/// Waits until a program has written its process id to the file `pid` in `folder`, and returns the id.
pub(crate) async fn wait_for_id(folder: &Path) -> Pid {
    let mut id = None;
    until("the program runs", || {
        let line = std::fs::read_to_string(folder.join("pid")).unwrap_or_default();
        id = line.strip_suffix('\n').and_then(|id| Pid::from_raw(id.parse().ok()?));
        id.is_some()
    })
    .await;
    id.expect("the wait is over")
}

/// Returns whether there is no process `id`, not even a zombie.
pub(crate) fn is_gone(id: Pid) -> bool {
    test_kill_process(id) == Err(Errno::SRCH)
}
