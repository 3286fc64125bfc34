//! A client comes back, to another replica, and from far away.

use std::thread;

use crate::{
    clients::{Listener, get, post},
    places::{Options, Place, Replica},
    streams::Outside,
};

const OPTIONS: Options = Options { grace_ms: 1_000, ack_wait_ms: 5_000 };

/// Many times what a hub holds, and more than one page.
const MANY: u64 = 5_000;

#[test]
#[ignore = "needs nats-server"]
fn a_client_gets_what_the_hub_does_not_hold_from_the_stream() {
    let place = Place::new("catching-up");
    let (nats, any) = (place.nats(), (place.ip, 0).into());
    // The first replica has followed everything. The second one comes later, and begins near the end.
    let first = Replica::ready(&nats.url(), any, "a", &OPTIONS);
    let outside = Outside::new(&nats.url());
    outside.publish_events(1..=MANY);
    let second = Replica::ready(&nats.url(), any, "b", &OPTIONS);
    let stream = outside.after("EVENTS", 0);
    assert_eq!(stream.len() as u64, MANY);

    for address in [first.address, second.address] {
        let mut listeners = [0, 1, 2_500, MANY - 1_000, MANY - 999, MANY - 1, MANY].map(Listener::after);
        for listener in &mut listeners {
            listener.read_up_to(address, MANY);
            while !listener.is_connected() {
                listener.connect(address);
            }
        }
        // What is new, after the history.
        let end = outside.last("EVENTS") + 1;
        post(address, &format!("key-{end}"), 1).unwrap().job();
        let stream = thread::scope(|scope| {
            for listener in &mut listeners {
                scope.spawn(|| listener.read_up_to(address, end));
            }
            outside.after("EVENTS", 0)
        });
        for listener in &listeners {
            listener.has_no_gap_and_no_double();
            let seen = listener.events.iter().filter(|(id, _)| *id <= MANY);
            assert!(seen.eq(stream[..MANY as usize].iter().skip(listener.began.unwrap() as usize)));
        }
        // 5,000 events are two pages and a rest.
        assert_eq!(listeners.each_ref().map(|listener| listener.connects), [3, 3, 2, 1, 1, 1, 1]);
    }
}

#[test]
#[ignore = "needs nats-server"]
fn a_client_that_is_ahead_of_a_replica_gets_nothing_twice() {
    let place = Place::new("ahead");
    let (nats, any) = (place.nats(), (place.ip, 0).into());
    let replica = Replica::ready(&nats.url(), any, "a", &OPTIONS);
    let address = replica.address;
    let outside = Outside::new(&nats.url());
    outside.publish_events(1..=10);
    // The replica may have followed less than this by now. It must wait before it lets the client in.
    let mut listener = Listener::after(11);
    thread::scope(|scope| {
        scope.spawn(|| assert!(listener.connect(address)));
        outside.publish_events(11..=12);
    });
    listener.read_up_to(address, 12);
    assert_eq!(listener.events, [(12, "event 12".to_owned())]);

    // An id that the stream has never had: the stream was lost, and the client is told so.
    let mut lost = Listener::after(1_000_000);
    assert!(lost.connect(address));
    outside.publish_events(13..=13);
    while lost.events.last().is_none_or(|(id, _)| *id != 13) {
        assert!(lost.read(crate::support::HUNG));
    }
    assert_eq!(lost.events[0], (12, "the events begin anew".to_owned()));
    assert_eq!(get(address, "/jobs/13").unwrap().content, "event 13\n");
}
