//! The promises of contexts: which contexts end together, with which cause, and which callbacks and waits learn of the
//! end.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{
    error::Error,
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use crossbeam_channel::{RecvTimeoutError, TryRecvError};
use softstop::{Cause, Context, OnCancel};

/// A bound that only detects a hang.
const LONG: Duration = Duration::from_secs(10);
const SHORT: Duration = Duration::from_millis(5);
const MANY: usize = 100_000;

fn assert_send_and_sync<T: Send + Sync>() {}

fn ended(context: &Context) -> Option<Cause> {
    assert_eq!(context.is_cancelled(), context.cause().is_some());
    assert_eq!(context.check().err(), context.cause());
    context.cause()
}

#[test]
fn a_cause_says_why() {
    let cases = [
        (Cause::ClientGone, "the client is gone"),
        (Cause::Stopping, "the server is stopping"),
        (Cause::DeadlineExceeded, "the deadline has passed"),
        (Cause::from("words"), "words"),
        (Cause::from(String::from("own words")), "own words"),
    ];
    for (cause, words) in cases {
        let error: Box<dyn Error + Send + Sync> = Box::new(cause.clone());
        assert_eq!(error.to_string(), words);
        assert_eq!(error.downcast_ref(), Some(&cause));
    }
}

#[test]
fn the_first_cause_stays() {
    assert_send_and_sync::<(Context, Cause)>();
    let context = Context::default();
    assert_eq!(ended(&context), None);
    assert_eq!(context.deadline(), None);
    assert!(context.cancel("first"));
    assert!(!context.cancel("second"));
    assert_eq!(ended(&context), Some("first".into()));
    assert_eq!(context.wait(), "first".into());
    assert!(format!("{context:?}").contains("first"));
}

#[test]
fn an_end_goes_down_and_neither_up_nor_aside() {
    let root = Context::new();
    let (one, two) = (root.child(), root.child());
    let below = one.child();
    assert!(one.cancel(Cause::ClientGone));
    assert_eq!(ended(&below), Some(Cause::ClientGone));
    assert_eq!((ended(&root), ended(&two)), (None, None));
    assert!(root.cancel(Cause::Stopping));
    assert_eq!(ended(&two), Some(Cause::Stopping));
    assert_eq!(ended(&below), Some(Cause::ClientGone));
    assert_eq!(ended(&root.child()), Some(Cause::Stopping));
}

#[test]
fn dropping_the_handles_between_cuts_nothing() {
    let root = Context::new();
    let leaf = root.child().child().child();
    assert_eq!(ended(&leaf), None);
    root.cancel(Cause::Stopping);
    assert_eq!(ended(&leaf), Some(Cause::Stopping));

    let leaf = Context::new().child();
    assert_eq!(ended(&leaf), None);
    assert!(leaf.cancel("by itself"));
}

#[test]
fn a_merged_context_ends_with_either() {
    for (first, words) in [(0, "one"), (1, "two")] {
        let parents = [Context::new(), Context::new()];
        let merged = parents[0].merge(&parents[1]);
        let below = merged.child();
        parents[first].cancel(words);
        assert_eq!(ended(&below), Some(words.into()));
        parents[1 - first].cancel("the other");
        assert_eq!(ended(&merged), Some(words.into()));
    }
    let (over, alive) = (Context::new(), Context::new());
    over.cancel("over");
    assert_eq!(ended(&over.merge(&alive)), Some("over".into()));
    assert_eq!(ended(&alive.merge(&over)), Some("over".into()));
    let twice = alive.merge(&alive);
    assert!(twice.cancel("alone"));
    assert_eq!(ended(&alive), None);
}

#[test]
fn waits_end_with_the_context() {
    let context = Context::new();
    assert_eq!(context.wait_timeout(Duration::ZERO), None);
    assert_eq!(context.wait_timeout(SHORT), None);
    let begin = Instant::now();
    assert_eq!(context.sleep(SHORT), Ok(()));
    assert!(begin.elapsed() >= SHORT);

    let child = context.child();
    let waits: [fn(&Context) -> Option<Cause>; 4] = [
        |context| Some(context.wait()),
        |context| context.wait_timeout(LONG),
        |context| context.wait_timeout(Duration::MAX),
        |context| context.sleep(LONG).err(),
    ];
    let (sender, receiver) = mpsc::channel();
    let waiters = waits.map(|wait| {
        let (child, sender) = (child.clone(), sender.clone());
        thread::spawn(move || sender.send(wait(&child)).unwrap())
    });
    context.cancel(Cause::Stopping);
    for waiter in waiters {
        assert_eq!(receiver.recv_timeout(LONG), Ok(Some(Cause::Stopping)));
        waiter.join().unwrap();
    }
    assert_eq!(context.sleep(LONG), Err(Cause::Stopping));
}

