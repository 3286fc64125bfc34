//! Background jobs: the queue finishes each item that it takes, or gives the item back.

use std::{
    sync::{
        Arc,
        mpsc::{Receiver, channel},
    },
    thread,
    time::{Duration, Instant},
};

use softstop::{
    Cause, Context, Refused,
    group::{Drain, Drained},
    patterns::{ItemFate, JobQueue, JobQueueBuilder, Unfinished},
};

use crate::{
    AN_HOUR, assert_no_thread, late,
    support::{gate::gate, in_background, soon, until},
};

/// A builder of a queue that sends its unfinished items to a channel, each with the reason as text.
fn builder<T: Send + 'static>(name: &str) -> (JobQueueBuilder<T>, Receiver<(T, String)>) {
    let (sender, unfinished) = channel();
    let builder = JobQueue::builder(name).on_unfinished(move |item, why| {
        sender.send((item, why.to_string())).unwrap();
        ItemFate::Kept
    });
    (builder, unfinished)
}

fn not_begun<const N: usize>(items: [u32; N]) -> [(u32, String); N] {
    items.map(|item| (item, Unfinished::NotBegun.to_string()))
}

#[test]
fn a_drain_finishes_what_is_queued_and_what_runs() {
    let (builder, unfinished) = builder("jobs-drain");
    let (gate, held) = gate();
    let queue = builder.workers(2).start(move |_: &mut u32, _: &Context| gate.pass()).unwrap();
    (0..5).for_each(|item| queue.try_submit(item).unwrap());
    held.wait_entered();
    held.wait_entered();
    let metrics = queue.metrics();
    assert_eq!((metrics.queued, metrics.running), (3, 2));
    let queue = Arc::new(queue);
    let drained = in_background({
        let queue = Arc::clone(&queue);
        move || queue.drain(late())
    });
    until("the drain has begun", || queue.is_closed());
    assert_eq!(queue.try_submit(9), Err(Refused::Stopping(9)));
    assert!(drained.try_recv().is_err());
    (0..5).for_each(|_| held.let_one_go());
    assert_eq!(soon(&drained), Drained { finished: 5, ..Drained::default() });
    assert_no_thread("jobs-drain");
    assert_eq!(queue.drain(late()), Drained::default());
    drop(queue);
    assert!(unfinished.recv().is_err(), "the queue has finished every item");
}

#[test]
fn a_full_queue_gives_the_item_back() {
    let (gate, held) = gate();
    let queue =
        JobQueue::builder("full").capacity(1).start(move |_: &mut String, _: &Context| gate.pass()).unwrap();
    queue.try_submit("runs".to_owned()).unwrap();
    held.wait_entered();
    queue.try_submit("waits".to_owned()).unwrap();
    assert_eq!(queue.try_submit("too many".to_owned()), Err(Refused::Full("too many".to_owned())));
    assert_eq!(queue.metrics().refused, 1);
    held.let_one_go();
    held.wait_entered();
    queue.try_submit("has room now".to_owned()).unwrap();
    drop(held);
    assert!(queue.drain(late()).is_clean());
    assert_eq!(queue.metrics().finished, 3);
}

#[test]
fn a_stubborn_job_is_left_behind_and_the_rest_is_given_back() {
    let (builder, unfinished) = builder("jobs-stubborn");
    let (gate, held) = gate();
    let queue = builder.start(move |_: &mut u32, _: &Context| gate.pass()).unwrap();
    (0..4).for_each(|item| queue.try_submit(item).unwrap());
    held.wait_entered();
    assert_eq!(queue.drain(Instant::now()), Drained { finished: 0, given_back: 3, left: 1 });
    assert_eq!([(); 3].map(|()| unfinished.try_recv().unwrap()), not_begun([1, 2, 3]));
    let metrics = queue.metrics();
    assert_eq!((metrics.queued, metrics.running, metrics.not_begun, metrics.kept), (0, 1, 3, 3));
    drop(held);
    assert!(queue.drain(late()).is_clean());
    assert_eq!(queue.metrics().finished, 1, "the job was late, and still finished");
    assert_no_thread("jobs-stubborn");
    assert!(unfinished.try_recv().is_err());
}

