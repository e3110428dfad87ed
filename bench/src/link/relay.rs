//! Joins two network namespaces by a simulated slow link: a TUN device in each namespace, and a thread for each
//! direction that moves packets between the devices. A [`Pipe`] decides when each packet arrives.
//!
//! This program runs in one namespace, called near. The other, called far, belongs to a child process, which ends when
//! the relay is dropped or when this program ends for any reason. A program can create only one relay: the devices last
//! as long as the program, because tappers 0.4 does not close their file descriptors in release builds.

use std::{
    fs::{self, File},
    io::ErrorKind,
    net::{IpAddr, Ipv4Addr},
    os::fd::AsFd,
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use rustix::{
    event::{PollFd, PollFlags, Timespec},
    thread::LinkNameSpaceType,
};
use tappers::{Interface, Tun};

use super::pipe::{Pipe, Shape};

/// The IP address of the link's end in the namespace of this program.
pub(crate) const NEAR: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 77, 0, 1));

/// The IP address of the link's end in the other namespace.
const FAR: &str = "10.77.0.2";

/// The MTU in bytes of the TUN devices at both ends of the link, as on Ethernet.
const MTU: usize = 1500;

/// The interval at which a forwarding thread checks whether it should stop.
const STOP_POLL: Duration = Duration::from_millis(50);

/// The maximum time to wait until the child process is in its own network namespace.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The numbers of packets that one direction of the link has accepted and dropped.
#[derive(Debug, Clone, Copy, Default, serde::Serialize)]
pub(crate) struct PacketCounts {
    pub(crate) packets: u64,
    pub(crate) dropped: u64,
}

impl PacketCounts {
    /// Returns the numbers of packets that were accepted and dropped between `earlier` and these counts.
    pub(crate) fn since(self, earlier: Self) -> Self {
        Self { packets: self.packets - earlier.packets, dropped: self.dropped - earlier.dropped }
    }

    /// Returns the share of packets that were dropped, in percent.
    pub(crate) fn percent_dropped(self) -> f64 {
        let offered = self.packets + self.dropped;
        if offered == 0 { 0.0 } else { 100.0 * self.dropped as f64 / offered as f64 }
    }
}

/// A running link between two network namespaces. Dropping this value ends the link.
#[derive(Debug)]
pub(crate) struct Relay {
    holder: Child,
    stop: Arc<AtomicBool>,
    bits_per_second: Arc<AtomicU64>,
    to_the_far_side: Arc<RelayCounts>,
}

#[derive(Debug, Default)]
struct RelayCounts {
    packets: AtomicU64,
    dropped: AtomicU64,
}