#[test]
fn done_disconnects_at_the_end() {
    let context = Context::new();
    let child = context.child();
    let (first, again) = (child.done(), child.done());
    assert!(first.same_channel(&again));
    assert_eq!(first.try_recv(), Err(TryRecvError::Empty));
    let waiter = thread::spawn(move || again.recv_timeout(LONG));
    context.cancel(Cause::Stopping);
    assert_eq!(waiter.join().unwrap(), Err(RecvTimeoutError::Disconnected));
    assert_eq!(first.try_recv(), Err(TryRecvError::Disconnected));
    assert_eq!(child.done().try_recv(), Err(TryRecvError::Disconnected));
}

#[test]
fn callbacks_run_once_on_the_thread_that_cancels() {
    let context = Context::new();
    let child = context.child();
    let (sender, receiver) = mpsc::channel();
    let registration = child.on_cancel({
        let sender = sender.clone();
        move |cause| sender.send((cause.clone(), thread::current().id())).unwrap()
    });
    assert_eq!(receiver.try_recv(), Err(mpsc::TryRecvError::Empty));
    let canceller = thread::spawn(move || {
        context.cancel(Cause::Stopping);
        thread::current().id()
    });
    let canceller = canceller.join().unwrap();
    drop(registration);
    let late = child.on_cancel(move |cause| sender.send((cause.clone(), thread::current().id())).unwrap());
    drop(late);
    let here = thread::current().id();
    let calls: Vec<_> = receiver.iter().collect();
    assert_eq!(calls, [(Cause::Stopping, canceller), (Cause::Stopping, here)]);
}

#[test]
fn a_registration_calls_off_forgets_and_keeps_its_context() {
    let context = Context::new();
    let (sender, receiver) = mpsc::channel();
    let register = |context: &Context, words: &'static str| -> OnCancel {
        let sender = sender.clone();
        context.on_cancel(move |_| sender.send(words).unwrap())
    };
    let kept = register(&context, "kept");
    drop(register(&context, "called off"));
    register(&context, "forgotten").forget();
    let of_a_child = register(&context.child(), "of a child");
    // The only handle of this child is dropped at once.
    register(&context.child(), "forgotten by all").forget();
    context.cancel("over");
    drop((kept, of_a_child));
    let mut calls: Vec<_> = receiver.try_iter().collect();
    calls.sort_unstable();
    assert_eq!(calls, ["forgotten", "kept", "of a child"]);
}

#[test]
fn a_callback_may_use_any_context_and_finds_all_below_ended() {
    let root = Context::new();
    let children: Vec<_> = (0..10).map(|_| root.child()).collect();
    let (sender, receiver) = mpsc::channel();
    let registration = root.on_cancel({
        let (root, children) = (root.clone(), children.clone());
        move |cause| {
            let below = children.iter().all(|child| child.cause().as_ref() == Some(cause));
            let late = root.child().cause().as_ref() == Some(cause);
            let again = root.cancel("again");
            sender.send((below, late, again)).unwrap();
        }
    });
    root.cancel(Cause::Stopping);
    assert_eq!(receiver.try_recv(), Ok((true, true, false)));
    drop(registration);
}

#[test]
fn a_callback_that_panics_does_not_stop_the_others() {
    let context = Context::new();
    let (sender, receiver) = mpsc::channel();
    let bad = || context.on_cancel(|_| panic!("on purpose"));
    let good = || {
        let sender = sender.clone();
        context.on_cancel(move |_| sender.send("ran").unwrap())
    };
    let registrations = [bad(), good(), bad(), good()];
    assert!(context.cancel("over"));
    drop(registrations);
    bad().forget();
    assert_eq!(receiver.try_iter().collect::<Vec<_>>(), ["ran", "ran"]);
}

#[test]
fn a_deadline_ends_its_context_and_all_below() {
    let root = Context::new();
    let begin = Instant::now();
    let context = root.with_timeout(SHORT);
    let below = context.child();
    assert!(context.deadline().unwrap() >= begin + SHORT);
    assert_eq!(below.deadline(), context.deadline());
    assert_eq!(below.wait_timeout(LONG), Some(Cause::DeadlineExceeded));
    assert!(begin.elapsed() >= SHORT);
    assert_eq!(ended(&context), Some(Cause::DeadlineExceeded));
    assert_eq!(ended(&root), None);
}

