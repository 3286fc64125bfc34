//! Reports and pictures can go to any path: to files, links, pipes and devices, and to descriptors that the process
//! already has open.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "support/program.rs"]
mod program;
mod support;

use std::{
    fs::{self, File, OpenOptions, Permissions},
    io::Read,
    net::{SocketAddr, TcpListener},
    os::unix::fs::{MetadataExt, PermissionsExt, symlink},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use program::{PROGRAM, Program};
use serde_json::Value;
use support::{
    client::{Client, get, post},
    in_background, soon, until,
};

/// A directory of its own for each test. Dropping the value removes the directory.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let folder = std::env::temp_dir().join(format!("softstop-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        Folder(folder)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn names(&self) -> Vec<String> {
        let name = |entry: std::io::Result<fs::DirEntry>| entry.unwrap().file_name().into_string().unwrap();
        let mut names: Vec<String> = fs::read_dir(&self.0).unwrap().map(name).collect();
        names.sort();
        names
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // If the removal fails, the rest stays in the system's directory for temporary files.
        _ = fs::remove_dir_all(&self.0);
    }
}

fn fifo(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

/// Starts the program with an option and its path, and stops it. Returns the exit status and the log.
#[track_caller]
fn serve_and_stop(option: &str, path: &Path) -> (Option<i32>, String) {
    let mut program = Program::start(&[option, path.to_str().unwrap(), "--exit-route"]);
    let hello = program.address("hello");
    assert_eq!(Client::once(hello, post("/exit", b"")).status, 200);
    let (status, log) = program.wait();
    (status.code(), log)
}

#[track_caller]
fn assert_is_report(text: &[u8]) {
    let report: Value = serde_json::from_slice(text)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(text)));
    assert_eq!(report["clean"], true, "{report}");
}

#[test]
fn to_a_device_a_pipe_and_a_fifo_it_is_only_written() {
    let (status, log) = serve_and_stop("--report", Path::new("/dev/null"));
    assert_eq!(status, Some(0), "{log}");

    let folder = Folder::new("fifo");
    let path = folder.path("report");
    fifo(&path);
    let reading = path.clone();
    let read = in_background(move || fs::read(reading).unwrap());
    let (status, log) = serve_and_stop("--report", &path);
    assert_eq!(status, Some(0), "{log}");
    assert_is_report(&soon(&read));
    // Here the reader opens the FIFO after the program has started to serve.
    let mut program = Program::start(&["--timeline", path.to_str().unwrap(), "--exit-route"]);
    let hello = program.address("hello");
    let reading = path.clone();
    let read = in_background(move || fs::read(reading).unwrap());
    assert_eq!(Client::once(hello, post("/exit", b"")).status, 200);
    let (status, log) = program.wait();
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(soon(&read).starts_with(b"<svg"));
    assert_eq!(folder.names(), ["report"], "the FIFO is the only file");

    // The report goes to a pipe that is open already, as bash has it for `--report >(jq)`.
    let (mut reader, writer) = std::io::pipe().unwrap();
    let mut command = Program::command(&["--report", "/dev/stdout", "--exit-route"]);
    command.args(["--hello", "127.0.0.1:0", "--name", "127.0.0.1:0", "--echo", "127.0.0.1:0"]);
    let log = folder.path("log");
    let mut program = command.stdout(writer).stderr(File::create(&log).unwrap()).spawn().unwrap();
    drop(command);
    assert_eq!(Client::once(hello_in(&log), post("/exit", b"")).status, 200);
    let mut report = Vec::new();
    reader.read_to_end(&mut report).unwrap();
    assert_eq!(program.wait().unwrap().code(), Some(0));
    assert_is_report(&report);
}

/// The address of hello. Waits until the log names the address.
#[track_caller]
fn hello_in(log: &Path) -> SocketAddr {
    let text = || fs::read_to_string(log).unwrap();
    until("hello listens", || text().contains("hello: listening on ") && text().ends_with('\n'));
    let text = text();
    let line = text.lines().find_map(|line| line.split_once("hello: listening on "));
    line.unwrap().1.trim().parse().unwrap()
}

#[test]
fn a_log_that_is_the_report_too_keeps_its_lines() {
    let folder = Folder::new("log");
    let log = folder.path("log");
    for opened in [OpenOptions::new().append(true), OpenOptions::new().write(true)] {
        for path in ["/dev/stderr", log.to_str().unwrap()] {
            fs::write(&log, "an earlier line\n").unwrap();
            let mut stderr = opened.open(&log).unwrap();
            std::io::Seek::seek(&mut stderr, std::io::SeekFrom::End(0)).unwrap();
            let mut command = Program::command(&["--report", path, "--exit-route"]);
            command.args(["--hello", "127.0.0.1:0", "--name", "127.0.0.1:0", "--echo", "127.0.0.1:0"]);
            let mut program = command.stdout(Stdio::null()).stderr(stderr).spawn().unwrap();
            assert_eq!(Client::once(hello_in(&log), post("/exit", b"")).status, 200);
            assert_eq!(program.wait().unwrap().code(), Some(0));
            let text = fs::read_to_string(&log).unwrap();
            assert!(text.starts_with("an earlier line\n") && text.contains("hello: closed"), "{text}");
            assert!(text.contains("\"clean\": true"), "{text}");
            assert!(text.trim_end().ends_with("everything closed successfully"), "{text}");
        }
    }
}

