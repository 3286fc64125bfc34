//! Subscribers: a message that is not acknowledged is delivered again. A stop waits for acknowledgements, and reports
//! how many are missing.

use std::{
    collections::BTreeSet,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    thread,
    time::Instant,
};

use softstop::{
    Cause, Context, Refused,
    group::{Drain, Drained},
    patterns::{Bus, ReceiveError, Subscription},
};

use crate::{
    late,
    support::{in_background, soon, until},
};

/// Takes the next message and acknowledges it.
#[track_caller]
fn next<T: Copy>(subscription: &Subscription<T>) -> T {
    let delivery = subscription.next(&Context::new().with_deadline(late())).unwrap();
    let message = *delivery;
    delivery.ack();
    message
}

#[test]
fn everybody_gets_everything_in_order_and_a_flush_waits_for_all() {
    let bus = Bus::new();
    assert_eq!(bus.publish(0).unwrap().delivered, 0, "the bus has no subscriber yet");
    let subscriptions = [bus.subscribe(3), bus.subscribe(3)];
    for message in 1..=3 {
        assert_eq!(bus.publish(message).unwrap().delivered, 2);
    }
    assert_eq!(bus.flush(Instant::now()), Drained { left: 6, ..Drained::default() });
    for subscription in &subscriptions {
        assert_eq!([(); 3].map(|()| next(subscription)), [1, 2, 3]);
    }
    assert_eq!(bus.flush(late()), Drained::default());
}

#[test]
fn what_is_not_acknowledged_comes_again_before_the_others() {
    let bus = Bus::new();
    let subscription = bus.subscribe(8);
    ["one", "two"].iter().for_each(|message| _ = bus.publish(*message).unwrap());
    let context = Context::new();
    let delivery = subscription.next(&context).unwrap();
    assert_eq!((*delivery, delivery.attempt()), ("one", 1));
    drop(delivery);
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        let delivery = subscription.next(&context).unwrap();
        assert_eq!(*delivery, "on purpose");
    }));
    assert!(panicked.is_err());
    let delivery = subscription.next(&context).unwrap();
    assert_eq!((*delivery, delivery.attempt()), ("one", 3));
    delivery.ack();
    assert_eq!(next(&subscription), "two");
}

#[test]
fn a_slow_subscriber_misses_what_it_has_no_room_for_and_holds_up_nobody() {
    let bus = Bus::new();
    let (slow, quick) = (bus.subscribe(2), bus.subscribe(1));
    let context = Context::new();
    for message in 0..5 {
        let published = bus.publish(message).unwrap();
        assert_eq!((published.delivered, published.missed), if message < 2 { (2, 0) } else { (1, 1) });
        assert_eq!(next(&quick), message);
    }
    assert_eq!((slow.missed(), quick.missed()), (3, 0));
    // A message takes room until it is acknowledged, so the subscription is still full.
    let in_hand = slow.next(&context).unwrap();
    assert_eq!(bus.publish(5).unwrap().missed, 1);
    assert_eq!(next(&quick), 5);
    in_hand.ack();
    assert_eq!(bus.publish(6).unwrap().missed, 0);
    assert_eq!([next(&slow), next(&slow)], [1, 6]);
}

#[test]
fn a_subscriber_can_hold_until_there_are_so_many() {
    let bus = Bus::new();
    let subscription = Arc::new(bus.subscribe(4));
    let context = Context::new();
    bus.publish(1).unwrap();
    let taken = in_background({
        let (subscription, context) = (Arc::clone(&subscription), context.clone());
        move || subscription.take_n(3, &context)
    });
    bus.publish(2).unwrap();
    assert!(taken.try_recv().is_err());
    bus.publish(3).unwrap();
    let deliveries = soon(&taken).unwrap();
    assert_eq!(deliveries.iter().map(|delivery| **delivery).collect::<Vec<_>>(), [1, 2, 3]);
    drop(deliveries);

    // The three messages are back in the subscription. `take_n` needs a fourth one.
    let taken = in_background({
        let (subscription, context) = (Arc::clone(&subscription), context.clone());
        move || subscription.take_n(4, &context).map(|_| ())
    });
    context.cancel("enough");
    assert_eq!(soon(&taken), Err(ReceiveError::Cancelled("enough".into())));
    assert_eq!([(); 3].map(|()| next(&subscription)), [1, 2, 3], "the messages stay in the subscription");
}

