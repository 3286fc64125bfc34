//! What the parts cost, one by one: where `keep_alive` says that a request got slower, this says which part of it did.
//!
//! `cargo bench --bench micro [-- FILTER]`, for instance `-- context`; each is compared with the run before. Everything is
//! measured through the public API, so a part that has none (mailbox, pool, a connection's deadlines, the drain
//! decisions) is measured in the shortest way through it: the difference between two of the figures is the part's, as a
//! user pays for it. `internals` measures such a part alone.

#![allow(missing_docs, clippy::unwrap_used)]

mod http;
mod router;
mod serving;
mod stopping;
mod support;
mod waiting;

use criterion::Criterion;

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    http::bench(&mut criterion);
    router::bench(&mut criterion);
    serving::bench(&mut criterion);
    waiting::bench(&mut criterion);
    stopping::bench(&mut criterion);
    criterion.final_summary();
}
