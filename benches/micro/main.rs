//! Measures the parts one by one. If `keep_alive` says that requests got slower, this bench says which part did.
//!
//! Run `cargo bench --bench micro [-- FILTER]`, for instance `-- context`. Criterion compares each figure with the run before.
//! Everything is measured through the public API. A private part (mailbox, pool, deadlines of connections, decisions of a drain)
//! is measured by the shortest path through the API. The difference between two figures is the cost of the part for a user.
//! `internals` measures such a part alone.

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
