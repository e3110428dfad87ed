//! A program and everything that it started, as one process group, ended together.

use std::io;
use std::os::fd::OwnedFd;
use std::process::ExitStatus;
use std::thread;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitOptions, kill_process_group, test_kill_process_group, waitpgid};
use tokio::process::Child;
use tracing::warn;

/// How long the group has to end after SIGTERM, and again after SIGKILL.
const GRACE: Duration = Duration::from_millis(500);

/// How often at least the end is looked for.
const LONGEST_PAUSE: Duration = Duration::from_millis(16);

/// What is read of standard error between two looks: more than a pipe holds.
const DRAIN_BYTES: usize = 128 * 1024;

/// The leader of a process group and whoever it started. Dropping it ends them all: it returns when they are gone,
/// or after twice [`GRACE`]. Meanwhile what they say on standard error is thrown away: whoever has much to say at the
/// end must not wait for a reader until it is killed, nor be killed for having none.
pub(super) struct Group {
    id: Pid,
    leader: Child,
    /// Our end of the group's standard error, once it is known; it does not block.
    stderr: Option<OwnedFd>,
    status: Option<ExitStatus>,
    /// Nobody was left when the leader had ended: the id may be another group's by now.
    is_gone: bool,
}

impl Group {
    /// Takes over `leader`, which was started as the leader of a group of its own and was not waited for yet.
    pub(super) fn new(leader: Child) -> Self {
        let id = leader.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        Self {
            id: id.expect("a child that was not waited for has its process id"),
            leader,
            stderr: None,
            status: None,
            is_gone: false,
        }
    }

    /// Reads `stderr`, our end of the group's standard error, while the group is being ended; it must not block.
    pub(super) fn hear_out(&mut self, stderr: OwnedFd) {
        self.stderr = Some(stderr);
    }

    /// Waits for the leader's end. Children that it left behind are asked to end too. Cancel safe.
    pub(super) async fn wait(&mut self) -> io::Result<ExitStatus> {
        if let Some(status) = self.status {
            return Ok(status);
        }
        let status = self.leader.wait().await?;
        self.status = Some(status);
        self.is_gone = kill_process_group(self.id, Signal::TERM) == Err(Errno::SRCH);
        Ok(status)
    }

    /// A group that is gone already is what was wanted.
    fn signal(&self, signal: Signal) {
        kill_process_group(self.id, signal).ok();
    }

    /// Whether the leader was reaped and nobody else runs, waiting for that up to `limit`.
    fn is_gone_within(&mut self, limit: Duration) -> bool {
        let deadline = Instant::now() + limit;
        let mut pause = Duration::from_millis(1);
        loop {
            let has_leader = self.status.is_none() && matches!(self.leader.try_wait(), Ok(None));
            if !has_leader && !self.has_members(pause == LONGEST_PAUSE) {
                return true;
            }
            if Instant::now() >= deadline {
                return false;
            }
            self.drain_stderr();
            thread::sleep(pause);
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    fn drain_stderr(&self) {
        let Some(stderr) = &self.stderr else { return };
        let mut buffer = [0; 8192];
        let mut drained = 0;
        while drained < DRAIN_BYTES {
            match rustix::io::read(stderr, &mut buffer) {
                Ok(0) | Err(_) => return,
                Ok(len) => drained += len,
            }
        }
    }

    /// Whether anybody is left, once the leader was reaped. A close look tells the dead from the living, where those
    /// who should bury them take their time.
    fn has_members(&self, look_closely: bool) -> bool {
        // Orphans become ours where we are the first process of a container.
        while let Ok(Some(_)) = waitpgid(self.id, WaitOptions::NOHANG) {}
        test_kill_process_group(self.id).is_ok() && !(look_closely && has_only_zombies(self.id))
    }
}

/// Whether no process of the group runs. False also where the system does not tell.
fn has_only_zombies(group: Pid) -> bool {
    let Ok(processes) = std::fs::read_dir("/proc") else { return false };
    let mut zombies = 0;
    for process in processes.flatten() {
        // One that vanished meanwhile is not in the way.
        let Ok(stat) = std::fs::read_to_string(process.path().join("stat")) else { continue };
        // proc_pid_stat(5): the name in parentheses may hold anything; then state, parent, process group.
        let Some((_, fields)) = stat.rsplit_once(')') else { continue };
        let mut fields = fields.split_whitespace();
        let (state, id) = (fields.next(), fields.nth(1));
        if id.and_then(|id| id.parse().ok()) != Some(group.as_raw_nonzero().get()) {
            continue;
        }
        if !matches!(state, Some("Z" | "X")) {
            return false;
        }
        zombies += 1;
    }
    zombies > 0
}

impl Drop for Group {
    fn drop(&mut self) {
        if self.is_gone {
            return;
        }
        self.signal(Signal::TERM);
        if self.is_gone_within(GRACE) {
            return;
        }
        self.signal(Signal::KILL);
        if !self.is_gone_within(GRACE) {
            warn!("process group {} is still there after SIGKILL", self.id.as_raw_nonzero());
        }
    }
}
