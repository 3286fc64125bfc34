//! The system has no more threads. A loop that needs a thread for each request logs two lines in all, not one for each
//! request.
#![cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::{collections::BTreeMap, sync::Mutex};

use log::{LevelFilter, Log, Metadata, Record};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, apply_filter};
use softstop::{Request, Router, route};
use support::{
    client::{Client, get},
    local, patient, start,
};

const EAGAIN: u32 = 11;
const CLONE: i64 = if cfg!(target_arch = "x86_64") { 56 } else { 220 };
const CLONE3: i64 = 435;
const REQUESTS: usize = 20;

struct Lines(Mutex<Vec<String>>);

static LINES: Lines = Lines(Mutex::new(Vec::new()));

impl Log for Lines {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        self.0.lock().unwrap().push(record.args().to_string());
    }

    fn flush(&self) {}
}

/// From the first call on, the calling thread cannot start another thread.
fn forbid_threads(_: &Request) -> &'static str {
    let filter = SeccompFilter::new(
        BTreeMap::from([(CLONE, Vec::new()), (CLONE3, Vec::new())]),
        SeccompAction::Allow,
        SeccompAction::Errno(EAGAIN),
        std::env::consts::ARCH.try_into().unwrap(),
    );
    let program: BpfProgram = filter.unwrap().try_into().unwrap();
    apply_filter(&program).unwrap();
    "forbidden"
}

#[test]
fn a_lack_of_threads_is_logged_once_and_summed_up() {
    log::set_logger(&LINES).unwrap();
    log::set_max_level(LevelFilter::Warn);
    let routes =
        Router::new().get("/forbid", route(forbid_threads).inline()).get("/", |_: &Request| "served");
    let (server, address) = start(local().loops(1).routes(routes));
    let mut client = Client::connect(address);
    assert_eq!(client.get("/forbid").text(), "forbidden");
    for _ in 0..REQUESTS {
        assert_eq!(Client::once(address, get("/")).status, 503);
    }
    drop(client);
    assert!(server.stop(patient()).is_clean());
    let lines = LINES.0.lock().unwrap();
    assert_eq!(lines.len(), 2, "{lines:#?}");
    assert!(lines[0].contains("no further worker thread"), "{lines:#?}");
    let (before, _) = lines[1].split_once(" threads were lacking since the last line").unwrap();
    let times: usize = before.rsplit(' ').next().unwrap().parse().unwrap();
    assert!(times >= REQUESTS - 1, "{lines:#?}");
}