impl Relay {
    /// Creates the second network namespace (called far), a TUN device in each namespace, and the link between them.
    ///
    /// # Errors
    ///
    /// Root privileges are missing, or the kernel does not support TUN.
    pub(crate) fn start(shape: Shape) -> Result<Self> {
        let mut holder = Command::new("unshare")
            .args(["--net", "--", "cat"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .context("cannot run unshare (from util-linux)")?;
        let (near, far) = match devices(&mut holder) {
            Ok((near, far)) => (Arc::new(near), Arc::new(far)),
            Err(error) => {
                end(&mut holder);
                return Err(error.context("cannot make a link (needs root and /dev/net/tun)"));
            }
        };
        let bits_per_second = Arc::new(AtomicU64::new(shape.bits_per_second));
        let stop = Arc::new(AtomicBool::new(false));
        let relay = Self { holder, stop, bits_per_second, to_the_far_side: Arc::default() };
        for (from, to, counts) in
            [(&near, &far, Arc::clone(&relay.to_the_far_side)), (&far, &near, Arc::default())]
        {
            let (from, to, stop) = (Arc::clone(from), Arc::clone(to), Arc::clone(&relay.stop));
            let rate = Arc::clone(&relay.bits_per_second);
            thread::spawn(move || {
                forward(&from, &to, Pipe::new(shape, Instant::now()), &counts, &rate, &stop);
            });
        }
        Ok(relay)
    }

    /// Runs `work` on a separate thread in the namespace at the other end of the link, and returns its result.
    ///
    /// # Errors
    ///
    /// The namespace cannot be entered. Errors of `work` are returned too.
    pub(crate) fn on_the_far_side<T: Send>(&self, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        let namespace = namespace_of(self.holder.id())?;
        thread::scope(|scope| {
            let working = scope.spawn(move || {
                enter(&namespace)?;
                work()
            });
            working.join().expect("the work does not panic")
        })
    }

    /// Sets the rate in each direction. It applies to packets that enter the link from now on.
    pub(crate) fn set_rate(&self, bits_per_second: u64) {
        self.bits_per_second.store(bits_per_second, Ordering::Relaxed);
    }

    /// Returns how many packets the direction from this program's namespace to the other has accepted and dropped so
    /// far.
    pub(crate) fn to_the_far_side(&self) -> PacketCounts {
        let RelayCounts { packets, dropped } = &*self.to_the_far_side;
        PacketCounts { packets: packets.load(Ordering::Relaxed), dropped: dropped.load(Ordering::Relaxed) }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        end(&mut self.holder);
    }
}

/// Creates a TUN device in this program's namespace and another in the namespace of the child process `holder`. Returns
/// both in this order.
fn devices(holder: &mut Child) -> Result<(Tun, Tun)> {
    let near = device("bench-near", &NEAR.to_string(), FAR)?;
    let namespace = await_namespace(holder)?;
    let far = thread::spawn(move || {
        enter(&namespace)?;
        device("bench-far", FAR, &NEAR.to_string())
    });
    Ok((near, far.join().expect("the thread does not panic")?))
}

fn end(child: &mut Child) {
    // An error here means that the child has already ended.
    let _ = child.kill();
    let _ = child.wait();
}

fn namespace_of(pid: u32) -> Result<File> {
    File::open(format!("/proc/{pid}/ns/net")).context("cannot open a network namespace")
}

/// Waits until the child process is in its own network namespace. Returns that namespace as an open file.
fn await_namespace(holder: &mut Child) -> Result<File> {
    let ours = fs::read_link("/proc/self/ns/net")?;
    let give_up = Instant::now() + TIMEOUT;
    loop {
        if let Some(status) = holder.try_wait()? {
            bail!("unshare ended with {status}");
        }
        if fs::read_link(format!("/proc/{}/ns/net", holder.id()))? != ours {
            return namespace_of(holder.id());
        }
        ensure!(Instant::now() < give_up, "unshare did not create a network namespace in time");
        thread::sleep(Duration::from_millis(5));
    }
}

/// Moves the calling thread, and the processes that it starts, into a network namespace.
fn enter(namespace: &File) -> Result<()> {
    rustix::thread::move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))
        .context("cannot enter the relay's remote network namespace")
}

/// Creates a TUN device in the calling thread's namespace, sets its address and brings it up.
fn device(name: &str, address: &str, peer: &str) -> Result<Tun> {
    let mut tun = Tun::new_named(Interface::new(name)?).context("cannot make a TUN device")?;
    tun.set_nonblocking(true)?;
    let commands = [
        "link set lo up".to_owned(),
        format!("addr add {address} peer {peer} dev {name}"),
        format!("link set {name} mtu {MTU} up"),
    ];
    for command in commands {
        let output = Command::new("ip").args(command.split(' ')).output().context("cannot run ip")?;
        ensure!(output.status.success(), "ip {command}: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(tun)
}

/// Moves packets from the device `from` to the device `to`, as late as `pipe` decides, until `stop` is true.
fn forward(
    from: &Tun,
    to: &Tun,
    mut pipe: Pipe,
    counts: &RelayCounts,
    bits_per_second: &AtomicU64,
    stop: &AtomicBool,
) {
    let mut packet = [0; MTU];
    while !stop.load(Ordering::Relaxed) {
        let now = Instant::now();
        while let Some(packet) = pipe.take(now) {
            // The device drops packets for which it has no room, as any interface does.
            let _ = to.send(&packet);
        }
        pipe.set_rate(bits_per_second.load(Ordering::Relaxed));
        match from.recv(&mut packet) {
            Ok(length) => {
                let taken = pipe.enqueue(Instant::now(), &packet[..length]);
                let count = if taken { &counts.packets } else { &counts.dropped };
                count.fetch_add(1, Ordering::Relaxed);
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => wait(from, pipe.next()),
            // The device is gone, and with it the link.
            Err(_) => return,
        }
    }
}

/// Waits until the device `from` has a packet, the time `next` has come, or 50 ms have passed.
fn wait(from: &Tun, next: Option<Instant>) {
    let until = next.map_or(STOP_POLL, |next| next.saturating_duration_since(Instant::now()).min(STOP_POLL));
    let timeout = Timespec { tv_sec: 0, tv_nsec: until.subsec_nanos().into() };
    let mut fds = [PollFd::new(from, PollFlags::IN)];
    // A signal ends the wait early, which does no harm.
    let _ = rustix::event::poll(&mut fds, Some(&timeout));
}
