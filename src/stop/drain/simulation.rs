//! The decisions of a stop, tested in a simulated world. Clients, handlers, delays and stops are random, and time is virtual:
//! the clock is a queue of events, so a simulated second takes microseconds.
//!
//! - [`world`] has loops that ask [`StopProgress`](super::StopProgress) for actions and verdicts, as real loops do.
//! - [`oracle`] computes when each action has to happen, from the policies alone, and fails if an action comes too early or too
//!   late.

mod oracle;
mod rhythm;
mod world;

use std::time::Duration;

use super::super::StopPolicy;

/// A time in milliseconds. The values are short and round, so that events often happen at the same time.
type Milliseconds = u64;

#[derive(Debug, Clone)]
struct Scenario {
    loops: usize,
    workers: usize,
    /// The first stop, and further stops that may make it stricter.
    stops: Vec<(Milliseconds, StopPolicy)>,
    clients: Vec<Client>,
    /// How long a loop takes to wake up, and how long a turn takes. The world uses the values one after the other, and then
    /// from the beginning again.
    delays: Vec<Milliseconds>,
}

#[derive(Debug, Clone)]
struct Client {
    connects: Milliseconds,
    /// How long after the one before each of them arrives. The client does not wait for responses, so it often pipelines.
    arrivals: Vec<(Milliseconds, Arrival)>,
    /// Whether the client reads. If not, its first response is never written whole.
    reads: bool,
    /// How long the client waits after its last response, or after a response with `Connection: close`, before it closes.
    /// `None`: the client never closes.
    closes: Option<Milliseconds>,
}

/// What arrives at the server at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Arrival {
    /// The beginning of a head.
    PartOfHead,
    /// The rest of a head, or a whole head, of a request without content.
    Request(HandlerPlan),
    /// The rest of a head, or a whole head, of a request with content.
    Head,
    /// The whole content of a request.
    Content(HandlerPlan),
    /// The client's FIN.
    Fin,
}

/// What a handler is going to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum HandlerPlan {
    /// The loop runs the handler, which returns at once.
    Inline,
    /// The handler returns after this time.
    Takes(Milliseconds),
    /// The handler returns this long after the hint that a stop has begun.
    OnHint(Milliseconds),
    /// The handler returns this long after its context was cancelled.
    OnCancel(Milliseconds),
    /// The handler never returns.
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

    /// A pause, then a head, which may come in two parts, then perhaps a content.
    fn request() -> impl Strategy<Value = Vec<(Milliseconds, Arrival)>> {
        let pause = || select(&[0, 0, 1, 10, 50, 100, 150, 400][..]);
        let slow_head = option::weighted(0.3, select(&[1, 10, 100, 1_500, 9_000][..]));
        let content = option::weighted(0.3, select(&[0, 10, 100, 9_000][..]));
        (pause(), slow_head, content, handler()).prop_map(|(pause, slow_head, content, handler)| {
            let mut arrivals = Vec::new();
            arrivals.extend(slow_head.map(|_| (pause, Arrival::PartOfHead)));
            let rest = slow_head.unwrap_or(pause);
            match content {
                None => arrivals.push((rest, Arrival::Request(handler))),
                Some(after) => arrivals.extend([(rest, Arrival::Head), (after, Arrival::Content(handler))]),
            }
            arrivals
        })
    }

    fn client() -> impl Strategy<Value = Client> {
        let closes = option::weighted(0.7, select(&[0, 1, 100][..]));
        // Some clients have made enough requests before the stop that their rhythm is known.
        let quick = || (select(&[1, 2, 10][..]), Just(HandlerPlan::Inline));
        let quick = quick().prop_map(|(pause, handler)| vec![(pause, Arrival::Request(handler))]);
        let history = prop_oneof![4 => Just(Vec::new()), 1 => vec(quick, 8..40)];
        let requests = (history, vec(request(), 0..6));
        let requests = requests.prop_map(|(history, requests)| [history, requests].concat());
        (0..600_u64, requests, prop::bool::weighted(0.9), closes).prop_map(
            |(connects, requests, reads, closes)| Client {
                connects,
                arrivals: requests.concat(),
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
        fn a_stop_keeps_its_promises_in_every_scenario(scenario in scenario()) {
            World::new(&scenario, Instant::now()).run();
        }
    }
}
