//! The stop of a group in virtual time: random members, delays and stops. An oracle derives from the policies alone what
//! must hold.

use std::time::{Duration, Instant};

use proptest::{collection::vec, prelude::*, sample::select};

use super::{Schedule, Share, Step};
use crate::stop::StopPolicy;

type Milliseconds = u64;

/// How a member of a step behaves once it has been told to end.
#[derive(Debug, Clone, Copy)]
enum Behaviour {
    /// It ends by itself, after this time.
    Finishes(Milliseconds),
    /// It ends this long after its time to finish has passed, as a queue does that gives its items back.
    GivesBack(Milliseconds),
    NeverEnds,
}

#[derive(Debug, Clone)]
struct Scenario {
    /// The members of each step.
    steps: Vec<Vec<Behaviour>>,
    /// The first stop, and further ones that may make it stricter.
    stops: Vec<(Milliseconds, StopPolicy)>,
}

fn milliseconds(count: Milliseconds) -> Duration {
    Duration::from_millis(count)
}

/// Plays a stop as `GroupLifecycle` does, event by event, and lets the oracle watch.
struct World<'a> {
    scenario: &'a Scenario,
    epoch: Instant,
    now: Instant,
    schedule: Schedule,
    /// How many of the stops have been asked for.
    asked: usize,
    /// When the current step began, and its time before the last event.
    entered: Instant,
    share: Share,
}

impl World<'_> {
    fn play(scenario: &Scenario) {
        let epoch = Instant::now();
        let (at, policy) = scenario.stops[0];
        let now = epoch + milliseconds(at);
        let schedule = Schedule::new(&policy, vec![Step::Servers(0); scenario.steps.len()], now);
        let share = schedule.share();
        let mut world = World { scenario, epoch, now, schedule, asked: 1, entered: now, share };
        for members in &scenario.steps {
            world.play_step(members);
            world.schedule.advance(world.now);
            world.entered = world.now;
            world.share = world.schedule.share();
        }
        assert_eq!(world.schedule.step(), None);
        assert!(world.now <= world.end().max(epoch + milliseconds(at)), "the stop keeps its bound");
    }

    fn play_step(&mut self, members: &[Behaviour]) {
        self.check_share();
        let tightened_before = self.asked;
        loop {
            let ends: Vec<Option<Instant>> = members.iter().map(|member| self.ends(*member)).collect();
            let last = ends.iter().copied().reduce(|one, other| Some(one?.max(other?))).flatten();
            let has_ended = last.is_some_and(|last| last <= self.now);
            let Some(left) = self.schedule.wait(has_ended, self.now) else {
                let over_by = self.share.over_by;
                assert!(has_ended || self.now >= over_by, "the next step begins when this one is over");
                if tightened_before == self.asked {
                    self.check_time_was_enough(members);
                }
                return;
            };
            assert!(!has_ended, "a step that has ended is not waited for");
            let stop = self.scenario.stops.get(self.asked);
            let next_stop = stop.map(|(at, _)| (self.epoch + milliseconds(*at)).max(self.now));
            self.now = [Some(self.now + left), last, next_stop]
                .into_iter()
                .flatten()
                .min()
                .expect("the wait has an end");
            if next_stop == Some(self.now) {
                self.schedule.tighten(&self.scenario.stops[self.asked].1, self.now);
                self.asked += 1;
                let before = std::mem::replace(&mut self.share, self.schedule.share());
                assert!(self.share.finish_by <= before.finish_by, "a further stop is never looser");
                assert!(self.share.over_by <= before.over_by, "a further stop is never looser");
                self.check_share();
            }
        }
    }

    fn ends(&self, member: Behaviour) -> Option<Instant> {
        match member {
            Behaviour::Finishes(after) => Some(self.entered + milliseconds(after)),
            Behaviour::GivesBack(after) => Some(self.share.finish_by.max(self.entered) + milliseconds(after)),
            Behaviour::NeverEnds => None,
        }
    }

    /// The oracle: the promises of the rule to a step that has just begun, or that has less time from now on.
    fn check_share(&self) {
        let Share { finish_by, over_by } = self.share;
        assert!(finish_by <= over_by && over_by <= self.end(), "{:?}", self.share);
        let begins = self.entered.max(self.strictest(|policy| policy.lame_duck));
        if begins <= self.grace_ends() {
            assert!(finish_by >= self.grace_ends(), "nothing is cancelled before the grace period is over");
        }
        let steps_after = self.scenario.steps.len() as u32 - self.place() - 1;
        let left = self.end().saturating_duration_since(begins);
        let own = over_by.saturating_duration_since(begins);
        let tolerance = Duration::from_nanos(10);
        assert!(own + tolerance >= left / (steps_after + 1), "each step has its share: {own:?} of {left:?}");
        let for_others = self.end() - over_by.max(self.grace_ends());
        let cancel_grace = self.end() - begins.max(self.grace_ends()).min(self.end());
        assert!(
            for_others + tolerance >= cancel_grace * steps_after / (steps_after + 1),
            "the steps after it keep their shares: {for_others:?} of {cancel_grace:?}"
        );
        let grace = self.scenario.stops[..self.asked]
            .iter()
            .map(|(_, policy)| policy.grace)
            .min()
            .expect("there is a stop");
        let to_finish = finish_by.saturating_duration_since(begins);
        assert!(to_finish + tolerance >= grace.min(own / 2), "a late step has time to finish: {to_finish:?}");
        assert!(
            to_finish <= grace || finish_by <= self.grace_ends(),
            "no step may finish for longer than the policy says"
        );
    }

    /// Members that need no more than the time of their step were not cut. Holds for a step without a further stop.
    fn check_time_was_enough(&self, members: &[Behaviour]) {
        for member in members {
            if let Some(ends) = self.ends(*member)
                && ends <= self.share.over_by
            {
                assert!(ends <= self.now, "{member:?} had until {:?}", self.share);
            }
        }
    }

    fn place(&self) -> u32 {
        self.schedule.current as u32
    }

    fn end(&self) -> Instant {
        self.strictest(StopPolicy::max_duration)
    }

    fn grace_ends(&self) -> Instant {
        self.strictest(|policy| policy.lame_duck + policy.grace)
    }

    /// The earliest of the times that the stops so far give.
    fn strictest(&self, time: impl Fn(&StopPolicy) -> Duration) -> Instant {
        let stops = self.scenario.stops[..self.asked].iter();
        stops
            .map(|(at, policy)| self.epoch + milliseconds(*at) + time(policy))
            .min()
            .expect("there is a stop")
    }
}

