//! Three replicas behind HAProxy, under load, are killed, stopped and started again, or replaced by handover, at random.
//!
//! | promise | how it is checked |
//! | --- | --- |
//! | no accepted job is lost | each `Location` is in the stream of jobs, and has its event in the end |
//! | a key is one job | as many jobs are in the stream as were accepted |
//! | a job is done at least once, and twice only if it must be | all but one of its ends are in processes that were killed before the acknowledgement was confirmed, or a worker was too slow |
//! | no event is missed or doubled | each client has seen exactly the stream, from where it began |
//! | a stop leaves nothing | the report of each stopped process says `0 left` |

use std::{
    collections::{BTreeMap, BTreeSet},
    env,
    net::SocketAddr,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use crate::{
    clients::{Listener, post},
    places::{Options, Place, Replica},
    streams::{Open, Outside},
    support::until,
};

const REPLICAS: usize = 3;
const POSTERS: u64 = 4;
const LISTENERS: u64 = 4;
const OPTIONS: Options = Options { grace_ms: 1_000, ack_wait_ms: 3_000 };

/// A small generator (xorshift), so that a seed repeats the choices. What the processes make of them is not repeated.
struct Dice(u64);

impl Dice {
    fn of(seed: u64, thread: u64) -> Dice {
        let mut dice = Dice((seed ^ (thread + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15)).max(1));
        // The first numbers of neighbouring seeds resemble each other.
        (0..10).for_each(|_| _ = dice.roll(1));
        dice
    }

    /// A number below `sides`.
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }

    fn pause(&mut self, from_ms: u64, to_ms: u64) -> Duration {
        Duration::from_millis(from_ms + self.roll(to_ms - from_ms))
    }
}

/// How the life of a replica ended, and what it has printed: its process, and those that have replaced it by handover.
struct Life {
    replica: usize,
    end: End,
    printed: Vec<String>,
    times: Vec<Instant>,
    /// How many processes it was.
    processes: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Killed,
    Stopped,
}

impl Life {
    /// The numbers of the jobs in the lines that begin with this text.
    fn jobs<'a>(&'a self, start: &'a str) -> impl Iterator<Item = u64> + 'a {
        self.printed.iter().filter_map(move |line| line.strip_prefix(start)?.parse().ok())
    }
}

/// The replicas, and the lives that are over.
struct Cast<'a> {
    nats: &'a str,
    running: Vec<Option<Replica>>,
    over: Vec<Life>,
    /// How often each of the running replicas was replaced by handover.
    replaced: [usize; REPLICAS],
    /// Handovers that were refused, because an older process was still draining.
    refused: usize,
}

impl Cast<'_> {
    fn end(&mut self, number: usize, end: End) -> SocketAddr {
        let mut replica = self.running[number].take().expect("each replica runs between two choices");
        let printed = match end {
            End::Killed => {
                replica.process.signal("KILL");
                replica.process.wait().1
            }
            End::Stopped => {
                replica.process.signal("TERM");
                let printed = replica.stopped();
                let reports = printed.iter().filter(|line| line.starts_with("jobs: drained: "));
                let clean = reports.filter(|report| report.ends_with(", 0 left")).count();
                assert_eq!(clean, 1 + self.replaced[number], "{printed:#?}");
                printed
            }
        };
        let times = std::mem::take(&mut replica.process.times);
        let processes = 1 + std::mem::take(&mut self.replaced[number]);
        self.over.push(Life { replica: number, end, printed, times, processes });
        replica.address
    }

    /// A new process takes the listener over, and the old one drains.
    fn replace(&mut self, number: usize) {
        let replica = self.running[number].as_mut().expect("each replica runs between two choices");
        if replica.process.replace() {
            self.replaced[number] += 1;
        } else {
            self.refused += 1;
        }
    }

    /// Some replicas go and come back.
    fn change(&mut self, dice: &mut Dice) {
        let first = dice.roll(REPLICAS as u64) as usize;
        let (count, end) = match dice.roll(14) {
            0..5 => (1, End::Stopped),
            5..8 => (1, End::Killed),
            8 => (2, End::Killed),
            // All at once: for a moment there is no server.
            9 => (REPLICAS, End::Killed),
            _ => return self.replace(first),
        };
        let numbers: Vec<usize> = (0..count).map(|more| (first + more) % REPLICAS).collect();
        let addresses: Vec<SocketAddr> = numbers.iter().map(|&number| self.end(number, end)).collect();
        for (number, address) in numbers.into_iter().zip(addresses) {
            let name = format!("replica{number}");
            self.running[number] = Some(Replica::start(self.nats, address, &name, &OPTIONS));
        }
    }
}

/// What the clients who hand jobs in have seen.
#[derive(Default)]
struct Accepted {
    /// The key of each job.
    jobs: Mutex<BTreeMap<u64, String>>,
    /// Requests that had to be repeated.
    repeated: AtomicU64,
    /// The longest time from the first request to the 202.
    longest: Mutex<Duration>,
}

