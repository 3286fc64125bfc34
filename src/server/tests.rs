//! What only a test inside the crate can do to a server: have a second descriptor of its listeners, and make a loop panic.

use std::{
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::mpsc::{Receiver, channel},
    time::{Duration, Instant},
};

use socket2::SockRef;

use super::*;
use crate::observe::Event;
use crate::{
    ErrorKind, OnListenerFailure,
    engine::net::{Holder, LoopMessage},
    observe::Observer,
    route,
    stop::{ListenerEnd, Phase},
};

/// Longer than anything here takes on the slowest machine.
const HUNG: Duration = Duration::from_secs(30);

struct Failures(std::sync::mpsc::Sender<SocketAddr>);

impl Observer for Failures {
    fn observe(&self, _: &str, event: &Event<'_>) {
        if let Event::ListenerFailed { address, .. } = event {
            _ = self.0.send(*address);
        }
    }
}

/// A running server with a listener of each family, whose holder is `holder`. Returns the server, second descriptors of its
/// listeners, and the addresses of listeners that fail.
fn serve(choice: OnListenerFailure, holder: Holder) -> (Server, Vec<TcpListener>, Receiver<SocketAddr>) {
    let (sender, failures) = channel();
    let routes = Router::new().get("/", route(|_| "served").inline());
    let server = Server::builder()
        .name("tested")
        .listen("127.0.0.1:0")
        .listen("[::1]:0")
        .loops(1)
        .routes(routes)
        .on_listener_failure(choice)
        .observer(Failures(sender))
        .build();
    let mut start = server.bind().unwrap();
    start.listeners.iter_mut().for_each(|listener| listener.holder = holder);
    let others = start.listeners.iter().map(|listener| listener.socket.try_clone().unwrap()).collect();
    start.serve(None).unwrap();
    (server, others, failures)
}

fn connect(address: SocketAddr) -> TcpStream {
    let client = TcpStream::connect_timeout(&address, HUNG).unwrap();
    client.set_read_timeout(Some(HUNG)).unwrap();
    client
}