fn policy() -> impl Strategy<Value = StopPolicy> {
    let lame_duck = select(&[0, 0, 20, 100][..]);
    let grace = select(&[0, 10, 100, 500, 2_500][..]);
    let cancel_grace = select(&[0, 10, 100, 500, 5_000][..]);
    (lame_duck, grace, cancel_grace).prop_map(|(lame_duck, grace, cancel_grace)| {
        StopPolicy::default()
            .lame_duck(milliseconds(lame_duck))
            .grace(milliseconds(grace))
            .cancel_grace(milliseconds(cancel_grace))
    })
}

fn behaviour() -> impl Strategy<Value = Behaviour> {
    let after = || select(&[0, 1, 10, 100, 1_000, 4_000][..]);
    prop_oneof![
        4 => after().prop_map(Behaviour::Finishes),
        2 => after().prop_map(Behaviour::GivesBack),
        1 => Just(Behaviour::NeverEnds),
    ]
}

fn scenario() -> impl Strategy<Value = Scenario> {
    let stops = (policy(), vec((0..3_000_u64, policy()), 0..3)).prop_map(|(first, mut further)| {
        further.sort_by_key(|(at, _)| *at);
        [(0, first)].into_iter().chain(further).collect()
    });
    (vec(vec(behaviour(), 1..4), 1..6), stops).prop_map(|(steps, stops)| Scenario { steps, stops })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 5_000, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_a_group_keeps_its_promises(scenario in scenario()) {
        World::play(&scenario);
    }
}
