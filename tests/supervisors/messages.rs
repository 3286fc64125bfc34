//! What the library says, and when.

use std::{
    os::{fd::AsFd, unix::net::UnixDatagram},
    time::Duration,
};

use softstop::{
    Group, Request, Router, Server, ServerHandle,
    deploy::{Notify, Supervisor},
    route,
};

use crate::{
    receiver::Receiver,
    support::{
        client::{Client, get},
        gate::{Gate, gate},
        in_background, local, patient, soon, until,
    },
};

/// A server whose `/slow` waits at the gate on a worker, and whose `/block` waits at the gate on its loop.
fn server(gate: Gate) -> Server {
    let inline = gate.clone();
    let routes = Router::new()
        .get("/slow", move |_: &Request| gate.pass())
        .get("/block", route(move |_: &Request| inline.pass()).inline());
    local().name("web").routes(routes).build()
}

fn notify(receiver: &Receiver) -> Notify {
    Notify::to(receiver.address()).unwrap()
}

#[track_caller]
fn connect(handle: &ServerHandle) -> Client {
    until("the server listens", || handle.is_ready());
    Client::connect(handle.socket_addrs()[0])
}

#[test]
fn the_supervisor_hears_of_readiness_and_of_what_a_stop_waits_for() {
    let receiver = Receiver::new();
    let (pass, held) = gate();
    let server = server(pass);
    let handle = server.handle();
    let group = Supervisor::with_notify(notify(&receiver), None).attend(Group::new().server(server));
    let stop = group.handle();
    let ended = in_background(move || group.run());
    assert_eq!(receiver.message(), "READY=1\nSTATUS=serving");
    assert!(handle.is_ready(), "it serves before it says so");
    let mut client = connect(&handle);
    client.send(get("/slow"));
    held.wait_entered();
    stop.request_stop(patient());
    assert_eq!(receiver.message(), "STOPPING=1\nSTATUS=stopping");
    let status = receiver.message();
    assert!(status.starts_with("STATUS=draining, at most "), "{status}");
    assert!(status.contains("web: 1 connection; GET /slow (in the handler, "), "{status}");
    assert_eq!(receiver.message(), "EXTEND_TIMEOUT_USEC=5000000");
    assert!(receiver.wait_for("STATUS=").contains("/slow"), "once a second");
    drop(held);
    assert!(soon(&ended).unwrap().is_clean());
}

#[test]
fn a_blocked_loop_stops_the_watchdog_until_it_turns_again() {
    let interval = Duration::from_millis(300);
    let receiver = Receiver::new();
    let (pass, held) = gate();
    let server = server(pass);
    let handle = server.handle();
    let group =
        Supervisor::with_notify(notify(&receiver), Some(interval)).attend(Group::new().server(server));
    let stop = group.handle();
    let ended = in_background(move || group.run());
    receiver.wait_for("READY=1");
    (0..3).for_each(|_| assert_eq!(receiver.message(), "WATCHDOG=1"));
    let mut client = connect(&handle);
    client.send(get("/slow"));
    held.wait_entered();
    assert_eq!(receiver.message(), "WATCHDOG=1", "a handler on a worker may take as long as it likes");
    let mut blocking = connect(&handle);
    blocking.send(get("/block"));
    held.wait_entered();
    // The loop may have answered just before.
    let is_silent = (0..2).any(|_| receiver.is_silent_for(2 * interval));
    assert!(is_silent, "the supervisor hears nothing, and ends the service");
    held.let_one_go();
    held.let_one_go();
    blocking.read_response();
    assert_eq!(receiver.message(), "WATCHDOG=1", "it turns again");
    stop.request_stop(patient());
    receiver.wait_for("STOPPING=1");
    drop(held);
    assert!(soon(&ended).unwrap().is_clean());
}

#[test]
fn a_supervisor_that_does_not_read_holds_nothing() {
    let receiver = Receiver::new();
    let notify = notify(&receiver);
    let filler = UnixDatagram::unbound().unwrap();
    filler.set_nonblocking(true).unwrap();
    while filler.send_to(b"x", &receiver.path).is_ok() {}
    let (pass, held) = gate();
    let server = server(pass);
    let handle = server.handle();
    let supervisor = Supervisor::with_notify(notify, Some(Duration::from_millis(10)));
    let group = supervisor.attend(Group::new().server(server));
    let stop = group.handle();
    let ended = in_background(move || group.run());
    let mut client = connect(&handle);
    client.send(get("/slow"));
    held.wait_entered();
    stop.request_stop(patient());
    supervisor.notify().unwrap().status("not taken");
    drop(held);
    client.read_response();
    assert!(soon(&ended).unwrap().is_clean());
}

