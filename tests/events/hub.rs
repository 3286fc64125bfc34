//! A hub and its subscribers, over real connections.

use std::{collections::HashSet, net::SocketAddr, time::Duration};

use softstop::{
    Request, Router, Server, StopPolicy, Timeouts,
    events::{Event, Hub, HubBuilder},
};

use crate::{
    parser::EventSource,
    support::{begin_stop, client::Client, local, patient, soon, start, until},
};

struct Broadcast {
    hub: Hub,
    server: Server,
    address: SocketAddr,
}

fn broadcast(configure: impl FnOnce(HubBuilder) -> HubBuilder) -> Broadcast {
    let hub = configure(Hub::builder()).build();
    let subscribe = hub.clone();
    let routes = Router::new().get("/", move |request: &Request| subscribe.subscribe(request));
    let timeouts = Timeouts::default().half_close_probe(Duration::from_millis(1));
    let (server, address) = start(local().loops(1).timeouts(timeouts).routes(routes));
    Broadcast { hub, server, address }
}

/// A client that reads events.
struct Listener {
    client: Client,
    source: EventSource,
}

impl Listener {
    fn connect(address: SocketAddr, last_id: Option<&str>) -> Listener {
        let mut client = Client::connect(address);
        let last_id = last_id.map_or_else(String::new, |id| format!("Last-Event-ID: {id}\r\n"));
        client.send(format!("GET / HTTP/1.1\r\nHost: a\r\nAccept: text/event-stream\r\n{last_id}\r\n"));
        let head = client.read_response_head();
        assert_eq!((head.status, head.field("Content-Type")), (200, Some("text/event-stream")));
        assert_eq!(head.field("Cache-Control"), Some("no-store"));
        Listener { client, source: EventSource::default() }
    }

    /// Reads one chunk. Returns false at the end of the body.
    #[track_caller]
    fn read(&mut self) -> bool {
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") {
            line.extend(self.client.read_bytes(1));
        }
        let size = std::str::from_utf8(&line[..line.len() - 2]).unwrap();
        let chunk = self.client.read_bytes(usize::from_str_radix(size, 16).unwrap());
        assert_eq!(self.client.read_bytes(2), b"\r\n");
        self.source.feed(&chunk);
        !chunk.is_empty()
    }

    /// The data of the next `count` events.
    #[track_caller]
    fn events(&mut self, count: usize) -> Vec<String> {
        while self.source.dispatched.len() < count {
            assert!(self.read(), "the stream has ended");
        }
        assert_eq!(self.source.dispatched.len(), count);
        self.source.dispatched.drain(..).map(|event| event.data).collect()
    }
}

#[test]
fn everybody_gets_every_event_in_order() {
    let broadcast = broadcast(|hub| hub);
    let mut listeners: Vec<_> = (0..20).map(|_| Listener::connect(broadcast.address, None)).collect();
    for round in 0..50 {
        broadcast.hub.publish(&Event::new(&format!("event {round}\nof many")));
    }
    let expected: Vec<_> = (0..50).map(|round| format!("event {round}\nof many")).collect();
    for listener in &mut listeners {
        assert_eq!(listener.events(50), expected);
    }
}

#[test]
fn who_comes_back_gets_what_the_hub_still_holds() {
    let broadcast = broadcast(|hub| hub.history(5));
    let ids: Vec<_> = (0..10).map(|n| broadcast.hub.publish(&Event::new(&n.to_string()))).collect();
    assert_eq!(ids.iter().collect::<HashSet<_>>().len(), 10);
    let rows = [
        (Some(&*ids[6]), &["7", "8", "9"][..]),
        (Some(&*ids[9]), &[]),
        (Some(&*ids[0]), &["5", "6", "7", "8", "9"]),
        (Some("of-another-life"), &["5", "6", "7", "8", "9"]),
        (None, &[]),
    ];
    let mut listeners: Vec<_> =
        rows.iter().map(|(last, _)| Listener::connect(broadcast.address, *last)).collect();
    let named = broadcast.hub.publish(&Event::new("own id").id("mine"));
    assert_eq!(named, "mine");
    for (listener, (last, missed)) in listeners.iter_mut().zip(rows) {
        let expected: Vec<_> = missed.iter().copied().chain(["own id"]).collect();
        assert_eq!(listener.events(expected.len()), expected, "after {last:?}");
        assert_eq!(listener.source.last_id, "mine");
    }
    let mut back = Listener::connect(broadcast.address, Some("mine"));
    broadcast.hub.publish(&Event::new("next"));
    assert_eq!(back.events(1), ["next"]);
}

