//! The races of contexts and wait groups, in every order that loom can find.
//!
//! ```text
//! RUSTFLAGS="--cfg loom" CARGO_TARGET_DIR=target/loom \
//!     cargo test --release --no-default-features --test loom -- --nocapture
//! ```
//!
//! loom reports a lost wake-up as a deadlock. The models count the calls of callbacks with atomics of the standard library,
//! which add no steps to the models. All assertions stand outside of callbacks, because a panic in a callback is caught.
#![cfg(loom)]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::SeqCst},
};

use loom::{
    sync::atomic::{AtomicUsize as Modelled, Ordering::Relaxed},
    thread,
};
use softstop::{Cause, Context, WaitGroup};

/// Runs the model in all orders with at most that many preemptions, and prints the number of orders.
fn check(name: &'static str, preemptions: Option<usize>, model: impl Fn() + Send + Sync + 'static) {
    let orders = Arc::new(AtomicUsize::new(0));
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = preemptions;
    builder.check({
        let orders = Arc::clone(&orders);
        move || {
            orders.fetch_add(1, SeqCst);
            model();
        }
    });
    eprintln!("{name}: {} orders", orders.load(SeqCst));
}

/// A counter of calls.
#[derive(Clone, Default)]
struct Calls(Arc<AtomicUsize>);

impl Calls {
    fn count(&self) {
        self.0.fetch_add(1, SeqCst);
    }

    fn get(&self) -> usize {
        self.0.load(SeqCst)
    }
}

#[test]
fn the_last_guard_against_a_waiter() {
    check("the last guard against a waiter", None, || {
        let group = WaitGroup::new();
        let guard = group.guard();
        let work = Arc::new(Modelled::new(0));
        let worker = thread::spawn({
            let work = Arc::clone(&work);
            move || {
                work.store(1, Relaxed);
                drop(guard);
            }
        });
        group.wait();
        assert_eq!(work.load(Relaxed), 1, "the waiter sees what the worker did before it dropped its guard");
        worker.join().unwrap();
    });
}

#[test]
fn two_guards_against_two_waiters() {
    check("two guards against two waiters", Some(2), || {
        let group = WaitGroup::new();
        let guards = [group.guard(), group.guard()];
        let workers = guards.map(|guard| thread::spawn(move || drop(guard)));
        let waiter = thread::spawn({
            let group = group.clone();
            move || group.wait()
        });
        group.wait();
        waiter.join().unwrap();
        workers.into_iter().for_each(|worker| worker.join().unwrap());
    });
}

#[test]
fn the_last_guard_against_on_zero() {
    check("the last guard against on_zero", None, || {
        let group = WaitGroup::new();
        let guard = group.guard();
        let work = Arc::new(Modelled::new(0));
        let seen = Calls::default();
        let worker = thread::spawn({
            let work = Arc::clone(&work);
            move || {
                work.store(1, Relaxed);
                drop(guard);
            }
        });
        group.on_zero({
            let seen = seen.clone();
            move || {
                if work.load(Relaxed) == 1 {
                    seen.count();
                }
            }
        });
        worker.join().unwrap();
        assert_eq!(seen.get(), 1);
    });
}

#[test]
fn two_guards_run_on_zero_once() {
    check("two guards run on_zero once", None, || {
        let group = WaitGroup::new();
        let calls = Calls::default();
        let guards = [group.guard(), group.guard()];
        group.on_zero({
            let calls = calls.clone();
            move || calls.count()
        });
        let workers = guards.map(|guard| thread::spawn(move || drop(guard)));
        workers.into_iter().for_each(|worker| worker.join().unwrap());
        assert_eq!(calls.get(), 1);
    });
}

/// The thread that reached zero may lock the queue late, when there are a new guard and a new waiter. The thread must wake only
/// the old waiter.
#[test]
fn a_late_zero_is_not_that_of_the_next_waiter() {
    check("a late zero is not that of the next waiter", None, || {
        let group = WaitGroup::new();
        let (first, second) = (Calls::default(), Calls::default());
        let guard = group.guard();
        group.on_zero({
            let first = first.clone();
            move || first.count()
        });
        let worker = thread::spawn({
            let (group, second) = (group.clone(), second.clone());
            move || {
                let zero = group.is_zero();
                let next = group.guard();
                group.on_zero(move || second.count());
                (zero, next)
            }
        });
        drop(guard);
        let (zero, next) = worker.join().unwrap();
        assert_eq!(second.get(), 0, "the next guard is still there");
        assert!(
            !zero || first.get() == 1,
            "the first zero was reached, and the drop that reached it is over"
        );
        drop(next);
        assert_eq!((first.get(), second.get()), (1, 1));
    });
}

#[test]
fn cancel_against_child() {
    check("cancel against child", None, || {
        let parent = Context::new();
        let canceller = thread::spawn({
            let parent = parent.clone();
            move || parent.cancel(Cause::Stopping)
        });
        let child = parent.child();
        let grandchild = child.child();
        assert!(canceller.join().unwrap());
        assert_eq!(child.cause(), Some(Cause::Stopping));
        assert_eq!(grandchild.cause(), Some(Cause::Stopping));
    });
}

#[test]
fn cancel_against_a_look() {
    check("cancel against a look", None, || {
        let parent = Context::new();
        let child = parent.child();
        let canceller = thread::spawn({
            let parent = parent.clone();
            move || parent.cancel(Cause::Stopping)
        });
        assert!(!child.is_cancelled() || child.check() == Err(Cause::Stopping));
        assert!(child.cause().is_none() || child.is_cancelled());
        assert!(
            child.cause().is_none() || parent.is_cancelled(),
            "a child has a cause only if its parent has ended"
        );
        assert!(canceller.join().unwrap());
    });
}

