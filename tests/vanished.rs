//! The server notices clients that vanish without a FIN or a reset, for example because their host lost its power. The
//! server notices them even if the server sends nothing.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::{
    io::{BufRead, BufReader, Read},
    process::{Command, Stdio},
    sync::mpsc,
    time::Duration,
};

use softstop::{Body, Cause, Request, Response, Router, StatusCode, Timeouts};
use support::{local, patient, soon, start};

/// A client that connects, asks for a stream and for an upgrade, prints the answers, and stays.
const CLIENT: &str = r"
exec 3<>/dev/tcp/10.87.43.1/$0 4<>/dev/tcp/10.87.43.1/$0
printf 'GET /stream HTTP/1.1\r\nHost: a\r\n\r\n' >&3
printf 'GET /raw HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: raw\r\n\r\n' >&4
read -r line <&3; echo $line; read -r line <&4; echo $line; read -r line
";

fn ip(words: &str) {
    assert!(Command::new("ip").args(words.split(' ')).status().unwrap().success(), "ip {words}");
}

/// A network namespace with a link to it. Deleting the namespace deletes the link too.
struct Namespace(String);

impl Drop for Namespace {
    fn drop(&mut self) {
        _ = Command::new("ip").args(["netns", "delete", &self.0]).status();
    }
}

#[test]
#[ignore = "needs root and ip"]
fn vanished_streams_and_upgrades_are_noticed() {
    let id = std::process::id() % 100_000;
    let (near, far) = (format!("sva{id}"), format!("svb{id}"));
    let namespace = Namespace(format!("softstop-vanished-{id}"));
    let name = &namespace.0;
    ip(&format!("netns add {name}"));
    ip(&format!("link add {near} type veth peer name {far} netns {name}"));
    ip(&format!("address add 10.87.43.1/30 dev {near}"));
    ip(&format!("link set {near} up"));
    ip(&format!("-n {name} address add 10.87.43.2/30 dev {far}"));
    ip(&format!("-n {name} link set {far} up"));

    let (tell_stream, streams) = mpsc::channel();
    let (tell_upgrade, upgrades) = mpsc::channel();
    let routes = Router::new()
        .get("/stream", move |_: &Request| {
            let (sender, body) = Body::stream(100);
            tell_stream.send(sender).unwrap();
            Response::new(StatusCode::OK).with_body(body)
        })
        .get("/raw", move |request: &Request| {
            let tell = tell_upgrade.clone();
            request.upgrade("raw", move |mut connection, _| tell.send(connection.read(&mut [0])).unwrap())
        });
    let timeouts = Timeouts::default().keep_alive_probe(Duration::from_secs(1));
    let builder = local().listen("10.87.43.1:0").timeouts(timeouts).routes(routes);
    let (server, _) = start(builder);
    let port = server.handle().socket_addrs()[1].port().to_string();
    let mut client = Command::new("ip")
        .args(["netns", "exec", name, "bash", "-c", CLIENT, &port])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(client.stdout.take().unwrap()).lines();
    assert!(lines.next().unwrap().unwrap().contains("200 OK"));
    assert!(lines.next().unwrap().unwrap().contains("101 "));

    ip(&format!("-n {name} link set {far} down"));
    let sender = soon(&streams);
    assert_eq!(sender.context().wait_timeout(support::HUNG), Some(Cause::ClientGone));
    assert!(soon(&upgrades).is_err(), "the read ends with an error");
    client.kill().unwrap();
    client.wait().unwrap();
    assert!(server.stop(patient()).stragglers.is_empty());
}
