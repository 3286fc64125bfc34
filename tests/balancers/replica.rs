//! One replica of the service: the program in a network of its own.

use std::{
    env, fs,
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    path::PathBuf,
    process,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

use crate::{network::Namespace, program::Program, support::HUNG};

/// The ports of a replica. Its namespace is new and private, so nothing else can have them.
const SERVED: u16 = 7000;
const ADMIN: u16 = 7001;
/// The pause between two looks at the metrics. No event tells this process that the balancer has begun to send.
const PAUSE: Duration = Duration::from_millis(10);
/// Completed requests that show that the balancer sends. They are more than the health checks of the time that a test has.
const IN_ROTATION: u64 = 40;

/// How the balancer reaches the replicas.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transport {
    Tcp,
    Unix,
}

/// Where a replica listens.
pub(crate) struct Place<'a> {
    namespace: &'a Namespace,
    host: Ipv4Addr,
    /// Short, because the path of a socket has at most 107 bytes. The folder is removed with the value.
    folder: PathBuf,
    transport: Transport,
}

impl<'a> Place<'a> {
    pub(crate) fn new((namespace, host): &'a (Namespace, Ipv4Addr), transport: Transport) -> Place<'a> {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let folder = env::temp_dir().join(format!("softstop-balancers-{}-{number}", process::id()));
        fs::create_dir_all(&folder).unwrap();
        Place { namespace, host: *host, folder, transport }
    }

    /// The path for a control socket.
    pub(crate) fn control(&self) -> String {
        self.folder.join("control").to_str().unwrap().to_owned()
    }

    /// The text that stands for the replica in the shipped files.
    pub(crate) fn shipped(&self) -> String {
        SocketAddr::from((self.host, SERVED)).to_string()
    }

    /// The address for a balancer that writes Unix-domain addresses with this prefix.
    pub(crate) fn address(&self, unix: &str) -> String {
        match self.transport {
            Transport::Tcp => self.shipped(),
            Transport::Unix => format!("{unix}{}", self.folder.join("hello").display()),
        }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        // A process that has replaced another one is no child of the test.
        if fs::exists(self.control()).unwrap_or(false) {
            _ = softstop(&["stop", "--grace", "0s", "--control", &self.control()]);
        }
        // The folder of a test that fails here stays behind among the temporary files.
        _ = fs::remove_dir_all(&self.folder);
    }
}

pub(crate) struct Replica<'a> {
    pub(crate) place: &'a Place<'a>,
    arguments: &'a [&'a str],
    program: Program,
}

impl<'a> Replica<'a> {
    /// Starts the replica, and waits until it listens.
    #[track_caller]
    pub(crate) fn start(place: &'a Place<'a>, arguments: &'a [&'a str]) -> Replica<'a> {
        let [nsenter, net] = place.namespace.wrapper();
        let admin = SocketAddr::from((place.host, ADMIN)).to_string();
        let hello = match place.transport {
            Transport::Tcp => place.shipped(),
            // nginx serves as another user than the tests.
            Transport::Unix => format!("{}?mode=0666", place.address("unix:")),
        };
        let free = || "127.0.0.1:0".to_owned();
        let command = Program::command_under(&[&nsenter, &net]);
        let arguments_and_admin = [arguments, &["--admin", &admin]].concat();
        let mut program = Program::start_as(command, &arguments_and_admin, [hello, free(), free()]);
        // The admin server is the last one that listens.
        program.wait_for_line("admin: listening on ");
        Replica { place, arguments, program }
    }

    /// Asks the replica to stop. Its readiness says no from now on.
    #[track_caller]
    pub(crate) fn ask_to_stop(&self) {
        self.program.signal("TERM");
    }

    /// Waits for the end of the process, which has been asked to stop. The end must be clean.
    #[track_caller]
    pub(crate) fn end(self) {
        let (status, log) = self.program.wait();
        assert_eq!(status.code(), Some(0), "{log}");
    }

    /// Waits for the end of the old process, as [`end`](Replica::end) does, and starts a new one.
    #[track_caller]
    pub(crate) fn replace(self) -> Replica<'a> {
        let Replica { place, arguments, .. } = self;
        self.end();
        Replica::start(place, arguments)
    }

    /// Replaces the process with `softstop reload`, and waits until the old process has ended.
    #[track_caller]
    pub(crate) fn reload(&self) {
        let control = self.place.control();
        softstop(&["reload", "--control", &control]).unwrap();
        let began = Instant::now();
        while !softstop(&["status", "--json", "--control", &control]).unwrap().contains("\"older\": null") {
            assert!(began.elapsed() < HUNG, "the old process does not end");
            thread::sleep(PAUSE);
        }
    }

    /// Stops a process that has replaced another one.
    #[track_caller]
    pub(crate) fn stop_by_control(self) {
        softstop(&["stop", "--control", &self.place.control()]).unwrap();
    }

    /// Waits until the balancer sends requests to this process.
    #[track_caller]
    pub(crate) fn wait_for_rotation(&self) {
        let (began, before) = (Instant::now(), self.completed());
        while self.completed() < before + IN_ROTATION {
            assert!(began.elapsed() < HUNG, "the balancer does not send to {}", self.place.host);
            thread::sleep(PAUSE);
        }
    }

    /// The requests that the server has completed, health checks included. The admin server tells.
    fn completed(&self) -> u64 {
        let mut connection = TcpStream::connect((self.place.host, ADMIN)).unwrap();
        connection.write_all(b"GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
        let mut page = String::new();
        connection.read_to_string(&mut page).unwrap();
        let sample = "\nsoftstop_requests_total{server=\"hello\",outcome=\"completed\"} ";
        let (_, number) = page.split_once(sample).unwrap();
        number.lines().next().unwrap().parse().unwrap()
    }
}

/// Runs the program to its end. Returns its output, or what it said when it failed.
fn softstop(arguments: &[&str]) -> Result<String, String> {
    let output = Program::command(arguments).output().unwrap();
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}
