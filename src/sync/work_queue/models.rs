use super::*;
use loom::thread::{self, JoinHandle};

/// All interleavings with at most so many preemptions.
fn check(preemptions: usize, model: impl Fn(Arc<WorkQueue<u8>>) + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(move || model(Arc::new(WorkQueue::new(Bounds { waiting: 2, in_background: 1 }))));
}

fn work(queue: &WorkQueue<u8>) -> bool {
    queue.take(&Arc::new(Bed::default()), |_| true).is_some()
}

fn worker(queue: &Arc<WorkQueue<u8>>) -> JoinHandle<bool> {
    let queue = Arc::clone(queue);
    thread::spawn(move || work(&queue))
}

fn submit(queue: &WorkQueue<u8>) {
    queue.push(0).unwrap();
    queue.wake_one();
}

#[test]
fn work_that_comes_while_the_worker_lies_down_wakes_it() {
    check(4, |queue| {
        let worker = worker(&queue);
        submit(&queue);
        assert!(worker.join().unwrap());
    });
}

#[test]
fn two_jobs_from_two_threads_are_both_taken() {
    check(3, |queue| {
        let (other, both) = (Arc::clone(&queue), Arc::clone(&queue));
        let submitter = thread::spawn(move || submit(&other));
        let worker = thread::spawn(move || work(&both) && work(&both));
        submit(&queue);
        submitter.join().unwrap();
        assert!(worker.join().unwrap());
    });
}

/// The second submitter may see the first one's worker on its way, and leave it to that one to wake the other.
#[test]
fn two_workers_that_take_one_job_each_leave_none() {
    check(2, |queue| {
        let workers = [worker(&queue), worker(&queue)];
        submit(&queue);
        submit(&queue);
        workers.into_iter().for_each(|worker| assert!(worker.join().unwrap()));
    });
}

#[test]
fn as_many_are_woken_as_are_wanted_and_none_is_woken_for_nothing() {
    check(2, |queue| {
        let workers = [worker(&queue), worker(&queue)];
        queue.push(0).unwrap();
        queue.push(0).unwrap();
        assert!(queue.wake(2) <= 2);
        workers.into_iter().for_each(|worker| assert!(worker.join().unwrap()));
        assert_eq!(queue.wake(1), 0, "both have gone");
        assert_eq!(queue.status(), QueueStatus { waiting: 0, startable: 0, taken: 2 });
        assert!(queue.drain().is_empty());
    });
}

/// What the first worker does not accept must not be the end of the wakes.
#[test]
fn refused_work_does_not_swallow_the_wake_of_what_follows_it() {
    check(3, |queue| {
        let picky = Arc::clone(&queue);
        let worker = thread::spawn(move || picky.take(&Arc::new(Bed::default()), |work| *work > 0));
        queue.push(0).unwrap();
        queue.wake_one();
        queue.push(1).unwrap();
        queue.wake_one();
        assert_eq!(worker.join().unwrap(), Some(1));
    });
}

#[test]
fn what_was_put_in_before_the_closing_is_still_taken() {
    check(4, |queue| {
        let twice = Arc::clone(&queue);
        let worker = thread::spawn(move || (work(&twice), work(&twice)));
        queue.push(0).unwrap();
        queue.close();
        assert_eq!(worker.join().unwrap(), (true, false));
    });
}

/// One piece of background work may run at once. The second one waits for the first one's end, and no thread may sleep on.
#[test]
fn background_work_that_has_to_wait_is_begun_when_there_is_room() {
    check(2, |queue| {
        let done = Arc::new((Mutex::new(0), Condvar::new()));
        let workers = [0; 2].map(|_| {
            let (queue, done) = (Arc::clone(&queue), Arc::clone(&done));
            thread::spawn(move || {
                while work(&queue) {
                    assert!(lock(&queue.state).running == 1);
                    *lock(&done.0) += 1;
                    done.1.notify_one();
                    queue.end_background();
                }
            })
        });
        for _ in 0..2 {
            queue.push_background(0);
            queue.wake_one();
        }
        // Before the queue is closed, which would wake everybody: what nobody is woken for would wait for ever.
        let mut count = lock(&done.0);
        while *count < 2 {
            count = wait(&done.1, count, None).unwrap_or_else(|count| count);
        }
        drop(count);
        queue.close();
        workers.into_iter().for_each(|worker| worker.join().unwrap());
    });
}

/// Foreground work is taken though the background is full, and the wakes of both lines are not mixed up.
#[test]
fn a_full_background_does_not_hold_up_the_foreground() {
    check(2, |queue| {
        assert!(queue.begin_background());
        queue.push_background(1);
        let worker = thread::spawn({
            let queue = Arc::clone(&queue);
            move || queue.take(&Arc::new(Bed::default()), |_| true)
        });
        submit(&queue);
        assert_eq!(worker.join().unwrap(), Some(0));
        queue.end_background();
        assert!(work(&queue));
    });
}

#[test]
fn closing_wakes_the_sleeper() {
    check(4, |queue| {
        let worker = worker(&queue);
        queue.close();
        assert!(!worker.join().unwrap());
    });
}
