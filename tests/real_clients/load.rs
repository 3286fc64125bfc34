//! Load generators: many connections at once, each with a bound on its requests or its time. No request may fail. The
//! tests do not look at the speed.

use std::process::Command;

use crate::peer::{Folder, Outcome, Served, content, run, start, stop};

#[track_caller]
fn command(line: &[&str]) -> Outcome {
    run(Command::new(line[0]).args(&line[1..]), b"")
}

/// The number after a label.
#[track_caller]
fn number(outcome: &Outcome, label: &str) -> u64 {
    let (_, behind) = outcome.text().split_once(label).unwrap_or_else(|| panic!("no {label:?}: {outcome:?}"));
    let digits = behind.trim_start().split(|c: char| !c.is_ascii_digit()).next();
    digits.unwrap().parse().unwrap_or_else(|error| panic!("{label:?}: {error}: {outcome:?}"))
}

#[test]
#[ignore = "needs ab"]
fn ab_keeps_its_connections() {
    let program = start();
    // ab speaks HTTP/1.0, and asks the server to keep the connection.
    let outcome =
        command(&["ab", "-q", "-k", "-n", "2000", "-c", "32", &format!("http://{}/", program.hello)]);
    assert_eq!(number(&outcome, "Complete requests:"), 2000);
    assert_eq!(number(&outcome, "Failed requests:"), 0);
    assert_eq!(number(&outcome, "Keep-Alive requests:"), 2000);
    outcome.says_not("Non-2xx");
    assert_eq!(stop(program)[0].connections, 32);
}

#[test]
#[ignore = "needs ab"]
fn ab_connects_for_every_request_and_uploads() {
    let program = start();
    let folder = Folder::new("ab-uploads");
    let file = folder.write("sent", content(100_000));
    let url = format!("http://{}/", program.echo);
    let outcome = command(&["ab", "-q", "-n", "500", "-c", "16", "-p", &file, "-T", "text/plain", &url]);
    assert_eq!(number(&outcome, "Complete requests:"), 500);
    assert_eq!(number(&outcome, "Failed requests:"), 0);
    assert_eq!(number(&outcome, "HTML transferred:"), 500 * 100_000);
    outcome.says_not("Non-2xx");
    stop(program);
}

#[test]
#[ignore = "needs wrk"]
fn wrk_sees_no_error() {
    let program = start();
    let outcome = command(&[
        "wrk",
        "-t",
        "2",
        "-c",
        "64",
        "-d",
        "1s",
        "--timeout",
        "30s",
        &format!("http://{}/", program.hello),
    ]);
    outcome.says("requests in");
    outcome.says_not("Socket errors");
    outcome.says_not("Non-2xx");
    let Served { requests, connections } = &stop(program)[0];
    assert!(*requests > 100 && (64..=65).contains(connections), "{requests} over {connections}");
}

#[test]
#[ignore = "needs h2load"]
fn h2load_pipelines() {
    let program = start();
    // Without pipelining, and with eight requests in flight on each connection.
    for under_way in ["1", "8"] {
        let url = format!("http://{}/", program.hello);
        let outcome = command(&["h2load", "--h1", "-n", "2000", "-c", "32", "-m", under_way, &url]);
        outcome.says("2000 done, 2000 succeeded, 0 failed, 0 errored, 0 timeout");
        outcome.says("status codes: 2000 2xx, 0 3xx, 0 4xx, 0 5xx");
    }
    assert_eq!(stop(program)[0], Served { requests: 4000, connections: 64 });
}

#[test]
#[ignore = "needs h2load"]
fn h2load_uploads() {
    let program = start();
    let folder = Folder::new("h2load-uploads");
    let file = folder.write("sent", content(100_000));
    let url = format!("http://{}/", program.echo);
    let outcome = command(&["h2load", "--h1", "-n", "500", "-c", "16", "-d", &file, &url]);
    outcome.says("500 done, 500 succeeded, 0 failed, 0 errored, 0 timeout");
    outcome.says("status codes: 500 2xx, 0 3xx, 0 4xx, 0 5xx");
    assert_eq!(stop(program)[2], Served { requests: 500, connections: 16 });
}
