use super::*;
use crate::stop::{CloseReason, StopPolicy};

const SECOND: Duration = Duration::from_secs(1);

fn advance(progress: &mut StopProgress, timeline: Timeline, now: Instant) -> Vec<Action> {
    progress.advance(timeline, now).collect()
}

#[test]
fn each_phase_is_acted_upon_once_and_in_order() {
    let asked = Instant::now();
    let policy = StopPolicy::default().lame_duck(SECOND).grace(SECOND).cancel_grace(SECOND);
    let timeline = Timeline::new(&policy, asked);
    let mut progress = StopProgress::Running;
    let expected: [&[Action]; 4] = [
        &[Action::Announce(Phase::LameDuck)],
        &[
            Action::Announce(Phase::Draining),
            Action::RejectCancelled,
            Action::Hint,
            Action::EndListening,
            Action::Review,
        ],
        &[Action::Announce(Phase::Cancelling), Action::RejectWaiting, Action::CancelHandlers, Action::Review],
        &[Action::CutOff],
    ];
    for (second, actions) in (0..).zip(expected) {
        let now = asked + SECOND * second;
        assert_eq!(advance(&mut progress, timeline, now), actions, "after {second} s");
        assert_eq!(advance(&mut progress, timeline, now), [], "nothing twice");
    }
}

/// A loop reads the clock at the beginning of its turn, and may then see a stop that was asked for after that reading.
#[test]
fn a_loop_whose_clock_is_behind_the_stop_enters_no_lame_duck_that_there_is_not() {
    let asked = Instant::now() + SECOND;
    let mut progress = StopProgress::Running;
    let timeline = Timeline::new(&StopPolicy::default(), asked);
    let actions = advance(&mut progress, timeline, asked - Duration::from_nanos(1));
    assert_eq!((actions[0], progress.phase()), (Action::Announce(Phase::Draining), Phase::Draining));
}

#[test]
fn a_loop_that_was_held_up_makes_up_for_what_it_missed() {
    let asked = Instant::now();
    let mut progress = StopProgress::Running;
    let actions = advance(&mut progress, Timeline::new(&StopPolicy::now(), asked), asked);
    let expected = [
        Action::Announce(Phase::Draining),
        Action::RejectCancelled,
        Action::Hint,
        Action::EndListening,
        Action::Announce(Phase::Cancelling),
        Action::RejectWaiting,
        Action::CancelHandlers,
        Action::CutOff,
    ];
    assert_eq!(actions, expected);
    assert!(progress.is_complete(false));
}

#[test]
fn a_loop_that_overslept_the_end_is_given_a_moment_once() {
    let asked = Instant::now();
    let timeline = Timeline::new(&StopPolicy::default().cancel_grace(Duration::ZERO), asked);
    let mut progress = StopProgress::Running;
    advance(&mut progress, timeline, asked);
    let awake = asked + SECOND * 60;
    assert_eq!(advance(&mut progress, timeline, awake), [Action::Review]);
    assert_eq!(progress.phase(), Phase::Draining, "what is ready is written first");
    assert!(progress.is_complete(true) && !progress.is_complete(false));
    let cancelling = progress.next(awake).unwrap();
    let expected =
        [Action::Announce(Phase::Cancelling), Action::RejectWaiting, Action::CancelHandlers, Action::Review];
    assert_eq!(advance(&mut progress, timeline, cancelling), expected);
    let end = progress.next(cancelling).unwrap();
    assert_eq!(end, awake + AWAKENING);
    assert_eq!(advance(&mut progress, timeline, end - Duration::from_nanos(1)), []);
    // The loop is late once more, but has seen what became ready, so it gets no further time.
    assert_eq!(advance(&mut progress, timeline, end + SECOND), [Action::CutOff]);
    assert!(progress.is_complete(false));
}