#[test]
fn a_process_that_takes_over_says_nothing_before_its_time() {
    let receiver = Receiver::new();
    let server = server(gate().0);
    let handle = server.handle();
    let supervisor = Supervisor::with_notify(notify(&receiver), None);
    supervisor.hold_back();
    let group = supervisor.attend(Group::new().server(server));
    let stop = group.handle();
    let ended = in_background(move || group.run());
    until("the server listens", || handle.is_ready());
    assert!(receiver.is_silent_for(Duration::from_millis(300)));
    supervisor.announce();
    assert_eq!(receiver.message(), "READY=1\nSTATUS=serving");
    supervisor.announce();
    stop.request_stop(patient());
    assert_eq!(receiver.message(), "STOPPING=1\nSTATUS=stopping", "ready is said once");
    assert!(soon(&ended).unwrap().is_clean());
}

#[test]
fn messages_come_in_an_order_that_makes_sense() {
    let receiver = Receiver::new();
    let service = notify(&receiver);
    service.reloading();
    service.ready();
    service.ready();
    service.reloading();
    service.status("two\nlines");
    service.ready();
    service.extend_timeout(Duration::from_secs(3));
    service.alive();
    service.stopping();
    service.ready();
    service.reloading();
    service.status(&"ä".repeat(5000));
    assert_eq!(receiver.message(), "READY=1\nSTATUS=serving", "nothing is reloaded before that");
    let reloading = receiver.message();
    let at = reloading.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").expect(&reloading);
    assert!(at.parse::<u64>().unwrap() > 0);
    assert_eq!(receiver.message(), "STATUS=two lines");
    assert_eq!(receiver.message(), "READY=1\nSTATUS=serving");
    assert_eq!(receiver.message(), "EXTEND_TIMEOUT_USEC=3000000");
    assert_eq!(receiver.message(), "WATCHDOG=1");
    assert_eq!(receiver.message(), "STOPPING=1\nSTATUS=stopping");
    assert_eq!(receiver.message(), format!("STATUS={}", "ä".repeat(512)), "nothing is ready any more");

    let old = notify(&receiver);
    old.ready();
    old.hand_over_to(4711);
    old.hand_over_to(4712);
    old.stopping();
    old.status("gone");
    old.alive();
    old.extend_timeout(Duration::from_secs(3));
    notify(&receiver).ready();
    assert_eq!(receiver.message(), "READY=1\nSTATUS=serving");
    assert_eq!(receiver.message(), "MAINPID=4711\nREADY=1");
    assert_eq!(receiver.message(), "READY=1\nSTATUS=serving", "the old one is silent");

    old.take_back();
    old.take_back();
    old.alive();
    let own = std::process::id();
    assert_eq!(
        receiver.message(),
        format!("MAINPID={own}\nREADY=1\nSTATUS=serving"),
        "the other one has failed"
    );
    assert_eq!(receiver.message(), "WATCHDOG=1", "taken back once");
}

#[test]
fn descriptors_are_stored_and_their_names_checked() {
    let receiver = Receiver::new();
    let service = notify(&receiver);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    service.store("web", &[listener.as_fd(), listener.as_fd()]).unwrap();
    let mut space = [const { std::mem::MaybeUninit::uninit() }; 256];
    let mut control = rustix::net::RecvAncillaryBuffer::new(&mut space);
    let mut bytes = [0; 128];
    let message = rustix::net::recvmsg(
        &receiver.socket,
        &mut [std::io::IoSliceMut::new(&mut bytes)],
        &mut control,
        rustix::net::RecvFlags::CMSG_CLOEXEC,
    );
    let length = message.unwrap().bytes;
    assert_eq!(&bytes[..length], b"FDSTORE=1\nFDNAME=web");
    let stored: Vec<_> = control
        .drain()
        .filter_map(|message| match message {
            rustix::net::RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
            _ => None,
        })
        .flatten()
        .collect();
    let addresses = stored.into_iter().map(|fd| std::net::TcpListener::from(fd).local_addr().unwrap());
    assert_eq!(addresses.collect::<Vec<_>>(), [listener.local_addr().unwrap(); 2]);
    service.remove_stored("web").unwrap();
    assert_eq!(receiver.message(), "FDSTOREREMOVE=1\nFDNAME=web");
    for wrong in ["", "a:b", "a\nREADY=1", "ä", &"x".repeat(256)] {
        assert!(service.store(wrong, &[listener.as_fd()]).is_err(), "{wrong:?}");
        assert!(service.remove_stored(wrong).is_err(), "{wrong:?}");
    }
    assert!(service.store("none", &[]).is_err());
}
