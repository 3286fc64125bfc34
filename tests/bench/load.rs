//! `bench load`: its counts agree with the server's, and its latencies are those of users.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use softstop::{Request, Router, route};

use crate::{
    assert_adds_up, number,
    peers::{peer, peer_of_one_request},
    report, run, sum,
    support::{gate::gate, patient, serve},
};

#[test]
fn a_load_reports_what_the_server_has_seen() {
    let rows: [&[&str]; 5] = [
        &[],
        &["--connections", "1"],
        &["--connections", "3", "--pipeline", "16"],
        &["--method", "POST", "--body-bytes", "100000"],
        &["--rate", "200/s", "--pipeline", "2"],
    ];
    for options in rows {
        let (requests, bytes) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let (seen, read) = (Arc::clone(&requests), Arc::clone(&bytes));
        let count = route(move |request: &Request| {
            seen.fetch_add(1, Ordering::Relaxed);
            read.fetch_add(request.body().len() as u64, Ordering::Relaxed);
            "counted"
        })
        .inline();
        let (server, address) = serve(Router::new().any("/counted", count));
        let url = format!("http://{address}/counted?really");
        let report = report(0, &[&["load", &url, "--seconds", "0.3"], options].concat());
        assert_adds_up(&report);
        let answered = number(&report, "requests_answered");
        assert!(answered > 0 && sum(&report["failures"]) == 0, "{options:?}: {report:#}");
        assert_eq!(number(&report["statuses"], "2xx"), answered, "{options:?}");
        assert_eq!(requests.load(Ordering::Relaxed), answered, "{options:?}");
        let each = if options.contains(&"--body-bytes") { 100_000 } else { 0 };
        assert_eq!(bytes.load(Ordering::Relaxed), answered * each, "{options:?}");
        let stopped = server.stop(patient());
        assert_eq!(stopped.requests.completed, answered, "{options:?}");
        assert_eq!(stopped.closes.total(), number(&report, "connections_opened"), "{options:?}");
        if options.contains(&"--rate") {
            assert_eq!(answered + number(&report, "requests_never_sent"), 60, "{report:#}");
        }
    }
}

#[test]
fn answers_are_counted_by_class_and_a_method_is_what_it_is_told() {
    let (_server, address) = serve(Router::new().get("/", route(|_: &Request| "content").inline()));
    for (method, path, class) in [("HEAD", "", "2xx"), ("DELETE", "", "4xx"), ("GET", "nowhere", "4xx")] {
        let url = format!("http://{address}/{path}");
        let report = report(0, &["load", &url, "--rate", "50", "--seconds", "0.1", "--method", method]);
        assert_adds_up(&report);
        let due = number(&report["statuses"], class) + number(&report, "requests_never_sent");
        assert_eq!(due, 5, "{method}: {report:#}");
    }
}

/// The first request takes 400 ms. Meanwhile thirty-nine requests are due on the only connection. A measurement from
/// the moment of sending would show only one slow request in a hundred.
#[test]
fn who_waits_for_a_connection_waits_for_an_answer() {
    let first = AtomicU64::new(0);
    let slow = move |request: &Request| {
        if first.fetch_add(1, Ordering::Relaxed) == 0 {
            request.context().sleep(Duration::from_millis(400)).unwrap();
        }
        "at last"
    };
    let (_server, address) = serve(Router::new().get("/", slow));
    let url = format!("http://{address}/");
    let report = report(0, &["load", &url, "--connections", "1", "--rate", "100", "--seconds", "1"]);
    assert_adds_up(&report);
    let p90 = Duration::from_nanos(number(&report["latency"], "p90_ns"));
    assert!(p90 > Duration::from_millis(250), "{p90:?}: {report:#}");
    let lag = Duration::from_nanos(number(report.get("lag").unwrap(), "max_ns"));
    assert!(lag > Duration::from_millis(250), "{lag:?}: {report:#}");
}

/// The server answers no request for half a second. Every request that is due in this time waits for the rest of it. At
/// two hundred requests a second for two seconds, these requests are a quarter of all, and their waits are spread
/// evenly. A measurement of only the requests that are being served would show four slow requests in four hundred.
#[test]
fn a_stall_has_its_true_weight() {
    const STALL: Duration = Duration::from_millis(500);
    let (seen, door) = (AtomicU64::new(0), Mutex::new(()));
    let stalling = move |request: &Request| {
        let _one_at_a_time = door.lock().unwrap();
        if seen.fetch_add(1, Ordering::Relaxed) == 60 {
            request.context().sleep(STALL).unwrap();
        }
        "at last"
    };
    let (_server, address) = serve(Router::new().get("/", stalling));
    let url = format!("http://{address}/");
    let report = report(0, &["load", &url, "--connections", "4", "--rate", "200", "--seconds", "2"]);
    assert_adds_up(&report);
    let at = |name| Duration::from_nanos(number(&report["latency"], name));
    // The slowest tenth, forty requests, were due in the first 200 ms of the stall. The other quantiles follow the same
    // rule. The histogram keeps three digits.
    for (quantile, missed) in [("p90_ns", 200), ("p99_ns", 20), ("p99_9_ns", 0)] {
        let least = (STALL - Duration::from_millis(missed)).mul_f64(0.999);
        assert!(at(quantile) >= least, "{quantile}: {least:?} {report:#}");
    }
    // The stall must not weigh too much, because three quarters of the requests were due at another time.
    assert!(at("p50_ns") < STALL / 2, "{report:#}");
}