#[track_caller]
fn assert_served(client: &mut TcpStream) {
    client.write_all(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n").unwrap();
    let mut response = Vec::new();
    while !response.ends_with(b"served") {
        let mut bytes = [0; 1024];
        let length = client.read(&mut bytes).unwrap();
        assert!(length > 0, "the connection ended: {}", String::from_utf8_lossy(&response));
        response.extend_from_slice(&bytes[..length]);
    }
}

/// As `ss -K` does it, which needs root.
fn destroy(listener: &TcpListener) {
    SockRef::from(listener).shutdown(Shutdown::Both).unwrap();
}

#[test]
fn a_server_whose_listener_fails_stops_gracefully_and_fails() {
    let (server, others, failures) = serve(OnListenerFailure::Fail, Holder::Alone);
    let addresses = server.addresses();
    let mut client = connect(addresses[1]);
    assert_served(&mut client);
    destroy(&others[0]);
    assert_eq!(failures.recv_timeout(HUNG).unwrap(), addresses[0]);
    let report = server.wait();
    let failure = report.failure.as_ref().unwrap().to_string();
    assert!(failure.contains(&format!("the listener on {} has failed", addresses[0])), "{failure}");
    assert!(!report.is_clean() && report.stragglers.is_empty(), "{report}");
    assert_eq!((report.listener, report.requests.completed), (Some(ListenerEnd::Failed), 1), "{report}");
    assert!(!report.phases.iter().any(|(phase, _)| *phase == Phase::Cancelling), "{report}");
}

#[test]
fn a_server_may_serve_on_without_a_listener_that_fails() {
    let (server, others, failures) = serve(OnListenerFailure::ServeOn, Holder::Alone);
    let addresses = server.addresses();
    let mut client = connect(addresses[0]);
    assert_served(&mut client);
    for (listener, address) in others.iter().zip(&addresses) {
        destroy(listener);
        assert_eq!(failures.recv_timeout(HUNG).unwrap(), *address);
        assert_served(&mut client);
    }
    assert!(server.handle().is_ready());
    drop(client);
    let began = Instant::now();
    let report = server.stop(StopPolicy::default().grace(HUNG * 2));
    assert!(began.elapsed() < HUNG, "no listener is waited for: {report}");
    assert_eq!((report.listener, report.listener_failures.len()), (Some(ListenerEnd::Failed), 2), "{report}");
    assert!(!report.is_clean() && report.failure.is_none(), "{report}");
    assert!(report.to_string().contains("has failed"), "{report}");
    server.start().unwrap();
    assert_served(&mut connect(server.addresses()[0]));
}

#[test]
fn a_listener_that_fails_while_it_closes_is_named_in_the_report() {
    let (server, others, failures) = serve(OnListenerFailure::Fail, Holder::Alone);
    let address = server.addresses()[0];
    let mut client = connect(address);
    assert_served(&mut client);
    server.handle().request_stop(StopPolicy::default().lame_duck(HUNG));
    destroy(&others[0]);
    assert_eq!(failures.recv_timeout(HUNG).unwrap(), address);
    drop(client);
    let report = server.stop(StopPolicy::default());
    assert_eq!((report.listener_failures.len(), report.failure.is_none()), (1, true), "{report}");
}

/// The listener is neither bound away nor filtered, so the other holders still get new clients. Its accept queue is not emptied,
/// so they get the clients that wait.
#[test]
fn a_listener_that_others_hold_is_left_as_it_is() {
    let (server, others, _) = serve(OnListenerFailure::Fail, Holder::Shared);
    let addresses = server.addresses();
    let mut client = connect(addresses[0]);
    assert_served(&mut client);
    drop(client);
    let report = server.stop(StopPolicy::default());
    assert!(report.is_clean(), "{report}");
    assert_eq!((report.listener, report.rescued), (Some(ListenerEnd::Left), 0), "{report}");
    for (listener, address) in others.iter().zip(addresses) {
        listener.set_nonblocking(false).unwrap();
        let client = connect(address);
        let (_, peer) = listener.accept().unwrap();
        assert_eq!(peer, client.local_addr().unwrap());
    }
}

#[test]
fn a_listener_that_others_hold_can_be_kept_and_left_later() {
    let (server, others, _) = serve(OnListenerFailure::Fail, Holder::Shared);
    let report = server.stop(StopPolicy::default().keep_listener());
    assert_eq!(report.listener, Some(ListenerEnd::Kept), "{report}");
    let address = server.addresses()[1];
    let mut waiting = connect(address);
    server.start().unwrap();
    assert_served(&mut waiting);
    drop(waiting);
    assert_eq!(server.stop(StopPolicy::now()).listener, Some(ListenerEnd::Left));
    others[1].set_nonblocking(false).unwrap();
    let _client = connect(address);
    others[1].accept().unwrap();
}

#[test]
fn a_loop_that_panics_ends_the_server_with_a_defect_and_the_server_can_start_again() {
    let (server, _, _) = serve(OnListenerFailure::Fail, Holder::Alone);
    let mut client = connect(server.addresses()[0]);
    assert_served(&mut client);
    let run = server.handle.lifecycle.run().unwrap();
    assert!(run.loops()[0].mailbox.send(LoopMessage::Panic).is_ok());
    let report = server.wait();
    let failure = report.failure.as_ref().unwrap();
    assert_eq!(failure.kind(), ErrorKind::Defect, "{failure}");
    assert!(
        failure.to_string().starts_with("tested: an event loop panicked: as the test wants"),
        "{failure}"
    );
    assert_eq!(client.read(&mut [0; 1]).unwrap(), 0, "the connection is closed");
    server.start().unwrap();
    assert_served(&mut connect(server.addresses()[0]));
}

/// A report is made once. Every caller that waits for a run gets it, and the next start gets the kept listeners.
#[test]
fn all_that_wait_for_a_run_get_its_report_and_the_next_start_its_listeners() {
    let (server, _, _) = serve(OnListenerFailure::Fail, Holder::Alone);
    let addresses = server.addresses();
    assert_served(&mut connect(addresses[0]));
    let waiters: Vec<_> = (0..4)
        .map(|_| {
            let handle = server.handle();
            std::thread::spawn(move || handle.wait())
        })
        .collect();
    let run = server.handle.lifecycle.run().unwrap();
    server.handle().request_stop(StopPolicy::default().keep_listener());
    let reports: Vec<_> = waiters.into_iter().map(|waiter| waiter.join().unwrap()).collect();
    for report in &reports {
        assert_eq!((report.requests.completed, report.listener), (1, Some(ListenerEnd::Kept)), "{report}");
    }
    assert!(Arc::ptr_eq(&run.close(), &run.close()));
    assert_eq!(server.addresses(), addresses);
    server.start().unwrap();
    assert_eq!(server.addresses(), addresses);
    // A caller that still has the closed run does not disturb the next one.
    assert_eq!(server.handle.lifecycle.close(&run).requests.completed, 1);
    assert!(server.handle().is_ready());
}
