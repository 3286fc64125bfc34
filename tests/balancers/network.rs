//! Network namespaces without names: one for the balancer and its clients, and one for each replica.
//!
//! A namespace ends with the last process or descriptor that uses it. So nothing is left, even if a test is killed.

use std::{
    fs::File,
    io::{BufRead, BufReader},
    net::Ipv4Addr,
    os::fd::{AsFd, AsRawFd},
    process::{self, Command, Stdio},
    thread,
};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// A network namespace in which loopback is up.
pub(crate) struct Namespace(File);

impl Namespace {
    /// A short-lived process makes the namespace, because safe code cannot leave its own one.
    #[track_caller]
    fn make() -> Namespace {
        let mut maker = Command::new("unshare")
            .args(["--net", "sh", "-c", "ip link set lo up && echo ready && read -r _"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(maker.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(
            line.trim(),
            "ready",
            "no network namespace: the test needs root, iproute2 and util-linux"
        );
        let namespace = File::open(format!("/proc/{}/ns/net", maker.id())).unwrap();
        drop(maker.stdin.take());
        maker.wait().unwrap();
        Namespace(namespace)
    }

    /// A path that names the namespace for other processes, while this process runs.
    fn path(&self) -> String {
        format!("/proc/{}/fd/{}", process::id(), self.0.as_raw_fd())
    }

    /// The words that run a program inside the namespace. The program keeps the process id.
    pub(crate) fn wrapper(&self) -> [String; 2] {
        ["nsenter".to_owned(), format!("--net={}", self.path())]
    }

    #[track_caller]
    fn ip(&self, arguments: &[&str]) {
        let [nsenter, net] = self.wrapper();
        let status = Command::new(nsenter).arg(net).arg("ip").args(arguments).status().unwrap();
        assert!(status.success(), "ip {arguments:?}");
    }
}

/// The namespaces of two replicas, and the address of each. The thread that has made the value is in the namespace of the
/// balancer.
pub(crate) struct Network {
    pub(crate) replicas: [(Namespace, Ipv4Addr); 2],
}

impl Network {
    /// Runs a test on a thread of its own, because the thread moves into a new namespace and stays there.
    #[track_caller]
    pub(crate) fn with(test: impl FnOnce(&Network) + Send) {
        let ended = thread::scope(|scope| {
            let thread = thread::Builder::new().name(thread::current().name().unwrap_or("test").to_owned());
            thread.spawn_scoped(scope, || test(&Network::make())).unwrap().join()
        });
        if let Err(panic) = ended {
            std::panic::resume_unwind(panic);
        }
    }

    #[track_caller]
    fn make() -> Network {
        let front = Namespace::make();
        let replicas = [1, 2].map(|number| {
            let replica = Namespace::make();
            let [near, far] = [1, 2].map(|end| Ipv4Addr::new(198, 18, number, end));
            let device = format!("to-{number}");
            let path = replica.path();
            front.ip(&[
                "link", "add", "name", &device, "type", "veth", "peer", "name", "eth0", "netns", &path,
            ]);
            for (namespace, device, address) in [(&front, &*device, near), (&replica, "eth0", far)] {
                namespace.ip(&["addr", "add", &format!("{address}/30"), "dev", device]);
                namespace.ip(&["link", "set", "dev", device, "up"]);
            }
            (replica, far)
        });
        move_into_link_name_space(front.0.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
        Network { replicas }
    }
}
