//! Stops by an ordinary user. Current kernels refuse such a user the filter that drops SYNs. The tests need root to
//! become that user. In a user namespace the process would be root again, and the tests would prove nothing.
#![cfg(target_os = "linux")]

use std::{
    fs,
    io::{BufRead, BufReader, ErrorKind, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    process::{Command, Stdio},
};

use socket2::{SockFilter, SockRef};
use softstop::{Request, Router, report::ListenerEnd, route};

use crate::{
    half_open::HalfOpen,
    support::{HUNG, begin_stop, client::get, local, patient, soon, start, until},
};

const NOBODY: u32 = 65534;
/// The environment of the ordinary user's process has this variable.
const ORDINARY: &str = "SOFTSTOP_TEST_ORDINARY";

/// A copy of this test program in a folder that every user may read.
struct Copy(PathBuf);

impl Copy {
    fn make(name: &str) -> Copy {
        let folder = std::env::temp_dir().join(format!("softstop-{name}-{}", std::process::id()));
        fs::create_dir(&folder).unwrap();
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
        let copy = Copy(folder);
        fs::copy(std::env::current_exe().unwrap(), copy.program()).unwrap();
        fs::set_permissions(copy.program(), fs::Permissions::from_mode(0o755)).unwrap();
        copy
    }

    fn program(&self) -> PathBuf {
        self.0.join("tests")
    }

    /// A command that runs the copy as an ordinary user without capabilities.
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("setpriv");
        command
            .args([&format!("--reuid={NOBODY}"), &format!("--regid={NOBODY}"), "--clear-groups"])
            .arg(self.program())
            .args(arguments)
            .current_dir("/")
            .env(ORDINARY, "");
        command
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        // The removal fails only if another process has removed the folder.
        _ = fs::remove_dir_all(&self.0);
    }
}

fn is_ordinary() -> bool {
    std::env::var_os(ORDINARY).is_some()
}

#[track_caller]
fn assert_the_filter_is_refused() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let outcome = SockRef::from(&listener).attach_filter(&[SockFilter::new(0x06, 0, 0, u32::MAX)]);
    assert_eq!(outcome.unwrap_err().kind(), ErrorKind::PermissionDenied);
}

/// As root, this test checks nothing. The next test runs this one again as an ordinary user.
#[test]
fn an_ordinary_user_may_not_attach_a_filter() {
    if is_ordinary() {
        assert_the_filter_is_refused();
    }
}

#[test]
#[ignore = "needs setpriv, and root to become an ordinary user"]
fn all_stops_are_the_same_for_an_ordinary_user() {
    let copy = Copy::make("stops");
    // The clients of `half_open` need a filter. The next test creates such clients as root.
    let output = copy.command(&["--skip", "half_open::"]).output().unwrap();
    let text = String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).into_owned();
    assert!(output.status.success(), "{text}");
    assert!(text.contains("an_ordinary_user_may_not_attach_a_filter ... ok"), "{text}");
}

/// The server of the next test prints its addresses, stops when it is told to, and prints how its listeners ended.
#[test]
fn the_server_of_an_ordinary_user() {
    if !is_ordinary() || std::env::args().all(|argument| argument != "--exact") {
        return;
    }
    assert_the_filter_is_refused();
    let routes = Router::new().get("/", route(|_: &Request| "served").inline());
    let (server, _) = start(local().listen("[::1]:0").loops(1).routes(routes));
    server.socket_addrs().iter().for_each(|address| println!("listening {address}"));
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).unwrap();
    let report = begin_stop(&server, patient().quiet(HUNG));
    println!("stopping");
    let report = soon(&report);
    println!("ended {} {:?} {}", report.rescued, report.listener, report.is_clean());
}

#[test]
#[ignore = "needs setpriv, and root to become an ordinary user"]
fn half_open_clients_of_an_ordinary_users_server_are_served_and_new_ones_refused_at_once() {
    const CLIENTS: usize = 15;
    let copy = Copy::make("server");
    let arguments = ["--exact", "unprivileged::the_server_of_an_ordinary_user", "--nocapture"];
    let mut child = copy.command(&arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let mut wait_for = |word: &str| loop {
        let mut line = String::new();
        assert!(output.read_line(&mut line).unwrap() > 0, "the server ended before {word:?}");
        // The test harness may have written the beginning of the line.
        if let Some((_, rest)) = line.split_once(word) {
            return rest.trim().to_owned();
        }
    };
    let addresses: [SocketAddr; 2] = [(); 2].map(|()| wait_for("listening ").parse().unwrap());
    let half_open: Vec<HalfOpen> = (0..CLIENTS).flat_map(|_| addresses.map(HalfOpen::begin)).collect();
    let mut input = child.stdin.take().unwrap();
    input.write_all(b"stop\n").unwrap();
    wait_for("stopping");
    for address in addresses {
        until("new clients are refused", || match TcpStream::connect_timeout(&address, HUNG) {
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::ConnectionRefused, "neither dropped nor reset");
                true
            }
            Ok(_) => false,
        });
    }
    half_open.iter().for_each(HalfOpen::hear);
    let mut clients: Vec<_> = half_open.into_iter().map(|client| client.finish().unwrap()).collect();
    clients.iter_mut().for_each(|client| client.send(get("/")));
    for client in &mut clients {
        assert_eq!(client.read_response().text(), "served");
    }
    drop(clients);
    let ended = wait_for("ended ");
    let (rescued, end) = ended.split_once(' ').unwrap();
    assert!(rescued.parse::<usize>().unwrap() >= 2 * CLIENTS, "{ended}");
    assert_eq!(end, format!("{:?} true", Some(ListenerEnd::Refused)));
    output.read_to_string(&mut String::new()).unwrap();
    assert!(child.wait().unwrap().success());
}
