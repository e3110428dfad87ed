//! The network namespace for committed runs: no other traffic of the machine is on its loopback, and its MTU and
//! congestion control are set.

use std::{os::unix::process::CommandExt as _, process::Command};

use anyhow::{Context as _, Result};

/// Set for the process within the network namespace, so that it does not create another.
const INSIDE: &str = "FRAMECAST_BENCH_INSIDE_NETNS";

/// Set explicitly because the default differs between machines, and some algorithms (bbr) cost CPU of their own; reno
/// is allowed in every namespace.
const CONGESTION_CONTROL: &str = "reno";

/// The packet size of real networks; loopback's own 64 KiB would flatter every server.
const MTU: &str = "1500";

/// Runs the same command inside a new network namespace in place of this process, unless this is one already.
///
/// # Errors
///
/// When `unshare` or `ip` is missing, or root privileges are.
pub(crate) fn enter() -> Result<()> {
    if std::env::var_os(INSIDE).is_some() {
        return Ok(());
    }
    let error = Command::new("unshare")
        .args(["--net", "--", "sh", "-c"])
        .arg(format!(
            "ip link set lo mtu {MTU} up \
             && echo {CONGESTION_CONTROL} > /proc/sys/net/ipv4/tcp_congestion_control \
             && exec \"$0\" \"$@\""
        ))
        .arg(std::env::current_exe()?)
        .args(std::env::args_os().skip(1))
        .env(INSIDE, "1")
        .exec();
    Err(error).context("cannot run unshare, of util-linux")
}
