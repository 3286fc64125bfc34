//! One replica of the service: the program in a network of its own.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    thread,
    time::{Duration, Instant},
};

use crate::{
    network::Namespace,
    program::{FREE, Program},
    support::HUNG,
};

/// The pause between two looks at the metrics. No event tells this process that the balancer has begun to send.
const PAUSE: Duration = Duration::from_millis(10);
/// Completed requests that show that the balancer sends. They are more than the health checks of the time that a test has.
const IN_ROTATION: u64 = 40;

pub(crate) struct Replica<'a> {
    namespace: &'a Namespace,
    pub(crate) address: SocketAddr,
    arguments: &'a [&'a str],
    program: Program,
}

impl<'a> Replica<'a> {
    /// Starts the replica, and waits until it listens.
    #[track_caller]
    pub(crate) fn start(
        (namespace, address): &'a (Namespace, SocketAddr),
        arguments: &'a [&'a str],
    ) -> Replica<'a> {
        let program = run(namespace, *address, arguments);
        Replica { namespace, address: *address, arguments, program }
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
        let Replica { namespace, address, arguments, .. } = self;
        self.end();
        Replica { namespace, address, arguments, program: run(namespace, address, arguments) }
    }

    /// Waits until the balancer sends requests to this process.
    #[track_caller]
    pub(crate) fn wait_for_rotation(&self) {
        let (began, before) = (Instant::now(), self.completed());
        // Each look is a request, too.
        let mut looks = 0;
        while self.completed() < before + IN_ROTATION + looks {
            looks += 1;
            assert!(began.elapsed() < HUNG, "the balancer does not send to {}", self.address);
            thread::sleep(PAUSE);
        }
    }

    /// The requests that the server has completed, with health checks and earlier looks.
    fn completed(&self) -> u64 {
        let mut connection = TcpStream::connect(self.address).unwrap();
        connection.write_all(b"GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
        let mut page = String::new();
        connection.read_to_string(&mut page).unwrap();
        let sample = "\nsoftstop_requests_total{server=\"hello\",outcome=\"completed\"} ";
        let (_, number) = page.split_once(sample).unwrap();
        number.lines().next().unwrap().parse().unwrap()
    }
}

#[track_caller]
fn run(namespace: &Namespace, address: SocketAddr, arguments: &[&str]) -> Program {
    let [nsenter, net] = namespace.wrapper();
    let mut program =
        Program::start_as(Program::command_under(&[&nsenter, &net]), arguments, [address, FREE[1], FREE[2]]);
    program.addresses();
    program
}
