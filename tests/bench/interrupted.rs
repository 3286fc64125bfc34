//! A signal in the middle of a bench. The bench ends soon, and reports the results so far.

use std::{
    io::Read,
    net::TcpListener,
    process::{Command, Stdio},
    sync::mpsc,
};

use serde_json::Value;
use softstop::{Request, Router, route};

use crate::{
    assert_adds_up, number,
    program::Program,
    support::{in_background, serve, soon},
};

#[test]
fn a_signal_ends_it_with_what_there_is() {
    let (arrived, first) = mpsc::sync_channel(1);
    let routes = Router::new().get(
        "/",
        route(move |_: &Request| {
            // A full channel means that the test already knows.
            _ = arrived.try_send(());
            "ok"
        })
        .inline(),
    );
    let (_server, address) = serve(routes);
    let url = format!("http://{address}/");
    let arguments = ["bench", "load", &url, "--seconds", "3600", "--rate", "100", "--json"];
    let child = Program::command(&arguments).stdout(Stdio::piped()).spawn().unwrap();
    soon(&first);
    assert!(Command::new("kill").args(["-s", "INT", &child.id().to_string()]).status().unwrap().success());
    let output = soon(&in_background(move || child.wait_with_output().unwrap()));
    assert_eq!(output.status.code(), Some(0));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["interrupted"], true);
    assert_adds_up(&report);
    assert!(number(&report, "requests_answered") > 0, "{report:#}");
}

#[test]
fn what_is_not_answered_then_is_counted() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let arguments = ["bench", "load", &url, "--seconds", "60", "--connections", "3", "--json"];
    let child = Program::command(&arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let deaf = in_background(move || {
        let mut streams: Vec<_> = (0..3).map(|_| listener.accept().unwrap().0).collect();
        streams.iter_mut().for_each(|stream| assert!(stream.read(&mut [0; 1024]).unwrap() > 0));
        streams
    });
    let _streams = soon(&deaf);
    // Both signals arrive while the bench waits for answers. `timeout` may send both, so the second signal does not
    // mean that the user is impatient.
    let twice = format!("kill -s INT {0}; kill -s TERM {0}", child.id());
    _ = Command::new("sh").args(["-c", &twice]).status().unwrap();
    let output = soon(&in_background(move || child.wait_with_output().unwrap()));
    assert_eq!(output.status.code(), Some(0));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_adds_up(&report);
    assert_eq!(number(&report["failures"], "unanswered"), 3, "{report:#}");
}