/// What the threads of the test are told.
#[derive(Default)]
struct Course {
    /// No further jobs.
    over: AtomicBool,
    /// The last event that there will be. 0 while it is not known.
    last: AtomicU64,
    /// The test has failed: end at once.
    failed: AtomicBool,
}

/// Ends the threads if the test fails between them. Otherwise the test would wait for them.
struct Guard<'a>(&'a Course);

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        self.0.failed.store(thread::panicking(), Ordering::Relaxed);
    }
}

fn hand_in(balancer: SocketAddr, name: &str, dice: &mut Dice, accepted: &Accepted, course: &Course) {
    let mut number = 0;
    while !course.over.load(Ordering::Relaxed) {
        number += 1;
        let key = format!("{name}-{number}");
        // One in fifty takes longer than the grace of a stop.
        let milliseconds = if dice.roll(50) == 0 { 2_500 } else { 10 + dice.roll(140) };
        let began = Instant::now();
        let job = loop {
            match post(balancer, &key, milliseconds) {
                Some(answer) if answer.status == 202 => break answer.job(),
                Some(answer) => assert!((500..505).contains(&answer.status), "{answer:?}"),
                None => {}
            }
            if course.failed.load(Ordering::Relaxed) {
                return;
            }
            accepted.repeated.fetch_add(1, Ordering::Relaxed);
            thread::sleep(Duration::from_millis(50));
        };
        let waited = began.elapsed();
        let mut longest = accepted.longest.lock().unwrap();
        *longest = waited.max(*longest);
        drop(longest);
        // Some clients repeat what was answered, because the answer got lost on the way to their user.
        if dice.roll(20) == 0
            && let Some(again) = post(balancer, &key, milliseconds)
            && again.status == 202
        {
            assert_eq!(again.job(), job, "the same key is the same job");
        }
        let before = accepted.jobs.lock().unwrap().insert(job, key.clone());
        assert_eq!(before, None, "{key} has the number of another job");
        thread::sleep(dice.pause(40, 100));
    }
}

/// Listens, goes away now and then, comes back, and goes on until it has seen the last event.
fn listen(balancer: SocketAddr, dice: &mut Dice, course: &Course) -> Listener {
    let mut listener = Listener::default();
    let mut leaves = Instant::now() + dice.pause(500, 4_000);
    loop {
        let last = course.last.load(Ordering::Relaxed);
        if (last > 0 && listener.last() >= Some(last)) || course.failed.load(Ordering::Relaxed) {
            return listener;
        }
        if !listener.is_connected() && !listener.connect(balancer) {
            thread::sleep(Duration::from_millis(50));
        }
        listener.read(Duration::from_millis(50));
        if Instant::now() > leaves {
            listener.disconnect();
            leaves = Instant::now() + dice.pause(500, 4_000);
        }
    }
}

fn number(variable: &str) -> Option<u64> {
    env::var(variable)
        .ok()
        .map(|text| text.parse().unwrap_or_else(|error| panic!("{variable}={text}: {error}")))
}

#[test]
#[ignore = "needs nats-server and haproxy"]
fn nothing_accepted_is_lost_while_replicas_come_and_go() {
    let seconds = number("SOFTSTOP_MORE_MACHINES_SECONDS").unwrap_or(15);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64;
    let seed = number("SOFTSTOP_MORE_MACHINES_SEED").unwrap_or(now);
    println!("seed {seed}, {seconds} s");
    let place = Place::new("comings-and-goings");
    let nats = place.nats();
    let url = nats.url();
    let start =
        |number: usize| Replica::ready(&url, (place.ip, 0).into(), &format!("replica{number}"), &OPTIONS);
    let mut cast = Cast {
        nats: &url,
        running: (0..REPLICAS).map(|it| Some(start(it))).collect(),
        over: Vec::new(),
        replaced: [0; REPLICAS],
        refused: 0,
    };
    let addresses: Vec<SocketAddr> = cast.running.iter().flatten().map(|replica| replica.address).collect();
    let (balancer, _haproxy) = place.haproxy(&addresses);
    let outside = Outside::new(&url);

    let (accepted, course) = (Accepted::default(), Course::default());
    let listeners = thread::scope(|scope| {
        let (accepted, course) = (&accepted, &course);
        let _guard = Guard(course);
        let listeners: Vec<_> = (0..LISTENERS)
            .map(|it| scope.spawn(move || listen(balancer, &mut Dice::of(seed, 100 + it), course)))
            .collect();
        let posters: Vec<_> = (0..POSTERS)
            .map(|it| {
                let mut dice = Dice::of(seed, 200 + it);
                scope.spawn(move || hand_in(balancer, &format!("{seed}-{it}"), &mut dice, accepted, course))
            })
            .collect();
        let (mut dice, end) = (Dice::of(seed, 0), Instant::now() + Duration::from_secs(seconds));
        while Instant::now() < end {
            thread::sleep(dice.pause(200, 1_200));
            cast.change(&mut dice);
        }
        course.over.store(true, Ordering::Relaxed);
        posters.into_iter().for_each(|poster| poster.join().unwrap());
        // The replicas are left in peace now, until each accepted job has its event.
        let jobs = accepted.jobs.lock().unwrap().len() as u64;
        until("all jobs are done", || {
            thread::sleep(Duration::from_millis(100));
            outside.last("EVENTS") >= jobs
        });
        course.last.store(outside.last("EVENTS"), Ordering::Relaxed);
        listeners.into_iter().map(|listener| listener.join().unwrap()).collect::<Vec<_>>()
    });
    until("all jobs are acknowledged", || {
        thread::sleep(Duration::from_millis(100));
        outside.open() == Open { not_delivered: 0, not_acknowledged: 0 }
    });
    (0..REPLICAS).for_each(|replica| _ = cast.end(replica, End::Stopped));
    println!("{} handovers refused, because an older process was still draining", cast.refused);
    judge(&accepted, &cast.over, &listeners, &outside);
}

