//! The decisions of a group's stop, without threads and clocks: the step that is under way, and how long it may take.
//!
//! ```text
//!   asked          grace ends                    end of the stop
//!     |----------------|------------------------------|
//!     | step 1: finishes by itself ... | returns      |
//!                                      ^ step 1 is over: all of it has ended, or its share of the time has passed
//!                                      | step 2: finishes | returns |
//! ```
//!
//! A stage has up to two steps: its servers, then its drains and tasks. A step begins when the step before is over,
//! and never earlier. So the drains of a step still take the work that the step before gives back at its own deadline.
//!
//! The rule, for a step that begins at some time:
//! - The step is **over** when everything in it has ended, at the latest when its share of the cancel grace has passed.
//!   The rest of the cancel grace, counted from the end of the grace period, is divided evenly among this step and the
//!   steps after it.
//! - The step **finishes** by itself until the end of the grace period. A step that begins late, or after that end, may
//!   finish for as long as the policy's grace, but for half of its own time at most. In the rest it is cancelled and
//!   returns.
//!
//! All steps together end within [`StopPolicy::max_duration`]. Time that a step does not use is left for the steps after it.

#[cfg(test)]
mod simulation;

use std::time::{Duration, Instant};

use crate::stop::{Phase, StopPolicy, Timeline};

/// The members that one step of the stop tells to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// The servers of this stage.
    Servers(usize),
    /// The drains and tasks of this stage.
    Followers(usize),
}

/// A stop that has begun: the steps, the current one, and the time that is left.
#[derive(Debug, Clone)]
pub(super) struct Schedule {
    timeline: Timeline,
    /// The shortest grace period of the stops so far.
    grace: Duration,
    steps: Vec<Step>,
    /// The place of the current step.
    current: usize,
    /// When the current step began.
    entered: Instant,
}

/// The time of one step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Share {
    /// Until this time the step may finish by itself.
    pub(super) finish_by: Instant,
    /// At this time the next step begins, whatever is left of this one.
    pub(super) over_by: Instant,
}

/// The steps that have members, in order, given the stages of all servers (`servers`) and of all drains and tasks.
pub(super) fn steps(servers: &[usize], followers: &[usize]) -> Vec<Step> {
    let last = servers.iter().chain(followers).max().copied().unwrap_or(0);
    let of_stage = |stage| {
        let servers = servers.contains(&stage).then_some(Step::Servers(stage));
        servers.into_iter().chain(followers.contains(&stage).then_some(Step::Followers(stage)))
    };
    (0..=last).flat_map(of_stage).collect()
}

impl Schedule {
    /// The first step begins now.
    pub(super) fn new(policy: &StopPolicy, steps: Vec<Step>, asked: Instant) -> Schedule {
        Schedule {
            timeline: Timeline::new(policy, asked),
            grace: policy.grace,
            steps,
            current: 0,
            entered: asked,
        }
    }

    /// A further stop makes this one stricter, and never looser.
    pub(super) fn tighten(&mut self, policy: &StopPolicy, asked: Instant) {
        self.timeline.tighten(&Timeline::new(policy, asked));
        self.grace = self.grace.min(policy.grace);
    }

    /// The step that is under way. `None` when all are over.
    pub(super) fn step(&self) -> Option<Step> {
        self.steps.get(self.current).copied()
    }

    /// Begins the next step.
    pub(super) fn advance(&mut self, now: Instant) {
        self.current += 1;
        self.entered = now;
    }

    /// How long the current step may take.
    pub(super) fn share(&self) -> Share {
        let (grace_ends, end) = (self.timeline.drain_until(), self.timeline.end());
        // During the lame duck nothing has to finish.
        let begins = self.entered.max(self.timeline.drain_began());
        let cancelling_from = begins.max(grace_ends).min(end);
        let steps_left =
            u32::try_from(self.steps.len().saturating_sub(self.current)).unwrap_or(u32::MAX).max(1);
        let over_by = cancelling_from + (end - cancelling_from) / steps_left;
        let own_grace = self.grace.min(over_by.saturating_duration_since(begins) / 2);
        Share { finish_by: grace_ends.max(begins + own_grace).min(over_by), over_by }
    }

