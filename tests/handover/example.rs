//! The program of examples/replaceable.rs is replaced, asked and stopped, as the page Deploying says.

use std::process::{Command, Stdio};

use softstop::handover::Control;

use crate::{
    program::{PROGRAM, Process},
    support::{
        HUNG,
        client::{Client, get},
        until,
    },
};

#[test]
fn the_example_is_replaced_and_stopped() {
    let folder = std::env::temp_dir().join(format!("softstop-replaceable-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("control");
    let example = std::path::Path::new(PROGRAM).with_file_name("examples").join("replaceable");
    let mut command = Command::new(example);
    command.arg(&path).arg("127.0.0.1:0").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut old = Process(command.spawn().expect("`cargo test` builds the examples"));
    let control = Control::at(&path);
    until("the example serves", || control.status().is_ok_and(|status| status.phase == "running"));
    let status = control.status().unwrap();
    let address = status.servers[0].addresses[0].parse().unwrap();
    let greeting = |generation, pid| format!("generation {generation}, pid {pid}\n");
    assert_eq!(Client::once(address, get("/")).text(), greeting(1, status.pid));

    let replaced = control.reload(HUNG, |_| {}).unwrap();
    assert_eq!(Client::once(address, get("/")).text(), greeting(2, replaced.pid));
    assert!(old.wait().success());
    let stop = Command::new(PROGRAM).args(["stop", "--control"]).arg(&path).output().unwrap();
    assert!(stop.status.success(), "{stop:?}");
    assert!(control.status().is_err());
    std::fs::remove_dir_all(folder).unwrap();
}
