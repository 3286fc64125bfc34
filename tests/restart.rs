//! A thousand starts and stops of one server leave nothing behind. The test is alone in its program, because it counts
//! the threads and descriptors of the process.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use softstop::{Request, Router, route};
use support::{
    client::{Client, get},
    local, patient,
    process::{descriptors, threads},
    until,
};

const ROUNDS: usize = 1000;

#[test]
fn a_thousand_starts_and_stops_leave_no_thread_and_no_descriptor() {
    let routes = Router::new()
        .get("/pool", |_: &Request| "pool")
        .get("/inline", route(|_: &Request| "inline").inline());
    let server = local().name("often").routes(routes).build();
    let mut before = (0, 0);
    for round in 0..ROUNDS {
        if round == 1 {
            // The first round makes everything that a process makes only once.
            until("the first round's threads have left", || {
                before = (threads(), descriptors());
                !has_threads_of("often")
            });
        }
        server.start().unwrap();
        let address = server.handle().socket_addrs()[0];
        let mut kept = Client::connect(address);
        assert_eq!(kept.get("/pool").text(), "pool");
        assert_eq!(kept.get("/inline").text(), "inline");
        let mut other = Client::connect(address);
        other.send(get("/pool") + &get("/inline"));
        assert_eq!((other.read_response().text(), other.read_response().text()), ("pool", "inline"));
        let report = server.stop(patient().quiet(std::time::Duration::ZERO));
        assert!(report.is_clean(), "round {round}: {report}");
        assert_eq!((report.requests.completed, report.closes.total()), (4, 2), "round {round}: {report}");
        kept.expect_end();
        other.expect_end();
    }
    // A joined thread may still be listed for a moment.
    let mut after = (0, 0);
    until(&format!("threads and descriptors are again {before:?}"), || {
        after = (threads(), descriptors());
        after == before
    });
}

/// Whether a thread of this server is still there.
fn has_threads_of(server: &str) -> bool {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    tasks.flatten().any(|task| {
        std::fs::read_to_string(task.path().join("comm")).is_ok_and(|name| name.starts_with(server))
    })
}
