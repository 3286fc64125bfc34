//! What only a test inside the crate can do to a server: have a second descriptor of its listeners, and make a loop panic.

use std::{
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    os::fd::OwnedFd,
    sync::mpsc::{Receiver, channel},
    time::{Duration, Instant},
};

use crossbeam_channel::never;
use socket2::SockRef;

use super::*;
use crate::observe::Event;
use crate::{
    ErrorKind, OnListenerFailure,
    engine::net::{GivenListener, Holder, Holding, Lent, LoopMessage, OfferedListener},
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
            _ = self.0.send(address.socket_addr().unwrap());
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
    start.listeners.iter_mut().for_each(|listener| listener.holding = Holding::new(holder));
    let others =
        start.listeners.iter().map(|listener| TcpListener::from(listener.duplicate().unwrap())).collect();
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
    let addresses = server.socket_addrs();
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
    let addresses = server.socket_addrs();
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
    assert_served(&mut connect(server.socket_addrs()[0]));
}

#[test]
fn a_listener_that_fails_while_it_closes_is_named_in_the_report() {
    let (server, others, failures) = serve(OnListenerFailure::Fail, Holder::Alone);
    let address = server.socket_addrs()[0];
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
    let addresses = server.socket_addrs();
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
    let address = server.socket_addrs()[1];
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
    let mut client = connect(server.socket_addrs()[0]);
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
    assert_served(&mut connect(server.socket_addrs()[0]));
}

/// A report is made once. Every caller that waits for a run gets it, and the next start gets the kept listeners.
#[test]
fn all_that_wait_for_a_run_get_its_report_and_the_next_start_its_listeners() {
    let (server, _, _) = serve(OnListenerFailure::Fail, Holder::Alone);
    let addresses = server.socket_addrs();
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
    assert_eq!(server.socket_addrs(), addresses);
    server.start().unwrap();
    assert_eq!(server.socket_addrs(), addresses);
    // A caller that still has the closed run does not disturb the next one.
    assert_eq!(server.handle.lifecycle.close(&run).requests.completed, 1);
    assert!(server.handle().is_ready());
}

// ---- a handover: both servers are in this process -----------------------------------------------------------------

fn builder(listen: &[&str]) -> ServerBuilder {
    let routes = Router::new().get("/", route(|_| "served").inline());
    let builder = Server::builder().name("tested").loops(1).routes(routes);
    listen.iter().fold(builder, |builder, address| builder.listen(*address))
}

/// What the other process makes of the offer.
fn given(server: &Server) -> (Vec<GivenListener>, Vec<Holding>) {
    let offered = server.handle().offer_listeners(Instant::now() + HUNG, &never()).unwrap();
    let of = |offer: OfferedListener| {
        let given = GivenListener::new(offer.listen_index, offer.spec, offer.descriptor, offer.file).unwrap();
        assert_eq!(*given.address(), offer.address);
        offer.holding.lend(Lent::Yes);
        (given, offer.holding)
    };
    offered.into_iter().map(of).unzip()
}

/// Clients connect while both serve, while the old one stops, and afterwards. The new one's own stop closes the listeners.
#[test]
fn a_server_takes_the_listeners_of_another_and_holds_them_alone_later() {
    let old = builder(&["127.0.0.1:0", "localhost:0"]).build();
    old.start().unwrap();
    let addresses = old.socket_addrs();
    let (mut given, _) = given(&old);
    assert_eq!(given.len(), addresses.len());
    let new = builder(&["127.0.0.1:0", "localhost:0"]).build();
    new.bind_with(&mut given).unwrap().serve(None).unwrap();
    assert!(given.is_empty(), "{given:?}");
    assert_eq!(new.socket_addrs(), addresses);
    addresses.iter().for_each(|address| assert_served(&mut connect(*address)));
    let report = old.stop(StopPolicy::default());
    assert_eq!(report.listener, Some(ListenerEnd::Left), "{report}");
    addresses.iter().for_each(|address| assert_served(&mut connect(*address)));
    new.handle().lend_listeners(Lent::No);
    let report = new.stop(StopPolicy::default());
    assert_eq!(report.listener, Some(ListenerEnd::Refused), "{report}");
    assert!(TcpStream::connect(addresses[0]).is_err());
}

/// The process that was offered the listeners has ended: the next stop is as lossless as ever.
#[test]
fn an_offer_can_be_taken_back() {
    let server = builder(&["127.0.0.1:0"]).build();
    server.start().unwrap();
    let (given, _) = given(&server);
    drop(given);
    server.handle().lend_listeners(Lent::No);
    assert_eq!(server.stop(StopPolicy::default()).listener, Some(ListenerEnd::Refused));
}

/// The new server listens on other addresses: it takes what it wants, binds what is missing, and the rest is the old one's.
#[test]
fn a_server_takes_only_the_listeners_that_it_wants() {
    let old = builder(&["localhost:0", "127.0.0.1:0"]).build();
    old.start().unwrap();
    let [v4, v6, other] = old.socket_addrs()[..] else { panic!("{:?}", old.addresses()) };
    let (mut given, holdings) = given(&old);
    // The same address, written in another way; and an address that the old server does not have.
    let new = builder(&[&v4.to_string(), "[::1]:0"]).build();
    new.bind_with(&mut given).unwrap().serve(None).unwrap();
    let taken = new.socket_addrs();
    assert!(taken[0] == v4 && taken[1] != v6, "{taken:?}");
    let left: Vec<_> = given.iter().flat_map(|listener| listener.address().socket_addr()).collect();
    assert_eq!(left, [v6, other]);
    assert_eq!(given[1].spec(), "127.0.0.1:0");
    drop(given);
    holdings[1..].iter().for_each(|holding| holding.lend(Lent::No));
    let report = old.stop(StopPolicy::default());
    assert_eq!(report.listener, Some(ListenerEnd::Refused), "{report}");
    assert!(TcpStream::connect(v6).is_err() && TcpStream::connect(other).is_err());
    assert_served(&mut connect(v4));
}

#[test]
fn a_stopping_server_offers_nothing() {
    let server = builder(&["127.0.0.1:0"]).build();
    assert!(
        server.handle().offer_listeners(Instant::now() + HUNG, &never()).unwrap().is_empty(),
        "it has not been started"
    );
    server.start().unwrap();
    let mut client = connect(server.socket_addrs()[0]);
    client.write_all(b"GET / HT").unwrap();
    server.handle().request_stop(StopPolicy::default());
    server.handle().when_stopped(Box::new(|| {}));
    while server.handle().phase() < Phase::Draining {
        std::thread::yield_now();
    }
    assert!(server.handle().offer_listeners(Instant::now() + HUNG, &never()).unwrap().is_empty());
    drop(client);
    assert!(server.stop(StopPolicy::default()).is_clean());
}

#[test]
fn what_is_no_listener_is_not_taken_and_the_error_says_what_it_is() {
    let new =
        |descriptor: OwnedFd| GivenListener::new(0, "a".into(), descriptor, None).unwrap_err().to_string();
    let (one, _other) = std::os::unix::net::UnixStream::pair().unwrap();
    assert!(new(one.into()).contains("does not listen"));
    assert!(new(std::net::UdpSocket::bind("127.0.0.1:0").unwrap().into()).contains("no stream socket"));
    assert!(new(std::fs::File::open("/dev/null").unwrap().into()).contains("is no socket"));
}