/// The process was suspended after the stop was asked for, and before any loop ran.
#[test]
fn a_loop_that_overslept_the_whole_stop_is_given_a_moment() {
    let asked = Instant::now();
    let timeline = Timeline::new(&StopPolicy::default(), asked);
    let mut progress = StopProgress::Running;
    let awake = timeline.end() + SECOND;
    let actions = advance(&mut progress, timeline, awake);
    assert_eq!((actions.last(), progress.phase()), (Some(&Action::Review), Phase::Draining));
    let end = progress.next(progress.next(awake).unwrap()).unwrap();
    assert_eq!(end, awake + AWAKENING);
    assert_eq!(advance(&mut progress, timeline, end).last(), Some(&Action::CutOff));
    // A hard stop is obeyed, however late the loop sees it.
    let mut progress = StopProgress::Running;
    let hard = Timeline::new(&StopPolicy::now(), asked);
    assert_eq!(advance(&mut progress, hard, awake).last(), Some(&Action::CutOff));
}

#[test]
fn a_loop_that_has_not_overslept_cuts_off_at_once() {
    let asked = Instant::now();
    let mut timeline = Timeline::new(&StopPolicy::default(), asked);
    let begun = || {
        let mut progress = StopProgress::Running;
        advance(&mut progress, timeline, asked);
        progress
    };
    let (mut late, mut held_up) = (begun(), begun());
    let end = timeline.end();
    assert_eq!(advance(&mut late, timeline, end + OVERSLEPT).last(), Some(&Action::CutOff));
    // A busy loop sees a hard stop late.
    timeline.tighten(&Timeline::new(&StopPolicy::now(), asked + SECOND));
    assert_eq!(advance(&mut held_up, timeline, asked + SECOND * 2).last(), Some(&Action::CutOff));
}

#[test]
fn a_stop_that_becomes_stricter_has_every_connection_looked_at_again() {
    let asked = Instant::now();
    let mut timeline = Timeline::new(&StopPolicy::default(), asked);
    let mut progress = StopProgress::Running;
    advance(&mut progress, timeline, asked);
    let quiet = ConnectionState::Quiet { since: asked, rhythm: Rhythm::default() };
    assert_eq!(progress.verdict(quiet), Verdict::CloseAt(asked + SECOND));
    timeline.tighten(&Timeline::new(&StopPolicy::default().quiet(Duration::ZERO), asked));
    assert_eq!(advance(&mut progress, timeline, asked), [Action::Review]);
    assert_eq!(progress.verdict(quiet), Verdict::CloseAt(asked));
}

#[test]
fn what_a_stop_means_for_a_connection() {
    let asked = Instant::now() + SECOND * 10;
    let timeline = Timeline::new(&StopPolicy::default().lame_duck(SECOND), asked);
    let began = asked + SECOND;
    let states = [
        ConnectionState::Quiet { since: asked, rhythm: Rhythm::default() },
        ConnectionState::InHead { since: asked },
        ConnectionState::InHead { since: began + SECOND },
        ConnectionState::InFlight,
        ConnectionState::Lingering(CloseReason::Completed),
    ];
    let mut progress = StopProgress::Running;
    for state in states {
        assert_eq!(progress.verdict(state), Verdict::Keep, "nobody has asked for a stop");
    }
    advance(&mut progress, timeline, asked);
    for state in states {
        assert_eq!(progress.verdict(state), Verdict::Keep, "still accepting");
    }
    advance(&mut progress, timeline, began);
    let verdicts = [
        Verdict::CloseAt(asked + SECOND),
        Verdict::RefuseAt(began + SECOND),
        Verdict::RefuseAt(began + SECOND * 2),
        Verdict::Keep,
        Verdict::Keep,
    ];
    assert_eq!(states.map(|state| progress.verdict(state)), verdicts);
    let reasons = [
        CloseReason::Drained,
        CloseReason::Aborted,
        CloseReason::Aborted,
        CloseReason::Aborted,
        CloseReason::Completed,
    ];
    assert_eq!(states.map(ConnectionState::reason_at_the_end), reasons);
}

#[test]
fn a_loop_leaves_when_nothing_is_left_but_not_as_a_lame_duck() {
    let asked = Instant::now();
    let timeline = Timeline::new(&StopPolicy::default().lame_duck(SECOND), asked);
    let mut progress = StopProgress::Running;
    assert!(!progress.is_complete(true));
    for (second, complete) in [(0, false), (1, true), (6, true)] {
        advance(&mut progress, timeline, asked + SECOND * second);
        assert_eq!(progress.is_complete(true), complete, "after {second} s");
        assert!(!progress.is_complete(false), "after {second} s");
    }
    advance(&mut progress, timeline, asked + SECOND * 7);
    assert!(progress.is_complete(false));
}