#[test]
fn a_fifo_that_nobody_reads_holds_neither_the_start_nor_the_end_and_a_full_device_is_an_error() {
    let folder = Folder::new("unread");
    let path = folder.path("unread");
    fifo(&path);
    for (path, error) in [(&*path, "nobody has read it"), (Path::new("/dev/full"), "No space left")] {
        for option in ["--report", "--timeline"] {
            let (status, log) = serve_and_stop(option, path);
            assert_eq!(status, Some(1), "{log}");
            assert!(log.contains(&format!("cannot write {}: {error}", path.display())), "{log}");
        }
    }
}

#[test]
fn a_file_is_replaced_at_once_where_its_links_lead_and_keeps_its_mode() {
    let folder = Folder::new("replaced");
    let (file, link, new) = (folder.path("file"), folder.path("link"), folder.path("new"));
    fs::write(&file, "of an earlier stop\n".repeat(1000)).unwrap();
    fs::set_permissions(&file, Permissions::from_mode(0o640)).unwrap();
    symlink("file", &link).unwrap();
    let mut old = File::open(&file).unwrap();
    let (status, log) = serve_and_stop("--report", &link);
    assert_eq!(status, Some(0), "{log}");
    let mut text = String::new();
    old.read_to_string(&mut text).unwrap();
    assert_eq!(text.lines().count(), 1000, "a reader of the old report still has all of it");
    assert_is_report(&fs::read(&file).unwrap());
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(fs::metadata(&file).unwrap().mode() & 0o7777, 0o640);
    // The target of this link does not exist yet.
    let dangling = folder.path("dangling");
    symlink("new", &dangling).unwrap();
    let (status, log) = serve_and_stop("--report", &dangling);
    assert_eq!(status, Some(0), "{log}");
    assert_is_report(&fs::read(&new).unwrap());
    // A file with two hard links stays one file.
    let second = folder.path("second");
    fs::hard_link(&new, &second).unwrap();
    let (status, log) = serve_and_stop("--timeline", &second);
    assert_eq!(status, Some(0), "{log}");
    assert!(fs::read(&new).unwrap().starts_with(b"<svg"));
    assert_eq!(folder.names(), ["dangling", "file", "link", "new", "second"], "the folder has no other file");
}

/// Runs the program as an ordinary user, even if root runs the test.
fn as_ordinary_user(folder: &Folder, arguments: &[&str]) -> Output {
    let program = folder.path("softstop");
    fs::copy(PROGRAM, &program).unwrap();
    let is_root = fs::metadata("/proc/self").unwrap().uid() == 0;
    let mut command = if is_root {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(&program);
        command
    } else {
        Command::new(&program)
    };
    command.args(arguments).output().unwrap()
}

#[test]
fn where_no_file_can_be_made_the_old_one_is_written_by_an_ordinary_user_too() {
    let folder = Folder::new("ordinary");
    let closed = folder.path("closed");
    fs::create_dir(&closed).unwrap();
    let report = closed.join("report");
    fs::write(&report, "of an earlier stop\n".repeat(1000)).unwrap();
    fs::set_permissions(&report, Permissions::from_mode(0o666)).unwrap();
    fs::set_permissions(&closed, Permissions::from_mode(0o555)).unwrap();
    fs::set_permissions(&folder.0, Permissions::from_mode(0o755)).unwrap();
    // A start that fails ends the program, and this end has a report too.
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let output = as_ordinary_user(&folder, &["--report", report.to_str().unwrap(), "--hello", &taken]);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{errors}");
    assert!(errors.contains(&taken) && !errors.contains("cannot write"), "{errors}");
    let text = fs::read(&report).unwrap();
    let failure: Value = serde_json::from_slice(&text).unwrap();
    assert_eq!(failure["clean"], false, "{failure}");
    // The program cannot create a file there. The program reports the error before it serves anything.
    let none = closed.join("none");
    let output = as_ordinary_user(&folder, &["--report", none.to_str().unwrap(), "--hello", &taken]);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(errors.contains("none: Permission denied") && !errors.contains(&taken), "{errors}");
    fs::set_permissions(&closed, Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn a_bench_checks_what_it_writes() {
    let mut program = Program::start(&[]);
    let url = format!("http://{}/", program.address("hello"));
    let folder = Folder::new("bench");
    let path = folder.path("fifo");
    fifo(&path);
    let bench = ["bench", "load", &url, "--seconds", "0.05", "--connections", "1"];
    let reading = path.clone();
    let read = in_background(move || fs::read(reading).unwrap());
    let svg = [&bench[..], &["--svg", path.to_str().unwrap()]].concat();
    assert_eq!(Program::command(&svg).output().unwrap().status.code(), Some(0));
    assert!(soon(&read).starts_with(b"<svg"));
    for (more, error) in [
        (&["--svg", "/dev/full"][..], "cannot write /dev/full: No space left"),
        (&["--svg", "/dev/null"], ""),
    ] {
        let output = Program::command(&[&bench[..], more].concat()).output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(i32::from(!error.is_empty())), "{errors}");
        assert!(errors.contains(error) && !output.stdout.is_empty(), "{errors}");
    }
    // Standard output takes nothing. The program draws the picture all the same.
    for form in [&[][..], &["--json"]] {
        let picture = folder.path("picture.svg");
        let arguments = [&bench[..], form, &["--svg", picture.to_str().unwrap()]].concat();
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let output = Program::command(&arguments).stdout(full).output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{errors}");
        assert!(errors.contains("cannot write to standard output: No space left"), "{errors}");
        assert!(fs::read(&picture).unwrap().starts_with(b"<svg"));
        fs::remove_file(picture).unwrap();
    }
    assert_eq!(Client::once(program.address("hello"), get("/")).status, 200);
}
