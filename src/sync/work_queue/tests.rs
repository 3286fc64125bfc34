use super::*;

#[test]
fn what_does_not_fit_is_handed_back_and_what_is_not_accepted_is_dropped() {
    let queue = WorkQueue::new(Bounds { waiting: 2, in_background: 1 });
    assert_eq!((queue.push(1), queue.push(2), queue.push(3)), (Ok(1), Ok(2), Err(3)));
    assert_eq!(queue.status(), QueueStatus { waiting: 2, startable: 0, taken: 0 });
    let bed = Arc::default();
    assert_eq!(queue.take(&bed, |work| *work == 2), Some(2));
    assert_eq!(queue.status(), QueueStatus { waiting: 0, startable: 0, taken: 2 });
    queue.push(4).unwrap();
    assert_eq!(queue.drain(), [4]);
    queue.close();
    assert_eq!(queue.take(&bed, |_| true), None);
}

#[test]
fn both_lines_have_their_turns_and_the_background_has_its_bound() {
    let queue = WorkQueue::new(Bounds { waiting: 9, in_background: 2 });
    let bed = Arc::default();
    let take = || queue.take(&bed, |_| true);
    for number in 0..4 {
        queue.push(number).unwrap();
        queue.push_background(10 + number);
    }
    assert_eq!([take(), take(), take(), take()], [Some(0), Some(10), Some(1), Some(11)]);
    assert_eq!(queue.status(), QueueStatus { waiting: 2, startable: 0, taken: 4 });
    assert!(!queue.begin_background(), "two are running");
    assert_eq!(take(), Some(2), "the background has to wait");
    queue.end_background();
    assert_eq!([take(), take()], [Some(12), Some(3)]);
    queue.end_background();
    assert!(queue.begin_background());
    queue.close();
    assert_eq!(take(), None, "what may not begin yet is left to whoever ends");
    queue.end_background();
    assert_eq!([take(), take()], [Some(13), None]);
    queue.push_background(14);
    assert_eq!((queue.drain().len(), queue.drain_background().len()), (0, 1));
}