#[test]
fn the_strictest_of_two_drains_ends_both_with_half_of_it_done() {
    let (builder, unfinished) = builder("jobs-half");
    let (gate, held) = gate();
    let queue = builder.start(move |_: &mut u32, _: &Context| gate.pass()).unwrap();
    (0..4).for_each(|item| queue.try_submit(item).unwrap());
    held.wait_entered();
    let queue = Arc::new(queue);
    let patient = in_background({
        let queue = Arc::clone(&queue);
        move || queue.drain(late())
    });
    until("the drain has begun", || queue.is_closed());
    (0..2).for_each(|_| {
        held.let_one_go();
        held.wait_entered();
    });
    assert_eq!(queue.drain(Instant::now()), Drained { finished: 0, given_back: 1, left: 1 });
    drop(held);
    assert_eq!(soon(&patient), Drained { finished: 3, given_back: 1, left: 0 });
    assert_eq!([unfinished.try_recv().unwrap()], not_begun([3]));
    assert_no_thread("jobs-half");
}

#[test]
fn jobs_that_heed_their_context_give_their_items_back_in_time() {
    let (builder, unfinished) = builder("jobs-heeding");
    let (began, begun) = channel();
    let job = move |item: &mut Vec<&str>, context: &Context| -> Result<(), Cause> {
        item.push("half done");
        began.send(()).unwrap();
        Err(context.wait())
    };
    let queue = builder.workers(2).start(job).unwrap();
    queue.try_submit(vec![]).unwrap();
    queue.try_submit(vec![]).unwrap();
    soon(&begun);
    soon(&begun);
    assert_eq!(queue.drain(Instant::now()), Drained { finished: 0, given_back: 2, left: 0 });
    for _ in 0..2 {
        // The item comes back with the change that the job made.
        let (item, why) = soon(&unfinished);
        assert_eq!((item, why), (vec!["half done"], format!("failed: {}", Cause::Stopping)));
    }
    assert_no_thread("jobs-heeding");
}

#[test]
fn jobs_hear_of_a_stop_when_it_begins() {
    let (began, begun) = channel();
    let job = move |_: &mut (), context: &Context| {
        began.send(()).unwrap();
        assert_eq!(context.stopping().wait(), Cause::Stopping);
        assert!(!context.is_cancelled());
    };
    let queue = JobQueue::builder("hint").start(job).unwrap();
    queue.try_submit(()).unwrap();
    soon(&begun);
    assert_eq!(queue.drain(late()), Drained { finished: 1, ..Drained::default() });
}

#[test]
fn a_job_that_panics_is_counted_and_its_item_given_back() {
    let (builder, unfinished) = builder("jobs-panic");
    let job = |item: &mut u32, _: &Context| assert_ne!(*item, 1, "on purpose");
    let queue = builder.start(job).unwrap();
    (0..3).for_each(|item| queue.try_submit(item).unwrap());
    queue.drain(late());
    assert_eq!(unfinished.try_recv(), Ok((1, "panicked".to_owned())));
    let metrics = queue.metrics();
    assert_eq!((metrics.finished, metrics.panicked, metrics.failed, metrics.running), (2, 1, 0, 0));
    assert_no_thread("jobs-panic");
}

#[test]
fn the_hook_gets_the_error_itself() {
    let (sender, causes) = channel();
    let hook = move |_: u32, why| {
        let Unfinished::Failed(error) = why else { panic!("{why}") };
        sender.send(*error.downcast::<Cause>().unwrap()).unwrap();
        ItemFate::Kept
    };
    let queue = JobQueue::builder("jobs-error")
        .on_unfinished(hook)
        .start(|_: &mut u32, _: &Context| Err::<(), _>(Cause::from("out of paper")))
        .unwrap();
    queue.try_submit(1).unwrap();
    assert_eq!(queue.drain(late()), Drained { given_back: 1, ..Drained::default() });
    assert_eq!(causes.try_recv(), Ok(Cause::from("out of paper")));
}

#[test]
fn a_hook_that_panics_harms_nobody() {
    let queue = JobQueue::builder("jobs-hook")
        .on_unfinished(|_, _| panic!("on purpose"))
        .start(|item: &mut u32, _: &Context| if *item == 0 { Err("no") } else { Ok(()) })
        .unwrap();
    queue.try_submit(0).unwrap();
    queue.try_submit(1).unwrap();
    queue.drain(late());
    let metrics = queue.metrics();
    assert_eq!((metrics.finished, metrics.failed), (1, 1));
    assert_no_thread("jobs-hook");
}

