//! Servers with one fault each. `matrix.txt` has the verdict of every check on each server.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Mutex,
    thread,
};

use crate::run::{check, command, example, text};

/// Servers that are judged at a time.
const AT_A_TIME: usize = 8;
const MANY: [&str; 3] = ["--until-certain", "--clients", "64"];

/// Options for everything that the faulty server offers.
const OPTIONS: [&str; 22] = [
    "--says",
    "listening on",
    "--lame-duck",
    "300ms",
    "--ready",
    "/readyz",
    "--slow",
    "/slow",
    "--stream",
    "/stream",
    "--large",
    "/large",
    "--post",
    "/post",
    "--upgrade",
    "/upgrade",
    "--stuck",
    "/stuck",
    "--replace",
    "kill -s USR2 {pid}",
    "--patience",
    "5s",
];

/// The verdicts by fault and check, in the order of `check --list`.
fn matrix() -> BTreeMap<String, Vec<(String, char)>> {
    let list = text(&command(&["--list"]).output().unwrap());
    let ids: Vec<&str> = list.lines().filter_map(|line| Some(line.split_once("  ")?.0)).collect();
    let ids: Vec<&str> = ids.into_iter().filter(|id| !id.is_empty()).collect();
    let mut named: BTreeMap<String, BTreeMap<&str, char>> = BTreeMap::new();
    let lines = include_str!("matrix.txt").lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    for line in lines {
        let mut words = line.split_ascii_whitespace();
        let (fault, verdict) = (words.next().unwrap(), words.next().unwrap().parse().unwrap());
        let row = named.entry(fault.to_owned()).or_default();
        for id in words {
            assert!(id == "*" || ids.contains(&id), "no such check: {line}");
            assert_eq!(row.insert(id, verdict), None, "named twice: {line}");
        }
    }
    let all = |row: BTreeMap<&str, char>| {
        ids.iter().map(|id| ((*id).to_owned(), *row.get(id).unwrap_or_else(|| &row["*"]))).collect()
    };
    named.into_iter().map(|(fault, row)| (fault, all(row))).collect()
}

fn letter(verdict: &str) -> char {
    match verdict {
        "pass" => '.',
        "fail" => 'F',
        "warn" => 'w',
        _ => '-',
    }
}

/// Judges a faulty server: the differences from its row, in words.
fn judge(fault: &str, row: &[(String, char)]) -> Vec<String> {
    // A server that dies at once loses only the few requests that are in flight at that moment. The check repeats until
    // a request is lost, and its load has many clients.
    let stops = if fault == "dies-at-once" { &MANY[..] } else { &["--stops", "2"] };
    let run = check(&[&OPTIONS[..], stops].concat(), &[&example("faulty"), "{port}", fault]);
    let mut differences = Vec::new();
    assert_eq!(run.checks().len(), row.len(), "{fault}: {}", run.text);
    for (check, (id, expected)) in run.checks().iter().zip(row) {
        let seen = letter(check["verdict"].as_str().unwrap());
        if (check["id"].as_str(), seen) != (Some(id), *expected) {
            differences.push(format!("{fault}: {id} is {seen} instead of {expected}: {:#}", check));
        }
    }
    differences
}

/// Several servers are judged at a time, because most of a judgement is waiting.
#[test]
#[ignore = "takes minutes"]
fn each_faulty_server_gets_exactly_its_verdicts() {
    let rows = Mutex::new(matrix().into_iter());
    let next = || rows.lock().unwrap().next();
    let worker = || {
        let mut differences = Vec::new();
        while let Some((fault, row)) = next() {
            differences.extend(judge(&fault, &row));
        }
        differences
    };
    let differences: Vec<String> = thread::scope(|scope| {
        let workers: Vec<_> = (0..AT_A_TIME).map(|_| scope.spawn(worker)).collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    });
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

#[test]
fn every_check_is_seen_to_fail() {
    let matrix = matrix();
    assert_eq!(matrix.len(), 22, "21 faults, and a server without a fault");
    assert!(matrix["none"].iter().all(|(_, verdict)| *verdict == '.'));
    let is_bad = |(_, verdict): &(String, char)| matches!(verdict, 'F' | 'w');
    for (fault, row) in matrix.iter().filter(|(fault, _)| *fault != "none") {
        assert!(row.iter().any(is_bad), "{fault}");
    }
    let bad: BTreeSet<&String> =
        matrix.values().flatten().filter(|cell| is_bad(cell)).map(|(id, _)| id).collect();
    assert!(matrix["none"].iter().all(|(id, _)| bad.contains(id)), "{bad:?}");
}

/// The server does not end at the first signal. Every check that needs an end is skipped, and names the cause.
#[test]
fn what_cannot_be_judged_is_skipped_with_its_cause() {
    let run = check(
        &["--patience", "2s", "--only", "idle-thousand"],
        &[&example("faulty"), "{port}", "needs-two-signals"],
    );
    assert_eq!(run.status, Some(2), "{}", run.text);
    assert_eq!(run.with("fail"), ["ends"], "{}", run.text);
    assert!(run.verdict("ends").1.contains("a second signal ended it"), "{}", run.text);
    assert_eq!(run.with("skip"), ["idle", "idle-thousand"], "{}", run.text);
    assert!(run.verdict("idle").1.contains("ends"), "{}", run.text);
}
