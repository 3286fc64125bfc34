//! Who may connect, and who has connected.

use std::os::unix::fs::MetadataExt;

use super::*;

fn with_options(path: &Path, options: &str) -> Server {
    let peer = |request: &Request| request.peer().to_string();
    let routes = Router::new().get("/", route(peer).inline());
    builder(routes).listen(format!("unix:{}?{options}", path.display())).build()
}

#[test]
fn the_file_has_the_mode_and_the_group_that_were_asked_for() {
    let folder = Folder::new();
    // The group of the folder is one that this user may give.
    let group = std::fs::metadata(&folder.0).unwrap().gid();
    let server = with_options(&folder.socket(), &format!("mode=0620&group={group}"));
    server.start().unwrap();
    let file = std::fs::symlink_metadata(folder.socket()).unwrap();
    assert_eq!((file.mode() & 0o7777, file.gid()), (0o620, group));
}

/// The kernel tells who has connected: this process.
#[cfg(all(feature = "deploy", target_os = "linux"))]
#[test]
fn a_client_is_known_by_its_credentials() {
    let folder = Folder::new();
    let own = std::fs::metadata("/proc/self").unwrap();
    let (uid, gid, pid) = (own.uid(), own.gid(), std::process::id());
    let credentials = move |request: &Request| {
        let known = request.peer().credentials().unwrap();
        assert_eq!((known.uid, known.gid, known.pid), (uid, gid, pid));
        request.peer().to_string()
    };
    let routes = Router::new().get("/", route(credentials).inline());
    let server = builder(routes).listen(format!("unix:{}", folder.socket().display())).build();
    server.start().unwrap();
    let response = ask(UnixStream::connect(folder.socket()).unwrap());
    assert!(response.ends_with(&format!("\r\n\r\nunix:uid={uid},pid={pid}")), "{response}");
}

/// A client of another PID namespace has no process id here, so nothing is known about it. It is served all the same.
#[cfg(all(feature = "deploy", target_os = "linux"))]
#[test]
#[ignore = "needs root for namespaces, and curl"]
fn a_client_of_another_pid_namespace_is_served_and_unknown() {
    let folder = Folder::new();
    let path = folder.socket();
    let test = std::env::current_exe().unwrap();
    let mut server = std::process::Command::new("unshare")
        .args(["--pid", "--fork", "--kill-child"])
        .arg(test)
        .args(["--exact", "permissions::serves_until_its_input_ends", "--ignored", "--nocapture"])
        .env("SOFTSTOP_TEST_SOCKET", &path)
        .stdin(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    support::until("the server listens", || UnixStream::connect(&path).is_ok());
    let output = std::process::Command::new("setpriv")
        .args(["--reuid=65534", "--clear-groups", "curl", "-sS", "--unix-socket"])
        .arg(&path)
        .arg("http://a/")
        .output()
        .unwrap();
    drop(server.stdin.take());
    assert!(server.wait().unwrap().success());
    assert_eq!(String::from_utf8_lossy(&output.stdout), "unix:", "{output:?}");
}

/// The server of the test above.
#[test]
#[ignore = "needs another test that starts it"]
fn serves_until_its_input_ends() {
    let Some(path) = std::env::var_os("SOFTSTOP_TEST_SOCKET") else { return };
    let server = with_options(Path::new(&path), "mode=0666");
    server.start().unwrap();
    _ = std::io::stdin().read(&mut [0]);
    assert!(server.stop(StopPolicy::default()).is_clean());
}

/// The mode counts: another user may connect only if it says so.
#[test]
#[ignore = "needs root and setpriv"]
fn another_user_may_connect_only_if_the_mode_says_so() {
    let folder = Folder::new();
    let as_nobody = || {
        let mut curl = std::process::Command::new("setpriv");
        curl.args(["--reuid=65534", "--regid=65534", "--clear-groups", "curl", "-sS", "--unix-socket"]);
        curl.arg(folder.socket()).arg("http://a/").output().unwrap().status.success()
    };
    for (options, may) in
        [("mode=0600", false), ("mode=0660", false), ("mode=0660&group=65534", true), ("mode=0666", true)]
    {
        let server = with_options(&folder.socket(), options);
        server.start().unwrap();
        assert_eq!(as_nobody(), may, "{options}");
    }
}
