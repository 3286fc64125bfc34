//! What the process has of threads and descriptors.

use std::fs;

/// The threads of this process.
pub(crate) fn threads() -> usize {
    entries("/proc/self/task")
}

/// The open descriptors of this process, the one that reads the list included.
pub(crate) fn descriptors() -> usize {
    entries("/proc/self/fd")
}

fn entries(directory: &str) -> usize {
    fs::read_dir(directory).unwrap().count()
}
