//! Measures private parts. `micro` can only measure the difference of two paths through the public API. This bench measures
//! the part itself.
//!
//! Run `cargo bench --bench internals --features internals [-- FILTER]`, for instance `-- deadlines`. Criterion compares each
//! figure with the run before. The feature opens `softstop::internals`, which exists for this purpose only. Wait groups and
//! contexts are public, so `micro` measures them.
//!
//! If one thread wakes another (`mailbox/round trip`, `pool`), the scheduler decides between two very different figures: both
//! threads share a core, or another core has to be woken. To compare two runs, use one core: `taskset -c 0 cargo bench ...`.

#![allow(missing_docs, clippy::unwrap_used)]

mod deadlines;
mod drain;
mod mailbox;
mod pool;
mod router;
mod table;

use criterion::Criterion;

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    mailbox::bench(&mut criterion);
    deadlines::bench(&mut criterion);
    table::bench(&mut criterion);
    router::bench(&mut criterion);
    pool::bench(&mut criterion);
    drain::bench(&mut criterion);
    criterion.final_summary();
}
