//! Rolling restarts: each replica in turn is asked to stop, and a new process takes its address when the old one has ended.

use crate::{
    balancer::{ADDRESS, Balancer, Change},
    load::{Clients, Load, Seen},
    network::Network,
    replica::{Place, Replica, Transport},
};

/// Restarts of a test with a shipped file as it is, five of each replica.
const MANY: usize = 10;
/// Restarts of a test with a variant of a shipped file.
const SOME: usize = 4;
// The shipped interval of the health checks, and a shorter one, so that a test takes less time.
const FASTER_HAPROXY: Change<'_> = ("inter 500ms", "inter 100ms");
const FASTER_ENVOY: [Change<'_>; 3] = [
    ("interval: 0.5s", "interval: 0.1s"),
    ("update_merge_window: 1s", "update_merge_window: 0.1s"),
    PATIENT_ENVOY,
];
// The shipped patience of a health check, and a longer one. On a busy machine, both replicas may need longer than a second
// for an answer, and then the balancer has none that it takes for healthy.
pub(crate) const PATIENT_HAPROXY: Change<'_> = ("timeout check 1s", "timeout check 10s");
pub(crate) const PATIENT_ENVOY: Change<'_> = ("- timeout: 1s", "- timeout: 10s");
pub(crate) const PATIENT_CADDY: Change<'_> = ("health_timeout 1s", "health_timeout 10s");
/// Much longer than a balancer needs to take a replica out with these intervals, because a busy machine delays every check.
const LAME_DUCK: &[&str] = &["--lame-duck", "1500ms"];
const NO_LAME_DUCK: &[&str] = &["--lame-duck", "0s"];