/// The server never answers one request in a hundred. The bench waits for this answer in vain when the load is over.
#[test]
fn waiting_for_nothing_is_no_part_of_the_load() {
    let seen = AtomicU64::new(0);
    let (gate, held) = gate();
    let deaf_once = move |_: &Request| {
        if seen.fetch_add(1, Ordering::Relaxed) == 10 {
            gate.pass();
        }
        "ok"
    };
    let (_server, address) = serve(Router::new().get("/", deaf_once));
    let url = format!("http://{address}/");
    let report = report(0, &["load", &url, "--connections", "2", "--rate", "100", "--seconds", "1"]);
    // Otherwise the server's stop would wait for the handler.
    drop(held);
    assert_adds_up(&report);
    assert_eq!(number(&report["failures"], "unanswered"), 1, "{report:#}");
    let seconds = report["seconds"].as_f64().unwrap();
    assert!((1.0..3.0).contains(&seconds), "{report:#}");
}

#[test]
fn a_rate_that_is_too_high_is_said_to_be() {
    let slow =
        |request: &Request| request.context().sleep(Duration::from_millis(50)).map_or("cut", |()| "ok");
    let (_server, address) = serve(Router::new().get("/", slow));
    let url = format!("http://{address}/");
    let output = run(&["load", &url, "--connections", "1", "--rate", "1000", "--seconds", "0.5"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert!(text.contains("never sent") && text.contains("slower than the rate"), "{text}");
    assert!(text.starts_with(&format!("{url} ({address}), connections: 1, open loop of 1000/s, ")), "{text}");
}

#[test]
fn answers_of_every_framing_are_read() {
    let rows: [(&[&str], bool, bool); 5] = [
        (&["HTTP/1.1 200 OK\r\nContent-", "Length: 5\r\n\r\nhe", "llo"], false, true),
        (
            &["HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel", "lo\r\n0\r", "\n\r\n"],
            false,
            true,
        ),
        (&["HTTP/1.1 100 Continue\r\n\r\n", "HTTP/1.1 204 No Content\r\n\r\n"], false, true),
        (&["HTTP/1.1 200 OK\r\n\r\n", "to the end"], true, false),
        (&["HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n", "ok"], true, false),
    ];
    for (pieces, closes, keeps) in rows {
        let url = format!("http://{}/", peer(pieces, closes));
        let report = report(0, &["load", &url, "--rate", "100", "--seconds", "0.2", "--connections", "2"]);
        assert_adds_up(&report);
        let answered = number(&report, "requests_answered");
        assert_eq!(answered + number(&report, "requests_never_sent"), 20, "{pieces:?}: {report:#}");
        let length: usize = pieces.iter().map(|piece| piece.len()).sum();
        assert_eq!(number(&report, "bytes_received"), answered * length as u64, "{pieces:?}");
        let opened = number(&report, "connections_opened");
        assert_eq!(opened, if keeps { 2 } else { answered }, "{pieces:?}");
    }
}

#[test]
fn what_is_no_answer_is_a_failure_with_a_name() {
    let rows: [(&[&str], &str); 4] = [
        (&[], "closed_too_early"),
        (&["HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell"], "closed_too_early"),
        (&["HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"], "closed_too_early"),
        (&["SSH-2.0-OpenSSH\r\n"], "malformed"),
    ];
    for (pieces, failure) in rows {
        let url = format!("http://{}/", peer(pieces, true));
        let report = report(1, &["load", &url, "--rate", "50", "--seconds", "0.1", "--connections", "5"]);
        assert_adds_up(&report);
        let due = number(&report["failures"], failure) + number(&report, "requests_never_sent");
        assert_eq!(due, 5, "{pieces:?}: {report:#}");
    }
}

#[test]
fn who_is_refused_later_is_counted() {
    let closing = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    let url = format!("http://{}/", peer_of_one_request(closing));
    let report = report(0, &["load", &url, "--seconds", "0.2", "--connections", "1"]);
    assert_adds_up(&report);
    assert_eq!(number(&report, "requests_answered"), 1, "{report:#}");
    assert!(number(&report["failures"], "refused") > 0, "{report:#}");
}

/// An answer after `Connection: close` does not count. The requests that were pipelined after the first one are lost.
#[test]
fn what_is_pipelined_behind_a_close_is_lost() {
    let closing = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok";
    let pieces: &[&str] = Box::leak(Box::new([closing]));
    let url = format!("http://{}/", peer(pieces, true));
    let report = report(0, &["load", &url, "--seconds", "0.1", "--connections", "1", "--pipeline", "4"]);
    assert_adds_up(&report);
    let (answered, lost) = (number(&report, "requests_answered"), sum(&report["failures"]));
    assert!(answered > 0 && lost > 0, "{report:#}");
}

#[test]
fn a_load_can_go_to_a_unix_domain_socket() {
    let path = std::env::temp_dir().join(format!("softstop-load-{}", std::process::id()));
    let path = path.to_str().unwrap();
    let routes = Router::new()
        .get("/", route(|request: &Request| request.header("Host").unwrap_or("").to_owned()).inline());
    let server = softstop::Server::builder().listen(format!("unix:{path}")).routes(routes).build();
    server.start().unwrap();
    for options in [&[][..], &["--connections", "3", "--pipeline", "4"]] {
        let load = ["load", "http://any.example/", "--unix-socket", path, "--seconds", "0.2"];
        let report = report(0, &[&load, options].concat());
        assert_adds_up(&report);
        assert_eq!(report["address"], format!("unix:{path}"));
        assert!(number(&report["statuses"], "2xx") > 0 && sum(&report["failures"]) == 0, "{report:#}");
    }
    assert!(server.stop(patient()).is_clean());
    let refused = run(&["load", "http://any.example/", "--unix-socket", path]);
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(refused.status.code() == Some(1) && said.contains("no connection"), "{said}");
}
