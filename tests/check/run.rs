//! Runs the program to its end, and keeps its exit status, its printed text and its JSON result.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::atomic::{AtomicUsize, Ordering},
};

use serde_json::Value;

use crate::program::Program;

/// A run that has ended.
pub(crate) struct Run {
    pub(crate) status: Option<i32>,
    /// Standard output, then standard error.
    pub(crate) text: String,
    /// `Null` if the program wrote no result.
    pub(crate) json: Value,
}

/// The path of a file that only this test uses.
pub(crate) fn temporary(name: &str) -> PathBuf {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    env::temp_dir().join(format!("softstop-check-{}-{number}-{name}", std::process::id()))
}

pub(crate) fn command(arguments: &[&str]) -> Command {
    Program::command(&[&["check"], arguments].concat())
}

pub(crate) fn text(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).into_owned()
}

/// Runs `softstop check` with these options and this server.
pub(crate) fn check(options: &[&str], server: &[&str]) -> Run {
    let file = temporary("result.json");
    let json = file.to_str().unwrap();
    let arguments = [options, &["--json", json, "--"], server].concat();
    let output = command(&arguments).output().unwrap();
    let json = fs::read_to_string(&file).ok().and_then(|text| serde_json::from_str(&text).ok());
    _ = fs::remove_file(&file);
    Run { status: output.status.code(), text: text(&output), json: json.unwrap_or(Value::Null) }
}

impl Run {
    /// The verdict of one check, and the text of its observation.
    #[track_caller]
    pub(crate) fn verdict(&self, id: &str) -> (&str, &str) {
        let check = self.checks().iter().find(|check| check["id"] == id);
        let check = check.unwrap_or_else(|| panic!("no {id}: {}", self.text));
        (check["verdict"].as_str().unwrap(), check["seen"].as_str().unwrap())
    }

    pub(crate) fn checks(&self) -> &Vec<Value> {
        self.json["checks"].as_array().unwrap_or_else(|| panic!("no result: {}", self.text))
    }

    /// The checks with this verdict.
    pub(crate) fn with(&self, verdict: &str) -> Vec<&str> {
        let found = self.checks().iter().filter(|check| check["verdict"] == verdict);
        found.map(|check| check["id"].as_str().unwrap()).collect()
    }
}

/// The path of an example that `cargo test` has built beside the tests.
pub(crate) fn example(name: &str) -> String {
    let tests = env::current_exe().unwrap();
    let profile = tests.parent().and_then(Path::parent).unwrap();
    let program = profile.join("examples").join(name).with_extension(env::consts::EXE_EXTENSION);
    assert!(program.exists(), "{} is built by `cargo build --examples`", program.display());
    program.to_str().unwrap().to_owned()
}
