//! The new process fails before it serves: nothing changes, and the reason is told.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use softstop::handover::HandoverErrorKind;

use crate::{
    stage::{Serving, Stage, is_zombie},
    support::{
        client::{Client, get},
        in_background, soon, until,
    },
};

/// The old process serves as if nothing had happened, and can be replaced.
#[track_caller]
fn serves_on(stage: &Stage, serving: &Serving) {
    let status = stage.status();
    assert_eq!((status.pid, status.generation, &*status.phase), (serving.program.id(), 1, "running"));
    assert_eq!(Client::once(serving.hello, get("/")).status, 200);
    stage.put_program();
    assert_eq!(stage.reload().unwrap().generation, 2);
    assert_eq!(Client::once(serving.hello, get("/")).status, 200);
}

#[test]
fn a_program_that_exits_is_named_with_its_last_lines() {
    let stage = Stage::new();
    let serving = stage.start(&[]);
    stage.put_script("for line in 1 2 3 4 5 6 7 8 9 10 11 12; do echo line $line >&2; done; exit 3");
    let failed = stage.ask(&["reload"]);
    assert_eq!(failed.status.code(), Some(1));
    let text = String::from_utf8(failed.stderr).unwrap();
    assert!(text.contains("ended before it served (exit status: 3)"), "{text}");
    assert!(text.contains("line 12") && text.contains("line 3\n") && !text.contains("line 2\n"), "{text}");
    serves_on(&stage, &serving);
}

#[test]
fn a_program_that_cannot_be_executed_is_named() {
    let stage = Stage::new();
    let serving = stage.start(&[]);
    std::fs::remove_file(stage.path("softstop")).unwrap();
    let error = stage.reload().unwrap_err();
    assert!(error.to_string().contains("cannot start"), "{error}");
    assert!(error.to_string().contains(stage.path("softstop").to_str().unwrap()), "{error}");
    serves_on(&stage, &serving);
}

#[test]
fn a_program_that_hangs_is_killed_and_reaped() {
    let stage = Stage::new();
    let serving = stage.start(&[]);
    let pid = stage.path("pid");
    stage.put_script(&format!("echo $$ > {}; exec sleep 1000", pid.display()));
    let began = Instant::now();
    let failed = stage.ask(&["reload", "--timeout", "300ms"]);
    assert_eq!(failed.status.code(), Some(1));
    assert!(began.elapsed() < Duration::from_secs(10));
    let text = String::from_utf8(failed.stderr).unwrap();
    assert!(text.contains("took too long"), "{text}");
    let pid: u32 = std::fs::read_to_string(pid).unwrap().trim().parse().unwrap();
    assert!(!Path::new(&format!("/proc/{pid}")).exists() && !is_zombie(pid));
    serves_on(&stage, &serving);
}

#[test]
fn a_program_that_talks_nonsense_is_ended() {
    for nonsense in ["hello", "softstop/2 takeover pid=1", "ready control=1 taken=0", "failed text="] {
        let stage = Stage::new();
        let serving = stage.start(&[]);
        stage.put_script(&format!("echo '{nonsense}' >&0; exec sleep 1000"));
        let error = stage.reload().unwrap_err();
        assert!(
            error.to_string().contains("softstop/1") || nonsense.starts_with("failed"),
            "{nonsense}: {error}"
        );
        serves_on(&stage, &serving);
    }
}

#[test]
fn a_program_that_dies_with_the_descriptors_changes_nothing() {
    let stage = Stage::new();
    let serving = stage.start(&[]);
    stage.put_script("echo 'softstop/1 takeover pid=1' >&0; read offer; kill -KILL $$");
    let error = stage.reload().unwrap_err();
    assert!(error.to_string().contains("signal: 9"), "{error}");
    serves_on(&stage, &serving);
}

#[test]
fn a_new_process_that_cannot_bind_says_so() {
    let stage = Stage::new();
    let serving = stage.start(&[]);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    stage.put_script(&format!(
        "exec {} serve --hello {address} --control {}",
        crate::program::PROGRAM,
        stage.path("control").display()
    ));
    let error = stage.reload().unwrap_err();
    assert!(error.to_string().contains(&format!("cannot listen on {address}")), "{error}");
    serves_on(&stage, &serving);
}

