//! What the library says to a program that asks at the wrong time.

use std::sync::mpsc;

use softstop::{
    Group, Router, Server, StopPolicy,
    handover::{HandoverErrorKind, HandoverEvent, Replacement},
};

use crate::support::{in_background, soon};

fn server() -> Server {
    Server::builder().name("tested").listen("127.0.0.1:0").routes(Router::new()).build()
}

#[test]
fn a_group_that_was_not_prepared_cannot_be_replaced() {
    let error = Group::new().handle().replace(Replacement::default()).unwrap_err();
    assert_eq!(error.kind(), HandoverErrorKind::Misuse);
    assert!(error.to_string().contains("Group::replaceable"), "{error}");
}

#[test]
fn a_group_that_does_not_run_cannot_be_replaced() {
    let group = Group::new().replaceable();
    let error = group.handle().replace(Replacement::default()).unwrap_err();
    assert_eq!(error.kind(), HandoverErrorKind::Busy);
}

#[test]
fn a_program_that_fails_is_an_event_and_an_error_and_the_group_serves_on() {
    let (sender, events) = mpsc::channel();
    let group = Group::new().replaceable().server(server()).on_handover(move |event| {
        _ = sender.send(event.clone());
    });
    let handle = group.handle();
    let ran = in_background(move || group.run());
    assert!(matches!(soon(&events), HandoverEvent::InCharge { generation: 1, from: None, .. }));
    let mut command = std::process::Command::new("sh");
    command.args(["-c", "echo no configuration >&2; exit 1"]);
    let error = handle.replace(Replacement::default().command(command)).unwrap_err();
    assert_eq!(
        (error.kind(), error.output()),
        (HandoverErrorKind::Exited, &["no configuration".to_owned()][..])
    );
    assert!(matches!(soon(&events), HandoverEvent::Failed { .. }));
    handle.request_stop(StopPolicy::default());
    assert!(soon(&ran).unwrap().is_clean());
    let error = handle.replace(Replacement::default()).unwrap_err();
    assert_eq!(error.kind(), HandoverErrorKind::Stopping);
}

#[test]
fn a_callback_that_panics_ends_nothing() {
    let group = Group::new().replaceable().server(server()).on_handover(|event| panic!("told of {event:?}"));
    let handle = group.handle();
    handle.request_stop(StopPolicy::default());
    assert!(group.run().unwrap().is_clean());
}

/// The first event comes while the group starts, and the second one while the new process initialises.
#[test]
fn a_callback_that_blocks_holds_up_no_stop() {
    for blocked in ["InCharge", "Offered"] {
        let (begun, began) = mpsc::channel();
        let (release, held) = mpsc::channel::<()>();
        let held = std::sync::Mutex::new(held);
        let (sender, events) = mpsc::channel();
        let group = Group::new().replaceable().server(server()).on_handover(move |event| {
            _ = sender.send(());
            if format!("{event:?}").starts_with(blocked) {
                _ = begun.send(());
                _ = held.lock().unwrap().recv();
            }
        });
        let handle = group.handle();
        let ran = in_background(move || group.run());
        let mut failed = None;
        if blocked == "Offered" {
            let handle = handle.clone();
            let mut command = std::process::Command::new("sh");
            command.args(["-c", "echo 'softstop/1 takeover pid=1' >&0; exec sleep 1000"]);
            soon(&events);
            failed = Some(in_background(move || handle.replace(Replacement::default().command(command))));
        }
        soon(&began);
        handle.request_stop(StopPolicy::default());
        assert!(soon(&ran).unwrap().is_clean());
        if let Some(failed) = failed {
            assert_eq!(soon(&failed).unwrap_err().kind(), HandoverErrorKind::Stopping);
        }
        drop(release);
    }
}

#[test]
fn an_event_loop_must_not_wait_for_a_new_process() {
    let group = Group::new().replaceable();
    let handle = group.handle();
    let (sender, said) = mpsc::channel();
    let routes = Router::new().get(
        "/",
        softstop::route({
            let handle = handle.clone();
            move |_| {
                _ = sender.send(handle.replace(Replacement::default()).unwrap_err().kind());
                "done"
            }
        })
        .inline(),
    );
    let server = Server::builder().listen("127.0.0.1:0").routes(routes).build();
    let of_server = server.handle();
    let group = group.server(server);
    let ran = in_background(move || group.run());
    crate::support::until("it listens", || !of_server.socket_addrs().is_empty());
    let mut client = crate::support::client::Client::connect(of_server.socket_addrs()[0]);
    assert_eq!(client.get("/").text(), "done");
    assert_eq!(soon(&said), HandoverErrorKind::Misuse);
    drop(client);
    handle.request_stop(StopPolicy::default());
    assert!(soon(&ran).is_ok());
}
