//! One cell of the matrix: a handover under load, and what one of the two processes does at one moment of it.

use std::{
    env,
    fs::{self, File},
    io::{BufRead, BufReader, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener},
    os::unix::{fs::symlink, net::UnixStream},
    path::PathBuf,
    process::{Command, Output, Stdio},
    sync::mpsc::Receiver,
    thread,
    time::{Duration, Instant},
};

use rustix::process::Pid;

use crate::{
    client::{Outcome, once},
    load::{Event, Load},
    process::Watched,
    relay::{Decision, Moment, Reached, Relay, Relayed, Side},
    support::{HUNG, in_background, soon, until},
};

/// The real program, and the one that takes its place on disk (`interposed/main.rs`).
const PROGRAM: &str = env!("CARGO_BIN_EXE_softstop");

/// How long a process hangs, unless the other one ends it: longer than old waits for new in these cells.
const HANG: Duration = Duration::from_millis(4300);
/// How long old waits for new, in milliseconds, if one of them hangs. A busy machine needs this long to start a process.
const SHORT_MS: u128 = 4000;
/// How long the survivor may take to say that it serves.
const SETTLED: Duration = Duration::from_secs(12);

/// What a process does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum What {
    /// SIGKILL.
    Killed,
    /// SIGSTOP, and SIGCONT after a while.
    Hangs,
    /// Something that is no message.
    Garbage,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cell {
    pub(crate) moment: Moment,
    pub(crate) who: Side,
    pub(crate) what: What,
}

/// What happened.
pub(crate) struct Seen {
    /// Whether `softstop reload` says that new serves, and its last line.
    pub(crate) reload: (bool, String),
    pub(crate) serves: String,
    pub(crate) refused: String,
    pub(crate) lost: String,
    /// Everything else that helps to understand a cell that is not as expected.
    pub(crate) story: String,
}

impl Cell {
    pub(crate) fn run(self) -> Seen {
        let site = Site::new(self);
        let old = site.start();
        site.interpose();
        let relay = Relay::new(&site.folder).unwrap();
        let load = Load::start(site.address);
        until("every client is served", || load.is_under_way());

        let begun = Instant::now();
        let reload = site.reload(self.what);
        let relayed = in_background(move || relay.accept(self.moment));
        let Relayed { new, reached, passed, old_ended } = match relayed.recv_timeout(HUNG) {
            Ok(relayed) => relayed.unwrap(),
            Err(_) => panic!("{self:?}: no new process: {:?}: {}", reload.try_recv(), site.log()),
        };
        let new = Watched::new(new);
        let reached = reached.recv_timeout(HUNG);
        let reached = reached.unwrap_or_else(|_| panic!("{self:?} never came: {}", site.log()));
        let at = Instant::now();
        let output = self.act(reached, &old, &new, &reload);
        let output = output.unwrap_or_else(|| soon(&reload));

        let serves = site.settle(&old, &new);
        let handed_over = {
            let passed = passed.lock().unwrap();
            passed.iter().find(|(_, _, line)| line == "closed").map(|(at, _, _)| *at)
        };
        let events = load.end();
        let victim = self.victim(&serves);
        let killed = match victim {
            None => None,
            // A listener that is on its way lives on in the relay.
            Some(Side::Old) => old.gone().max(old_ended.get().copied()),
            // The listeners were new's. Connections wait in their queues until old has closed its copies.
            Some(Side::New) if serves == "nobody" => old.gone(),
            Some(Side::New) => new.gone(),
        };
        let times = Times { begun, killed, handed_over };
        let (refused, lost, bad) = judge(&events, victim, times, &serves);
        let since = |at: Instant| format!("{:+.1} ms", milliseconds(at, begun));
        let passed: Vec<String> = passed
            .lock()
            .unwrap()
            .iter()
            .map(|(at, side, line)| format!("{} {side:?}: {line}", since(*at)))
            .collect();
        let gone = |watched: &Watched| watched.gone().map_or("alive".to_owned(), since);
        let story = format!(
            "moment at {}, old gone: {}, new gone: {}\n{}\n{}\nreload: {}\n{}\n{}",
            since(at),
            gone(&old),
            gone(&new),
            passed.join("\n"),
            bad.iter().map(|event| describe(event, begun)).collect::<Vec<_>>().join("\n"),
            output.status,
            String::from_utf8_lossy(&output.stderr),
            site.log()
        );
        let said = String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).into_owned();
        let reload = (output.status.success(), said.lines().last().unwrap_or_default().to_owned());
        Seen { reload, serves, refused, lost, story }
    }

    /// Lets the process do it. Returns the output of `softstop reload` if that has ended meanwhile.
    fn act(
        self,
        reached: Reached,
        old: &Watched,
        new: &Watched,
        reload: &Receiver<Output>,
    ) -> Option<Output> {
        let process = if self.who == Side::Old { old } else { new };
        // Old has answered, or is about to.
        let answered = matches!(self.moment, Moment::Closed | Moment::Drains).then(|| soon(reload));
        let is_sender = reached.from == Some(self.who);
        match self.what {
            What::Garbage => {
                reached.decide(Decision::Garbage { from: self.who });
                answered
            }
            What::Killed => {
                process.kill();
                reached.decide(if is_sender { Decision::Drop } else { Decision::Deliver });
                answered
            }
            What::Hangs => {
                process.stop();
                let held = if is_sender {
                    Some(reached)
                } else {
                    reached.decide(Decision::Deliver);
                    None
                };
                let since = Instant::now();
                let output = answered.or_else(|| reload.recv_timeout(HANG).ok());
                if process.gone().is_none() {
                    thread::sleep(HANG.saturating_sub(since.elapsed()));
                }
                let is_gone = process.gone().is_some();
                process.go_on();
                // Old finds that the time is over. Otherwise it would be chance whether new is quicker than old's own clock.
                let is_late = self.who == Side::Old && self.moment.is_before_ready();
                let output = output.or_else(|| is_late.then(|| soon(reload)));
                if let Some(held) = held {
                    held.decide(if is_gone || is_late { Decision::Drop } else { Decision::Deliver });
                }
                output
            }
        }
    }

    /// The process that was ended by force, so that its requests may be lost: it is killed here, or old has ended new.
    fn victim(self, serves: &str) -> Option<Side> {
        match self.what {
            What::Killed => Some(self.who),
            What::Hangs | What::Garbage if serves == "old" => Some(Side::New),
            What::Hangs | What::Garbage => None,
        }
    }
}

