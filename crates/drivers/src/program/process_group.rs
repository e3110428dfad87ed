//! A process group, which consists of a program and all processes that it started, and which is ended as a whole.

use std::io;
use std::os::fd::OwnedFd;
use std::process::ExitStatus;
use std::thread;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitOptions, kill_process_group, test_kill_process_group, waitpgid};
use tokio::process::Child;
use tokio::time::{sleep, timeout};
use tracing::warn;

/// How long to wait for the processes of the group to end after SIGTERM. After SIGKILL, which follows if some have not
/// ended, the wait is as long again.
const TERMINATION_GRACE: Duration = Duration::from_millis(500);

/// The maximum time between two checks whether the group has ended.
const MAX_POLL_INTERVAL: Duration = Duration::from_millis(16);

/// The maximum number of bytes of standard error that are read and discarded between two checks, which is more than a
/// pipe holds.
const DRAIN_BYTES: usize = 128 * 1024;

/// The leader of a process group and the processes that it started. Dropping this value ends them all and blocks until
/// they are gone, but at most twice [`TERMINATION_GRACE`]. Meanwhile, their standard error is read and discarded.
/// Otherwise, a process that writes a lot at its end would block on a full pipe until SIGKILL, or would die because the
/// pipe has no reader.
pub(super) struct ProcessGroup {
    id: Pid,
    leader: Child,
    /// The reading end of the group's standard error, which is non-blocking; `None` until it is set.
    stderr: Option<OwnedFd>,
    status: Option<ExitStatus>,
    /// Whether the leader was the last process of the group when it ended. If so, a different group may already have
    /// the same id, so no more signals are sent.
    is_gone: bool,
}

impl ProcessGroup {
    /// Wraps the process group that `leader` leads. `leader` must have been started in a group of its own, and nobody
    /// may have waited for it yet.
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

    /// Sets the reading end of the group's standard error, which is read and discarded while the group ends. `stderr`
    /// must be non-blocking.
    pub(super) fn drain_while_ending(&mut self, stderr: OwnedFd) {
        self.stderr = Some(stderr);
    }

    /// Waits until the leader ends, then sends SIGTERM to the child processes that it left behind. Cancel safe.
    pub(super) async fn wait(&mut self) -> io::Result<ExitStatus> {
        if let Some(status) = self.status {
            return Ok(status);
        }
        let status = self.leader.wait().await?;
        self.status = Some(status);
        self.is_gone = kill_process_group(self.id, Signal::TERM) == Err(Errno::SRCH);
        Ok(status)
    }

    /// Asks all processes of the group to end with SIGTERM, and waits until the leader has ended. Ends them with
    /// SIGKILL if the leader has not ended within `limit`. Cancel safe.
    pub(super) async fn terminate(&mut self, limit: Duration) {
        if self.is_gone {
            return;
        }
        self.signal(Signal::TERM);
        let ended = timeout(limit, async {
            loop {
                tokio::select! {
                    biased;
                    _ = self.wait() => return,
                    () = sleep(MAX_POLL_INTERVAL) => self.drain_stderr(),
                }
            }
        });
        if ended.await.is_err() {
            self.signal(Signal::KILL);
        }
    }

    /// Sends `signal` to all processes of the group. Ignores errors, which mean that the group has already ended.
    fn signal(&self, signal: Signal) {
        kill_process_group(self.id, signal).ok();
    }

    /// Waits until the leader has ended and no other process of the group runs, but at most for the time `limit`; reaps
    /// the leader. Returns whether all processes have ended.
    fn is_gone_within(&mut self, limit: Duration) -> bool {
        let deadline = Instant::now() + limit;
        let mut pause = Duration::from_millis(1);
        loop {
            let has_leader = self.status.is_none() && matches!(self.leader.try_wait(), Ok(None));
            if !has_leader && !self.has_members(pause == MAX_POLL_INTERVAL) {
                return true;
            }
            if Instant::now() >= deadline {
                return false;
            }
            self.drain_stderr();
            thread::sleep(pause);
            pause = (pause * 2).min(MAX_POLL_INTERVAL);
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

    /// Returns whether the group still has processes after its leader was reaped. If `look_closely` is true, ignores
    /// zombies, because their parents might reap them late.
    fn has_members(&self, look_closely: bool) -> bool {
        // Orphans become child processes of Framecast if it is the first process of a container.
        while let Ok(Some(_)) = waitpgid(self.id, WaitOptions::NOHANG) {}
        test_kill_process_group(self.id).is_ok() && !(look_closely && has_only_zombies(self.id))
    }
}

/// Returns whether all processes of the group are zombies. Returns false if the system does not provide this
/// information.
fn has_only_zombies(group: Pid) -> bool {
    let Ok(processes) = std::fs::read_dir("/proc") else { return false };
    let mut zombies = 0;
    for process in processes.flatten() {
        // A process that has vanished in the meantime does not count.
        let Ok(stat) = std::fs::read_to_string(process.path().join("stat")) else { continue };
        // proc_pid_stat(5): the name in parentheses can contain anything; after it come state, parent and process
        // group.
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

impl Drop for ProcessGroup {
    fn drop(&mut self) {
        if self.is_gone {
            return;
        }
        self.signal(Signal::TERM);
        if self.is_gone_within(TERMINATION_GRACE) {
            return;
        }
        self.signal(Signal::KILL);
        if !self.is_gone_within(TERMINATION_GRACE) {
            warn!("process group {} still runs after SIGKILL", self.id.as_raw_nonzero());
        }
    }
}
