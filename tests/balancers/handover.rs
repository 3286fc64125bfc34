//! Replicas that are replaced by `softstop reload`. The new process has the listener of the old one, so the balancer is told
//! nothing, and no lame duck is needed.

use crate::{
    balancer::{ADDRESS, Balancer},
    load::{Clients, Load},
    network::Network,
    replica::{Place, Replica, Transport},
};

/// Replacements, five of each replica.
const RELOADS: usize = 10;

/// Replaces the replicas in turn under load, and expects that every request is answered.
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
        assert_eq!(seen.failures(), 0, "{:?}", seen.failed);
        replicas.into_iter().for_each(Replica::stop_by_control);
    });
}

// The files are those that ship. No interval is shorter, because no health check fails.

#[test]
#[ignore = "needs root, ip, unshare, nsenter and haproxy"]
fn haproxy_does_not_notice_a_reload() {
    loses_nothing(Transport::Tcp, |_| Balancer::haproxy(&[]));
}

#[test]
#[ignore = "needs root, ip, unshare, nsenter and nginx"]
fn nginx_does_not_notice_a_reload() {
    loses_nothing(Transport::Tcp, |_| Balancer::nginx(&[]));
}

#[test]
#[ignore = "needs root, ip, unshare, nsenter and envoy"]
fn envoy_does_not_notice_a_reload() {
    loses_nothing(Transport::Tcp, |_| Balancer::envoy(&[]));
}

#[test]
#[ignore = "needs root, ip, unshare, nsenter and caddy"]
fn caddy_does_not_notice_a_reload() {
    loses_nothing(Transport::Tcp, |_| Balancer::caddy(&[]));
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
