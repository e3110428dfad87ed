//! Runs a real PostgreSQL server for one test. The server listens on a UNIX socket in a temporary folder, which is
//! removed when the server is dropped, and on a TCP port of this machine if the test asks for that.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};

use tempfile::TempDir;

use crate::authority::ServerCertificate;
use crate::blocking::{ended, output_of, until};

/// The user account under which the server runs if the test runs as root, because PostgreSQL refuses to run as root.
/// Debian's package `postgresql` creates the account.
const SYSTEM_USER: &str = "postgres";

/// The port of a server that listens on a UNIX socket alone: the name of the socket ends with it.
const DEFAULT_PORT: u16 = 5432;

/// The number of servers on the network that this process has started.
static SERVERS: AtomicU16 = AtomicU16::new(0);

/// A PostgreSQL server for one test. It is running, or was stopped and can be started again.
#[derive(Debug)]
pub struct Postgres {
    folder: TempDir,
    bin_dir: PathBuf,
    server: Option<Child>,
    port: u16,
    is_on_network: bool,
}

impl Postgres {
    /// Creates an empty database in a temporary folder and starts a server for it.
    ///
    /// # Panics
    /// If Debian's package `postgresql`, or a package that it needs, is missing.
    pub fn start() -> Self {
        let mut server = Self::create(DEFAULT_PORT);
        server.restart();
        server
    }

    /// Creates an empty database and starts a server for it, which also listens on a TCP port of this machine. With
    /// `certificate`, it speaks TLS there. `access` is how clients get in over TCP: lines of `pg_hba.conf`, in which
    /// `ADDRESS` stands for all addresses.
    ///
    /// # Panics
    /// As [`start`](Self::start).
    pub fn start_on_network(certificate: Option<&ServerCertificate>, access: &str) -> Self {
        let mut server = Self::create(DEFAULT_PORT + SERVERS.fetch_add(1, Ordering::Relaxed));
        server.is_on_network = true;
        let hba = server.data_dir().join("pg_hba.conf");
        let access = access.replace("ADDRESS", "0.0.0.0/0");
        fs::write(hba, format!("local all all trust\n{access}\n")).expect("pg_hba.conf");
        if let Some(certificate) = certificate {
            server.set_certificate(certificate);
        }
        server.restart();
        server
    }

    /// Creates an empty database in a temporary folder.
    fn create(port: u16) -> Self {
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
        let server = Self { folder, bin_dir, server: None, port, is_on_network: false };
        let data = server.data_dir();
        run(server
            .command("initdb")
            .args(["--auth=trust", "--no-sync", "--username=framecast", "-D"])
            .arg(data));
        server
    }

    /// Sets the certificate that the server uses from its next start.
    pub fn set_certificate(&self, certificate: &ServerCertificate) {
        for (name, text) in [("server.crt", &certificate.certificate), ("server.key", &certificate.key)] {
            let path = self.data_dir().join(name);
            fs::write(&path, text).expect("a file for the certificate");
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("its mode");
            if is_root() {
                run(Command::new("chown").arg(format!("{SYSTEM_USER}:")).arg(path));
            }
        }
    }

    /// Returns the URL at which a client can open the database over TCP, as the user `framecast`. The server's name in
    /// it is `host`; `keys` are further keys, as in `sslmode=require`.
    pub fn network_url(&self, host: &str, keys: &str) -> String {
        format!("postgres://framecast@{host}:{}/postgres?hostaddr={}&{keys}", self.port, self.address())
    }

    /// Returns the address of the server on the network. It belongs to this process alone, so that no other program has
    /// its port.
    pub fn address(&self) -> Ipv4Addr {
        let [high, middle, low] = [16, 8, 0].map(|bits| (std::process::id() >> bits) as u8);
        Ipv4Addr::new(127, 64 | high & 63, middle, low.max(1))
    }

    /// Returns the URL at which a client can open the server's database.
    pub fn url(&self) -> String {
        format!("postgres://framecast@/postgres?host={}&port={}", self.folder.path().display(), self.port)
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
            .args(["-c", "fsync=off", "-p", &self.port.to_string(), "-c"])
            .arg(socket);
        let listen = if self.is_on_network { self.address().to_string() } else { String::new() };
        command.arg("-c").arg(format!("listen_addresses={listen}"));
        if self.data_dir().join("server.crt").exists() {
            command.args(["-c", "ssl=on"]);
        }
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("postgres starts");
        self.server = Some(child);
        let mut is_ready = self.command("pg_isready");
        is_ready.args(["-p", &self.port.to_string(), "-qh"]).arg(self.folder.path());
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
        let port = self.port.to_string();
        command.args(["-U", "framecast", "-d", "postgres", "-p", &port, "-qAtc", sql, "-h"]);
        command.arg(self.folder.path());
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
