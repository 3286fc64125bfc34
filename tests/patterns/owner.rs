//! A single owner answers calls in bounded time. Each caller knows whether its call ran.

use std::{
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError, channel},
    },
    thread,
    time::{Duration, Instant},
};

use softstop::{
    Cause, Context, Refused,
    group::{Drain, Drained},
    patterns::{CallError, Owner, WaitingCalls},
};

use crate::{
    AN_HOUR, assert_no_thread, late,
    support::{
        HUNG,
        gate::{Held, gate},
        in_background, soon, until,
    },
};

type Log = Vec<&'static str>;

/// Sends the owner a call that waits at the gate, and then writes `held` to the log.
fn hold(owner: &Owner<Log>) -> Held {
    let (gate, held) = gate();
    owner
        .tell(move |log| {
            gate.pass();
            log.push("held");
        })
        .unwrap();
    held.wait_entered();
    held
}

/// Makes a call in the background. Returns when the call is in the mailbox. The channel delivers the answer.
fn call(
    owner: &Arc<Owner<Log>>,
    context: &Context,
    word: &'static str,
) -> Receiver<Result<usize, CallError>> {
    let queued = owner.metrics().queued;
    let answer = in_background({
        let (owner, context) = (Arc::clone(owner), context.clone());
        move || {
            owner.call(&context, HUNG * 2, move |log| {
                log.push(word);
                log.len()
            })
        }
    });
    until("the call is in the mailbox", || owner.metrics().queued > queued);
    answer
}

#[test]
fn calls_run_in_order_and_the_stop_returns_the_state() {
    let owner = Owner::builder("own-order").start(Log::new()).unwrap();
    let context = Context::new();
    owner.tell(|log| log.push("one")).unwrap();
    assert_eq!(owner.call(&context, HUNG, |log| log.len()), Ok(1));
    owner.tell(|log| log.push("two")).unwrap();
    assert_eq!(owner.stop(late()), Some(vec!["one", "two"]));
    assert_no_thread("own-order");
    assert_eq!(owner.stop(late()), None, "the first stop has taken the state");
    assert!(matches!(owner.tell(|_| ()), Err(Refused::Stopping(_))));
    assert_eq!(owner.call(&context, HUNG, |log| log.len()), Err(CallError::Stopping));
    let metrics = owner.metrics();
    assert_eq!((metrics.finished, metrics.refused), (3, 2));
}

#[test]
fn what_is_cancelled_before_it_begins_never_runs() {
    let owner = Arc::new(Owner::builder("own-cancel").start(Log::new()).unwrap());
    let context = Context::new();
    let held = hold(&owner);
    let answer = call(&owner, &context, "cancelled");
    context.cancel(Cause::ClientGone);
    assert_eq!(soon(&answer), Err(CallError::Cancelled(Cause::ClientGone)));
    let ended = owner.call(&context, HUNG, |log| log.push("never sent"));
    assert_eq!(ended, Err(CallError::Cancelled(Cause::ClientGone)));
    let hurried = owner.call(&Context::new(), Duration::from_millis(1), |log| log.push("timed out"));
    assert_eq!(hurried, Err(CallError::Cancelled(Cause::DeadlineExceeded)));
    drop(held);
    assert_eq!(owner.stop(late()), Some(vec!["held"]));
    let metrics = owner.metrics();
    assert_eq!((metrics.finished, metrics.cancelled, metrics.queued), (1, 2, 0));
}

#[test]
fn what_has_begun_runs_to_its_end_though_its_caller_has_gone() {
    let owner = Owner::builder("own-begun").start(Log::new()).unwrap();
    let (gate, held) = gate();
    let context = Context::new();
    let answer = thread::scope(|scope| {
        let caller = scope.spawn(|| {
            owner.call(&context, HUNG * 2, move |log| {
                gate.pass();
                log.push("done");
            })
        });
        held.wait_entered();
        context.cancel("the caller has gone");
        caller.join().unwrap()
    });
    assert_eq!(answer, Err(CallError::Begun("the caller has gone".into())));
    drop(held);
    assert_eq!(owner.stop(late()), Some(vec!["done"]));
}

