//! What a test runs against: NATS with its files, replicas of the example, and HAProxy in front of them.
//!
//! Each test has a loopback address of its own. Clients connect from 127.0.0.1. So the port of a replica that is away for a
//! moment is taken neither by a client nor by another test.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{self, Command},
    sync::atomic::{AtomicU8, Ordering},
};

use crate::{
    clients::get,
    process::{Lines, Process, example},
    support::until,
};

/// A loopback address and a folder. The folder is removed with its owner.
pub(crate) struct Place {
    pub(crate) ip: Ipv4Addr,
    folder: PathBuf,
}

pub(crate) struct Nats {
    pub(crate) address: SocketAddr,
    process: Process,
}

/// How the replicas of a test are started.
#[derive(Clone)]
pub(crate) struct Options {
    pub(crate) grace_ms: u64,
    pub(crate) ack_wait_ms: u64,
}

pub(crate) struct Replica {
    pub(crate) address: SocketAddr,
    pub(crate) process: Process,
}

impl Place {
    pub(crate) fn new(name: &str) -> Place {
        static NEXT: AtomicU8 = AtomicU8::new(1);
        let [.., high, low] = process::id().to_be_bytes();
        let ip = Ipv4Addr::new(127, 100 + NEXT.fetch_add(1, Ordering::Relaxed), high, low.clamp(1, 254));
        // Two runs at once do not share their files.
        let folder = format!("more_machines-{name}-{}", process::id());
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(folder);
        // A run that was killed, and had the same number, may have left the folder behind.
        _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        Place { ip, folder }
    }

    fn path(&self, file: &str) -> String {
        self.folder.join(file).to_str().unwrap().to_owned()
    }

    /// A port of the place's own address that is free now.
    pub(crate) fn free(&self) -> SocketAddr {
        TcpListener::bind((self.ip, 0)).unwrap().local_addr().unwrap()
    }

    /// NATS on a port that NATS chooses.
    pub(crate) fn nats(&self) -> Nats {
        self.nats_on(None)
    }

    /// NATS, where clients expect it, with the files of the server before.
    pub(crate) fn nats_on(&self, address: Option<SocketAddr>) -> Nats {
        let port = address.map_or("-1".to_owned(), |address| address.port().to_string());
        let mut command = Command::new("nats-server");
        command.args(["--addr", &self.ip.to_string(), "--port", &port, "--jetstream"]);
        command.args(["--store_dir", &self.path("store")]);
        let mut process = Process::start(&mut command, &Lines::Errors);
        let line = process.line("Listening for client connections on ");
        let address = line.rsplit(' ').next().unwrap().parse().unwrap();
        process.line("Server is ready");
        Nats { address, process }
    }

    /// HAProxy, which asks each replica ten times a second whether it is ready.
    pub(crate) fn haproxy(&self, replicas: &[SocketAddr]) -> (SocketAddr, Process) {
        let address = self.free();
        let servers: Vec<String> = replicas
            .iter()
            .enumerate()
            .map(|(number, replica)| format!("  server replica{number} {replica}\n"))
            .collect();
        let configuration = format!(
            r"global
  maxconn 256
defaults
  mode http
  option redispatch
  timeout connect 2s
  timeout client 60s
  timeout server 60s
frontend all
  bind {address}
  default_backend replicas
backend replicas
  balance roundrobin
  option httpchk GET /readyz
  http-check expect status 200
  default-server check inter 100ms fastinter 100ms downinter 100ms rise 1 fall 1
{}",
            servers.concat()
        );
        let file = self.path("haproxy.cfg");
        fs::write(&file, configuration).unwrap();
        let process = Process::start(Command::new("haproxy").args(["-db", "-f", &file]), &Lines::Errors);
        until("HAProxy has a ready replica", || get(address, "/readyz").is_some_and(|it| it.status == 200));
        (address, process)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // It fails if NATS still writes. Then the files remain, in the folder for temporary files of the tests.
        _ = fs::remove_dir_all(&self.folder);
    }
}

impl Nats {
    pub(crate) fn url(&self) -> String {
        format!("nats://{}", self.address)
    }

    /// Stops NATS. The files remain.
    #[track_caller]
    pub(crate) fn stop(mut self) {
        self.process.signal("TERM");
        self.process.wait();
    }
}

impl Replica {
    /// Starts a replica, and waits until it listens.
    #[track_caller]
    pub(crate) fn start(nats: &str, address: SocketAddr, name: &str, options: &Options) -> Replica {
        let Options { grace_ms, ack_wait_ms } = options;
        let mut command = Command::new(example());
        command.args([nats, &address.to_string(), name, &grace_ms.to_string(), &ack_wait_ms.to_string()]);
        let mut process = Process::start(&mut command, &Lines::Output);
        let line = process.line("listening on http://");
        let (_, address) = line.split_once("http://").unwrap();
        let address = address.split('/').next().unwrap().parse().unwrap();
        Replica { address, process }
    }

    /// Starts a replica, and waits until it is ready.
    #[track_caller]
    pub(crate) fn ready(nats: &str, address: SocketAddr, name: &str, options: &Options) -> Replica {
        let replica = Replica::start(nats, address, name, options);
        replica.wait_ready();
        replica
    }

    #[track_caller]
    pub(crate) fn wait_ready(&self) {
        until("the replica is ready", || get(self.address, "/readyz").is_some_and(|it| it.status == 200));
    }

    /// The lines of a replica that has stopped, which it must have done without an error.
    #[track_caller]
    pub(crate) fn stopped(&mut self) -> Vec<String> {
        let (status, printed) = self.process.wait();
        assert!(status.success(), "{status}: {printed:#?}");
        printed
    }
}