/// Which requests were refused and lost, in the words of the matrix, and those that must not be.
fn judge<'a>(
    events: &'a [Event],
    victim: Option<Side>,
    times: Times,
    serves: &str,
) -> (String, String, Vec<&'a Event>) {
    let is = |outcome: Outcome| move |event: &&Event| event.outcome == outcome;
    let is_missing = |event: &&Event| event.outcome.is_bad() || event.outcome == Outcome::Unheard;
    let mut bad = Vec::new();

    // New binds what it has not been given. The first answer after the death of old shows that new has done so.
    let bound = times.killed.and_then(|killed| {
        let is_later =
            |event: &&Event| matches!(event.outcome, Outcome::Answered(_)) && event.opened > killed;
        events.iter().find(is_later).map(|event| event.at)
    });
    let refusals: Vec<&Event> = events.iter().filter(is(Outcome::Refused)).collect();
    let refused = match &refusals[..] {
        [] => "none",
        all if serves == "nobody" && all.iter().all(|event| event.at > times.begun) => "afterwards",
        all if victim == Some(Side::Old) && all.iter().all(|event| Some(event.opened) <= bound) => {
            "until new binds"
        }
        all => {
            bad.extend(all.iter().take(3));
            "some"
        }
    };

    let missing: Vec<&Event> = events.iter().filter(is_missing).collect();
    let of_the_killed = |event: &&&Event| {
        let Some(killed) = times.killed else { return false };
        let is_its_own = match victim {
            None => false,
            // New has no connection that is older than it.
            Some(Side::New) => event.opened >= times.begun,
            // Old gets no connection after it has closed its copies of the listeners.
            Some(Side::Old) => times.handed_over.is_none_or(|at| event.opened <= at),
        };
        event.sent.unwrap_or(event.opened) <= killed && is_its_own
    };
    let (own, more): (Vec<&Event>, Vec<&Event>) = missing.iter().partition(|event| of_the_killed(event));
    let lost = match (own.len(), more.len()) {
        (0, 0) => "none",
        (_, 0) => "its own",
        _ => "more",
    };
    bad.extend(more);
    let server_errors =
        events.iter().filter(|event| matches!(event.outcome, Outcome::Answered(status) if status != 200));
    let lost = match server_errors.clone().next() {
        None => lost.to_owned(),
        Some(_) => format!("{lost}, and some answered otherwise than 200"),
    };
    bad.extend(server_errors);
    (refused.to_owned(), lost, bad)
}

#[derive(Debug, Clone, Copy)]
struct Times {
    /// The reload began.
    begun: Instant,
    /// The process that was killed was gone.
    killed: Option<Instant>,
    /// Old had closed its copies of the listeners.
    handed_over: Option<Instant>,
}

/// The folder and the address of one cell.
struct Site {
    folder: PathBuf,
    address: SocketAddr,
}

