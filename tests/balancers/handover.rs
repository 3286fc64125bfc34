//! Replicas that are replaced by `softstop reload`. The new process has the listener of the old one, so the balancer is told
//! nothing, and no lame duck is needed.

use crate::{
    balancer::{ADDRESS, Balancer},
    load::{Clients, Load},
    network::Network,
    replica::{Place, Replica, Transport},
    rolling::{PATIENT_CADDY, PATIENT_ENVOY, PATIENT_HAPROXY},
};

/// Replacements, five of each replica.
const RELOADS: usize = 10;

/// One of so many requests may fail because of a balancer that stalls.
const STALLED: u64 = 100;

/// Replaces the replicas in turn under load, and expects that every request is answered.
///
/// The old process closes the connections that the balancer keeps and does not use. A balancer that has just got the processor
/// back may read a request before it reads the end of such a connection, and then sends the request there. No server can
/// prevent that, so a few such failures are allowed. On a machine that is not overloaded there are none.
#[track_caller]
fn loses_nothing(transport: Transport, balancer: impl FnOnce(&[Place<'_>; 2]) -> Balancer + Send) {
    Network::with(|network| {
        let places = network.replicas.each_ref().map(|replica| Place::new(replica, transport));
        let controls = places.each_ref().map(Place::control);
        let arguments = controls.each_ref().map(|control| ["--control", control]);
        let replicas: Vec<_> = places
            .iter()
            .zip(&arguments)
            .map(|(place, arguments)| Replica::start(place, arguments))
            .collect();
        let _balancer = balancer(&places);
        let load = Load::start(ADDRESS.parse().unwrap(), Clients::NewAndKept);
        for turn in 0..RELOADS {
            replicas[turn % 2].wait_for_rotation();
            replicas[turn % 2].reload();
        }
        replicas.iter().for_each(Replica::wait_for_rotation);
        let seen = load.end();
        assert_eq!(seen.failures(), seen.stalled, "{:?}", seen.failed);
        assert!(seen.stalled <= seen.sent / STALLED, "{} of {}", seen.stalled, seen.sent);
        replicas.into_iter().for_each(Replica::stop_by_control);
    });
}

// The files are those that ship. No interval is shorter, because no health check fails.

#[test]
#[ignore = "needs root, ip, unshare, nsenter and haproxy"]
fn haproxy_does_not_notice_a_reload() {
    loses_nothing(Transport::Tcp, |_| Balancer::haproxy(&[PATIENT_HAPROXY]));
}

#[test]
#[ignore = "needs root, ip, unshare, nsenter and nginx"]
fn nginx_does_not_notice_a_reload() {
    loses_nothing(Transport::Tcp, |_| Balancer::nginx(&[]));
}

#[test]
#[ignore = "needs root, ip, unshare, nsenter and envoy"]
fn envoy_does_not_notice_a_reload() {
    loses_nothing(Transport::Tcp, |_| Balancer::envoy(&[PATIENT_ENVOY]));
}

#[test]
#[ignore = "needs root, ip, unshare, nsenter and caddy"]
fn caddy_does_not_notice_a_reload() {
    loses_nothing(Transport::Tcp, |_| Balancer::caddy(&[PATIENT_CADDY]));
}

#[test]
#[ignore = "needs root, ip, unshare, nsenter and nginx"]
fn nginx_over_unix_sockets_does_not_notice_a_reload() {
    loses_nothing(Transport::Unix, |places| {
        let addresses = places.each_ref().map(|place| (place.shipped(), place.address("unix:")));
        let [first, second] = addresses.each_ref().map(|(old, new)| (&**old, &**new));
        Balancer::nginx(&[first, second])
    });
}
