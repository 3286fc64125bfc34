//! What servers hand work on to: job queues, owners, buses. Jobs, calls and subscribers are held by gates; nothing is
//! waited for by the clock.
//!
//! Their concurrency is that of contexts, wait groups and crossbeam's channels. The first two have their models under
//! loom (`tests/loom.rs`), in which channels don't run; so these are stressed with real threads instead, where every
//! order has to add up.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod bus;
mod examples;
mod job_queue;
mod owner;
#[path = "../support/mod.rs"]
mod support;

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use support::{HUNG, until};

/// When a test that gets there has failed.
fn late() -> Instant {
    Instant::now() + HUNG * 2
}

/// Something that never happens by itself within a test.
const AN_HOUR: Duration = Duration::from_secs(3600);

/// Waits until the system has no thread of that name any more, or of one that begins with it and a space.
#[track_caller]
fn assert_no_thread(name: &str) {
    assert!(name.len() < 14, "the system tells 15 characters of a thread's name");
    if !cfg!(target_os = "linux") {
        return;
    }
    // A thread that was joined may still be listed for a moment.
    until("the threads are gone", || {
        let tasks = fs::read_dir("/proc/self/task").unwrap();
        let names = tasks.filter_map(|task| fs::read_to_string(task.ok()?.path().join("comm")).ok());
        names
            .map(|comm| comm.trim_end().to_owned())
            .all(|comm| comm.trim_end_matches(char::is_numeric).trim_end() != name)
    });
}

/// A program can make a pattern of its own in the same way as these are made.
#[test]
fn patterns_are_built_on_the_public_api() {
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src/patterns")];
    let mut files = 0;
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            files += 1;
            let text = fs::read_to_string(&path).unwrap();
            for (place, _) in text.match_indices("crate::") {
                let name = &text[place + "crate::".len()..];
                // Public names are at the root or in a public module. The exceptions are parts that every program can write
                // for itself: how a mutex is locked, a panic caught, a thread joined with a bound, and a line logged
                // without waiting for the logger.
                let is_public = name.starts_with(|first: char| first.is_uppercase() || first == '{')
                    || name.starts_with("group::");
                let helpers = ["sync::lock", "isolation::", "patterns::"];
                let is_helper = helpers.iter().any(|helper| name.starts_with(helper));
                assert!(is_public || is_helper, "{}: crate::{}", path.display(), &name[..name.len().min(40)]);
            }
        }
    }
    assert!(files > 5);
}