#[test]
fn who_has_missed_more_than_the_hub_holds_gets_the_rest_from_elsewhere() {
    let hub = Hub::builder().history(3).build();
    let all: Vec<_> = (0..10).map(|n: u32| Event::new(&n.to_string()).id(&n.to_string())).collect();
    all.iter().for_each(|event| _ = hub.publish(event));
    let resume = hub.clone();
    let routes = Router::new().get("/", move |request: &Request| {
        let last: usize = request.last_event_id().and_then(|id| id.parse().ok()).unwrap_or(0);
        let end = last.max(7);
        assert!(last >= 7 || resume.resume(&last.to_string(), &[]).is_none(), "the hub holds 7, 8, 9");
        resume.resume(&end.to_string(), &all[last + 1..=end]).expect("the hub holds that one")
    });
    let (_server, address) = start(local().loops(1).routes(routes));
    let mut listeners = ["2", "7", "9"].map(|last| Listener::connect(address, Some(last)));
    hub.publish(&Event::new("10").id("10"));
    let expected = [&["3", "4", "5", "6", "7", "8", "9", "10"][..], &["8", "9", "10"], &["10"]];
    for (listener, expected) in listeners.iter_mut().zip(expected) {
        assert_eq!(listener.events(expected.len()), expected);
        assert_eq!(listener.source.last_id, "10");
    }
    assert_eq!(hub.subscribers(), 3, "a client that the hub could not let in is no subscriber");
}

#[test]
fn a_slow_subscriber_is_dropped_and_holds_nobody_up() {
    const LENGTH: usize = 100_000;
    let broadcast = broadcast(|hub| hub.lag(300_000).history(1000));
    let mut slow = Client::connect_with_small_window(broadcast.address);
    slow.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    slow.read_response_head();
    let mut quick = Listener::connect(broadcast.address, None);
    let event = Event::new(&"x".repeat(LENGTH));
    let mut rounds = 0;
    while broadcast.hub.subscribers() == 2 {
        broadcast.hub.publish(&event);
        assert_eq!(quick.events(1)[0].len(), LENGTH);
        rounds += 1;
        assert!(rounds < 1000, "the hub drops the slow subscriber");
    }
    broadcast.hub.publish(&event);
    assert_eq!(quick.events(1)[0].len(), LENGTH);
    // The hub cuts the stream, so that the client comes back. The client then gets all events that the hub holds.
    assert!(!slow.read_all_there_is().ends_with(b"0\r\n\r\n"));
    let mut back = Listener::connect(broadcast.address, Some("unknown"));
    assert_eq!(back.events(rounds + 1).len(), rounds + 1);
}