#[test]
fn deadlines_come_in_their_order() {
    let root = Context::new();
    let (sender, receiver) = mpsc::channel();
    let begin = Instant::now();
    // The longest deadline is armed first, so that each of the others has to shorten the sleep of the timer.
    let contexts = [30, 20, 10].map(|milliseconds| {
        let context = root.with_deadline(begin + Duration::from_millis(milliseconds));
        let sender = sender.clone();
        context.on_cancel(move |_| sender.send(milliseconds).unwrap()).forget();
        context
    });
    for milliseconds in [10, 20, 30] {
        assert_eq!(receiver.recv_timeout(LONG), Ok(milliseconds));
        assert!(begin.elapsed() >= Duration::from_millis(milliseconds));
    }
    assert!(contexts.iter().all(Context::is_cancelled));
}

#[test]
fn the_earliest_deadline_counts() {
    let now = Instant::now();
    let [soon, late] = [60, 3600].map(|seconds| now + Duration::from_secs(seconds));
    let root = Context::new();
    assert_eq!(root.with_deadline(late).with_deadline(soon).deadline(), Some(soon));
    assert_eq!(root.with_deadline(soon).with_deadline(late).deadline(), Some(soon));
    assert_eq!(root.with_deadline(late).merge(&root.with_deadline(soon)).deadline(), Some(soon));
    assert_eq!(root.merge(&root.with_deadline(soon)).child().deadline(), Some(soon));
    assert_eq!(root.with_timeout(Duration::MAX).deadline(), None);
}

#[test]
fn a_deadline_in_the_past_is_the_end_at_once() {
    let root = Context::new();
    assert_eq!(ended(&root.with_timeout(Duration::ZERO)), Some(Cause::DeadlineExceeded));
    let past = Instant::now() - Duration::from_secs(1);
    assert_eq!(ended(&root.with_deadline(past)), Some(Cause::DeadlineExceeded));
    root.cancel(Cause::Stopping);
    assert_eq!(ended(&root.with_deadline(past)), Some(Cause::Stopping));
    assert_eq!(ended(&root.with_timeout(LONG)), Some(Cause::Stopping));
}

#[test]
fn a_deadline_is_no_handle() {
    let root = Context::new();
    let (sender, receiver) = mpsc::channel::<()>();
    let context = root.with_timeout(Duration::from_secs(3600));
    context.on_cancel(move |_| drop(sender)).forget();
    assert_eq!(receiver.try_recv(), Err(mpsc::TryRecvError::Empty));
    drop(context);
    assert_eq!(receiver.try_recv(), Err(mpsc::TryRecvError::Disconnected));
}

#[test]
fn without_a_server_the_hint_is_the_context_itself() {
    let context = Context::new();
    let child = context.child();
    let hint = child.stopping();
    assert!(!child.is_stopping());
    child.cancel(Cause::ClientGone);
    assert_eq!(ended(&hint), Some(Cause::ClientGone));
    assert!(child.is_stopping());
}

#[test]
fn the_hint_comes_before_the_end() {
    let (hard, soft) = Context::root_with_hint(None);
    let request = hard.child().with_timeout(LONG);
    let hint = request.stopping();
    assert_eq!((ended(&hard.stopping()), ended(&hint)), (None, None));
    assert!(soft.cancel(Cause::Stopping));
    assert_eq!(ended(&hint), Some(Cause::Stopping));
    assert_eq!(ended(&hard.stopping()), Some(Cause::Stopping));
    assert_eq!(ended(&hard.child().stopping()), Some(Cause::Stopping));
    assert!(hard.is_stopping() && request.is_stopping());
    assert_eq!((ended(&hard), ended(&request)), (None, None));
    assert_eq!(ended(&hint.stopping()), Some(Cause::Stopping));
}

#[test]
fn a_hint_ends_at_the_latest_with_its_context() {
    let (hard, soft) = Context::root_with_hint(None);
    let request = hard.child();
    let (hint, other) = (request.stopping(), hard.child().stopping());
    request.cancel(Cause::ClientGone);
    assert_eq!(ended(&hint), Some(Cause::ClientGone));
    assert_eq!((ended(&soft), ended(&other)), (None, None));
    hard.cancel("killed");
    assert_eq!((ended(&soft), ended(&other)), (Some("killed".into()), Some("killed".into())));
}

