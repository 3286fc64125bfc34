//! Twelve servers with one fault each. `matrix.txt` has the verdict of every check on each server.

use std::collections::BTreeMap;

use crate::run::{check, example};

/// Options for everything that the faulty server offers.
const OPTIONS: [&str; 20] = [
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
    "--patience",
    "5s",
];

/// The verdicts by fault and check. A line is a check, a column is a fault.
fn matrix() -> BTreeMap<String, Vec<(String, char)>> {
    let mut lines =
        include_str!("matrix.txt").lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    let faults: Vec<&str> = lines.next().unwrap().split_ascii_whitespace().collect();
    let mut matrix = BTreeMap::new();
    for line in lines {
        let mut words = line.split_ascii_whitespace();
        let id = words.next().unwrap();
        let verdicts: Vec<&str> = words.collect();
        assert_eq!(verdicts.len(), faults.len(), "{line}");
        for (fault, verdict) in faults.iter().zip(verdicts) {
            let row: &mut Vec<(String, char)> = matrix.entry((*fault).to_owned()).or_default();
            row.push((id.to_owned(), verdict.chars().next().unwrap()));
        }
    }
    matrix
}

fn letter(verdict: &str) -> char {
    match verdict {
        "pass" => '.',
        "fail" => 'F',
        "warn" => 'w',
        _ => '-',
    }
}

#[track_caller]
fn expect(fault: &str, row: &[(String, char)]) {
    // A server that dies at once loses only the few requests that are in flight at that moment. The check repeats until
    // a request is lost.
    let stops = if fault == "dies-at-once" { &["--until-certain"][..] } else { &["--stops", "2"] };
    let run = check(&[&OPTIONS[..], stops].concat(), &[&example("faulty"), "{port}", fault]);
    let seen: Vec<(String, char)> = run
        .checks()
        .iter()
        .map(|check| (check["id"].as_str().unwrap().to_owned(), letter(check["verdict"].as_str().unwrap())))
        .collect();
    assert_eq!(seen, row, "{fault}: {}", run.text);
}

#[test]
#[ignore = "takes minutes"]
fn each_faulty_server_gets_exactly_its_verdicts() {
    for (fault, row) in matrix() {
        expect(&fault, &row);
    }
}

#[test]
fn the_matrix_has_every_fault_and_every_check() {
    let matrix = matrix();
    assert_eq!(matrix.len(), 13, "twelve faults, and a server without a fault");
    assert!(matrix["none"].iter().all(|(id, verdict)| *verdict == '.' || id == "replace"));
    for (fault, row) in matrix.iter().filter(|(fault, _)| *fault != "none") {
        assert!(row.iter().any(|(_, verdict)| *verdict == 'F'), "{fault}");
    }
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