#[test]
fn who_goes_is_forgotten_without_another_event() {
    let broadcast = broadcast(|hub| hub);
    let mut listeners: Vec<_> = (0..30).map(|_| Listener::connect(broadcast.address, None)).collect();
    assert_eq!(broadcast.hub.subscribers(), 30);
    for listener in listeners.drain(..15) {
        listener.client.reset();
    }
    until("the hub forgets clients that reset", || broadcast.hub.subscribers() == 15);
    drop(listeners);
    until("the hub forgets clients that close", || broadcast.hub.subscribers() == 0);
    let mut client = Client::connect(broadcast.address);
    client.send("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.read_response_head().status, 200);
    until("a HEAD request leaves no subscriber", || broadcast.hub.subscribers() == 0);
}

#[test]
fn a_silent_hub_has_a_heartbeat() {
    let broadcast = broadcast(|hub| hub.heartbeat(Duration::from_millis(10)));
    let mut listener = Listener::connect(broadcast.address, None);
    while listener.source.comments < 5 {
        assert!(listener.read());
    }
    assert_eq!(listener.source.dispatched, []);
    broadcast.hub.publish(&Event::new("in between"));
    while listener.source.dispatched.is_empty() {
        assert!(listener.read());
    }
}

#[test]
fn a_stop_says_good_bye_and_spreads_the_return() {
    let range = Duration::from_secs(100)..=Duration::from_secs(200);
    let broadcast = broadcast(|hub| hub.farewell(Event::new("bye").name("stopping")).retry(range).history(9));
    let mut listeners: Vec<_> = (0..50).map(|_| Listener::connect(broadcast.address, None)).collect();
    let last = broadcast.hub.publish(&Event::new("last"));
    let report = begin_stop(&broadcast.server, patient());
    let mut retries = HashSet::new();
    for listener in &mut listeners {
        while listener.read() {}
        let seen: Vec<_> =
            listener.source.dispatched.iter().map(|event| (&*event.kind, &*event.data)).collect();
        assert_eq!(seen, [("message", "last"), ("stopping", "bye")]);
        assert_eq!(listener.source.last_id, last, "the farewell does not change the last id");
        let retry = listener.source.reconnection_ms.unwrap();
        assert!((100_000..=200_000).contains(&retry), "{retry}");
        retries.insert(retry);
    }
    assert!(retries.len() > 25, "{} different times for 50 clients", retries.len());
    let report = soon(&report);
    assert!(report.is_clean(), "{report}");
    assert_eq!((report.requests.completed, broadcast.hub.subscribers()), (50, 0));
    // The hub goes on. Events that are published now wait for the clients that come back.
    broadcast.hub.publish(&Event::new("meanwhile"));
    broadcast.server.start().unwrap();
    let mut back = Listener::connect(broadcast.server.socket_addrs()[0], Some(&last));
    assert_eq!(back.events(1), ["meanwhile"]);
}

#[test]
fn a_hub_that_is_dropped_ends_its_streams() {
    let hub = Hub::builder().build();
    let (_server, address) = {
        let once = std::sync::Mutex::new(Some(hub));
        let routes = Router::new()
            .get("/", move |request: &Request| once.lock().unwrap().take().unwrap().subscribe(request));
        start(local().routes(routes))
    };
    let mut listener = Listener::connect(address, None);
    while listener.read() {}
}

#[test]
#[ignore = "needs 10,100 descriptors"]
fn five_thousand_subscribers_on_one_loop() {
    const MANY: usize = 5000;
    const EVENTS: usize = 5;
    let broadcast = broadcast(|hub| hub);
    let mut listeners: Vec<_> = (0..MANY).map(|_| Listener::connect(broadcast.address, None)).collect();
    assert_eq!(broadcast.hub.subscribers(), MANY);
    let expected: Vec<_> = (0..EVENTS).map(|round| round.to_string().repeat(1000)).collect();
    expected.iter().for_each(|data| _ = broadcast.hub.publish(&Event::new(data)));
    for listener in &mut listeners {
        assert_eq!(listener.events(EVENTS), expected);
    }
    drop(listeners.split_off(MANY / 2));
    until("the hub forgets half of the clients", || broadcast.hub.subscribers() == MANY / 2);
    let report = begin_stop(&broadcast.server, patient());
    for listener in &mut listeners {
        while listener.read() {}
        assert!(listener.source.reconnection_ms.is_some());
    }
    let report = soon(&report);
    assert!(report.is_clean(), "{report}");
    assert_eq!((broadcast.hub.subscribers(), report.requests.completed), (0, MANY as u64 / 2));
    _ = broadcast.server.stop(StopPolicy::default());
}

/// Events that a client has missed do not count against the limit of its lag.
#[test]
fn a_client_that_comes_back_is_not_cut_for_what_it_has_missed() {
    let broadcast = broadcast(|hub| hub.history(100).lag(10_000));
    for number in 0..100 {
        broadcast.hub.publish(&Event::new(&"x".repeat(1000)).id(&number.to_string()));
    }
    let mut listener = Listener::connect(broadcast.address, Some("unknown"));
    // The missed events form at least one chunk. The hub publishes another event while this chunk is on its way.
    broadcast.hub.publish(&Event::new("the next one").id("100"));
    while listener.source.dispatched.len() < 101 {
        assert!(listener.read(), "cut after {} events", listener.source.dispatched.len());
    }
}
