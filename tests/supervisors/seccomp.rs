//! The shipped filter of system calls, loaded for a program that is started, serves, is replaced and stops. In place of an error, a
//! call that the filter does not list ends the process here, so that no missing call stays unseen.

use std::{collections::BTreeMap, fs, path::Path, thread};

use seccompiler::{BpfProgram, TargetArch, apply_filter, compile_from_json};
use serde_json::{Value, json};

use crate::{
    program::{FREE, Program},
    support::{client::Client, until},
};

fn compile(rules: &[Value]) -> Option<BpfProgram> {
    let filter = json!({
        "program": { "mismatch_action": "kill_process", "match_action": "allow", "filter": rules }
    });
    let arch: TargetArch = std::env::consts::ARCH.try_into().unwrap();
    let mut programs: BTreeMap<_, _> =
        compile_from_json(filter.to_string().as_bytes(), arch).ok()?.into_iter().collect();
    programs.remove("program")
}

/// The shipped profile, which is in Docker's format, without the calls that this architecture does not have.
fn shipped() -> BpfProgram {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/seccomp.json");
    let profile: Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    assert_eq!(profile["defaultAction"], "SCMP_ACT_ERRNO");
    let mut rules = Vec::new();
    for entry in profile["syscalls"].as_array().unwrap() {
        assert_eq!(entry["action"], "SCMP_ACT_ALLOW");
        for name in entry["names"].as_array().unwrap() {
            let arguments = entry["args"].as_array().into_iter().flatten().map(|argument| {
                assert_eq!(argument["op"], "SCMP_CMP_EQ");
                json!({ "index": argument["index"], "type": "dword", "op": "eq", "val": argument["value"] })
            });
            let arguments: Vec<Value> = arguments.collect();
            rules.push(match arguments.is_empty() {
                true => json!({ "syscall": name }),
                false => json!({ "syscall": name, "args": arguments }),
            });
        }
    }
    let all = rules.len();
    rules.retain(|rule| compile(std::slice::from_ref(rule)).is_some());
    assert!(rules.len() * 10 > all * 7, "most names are known here: {} of {all}", rules.len());
    compile(&rules).unwrap()
}

/// Starts the program inside of the filter. The thread that starts it is inside, too, and ends.
fn start(arguments: &'static [&'static str], command: fn() -> std::process::Command) -> Program {
    let filter = shipped();
    let inside = thread::spawn(move || {
        apply_filter(&filter).unwrap();
        Program::start_as(command(), arguments, FREE)
    });
    inside.join().unwrap()
}

#[test]
fn the_program_serves_and_stops_inside_of_the_shipped_filter() {
    let mut program = start(&["--admin", "127.0.0.1:0", "--grace", "20s"], || Program::command(&[]));
    let mut client = Client::connect(program.address("hello"));
    assert_eq!(client.get("/").status, 200);
    assert_eq!(client.get("/sleep?ms=10").text(), "slept");
    let mut echo = Client::connect(program.address("echo"));
    echo.send(crate::support::client::post("/", &vec![b'x'; 100_000]));
    assert_eq!(echo.read_response().body.len(), 100_000);
    client.send("GET /sleep?ms=1500 HTTP/1.1\r\nHost: x\r\n\r\n");
    let mut other = Client::connect(program.address("hello"));
    until("a worker is busy", || {
        other.get("/metrics").text().contains("softstop_workers_busy{server=\"hello\"} 1")
    });
    program.signal("TERM");
    assert_eq!(client.read_response().text(), "slept");
    let (status, log) = program.wait();
    assert_eq!(status.code(), Some(0), "{status} {log}");
    assert!(!log.contains("WARN"), "{log}");
}

#[test]
fn the_program_is_replaced_inside_of_the_shipped_filter() {
    let control = std::env::temp_dir().join(format!("softstop-seccomp-{}", std::process::id()));
    let mut program = start(&["--grace", "20s"], || {
        let control = std::env::temp_dir().join(format!("softstop-seccomp-{}", std::process::id()));
        Program::command(&["--control", control.to_str().unwrap()])
    });
    let hello = program.address("hello");
    let control_option = ["--control", control.to_str().unwrap()];
    let tell = |what: &str| {
        let output = Program::command(&[&[what], &control_option[..]].concat()).output().unwrap();
        assert!(output.status.success(), "{what}: {output:?}");
    };
    tell("reload");
    assert!(program.process.wait().success());
    assert_eq!(Client::connect(hello).get("/").status, 200);
    tell("stop");
}

/// The filter does filter: without this, the tests above could not fail.
#[test]
fn a_call_that_is_not_listed_ends_the_process() {
    let filter = shipped();
    let status = thread::spawn(move || {
        apply_filter(&filter).unwrap();
        std::process::Command::new("unshare").args(["--user", "true"]).status().unwrap()
    });
    let status = status.join().unwrap();
    // SIGSYS
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(31), "{status}");
}
