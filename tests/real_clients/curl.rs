//! curl: one request after the other, as people and scripts send them.

use std::process::Command;

use crate::peer::{Folder, LIMIT, Outcome, Served, content, run, start, stop};

/// Runs curl without the settings of its user, and without a proxy.
#[track_caller]
pub(crate) fn curl(arguments: &[&str], stdin: &[u8]) -> Outcome {
    run(
        Command::new("curl").args(["-q", "--silent", "--show-error", "--noproxy", "*"]).args(arguments),
        stdin,
    )
}

/// Without this option, curl adds the name of the file to the target of an upload.
const TO_ROOT: [&str; 2] = ["--request-target", "/"];

#[test]
#[ignore = "needs curl"]
fn one_connection_serves_many_urls() {
    let program = start();
    let url = format!("http://{}/?name=[1-100]", program.name);
    let outcome = curl(&["--write-out", " %{http_code} %{num_connects}\n", &url], b"");
    let expected: String = (1..=100)
        .map(|number| format!("Hello, {number}! 200 {}\n", if number == 1 { 1 } else { 0 }))
        .collect();
    assert_eq!(outcome.text(), expected);
    assert_eq!(stop(program)[1], Served { requests: 100, connections: 1 });
}

#[test]
#[ignore = "needs curl"]
fn head_has_the_fields_of_get_and_no_content() {
    let program = start();
    let url = format!("http://{}/", program.hello);
    // The GET that follows reads its response from where the response to HEAD has ended.
    let outcome = curl(&["--head", &url, "--next", "--silent", "--noproxy", "*", &url], b"");
    outcome.says("HTTP/1.1 200 OK\r\n");
    outcome.says("\r\nContent-Length: 13\r\n");
    assert!(outcome.text().ends_with("\r\n\r\nHello, world!"), "{}", outcome.text());
    assert_eq!(stop(program)[0], Served { requests: 2, connections: 1 });
}

#[test]
#[ignore = "needs curl"]
fn http_1_0_has_a_connection_for_each_request_unless_it_asks() {
    let program = start();
    let url = format!("http://{}/?name=[1-3]", program.name);
    let format = " %{num_connects}\n";
    let outcome = curl(&["--http1.0", "--write-out", format, &url], b"");
    assert_eq!(outcome.text(), "Hello, 1! 1\nHello, 2! 1\nHello, 3! 1\n");
    let outcome =
        curl(&["--http1.0", "--header", "Connection: keep-alive", "--write-out", format, &url], b"");
    assert_eq!(outcome.text(), "Hello, 1! 1\nHello, 2! 0\nHello, 3! 0\n");
    assert_eq!(stop(program)[1], Served { requests: 6, connections: 4 });
}

#[test]
#[ignore = "needs curl"]
fn uploads_come_back_byte_for_byte() {
    let program = start();
    let (url, sent) = (format!("http://{}/", program.echo), content(5 << 20));
    let folder = Folder::new("curl-uploads");
    let path = &folder.write("sent", &sent);
    // Content with a length, with a length in HTTP/1.0, and in chunks.
    for arguments in
        [&["--upload-file", path, &url][..], &["--http1.0", "--upload-file", path, &url], &["-T", "-", &url]]
    {
        let outcome = curl(&[arguments, &TO_ROOT].concat(), &sent);
        assert!(outcome.stdout == sent, "{arguments:?}: {}", outcome.stdout.len());
    }
    assert_eq!(stop(program)[2], Served { requests: 3, connections: 3 });
}

#[test]
#[ignore = "needs curl"]
fn an_expectation_is_met_before_the_content() {
    let program = start();
    let url = format!("http://{}/", program.echo);
    // Without an interim response, curl would wait for a minute and send the content all the same. So the test looks
    // into curl's log.
    let wait = ["--verbose", "--expect100-timeout", "60", "--header", "Expect: 100-continue"];
    for upload in [&["--data", "small"][..], &["--upload-file", "-"]] {
        let outcome = curl(&[&wait, upload, &[&url]].concat(), b"small");
        assert_eq!(outcome.text(), "small");
        let (asked, answered) = (outcome.stderr.find("> Expect:"), outcome.stderr.find("< HTTP/1.1 100"));
        let served = outcome.stderr.find("< HTTP/1.1 200");
        assert!(asked.is_some() && asked < answered && answered < served, "{}", outcome.stderr);
    }
    assert_eq!(stop(program)[2], Served { requests: 2, connections: 2 });
}

#[test]
#[ignore = "needs curl"]
fn what_is_too_large_is_answered_and_not_reset() {
    let program = start();
    let url = format!("http://{}/", program.echo);
    let sent = content(4 * LIMIT);
    let folder = Folder::new("curl-too-large");
    let path = &folder.write("sent", &sent);
    let format = "%{stderr}%{http_code} %{size_upload}";
    let upload = |expect: &str, path: &str| {
        let arguments = ["--header", expect, "--write-out", format, "--upload-file", path, &url];
        let outcome = curl(&[&arguments[..], &TO_ROOT].concat(), &sent);
        assert!(outcome.text().contains("RFC 9110, section 15.5.14"), "{}", outcome.text());
        outcome.stderr
    };
    // If the client asks first, it sends no byte in vain.
    assert_eq!(upload("Expect: 100-continue", path), "413 0");
    // If the client does not ask, it sends content with a length or in chunks.
    for path in [path, "-"] {
        let outcome = upload("Expect:", path);
        assert!(outcome.starts_with("413 "), "{outcome}");
    }
    stop(program);
}
