//! Counts the threads and the descriptors of the process.

use std::fs;

/// The number of threads.
pub(crate) fn threads() -> usize {
    entries("/proc/self/task")
}

/// The number of open descriptors, including the one that reads the list.
pub(crate) fn descriptors() -> usize {
    entries("/proc/self/fd")
}

fn entries(directory: &str) -> usize {
    fs::read_dir(directory).unwrap().count()
}
