//! What the program tells systemd of a handover. systemd listens to the main process alone (`NotifyAccess=main`), so the order matters.

use std::time::Duration;

use crate::{
    receiver::Receiver,
    stage::Stage,
    support::{in_background, soon},
};

#[test]
fn the_supervisor_hears_of_the_new_main_process_from_the_old_one() {
    let stage = Stage::new();
    let receiver = Receiver::new();
    let mut command = stage.command();
    command.env("NOTIFY_SOCKET", &receiver.path);
    let mut old = stage.start_as(command, &[], crate::program::FREE);
    assert_eq!(receiver.message(), "READY=1\nSTATUS=serving");
    let new = stage.reload().unwrap().pid;
    let reloading = receiver.message();
    assert!(reloading.starts_with("RELOADING=1\nMONOTONIC_USEC="), "{reloading}");
    assert_eq!(receiver.message(), format!("MAINPID={new}\nREADY=1"), "the last message of the old process");
    assert_eq!(receiver.message(), "READY=1\nSTATUS=serving", "the first message of the new process");
    old.has_ended();
    assert!(stage.ask(&["stop"]).status.success());
    assert_eq!(receiver.message(), "STOPPING=1\nSTATUS=stopping", "the old process has not said so");
}

#[test]
fn a_handover_that_fails_is_a_reload_that_is_over() {
    let stage = Stage::new();
    let receiver = Receiver::new();
    let mut command = stage.command();
    command.env("NOTIFY_SOCKET", &receiver.path);
    let _old = stage.start_as(command, &[], crate::program::FREE);
    receiver.wait_for("READY=1");
    // This process is offered the listeners, and never says that it is ready.
    stage.put_script("echo 'softstop/1 takeover pid=1' >&0; exec sleep 1000");
    let control = stage.control();
    let reload = in_background(move || control.reload(Duration::from_millis(300), |_| {}));
    receiver.wait_for("RELOADING=1");
    soon(&reload).unwrap_err();
    assert_eq!(receiver.message(), "READY=1\nSTATUS=serving");
    stage.put_program();
    let new = stage.reload().unwrap().pid;
    receiver.wait_for(&format!("MAINPID={new}"));
}
