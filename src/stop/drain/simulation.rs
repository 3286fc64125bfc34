//! The decisions of a stop in a simulated world, in virtual time: random clients, handlers, delays and stops, and what has
//! to hold whatever they do.
//!
//! [`world`] is the world: loops that ask [`StopProgress`](super::StopProgress) what to do as the real ones do. [`oracle`] says when
//! each thing has to happen. Its clock is a queue of events; a second of it takes microseconds.

mod oracle;
mod rhythm;
mod world;

use std::time::Duration;

use super::super::StopPolicy;

/// Times are in milliseconds, short and round, so that things often happen at the same time.
type Milliseconds = u64;

#[derive(Debug, Clone)]
struct Scenario {
    loops: usize,
    workers: usize,
    /// The first one, and others that may make it stricter.
    stops: Vec<(Milliseconds, StopPolicy)>,
    clients: Vec<Client>,
    /// How long it takes a loop to wake up, and how long a turn takes: one after the other, again and again.
    delays: Vec<Milliseconds>,
}

#[derive(Debug, Clone)]
struct Client {
    connects: Milliseconds,
    /// Each comes so long after the one before it, whether or not anything has been answered: pipelining is the rule.
    pieces: Vec<(Milliseconds, Arrival)>,
    /// Whether it reads what it is sent. If not, its first response never leaves.
    reads: bool,
    /// How long after its last response, or one that says close, it closes; never, if it does not say.
    closes: Option<Milliseconds>,
}

/// What arrives at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Arrival {
    /// The beginning of a head.
    Part,
    /// The rest of a head, or all of it, of a request without content.
    Request(HandlerPlan),
    /// The rest of a head, or all of it, of a request with content.
    Head,
    /// The content.
    Content(HandlerPlan),
    /// The end.
    Fin,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum HandlerPlan {
    Inline,
    /// Returns after so long.
    Takes(Milliseconds),
    /// Returns so long after it has been told that the stop has begun.
    OnHint(Milliseconds),
    /// Returns so long after it has been cancelled.
    OnCancel(Milliseconds),
    Never,
}

fn milliseconds(count: Milliseconds) -> Duration {
    Duration::from_millis(count)
}

#[cfg(test)]
mod tests {
    use super::{world::World, *};
    use proptest::{collection::vec, option, prelude::*, sample::select};
    use std::time::Instant;

    fn policy() -> impl Strategy<Value = StopPolicy> {
        let lame_duck = select(&[0, 0, 20, 100][..]);
        let grace = select(&[0, 10, 100, 300, 2_500][..]);
        let cancel_grace = select(&[0, 10, 100, 300][..]);
        let quiet = select(&[0, 10, 100, 1_000][..]);
        (lame_duck, grace, cancel_grace, quiet).prop_map(|(lame_duck, grace, cancel_grace, quiet)| {
            StopPolicy::default()
                .lame_duck(milliseconds(lame_duck))
                .grace(milliseconds(grace))
                .cancel_grace(milliseconds(cancel_grace))
                .quiet(milliseconds(quiet))
        })
    }

    fn handler() -> impl Strategy<Value = HandlerPlan> {
        let takes = || select(&[0, 1, 10, 100, 1_000][..]);
        prop_oneof![
            4 => Just(HandlerPlan::Inline),
            4 => takes().prop_map(HandlerPlan::Takes),
            1 => takes().prop_map(HandlerPlan::OnHint),
            1 => takes().prop_map(HandlerPlan::OnCancel),
            1 => Just(HandlerPlan::Never),
        ]
    }

    /// A pause, perhaps a slow head, perhaps a content.
    fn request() -> impl Strategy<Value = Vec<(Milliseconds, Arrival)>> {
        let pause = || select(&[0, 0, 1, 10, 50, 100, 150, 400][..]);
        let slow_head = option::weighted(0.3, select(&[1, 10, 100, 1_500, 9_000][..]));
        let content = option::weighted(0.3, select(&[0, 10, 100, 9_000][..]));
        (pause(), slow_head, content, handler()).prop_map(|(pause, slow_head, content, handler)| {
            let mut pieces = Vec::new();
            pieces.extend(slow_head.map(|_| (pause, Arrival::Part)));
            let rest = slow_head.unwrap_or(pause);
            match content {
                None => pieces.push((rest, Arrival::Request(handler))),
                Some(after) => pieces.extend([(rest, Arrival::Head), (after, Arrival::Content(handler))]),
            }
            pieces
        })
    }

    fn client() -> impl Strategy<Value = Client> {
        let closes = option::weighted(0.7, select(&[0, 1, 100][..]));
        // Some have a rhythm by the time of the stop.
        let quick = || (select(&[1, 2, 10][..]), Just(HandlerPlan::Inline));
        let quick = quick().prop_map(|(pause, handler)| vec![(pause, Arrival::Request(handler))]);
        let history = prop_oneof![4 => Just(Vec::new()), 1 => vec(quick, 8..40)];
        let requests = (history, vec(request(), 0..6));
        let requests = requests.prop_map(|(history, requests)| [history, requests].concat());
        (0..600_u64, requests, prop::bool::weighted(0.9), closes).prop_map(
            |(connects, requests, reads, closes)| Client {
                connects,
                pieces: requests.concat(),
                reads,
                closes,
            },
        )
    }

    fn scenario() -> impl Strategy<Value = Scenario> {
        let further = vec((0..500_u64, policy()), 0..3);
        let stops = (0..600_u64, policy(), further).prop_map(|(asked, policy, further)| {
            let further = further.into_iter().map(|(later, policy)| (asked + later, policy));
            [(asked, policy)].into_iter().chain(further).collect()
        });
        (1..4_usize, 1..4_usize, stops, vec(client(), 0..8), vec(0..4_u64, 1..6)).prop_map(
            |(loops, workers, stops, clients, delays)| Scenario { loops, workers, stops, clients, delays },
        )
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

        #[test]
        fn whatever_happens_a_stop_keeps_its_promises(scenario in scenario()) {
            World::new(&scenario, Instant::now()).run();
        }
    }
}
