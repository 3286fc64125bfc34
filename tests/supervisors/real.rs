//! Real supervisors, with the shipped files. Only the path of the program and the addresses are replaced.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Instant,
};

use crate::{
    program::{PROGRAM, Process},
    receiver::Receiver,
    support::{HUNG, client::Client, until},
};

/// A folder that the ordinary user `nobody` may read, with a copy of the program.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Scratch {
        let folder = std::env::temp_dir().join(format!("softstop-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        fs::copy(PROGRAM, folder.join("softstop")).unwrap();
        Command::new("chmod").args(["-R", "a+rX"]).arg(&folder).status().unwrap();
        Scratch(folder)
    }

    /// A shipped file, for the program in this folder, on a free port that the log will tell.
    fn install(&self, shipped: &str, to: &Path) {
        let from = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("deploy").join(shipped);
        let text = fs::read_to_string(&from).unwrap();
        let text = text
            .replace("/usr/bin/softstop", self.0.join("softstop").to_str().unwrap())
            .replace(
                "--hello :7000 --name :8000 --echo :9000",
                "--hello 127.0.0.1:0 --name 127.0.0.1:0 --echo 127.0.0.1:0",
            )
            .replace("/var/log/softstop.log", self.0.join("log").to_str().unwrap());
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::write(to, text).unwrap();
        fs::set_permissions(to, fs::metadata(&from).unwrap().permissions()).unwrap();
    }

    /// Where hello listens, by the log of the program.
    fn hello(&self) -> std::net::SocketAddr {
        let mut address = None;
        until("hello listens", || {
            let log = fs::read_to_string(self.0.join("log")).unwrap_or_default();
            let line = log
                .lines()
                .find_map(|line| line.split_once("hello: listening on "))
                .map(|(_, at)| at.trim().to_owned());
            address = line.map(|at| at.parse().unwrap());
            address.is_some()
        });
        address.unwrap()
    }

    fn log(&self) -> String {
        fs::read_to_string(self.0.join("log")).unwrap_or_default()
    }

    fn supervise(&self, command: &mut Command) -> Process {
        let log = fs::File::options().create(true).append(true).open(self.0.join("log")).unwrap();
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        Process(command.spawn().unwrap())
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        _ = fs::remove_dir_all(&self.0);
    }
}

fn succeeds(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {output:?}");
}

/// A request that is in flight when the supervisor is told to stop the service. Returns the child that tells it.
fn stop_with_a_request_in_flight(hello: std::net::SocketAddr, stop: &mut Command) -> Child {
    let mut client = Client::connect(hello);
    client.send("GET /sleep?ms=1500 HTTP/1.1\r\nHost: x\r\n\r\n");
    let mut other = Client::connect(hello);
    until("a worker is busy", || {
        other.get("/metrics").text().contains("softstop_workers_busy{server=\"hello\"} 1")
    });
    drop(other);
    let stopping = stop.spawn().unwrap();
    assert_eq!(client.read_response().text(), "slept");
    stopping
}

#[test]
#[ignore = "needs root and s6"]
fn s6_waits_for_readiness_and_for_the_stop() {
    let scratch = Scratch::new("s6");
    let service = scratch.0.join("service");
    for file in ["run", "notification-fd", "timeout-kill"] {
        scratch.install(&format!("s6/softstop/{file}"), &service.join(file));
    }
    fs::write(service.join("down"), "").unwrap();
    let mut supervisor = scratch.supervise(Command::new("s6-supervise").arg(&service));
    until("s6-supervise runs", || Command::new("s6-svok").arg(&service).status().unwrap().success());
    // Succeeds only after the newline.
    succeeds(Command::new("s6-svc").args(["-wU", "-T", "20000", "-u"]).arg(&service));
    let hello = scratch.hello();
    assert_eq!(Client::connect(hello).get("/readyz").status, 200);
    let mut stop = Command::new("s6-svc");
    stop.args(["-wD", "-T", "25000", "-d"]).arg(&service);
    let stopped = stop_with_a_request_in_flight(hello, &mut stop).wait_with_output().unwrap();
    assert!(stopped.status.success(), "{stopped:?} {}", scratch.log());
    assert!(scratch.log().contains("everything closed successfully"), "{}", scratch.log());
    succeeds(Command::new("s6-svc").args(["-x"]).arg(&service));
    supervisor.wait();
}

