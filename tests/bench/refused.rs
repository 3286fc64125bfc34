//! A bench refuses at once a load that cannot be measured.

use std::net::TcpListener;

use crate::{
    peers::peer,
    program::Program,
    run,
    support::{in_background, soon},
};

#[test]
fn nonsense_is_refused() {
    let rows: [&[&str]; 15] = [
        &[],
        &["nothing"],
        &["load"],
        &["load", "https://127.0.0.1/"],
        &["load", "127.0.0.1:80"],
        &["load", "http://127.0.0.1/", "--rate", "0"],
        &["load", "http://127.0.0.1/", "--rate", "NaN"],
        &["load", "http://127.0.0.1/", "--seconds", "-1"],
        &["load", "http://127.0.0.1/", "--seconds", "1e9"],
        &["load", "http://127.0.0.1/", "--connections", "0"],
        &["load", "http://127.0.0.1/", "--method", "GET /"],
        &["load", "http://127.0.0.1/", "--method", "CONNECT"],
        &["accept", "--strategies", "hope"],
        &["stop", "--stops", "0"],
        &["stop", "--load", "none"],
    ];
    for arguments in rows {
        let output = run(arguments);
        assert_eq!(output.status.code(), Some(64), "{arguments:?}");
        assert!(!output.stderr.is_empty() && output.stdout.is_empty(), "{arguments:?}");
    }
    let output = run(&["load", "http://host.invalid/", "--seconds", "1"]);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{errors}");
    assert!(errors.contains("host.invalid"), "{errors}");
}

/// Each of these benches would take a minute if it began, so each must fail before it begins.
#[test]
fn what_cannot_come_to_an_end_does_not_begin() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let nobody = format!("http://{free}/");
    let rows: [(&[&str], &[&str]); 3] = [
        (&["load", &nobody, "--seconds", "60"], &[&free, "refused"]),
        (
            &["accept", "--seconds", "60", "--svg", "/nowhere/at/all.svg"],
            &["/nowhere/at/all.svg", "No such file"],
        ),
        (&["stop", "--stops", "100000", "--svg", "/"], &["cannot write /:"]),
    ];
    for (arguments, words) in rows {
        let output = run(arguments);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {errors}");
        assert!(output.stdout.is_empty(), "{arguments:?}");
        for word in words {
            assert!(errors.contains(word), "{arguments:?}: {errors}");
        }
    }
}

/// One connection would suffice for a minute at this rate. The bench fails nevertheless if it cannot open all
/// connections that the user asks for.
#[test]
fn connections_that_cannot_be_had_are_not_waited_for() {
    let url = format!("http://{}/", peer(&["HTTP/1.1 204 No Content\r\n\r\n"], false));
    let load = r#"ulimit -n 64; exec "$0" bench load "$1" --connections 100 --rate 1 --seconds 60"#;
    let mut command = Program::command_under(&["sh", "-c", load]);
    command.arg(&url);
    let output = soon(&in_background(move || command.output().unwrap()));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{errors}");
    assert!(errors.contains("ulimit -n"), "{errors}");
}