#[test]
fn a_stop_of_the_old_process_ends_the_new_one_first() {
    let stage = Stage::new();
    let mut serving = stage.start(&[]);
    let pid = stage.path("pid");
    stage.put_script(&format!("echo $$ > {}; exec sleep 1000", pid.display()));
    let control = stage.control();
    let reload = in_background(move || control.reload(Duration::from_secs(60), |_| {}));
    let read = || std::fs::read_to_string(&pid).unwrap_or_default();
    until("the new process runs", || read().ends_with('\n'));
    serving.program.signal("TERM");
    let error = soon(&reload).unwrap_err();
    assert!(error.to_string().contains("was asked to stop"), "{error}");
    serving.program.wait_for_line("hello: closed");
    let (status, log) = serving.program.wait();
    assert!(status.success(), "{log}");
    assert!(!Path::new(&format!("/proc/{}", read().trim())).exists());
    assert!(Client::try_connect(serving.hello).is_none(), "the listeners were closed");
    assert!(!stage.path("control").exists());
}

#[test]
fn one_handover_at_a_time_and_status_answers_meanwhile() {
    let stage = Stage::new();
    let serving = stage.start(&[]);
    stage.put_script("exec sleep 1000");
    let control = stage.control();
    let first = in_background(move || control.reload(Duration::from_secs(60), |_| {}));
    stage.wait_for("being replaced");
    let second = stage.reload().unwrap_err();
    assert!(second.to_string().contains("another handover is under way, for at most"), "{second}");
    let mut tool = stage.connect();
    tool.say("softstop/1 takeover pid=1");
    assert!(tool.line().starts_with("softstop/1 refused text=another%20handover"));
    assert_eq!(Client::once(serving.hello, get("/")).status, 200);
    serving.program.signal("TERM");
    assert!(soon(&first).is_err());
    let (status, log) = serving.program.wait();
    assert!(status.success(), "{log}");
}

#[test]
fn no_third_generation_while_the_first_one_drains() {
    let stage = Stage::new();
    let mut serving = stage.start(&["--grace", "20s"]);
    let mut slow = Client::connect(serving.hello);
    slow.send(get("/sleep?ms=1500"));
    until("the request is in flight", || {
        Client::once(serving.hello, get("/metrics"))
            .text()
            .contains("softstop_workers_busy{server=\"hello\"} 1")
    });
    stage.reload().unwrap();
    let error = stage.reload().unwrap_err();
    assert_eq!(error.kind(), HandoverErrorKind::Busy);
    assert!(
        error.to_string().contains("generation 1") && error.to_string().contains("still drains"),
        "{error}"
    );
    serving.program.wait_for_line("not replaced: generation 1");
    assert_eq!(slow.read_response().text(), "slept");
    drop(slow);
    until("generation 1 has ended", || stage.status().older.is_none());
    assert_eq!(stage.reload().unwrap().generation, 3);
}

/// The supervisor of both has to see the end of the new process, so the old one must not reap it. The thread that has accompanied
/// the handover must not spin.
#[test]
fn a_program_that_dies_after_yours_is_named_and_left_to_the_supervisor() {
    let stage = Stage::new();
    let mut serving = stage.start(&["--grace", "60s"]);
    let mut slow = Client::connect(serving.hello);
    slow.send(get("/sleep?ms=50000"));
    until("the request is in flight", || {
        Client::once(serving.hello, get("/metrics"))
            .text()
            .contains("softstop_workers_busy{server=\"hello\"} 1")
    });
    let pid = stage.path("pid");
    stage.put_script(&format!(
        "echo $$ > {}; echo 'softstop/1 takeover pid=1' >&0
         while read -r line; do case $line in
           offered*) echo 'ready control=0 taken=' >&0;;
           yours*) exit 3;;
         esac; done",
        pid.display()
    ));
    let error = stage.reload().unwrap_err();
    assert_eq!(error.kind(), HandoverErrorKind::Lost, "{error}");
    assert!(error.to_string().contains("(exit status: 3)"), "{error}");
    serving.program.wait_for_line("has ended (exit status: 3), while this one drains");
    let new = std::fs::read_to_string(pid).unwrap().trim().parse().unwrap();
    let tasks = format!("/proc/{}/task", serving.program.id());
    let threads = || -> Vec<String> {
        let tasks = std::fs::read_dir(&tasks).unwrap().flatten();
        tasks.filter_map(|task| std::fs::read_to_string(task.path().join("comm")).ok()).collect()
    };
    until("the thread has ended", || !threads().iter().any(|name| name.trim() == "handover"));
    assert!(!threads().is_empty(), "the old process still drains");
    assert!(is_zombie(new));
}

#[test]
fn listeners_come_back_from_a_tool_that_gives_up_late() {
    let stage = Stage::new();
    let mut serving = stage.start(&[]);
    let mut tool = stage.connect();
    tool.say("softstop/1 takeover pid=1");
    tool.wait_for("offered");
    tool.say("nonsense");
    tool.wait_for("cancelled");
    serving.program.wait_for_line("does not end");
    stage.wait_for("running");
    tool.say("more nonsense");
    drop(tool);
    serving.program.wait_for_line("the listeners belong to this process alone");
    serves_on(&stage, &serving);
}
