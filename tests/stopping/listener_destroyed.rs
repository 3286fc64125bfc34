//! An administrator destroys a listener with `ss -K`. `src/server/tests.rs` tests the other ways in which a listener
//! can fail.
#![cfg(target_os = "linux")]

use std::process::Command;

use softstop::{OnListenerFailure, Request, Router, report::ListenerEnd, route};

use crate::support::{client::Client, in_background, local, soon, start};

#[test]
#[ignore = "needs ss, root, and a kernel with INET_DIAG_DESTROY"]
fn a_listener_that_was_destroyed_ends_its_server_with_an_error() {
    for choice in [OnListenerFailure::Fail, OnListenerFailure::ServeOn] {
        let routes = Router::new().get("/", route(|_: &Request| "served").inline());
        let (server, address) = start(local().routes(routes).on_listener_failure(choice));
        let mut client = Client::connect(address);
        assert_eq!(client.get("/").text(), "served");
        let destroy = ["-K", "-l", "-t", "-n", "sport", "=", &address.port().to_string()];
        assert!(Command::new("ss").args(destroy).status().unwrap().success());
        if choice == OnListenerFailure::ServeOn {
            assert_eq!(client.get("/").text(), "served");
            server.handle().request_stop(crate::support::patient());
        }
        let report = soon(&in_background(move || server.wait()));
        assert_eq!(report.listener, Some(ListenerEnd::Failed), "{report}");
        assert!(!report.is_clean(), "{report}");
        assert_eq!(report.failure.is_some(), choice == OnListenerFailure::Fail, "{report}");
    }
}
