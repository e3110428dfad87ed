//! The network namespace for runs whose results are committed. The machine's other traffic does not use the loopback of
//! the namespace, and the MTU and the congestion control are fixed.

use std::{os::unix::process::CommandExt as _, process::Command};

use anyhow::{Context as _, Result};

/// The environment variable that is set for the process within the network namespace, so that the process does not
/// create another namespace.
const INSIDE: &str = "FRAMECAST_BENCH_INSIDE_NETNS";

/// The TCP congestion control of the namespace. It is set because the default differs between machines, and some
/// algorithms (bbr) use CPU time themselves. reno is allowed in every namespace.
const CONGESTION_CONTROL: &str = "reno";

/// The MTU of the namespace's loopback in bytes, as in real networks. The loopback's default of 64 KiB would make every
/// server look better.
const MTU: &str = "1500";

/// Replaces this process by the same command in a new network namespace, unless this process is in one already.
///
/// # Errors
///
/// `unshare` or `ip` is missing, or root privileges are missing.
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
    Err(error).context("cannot run unshare (from util-linux)")
}