#[test]
fn cancel_against_wait() {
    check("cancel against wait", None, || {
        let parent = Context::new();
        let child = parent.child();
        let waiter = thread::spawn({
            let child = child.clone();
            move || child.wait()
        });
        parent.cancel(Cause::Stopping);
        assert_eq!(child.wait(), Cause::Stopping);
        assert_eq!(waiter.join().unwrap(), Cause::Stopping);
    });
}

#[test]
fn cancel_against_on_cancel() {
    check("cancel against on_cancel", None, || {
        let context = Context::new();
        let calls = Calls::default();
        let canceller = thread::spawn({
            let context = context.clone();
            move || context.cancel(Cause::Stopping)
        });
        let registration = context.on_cancel({
            let calls = calls.clone();
            move |_| calls.count()
        });
        assert!(canceller.join().unwrap());
        assert_eq!(calls.get(), 1);
        drop(registration);
    });
}

#[test]
fn cancel_against_calling_off() {
    check("cancel against calling off", None, || {
        let context = Context::new();
        let [called_off, kept] = [Calls::default(), Calls::default()];
        let [registration, other] = [&called_off, &kept].map(|calls| {
            let calls = calls.clone();
            context.on_cancel(move |_| calls.count())
        });
        let canceller = thread::spawn({
            let context = context.clone();
            move || context.cancel(Cause::Stopping)
        });
        drop(registration);
        assert!(canceller.join().unwrap());
        assert!(called_off.get() <= 1);
        assert_eq!(kept.get(), 1);
        drop(other);
    });
}

#[test]
fn two_cancels() {
    check("two cancels", None, || {
        let parent = Context::new();
        let child = parent.child();
        let cancellers = ["one", "two"].map(|words| {
            let parent = parent.clone();
            thread::spawn(move || (parent.cancel(words), parent.cause()))
        });
        let [one, two] = cancellers.map(|canceller| canceller.join().unwrap());
        let winner = Some(Cause::from(if one.0 { "one" } else { "two" }));
        assert!(one.0 != two.0, "exactly one call has ended the context");
        assert_eq!((&one.1, &two.1), (&winner, &winner));
        assert_eq!((parent.cause(), child.cause()), (winner.clone(), winner));
    });
}

#[test]
fn cancel_against_the_drop_of_a_child() {
    check("cancel against the drop of a child", None, || {
        let parent = Context::new();
        let child = parent.child();
        let canceller = thread::spawn({
            let parent = parent.clone();
            move || parent.cancel(Cause::Stopping)
        });
        drop(child);
        // The sibling gets the slot of the dropped child, or finds that the parent has ended.
        let sibling = parent.child();
        assert!(canceller.join().unwrap());
        assert_eq!(sibling.cause(), Some(Cause::Stopping));
    });
}

/// The canceller may hold the last handle of the whole chain. Then the canceller frees the chain.
#[test]
fn cancel_against_the_drop_of_a_chain() {
    check("cancel against the drop of a chain", None, || {
        let root = Context::new();
        let leaf = root.child().child();
        let canceller = thread::spawn({
            let root = root.clone();
            move || root.cancel(Cause::Stopping)
        });
        drop(leaf);
        assert!(canceller.join().unwrap());
        assert_eq!(root.child().cause(), Some(Cause::Stopping));
    });
}

#[test]
fn merge_against_both_cancels() {
    check("merge against both cancels", Some(3), || {
        let parents = [Context::new(), Context::new()];
        let cancellers = [(0, "one"), (1, "two")].map(|(place, words)| {
            let parent: Context = parents[place].clone();
            thread::spawn(move || parent.cancel(words))
        });
        let merged = parents[0].merge(&parents[1]);
        let below = merged.child();
        assert!(cancellers.map(|canceller| canceller.join().unwrap()) == [true, true]);
        let cause = merged.cause();
        assert!([Some("one".into()), Some("two".into())].contains(&cause));
        assert_eq!(below.cause(), cause);
    });
}

#[test]
fn the_hint_against_the_hard_cancel() {
    check("the hint against the hard cancel", Some(3), || {
        let (hard, soft) = Context::root_with_hint(None);
        let hinter = thread::spawn({
            let soft = soft.clone();
            move || soft.cancel(Cause::Stopping)
        });
        let canceller = thread::spawn({
            let hard = hard.clone();
            move || {
                assert!(hard.cancel("too late"));
                assert!(hard.stopping().is_cancelled(), "the hint ends at the latest with the context");
            }
        });
        let stopping = hard.child().stopping();
        let hinted = hinter.join().unwrap();
        canceller.join().unwrap();
        let too_late = Some(Cause::from("too late"));
        assert_eq!(soft.cause(), if hinted { Some(Cause::Stopping) } else { too_late.clone() });
        assert_eq!(hard.cause(), too_late);
        assert!(stopping.cause() == Some(Cause::Stopping) || stopping.cause() == too_late);
    });
}

#[test]
fn a_nested_hint_against_the_hard_cancel_above() {
    check("a nested hint against the hard cancel above", Some(3), || {
        let (outer, _outer_hint) = Context::root_with_hint(None);
        let canceller = thread::spawn({
            let outer = outer.clone();
            move || outer.cancel("over")
        });
        let (inner, inner_hint) = Context::root_with_hint(Some(&outer));
        assert!(canceller.join().unwrap());
        assert_eq!((inner.cause(), inner_hint.cause()), (Some("over".into()), Some("over".into())));
    });
}
