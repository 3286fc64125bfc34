//! The `EventSource` of a real browser reconnects to a restarted server, and misses no event that the hub holds.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::{
    fs,
    net::SocketAddr,
    process::{Child, Command, Stdio},
    sync::mpsc,
    time::Duration,
};

use softstop::{
    Request, Response, Router, Server, StatusCode, StopPolicy,
    events::{Event, Hub},
};
use support::soon;

/// A page that reports each event to the server, in the order of the events.
const PAGE: &str = "<!doctype html><script>
let told = Promise.resolve();
new EventSource('/events').onmessage = event => {
    const seen = event.lastEventId + ' ' + event.data;
    told = told.then(() => fetch('/seen', { method: 'POST', body: seen }));
};
</script>";

struct Browser(Child);

impl Browser {
    fn open(address: SocketAddr, profile: &std::path::Path) -> Browser {
        let child = Command::new("chromium")
            .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"])
            .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
            .arg(format!("--user-data-dir={}", profile.display()))
            // Without this option the browser exits by itself.
            .arg("--remote-debugging-port=0")
            .arg(format!("http://{address}/"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        Browser(child.expect("chromium is installed"))
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        _ = self.0.kill();
        _ = self.0.wait();
    }
}

#[test]
#[ignore = "needs chromium"]
fn a_browser_misses_nothing_over_a_restart() {
    let soon_again = Duration::from_millis(10)..=Duration::from_millis(100);
    let hub = Hub::builder().history(100).retry(soon_again).build();
    let (tell_seen, seen) = mpsc::channel();
    let (tell_asked, asked) = mpsc::channel();
    let serve = |address: &str| {
        let (hub, tell_seen, tell_asked) = (hub.clone(), tell_seen.clone(), tell_asked.clone());
        let page = |_: &Request| Response::new(StatusCode::OK).content_type("text/html").with_body(PAGE);
        let routes = Router::new()
            .get("/", page)
            .get("/events", move |request: &Request| {
                tell_asked.send(request.last_event_id().map(str::to_owned)).unwrap();
                hub.subscribe(request)
            })
            .post("/seen", move |request: &Request| {
                tell_seen.send(String::from_utf8(request.body().to_vec()).unwrap()).unwrap();
            });
        let server = Server::builder().listen(address).routes(routes).build();
        server.start().unwrap();
        server
    };
    let publish = |data: &str| (hub.publish(&Event::new(data)), data.to_owned());
    let expect = |(id, data): &(String, String)| assert_eq!(soon(&seen), format!("{id} {data}"));

    let server = serve("127.0.0.1:0");
    let address = server.socket_addrs()[0];
    let profile = std::env::temp_dir().join(format!("softstop-chromium-{}", std::process::id()));
    let browser = Browser::open(address, &profile);
    assert_eq!(soon(&asked), None, "the browser has seen no event yet");
    support::until("the browser listens", || hub.subscribers() == 1);
    let first = [publish("one"), publish("two\nlines")];
    first.iter().for_each(expect);

    let report = server.stop(StopPolicy::default());
    assert!(report.is_clean(), "{report}");
    let meanwhile = [publish("three"), publish("four")];
    let server = serve(&address.to_string());
    assert_eq!(soon(&asked).as_ref(), Some(&first[1].0), "the browser names the last event that it saw");
    meanwhile.iter().for_each(expect);
    let afterwards = publish("five");
    expect(&afterwards);
    assert!(seen.try_recv().is_err(), "no event comes twice");
    drop(browser);
    server.stop(StopPolicy::default());
    // Processes of the browser that still run may write to the folder.
    _ = fs::remove_dir_all(&profile);
}
