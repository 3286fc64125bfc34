//! `softstop bench` as its user meets it: what it reports has to be what has happened.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[allow(dead_code, reason = "the program is run to its end here")]
#[path = "support/program.rs"]
mod program;
mod support;

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    process::{Command, Output, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

use program::Program;
use serde_json::Value;
use softstop::{Request, Router, inline};
use support::{HUNG, in_background, patient, serve, soon};

/// Runs a bench to its end.
#[track_caller]
fn run(arguments: &[&str]) -> Output {
    let mut command = Program::command(&[&["bench"], arguments].concat());
    soon(&in_background(move || command.output().unwrap()))
}

/// Runs a bench that has to end with this status, and reads what it reports.
#[track_caller]
fn report(status: i32, arguments: &[&str]) -> Value {
    let output = run(&[arguments, &["--json"]].concat());
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(status), "{arguments:?}: {errors}");
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {errors}"))
}

#[track_caller]
fn number(report: &Value, name: &str) -> u64 {
    report[name].as_u64().unwrap_or_else(|| panic!("no {name}: {report:#}"))
}

fn sum(counts: &Value) -> u64 {
    counts.as_object().unwrap().values().map(|count| count.as_u64().unwrap()).sum()
}

/// Whatever was sent was answered or failed, and whatever was answered has a latency.
#[track_caller]
fn assert_adds_up(report: &Value) {
    let (sent, answered) = (number(report, "requests_sent"), number(report, "requests_answered"));
    assert_eq!(sent, answered + sum(&report["failures"]), "{report:#}");
    let latency = report.get("latency").unwrap_or(&report["request_to_response"]);
    assert_eq!(number(latency, "count"), answered, "{report:#}");
}

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
        let count = inline(move |request: &Request| {
            seen.fetch_add(1, Ordering::Relaxed);
            read.fetch_add(request.body().len() as u64, Ordering::Relaxed);
            "counted"
        });
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
    let (_server, address) = serve(Router::new().get("/", inline(|_: &Request| "content")));
    for (method, path, class) in [("HEAD", "", "2xx"), ("DELETE", "", "4xx"), ("GET", "nowhere", "4xx")] {
        let url = format!("http://{address}/{path}");
        let report = report(0, &["load", &url, "--rate", "50", "--seconds", "0.1", "--method", method]);
        assert_adds_up(&report);
        let due = number(&report["statuses"], class) + number(&report, "requests_never_sent");
        assert_eq!(due, 5, "{method}: {report:#}");
    }
}

/// The first request takes 400 ms, and thirty-nine are due meanwhile on the only connection. Whoever counts from when
/// they were sent at last sees one slow request in a hundred.
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

/// A peer that answers each request of each connection with these bytes, in these pieces, and closes if it is told to.
fn peer(pieces: &'static [&'static str], closes: bool) -> SocketAddr {
    fn answer(mut stream: TcpStream, pieces: &[&str], closes: bool) -> std::io::Result<()> {
        stream.set_read_timeout(Some(HUNG))?;
        stream.set_nodelay(true)?;
        let mut request = [0; 4096];
        // The requests here are small, and one at a time.
        while stream.read(&mut request)? > 0 {
            for piece in pieces {
                stream.write_all(piece.as_bytes())?;
            }
            if closes {
                break;
            }
        }
        Ok(())
    }
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            thread::spawn(move || answer(stream, pieces, closes));
        }
    });
    address
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
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = format!("http://{free}/");
    let report = report(1, &["load", &url, "--seconds", "0.1"]);
    assert_adds_up(&report);
    assert_eq!(number(&report["failures"], "refused"), number(&report, "requests_sent"), "{report:#}");
}