/// A step of a deployment that tells the balancer.
type Step = fn(&Balancer, &Replica<'_>);

/// Restarts the replicas in turn under load. The first step follows the request to stop, and the second one follows the
/// start of the new process.
#[track_caller]
fn restart(
    places: &[Place<'_>; 2],
    arguments: &[&str],
    restarts: usize,
    clients: Clients,
    balancer: impl FnOnce() -> Balancer,
    [stopping, started]: [Step; 2],
) -> Seen {
    let mut replicas = places.each_ref().map(|place| Some(Replica::start(place, arguments)));
    let balancer = balancer();
    let load = Load::start(ADDRESS.parse().unwrap(), clients);
    replicas.iter().flatten().for_each(Replica::wait_for_rotation);
    for turn in 0..restarts {
        let slot = &mut replicas[turn % 2];
        let replica = slot.take().unwrap();
        replica.ask_to_stop();
        stopping(&balancer, &replica);
        let replica = replica.replace();
        started(&balancer, &replica);
        replica.wait_for_rotation();
        *slot = Some(replica);
    }
    load.end()
}

/// Runs a test with two places for replicas.
#[track_caller]
fn with_places(transport: Transport, test: impl FnOnce(&[Place<'_>; 2]) + Send) {
    Network::with(|network| test(&network.replicas.each_ref().map(|replica| Place::new(replica, transport))));
}

/// Nothing besides the signal: the balancer finds out by itself.
fn nothing(_: &Balancer, _: &Replica<'_>) {}

/// Restarts a replica without a lame duck until a request fails. The balancer has the intervals of the shipped file. The
/// other tests would see no failures if this one saw none.
#[track_caller]
fn fails_without_a_lame_duck(balancer: fn(&[Change<'_>]) -> Balancer, status: &str) {
    with_places(Transport::Tcp, |places| {
        let [mut first, second] = places.each_ref().map(|place| Replica::start(place, NO_LAME_DUCK));
        let _balancer = balancer(&[]);
        let load = Load::start(ADDRESS.parse().unwrap(), Clients::New);
        // One stop is enough as a rule. On a busy machine, a balancer may notice it before the next request comes.
        for _ in 0..MANY {
            first.wait_for_rotation();
            second.wait_for_rotation();
            first.ask_to_stop();
            first = first.replace();
            if load.has_failed() {
                break;
            }
        }
        let seen = load.end();
        assert!(seen.failures() > 0, "the test does not see failures");
        // The replica has refused these requests. It has lost none.
        assert!(seen.failed.keys().all(|word| word == status), "{:?}", seen.failed);
    });
}

#[test]
#[ignore = "needs root, ip, unshare, nsenter and haproxy"]
fn haproxy_loses_nothing() {
    with_places(Transport::Tcp, |places| {
        let haproxy = || Balancer::haproxy(&[FASTER_HAPROXY, PATIENT_HAPROXY]);
        let seen = restart(places, LAME_DUCK, MANY, Clients::NewAndKept, haproxy, [nothing, nothing]);
        assert_eq!(seen.failures(), 0, "{:?}", seen.failed);
    });
}

/// The changes that a shipped file needs if the balancer reaches the replicas over Unix-domain sockets.
fn over_unix(places: &[Place<'_>; 2], prefix: &str) -> [(String, String); 2] {
    places.each_ref().map(|place| (place.shipped(), place.address(prefix)))
}

#[test]
#[ignore = "needs root, ip, unshare, nsenter and haproxy"]
fn haproxy_over_unix_sockets_loses_nothing() {
    with_places(Transport::Unix, |places| {
        let addresses = over_unix(places, "unix@");
        let [first, second] = addresses.each_ref().map(|(old, new)| (&**old, &**new));
        let haproxy = || Balancer::haproxy(&[FASTER_HAPROXY, PATIENT_HAPROXY, first, second]);
        let seen = restart(places, LAME_DUCK, SOME, Clients::NewAndKept, haproxy, [nothing, nothing]);
        assert_eq!(seen.failures(), 0, "{:?}", seen.failed);
    });
}

#[test]
#[ignore = "needs root, ip, unshare, nsenter and haproxy"]
fn haproxy_fails_requests_without_a_lame_duck() {
    fails_without_a_lame_duck(Balancer::haproxy, "503");
}

#[test]
#[ignore = "needs root, ip, unshare, nsenter and envoy"]
fn envoy_loses_nothing() {
    with_places(Transport::Tcp, |places| {
        let envoy = || Balancer::envoy(&FASTER_ENVOY);
        let seen = restart(places, LAME_DUCK, MANY, Clients::NewAndKept, envoy, [nothing, nothing]);
        assert_eq!(seen.failures(), 0, "{:?}", seen.failed);
    });
}

#[test]
#[ignore = "needs root, ip, unshare, nsenter and envoy"]
fn envoy_fails_requests_without_a_lame_duck() {
    fails_without_a_lame_duck(Balancer::envoy, "503");
}

#[test]
#[ignore = "needs root, ip, unshare, nsenter and caddy"]
fn caddy_loses_nothing() {
    with_places(Transport::Tcp, |places| {
        let caddy = || Balancer::caddy(&[PATIENT_CADDY]);
        let seen = restart(places, LAME_DUCK, MANY, Clients::NewAndKept, caddy, [nothing, nothing]);
        assert_eq!(seen.failures(), 0, "{:?}", seen.failed);
    });
}

#[test]
#[ignore = "needs root, ip, unshare, nsenter and caddy"]
fn caddy_fails_requests_without_a_lame_duck() {
    fails_without_a_lame_duck(Balancer::caddy, "502");
}

fn take_out(balancer: &Balancer, replica: &Replica<'_>) {
    balancer.nginx_endpoint("down", &replica.place.address("unix:"));
}

fn put_back(balancer: &Balancer, replica: &Replica<'_>) {
    balancer.nginx_endpoint("up", &replica.place.address("unix:"));
}

// The clients of nginx open a connection for each request. A reload ends the old processes of nginx, which close the idle
// connections of its clients. nginx 1.22 loses a request that is sent at that moment, and no replica can prevent it.

#[test]
#[ignore = "needs root, ip, unshare, nsenter and nginx"]
fn nginx_loses_nothing() {
    with_places(Transport::Tcp, |places| {
        let nginx = || Balancer::nginx(&[]);
        let seen = restart(places, LAME_DUCK, MANY, Clients::New, nginx, [take_out, put_back]);
        assert_eq!(seen.failures(), 0, "{:?}", seen.failed);
    });
}

#[test]
#[ignore = "needs root, ip, unshare, nsenter and nginx"]
fn nginx_over_unix_sockets_loses_nothing() {
    with_places(Transport::Unix, |places| {
        let addresses = over_unix(places, "unix:");
        let [first, second] = addresses.each_ref().map(|(old, new)| (&**old, &**new));
        let nginx = || Balancer::nginx(&[first, second]);
        let seen = restart(places, LAME_DUCK, SOME, Clients::New, nginx, [take_out, put_back]);
        assert_eq!(seen.failures(), 0, "{:?}", seen.failed);
    });
}

#[test]
#[ignore = "needs root, ip, unshare, nsenter and nginx"]
fn nginx_fails_requests_without_a_lame_duck() {
    fails_without_a_lame_duck(Balancer::nginx, "502");
}

#[test]
#[ignore = "needs root, ip, unshare, nsenter and nginx"]
fn nginx_that_may_try_another_replica_needs_no_lame_duck() {
    with_places(Transport::Tcp, |places| {
        let nginx = || Balancer::nginx(&[("proxy_next_upstream off;", "proxy_next_upstream error timeout;")]);
        let seen = restart(places, NO_LAME_DUCK, SOME, Clients::NewAndKept, nginx, [nothing, nothing]);
        assert_eq!(seen.failures(), 0, "{:?}", seen.failed);
    });
}