/// Everything that was printed about a job, in the order of time.
fn story(job: u64, lives: &[Life]) -> String {
    let mut lines = Vec::new();
    for (number, Life { replica, end, printed, times, .. }) in lives.iter().enumerate() {
        let of_job = printed.iter().zip(times).filter(|(line, _)| {
            line.split([' ', ':']).any(|word| word == job.to_string()) || line.contains("NATS")
        });
        lines
            .extend(of_job.map(|(line, time)| {
                (*time, format!("process {number} (replica{replica}, {end:?}): {line}"))
            }));
    }
    lines.sort();
    let first = lines.iter().find(|(_, line)| line.contains(&format!(" {job}"))).map(|(time, _)| *time);
    let near = |time: &Instant| first.is_some_and(|first| *time + Duration::from_secs(5) > first);
    let lines = lines.iter().filter(|(time, _)| near(time));
    lines
        .map(|(time, line)| {
            format!("\n{:>9.3?} {line}", first.map(|first| time.saturating_duration_since(first)))
        })
        .collect()
}

/// Checks all promises, and prints the counts.
fn judge(accepted: &Accepted, lives: &[Life], listeners: &[Listener], outside: &Outside) {
    let jobs = accepted.jobs.lock().unwrap();
    let stored: BTreeSet<u64> = outside.after("JOBS", 0).into_iter().map(|(number, _)| number).collect();
    assert!(jobs.keys().eq(&stored), "the stream has exactly the accepted jobs");

    let events = outside.after("EVENTS", 0);
    let done: Vec<u64> =
        events.iter().map(|(_, text)| text.split(' ').nth(1).unwrap().parse().unwrap()).collect();
    assert_eq!(done.len(), jobs.len(), "one event for each job");
    assert_eq!(done.into_iter().collect::<BTreeSet<_>>(), stored, "each job has its event");

    // How often each job was done, how often with a confirmed acknowledgement, and how often without.
    let mut ends: BTreeMap<u64, [u64; 3]> = BTreeMap::new();
    let mut late = BTreeSet::new();
    for life in lives {
        let confirmed: BTreeSet<u64> = life.jobs("acknowledged ").collect();
        let lost: BTreeSet<u64> = life.jobs("not acknowledged ").collect();
        late.extend(life.jobs("late "));
        for job in life.jobs("did ") {
            let [did, with, without] = ends.entry(job).or_default();
            *did += 1;
            *with += u64::from(confirmed.contains(&job));
            let may_be_lost = life.end == End::Killed || lost.contains(&job);
            *without += u64::from(!confirmed.contains(&job) && may_be_lost);
        }
    }
    assert!(ends.keys().eq(&stored), "each accepted job was done, and nothing else");
    let mut twice = 0;
    for (job, [did, with, without]) in &ends {
        // A killed process may have sent the last acknowledgement without living to print it. A worker may be slower than
        // the time to acknowledge, and says so.
        let allowed = if late.contains(job) { *did } else { 1 };
        assert!(
            *with <= allowed && with + without == *did,
            "job {job}, done {did} times:{}",
            story(*job, lives)
        );
        twice += did - 1;
    }

    for listener in listeners {
        listener.has_no_gap_and_no_double();
        let began = listener.began.unwrap() as usize;
        assert!(
            listener.events == events[began..],
            "a client has seen the stream from {began} on, and its end"
        );
    }

    let killed = lives.iter().filter(|life| life.end == End::Killed).count();
    let count = |start: &str| lives.iter().map(|life| life.jobs(start).count()).sum::<usize>();
    println!(
        "{} jobs accepted ({} requests repeated, the longest until its 202: {:?}), all done; {twice} done twice \
         ({} workers were too slow)",
        jobs.len(),
        accepted.repeated.load(Ordering::Relaxed),
        accepted.longest.lock().unwrap(),
        late.len()
    );
    println!(
        "{} processes: {killed} killed, {} stopped, {} replaced by handover; {} jobs begun, {} given back",
        lives.iter().map(|life| life.processes).sum::<usize>(),
        lives.len() - killed,
        lives.iter().map(|life| life.processes - 1).sum::<usize>(),
        count("begun "),
        count("given back ")
    );
    println!(
        "{} events, seen by {} clients over {} connections",
        events.len(),
        listeners.len(),
        listeners.iter().map(|listener| listener.connects).sum::<u32>()
    );
}