#[test]
fn of_a_closed_bus_a_subscriber_takes_what_there_is() {
    let bus = Bus::new();
    let subscription = bus.subscribe(4);
    (0..3).for_each(|message| _ = bus.publish(message).unwrap());
    assert_eq!(bus.drain(Instant::now()), Drained { left: 3, ..Drained::default() });
    let context = Context::new().with_deadline(late());
    assert_eq!(subscription.take_n(2, &context).unwrap().into_iter().map(|one| one.ack()).count(), 2);
    assert_eq!(subscription.take_n(2, &context).unwrap().into_iter().map(|one| one.ack()).count(), 1);
    assert_eq!(subscription.take_n(2, &context).map(|_| ()), Err(ReceiveError::Closed));
    assert!(bus.flush(late()).is_clean());
    assert_eq!(bus.subscribe(1).next(&context).map(|_| ()), Err(ReceiveError::Closed));
}

#[test]
#[should_panic = "can't take 3 messages at once with a capacity of 2"]
fn more_at_once_than_there_is_room_for_is_misuse() {
    let bus = Bus::<()>::new();
    _ = bus.subscribe(2).take_n(3, &Context::new());
}

#[test]
fn a_subscriber_can_hold_until_a_condition() {
    let bus = Bus::new();
    let subscription = bus.subscribe(4);
    let context = Context::new().with_deadline(late());
    (1..=4).for_each(|message| _ = bus.publish(message).unwrap());
    let delivery = subscription.wait_until(|message| *message == 3, &context).unwrap();
    assert_eq!(*delivery, 3);
    delivery.ack();
    assert_eq!(bus.flush(Instant::now()), Drained { left: 1, ..Drained::default() });
    let panicked =
        catch_unwind(AssertUnwindSafe(|| subscription.wait_until(|_| panic!("on purpose"), &context)));
    assert!(panicked.is_err());
    assert_eq!(next(&subscription), 4, "the message on which the condition panicked comes again");
}

#[test]
fn a_context_that_has_ended_ends_the_wait_though_there_are_messages() {
    let bus = Bus::new();
    let subscription = Arc::new(bus.subscribe(4));
    let context = Context::new();
    let ended = in_background({
        let (subscription, context) = (Arc::clone(&subscription), context.clone());
        move || subscription.next(&context).map(|_| ())
    });
    context.cancel(Cause::ClientGone);
    assert_eq!(soon(&ended), Err(ReceiveError::Cancelled(Cause::ClientGone)));
    bus.publish(()).unwrap();
    assert_eq!(subscription.next(&context).map(|_| ()), Err(ReceiveError::Cancelled(Cause::ClientGone)));
}

#[test]
fn a_drain_waits_for_what_was_published_and_then_subscriptions_end() {
    let bus = Arc::new(Bus::new());
    let subscription = bus.subscribe(4);
    let context = Context::new().with_deadline(late());
    ["one", "two"].iter().for_each(|message| _ = bus.publish(*message).unwrap());
    let in_hand = subscription.next(&context).unwrap();
    let drained = in_background({
        let bus = Arc::clone(&bus);
        move || bus.drain(late())
    });
    until("the drain has begun", || bus.is_closed());
    assert_eq!(bus.publish("late"), Err(Refused::Stopping("late")));
    assert_eq!(next(&subscription), "two");
    // The message in hand may still come back, so the subscription does not end yet. Here the message does come back.
    let ended = in_background(move || (next(&subscription), subscription.next(&context).map(|_| ())));
    assert!(ended.try_recv().is_err() && drained.try_recv().is_err());
    drop(in_hand);
    assert_eq!(soon(&ended), ("one", Err(ReceiveError::Closed)));
    assert_eq!(soon(&drained), Drained { finished: 2, ..Drained::default() });
}