impl Site {
    fn new(Cell { moment, who, what }: Cell) -> Site {
        let name = format!("crash-matrix-{}-{moment:?}-{who:?}-{what:?}", std::process::id());
        let folder = env::temp_dir().join(name);
        fs::create_dir_all(&folder).unwrap();
        let site = Site { folder, address: free_address() };
        symlink(PROGRAM, site.file("real")).unwrap();
        symlink(PROGRAM, site.file("softstop")).unwrap();
        site
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.file(program));
        command
            .current_dir(&self.folder)
            .env_remove("SOFTSTOP_LOG")
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        command
    }

    /// Starts old, and waits until it answers.
    fn start(&self) -> Watched {
        let log = File::create(self.file("log")).unwrap();
        let mut command = self.command("softstop");
        command.args(["serve", "--control", "control", "--grace", "5s", "--loops", "1"]);
        command.args([
            "--hello",
            &self.address.to_string(),
            "--name",
            "127.0.0.1:0",
            "--echo",
            "127.0.0.1:0",
        ]);
        #[allow(clippy::zombie_processes, reason = "`Watched` waits for the process, with waitpid")]
        let child = command.stderr(log).spawn().unwrap();
        let old = Watched::new(Pid::from_child(&child));
        until("old answers", || {
            assert!(old.gone().is_none(), "{}", self.log());
            once(self.address, "/").is_ok()
        });
        old
    }

    /// Replaces the program that old starts next.
    fn interpose(&self) {
        let next = self.file("next");
        symlink(crate::interposed(), &next).unwrap();
        fs::rename(next, self.file("softstop")).unwrap();
    }

    fn reload(&self, what: What) -> Receiver<Output> {
        let mut command = self.command("real");
        let wait_ms = if what == What::Hangs { SHORT_MS } else { HUNG.as_millis() };
        command.args(["reload", "--control", "control", "--timeout", &format!("{wait_ms}ms")]);
        in_background(move || command.stdout(Stdio::piped()).output().unwrap())
    }

    fn log(&self) -> String {
        fs::read_to_string(self.file("log")).unwrap_or_default()
    }

    /// Waits until one process has ended, and the other one serves and owns the control socket. Tells which one.
    fn settle(&self, old: &Watched, new: &Watched) -> String {
        let until = Instant::now() + SETTLED;
        let mut last = "both are there".to_owned();
        while Instant::now() < until {
            let (name, survivor) = match (old.gone(), new.gone()) {
                (Some(_), Some(_)) => return "nobody".to_owned(),
                (Some(_), None) => ("new", new),
                (None, Some(_)) => ("old", old),
                (None, None) => {
                    thread::yield_now();
                    continue;
                }
            };
            let status = self.status();
            let pid = survivor.pid.as_raw_nonzero().to_string();
            if is_serving(&status, &pid) && (0..5).all(|_| once(self.address, "/").is_ok()) {
                return name.to_owned();
            }
            last = format!("{name} alone: {status}");
            thread::sleep(Duration::from_millis(5));
        }
        last
    }

    /// What the owner of the control socket says.
    fn status(&self) -> String {
        let ask = || -> std::io::Result<String> {
            let mut stream = UnixStream::connect(self.file("control"))?;
            stream.set_read_timeout(Some(HUNG))?;
            stream.write_all(b"softstop/1 status\n")?;
            let mut line = String::new();
            BufReader::new(stream).read_line(&mut line)?;
            Ok(line.trim_end().to_owned())
        };
        ask().unwrap_or_else(|error| error.to_string())
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        _ = fs::remove_dir_all(&self.folder);
    }
}

fn is_serving(status: &str, pid: &str) -> bool {
    let mut words = status.split(' ');
    words.any(|word| word == format!("pid={pid}")) && words.any(|word| word == "phase=running")
}

/// A port below those of clients, so that no client has it while nobody listens.
fn free_address() -> SocketAddr {
    loop {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, fastrand::u16(20_000..32_000)));
        if TcpListener::bind(address).is_ok() {
            return address;
        }
    }
}

fn milliseconds(at: Instant, since: Instant) -> f64 {
    let (after, before) = (at.saturating_duration_since(since), since.saturating_duration_since(at));
    (after.as_secs_f64() - before.as_secs_f64()) * 1e3
}

fn describe(event: &Event, begun: Instant) -> String {
    let ms = |at: Instant| format!("{:+.1} ms", milliseconds(at, begun));
    let sent = event.sent.map_or("never".to_owned(), ms);
    format!(
        "{} {:?} ({:?}): opened {}, sent {sent}, ended {}; {}",
        event.requests,
        event.outcome,
        event.kind,
        ms(event.opened),
        ms(event.at),
        event.story.join("; ")
    )
}
