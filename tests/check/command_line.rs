//! The options and exit statuses of `softstop check`. No process is left running.

use std::{
    fs,
    io::{BufRead, BufReader},
    process::{Command, Stdio},
};

use crate::run::{check, command, example, temporary, text};

#[test]
fn a_command_line_that_makes_no_sense_is_refused() {
    for (arguments, expected) in [
        (&["--unheard-of"][..], "unexpected"),
        (&[], "which server"),
        (&["--only", "nothing", "--", "true"], "nothing"),
        (&["--signal", "NONE", "--", "true"], "TERM"),
        (&["--slow", "slow", "--", "true"], "begin with /"),
        (&["--url", "https://127.0.0.1/", "--", "true"], "http://"),
        (&["--config", "/nowhere/at/all", "--", "true"], "/nowhere/at/all"),
    ] {
        let output = command(arguments).output().unwrap();
        let text = text(&output);
        assert_eq!(output.status.code(), Some(64), "{arguments:?}: {text}");
        assert!(text.contains(expected), "{arguments:?}: {text}");
    }
}

#[test]
fn the_example_configuration_is_one() {
    let output = command(&["--example-config"]).output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    let file = temporary("config.toml");
    fs::write(&file, &output.stdout).unwrap();
    let config = file.to_str().unwrap();
    // The server's command does not exist. The program finds out only after it has read the file.
    let run = check(&["--config", config], &["/nowhere/at/all"]);
    assert_eq!(run.status, Some(1), "{}", run.text);
    assert!(run.text.contains("/nowhere/at/all"), "{}", run.text);
    fs::remove_file(file).unwrap();
}

#[test]
fn every_check_is_listed_with_its_rule_and_documented() {
    let output = command(&["--list"]).output().unwrap();
    let text = text(&output);
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(text.contains("accept-queue") && text.contains("RFC 9112"), "{text}");
    let document = include_str!("../../docs/check.md");
    for line in text.lines().filter(|line| !line.starts_with(' ') && !line.is_empty()) {
        let (id, _) = line.split_once("  ").unwrap();
        assert!(document.contains(&format!("`{id}`")), "docs/check.md does not have {id}");
    }
}

#[test]
fn a_server_that_does_not_start_cannot_be_judged() {
    let run = check(&["--start-within", "10s"], &["sh", "-c", "echo a word of farewell >&2; exit 3"]);
    assert_eq!(run.status, Some(1), "{}", run.text);
    assert!(run.text.contains("a word of farewell") && run.text.contains("exit status 3"), "{}", run.text);
    assert_eq!(run.with("fail"), ["starts"], "{}", run.text);
    assert!(run.verdict("ends").1.contains("starts"), "the check names the cause: {}", run.text);
}

#[test]
fn a_failure_is_status_2_unless_the_baseline_has_it() {
    let (faulty, only) = (example("faulty"), ["--only", "exit-status"]);
    let server = [&*faulty, "{port}", "exits-1"];
    let run = check(&only, &server);
    assert_eq!(run.status, Some(2), "{}", run.text);
    assert_eq!(run.verdict("exit-status"), ("fail", "exit status 1"));
    let file = temporary("baseline.json");
    fs::write(&file, run.json.to_string()).unwrap();
    let known = check(&[&only[..], &["--baseline", file.to_str().unwrap()]].concat(), &server);
    assert_eq!(known.status, Some(0), "{}", known.text);
    assert!(known.text.contains("known"), "{}", known.text);
    fs::remove_file(file).unwrap();
}

/// The test finds the servers by a variable in their environment, which this test alone uses.
#[test]
fn an_interruption_leaves_nothing_running() {
    for signal in ["INT", "TERM"] {
        let mark = format!("SOFTSTOP_CHECK_MARK={}-{signal}", std::process::id());
        let (name, value) = mark.split_once('=').unwrap();
        let faulty = example("faulty");
        let script = "setsid sleep 600 & echo started; exec \"$0\" \"$@\"";
        // `check` keeps the server's output, so the script writes its first line to a pipe of this test.
        let started = temporary("started");
        let pipe = Command::new("mkfifo").arg(&started).status().unwrap();
        assert!(pipe.success());
        let script = script.replace("echo started", &format!("echo started > {}", started.display()));
        let mut command = command(&["--", "sh", "-c", &script, &faulty, "{port}", "never-dies"]);
        let mut program =
            command.env(name, value).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        // Opening the pipe blocks until the server has opened the pipe too, so the server runs now.
        let mut line = String::new();
        BufReader::new(fs::File::open(&started).unwrap()).read_line(&mut line).unwrap();
        let kill = Command::new("kill").args(["-s", signal, &program.id().to_string()]).status().unwrap();
        assert!(kill.success());
        assert_eq!(program.wait().unwrap().code(), Some(1));
        assert_eq!(processes_with(&mark), Vec::<String>::new());
        fs::remove_file(started).unwrap();
    }
}

/// The living processes whose environment has this entry.
fn processes_with(mark: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let environment = fs::read(entry.path().join("environ")).unwrap_or_default();
        if environment.split(|&byte| byte == 0).any(|variable| variable == mark.as_bytes()) {
            let command = fs::read_to_string(entry.path().join("cmdline")).unwrap_or_default();
            found.push(format!("{:?}: {command}", entry.file_name()));
        }
    }
    found
}
