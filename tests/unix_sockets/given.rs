//! Listeners that the program has bound itself: who holds them decides how a stop ends them.

use std::{
    net::{TcpListener, TcpStream},
    os::{fd::OwnedFd, unix::net::UnixListener},
};

use softstop::BoundListener;

use super::*;
use support::client::{Client, get};

#[test]
fn a_listener_of_its_own_is_closed_and_cannot_be_started_again() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = builder(hello()).listener(listener).build();
    server.start().unwrap();
    assert_eq!(server.socket_addrs(), [address]);
    assert_eq!(Client::once(address, get("/")).text(), "hello");
    assert_eq!(server.stop(StopPolicy::default().keep_listener()).listener, Some(ListenerEnd::Kept));
    server.start().unwrap();
    assert_eq!(Client::once(address, get("/")).text(), "hello");
    assert_eq!(server.stop(StopPolicy::default()).listener, Some(ListenerEnd::Refused));
    assert!(TcpStream::connect(address).is_err());
    let error = server.start().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Misuse);
    assert!(error.to_string().contains("the given listener: a stop has closed it"), "{error}");
}

/// A start that fails for another reason has not lost the listener.
#[test]
fn a_failed_start_gives_the_listener_back() {
    let [listener, taken] = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    let address = listener.local_addr().unwrap();
    let server = builder(hello()).listener(listener).listen(taken.local_addr().unwrap().to_string()).build();
    assert!(server.start().is_err());
    drop(taken);
    server.start().unwrap();
    assert_eq!(Client::once(address, get("/")).text(), "hello");
}

#[test]
fn a_shared_listener_is_left_to_the_others_and_can_be_started_again() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, other) = (listener.local_addr().unwrap(), listener.try_clone().unwrap());
    let server = builder(hello()).listener(BoundListener::from(listener).shared()).build();
    for _ in 0..3 {
        server.start().unwrap();
        assert_eq!(Client::once(address, get("/")).text(), "hello");
        let report = server.stop(StopPolicy::default());
        assert_eq!(report.listener, Some(ListenerEnd::Left), "{report}");
        let client = TcpStream::connect(address).unwrap();
        other.set_nonblocking(false).unwrap();
        assert_eq!(other.accept().unwrap().1, client.local_addr().unwrap());
        other.set_nonblocking(true).unwrap();
    }
    // Its options are the others' affair.
    assert!(!socket2::SockRef::from(&other).tcp_nodelay().unwrap());
}

#[test]
fn the_file_of_a_given_unix_listener_is_the_programs() {
    let folder = Folder::new();
    let server = builder(hello()).listener(UnixListener::bind(folder.socket()).unwrap()).build();
    server.start().unwrap();
    assert_eq!(server.addresses()[0].path(), Some(&*folder.socket()));
    assert!(ask(UnixStream::connect(folder.socket()).unwrap()).ends_with("hello"));
    assert_eq!(server.stop(StopPolicy::default()).listener, Some(ListenerEnd::Refused));
    assert!(folder.socket().exists());
}

#[test]
fn what_is_no_listener_is_refused() {
    let (one, _other) = UnixStream::pair().unwrap();
    let server = builder(hello()).listener(BoundListener::from(OwnedFd::from(one))).build();
    let error = server.start().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Misuse);
    assert!(error.to_string().contains("does not listen"), "{error}");
}