/// The second answer on a connection that was said to close is none: what was pipelined behind the first is lost.
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
fn every_accept_strategy_serves_all_and_closes() {
    let folder = std::env::temp_dir().join(format!("softstop-bench-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let picture = folder.join("accept.svg");
    let svg = picture.to_str().unwrap();
    let report = report(0, &["accept", "--rate", "200/s", "--seconds", "0.2", "--closes", "3", "--svg", svg]);
    let strategies = report["strategies"].as_array().unwrap();
    let names: Vec<_> = strategies.iter().map(|one| one["strategy"].as_str().unwrap()).collect();
    let all = ["waker", "deadline-2s", "deadline-10ms", "self-connect", "thread-per-connection"];
    assert_eq!(names, all);
    for one in strategies {
        assert_adds_up(one);
        let answered = number(one, "requests_answered");
        assert_eq!(answered + number(one, "requests_never_sent"), 40, "{one:#}");
        for part in ["connect_to_accept", "accept_to_first_byte", "request_to_response"] {
            assert_eq!(number(&one[part], "count"), answered, "{part}: {one:#}");
        }
        // The way to the answer leads through the accept.
        let (accept, answer) = (number(&one["connect_to_accept"], "min_ns"), &one["request_to_response"]);
        assert!(0 < accept && accept < number(answer, "min_ns"), "{one:#}");
        assert_eq!(number(&one["close"], "count"), 3, "{one:#}");
        assert!(number(&one["close"], "min_ns") > 0, "{one:#}");
    }
    let drawn = std::fs::read_to_string(&picture).unwrap();
    std::fs::remove_dir_all(&folder).unwrap();
    assert!(drawn.starts_with("<svg") && drawn.trim_end().ends_with("</svg>"), "{drawn}");
    for text in all.into_iter().chain(["connect to accept", "stop to closed"]) {
        assert!(drawn.contains(text), "{text}");
    }
    assert!(!drawn.contains("<rect"), "nothing is painted behind it");
}

#[test]
fn strategies_can_be_chosen_and_are_told_as_a_table() {
    let output = run(&["accept", "--seconds", "0.1", "--strategies", "self-connect,waker", "--closes", "1"]);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(output.stderr, b"", "no bar where nobody looks at it");
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.find("| self-connect").unwrap() < text.find("| waker").unwrap(), "{text}");
    assert!(text.contains("p99.99") && text.contains("stop to closed"), "{text}");
    assert!(!text.contains("deadline"), "{text}");
}

#[test]
fn stops_lose_nothing_under_any_load() {
    for load in ["new", "kept", "idle", "slow"] {
        let options = ["--stops", "3", "--clients", "4", "--idle-connections", "5", "--load", load];
        let report = report(0, &[&["stop"][..], &options].concat());
        assert_eq!(number(&report, "stops"), 3);
        assert_eq!((number(&report, "requests_lost"), number(&report, "not_clean")), (0, 0), "{report:#}");
        let answered = number(&report, "requests_answered");
        assert_eq!(number(&report, "server_completed"), answered, "{load}: {report:#}");
        assert_eq!(answered > 0, load != "idle", "{load}: {report:#}");
        let sent = number(&report, "requests_sent");
        assert_eq!(sent, answered + number(&report, "requests_refused"), "{load}: {report:#}");
        assert_eq!((number(&report["stop"], "count"), number(&report["lag"], "count")), (3, 3));
        assert!(number(&report["lag"], "max_ns") <= number(&report["stop"], "max_ns"), "{report:#}");
    }
}

#[test]
fn a_signal_ends_it_with_what_there_is() {
    let (arrived, first) = mpsc::sync_channel(1);
    let routes = Router::new().get(
        "/",
        inline(move |_: &Request| {
            // Full: the test knows already.
            _ = arrived.try_send(());
            "ok"
        }),
    );
    let (_server, address) = serve(routes);
    let url = format!("http://{address}/");
    let arguments = ["bench", "load", &url, "--seconds", "3600", "--rate", "100", "--json"];
    let child = Program::command(&arguments).stdout(Stdio::piped()).spawn().unwrap();
    soon(&first);
    assert!(Command::new("kill").args(["-s", "INT", &child.id().to_string()]).status().unwrap().success());
    let output = soon(&in_background(move || child.wait_with_output().unwrap()));
    assert_eq!(output.status.code(), Some(0));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["interrupted"], true);
    assert_adds_up(&report);
    assert!(number(&report, "requests_answered") > 0, "{report:#}");
}

#[test]
fn nonsense_is_refused() {
    let rows: [&[&str]; 15] = [
        &[],
        &["nothing"],
        &["load"],
        &["load", "https://127.0.0.1/"],
        &["load", "127.0.0.1:80"],
        &["load", "http://127.0.0.1/", "--rate", "0"],
        &["load", "http://127.0.0.1/", "--rate", "NaN"],
        &["load", "http://127.0.0.1/", "--seconds", "-1"],
        &["load", "http://127.0.0.1/", "--seconds", "1e9"],
        &["load", "http://127.0.0.1/", "--connections", "0"],
        &["load", "http://127.0.0.1/", "--method", "GET /"],
        &["load", "http://127.0.0.1/", "--method", "CONNECT"],
        &["accept", "--strategies", "hope"],
        &["stop", "--stops", "0"],
        &["stop", "--load", "none"],
    ];
    for arguments in rows {
        let output = run(arguments);
        assert_eq!(output.status.code(), Some(64), "{arguments:?}");
        assert!(!output.stderr.is_empty() && output.stdout.is_empty(), "{arguments:?}");
    }
    let output = run(&["load", "http://host.invalid/", "--seconds", "1"]);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{errors}");
    assert!(errors.contains("host.invalid"), "{errors}");
    let output = run(&["accept", "--seconds", "0.1", "--closes", "0", "--svg", "/nowhere/at/all.svg"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("/nowhere/at/all.svg"));
}
