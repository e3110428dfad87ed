//! The program that people run, as a separate process.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;

use framecast_testkit::soon;
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStderr, Command};

/// The program, running.
pub(crate) struct Program {
    pub(crate) child: Child,
    pub(crate) log: Lines<BufReader<ChildStderr>>,
    pub(crate) address: SocketAddr,
}

impl Program {
    /// Starts the program on a free port in `folder`, which also has the program's state.
    pub(crate) async fn start(arguments: &[&str], folder: &Path) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_framecast"))
            .args(arguments)
            .args(["--listen", "127.0.0.1:0", "--log", "info"])
            .current_dir(folder)
            .env_remove("CAMERA")
            .env_remove("FRAMECAST_PASSWORD")
            .env("XDG_STATE_HOME", folder)
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
        let address = loop {
            let line = soon("it says where it listens", log.next_line()).await.unwrap().unwrap();
            if let Some((_, rest)) = line.split_once("listening on ") {
                break rest.split(';').next().unwrap().parse().unwrap();
            }
        };
        Self { child, log, address }
    }

    pub(crate) fn tell(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.child.id().unwrap()).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// Waits for the program's end and returns the exit code. Reads the log meanwhile, so that the program never blocks
    /// on the pipe.
    pub(crate) async fn end(mut self) -> Option<i32> {
        let log = tokio::spawn(async move { while let Ok(Some(_)) = self.log.next_line().await {} });
        let status = soon("the program ends", self.child.wait()).await.unwrap();
        log.await.unwrap();
        status.code()
    }
}
