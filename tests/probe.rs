//! The probe plays cases against the running program. The probe sends exact bytes over raw connections, and reads the
//! answers strictly. `probe/README.md` says how to run some of the cases.
//!
//! ```text
//!  cases.json --case--> [Case] --exchange--> bytes out --> server
//!                          |                                  |
//!                        expect <--response-- bytes in <------+
//!                          |
//!                       Verdict
//! ```

use std::env;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use probe::case::{After, Case, Level, Role};
use probe::exchange::Report;
use probe::expect::Verdict;
use program::{Process, Program};

#[path = "support/program.rs"]
mod program;
mod support;

mod probe {
    pub(crate) mod case;
    pub(crate) mod exchange;
    pub(crate) mod expect;
    mod judge;
    pub(crate) mod response;
    pub(crate) mod wire;
}

/// How many cases are played at once.
const WORKERS: usize = 16;

/// The server under test, and the process if this test started it.
#[derive(Debug)]
pub(crate) struct Servers {
    hello: SocketAddr,
    name: SocketAddr,
    echo: SocketAddr,
    _process: Option<Process>,
}

impl Servers {
    pub(crate) fn address(&self, role: Role) -> SocketAddr {
        match role {
            Role::Hello => self.hello,
            Role::Name => self.name,
            Role::Echo => self.echo,
        }
    }
}

/// The servers that the environment names. If the environment names none, the program, on ports of its choice.
fn servers() -> Servers {
    let named = |role| {
        let address = env::var(format!("SOFTSTOP_PROBE_{role}")).ok()?;
        Some(address.parse().unwrap_or_else(|error| panic!("SOFTSTOP_PROBE_{role}={address}: {error}")))
    };
    if let (Some(hello), Some(name), Some(echo)) = (named("HELLO"), named("NAME"), named("ECHO")) {
        return Servers { hello, name, echo, _process: None };
    }
    let mut program = Program::start(&[]);
    let [hello, name, echo] = program.addresses();
    Servers { hello, name, echo, _process: Some(program.process) }
}

#[test]
fn the_server_does_what_the_rfcs_ask() {
    let mut cases: Vec<Case> = serde_json::from_str(include_str!("probe/cases.json"))
        .unwrap_or_else(|error| panic!("tests/probe/cases.json: {error}"));
    if let Ok(only) = env::var("SOFTSTOP_PROBE_ONLY") {
        cases.retain(|case| fits(only.as_bytes(), case.id.as_bytes()) || case.group == only);
        assert!(!cases.is_empty(), "no case and no group is called {only}");
    }
    // The slow cases go first, so that the run does not end with a wait for one of them.
    cases.sort_by_key(|case| std::cmp::Reverse(case.cost));
    let verbose = env::var_os("SOFTSTOP_PROBE_VERBOSE").is_some();

    let servers = servers();
    assert_alive(&servers, "before the run");
    let begin = Instant::now();
    let reports = play(&cases, &servers);
    let seconds = begin.elapsed().as_secs_f32();

    let mut missed = 0;
    for (case, report) in cases.iter().zip(&reports) {
        missed += usize::from(report.verdict != Verdict::Pass);
        if verbose || report.verdict != Verdict::Pass {
            eprintln!("{}", describe(case, report));
        }
    }
    let total = cases.len();
    eprintln!("{total} cases in {seconds:.1} s: {} pass, {missed} do not", total - missed);
    assert_alive(&servers, "after the run");
    assert!(missed == 0, "{missed} of {total} cases do not pass");
}

/// The reports, in the order of the cases.
fn play(cases: &[Case], servers: &Servers) -> Vec<Report> {
    let next = AtomicUsize::new(0);
    let worker = || {
        let numbers = std::iter::repeat_with(|| next.fetch_add(1, Ordering::Relaxed));
        let mine = numbers.map_while(|number| Some((number, cases.get(number)?)));
        mine.map(|(number, case)| (number, case.run(servers))).collect::<Vec<_>>()
    };
    let mut reports: Vec<(usize, Report)> = thread::scope(|scope| {
        let workers: Vec<_> = (0..WORKERS).map(|_| scope.spawn(worker)).collect();
        workers.into_iter().flat_map(|worker| worker.join().expect("a worker does not panic")).collect()
    });
    reports.sort_by_key(|(number, _)| *number);
    reports.into_iter().map(|(_, report)| report).collect()
}

fn describe(case: &Case, report: &Report) -> String {
    let Case { id, group, rfc, about, level, expect, .. } = case;
    let verdict = match (report.verdict, level) {
        (Verdict::Pass, _) => "PASS",
        (Verdict::Miss, Level::Must) => "FAIL",
        (Verdict::Warn, _) | (Verdict::Miss, Level::Should) => "WARN",
    };
    let wanted = expect.as_ref().map_or("to survive".to_owned(), |expect| expect.to_string());
    format!("{verdict} {group}/{id} [RFC {rfc}] {about}\n     wanted {wanted}\n     got    {}", report.seen)
}

/// Panics unless every role answers a plain request.
fn assert_alive(servers: &Servers, when: &str) {
    let baseline: Vec<After> = serde_json::from_str(include_str!("probe/baseline.json"))
        .unwrap_or_else(|error| panic!("tests/probe/baseline.json: {error}"));
    for exchange in baseline {
        // A machine under load may answer late once.
        let alive = (0..3).any(|_| {
            exchange.run(servers.address(exchange.role)).is_ok_and(|report| report.verdict == Verdict::Pass)
        });
        assert!(alive, "the {:?} role does not answer {when}", exchange.role);
    }
}

/// Whether the text fits a pattern in which `*` stands for any text and `?` for one byte.
fn fits(pattern: &[u8], text: &[u8]) -> bool {
    match (pattern, text) {
        ([], []) => true,
        ([b'*', after @ ..], _) => (0..=text.len()).any(|skipped| fits(after, &text[skipped..])),
        ([b'?', pattern @ ..], [_, text @ ..]) => fits(pattern, text),
        ([wanted, pattern @ ..], [byte, text @ ..]) => wanted == byte && fits(pattern, text),
        _ => false,
    }
}
