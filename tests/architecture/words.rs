//! Invariants of ARCHITECTURE.md about words that do not occur in the source.
use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
};

fn sources(folder: &str) -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut found = Vec::new();
    let mut folders = vec![root];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    found
}

/// The code of a file without comments and unit tests.
fn code(path: &Path) -> String {
    if ["tests.rs", "models.rs"].iter().any(|tests| path.file_name() == Some(OsStr::new(tests))) {
        return String::new();
    }
    let text = fs::read_to_string(path).unwrap();
    let tests = [
        "#[cfg(test)]\nmod tests",
        "#[cfg(all(test, target_os = \"linux\"))]\nmod tests",
        "#[cfg(all(test, not(loom)))]\nmod tests",
        "#[cfg(all(test, loom))]\nmod models",
    ];
    let end = tests.iter().filter_map(|start| text.find(start)).min().unwrap_or(text.len());
    text[..end].lines().map(|line| line.split("//").next().unwrap_or("")).collect::<Vec<_>>().join("\n")
}

#[track_caller]
fn assert_absent(files: &[PathBuf], words: &[&str]) {
    assert!(!files.is_empty());
    for path in files {
        let code = code(path);
        for word in words {
            assert!(!code.contains(word), "{} mentions {word}", path.display());
        }
    }
}

#[test]
fn only_net_knows_mio() {
    // `softstop bench` is not part of the server, because it contains other accept loops. `internals.rs` is not part of
    // the server either, because the benchmarks put a poll around a mailbox there.
    let is_exempt = |part: &OsStr| part == "net" || part == "bench" || part == "internals.rs";
    let outside = |path: &PathBuf| !path.components().any(|part| is_exempt(part.as_os_str()));
    let files: Vec<PathBuf> = sources("src").into_iter().filter(outside).collect();
    // A `Token` is allowed, because the pool passes it through as the name of a connection.
    for path in &files {
        let code = code(path).replace("use mio::Token;", "");
        assert!(!code.contains("mio::"), "{} knows mio", path.display());
    }
}

#[test]
fn nobody_sleeps_or_polls_by_the_clock() {
    assert_absent(
        &sources("src"),
        &["thread::sleep", "park_timeout", "recv_timeout", "yield_now", "spin_loop"],
    );
}

/// User code is called and dropped only where its panic is caught. The `Drop` of a panic payload is user code too.
#[test]
fn only_one_place_catches_panics() {
    let others = |path: &PathBuf| !path.ends_with("src/isolation/contain.rs");
    let files: Vec<PathBuf> = sources("src").into_iter().filter(others).collect();
    assert_absent(&files, &["catch_unwind", "AssertUnwindSafe"]);
}

/// The library's log lines are written by a thread of their own. The program is not part of the library.
#[test]
fn nobody_waits_for_a_logger() {
    let is_exempt = |path: &PathBuf| path.components().any(|part| part.as_os_str() == "cli");
    let files: Vec<PathBuf> = sources("src").into_iter().filter(|path| !is_exempt(path)).collect();
    let macros = ["log::error!", "log::warn!", "log::info!", "log::debug!", "log::log!"];
    assert_absent(&files, &macros);
}

#[test]
fn nothing_from_outside_is_unwrapped() {
    assert_absent(&sources("src"), &[".unwrap()", "todo!", "unimplemented!"]);
}
