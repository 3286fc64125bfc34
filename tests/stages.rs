//! The stages of a group's stop: the work that one stage hands on, the next stage still takes.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::{
    sync::{
        Arc,
        mpsc::{Receiver, Sender, channel},
    },
    time::Duration,
};

use softstop::{
    Cause, Context, Group, Request, Router, Server, Signal, StopPolicy,
    group::Drained,
    observe::{Event, Observer},
    patterns::{ItemFate, JobQueue, Owner},
    report::{DrainOutcome, GroupReport},
    route,
};
use support::{
    HUNG,
    client::{Client, get},
    gate::gate,
    in_background, local, patient, soon, until,
};

/// A policy with a very short grace period. No test uses up the cancel grace.
fn hasty() -> StopPolicy {
    StopPolicy::default().grace(Duration::from_millis(50)).cancel_grace(HUNG * 4)
}

fn drained(report: &GroupReport) -> Vec<Drained> {
    let drained = report.drains.iter().map(|drain| match drain.outcome {
        DrainOutcome::Emptied(drained) => drained,
        ref outcome => panic!("{}: {outcome}", drain.name),
    });
    drained.collect()
}

#[test]
fn what_a_queue_gives_back_at_its_deadline_the_next_stage_keeps() {
    const ITEMS: u32 = 100;
    let kept = Arc::new(Owner::builder("kept").start(Vec::new()).unwrap());
    let keeper = Arc::clone(&kept);
    let jobs = JobQueue::builder("jobs")
        .on_unfinished(move |item: u32, _| match keeper.tell(move |kept| kept.push(item)) {
            Ok(()) => ItemFate::Kept,
            Err(_) => ItemFate::Lost,
        })
        .start(|_: &mut u32, context: &Context| -> Result<(), Cause> { Err(context.wait()) })
        .unwrap();
    (0..ITEMS).for_each(|item| jobs.try_submit(item).unwrap());
    let group = Group::new().drain("jobs", jobs).then().drain("kept", Arc::clone(&kept));
    group.handle().request_stop(hasty());
    let report = soon(&in_background(move || group.run())).unwrap();
    let [of_jobs, of_kept] = drained(&report)[..] else { panic!("{report}") };
    assert_eq!(of_jobs, Drained { given_back: ITEMS.into(), ..Drained::default() });
    // The owner may have run some or all of the calls before its own drain began.
    assert_eq!(of_kept.left, 0, "{report}");
    assert!(report.is_clean(), "everything is kept: {report}");
    let mut items = kept.stop(std::time::Instant::now()).unwrap();
    items.sort_unstable();
    assert_eq!(items, (0..ITEMS).collect::<Vec<_>>());
}

#[test]
fn what_a_cancelled_handler_hands_on_the_queue_of_its_stage_still_takes() {
    let jobs = Arc::new(JobQueue::builder("jobs").start(|_: &mut Cause, _: &Context| ()).unwrap());
    let (gate, held) = gate();
    let queue = Arc::clone(&jobs);
    let routes = Router::new().get("/", move |request: &Request| {
        gate.pass();
        // The handler has used up the grace period, and submits its result now.
        format!("{:?}", queue.try_submit(request.context().wait()))
    });
    let server = local().routes(routes).build();
    let handle = server.handle();
    let group = Group::new().server(server).drain("jobs", Arc::clone(&jobs));
    let stop = group.handle();
    let ended = in_background(move || group.run());
    until("the server listens", || handle.is_ready());
    let mut client = Client::connect(handle.socket_addrs()[0]);
    client.send(get("/"));
    held.wait_entered();
    held.let_one_go();
    stop.request_stop(hasty());
    assert_eq!(client.read_response().text(), "Ok(())");
    drop(client);
    let report = soon(&ended).unwrap();
    assert_eq!((jobs.metrics().finished, jobs.metrics().refused), (1, 0), "{report}");
    assert!(report.is_clean(), "{report}");
}

#[test]
fn a_choice_of_a_policy_that_never_returns_holds_up_no_other_stop() {
    let (gate, held) = gate();
    let choose = move |_, _| {
        gate.pass();
        None
    };
    let group = Group::new().server(local().build()).stop_on(&[Signal::User1], choose);
    let stop = group.handle();
    let ended = in_background(move || group.run());
    let id = std::process::id().to_string();
    assert!(std::process::Command::new("kill").args(["-s", "USR1", &id]).status().unwrap().success());
    held.wait_entered();
    stop.request_stop(patient());
    assert!(soon(&ended).unwrap().is_clean());
    drop(held);
}

/// An observer that reports which server was asked to stop.
struct Asked(Sender<String>);

impl Observer for Asked {
    fn observe(&self, server: &str, event: &Event<'_>) {
        if matches!(event, Event::StopAsked { .. }) {
            self.0.send(server.to_owned()).unwrap();
        }
    }
}

fn observed(name: &str, asked: &Sender<String>, routes: Router) -> Server {
    local().name(name).observer(Asked(asked.clone())).routes(routes).build()
}

/// The next names from the observers, sorted. A loop tells the observer of a stop, a moment after the stop was asked
/// for.
fn next_names<const COUNT: usize>(asked: &Receiver<String>) -> [String; COUNT] {
    let mut names = std::array::from_fn(|_| soon(asked));
    names.sort();
    names
}

#[test]
fn each_stop_tells_each_server_of_the_stage_once() {
    let (asked, was_asked) = channel();
    let (gate, held) = gate();
    let holding = Router::new().get("/", move |_: &Request| {
        gate.pass();
        "served"
    });
    let front = observed("front", &asked, holding);
    let beside = observed("beside", &asked, Router::new());
    let back = observed("back", &asked, Router::new().get("/", route(|_: &Request| "served").inline()));
    drop(asked);
    let (front_handle, back_handle) = (front.handle(), back.handle());
    let (told, hears) = channel();
    let group = Group::new().server(front).server(beside).then().server(back).task("hears", move |context| {
        told.send(context.stopping().wait()).unwrap();
    });
    let stop = group.handle();
    let ended = in_background(move || group.run());
    until("all serve", || front_handle.is_ready() && back_handle.is_ready());
    let mut client = Client::connect(front_handle.socket_addrs()[0]);
    client.send(get("/"));
    held.wait_entered();
    stop.request_stop(patient());
    // By then, the thread that runs the group is in the first stage.
    assert_eq!(soon(&hears), Cause::Stopping);
    assert_eq!(next_names(&was_asked), ["beside", "front"]);
    stop.request_stop(patient());
    assert!(back_handle.is_ready());
    held.let_one_go();
    client.read_response();
    drop(client);
    assert!(soon(&ended).unwrap().is_clean());
    let rest: Vec<String> = was_asked.try_iter().collect();
    // The server `beside` may have ended before the second stop.
    let count = |name: &str| rest.iter().filter(|other| *other == name).count();
    assert_eq!((count("front"), count("back")), (1, 1), "{rest:?}");
    assert!(count("beside") <= 1, "{rest:?}");
}
