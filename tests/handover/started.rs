//! However the program was started, it finds its successor.

use std::{os::unix::process::CommandExt, process::Command};

use crate::{
    program::{FREE, PROGRAM, Program},
    stage::Stage,
    support::{
        client::{Client, get},
        until,
    },
};

/// The path of the program that runs as this process.
fn program_of(pid: u32) -> std::path::PathBuf {
    std::fs::read_link(format!("/proc/{pid}/exe")).unwrap()
}

#[track_caller]
fn is_replaced_twice(stage: &Stage, command: Command) {
    let serving = stage.start_as(command, &[], FREE);
    for generation in [2, 3] {
        let replaced = stage.reload().unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(replaced.generation, generation);
        assert_eq!(Client::once(serving.hello, get("/")).status, 200);
        until("the old process has ended", || stage.status().older.is_none());
    }
}

#[test]
fn by_a_relative_path() {
    let stage = Stage::new();
    let mut command = Command::new("./softstop");
    command.current_dir(&stage.folder).env_remove("SOFTSTOP_LOG");
    is_replaced_twice(&stage, command);
}

#[test]
fn by_a_name_in_the_path() {
    let stage = Stage::new();
    let mut command = Command::new("sh");
    let path = format!("{}:{}", stage.folder.display(), std::env::var("PATH").unwrap());
    command.args(["-c", "exec softstop \"$@\"", "sh"]).env("PATH", path);
    is_replaced_twice(&stage, command);
}

#[test]
fn by_a_name_that_is_no_file() {
    let stage = Stage::new();
    let mut command = stage.command();
    command.arg0("a server of mine");
    is_replaced_twice(&stage, command);
}

/// The link leads to another release by then.
#[test]
fn by_a_link_that_was_changed() {
    let stage = Stage::new();
    let link = stage.path("current");
    std::os::unix::fs::symlink("softstop", &link).unwrap();
    let _serving = stage.start_as(Command::new(&link), &[], FREE);
    stage.put_copy("release 2");
    std::fs::remove_file(&link).unwrap();
    std::os::unix::fs::symlink("release 2", &link).unwrap();
    let replaced = stage.reload().unwrap();
    assert_eq!(program_of(replaced.pid), stage.path("release 2"));
}

#[test]
fn when_the_binary_was_replaced_on_disk() {
    let stage = Stage::new();
    let serving = stage.start(&[]);
    stage.put_copy("new");
    std::fs::rename(stage.path("new"), stage.path("softstop")).unwrap();
    assert!(program_of(serving.program.id()).to_string_lossy().ends_with("(deleted)"));
    let replaced = stage.reload().unwrap();
    assert_eq!(program_of(replaced.pid), stage.path("softstop"));
}

/// The new process may open too few files for what it is given.
#[test]
fn when_the_new_process_has_no_descriptor_left_it_says_so() {
    let stage = Stage::new();
    let serving = stage.start(&[]);
    // Standard streams, the copy of standard input, and one more.
    stage.put_script(&format!("ulimit -n 5; exec {PROGRAM} \"$@\""));
    let error = stage.reload().unwrap_err();
    let text = error.to_string();
    assert!(text.contains("limit of open files") || text.contains("ended before it served"), "{text}");
    assert_eq!(stage.status().pid, serving.program.id());
    assert_eq!(Client::once(serving.hello, get("/")).status, 200);
}

#[test]
fn check_reads_everything_and_binds_nothing() {
    let stage = Stage::new();
    let serving = stage.start(&[]);
    let hello = serving.hello.to_string();
    let check = |arguments: &[&str]| {
        let output = Command::new(PROGRAM).arg("serve").arg("--check").args(arguments).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    assert_eq!(
        check(&["--hello", &hello]),
        (Some(0), String::new()),
        "an address that is in use is not bound"
    );
    for (arguments, expected) in [
        (["--hello", ":7000", "--name", ":7000"], "name: cannot listen on :7000: hello listens there"),
        (["--hello", ":0", "--control", "/no such folder/control"], "cannot make the control socket"),
        (["--hello", ":0", "--pid-file", "/no such folder/pid"], "cannot make the pid file"),
    ] {
        let (code, text) = check(&arguments);
        assert_eq!(code, Some(1), "{text}");
        assert!(text.contains(expected), "{text}");
    }
    let (code, text) = check(&["--hello", "fd:web"]);
    assert_eq!(code, Some(0));
    assert!(text.contains("hello: fd:web was not checked"), "{text}");
    let (code, text) = check(&["--echo", "8080"]);
    assert_eq!(code, Some(1));
    assert!(text.contains("echo: cannot listen on 8080: write host:port"), "{text}");
}

#[test]
fn a_process_that_cannot_take_over_leaves_no_pid_file() {
    let stage = Stage::new();
    let pid_file = stage.path("pids/pid");
    std::fs::create_dir(stage.path("pids")).unwrap();
    let mut command = Command::new(PROGRAM);
    command.args(["serve", "--takeover", "/nonexistent", "--pid-file"]).arg(&pid_file);
    let (status, log) = Program::start_as(command, &[], FREE).wait();
    assert_eq!(status.code(), Some(1), "{log}");
    assert_eq!(std::fs::read_dir(stage.path("pids")).unwrap().count(), 0);
}

#[test]
fn a_successor_follows_the_link_of_the_working_directory_anew() {
    let stage = Stage::new();
    let current = stage.path("current");
    let point_to = |version: &str| {
        _ = std::fs::create_dir(stage.path(version));
        _ = std::fs::remove_file(&current);
        std::os::unix::fs::symlink(stage.path(version), &current).unwrap();
    };
    point_to("v1");
    let mut command = stage.command();
    command.current_dir(&current).env("PWD", &current);
    let mut serving = stage.start_as(command, &[], FREE);
    point_to("v2");
    let replaced = stage.reload().unwrap_or_else(|error| panic!("{error}"));
    let directory = std::fs::read_link(format!("/proc/{}/cwd", replaced.pid)).unwrap();
    assert_eq!(directory, stage.path("v2"));
    serving.has_ended();
    until("the old process is forgotten", || stage.status().older.is_none());

    std::fs::remove_file(&current).unwrap();
    let text = stage.reload().unwrap_err().to_string();
    assert!(text.contains("the working directory") && text.contains("cannot be entered"), "{text}");
}

#[test]
fn a_pid_file_that_cannot_be_written_is_an_error_before_anything_serves() {
    let mut command = Command::new(PROGRAM);
    command.args(["serve", "--pid-file", "/no such folder/pid"]);
    let (status, log) = Program::start_as(command, &[], FREE).wait();
    assert_eq!(status.code(), Some(1));
    assert!(log.contains("cannot write the pid file") && !log.contains("listening"), "{log}");
}