#[test]
fn a_full_mailbox_takes_nothing() {
    let owner = Owner::builder("own-full").capacity(1).start(Log::new()).unwrap();
    let held = hold(&owner);
    owner.tell(|log| log.push("waits")).unwrap();
    let refused = owner.tell(|log| log.push("too many")).unwrap_err();
    assert!(matches!(refused, Refused::Full(_)));
    let mut elsewhere = Log::new();
    refused.into_inner()(&mut elsewhere);
    assert_eq!(elsewhere, ["too many"], "the call is given back and can run elsewhere");
    assert_eq!(owner.call(&Context::new(), Duration::ZERO, |log| log.len()), Err(CallError::Full));
    drop(held);
    assert_eq!(owner.stop(late()), Some(vec!["held", "waits"]));
}

#[test]
fn a_call_waits_for_room_within_its_time() {
    let owner = Arc::new(Owner::builder("own-room").capacity(1).start(Log::new()).unwrap());
    let held = hold(&owner);
    owner.tell(|log| log.push("waits")).unwrap();
    let (time, began) = (Duration::from_millis(20), Instant::now());
    assert_eq!(owner.call(&Context::new(), time, |log| log.len()), Err(CallError::Full));
    assert!(began.elapsed() >= time, "the call waits until its time is over");
    let context = Context::new();
    let [given_up, served] = [&context, &Context::new()].map(|context| {
        let (owner, context) = (Arc::clone(&owner), context.clone());
        in_background(move || owner.call(&context, HUNG * 2, |log| log.len()))
    });
    context.cancel(Cause::ClientGone);
    assert_eq!(soon(&given_up), Err(CallError::Cancelled(Cause::ClientGone)));
    assert!(served.try_recv().is_err(), "the mailbox has no room yet");
    drop(held);
    assert_eq!(soon(&served), Ok(2));
    assert_eq!(owner.stop(late()), Some(vec!["held", "waits"]));
    assert_no_thread("own-room");
}

#[test]
fn a_call_that_waits_for_room_hears_of_a_stop() {
    let owner = Arc::new(Owner::builder("own-closed").capacity(1).start(Log::new()).unwrap());
    let held = hold(&owner);
    owner.tell(|log| log.push("waits")).unwrap();
    let answer = in_background({
        let owner = Arc::clone(&owner);
        move || owner.call(&Context::new(), HUNG * 2, |log| log.len())
    });
    let stopped = in_background({
        let owner = Arc::clone(&owner);
        move || owner.stop(late())
    });
    assert_eq!(soon(&answer), Err(CallError::Stopping));
    drop(held);
    assert_eq!(soon(&stopped), Some(vec!["held", "waits"]));
}

/// A value that panics when it is dropped.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("on purpose");
    }
}

#[test]
fn a_tell_that_a_stop_drops_says_so() {
    let (drops, dropped) = channel();
    let hook = move || {
        drops.send(()).unwrap();
        panic!("on purpose");
    };
    let owner = Arc::new(Owner::builder("own-told").on_dropped(hook).start(Log::new()).unwrap());
    let held = hold(&owner);
    let bomb = Bomb;
    owner.tell(move |_| drop(bomb)).unwrap();
    owner.tell(|log| log.push("never runs")).unwrap();
    let answer = call(&owner, &Context::new(), "refused");
    assert_eq!(owner.drain(Instant::now()), Drained { left: 4, ..Drained::default() });
    assert_eq!(soon(&answer), Err(CallError::Stopping));
    assert_eq!(dropped.try_iter().count(), 2, "the caller of the third call gets an error itself");
    drop(held);
    assert_eq!(owner.stop(late()), Some(vec!["held"]));
    assert_no_thread("own-told");
}

#[test]
fn after_a_panic_the_owner_goes_on() {
    let owner = Owner::builder("own-panic").start(Log::new()).unwrap();
    let answer = owner.call(&Context::new(), HUNG, |log| {
        log.push("half");
        assert_eq!(log.len(), 0, "on purpose");
    });
    assert_eq!(answer, Err(CallError::Panicked));
    owner.tell(|_| panic!("on purpose")).unwrap();
    assert_eq!(owner.call(&Context::new(), HUNG, |log| log.len()), Ok(1));
    assert_eq!(owner.metrics().panicked, 2);
    assert_eq!(owner.stop(late()), Some(vec!["half"]));
}

