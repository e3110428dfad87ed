//! A program and everything that it started, as one process group, ended together.

use std::io;
use std::process::ExitStatus;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group, test_kill_process_group};
use tokio::process::Child;
use tracing::warn;

/// How long the group has to end after SIGTERM, and again after SIGKILL.
const GRACE: Duration = Duration::from_millis(500);

/// The leader of a process group and whoever it started. Dropping it ends them all: it returns when they are gone,
/// or after twice [`GRACE`].
pub(super) struct Group {
    id: Pid,
    leader: Child,
    status: Option<ExitStatus>,
}

impl Group {
    /// Takes over `leader`, which was started as the leader of a group of its own and was not waited for yet.
    pub(super) fn new(leader: Child) -> Self {
        let id = leader.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        Self { id: id.expect("a child that was not waited for has its process id"), leader, status: None }
    }

    /// Waits for the leader's end. Children that it left behind are asked to end too. Cancel safe.
    pub(super) async fn wait(&mut self) -> io::Result<ExitStatus> {
        if let Some(status) = self.status {
            return Ok(status);
        }
        let status = self.leader.wait().await?;
        self.status = Some(status);
        self.signal(Signal::TERM);
        Ok(status)
    }

    /// A group that is gone already is what was wanted.
    fn signal(&self, signal: Signal) {
        kill_process_group(self.id, signal).ok();
    }

    /// Whether the leader was reaped and nobody else is left, waiting for that up to `limit`.
    fn is_gone_within(&mut self, limit: Duration) -> bool {
        let deadline = Instant::now() + limit;
        let mut pause = Duration::from_millis(1);
        loop {
            let has_leader = self.status.is_none() && matches!(self.leader.try_wait(), Ok(None));
            if !has_leader && test_kill_process_group(self.id).is_err() {
                return true;
            }
            if Instant::now() >= deadline {
                return false;
            }
            thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(20));
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
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
