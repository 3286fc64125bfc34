//! Network namespaces without names, and the TUN device in each.
//!
//! A namespace lives as long as a descriptor or a thread holds the namespace. No cleanup is needed.

use std::{
    fs::{self, File},
    io::{self, BufRead, BufReader},
    net::{Ipv4Addr, Ipv6Addr},
    os::fd::AsFd,
    process::{Command, Output, Stdio},
    sync::Arc,
    thread,
};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tun_rs::{DeviceBuilder, SyncDevice};

/// The name of the TUN device in its namespace.
const DEVICE: &str = "path";
/// The MTU of Ethernet. No packet is larger, because a TUN device has no offloads by default.
pub(super) const MTU: u16 = 1500;
/// Packets that the kernel keeps for the relay. 32 clients with windows of 64 KiB have about 1,400 packets in flight.
const QUEUE: u32 = 8192;

/// A network namespace, in which loopback is up.
#[derive(Debug, Clone)]
pub struct Namespace(Arc<File>);

impl Namespace {
    /// Makes a namespace. A short-lived process makes the namespace, because safe code cannot leave its own one.
    ///
    /// # Errors
    ///
    /// If the process may not make a namespace, or `unshare` or `ip` is not installed.
    pub fn make() -> io::Result<Namespace> {
        // The shell keeps the namespace until its standard input ends.
        let script = "ip link set lo up && echo ready && read -r _";
        let mut maker = Command::new("unshare")
            .args(["--net", "sh", "-c", script])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| io::Error::other(format!("unshare: {error}")))?;
        let mut line = String::new();
        if let Some(output) = maker.stdout.take() {
            BufReader::new(output).read_line(&mut line)?;
        }
        let namespace = match line.trim() {
            "ready" => File::open(format!("/proc/{}/ns/net", maker.id())),
            _ => Err(io::Error::other("no network namespace: this needs root, iproute2 and util-linux")),
        };
        drop(maker.stdin.take());
        maker.wait()?;
        Ok(Namespace(Arc::new(namespace?)))
    }

    /// The namespace of the calling thread.
    ///
    /// # Errors
    ///
    /// If `/proc` is not mounted.
    pub fn current() -> io::Result<Namespace> {
        Ok(Namespace(Arc::new(File::open("/proc/thread-self/ns/net")?)))
    }

    /// Moves the calling thread into the namespace. Threads and child processes that the thread starts later begin
    /// there.
    ///
    /// # Errors
    ///
    /// If the process has lost the privilege.
    pub fn enter(&self) -> io::Result<()> {
        Ok(move_into_link_name_space(self.0.as_fd(), Some(LinkNameSpaceType::Network))?)
    }

    /// Runs `work` on a thread inside the namespace, and waits for the result.
    ///
    /// # Errors
    ///
    /// Those of [`Namespace::enter`], and if `work` panics.
    pub fn within<T: Send>(&self, work: impl FnOnce() -> T + Send) -> io::Result<T> {
        thread::scope(|scope| {
            let inside = scope.spawn(|| self.enter().map(|()| work()));
            inside.join().map_err(|_| io::Error::other("a thread in a namespace panicked: see above"))?
        })
    }
}

/// A TUN device that is up and has addresses.
pub(super) struct Device(pub(super) SyncDevice);

impl Device {
    pub(super) fn make(namespace: &Namespace, (v4, v6): (Ipv4Addr, Ipv6Addr)) -> io::Result<Device> {
        namespace.within(|| {
            let device = DeviceBuilder::new()
                .name(DEVICE)
                .mtu(MTU)
                .tx_queue_len(QUEUE)
                .enable(false)
                .build_sync()
                .map_err(|error| io::Error::other(format!("no TUN device (/dev/net/tun): {error}")))?;
            ip(&["addr", "add", &format!("{v4}/30"), "dev", DEVICE])?;
            ip(&["link", "set", DEVICE, "up"])?;
            // `nodad` makes the address usable at once. A kernel without IPv6 fails here, and a server on IPv6 then
            // reports the failure.
            let _ = ip(&["-6", "addr", "add", &format!("{v6}/64"), "dev", DEVICE, "nodad"]);
            Ok(Device(device))
        })?
    }
}

fn ip(arguments: &[&str]) -> io::Result<()> {
    let Output { status, stderr, .. } = Command::new("ip").args(arguments).output()?;
    if status.success() {
        return Ok(());
    }
    Err(io::Error::other(format!("ip {}: {}", arguments.join(" "), String::from_utf8_lossy(&stderr))))
}

/// Packets that the kernel dropped in the calling thread's namespace because the relay did not read fast enough.
pub(super) fn dropped_by_kernel() -> io::Result<u64> {
    let devices = fs::read_to_string("/proc/thread-self/net/dev")?;
    let numbers = devices.lines().find_map(|line| line.trim().strip_prefix(DEVICE)?.strip_prefix(':'));
    // Eight numbers of received packets come first; the fourth of the sent ones counts the drops.
    let dropped = numbers.and_then(|numbers| numbers.split_whitespace().nth(11)?.parse().ok());
    dropped.ok_or_else(|| io::Error::other(format!("no count of dropped packets in: {devices}")))
}