    /// How long to wait for the current step. `None` if it is over.
    pub(super) fn wait(&self, everything_has_ended: bool, now: Instant) -> Option<Duration> {
        let left = self.share().over_by.saturating_duration_since(now);
        (!everything_has_ended && !left.is_zero()).then_some(left)
    }

    /// The time that is left of the current step, as the policy of a server that is told now.
    pub(super) fn left(&self, now: Instant) -> StopPolicy {
        let Share { finish_by, over_by } = self.share();
        let drains_from = now.max(self.timeline.drain_began());
        StopPolicy {
            grace: finish_by.saturating_duration_since(drains_from),
            cancel_grace: over_by.saturating_duration_since(finish_by.max(now)),
            ..self.timeline.left(now)
        }
    }

    /// The phase of the whole stop, by the clock.
    pub(super) fn phase(&self, now: Instant) -> Phase {
        self.timeline.phase(now)
    }

    /// When the whole stop is over.
    pub(super) fn end(&self) -> Instant {
        self.timeline.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn milliseconds(count: u64) -> Duration {
        Duration::from_millis(count)
    }

    #[test]
    fn a_stage_has_the_steps_that_have_anything_to_end() {
        assert_eq!(steps(&[], &[]), []);
        assert_eq!(steps(&[0, 0], &[]), [Step::Servers(0)]);
        assert_eq!(
            steps(&[2, 0], &[0, 3]),
            [Step::Servers(0), Step::Followers(0), Step::Servers(2), Step::Followers(3)]
        );
    }

    /// For each of `count` steps that use all of their time: until when it could finish, and when it is over, in milliseconds.
    fn played(policy: StopPolicy, count: usize) -> Vec<(u64, u64)> {
        let asked = Instant::now();
        let mut schedule = Schedule::new(&policy, vec![Step::Servers(0); count], asked);
        let mut times = Vec::new();
        while schedule.step().is_some() {
            let Share { finish_by, over_by } = schedule.share();
            let since = |time: Instant| u64::try_from((time - asked).as_millis()).unwrap();
            times.push((since(finish_by), since(over_by)));
            schedule.advance(over_by);
        }
        times
    }

    #[test]
    fn a_single_step_has_the_phases_of_the_policy() {
        assert_eq!(played(StopPolicy::default(), 1), [(5000, 6000)]);
        assert_eq!(played(StopPolicy::default().lame_duck(milliseconds(700)), 1), [(5700, 6700)]);
        assert_eq!(played(StopPolicy::now(), 1), [(0, 0)]);
    }

    #[test]
    fn steps_that_use_all_of_their_time_leave_each_its_share() {
        let policy = StopPolicy::default().grace(milliseconds(500)).cancel_grace(milliseconds(5000));
        assert_eq!(played(policy, 2), [(500, 3000), (3500, 5500)]);
        let policy = StopPolicy::default().grace(milliseconds(5000)).cancel_grace(milliseconds(1200));
        assert_eq!(played(policy, 3), [(5000, 5400), (5600, 5800), (6000, 6200)]);
        assert_eq!(played(policy.cancel_grace(Duration::ZERO), 3), [(5000, 5000); 3]);
    }

    #[test]
    fn what_a_step_does_not_use_is_left_for_the_next() {
        let asked = Instant::now();
        let mut schedule =
            Schedule::new(&StopPolicy::default(), vec![Step::Servers(0), Step::Servers(1)], asked);
        schedule.advance(asked + milliseconds(1000));
        let left = schedule.left(asked + milliseconds(1000));
        assert_eq!((left.grace, left.cancel_grace), (milliseconds(4000), milliseconds(1000)));
    }

    #[test]
    fn a_boundless_policy_does_not_overflow() {
        let boundless = StopPolicy::default().grace(Duration::MAX).cancel_grace(Duration::MAX);
        let asked = Instant::now();
        let mut schedule = Schedule::new(&boundless, vec![Step::Servers(0); 3], asked);
        schedule.advance(asked + milliseconds(1));
        assert!(schedule.wait(false, asked).unwrap() > milliseconds(1_000_000));
    }
}