#[test]
fn a_hint_is_passed_on_to_a_server_below() {
    let parent = Context::new();
    let (hard, soft) = Context::root_with_hint(Some(&parent));
    let (inner, inner_soft) = Context::root_with_hint(Some(&hard.child()));
    soft.cancel(Cause::Stopping);
    assert_eq!(ended(&inner_soft), Some(Cause::Stopping));
    assert_eq!((ended(&hard), ended(&inner)), (None, None));
    parent.cancel("killed");
    assert_eq!((ended(&hard), ended(&inner)), (Some("killed".into()), Some("killed".into())));

    let (late, late_soft) = Context::root_with_hint(Some(&parent));
    assert_eq!((ended(&late), ended(&late_soft)), (Some("killed".into()), Some("killed".into())));

    let parent = Context::new();
    let (hard, soft) = Context::root_with_hint(Some(&parent));
    drop(hard);
    parent.cancel("killed");
    assert_eq!(
        ended(&soft),
        Some("killed".into()),
        "a hint ends with the parent even if no handle of its context is left"
    );
}

#[test]
fn a_hint_below_ends_nothing_above() {
    let (hard, soft) = Context::root_with_hint(None);
    let (inner, inner_soft) = Context::root_with_hint(Some(&hard));
    inner_soft.cancel(Cause::Stopping);
    inner.cancel("over");
    assert_eq!((ended(&soft), ended(&hard)), (None, None));
}

#[test]
fn a_merged_context_has_the_hints_of_both() {
    for first in [0, 1] {
        let servers = [Context::root_with_hint(None), Context::root_with_hint(None)];
        let merged = servers[0].0.child().merge(&servers[1].0.child());
        let hint = merged.child().stopping();
        assert!(!merged.is_stopping());
        servers[first].1.cancel(Cause::Stopping);
        assert_eq!(ended(&hint), Some(Cause::Stopping));
        assert!(merged.is_stopping());
        assert_eq!(ended(&merged), None);
    }
    let (hard, soft) = Context::root_with_hint(None);
    let plain = Context::new();
    let hints = [hard.merge(&plain), plain.merge(&hard), hard.child().merge(&hard.child())]
        .map(|context| (context.stopping(), context));
    soft.cancel(Cause::Stopping);
    for (hint, context) in hints {
        assert_eq!((ended(&hint), ended(&context)), (Some(Cause::Stopping), None));
    }
}

#[test]
fn a_wide_tree_ends_and_goes() {
    let root = Context::new();
    let children: Vec<_> = (0..MANY).map(|_| root.child()).collect();
    root.cancel(Cause::Stopping);
    assert!(children.iter().all(|child| child.cause() == Some(Cause::Stopping)));
    drop(children);

    let root = Context::new();
    let mut children: Vec<_> = (0..MANY).map(|_| root.child()).collect();
    children.truncate(1);
    children.extend((0..MANY).map(|_| root.child()));
    root.cancel(Cause::Stopping);
    assert!(children.iter().all(|child| child.cause() == Some(Cause::Stopping)));
}

#[test]
fn a_deep_tree_ends_and_goes() {
    // The stack is small, so that any recursion overflows it.
    let deep = || (0..MANY).fold(Context::root_with_hint(None).0, |parent, _| parent.child());
    let work = move || {
        let root = Context::new();
        let leaf = (0..MANY).fold(root.child(), |parent, _| parent.child());
        root.cancel(Cause::Stopping);
        assert_eq!(leaf.cause(), Some(Cause::Stopping));
        drop(leaf);
        drop(deep());
        drop((0..MANY).fold(Context::new(), |parent, _| parent.merge(&parent)));
        drop((0..MANY).fold(Context::new(), |parent, _| Context::root_with_hint(Some(&parent)).0));
        drop((0..MANY / 10).fold(deep(), |parent, _| parent.merge(&Context::root_with_hint(None).0)));
    };
    thread::Builder::new().stack_size(128 * 1024).spawn(work).unwrap().join().unwrap();
}

#[test]
fn contexts_come_and_go_from_many_threads() {
    let root = Context::new();
    let (sender, receiver) = mpsc::channel();
    let workers: [_; 4] = std::array::from_fn(|_| {
        let (root, sender) = (root.clone(), sender.clone());
        thread::spawn(move || {
            for round in 0.. {
                let child = root.with_timeout(Duration::from_micros(50));
                let other = root.merge(&child);
                drop(child.on_cancel(|_| ()));
                child.child().cancel("alone");
                drop(child);
                let cause = other.child().wait_timeout(LONG);
                assert!([Some(Cause::DeadlineExceeded), Some(Cause::Stopping)].contains(&cause));
                if round == 100 {
                    sender.send(()).unwrap();
                }
                if root.is_cancelled() {
                    break;
                }
            }
        })
    });
    for _ in &workers {
        assert_eq!(receiver.recv_timeout(LONG), Ok(()));
    }
    root.cancel(Cause::Stopping);
    workers.into_iter().for_each(|worker| worker.join().unwrap());
}
