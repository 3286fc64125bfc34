use super::*;
use loom::{sync::Arc, thread};

/// Stands for the loop's sleep. The loop takes when the bell has rung, and sleeps on the bell otherwise. A push that does not
/// notify the loop would be a deadlock, which loom reports.
#[derive(Default)]
struct Bell {
    rung: Mutex<bool>,
    changed: Condvar,
}

impl Bell {
    fn ring(&self) {
        *lock(&self.rung) = true;
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
            Remainder::More => {}
            Remainder::Nothing => bell.wait(),
            Remainder::End => return out.len(),
            Remainder::Cut => unreachable!("nobody aborts"),
        }
    }
}

/// The sender has to wait for room for its second byte. The loop has to wait for the bytes and the end.
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
                    assert_eq!(feed.push(MessageBytes::Borrowed(b"x"), RoomWait::Endless), Ok(()));
                }
                feed.finish();
            }
        });
        assert_eq!(take_all(&feed, &bell), 2);
        sender.join().unwrap();
    });
}

/// The loop lends the reader when there is room. A worker reads two pieces and the end. A reader that is parked without a
/// notification of the loop would be a deadlock. So would an end of which the waiting loop is not notified.
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
                    Remainder::More => {}
                    Remainder::Nothing => bell.wait(),
                    Remainder::End => break,
                    Remainder::Cut => unreachable!("nobody aborts"),
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
        feed.push(MessageBytes::Borrowed(b"x"), RoomWait::None).unwrap();
        let sender = thread::spawn({
            let feed = Arc::clone(&feed);
            move || feed.push(MessageBytes::Borrowed(b"y"), RoomWait::Endless)
        });
        feed.close(Cause::ClientGone);
        assert_eq!(sender.join().unwrap(), Err(PushError::Closed(Cause::ClientGone)));
    });
}