#[test]
fn a_dropped_subscription_is_told_of_once() {
    let bus = Bus::new();
    let (gone, other) = (bus.subscribe(4), bus.subscribe(4));
    (0..3).for_each(|message| _ = bus.publish(message).unwrap());
    let in_hand = [(); 2].map(|()| gone.next(&Context::new()).unwrap());
    drop(gone);
    assert_eq!(bus.subscriptions(), 1);
    let [acknowledged, dropped] = in_hand;
    acknowledged.ack();
    drop(dropped);
    assert_eq!([(); 3].map(|()| next(&other)), [0, 1, 2]);
    assert_eq!(bus.flush(late()), Drained { left: 2, ..Drained::default() });
    assert_eq!(bus.flush(late()), Drained::default());
}

#[test]
fn a_dropped_bus_leaves_what_it_has_delivered() {
    let bus = Bus::new();
    let subscription = bus.subscribe(4);
    bus.publish(1).unwrap();
    drop(bus);
    assert_eq!(next(&subscription), 1);
    assert_eq!(
        subscription.next(&Context::new().with_deadline(late())).map(|_| ()),
        Err(ReceiveError::Closed)
    );
}

#[test]
fn whatever_the_order_every_message_is_handled_and_the_drain_counts_it() {
    const MESSAGES: u32 = 500;
    let bus = Arc::new(Bus::<u32>::new());
    // Each subscription has two threads. The threads drop every fifth message without an acknowledgement, the first
    // time.
    let subscribers = [(); 2].map(|()| {
        let subscription = Arc::new(bus.subscribe(2 * MESSAGES as usize));
        [(); 2].map(|()| {
            let subscription = Arc::clone(&subscription);
            thread::spawn(move || {
                let (context, mut handled) = (Context::new().with_deadline(late()), Vec::new());
                loop {
                    match subscription.next(&context) {
                        Ok(delivery) if *delivery % 5 == 0 && delivery.attempt() == 1 => drop(delivery),
                        Ok(delivery) => {
                            handled.push(*delivery);
                            delivery.ack();
                        }
                        Err(ended) => {
                            assert_eq!(ended, ReceiveError::Closed);
                            break;
                        }
                    }
                }
                handled
            })
        })
    });
    let publishers = [0, MESSAGES].map(|first| {
        let bus = Arc::clone(&bus);
        thread::spawn(move || {
            (first..first + MESSAGES).for_each(|message| assert_eq!(bus.publish(message).unwrap().missed, 0));
        })
    });
    let flushed = bus.flush(late()).finished;
    publishers.into_iter().for_each(|publisher| publisher.join().unwrap());
    let drained = bus.drain(late());
    assert!(drained.is_clean() && flushed + drained.finished <= u64::from(4 * MESSAGES));
    for threads in subscribers {
        let handled = threads.map(|thread| thread.join().unwrap()).concat();
        assert_eq!(handled.len(), 2 * MESSAGES as usize, "an acknowledged message does not come again");
        assert_eq!(handled.into_iter().collect::<BTreeSet<_>>(), (0..2 * MESSAGES).collect());
    }
}

/// The panic drops the delivery before the subscription. The drain must not wait for either, and the bus must not keep
/// the message.
#[test]
fn a_subscriber_that_fails_with_a_delivery_in_hand_holds_nobody_up() {
    let bus = Arc::new(Bus::new());
    let subscription = bus.subscribe(4);
    let message = Arc::new("precious");
    bus.publish(Arc::clone(&message)).unwrap();
    let failed = thread::spawn(move || {
        let _delivery = subscription.next(&Context::new().with_deadline(late())).unwrap();
        panic!("on purpose");
    });
    assert!(failed.join().is_err());
    // The deadline of this drain is later than the end of the test.
    let drained = soon(&in_background(move || bus.drain(late())));
    assert_eq!(drained.left, 1, "the drain reports the message that was not acknowledged");
    assert_eq!(Arc::strong_count(&message), 1, "the bus has dropped the message");
}

/// A program may cancel its context just after the drain. The subscriber must learn that the bus is closed, not that
/// the context has ended.
#[test]
fn the_end_of_the_bus_is_told_rather_than_that_of_the_context() {
    let bus = Bus::new();
    let subscription = bus.subscribe(1);
    bus.publish(1).unwrap();
    assert_eq!(next(&subscription), 1);
    assert!(bus.drain(late()).is_clean());
    let given_up = Context::new();
    given_up.cancel(Cause::Stopping);
    assert_eq!(subscription.next(&given_up).err(), Some(ReceiveError::Closed));
}
