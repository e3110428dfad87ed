//! A program and everything that it started, as one process group, ended together.

use std::io;
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

/// The leader of a process group and whoever it started. Dropping it ends them all: it returns when they are gone,
/// or after twice [`GRACE`].
pub(super) struct Group {
    id: Pid,
    leader: Child,
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
            status: None,
            is_gone: false,
        }
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
            thread::sleep(pause);
            pause = (pause * 2).min(LONGEST_PAUSE);
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