#[test]
fn a_stop_runs_what_is_in_the_mailbox() {
    let owner = Arc::new(Owner::builder("own-drain").on_stop(WaitingCalls::Run).start(Log::new()).unwrap());
    let held = hold(&owner);
    let answer = call(&owner, &Context::new(), "waited");
    let drained = in_background({
        let owner = Arc::clone(&owner);
        move || owner.drain(late())
    });
    until("the stop has begun", || owner.is_closed());
    drop(held);
    assert_eq!(soon(&answer), Ok(2));
    assert_eq!(soon(&drained), Drained { finished: 2, ..Drained::default() });
    assert_eq!(owner.stop(late()), Some(vec!["held", "waited"]), "a drain leaves the state to the stop");
    assert_no_thread("own-drain");
}

#[test]
fn a_stop_refuses_what_is_in_the_mailbox() {
    let owner = Arc::new(Owner::builder("own-refuse").on_stop(WaitingCalls::Drop).start(Log::new()).unwrap());
    let held = hold(&owner);
    let answer = call(&owner, &Context::new(), "refused");
    let drained = in_background({
        let owner = Arc::clone(&owner);
        move || owner.drain(late())
    });
    // The caller gets its answer although the owner is still busy.
    assert_eq!(soon(&answer), Err(CallError::Stopping));
    drop(held);
    assert_eq!(soon(&drained), Drained { finished: 1, left: 1, ..Drained::default() });
    assert_eq!(owner.metrics().dropped, 1);
    assert_eq!(owner.stop(late()), Some(vec!["held"]));
}

#[test]
fn at_the_deadline_a_call_that_runs_is_left_behind_and_the_others_are_refused() {
    let owner = Arc::new(Owner::builder("own-late").start(Log::new()).unwrap());
    let held = hold(&owner);
    let answer = call(&owner, &Context::new(), "refused");
    assert_eq!(owner.stop(Instant::now()), None);
    assert_eq!(soon(&answer), Err(CallError::Stopping));
    assert_eq!(owner.drain(Instant::now()), Drained { left: 1, ..Drained::default() });
    drop(held);
    assert_eq!(owner.stop(late()), Some(vec!["held"]));
    assert_no_thread("own-late");
}

#[test]
fn an_owner_without_work_gives_its_state_back_though_there_is_no_time() {
    for round in 0..100 {
        let owner = Owner::builder("own-idle").start(round).unwrap();
        assert_eq!(owner.stop(Instant::now()), Some(round));
    }
    assert_no_thread("own-idle");
}

#[test]
fn an_owner_that_is_dropped_refuses_the_rest_and_its_thread_ends() {
    let owner = Owner::builder("own-dropped").start(Log::new()).unwrap();
    let held = hold(&owner);
    let (kept, refused) = channel::<()>();
    owner.tell(move |_| kept.send(()).unwrap()).unwrap();
    drop(owner);
    assert_eq!(refused.recv_timeout(HUNG), Err(RecvTimeoutError::Disconnected));
    drop(held);
    assert_no_thread("own-dropped");
}

#[test]
fn whatever_the_order_a_call_runs_exactly_if_the_caller_is_told_so() {
    let owner = Arc::new(Owner::builder("own-stress").capacity(4).start(0_u64).unwrap());
    let callers = [0, 1, 2, 3].map(|number| {
        let owner = Arc::clone(&owner);
        thread::spawn(move || {
            let mut ran = 0;
            for round in 0..500 {
                let context = Context::new();
                let canceller = (round % 3 == number % 3).then(|| {
                    let context = context.clone();
                    thread::spawn(move || context.cancel("changed my mind"))
                });
                match owner.call(&context, AN_HOUR, |count| *count += 1) {
                    Ok(()) | Err(CallError::Begun(_)) => ran += 1,
                    Err(CallError::Cancelled(_) | CallError::Full | CallError::Stopping) => {}
                    Err(error) => panic!("{error}"),
                }
                canceller.into_iter().for_each(|canceller| _ = canceller.join().unwrap());
            }
            ran
        })
    });
    let ran: u64 = callers.map(|caller| caller.join().unwrap()).iter().sum();
    assert_eq!(owner.stop(late()), Some(ran));
}
