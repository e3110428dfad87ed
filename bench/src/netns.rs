//! Moves this program into a network namespace, for runs whose results are committed to the repository. There, the
//! loopback carries no other traffic of the machine, and the MTU and the TCP congestion control are fixed.

use std::{os::unix::process::CommandExt as _, process::Command};

use anyhow::{Context as _, Result};

/// The environment variable that is set for the process within the network namespace. It prevents that process from
/// creating another namespace.
const INSIDE: &str = "FRAMECAST_BENCH_INSIDE_NETNS";

/// The TCP congestion control within the namespace. It is set because the default differs between machines, and some
/// algorithms (bbr) use CPU time themselves. The kernel allows reno in every namespace.
const CONGESTION_CONTROL: &str = "reno";

/// The MTU of the namespace's loopback in bytes, as on Ethernet. With the loopback's default of 64 KiB, every server
/// would look faster than on a real network.
const MTU: &str = "1500";

/// Restarts this command in a new network namespace, in place of this process. Does nothing if the process is already
/// in such a namespace.
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
