//! Verdicts on softstop's own servers, which stop well.

use crate::program::PROGRAM;
use crate::run::{Run, check, example};

/// The checks that need a route which the program's `hello` does not have.
const NOT_OFFERED: [&str; 7] =
    ["large-response", "slow-body", "expect-continue", "never-reads", "stream-ends", "upgrade", "replace"];

#[test]
fn a_quick_look_at_the_program_passes() {
    let only = "listens-first,exit-status,nothing-left,accept-queue,in-flight,says-close,silent";
    let run = serve(&["--only", only, "--stops", "1"], &[]);
    assert_eq!(run.status, Some(0), "{}", run.text);
    assert_eq!(run.with("pass").len(), run.checks().len(), "{}", run.text);
}

#[test]
fn the_url_says_which_of_three_servers_is_judged() {
    let any = "127.0.0.1:0";
    let server = [PROGRAM, "serve", "--hello", any, "--name", any, "--echo", "127.0.0.1:{port}"];
    let only =
        ["--only", "slow-body,expect-continue", "--post", "/", "--url", "http://127.0.0.1:{port}/healthz"];
    let run = check(&only, &server);
    assert_eq!(run.status, Some(0), "{}", run.text);
    assert_eq!(run.with("pass"), ["starts", "ends", "slow-body", "expect-continue"], "{}", run.text);
}

#[test]
fn a_quick_look_at_the_target_passes() {
    let run = target(&["--only", "upgrade,stream-ends,large-response,slow-body", "--stops", "1"]);
    assert_eq!(run.status, Some(0), "{}", run.text);
    assert_eq!(run.with("pass").len(), run.checks().len(), "{}", run.text);
}

#[test]
#[ignore = "takes a minute"]
fn the_program_passes_what_it_has_routes_for() {
    let options = ["--lame-duck", "1s", "--ready", "/readyz", "--stuck", "/sleep?ms=60000", "--stops", "3"];
    let run = serve(&options, &["--lame-duck", "1s"]);
    assert_eq!(run.with("fail"), Vec::<&str>::new(), "{}", run.text);
    assert_eq!(run.with("skip"), NOT_OFFERED, "{}", run.text);
    assert_eq!(run.with("warn"), Vec::<&str>::new(), "{}", run.text);
}

#[test]
#[ignore = "takes a minute"]
fn the_target_passes_everything() {
    let run = target(&["--stops", "3"]);
    assert_eq!(run.status, Some(0), "{}", run.text);
    assert_eq!(run.with("warn"), Vec::<&str>::new(), "{}", run.text);
    assert_eq!(run.with("skip"), ["replace"], "{}", run.text);
}

/// Checks `hello`, one of the three servers of the program.
fn serve(options: &[&str], arguments: &[&str]) -> Run {
    let any = "127.0.0.1:0";
    let server = [PROGRAM, "serve", "--hello", "127.0.0.1:{port}", "--name", any, "--echo", any];
    let routes = ["--slow", "/sleep?ms=600", "--says", "hello: listening on"];
    check(&[options, &routes].concat(), &[&server, arguments].concat())
}

/// Checks examples/check_target.rs with its configuration.
fn target(options: &[&str]) -> Run {
    let config = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/check_target.toml");
    check(&[&["--config", config], options].concat(), &[&example("check_target"), "127.0.0.1:{port}"])
}
