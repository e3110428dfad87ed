//! The network namespace that committed runs are made in: nothing else of the machine is on its loopback, whose MTU and
//! congestion control are set.

use std::{os::unix::process::CommandExt as _, process::Command};

use anyhow::{Context as _, Result};

/// Set in the process that runs inside the network namespace, so that it does not make another.
const INSIDE: &str = "FRAMECAST_BENCH_INSIDE_NETNS";

/// Set because the machine's default differs between machines, and some of them (bbr) cost CPU of their own; reno is
/// allowed in every namespace.
const CONGESTION_CONTROL: &str = "reno";

/// What a real network's links carry at once; loopback's own 64 KiB would flatter every server.
const MTU: &str = "1500";

/// Becomes the same command inside a fresh network namespace, unless this is one already.
///
/// # Errors
///
/// When `unshare` or `ip` is missing or root's rights are.
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