#[test]
fn what_the_hook_keeps_is_given_back_and_what_it_loses_is_left() {
    let hook = |item: u32, _| match item % 3 {
        0 => ItemFate::Kept,
        1 => ItemFate::Lost,
        _ => panic!("on purpose"),
    };
    let builder = JobQueue::builder("jobs-kept").on_unfinished(hook);
    let queue = builder.start(|_: &mut u32, context: &Context| Err::<(), _>(context.wait())).unwrap();
    // The hook loses the first item, whose job runs. So the result is the same if this job returns in time.
    (1..10).for_each(|item| queue.try_submit(item).unwrap());
    let drained = queue.drain(Instant::now());
    assert_eq!(drained, Drained { finished: 0, given_back: 3, left: 6 });
    assert!(!drained.is_clean());
    assert_eq!(drained.to_string(), "0 finished, 3 given back, 6 left");
    let by_default =
        JobQueue::builder("jobs-lost").start(|_: &mut u32, context: &Context| Err::<(), _>(context.wait()));
    let queue = by_default.unwrap();
    queue.try_submit(1).unwrap();
    assert_eq!(queue.drain(Instant::now()), Drained { left: 1, ..Drained::default() });
}

#[test]
fn an_item_that_the_hook_has_when_a_stop_begins_belongs_to_the_stop() {
    let (gate, held) = gate();
    let hook = move |_: u32, _| {
        gate.pass();
        ItemFate::Kept
    };
    let builder = JobQueue::builder("jobs-hooked").on_unfinished(hook);
    let queue = Arc::new(builder.start(|_: &mut u32, _: &Context| Err::<(), _>("no")).unwrap());
    queue.try_submit(1).unwrap();
    held.wait_entered();
    let drained = in_background({
        let queue = Arc::clone(&queue);
        move || queue.drain(late())
    });
    until("the drain has begun", || queue.is_closed());
    drop(held);
    assert_eq!(soon(&drained), Drained { given_back: 1, ..Drained::default() });
    let metrics = queue.metrics();
    assert_eq!((metrics.failed, metrics.kept, metrics.running), (1, 1, 0));
}

#[test]
fn a_job_that_ends_its_own_context_ends_no_other() {
    let job = |_: &mut (), context: &Context| -> Result<(), Cause> {
        context.check()?;
        context.cancel("enough");
        Ok(())
    };
    let queue = JobQueue::builder("own").start(job).unwrap();
    (0..3).for_each(|_| queue.try_submit(()).unwrap());
    queue.drain(late());
    assert_eq!(queue.metrics().finished, 3);
}

#[test]
fn at_a_rate_jobs_keep_their_distance_during_a_drain_too() {
    let (sender, times) = channel();
    let distance = Duration::from_millis(20);
    let queue = JobQueue::builder("rate")
        .workers(3)
        .rate(5, 5 * distance)
        .start(move |(): &mut (), _: &Context| sender.send(Instant::now()).unwrap())
        .unwrap();
    let began = Instant::now();
    (0..4).for_each(|_| queue.try_submit(()).unwrap());
    assert!(queue.drain(late()).is_clean());
    let mut times: Vec<Instant> = times.try_iter().collect();
    times.sort();
    assert_eq!(times.len(), 4);
    for (place, time) in times.iter().enumerate() {
        assert!(*time >= began + distance * place as u32, "{place}: {:?}", *time - began);
    }
}

