use super::*;
use crate::sync::{AtomicBool, Ordering};
use loom::{sync::Arc, thread};

/// The loop: takes whenever it is told, and sleeps on the bell otherwise, so that a push which nobody is told of
/// would be a deadlock.
#[derive(Default)]
struct Bell {
    rung: Mutex<bool>,
    changed: Condvar,
    ever: AtomicBool,
}

impl Bell {
    fn ring(&self) {
        *lock(&self.rung) = true;
        self.ever.store(true, Ordering::Relaxed);
        self.changed.notify_one();
    }

    fn wait(&self) {
        let mut rung = lock(&self.rung);
        while !*rung {
            rung = wait(&self.changed, rung, None).unwrap_or_else(|rung| rung);
        }
        *rung = false;
    }
}

fn take_all(feed: &Feed, bell: &std::sync::Arc<Bell>) -> usize {
    let notify = std::sync::Arc::clone(bell);
    assert!(feed.attach(std::sync::Arc::new(move || notify.ring())));
    let mut out = Vec::new();
    loop {
        match feed.take(1, &mut out, |_, _| ()).1 {
            Rest::More => {}
            Rest::Nothing => bell.wait(),
            Rest::End => return out.len(),
            Rest::Cut => unreachable!("nobody aborts"),
        }
    }
}

/// The second byte has to wait for room, and the loop for the bytes and the end.
#[test]
fn neither_side_waits_for_ever() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(|| {
        let feed = Arc::new(Feed::new(1));
        let bell = std::sync::Arc::new(Bell::default());
        let sender = thread::spawn({
            let feed = Arc::clone(&feed);
            move || {
                for _ in 0..2 {
                    assert_eq!(feed.push(Message::Bytes(b"x"), Patience::Endless), Ok(()));
                }
                feed.finish();
            }
        });
        assert_eq!(take_all(&feed, &bell), 2);
        sender.join().unwrap();
    });
}

/// The loop lends the reader whenever there is room, and a worker reads two pieces and the end. A reader that is parked
/// without the loop being told would be a deadlock, and so would a loop that finds nothing and is not told of the end.
#[test]
fn a_reader_goes_back_and_forth_until_its_content_is_taken() {
    for afterwards in [Afterwards::Park, Afterwards::GoOn] {
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(2);
        model.check(move || {
            let feed = Arc::new(Feed::of_reader(Box::new(&b"xy"[..]), 1));
            let bell = std::sync::Arc::new(Bell::default());
            let job = Arc::new((Mutex::new(None::<Loan>), Condvar::new()));
            let worker = thread::spawn({
                let (feed, job) = (Arc::clone(&feed), Arc::clone(&job));
                move || {
                    loop {
                        let mut queued = lock(&job.0);
                        while queued.is_none() {
                            queued = wait(&job.1, queued, None).unwrap_or_else(|queued| queued);
                        }
                        let Some(mut loan) = queued.take() else { unreachable!("waited for") };
                        drop(queued);
                        loop {
                            let mut buffer = [0];
                            assert_eq!(loan.most, 1);
                            if loan.reader.read(&mut buffer).unwrap() == 0 {
                                return feed.finish();
                            }
                            match feed.deliver(&buffer, loan.reader, afterwards) {
                                Delivered::GoOn(again) => loan = again,
                                Delivered::Parked => break,
                                Delivered::Over(_) => unreachable!("nobody closes it"),
                            }
                        }
                    }
                }
            });
            let notify = std::sync::Arc::clone(&bell);
            assert!(feed.attach(std::sync::Arc::new(move || notify.ring())));
            let mut out = Vec::new();
            loop {
                let (_, rest) = feed.take(1, &mut out, |_, _| ());
                if let Some(loan) = feed.lend() {
                    assert!(lock(&job.0).replace(loan).is_none(), "lent twice");
                    job.1.notify_one();
                }
                match rest {
                    Rest::More => {}
                    Rest::Nothing => bell.wait(),
                    Rest::End => break,
                    Rest::Cut => unreachable!("nobody aborts"),
                }
            }
            assert_eq!(out, b"xy");
            worker.join().unwrap();
        });
    }
}

#[test]
fn a_sender_that_waits_for_room_hears_of_the_close() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(|| {
        let feed = Arc::new(Feed::new(1));
        feed.push(Message::Bytes(b"x"), Patience::None).unwrap();
        let sender = thread::spawn({
            let feed = Arc::clone(&feed);
            move || feed.push(Message::Bytes(b"y"), Patience::Endless)
        });
        feed.close(Cause::ClientGone);
        assert_eq!(sender.join().unwrap(), Err(Refused::Closed(Cause::ClientGone)));
    });
}
