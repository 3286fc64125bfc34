//! The meaning of a listen address. One text may stand for a listener of each address family.

use std::net::{SocketAddr, TcpListener, TcpStream};

use softstop::{Request, Router, Server, ServerBuilder, StopPolicy, route};

use crate::support::{
    client::{Client, get},
    patient,
};

fn listening_on(spec: &str) -> ServerBuilder {
    let routes = Router::new().get("/", route(|_: &Request| "served").inline());
    Server::builder().name("tested").loops(1).listen(spec).routes(routes)
}

#[track_caller]
fn start(spec: &str) -> (Server, Vec<SocketAddr>) {
    let server = listening_on(spec).build();
    server.start().unwrap();
    let addresses = server.socket_addrs();
    (server, addresses)
}

#[test]
fn a_port_alone_and_localhost_are_served_on_both_families() {
    for (spec, is_everywhere) in [(":0", true), ("localhost:0", false)] {
        let (server, addresses) = start(spec);
        let [v4, v6] = addresses[..] else { panic!("{spec}: {addresses:?}") };
        assert!(v4.is_ipv4() && v6.is_ipv6() && v4.port() == v6.port(), "{addresses:?}");
        assert_eq!((v4.ip().is_unspecified(), v6.ip().is_unspecified()), (is_everywhere, is_everywhere));
        for loopback in ["127.0.0.1", "::1"] {
            let address = SocketAddr::new(loopback.parse().unwrap(), v4.port());
            assert_eq!(Client::once(address, get("/")).text(), "served", "{spec}");
        }
        assert!(server.stop(patient()).is_clean());
    }
}

#[test]
fn both_families_are_kept_from_a_stop_to_the_next_start() {
    let (server, addresses) = start("localhost:0");
    server.stop(patient().keep_listener());
    assert_eq!(server.socket_addrs(), addresses);
    server.start().unwrap();
    assert_eq!(server.socket_addrs(), addresses);
    for address in addresses {
        assert_eq!(Client::once(address, get("/")).text(), "served");
    }
}

/// The wildcard of IPv6 leaves the port free on IPv4, so that another server can use the port there.
#[test]
fn the_wildcard_of_ipv6_is_no_wildcard_of_ipv4() {
    let (server, addresses) = start("[::]:0");
    let v4 = SocketAddr::from(([127, 0, 0, 1], addresses[0].port()));
    assert!(TcpStream::connect(v4).is_err());
    // Another test may have been given the port. If not, the bind succeeds, because no server of this test has the port
    // on IPv4.
    if let Ok(other) = TcpListener::bind(v4) {
        assert_eq!(other.local_addr().unwrap(), v4);
    }
    assert!(server.stop(StopPolicy::now()).failure.is_none());
}

#[test]
fn what_is_no_host_and_port_is_refused_with_advice() {
    for spec in ["8080", "localhost", "127.0.0.1", "::1:80", "localhost:http"] {
        let error = listening_on(spec).build().start().unwrap_err().to_string();
        assert!(error.contains(spec) && error.contains("write host:port"), "{spec}: {error}");
    }
}
