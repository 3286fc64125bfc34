//! NATS goes and comes back, and the processes of the replicas live on.

use std::net::SocketAddr;

use crate::{
    clients::{Answer, Listener, get, post},
    places::{Options, Place, Replica},
    streams::{Open, Outside},
    support::until,
};

#[track_caller]
fn refuses(address: SocketAddr) {
    let is_refused = |answer: Option<Answer>| {
        answer.is_some_and(|answer| answer.status == 503 && answer.field("Retry-After") == Some("1"))
    };
    until("jobs are refused", || is_refused(post(address, "key-0", 10)));
    let ready = get(address, "/readyz").unwrap();
    assert_eq!((ready.status, &*ready.content), (503, "NATS is not reachable\n"));
}

#[test]
#[ignore = "needs nats-server"]
fn nats_may_come_late_and_go_for_a_while() {
    let place = Place::new("away");
    let expected = place.free();
    let options = Options { grace_ms: 10_000, ack_wait_ms: 5_000 };
    // There is no NATS yet. The process serves, and says that it is not ready.
    let mut replica = Replica::start(&format!("nats://{expected}"), (place.ip, 0).into(), "a", &options);
    let address = replica.address;
    refuses(address);
    assert!(!Listener::default().connect(address), "there is nothing to follow yet");

    let nats = place.nats_on(Some(expected));
    replica.wait_ready();
    let mut listener = Listener::default();
    assert!(listener.connect(address));
    let first = post(address, "key-1", 10).unwrap().job();
    listener.read_up_to(address, 1);

    // Away, while a job is in work. The job is done, and acknowledged when NATS is back.
    let second = post(address, "key-2", 300).unwrap().job();
    replica.process.line(&format!("begun {second}"));
    nats.stop();
    refuses(address);
    assert!(listener.is_connected());
    replica.process.line(&format!("did {second}"));
    let nats = place.nats_on(Some(expected));
    replica.process.line(&format!("acknowledged {second}"));
    replica.wait_ready();
    listener.read_up_to(address, 2);

    // The stream knows the keys from before. A client that had no answer gets the same job again.
    assert_eq!(post(address, "key-1", 10).unwrap().job(), first);
    let third = post(address, "key-3", 10).unwrap().job();
    replica.process.line(&format!("acknowledged {third}"));
    listener.read_up_to(address, 3);
    listener.has_no_gap_and_no_double();
    assert_eq!(listener.connects, 1, "the connection of the client has outlived NATS");

    let outside = Outside::new(&nats.url());
    assert_eq!(outside.open(), Open { not_delivered: 0, not_acknowledged: 0 });
    assert_eq!(outside.last("JOBS"), 3, "no refused job was stored later");
    replica.process.signal("TERM");
    let printed = replica.stopped();
    assert!(printed.iter().any(|line| line.ends_with("0 left")), "{printed:#?}");
}