#[test]
fn what_would_have_its_turn_after_the_deadline_is_given_back_at_once() {
    let (builder, unfinished) = builder("jobs-turn");
    let queue = builder.capacity(2).workers(2).rate(1, AN_HOUR).start(|_: &mut u32, _: &Context| ()).unwrap();
    queue.try_submit(0).unwrap();
    until("the first one has its turn at once", || queue.metrics().finished == 1);
    queue.try_submit(1).unwrap();
    queue.try_submit(2).unwrap();
    // Both items take room, also while a worker waits with an item for its turn.
    assert_eq!(queue.try_submit(3), Err(Refused::Full(3)));
    assert_eq!(queue.metrics().queued, 2);
    let drained = in_background(move || queue.drain(Instant::now() + AN_HOUR / 2));
    assert_eq!(soon(&drained), Drained { finished: 0, given_back: 2, left: 0 });
    let mut given_back: Vec<_> = unfinished.try_iter().collect();
    given_back.sort_by_key(|(item, _)| *item);
    assert_eq!(given_back, not_begun([1, 2]));
    assert_no_thread("jobs-turn");
}

#[test]
fn a_turn_that_is_waited_for_ends_with_the_time_of_the_stop() {
    let (builder, unfinished) = builder("jobs-wait");
    let queue = builder.rate(1, AN_HOUR).start(|_: &mut u32, _: &Context| ()).unwrap();
    queue.try_submit(0).unwrap();
    until("the first one has its turn at once", || queue.metrics().finished == 1);
    queue.try_submit(1).unwrap();
    let queue = Arc::new(queue);
    let patient = in_background({
        let queue = Arc::clone(&queue);
        move || queue.drain(Instant::now() + 2 * AN_HOUR)
    });
    until("the drain has begun", || queue.is_closed());
    assert_eq!(queue.drain(Instant::now()).finished, 0);
    assert_eq!(soon(&patient), Drained { finished: 0, given_back: 1, left: 0 });
    assert_eq!([unfinished.try_recv().unwrap()], not_begun([1]));
    assert_no_thread("jobs-wait");
}

#[test]
fn a_queue_that_is_dropped_gives_back_what_has_not_begun() {
    let (builder, unfinished) = builder("jobs-dropped");
    let (began, begun) = channel();
    let job = move |_: &mut u32, context: &Context| {
        began.send(()).unwrap();
        Err::<(), Cause>(context.wait())
    };
    let queue = builder.start(job).unwrap();
    (0..3).for_each(|item| queue.try_submit(item).unwrap());
    soon(&begun);
    drop(queue);
    // The worker may return in time to give back one of the items itself, so the order is not fixed.
    let mut given_back: Vec<_> = (0..3).map(|_| soon(&unfinished)).collect();
    given_back.sort_by_key(|(item, _)| *item);
    let failed = (0, format!("failed: {}", Cause::Stopping));
    assert_eq!(given_back, [vec![failed], not_begun([1, 2]).to_vec()].concat());
    assert_no_thread("jobs-dropped");
}

#[test]
fn whatever_the_order_every_item_is_accounted_for() {
    for round in 0..50 {
        let (builder, unfinished) = builder("jobs-stress");
        let (sender, done) = channel();
        let job = move |item: &mut u32, _: &Context| {
            match *item % 7 {
                0 => return Err("on purpose"),
                _ => sender.send(*item).unwrap(),
            }
            Ok(())
        };
        let queue = Arc::new(builder.capacity(16).workers(3).start(job).unwrap());
        let submitters = [0, 1].map(|number| {
            let queue = Arc::clone(&queue);
            thread::spawn(move || {
                let mut taken = Vec::new();
                for item in (1000 * number..).take(1000) {
                    match queue.try_submit(item) {
                        Ok(()) => taken.push(item),
                        Err(Refused::Full(_)) => thread::yield_now(),
                        Err(Refused::Stopping(_)) => break,
                    }
                }
                taken
            })
        });
        until("some of it is done", || queue.metrics().finished > round % 10);
        let deadline = if round % 2 == 0 { Instant::now() } else { late() };
        queue.drain(deadline);
        // The second drain waits for the items that workers still had when the first drain returned.
        queue.drain(late());
        let mut taken = submitters.map(|submitter| submitter.join().unwrap()).concat();
        let mut accounted: Vec<u32> =
            done.try_iter().chain(unfinished.try_iter().map(|(item, _)| item)).collect();
        taken.sort();
        accounted.sort();
        assert_eq!(accounted, taken);
        let metrics = queue.metrics();
        let sum = metrics.finished + metrics.failed + metrics.not_begun;
        assert_eq!((sum, metrics.queued, metrics.running), (taken.len() as u64, 0, 0));
    }
    assert_no_thread("jobs-stress");
}
