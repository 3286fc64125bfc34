//! A stop gives back at once what it has not finished. The time to acknowledge is so long that no other replica could begin
//! within the time of a test.

use crate::{
    clients::{get, post},
    places::{Options, Place, Replica},
    process::{Lines, Process, example},
    streams::{Open, Outside},
    support::until,
};

/// Longer than a test may take.
const NEVER_MS: u64 = 600_000;

fn with<'a>(lines: &'a [String], start: &str) -> Vec<&'a str> {
    let mut found: Vec<&str> = lines.iter().filter_map(|line| line.strip_prefix(start)).collect();
    found.sort_unstable();
    found
}

#[test]
#[ignore = "needs nats-server"]
fn another_replica_begins_at_once_what_a_stop_gives_back() {
    let place = Place::new("stopping");
    let (nats, any) = (place.nats(), (place.ip, 0).into());
    let impatient = Options { grace_ms: 100, ack_wait_ms: NEVER_MS };
    let mut stopping = Replica::ready(&nats.url(), any, "a", &impatient);
    // More jobs than one replica has workers: the other two stay in the stream.
    for number in 1..=6 {
        let answer = post(stopping.address, &format!("key-{number}"), NEVER_MS).unwrap();
        assert_eq!(answer.job(), number);
    }
    (0..4).for_each(|_| _ = stopping.process.line("begun "));
    stopping.process.signal("TERM");
    let printed = stopping.stopped();
    assert_eq!(with(&printed, "given back "), ["1", "2", "3", "4"], "{printed:#?}");
    assert_eq!(with(&printed, "jobs: drained: "), ["0 finished, 4 given back, 0 left"], "{printed:#?}");
    assert_eq!(Outside::new(&nats.url()).open().not_acknowledged, 4, "the stream knows them as not done");

    let mut next = Replica::ready(&nats.url(), any, "b", &impatient);
    (0..4).for_each(|_| _ = next.process.line("begun "));
}

#[test]
#[ignore = "needs nats-server"]
fn a_stop_finishes_what_it_has_time_for() {
    let place = Place::new("finishing");
    let (nats, any) = (place.nats(), (place.ip, 0).into());
    let patient = Options { grace_ms: 20_000, ack_wait_ms: NEVER_MS };
    let mut replica = Replica::ready(&nats.url(), any, "a", &patient);
    // Longer than the lame duck, so that the drain finishes the job.
    post(replica.address, "key", 1500).unwrap().job();
    replica.process.line("begun 1");
    replica.process.signal("TERM");
    let printed = replica.stopped();
    assert_eq!(with(&printed, "acknowledged "), ["1"], "{printed:#?}");
    assert_eq!(with(&printed, "jobs: drained: "), ["1 finished, 0 left"], "{printed:#?}");
    let outside = Outside::new(&nats.url());
    assert_eq!(outside.open(), Open { not_delivered: 0, not_acknowledged: 0 });
    assert_eq!(outside.after("EVENTS", 0), [(1, "job 1 is done by a".to_owned())]);
}

#[test]
#[ignore = "needs nats-server"]
fn a_job_that_comes_after_the_stop_has_begun_is_given_back_unbegun() {
    let place = Place::new("late");
    let (nats, any) = (place.nats(), (place.ip, 0).into());
    let options = Options { grace_ms: 20_000, ack_wait_ms: NEVER_MS };
    let mut replica = Replica::ready(&nats.url(), any, "a", &options);
    replica.process.signal("TERM");
    let stopping = || get(replica.address, "/readyz").is_some_and(|answer| answer.content == "stopping\n");
    until("the replica is a lame duck", stopping);
    // A lame duck still serves. Its last request for jobs is open, so that NATS sends the job there.
    let job = post(replica.address, "late", 10).unwrap().job();
    let printed = replica.stopped();
    assert!(with(&printed, "begun ").is_empty(), "{printed:#?}");
    // The last request may just have ended. Then the job has never been there.
    let given_back = with(&printed, "given back ");
    let report = format!("0 finished, {}0 left", if given_back.is_empty() { "" } else { "1 given back, " });
    assert_eq!(with(&printed, "jobs: drained: "), [report], "{printed:#?}");

    let mut next = Replica::ready(&nats.url(), any, "b", &options);
    next.process.line(&format!("acknowledged {job}"));
}

#[test]
#[ignore = "needs nats-server"]
fn arguments_that_are_wrong_are_refused_before_anything_serves() {
    for (arguments, expected) in [
        (&["http://127.0.0.1:x"][..], "expected a URL such as nats://127.0.0.1:4222"),
        (&["nats://127.0.0.1:4222", "127.0.0.1:0", "a", "soon"], "expected a number of milliseconds"),
        (&["nats://127.0.0.1:4222", "127.0.0.1:0", "a", "1000", "1"], "is at least 500ms"),
        (&["nats://127.0.0.1:4222", "127.0.0.1"], "127.0.0.1"),
    ] {
        let mut command = std::process::Command::new(example());
        let mut process = Process::start(command.args(arguments), &Lines::Errors);
        let (status, errors) = process.wait();
        assert_eq!(status.code(), Some(1), "{arguments:?}: {errors:#?}");
        assert!(errors.concat().contains(expected), "{arguments:?}: {errors:#?}");
    }
}