#[test]
#[ignore = "needs root, runit and curl"]
fn runit_waits_for_the_check_and_for_the_stop() {
    let scratch = Scratch::new("runit");
    let service = scratch.0.join("service");
    for file in ["run", "check"] {
        scratch.install(&format!("runit/softstop/{file}"), &service.join(file));
    }
    fs::write(service.join("down"), "").unwrap();
    let mut supervisor = scratch.supervise(Command::new("runsv").arg(&service));
    until("runsv runs", || service.join("supervise/ok").exists());
    let starts =
        Command::new("sv").args(["-w", "20", "start"]).arg(&service).stdout(Stdio::null()).spawn().unwrap();
    // The check asks the shipped port, and the program has a free one.
    let hello = scratch.hello();
    let check = fs::read_to_string(service.join("check")).unwrap();
    let own = check.replace("127.0.0.1:7000", &hello.to_string());
    fs::write(service.join("check"), own).unwrap();
    let started = starts.wait_with_output().unwrap();
    assert!(started.status.success(), "{started:?} {}", scratch.log());
    let mut stop = Command::new("sv");
    stop.args(["-w", "25", "stop"]).arg(&service).stdout(Stdio::null());
    let stopped = stop_with_a_request_in_flight(hello, &mut stop).wait_with_output().unwrap();
    assert!(stopped.status.success(), "{stopped:?} {}", scratch.log());
    assert!(scratch.log().contains("everything closed successfully"), "{}", scratch.log());
    succeeds(Command::new("sv").arg("exit").arg(&service));
    supervisor.wait();
}

#[test]
#[ignore = "needs root and supervisord"]
fn supervisord_waits_for_the_stop() {
    let scratch = Scratch::new("supervisord");
    let own = scratch.0.join("softstop.conf");
    scratch.install("supervisord/softstop.conf", &own);
    let socket = scratch.0.join("control");
    let main = format!(
        "[supervisord]\nnodaemon=true\nlogfile=/dev/null\nlogfile_maxbytes=0\npidfile={0}/pid\n\
         [unix_http_server]\nfile={1}\n[supervisorctl]\nserverurl=unix://{1}\n\
         [rpcinterface:supervisor]\nsupervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface\n\
         [include]\nfiles={2}\n",
        scratch.0.display(),
        socket.display(),
        own.display()
    );
    let configuration = scratch.0.join("supervisord.conf");
    fs::write(&configuration, main).unwrap();
    let mut command = Command::new("supervisord");
    command.arg("-c").arg(&configuration).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut supervisor = Process(command.spawn().unwrap());
    let hello = scratch.hello();
    let mut stop = Command::new("supervisorctl");
    stop.arg("-c").arg(&configuration).args(["stop", "softstop"]).stdout(Stdio::null());
    let began = Instant::now();
    let stopped = stop_with_a_request_in_flight(hello, &mut stop).wait_with_output().unwrap();
    assert!(stopped.status.success(), "{stopped:?} {}", scratch.log());
    assert!(
        began.elapsed() < HUNG && scratch.log().contains("everything closed successfully"),
        "{}",
        scratch.log()
    );
    supervisor.signal("TERM");
    supervisor.wait();
}

/// systemd's own program says the same as this library.
#[test]
#[ignore = "needs systemd-notify"]
fn the_messages_are_those_of_systemd_notify() {
    let receiver = Receiver::new();
    let say = |arguments: &[&str]| {
        succeeds(
            Command::new("systemd-notify")
                .arg("--no-block")
                .args(arguments)
                .env("NOTIFY_SOCKET", &receiver.path),
        );
        receiver.message()
    };
    assert_eq!(say(&["--ready", "--status=serving"]), "READY=1\nSTATUS=serving");
    assert_eq!(say(&["WATCHDOG=1"]), "WATCHDOG=1");
    assert_eq!(say(&["STOPPING=1", "STATUS=stopping"]), "STOPPING=1\nSTATUS=stopping");
    assert_eq!(say(&["EXTEND_TIMEOUT_USEC=5000000"]), "EXTEND_TIMEOUT_USEC=5000000");
}
