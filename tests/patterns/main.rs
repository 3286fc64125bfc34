//! The patterns to which servers hand work on: job queues, owners and buses. Gates hold the jobs, calls and
//! subscribers. No test waits for a time to pass.
//!
//! Contexts, wait groups and crossbeam's channels make the patterns safe for many threads. Contexts and wait groups
//! have models under loom (`tests/loom.rs`). Channels do not run under loom. So the patterns are tested with many real
//! threads instead, and the counts must be right in every order.
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

/// A deadline that only a failing test reaches.
fn late() -> Instant {
    Instant::now() + HUNG * 2
}

/// A time that never passes within a test.
const AN_HOUR: Duration = Duration::from_secs(3600);

/// Waits until the system has no thread with this name, and none whose name begins with this name and a space.
#[track_caller]
fn assert_no_thread(name: &str) {
    assert!(name.len() < 14, "the system keeps 15 characters of a thread's name");
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

/// A program can make a pattern of its own in the same way as these patterns are made.
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
                // Public names are at the root or in a public module. The exceptions are parts that every program can
                // write for itself: to lock a mutex, to catch a panic, to join a thread with a bound, and to log a line
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
