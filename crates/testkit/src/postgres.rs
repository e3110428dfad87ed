//! Runs a real PostgreSQL server for one test. The server listens on a UNIX socket in a temporary folder, which is
//! removed when the server is dropped.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::blocking::{ended, output_of, until};

/// The user account under which the server runs if the test runs as root, because PostgreSQL refuses to run as root.
/// Debian's package `postgresql` creates the account.
const SYSTEM_USER: &str = "postgres";

/// A PostgreSQL server for one test. It is running, or was stopped and can be started again.
#[derive(Debug)]
pub struct Postgres {
    folder: TempDir,
    bin_dir: PathBuf,
    server: Option<Child>,
}

impl Postgres {
    /// Creates an empty database in a temporary folder and starts a server for it.
    ///
    /// # Panics
    /// If Debian's package `postgresql`, or a package that it needs, is missing.
    pub fn start() -> Self {
        let bin_dir = bin_dir().unwrap_or_else(|| {
            panic!(
                "this test needs PostgreSQL's server: Debian's package `postgresql`, in /usr/lib/postgresql"
            )
        });
        let folder = tempfile::Builder::new().prefix("framecast-pg-").tempdir().expect("a folder");
        if is_root() {
            let owner = format!("{SYSTEM_USER}:");
            run(Command::new("chown").arg(owner).arg(folder.path()));
        }
        let mut server = Self { folder, bin_dir, server: None };
        let data = server.data_dir();
        run(server
            .command("initdb")
            .args(["--auth=trust", "--no-sync", "--username=framecast", "-D"])
            .arg(data));
        server.restart();
        server
    }

    /// Returns the URL at which a client can open the server's database.
    pub fn url(&self) -> String {
        format!("postgres://framecast@/postgres?host={}", self.folder.path().display())
    }

    /// Returns the folder of the server's UNIX socket.
    pub fn socket_dir(&self) -> &Path {
        self.folder.path()
    }

    /// Starts the server again after [`stop`](Self::stop) or [`kill`](Self::kill). The database keeps its content.
    pub fn restart(&mut self) {
        let mut command = self.command("postgres");
        let socket = format!("unix_socket_directories={}", self.folder.path().display());
        command
            .arg("-D")
            .arg(self.data_dir())
            .args(["-c", "listen_addresses=", "-c", "fsync=off", "-c"])
            .arg(socket);
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("postgres starts");
        self.server = Some(child);
        let mut is_ready = self.command("pg_isready");
        is_ready.arg("-qh").arg(self.folder.path());
        until("postgres comes up", || output_of(&mut is_ready).status.success());
    }

    /// Stops the server properly: it closes the connections of its clients before it ends.
    pub fn stop(&mut self) {
        self.send_signal("-INT");
    }

    /// Kills the server, so that the connections of its clients break.
    pub fn kill(&mut self) {
        // The server's child processes end after it.
        self.send_signal("-KILL");
        let pid = self.data_dir().join("postmaster.pid");
        fs::remove_file(pid).ok();
    }

    fn send_signal(&mut self, signal: &str) {
        let Some(mut server) = self.server.take() else { return };
        run(Command::new("kill").arg(signal).arg(server.id().to_string()));
        ended(&mut server);
    }

    /// Executes the SQL statement `sql` with `psql` and returns the result as text, one line for each row.
    pub fn query(&self, sql: &str) -> String {
        let mut command = self.command("psql");
        command.args(["-U", "framecast", "-d", "postgres", "-qAtc", sql, "-h"]).arg(self.folder.path());
        let output = output_of(&mut command);
        assert!(output.status.success(), "{sql}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
    }

    fn data_dir(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn command(&self, name: &str) -> Command {
        let program = self.bin_dir.join(name);
        let mut command = if is_root() { as_system_user(&program) } else { Command::new(program) };
        command.current_dir("/");
        command
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.stop();
    }
}

fn as_system_user(program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--reuid", SYSTEM_USER, "--regid", SYSTEM_USER, "--clear-groups", "--"]).arg(program);
    command
}

fn is_root() -> bool {
    let output = output_of(Command::new("id").arg("-u"));
    output.stdout.trim_ascii() == b"0"
}

/// Returns the folder that contains the programs of the newest installed PostgreSQL version, or `None` if none is
/// installed.
fn bin_dir() -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").ok()?;
    let folders = versions.filter_map(io::Result::ok).map(|entry| entry.path().join("bin"));
    let number = |folder: &PathBuf| -> u32 {
        let version = folder.parent().and_then(Path::file_name).and_then(OsStr::to_str);
        version.and_then(|version| version.parse().ok()).unwrap_or(0)
    };
    folders.filter(|folder| folder.join("initdb").exists()).max_by_key(number)
}

fn run(command: &mut Command) {
    let output = output_of(command);
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}
